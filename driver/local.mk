# The libvirt driver module and its daemon.
dist_noinst_SCRIPTS += driver/fetch-libvirt-source
EXTRA_DIST += driver/virtvireod.service.in driver/virtvireod-session.service.in \
	driver/virtvireod-session.socket.in driver/vireo-libvirt-sockets.conf driver/vireo.conf \
	driver/vireo-user.conf driver/libvirtd_vireo.aug driver/apparmor-libvirt-qemu driver/libvirtd.vireo \
	driver/virtvireod.8 schemas/vireo-domain.rng

if DRIVER
# libvirt's headers are system headers here: its warnings are not ours. Its config.h must come
# before anything of that name in this tree (hence automake's nostdinc).
LIBVIRT_INCLUDES = -I$(LIBVIRT_SOURCE) -isystem $(LIBVIRT_SOURCE)/build \
	$(foreach root,$(LIBVIRT_SOURCE) $(LIBVIRT_SOURCE)/build,-isystem $(root)/include -isystem $(root)/src \
	$(foreach dir,access admin conf cpu hypervisor libvirt locking logging remote rpc security storage_file util, \
	-isystem $(root)/src/$(dir)))
# Messages name libvirt's files as its own build does, not as they lie here.
LIBVIRT_PREFIX_MAP = -ffile-prefix-map=$(LIBVIRT_SOURCE)/=
DRIVER_CPPFLAGS = $(LIBVIRT_INCLUDES) -I$(top_srcdir) -I$(top_srcdir)/driver -I$(top_builddir)/schemas \
	-D_GNU_SOURCE -DVIREO_VERSION='"$(PACKAGE_VERSION)"' -DVIREO_BINARY='"$(bindir)/vireo"'
DRIVER_CFLAGS = $(AM_CFLAGS) $(LIBVIRT_PREFIX_MAP) $(LIBVIRT_CFLAGS) $(GIO_CFLAGS) $(LIBXML_CFLAGS) $(JSON_CFLAGS)

