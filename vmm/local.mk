# The monitor. libvmm.a is everything but main(), so that tests and fuzzers link the same code.
VMM_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(JSON_CFLAGS) $(URING_CFLAGS)
VMM_LIBS = libqmp.la $(GLIB_LIBS) $(JSON_LIBS) $(URING_LIBS)

noinst_LIBRARIES += libvmm.a
libvmm_a_CFLAGS = $(VMM_CFLAGS)
libvmm_a_SOURCES =

# base
libvmm_a_SOURCES += \
	vmm/base/error.c vmm/base/error.h \
	vmm/base/fd.c vmm/base/fd.h \
	vmm/base/io_loop.c vmm/base/io_loop.h vmm/base/io_loop_internal.h \
	vmm/base/io_emulation.c vmm/base/io_emulation.h \
	vmm/base/io_ring.c vmm/base/io_ring.h \
	vmm/base/io_buffers.c vmm/base/io_file.c vmm/base/io_timer.c vmm/base/io_watch.c \
	vmm/base/io_workers.c vmm/base/io_workers.h \
	vmm/base/iov.c vmm/base/iov.h \
	vmm/base/json.h \
	vmm/base/lazy_memory.c vmm/base/lazy_memory.h \
	vmm/base/log.c vmm/base/log.h \
	vmm/base/process.c vmm/base/process.h \
	vmm/base/rcu.c vmm/base/rcu.h \
	vmm/base/sandbox.c vmm/base/sandbox.h \
	vmm/base/socket.c vmm/base/socket.h \
	vmm/base/text_lines.c vmm/base/text_lines.h \
	vmm/base/trace.h

# The system call filters are compiled by a program that runs during the build.
noinst_PROGRAMS += sandbox-gen
sandbox_gen_SOURCES = vmm/base/sandbox_gen.c
sandbox_gen_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
sandbox_gen_LDADD = $(SECCOMP_LIBS)
sandbox-filters.h: sandbox-gen$(EXEEXT)
	$(AM_V_GEN)./sandbox-gen$(EXEEXT) > $@.tmp && mv $@.tmp $@
vmm/base/libvmm_a-sandbox.$(OBJEXT): sandbox-filters.h
BUILT_SOURCES += sandbox-filters.h
CLEANFILES += sandbox-filters.h sandbox-filters.h.tmp

# config
libvmm_a_SOURCES += \
	vmm/config/options.c vmm/config/options.h \
	vmm/config/property.c vmm/config/property.h \
	vmm/config/smbios_config.c vmm/config/smbios_config.h \
	vmm/config/vm_config.c vmm/config/vm_config.h vmm/config/vm_config_internal.h \
	vmm/config/vm_config_chardev.c vmm/config/vm_config_cpu.c \
	vmm/config/vm_config_machine.c \
	vmm/config/numa_config.c vmm/config/numa_config.h

# kvm
libvmm_a_SOURCES += \
	vmm/kvm/kvm.c vmm/kvm/kvm.h vmm/kvm/kvm_internal.h \
	vmm/kvm/kvm_device_memory.c \
	vmm/kvm/kvm_interrupts.c \
	vmm/kvm/kvm_memory.c \
	vmm/kvm/kvm_rom.c \
	vmm/kvm/kvm_stats.c vmm/kvm/kvm_stats.h \
	vmm/kvm/kvm_vcpu.c vmm/kvm/kvm_vcpu.h

# memory
libvmm_a_SOURCES += \
	vmm/memory/address_space.c vmm/memory/address_space.h \
	vmm/memory/dirty_log.c vmm/memory/dirty_log.h \
	vmm/memory/free_pages.c vmm/memory/free_pages.h \
	vmm/memory/guest_memory.c vmm/memory/guest_memory.h vmm/memory/guest_memory_internal.h \
	vmm/memory/memory_backend.c vmm/memory/memory_backend.h \
	vmm/memory/page_sample.c vmm/memory/page_sample.h