# Everything of the module, for it and for the tests.
noinst_LTLIBRARIES += libvireodriver.la
libvireodriver_la_CPPFLAGS = $(DRIVER_CPPFLAGS)
libvireodriver_la_CFLAGS = $(DRIVER_CFLAGS)
libvireodriver_la_LIBADD = libqmp.la $(LIBVIRT_LIBS) $(GIO_LIBS) $(LIBXML_LIBS) $(JSON_LIBS)
libvireodriver_la_SOURCES = \
	driver/vireo_address.c \
	driver/vireo_agent.c \
	driver/vireo_agent_reply.c \
	driver/vireo_alias.c \
	driver/vireo_bandwidth.c \
	driver/vireo_barrier.c \
	driver/vireo_blockdev.c \
	driver/vireo_blockdev_network.c \
	driver/vireo_overlay.c \
	driver/vireo_blockjob.c \
	driver/vireo_blockjob_status.c \
	driver/vireo_capabilities.c \
	driver/vireo_cgroup.c \
	driver/vireo_chain.c \
	driver/vireo_change.c \
	driver/vireo_command.c \
	driver/vireo_conf.c \
	driver/vireo_cpu.c \
	driver/vireo_device_props.c \
	driver/vireo_disk.c \
	driver/vireo_domain.c \
	driver/vireo_memory.c \
	driver/vireo_memory_device.c \
	driver/vireo_numa.c \
	driver/vireo_driver.c \
	driver/vireo_driver_block.c \
	driver/vireo_driver_connect.c \
	driver/vireo_driver_define.c \
	driver/vireo_driver_device.c \
	driver/vireo_driver_guest.c \
	driver/vireo_driver_graphics.c \
	driver/vireo_driver_host.c \
	driver/vireo_driver_iotune.c \
	driver/vireo_driver_job.c \
	driver/vireo_driver_list.c \
	driver/vireo_driver_numa.c \
	driver/vireo_driver_run.c \
	driver/vireo_driver_snapshot.c \
	driver/vireo_driver_stats.c \
	driver/vireo_driver_threads.c \
	driver/vireo_driver_tune.c \
	driver/vireo_driver_update.c \
	driver/vireo_driver_vcpu.c \
	driver/vireo_event.c \
	driver/vireo_firmware.c \
	driver/vireo_firmware_descriptor.c \
	driver/vireo_graphics.c \
	driver/vireo_guest.c \
	driver/vireo_guest_info.c \
	driver/vireo_handover.c \
	driver/vireo_handover_reconnect.c \
	driver/vireo_hotplug.c \
	driver/vireo_image.c \
	driver/vireo_interface.c \
	driver/vireo_iotune.c \
	driver/vireo_log.c \
	driver/vireo_monitor.c \
	driver/vireo_namespace.c \
	driver/vireo_passt.c \
	driver/vireo_process.c \
	driver/vireo_qmp.c \
	driver/vireo_reconnect.c \
	driver/vireo_rx_filter.c \
	driver/vireo_scsi.c \
	driver/vireo_snapshot.c \
	driver/vireo_secret.c \
	driver/vireo_snapshot_disk.c \
	driver/vireo_snapshot_offline.c \
	driver/vireo_stats.c \
	driver/vireo_stats_queue.c \
	driver/vireo_dirty_rate.c \
	driver/vireo_storage.c \
	driver/vireo_sysinfo.c \
	driver/vireo_tpm.c \
	driver/vireo_tune.c \
	driver/vireo_update.c \
	driver/vireo_update_net.c \
	driver/vireo_vcpu.c \
	driver/vireo_vhost.c \
	driver/vireo_virtiofs.c \
	driver/vireo_vsock.c \
	driver/vireo_watchdog.c \
	driver/vireo_validate.c \
	driver/vireo_validate_device.c \
	driver/vireo_validate_graphics.c \
	driver/vireo_address.h \
	driver/vireo_cpu.h \
	driver/vireo_memory.h \
	driver/vireo_memory_device.h \
	driver/vireo_numa.h \
	driver/vireo_stats_queue.h \
	driver/vireo_dirty_rate.h \
	driver/vireo_agent.h \
	driver/vireo_agent_reply.h \
	driver/vireo_alias.h \
	driver/vireo_firmware.h \
	driver/vireo_sysinfo.h \
	driver/vireo_firmware_descriptor.h \
	driver/vireo_bandwidth.h \
	driver/vireo_barrier.h \
	driver/vireo_blockdev.h \
	driver/vireo_blockdev_network.h \
	driver/vireo_overlay.h \
	driver/vireo_blockjob.h \
	driver/vireo_capabilities.h \
	driver/vireo_cgroup.h \
	driver/vireo_chain.h \
	driver/vireo_change.h \
	driver/vireo_command.h \
	driver/vireo_conf.h \
	driver/vireo_device_props.h \
	driver/vireo_disk.h \
	driver/vireo_domain.h \
	driver/vireo_driver.h \
	driver/vireo_event.h \
	driver/vireo_graphics.h \
	driver/vireo_guest.h \
	driver/vireo_guest_info.h \
	driver/vireo_handover.h \
	driver/vireo_hotplug.h \
	driver/vireo_image.h \
	driver/vireo_interface.h \
	driver/vireo_iotune.h \
	driver/vireo_log.h \
	driver/vireo_monitor.h \
	driver/vireo_namespace.h \
	driver/vireo_passt.h \
	driver/vireo_process.h \
	driver/vireo_qmp.h \
	driver/vireo_rx_filter.h \
	driver/vireo_scsi.h \
	driver/vireo_secret.h \
	driver/vireo_snapshot.h \
	driver/vireo_stats.h \
	driver/vireo_storage.h \
	driver/vireo_tpm.h \
	driver/vireo_tune.h \
	driver/vireo_update.h \
	driver/vireo_update_net.h \
	driver/vireo_vcpu.h \
	driver/vireo_vhost.h \
	driver/vireo_virtiofs.h \
	driver/vireo_vsock.h \
	driver/vireo_watchdog.h \
	driver/vireo_validate.h

vireomoduledir = $(LIBVIRT_MODULE_DIR)
vireomodule_LTLIBRARIES = libvirt_driver_vireo.la
libvirt_driver_vireo_la_SOURCES =
libvirt_driver_vireo_la_LIBADD = libvireodriver.la
libvirt_driver_vireo_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,defs \
	-export-symbols-regex '^vireoRegister$$'

# virtvireod is libvirt's own daemon with another name, compiled from libvirt's source where it
# lies. One function there knows every driver by its type, so Vireo's is added to a copy of it.
sbin_PROGRAMS += virtvireod
VIRTVIREOD_OBJECTS = $(addprefix driver/daemon/,remote_daemon.o remote_daemon_config.o \
	remote_daemon_stream.o remote_daemon_dispatch.o admin_server.o admin_server_dispatch.o admin_protocol.o)
DAEMON_COMPILE = $(CC) $(LIBVIRT_INCLUDES) -DDAEMON_NAME='"virtvireod"' -DMODULE_NAME='"vireo"' -DIN_LIBVIRT \
	-D_GNU_SOURCE $(LIBVIRT_PREFIX_MAP) \
	$(CPPFLAGS) $(VIREO_CFLAGS) $(DAEMON_CFLAGS) $(CFLAGS) -w -c
virtvireod_SOURCES =
virtvireod_LDADD = $(VIRTVIREOD_OBJECTS) $(LIBVIRT_LIBS) $(DAEMON_LIBS)
virtvireod_DEPENDENCIES = $(VIRTVIREOD_OBJECTS)

driver/daemon/%.o: $(LIBVIRT_SOURCE)/src/remote/%.c config.status
	$(AM_V_CC)$(MKDIR_P) driver/daemon && $(DAEMON_COMPILE) -o $@ $<
driver/daemon/%.o: $(LIBVIRT_SOURCE)/src/admin/%.c config.status
	$(AM_V_CC)$(MKDIR_P) driver/daemon && $(DAEMON_COMPILE) -o $@ $<
driver/daemon/%.o: $(LIBVIRT_SOURCE)/build/src/admin/%.c config.status
	$(AM_V_CC)$(MKDIR_P) driver/daemon && $(DAEMON_COMPILE) -o $@ $<
driver/daemon/remote_daemon_dispatch.o: driver/daemon/remote_daemon_dispatch.c
	$(AM_V_CC)$(DAEMON_COMPILE) -o $@ $<
driver/daemon/remote_daemon_dispatch.c: $(LIBVIRT_SOURCE)/src/remote/remote_daemon_dispatch.c config.status
	$(AM_V_GEN)$(MKDIR_P) driver/daemon && \
	sed 's/STREQ(type, "CH")) {/STREQ(type, "CH") || STREQ(type, "Vireo")) {/' $< > $@.tmp && \
	if test "`grep -c 'STREQ(type, "Vireo")' $@.tmp`" != 1; then \
		echo "$<: the list of driver types in remoteDispatchConnectOpen is not as expected" >&2; exit 1; fi && \
	mv $@.tmp $@
CLEANFILES += $(VIRTVIREOD_OBJECTS) driver/daemon/remote_daemon_dispatch.c