# x86
libvmm_a_SOURCES += \
	vmm/x86/acpi.c vmm/x86/acpi.h vmm/x86/acpi_layout.h vmm/x86/acpi_tables.h \
	vmm/x86/acpi_numa.c vmm/x86/acpi_numa.h \
	vmm/x86/acpi_loader.c vmm/x86/acpi_loader.h \
	vmm/x86/boot.c vmm/x86/boot.h vmm/x86/boot_internal.h \
	vmm/x86/boot_elf.c vmm/x86/boot_linux.c vmm/x86/boot_multiboot.c vmm/x86/boot_pvh.c \
	vmm/x86/cpu_features.c vmm/x86/cpu_features.h \
	vmm/x86/cpu_models.c vmm/x86/cpu_models.h \
	vmm/x86/hyperv.c vmm/x86/hyperv.h \
	vmm/x86/cpuid.c vmm/x86/cpuid.h \
	vmm/x86/memory_map.c vmm/x86/memory_map.h \
	vmm/x86/smbios.c vmm/x86/smbios.h
nodist_libvmm_a_SOURCES = vmm/x86/dsdt.hex
BUILT_SOURCES += vmm/x86/dsdt.hex
CLEANFILES += vmm/x86/dsdt.hex vmm/x86/dsdt.aml vmm/x86/dsdt.log
EXTRA_DIST += vmm/x86/acpi/dsdt.asl

vmm/x86/dsdt.hex: $(srcdir)/vmm/x86/acpi/dsdt.asl $(srcdir)/vmm/x86/acpi_layout.h
	$(AM_V_GEN)$(MKDIR_P) vmm/x86 && \
	$(IASL) -we -vs -I $(srcdir)/vmm/x86 -p vmm/x86/dsdt -tc $(srcdir)/vmm/x86/acpi/dsdt.asl \
		>vmm/x86/dsdt.log || { cat vmm/x86/dsdt.log; rm -f $@; exit 1; }

# Places for vCPUs that come and go: as many as are needed, rounded up.
CPUS_HEX = vmm/x86/cpus16.hex vmm/x86/cpus64.hex vmm/x86/cpus255.hex
nodist_libvmm_a_SOURCES += $(CPUS_HEX)
BUILT_SOURCES += $(CPUS_HEX)
CLEANFILES += $(CPUS_HEX) vmm/x86/cpus16.* vmm/x86/cpus64.* vmm/x86/cpus255.*
EXTRA_DIST += vmm/x86/acpi/cpus-gen