# Where libvirt's own files are read from was fixed when libvirt was built: not this prefix.
DRIVER_EDIT = sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|/etc|g' -e 's|@runstatedir[@]|/run|g' \
	-e $(if $(LIBVIRT_MODULE_ENVIRONMENT),'s|@module_environment[@]|$(LIBVIRT_MODULE_ENVIRONMENT)|','/@module_environment[@]/d') \
	-e 's|@name[@]|Virtualization vireo|' -e 's|@service[@]|virtvireod|' -e 's|@sockprefix[@]|virtvireod|' \
	-e 's|@mode[@]|0666|' -e '/^@deps[@]/d' -e 's|@DAEMON_NAME[@]|virtvireod|g' \
	-e 's|@DAEMON_NAME_UC[@]|Virtvireod|g' -e 's|@default_auth[@]|polkit|g' -e '/@CUT_ENABLE_IP[@]/,/@END[@]/d'

systemdunitdir = $(SYSTEMD_UNIT_DIR)
nodist_systemdunit_DATA = driver/virtvireod.service driver/virtvireod.socket driver/virtvireod-ro.socket \
	driver/virtvireod-admin.socket
systemduserunitdir = $(SYSTEMD_USER_UNIT_DIR)
nodist_systemduserunit_DATA = driver/session/virtvireod.service driver/session/virtvireod.socket
tmpfilesdir = $(TMPFILES_DIR)
dist_tmpfiles_DATA = driver/vireo-libvirt-sockets.conf
sysusersdir = $(prefix)/lib/sysusers.d
dist_sysusers_DATA = driver/vireo-user.conf
libvirtconfdir = $(sysconfdir)/libvirt
nodist_libvirtconf_DATA = driver/virtvireod.conf
dist_libvirtconf_DATA = driver/vireo.conf
# A password may come into it.
install-data-hook:
	chmod 0600 $(DESTDIR)$(libvirtconfdir)/vireo.conf
logrotatedir = $(sysconfdir)/logrotate.d
dist_logrotate_DATA = driver/libvirtd.vireo
schemadir = $(datadir)/libvirt/schemas
dist_schema_DATA = schemas/vireo-domain.rng
# To be added to the local part of libvirt's template, which is the administrator's.
dist_pkgdata_DATA = driver/apparmor-libvirt-qemu
dist_man_MANS += driver/virtvireod.8
augeasdir = $(datadir)/augeas/lenses
nodist_augeas_DATA = driver/virtvireod.aug
dist_augeas_DATA = driver/libvirtd_vireo.aug
DRIVER_GENERATED = $(nodist_systemdunit_DATA) $(nodist_systemduserunit_DATA) $(nodist_libvirtconf_DATA) \
	$(nodist_augeas_DATA)
CLEANFILES += $(DRIVER_GENERATED)

driver/virtvireod.service: driver/virtvireod.service.in config.status
	$(AM_V_GEN)$(MKDIR_P) driver && $(DRIVER_EDIT) $< > $@
driver/session/virtvireod.service: driver/virtvireod-session.service.in config.status
	$(AM_V_GEN)$(MKDIR_P) driver/session && $(DRIVER_EDIT) $< > $@
driver/session/virtvireod.socket: driver/virtvireod-session.socket.in config.status
	$(AM_V_GEN)$(MKDIR_P) driver/session && $(DRIVER_EDIT) $< > $@
driver/virtvireod.socket: $(LIBVIRT_SOURCE)/src/remote/libvirtd.socket.in config.status
	$(AM_V_GEN)$(MKDIR_P) driver && $(DRIVER_EDIT) $< > $@
driver/virtvireod-%.socket: $(LIBVIRT_SOURCE)/src/remote/libvirtd-%.socket.in config.status
	$(AM_V_GEN)$(MKDIR_P) driver && $(DRIVER_EDIT) $< > $@
driver/virtvireod.conf: $(LIBVIRT_SOURCE)/src/remote/libvirtd.conf.in config.status
	$(AM_V_GEN)$(MKDIR_P) driver && $(DRIVER_EDIT) $< > $@
driver/virtvireod.aug: $(LIBVIRT_SOURCE)/src/remote/libvirtd.aug.in config.status
	$(AM_V_GEN)$(MKDIR_P) driver && $(DRIVER_EDIT) $< > $@
endif