$(CPUS_HEX): $(srcdir)/vmm/x86/acpi/cpus-gen $(srcdir)/vmm/x86/acpi_layout.h
	$(AM_V_GEN)$(MKDIR_P) vmm/x86 && name=$$(basename $@ .hex) && \
	$(PYTHON) $(srcdir)/vmm/x86/acpi/cpus-gen $${name#cpus} >vmm/x86/$$name.asl && \
	$(IASL) -we -vs -I $(srcdir)/vmm/x86 -p vmm/x86/$$name -tc vmm/x86/$$name.asl \
		>vmm/x86/$$name.log || { cat vmm/x86/$$name.log; rm -f $@; exit 1; }

nodist_libvmm_a_SOURCES += vmm/x86/cpu-features.inc vmm/x86/cpu-models.inc
BUILT_SOURCES += vmm/x86/cpu-features.inc vmm/x86/cpu-models.inc
CLEANFILES += vmm/x86/cpu-features.inc vmm/x86/cpu-models.inc
EXTRA_DIST += vmm/x86/cpu-features-gen

vmm/x86/cpu-features.inc: $(srcdir)/vmm/x86/cpu-features-gen $(CPU_MAP)
	$(AM_V_GEN)$(MKDIR_P) vmm/x86 && \
	$(PYTHON) $(srcdir)/vmm/x86/cpu-features-gen features $(CPU_MAP) >$@ || { rm -f $@; exit 1; }

vmm/x86/cpu-models.inc: $(srcdir)/vmm/x86/cpu-features-gen $(CPU_MAP)
	$(AM_V_GEN)$(MKDIR_P) vmm/x86 && \
	$(PYTHON) $(srcdir)/vmm/x86/cpu-features-gen models $(CPU_MAP) >$@ || { rm -f $@; exit 1; }

# block
libvmm_a_SOURCES += \
	vmm/block/block.h vmm/block/block_bottom.h vmm/block/block_internal.h \
	vmm/block/block_error.c vmm/block/block_error.h \
	vmm/block/block_file.c vmm/block/block_file.h \
	vmm/block/block_image.c vmm/block/block_image.h \
	vmm/block/block_io.c \
	vmm/block/block_nodes.c \
	vmm/block/block_port.c vmm/block/block_request.c vmm/block/block_split.c \
	vmm/block/block_succession.c vmm/block/block_throttle.c \
	vmm/block/block_vhost.c vmm/block/block_vhost.h vmm/block/block_vhost_internal.h \
	vmm/block/block_vhost_area.c vmm/block/block_vhost_config.c \
	vmm/block/block_vhost_log.c vmm/block/block_vhost_log.h vmm/block/block_vhost_port.c \
	vmm/block/block_vhost_ring.c vmm/block/block_vhost_ring.h vmm/block/block_vhost_step.c \
	vmm/block/virtio_blk_layout.h \
	vmm/block/throttle.c vmm/block/throttle.h

# net
libvmm_a_SOURCES += \
	vmm/net/net.c vmm/net/net.h vmm/net/net_internal.h \
	vmm/net/net_framing.c vmm/net/net_framing.h \
	vmm/net/net_stream.c \
	vmm/net/net_tap.c \
	vmm/net/net_vhost_user.c

# chardev
libvmm_a_SOURCES += \
	vmm/chardev/chardev.c vmm/chardev/chardev.h vmm/chardev/chardev_internal.h \
	vmm/chardev/chardev_config.c vmm/chardev/chardev_config.h \
	vmm/chardev/chardev_file.c \
	vmm/chardev/chardev_null.c \
	vmm/chardev/chardev_pty.c \
	vmm/chardev/chardev_ringbuf.c \
	vmm/chardev/chardev_socket.c \
	vmm/chardev/chardev_stdio.c \
	vmm/chardev/chardev_vdagent.c \
	vmm/chardev/clipboard.c vmm/chardev/clipboard.h \
	vmm/chardev/rng_backend.c vmm/chardev/rng_backend.h \
	vmm/chardev/vdagent.c vmm/chardev/vdagent.h

# TPMs
libvmm_a_SOURCES += \
	vmm/tpm/swtpm_message.c vmm/tpm/swtpm_message.h \
	vmm/tpm/tpm.c vmm/tpm/tpm.h vmm/tpm/tpm_internal.h \
	vmm/tpm/tpm_emulator.c

# device model
libvmm_a_SOURCES += \
	vmm/device/device.c vmm/device/device.h \
	vmm/device/device_query.c \
	vmm/device/device_tree.c \
	vmm/device/interrupt.h \
	vmm/device/services.h \
	vmm/device/state.c vmm/device/state.h

# pci
libvmm_a_SOURCES += \
	vmm/pci/host_bridge.c vmm/pci/host_bridge.h \
	vmm/pci/pci.h \
	vmm/pci/pci_assign.c vmm/pci/pci_assign.h \
	vmm/pci/pci_bus.c vmm/pci/pci_bus.h \
	vmm/pci/pci_device.c \
	vmm/pci/pci_rom.c vmm/pci/pci_rom.h \
	vmm/pci/pci_msix.c \
	vmm/pci/pci_private.h \
	vmm/pci/pci_registers.h \
	vmm/pci/root_port.c vmm/pci/root_port.h

# chipset
libvmm_a_SOURCES += \
	vmm/chipset/acpi_pm.c vmm/chipset/cpu_hotplug.c vmm/chipset/processor.c vmm/chipset/chipset.h \
	vmm/chipset/debug_console.c \
	vmm/chipset/debug_exit.c \
	vmm/chipset/device_timer.c vmm/chipset/device_timer.h \
	vmm/chipset/flash.c \
	vmm/chipset/fw_cfg.c vmm/chipset/fw_cfg.h \
	vmm/chipset/i6300esb.c \
	vmm/chipset/i8042.c \
	vmm/chipset/isa_bus.c \
	vmm/chipset/lpc_bridge.c \
	vmm/chipset/port92.c \
	vmm/chipset/ps2.c vmm/chipset/ps2.h \
	vmm/chipset/pvpanic.c \
	vmm/chipset/tpm_crb.c \
	vmm/chipset/vmgenid.c \
	vmm/chipset/rom.c \
	vmm/chipset/rtc_cmos.c \
	vmm/chipset/serial_16550.c

# display
libvmm_a_SOURCES += \
	vmm/display/bochs_display.c vmm/display/bochs_display.h \
	vmm/display/display.c vmm/display/display.h \
	vmm/display/display_image.c vmm/display/display_image.h \
	vmm/display/edid.c vmm/display/edid.h \
	vmm/display/input.c vmm/display/input.h \
	vmm/display/input_keys.c vmm/display/input_keys.h \
	vmm/display/vnc.c vmm/display/vnc.h vmm/display/vnc_internal.h \
	vmm/display/vnc_connection.c \
	vmm/display/vnc_handshake.c vmm/display/vnc_handshake.h \
	vmm/display/vnc_module.h \
	vmm/display/vnc_options.c
libvmm_a_CPPFLAGS = $(AM_CPPFLAGS) -DVIREO_MODULE_DIR='"$(pkglibdir)"'

# What speaks VNC, loaded where it is needed: the monitor links none of it.
pkglib_LTLIBRARIES = vireo-vnc.la
vireo_vnc_la_SOURCES = \
	vmm/base/text_lines.c vmm/base/text_lines.h \
	vmm/display/vnc_credentials.c vmm/display/vnc_credentials.h \
	vmm/display/vnc_cursor.c vmm/display/vnc_cursor.h \
	vmm/display/vnc_cut_text.c vmm/display/vnc_cut_text.h \
	vmm/display/vnc_handshake.c vmm/display/vnc_handshake.h \
	vmm/display/vnc_module.c vmm/display/vnc_module.h \
	vmm/display/vnc_tls.c vmm/display/vnc_tls.h
vireo_vnc_la_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(JSON_CFLAGS) $(VNC_CFLAGS)
vireo_vnc_la_LIBADD = $(GLIB_LIBS) $(VNC_LIBS)
vireo_vnc_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -export-symbols-regex '^vireo_vnc_module$$'

# vhost
libvmm_a_SOURCES += \
	vmm/vhost/vhost.h vmm/vhost/vhost_memory.c \
	vmm/vhost/vhost_kernel.c vmm/vhost/vhost_kernel.h \
	vmm/vhost/vhost_user.c vmm/vhost/vhost_user.h vmm/vhost/vhost_user_internal.h \
	vmm/vhost/vhost_user_channel.c \
	vmm/vhost/vhost_user_message.c vmm/vhost/vhost_user_message.h

# scsi
libvmm_a_SOURCES += \
	vmm/scsi/scsi.h vmm/scsi/scsi_layout.h \
	vmm/scsi/scsi_bus.c \
	vmm/scsi/scsi_cd_commands.c \
	vmm/scsi/scsi_command.c \
	vmm/scsi/scsi_disk.c \
	vmm/scsi/scsi_disk_commands.c \
	vmm/scsi/scsi_media.c

# virtio
libvmm_a_SOURCES += \
	vmm/usb/usb.c vmm/usb/usb.h \
	vmm/usb/usb_hid.c vmm/usb/usb_hid.h \
	vmm/usb/xhci.c vmm/usb/xhci.h vmm/usb/xhci_internal.h vmm/usb/xhci_registers.h \
	vmm/usb/xhci_command.c \
	vmm/usb/xhci_ring.c vmm/usb/xhci_state.c \
	vmm/usb/xhci_transfer.c \
	vmm/virtio/vhost_user_blk.c vmm/virtio/vhost_user_blk.h \
	vmm/virtio/vhost_user_device.c vmm/virtio/vhost_user_device.h \
	vmm/virtio/vhost_user_fs.c vmm/virtio/vhost_user_fs.h \
	vmm/virtio/vhost_vsock.c vmm/virtio/vhost_vsock.h \
	vmm/virtio/virtio_vsock.c vmm/virtio/virtio_vsock.h \
	vmm/virtio/virtio_vsock_connection.c vmm/virtio/virtio_vsock_internal.h \
	vmm/virtio/virtio_vhost.c vmm/virtio/virtio_vhost.h \
	vmm/virtio/virtio_net_vhost.c \
	vmm/virtio/virtio_net_vhost_user.c \
	vmm/virtio/virtio_balloon.c vmm/virtio/virtio_balloon.h \
	vmm/virtio/virtio_balloon_hints.c vmm/virtio/virtio_balloon_hints.h \
	vmm/virtio/virtio_balloon_parts.c vmm/virtio/virtio_balloon_parts.h \
	vmm/virtio/virtio_blk.c vmm/virtio/virtio_blk.h \
	vmm/virtio/virtio_blk_data.c vmm/virtio/virtio_blk_internal.h \
	vmm/virtio/virtio_console.c vmm/virtio/virtio_console.h \
	vmm/virtio/virtio_console_port.c vmm/virtio/virtio_console_port.h \
	vmm/virtio/interrupt_moderation.c vmm/virtio/interrupt_moderation.h \
	vmm/virtio/virtio_device.c vmm/virtio/virtio_device.h \
	vmm/virtio/virtio_gpu.c vmm/virtio/virtio_gpu.h \
	vmm/virtio/virtio_gpu_resource.c vmm/virtio/virtio_gpu_resource.h \
	vmm/virtio/virtio_input.c vmm/virtio/virtio_input.h \
	vmm/virtio/virtio_net.c vmm/virtio/virtio_net.h vmm/virtio/virtio_net_internal.h \
	vmm/virtio/virtio_net_data.c vmm/virtio/virtio_net_control.c \
	vmm/virtio/virtio_net_filter.c vmm/virtio/virtio_net_filter.h \
	vmm/virtio/virtio_net_rss.c vmm/virtio/virtio_net_rss.h \
	vmm/virtio/virtio_pci.c vmm/virtio/virtio_pci.h \
	vmm/virtio/virtio_mem.c vmm/virtio/virtio_mem.h \
	vmm/virtio/virtio_queue.c vmm/virtio/virtio_shares.c \
	vmm/virtio/virtio_rng.c vmm/virtio/virtio_rng.h \
	vmm/virtio/virtio_scsi.c vmm/virtio/virtio_scsi.h \
	vmm/virtio/virtio_scsi_data.c vmm/virtio/virtio_scsi_internal.h \
	vmm/virtio/virtqueue.c vmm/virtio/virtqueue.h \
	vmm/virtio/virtqueue_packed.c \
	vmm/virtio/virtqueue_ring.h \
	vmm/virtio/virtqueue_split.c

# machine
libvmm_a_SOURCES += \
	vmm/machine/announcements.c vmm/machine/announcements.h \
	vmm/machine/device_types.c vmm/machine/device_types.h \
	vmm/machine/dirty_rate.c vmm/machine/dirty_rate.h \
	vmm/machine/machine.c vmm/machine/machine.h vmm/machine/machine_internal.h \
	vmm/machine/machine_board.c vmm/machine/machine_cpu_model.c \
	vmm/machine/machine_boot_order.c vmm/machine/machine_boot_order.h \
	vmm/machine/machine_firmware.c \
	vmm/machine/machine_memory.c vmm/machine/machine_memory_device.c \
	vmm/machine/machine_objects.c vmm/machine/machine_objects.h \
	vmm/machine/quiesce.c \
	vmm/machine/run_state.c \
	vmm/machine/vcpu.c

# monitor
libvmm_a_SOURCES += \
	vmm/monitor/monitor.c vmm/monitor/monitor.h \
	vmm/monitor/monitor_block.c \
	vmm/monitor/monitor_block_limits.c vmm/monitor/monitor_block_limits.h \
	vmm/monitor/monitor_block_media.c \
	vmm/monitor/monitor_char.c vmm/monitor/monitor_cpu.c \
	vmm/monitor/monitor_control.c \
	vmm/monitor/monitor_machine.c \
	vmm/monitor/monitor_migration.c \
	vmm/monitor/monitor_misc.c \
	vmm/monitor/monitor_net.c \
	vmm/monitor/monitor_pci.c \
	vmm/monitor/monitor_qom.c \
	vmm/monitor/monitor_run_state.c \
	vmm/monitor/monitor_queue_stats.c vmm/monitor/monitor_queue_stats.h \
	vmm/monitor/monitor_stats.c \
	vmm/monitor/monitor_tpm.c \
	vmm/monitor/monitor_ui.c \
	vmm/monitor/monitor_vnc.c
nodist_libvmm_a_SOURCES += $(QAPI_COMMANDS)

bin_PROGRAMS += vireo
vireo_CFLAGS = $(VMM_CFLAGS)
vireo_SOURCES = vmm/main.c
vireo_LDADD = libvmm.a $(VMM_LIBS)
dist_man_MANS += vmm/vireo.1
