# Tests. A program added to unit_tests or device_tests is built against libvmm.a and run by make check.
# A script is a line in unit_scripts, a program that a script starts one in unit_programs. TEST_CFLAGS and TEST_LIBS are what a
# test of the monitor's code needs; a device test links FAKE_MACHINE before them.
unit_tests =
unit_scripts =
unit_programs =
system_programs =
device_tests =
fuzz_tests =

TEST_CFLAGS = $(VMM_CFLAGS)
TEST_LIBS = libvmm.a $(VMM_LIBS)
FAKE_MACHINE = tests/device/libfakemachine.a

check_LIBRARIES = $(FAKE_MACHINE)
tests_device_libfakemachine_a_CFLAGS = $(TEST_CFLAGS)
tests_device_libfakemachine_a_SOURCES = \
	tests/device/fake_machine.c tests/device/fake_machine.h \
	tests/device/write_watch.c tests/device/write_watch.h

check_PROGRAMS += $(unit_tests) $(unit_programs) $(device_tests) $(system_programs)
TESTS += $(unit_tests) $(device_tests) $(unit_scripts)
EXTRA_DIST += $(unit_scripts)

# Rules of the whole tree, and the manual
unit_scripts += tests/unit/test-dsdt tests/unit/test-layers tests/unit/test-man tests/unit/test-probes

# Fuzzers exist only with --enable-fuzzers, by make fuzzers. Like a test, one is a line in fuzz_tests and its three
# variables; LDFLAGS are FUZZ_LDFLAGS.
FUZZ_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
EXTRA_PROGRAMS = $(fuzz_tests)

# All of them and nothing else, in a tree configured with --enable-fuzzers
fuzzers: $(BUILT_SOURCES)
	$(MAKE) $(AM_MAKEFLAGS) $(fuzz_tests)
.PHONY: fuzzers

fuzz_tests += tests/fuzz/fuzz-options tests/fuzz/fuzz-state tests/fuzz/fuzz-pci
tests_fuzz_fuzz_options_SOURCES = tests/fuzz/fuzz-options.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_options_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_options_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_options_LDADD = $(TEST_LIBS)
tests_fuzz_fuzz_state_SOURCES = tests/fuzz/fuzz-state.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_state_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_state_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_state_LDADD = $(TEST_LIBS)
tests_fuzz_fuzz_pci_SOURCES = tests/fuzz/fuzz-pci.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_pci_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_pci_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_pci_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
fuzz_tests += tests/fuzz/fuzz-scsi
tests_fuzz_fuzz_scsi_SOURCES = tests/fuzz/fuzz-scsi.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_scsi_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_scsi_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_scsi_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)

# Threads and host back ends
unit_tests += tests/unit/test-io-buffers
tests_unit_test_io_buffers_SOURCES = tests/unit/test-io-buffers.c
tests_unit_test_io_buffers_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_io_buffers_LDADD = $(TEST_LIBS)

unit_tests += tests/unit/test-io-loop
tests_unit_test_io_loop_SOURCES = tests/unit/test-io-loop.c
tests_unit_test_io_loop_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_io_loop_LDADD = $(TEST_LIBS)

# The same on a host that refuses io_uring.
unit_tests += tests/unit/test-io-loop-emulated
tests_unit_test_io_loop_emulated_SOURCES = tests/unit/test-io-loop.c tests/unit/no_io_uring.c
tests_unit_test_io_loop_emulated_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_io_loop_emulated_LDADD = $(TEST_LIBS)

unit_tests += tests/unit/test-chardev
tests_unit_test_chardev_SOURCES = tests/unit/test-chardev.c
tests_unit_test_chardev_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_chardev_LDADD = $(TEST_LIBS)

unit_tests += tests/unit/test-vdagent
tests_unit_test_vdagent_SOURCES = tests/unit/test-vdagent.c vmm/display/vnc_cut_text.c
tests_unit_test_vdagent_CFLAGS = $(TEST_CFLAGS) $(VNC_CFLAGS)
tests_unit_test_vdagent_LDADD = $(TEST_LIBS) $(VNC_LIBS)
fuzz_tests += tests/fuzz/fuzz-vdagent
tests_fuzz_fuzz_vdagent_SOURCES = tests/fuzz/fuzz-vdagent.c tests/fuzz/fuzz.h vmm/display/vnc_cut_text.c
tests_fuzz_fuzz_vdagent_CFLAGS = $(TEST_CFLAGS) $(VNC_CFLAGS)
tests_fuzz_fuzz_vdagent_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_vdagent_LDADD = $(TEST_LIBS) $(VNC_LIBS)

BLOCK_FIXTURE = tests/unit/block_fixture.c tests/unit/block_fixture.h
unit_tests += tests/unit/test-block-open
tests_unit_test_block_open_SOURCES = tests/unit/test-block-open.c $(BLOCK_FIXTURE)
tests_unit_test_block_open_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_block_open_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-block
tests_unit_test_block_SOURCES = tests/unit/test-block.c $(BLOCK_FIXTURE)
tests_unit_test_block_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_block_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-block-emulated
tests_unit_test_block_emulated_SOURCES = tests/unit/test-block.c tests/unit/no_io_uring.c \
	$(BLOCK_FIXTURE)
tests_unit_test_block_emulated_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_block_emulated_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-block-port
tests_unit_test_block_port_SOURCES = tests/unit/test-block-port.c
tests_unit_test_block_port_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_block_port_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-throttle
tests_unit_test_throttle_SOURCES = tests/unit/test-throttle.c
tests_unit_test_throttle_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_throttle_LDADD = $(TEST_LIBS)

NETDEV_FIXTURE = tests/unit/netdev_fixture.c tests/unit/netdev_fixture.h
unit_tests += tests/unit/test-netdev
tests_unit_test_netdev_SOURCES = tests/unit/test-netdev.c $(NETDEV_FIXTURE)
tests_unit_test_netdev_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_netdev_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-netdev-tap
tests_unit_test_netdev_tap_SOURCES = tests/unit/test-netdev-tap.c $(NETDEV_FIXTURE)
tests_unit_test_netdev_tap_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_netdev_tap_LDADD = $(TEST_LIBS)

fuzz_tests += tests/fuzz/fuzz-net-stream
tests_fuzz_fuzz_net_stream_SOURCES = tests/fuzz/fuzz-net-stream.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_net_stream_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_net_stream_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_net_stream_LDADD = $(TEST_LIBS)

unit_tests += tests/unit/test-vnc-handshake
tests_unit_test_vnc_handshake_SOURCES = tests/unit/test-vnc-handshake.c
tests_unit_test_vnc_handshake_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_vnc_handshake_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-vnc
tests_unit_test_vnc_SOURCES = tests/unit/test-vnc.c
tests_unit_test_vnc_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_vnc_LDADD = $(TEST_LIBS)
EXTRA_tests_unit_test_vnc_DEPENDENCIES = vireo-vnc.la
unit_tests += tests/unit/test-vnc-cursor
tests_unit_test_vnc_cursor_SOURCES = tests/unit/test-vnc-cursor.c
tests_unit_test_vnc_cursor_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_vnc_cursor_LDADD = $(TEST_LIBS)
EXTRA_tests_unit_test_vnc_cursor_DEPENDENCIES = vireo-vnc.la
fuzz_tests += tests/fuzz/fuzz-vnc-handshake
tests_fuzz_fuzz_vnc_handshake_SOURCES = tests/fuzz/fuzz-vnc-handshake.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_vnc_handshake_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_vnc_handshake_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_vnc_handshake_LDADD = $(TEST_LIBS)

unit_tests += tests/unit/test-rng
tests_unit_test_rng_SOURCES = tests/unit/test-rng.c
tests_unit_test_rng_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_rng_LDADD = $(TEST_LIBS)

unit_tests += tests/unit/test-sandbox
tests_unit_test_sandbox_SOURCES = tests/unit/test-sandbox.c
tests_unit_test_sandbox_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_sandbox_LDADD = $(TEST_LIBS)

# Memory
unit_tests += tests/unit/test-lazy-memory tests/unit/test-rcu tests/unit/test-guest-memory \
	tests/unit/test-address-space tests/unit/test-dirty-log tests/unit/test-free-pages
tests_unit_test_dirty_log_SOURCES = tests/unit/test-dirty-log.c
tests_unit_test_dirty_log_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_dirty_log_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-fd
tests_unit_test_fd_SOURCES = tests/unit/test-fd.c
tests_unit_test_fd_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_fd_LDADD = $(TEST_LIBS)
tests_unit_test_free_pages_SOURCES = tests/unit/test-free-pages.c
tests_unit_test_free_pages_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_free_pages_LDADD = $(TEST_LIBS)
tests_unit_test_rcu_SOURCES = tests/unit/test-rcu.c
tests_unit_test_rcu_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_rcu_LDADD = $(TEST_LIBS)
tests_unit_test_lazy_memory_SOURCES = tests/unit/test-lazy-memory.c
tests_unit_test_lazy_memory_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_lazy_memory_LDADD = $(TEST_LIBS)
tests_unit_test_guest_memory_SOURCES = tests/unit/test-guest-memory.c
tests_unit_test_guest_memory_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_guest_memory_LDADD = $(TEST_LIBS)
tests_unit_test_address_space_SOURCES = tests/unit/test-address-space.c
tests_unit_test_address_space_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_address_space_LDADD = $(TEST_LIBS)

# Options and properties
unit_tests += tests/unit/test-vm-config
tests_unit_test_vm_config_SOURCES = tests/unit/test-vm-config.c
tests_unit_test_vm_config_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_vm_config_LDADD = $(TEST_LIBS)
unit_tests += tests/unit/test-options tests/unit/test-property
tests_unit_test_options_SOURCES = tests/unit/test-options.c
tests_unit_test_options_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_options_LDADD = $(TEST_LIBS)
tests_unit_test_property_SOURCES = tests/unit/test-property.c
tests_unit_test_property_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_property_LDADD = $(TEST_LIBS)
# virtio
check_LIBRARIES += tests/device/libvirtiodriver.a
tests_device_libvirtiodriver_a_CFLAGS = $(TEST_CFLAGS)
tests_device_libvirtiodriver_a_SOURCES = \
	tests/device/virtio_ring.c tests/device/virtio_ring.h
VIRTIO_DRIVER = tests/device/libvirtiodriver.a

unit_tests += tests/unit/test-virtqueue
tests_unit_test_virtqueue_SOURCES = tests/unit/test-virtqueue.c
tests_unit_test_virtqueue_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_virtqueue_LDADD = $(VIRTIO_DRIVER) $(TEST_LIBS)

unit_tests += tests/unit/test-virtqueue-packed
tests_unit_test_virtqueue_packed_SOURCES = tests/unit/test-virtqueue-packed.c
tests_unit_test_virtqueue_packed_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_virtqueue_packed_LDADD = $(VIRTIO_DRIVER) $(TEST_LIBS)

# Benchmarks that are programs: built by make check so that they stay buildable, run by hand.
bench_programs =
check_PROGRAMS += $(bench_programs)

bench_programs += tests/bench/virtqueue
tests_bench_virtqueue_SOURCES = tests/bench/virtqueue.c tests/bench/bench.c tests/bench/bench.h
tests_bench_virtqueue_CFLAGS = $(TEST_CFLAGS)
tests_bench_virtqueue_LDADD = $(VIRTIO_DRIVER) $(TEST_LIBS)

bench_programs += tests/bench/block-inprocess
tests_bench_block_inprocess_SOURCES = tests/bench/block_inprocess.c tests/bench/bench.c \
	tests/bench/bench.h
tests_bench_block_inprocess_CFLAGS = $(TEST_CFLAGS)
tests_bench_block_inprocess_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

# Saved state
unit_tests += tests/unit/test-state
tests_unit_test_state_SOURCES = tests/unit/test-state.c
tests_unit_test_state_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_state_LDADD = $(TEST_LIBS)

# CPUs
unit_tests += tests/unit/test-cpuid tests/unit/test-cpu-models
tests_unit_test_cpu_models_SOURCES = tests/unit/test-cpu-models.c
tests_unit_test_cpu_models_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_cpu_models_LDADD = $(TEST_LIBS)
tests_unit_test_cpuid_SOURCES = tests/unit/test-cpuid.c
tests_unit_test_cpuid_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_cpuid_LDADD = $(TEST_LIBS)
# The device tree
unit_tests += tests/unit/test-device-tree
tests_unit_test_device_tree_SOURCES = tests/unit/test-device-tree.c
tests_unit_test_device_tree_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_device_tree_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)

# PCI
device_tests += tests/device/test-pci tests/device/test-pci-root-port
tests_device_test_pci_SOURCES = tests/device/test-pci.c
tests_device_test_pci_CFLAGS = $(TEST_CFLAGS)
tests_device_test_pci_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)

include tests/unit/qmp.mk
include tests/x86.mk

# virtio devices
tests_device_libvirtiodriver_a_SOURCES += \
	tests/device/virtio_driver.c tests/device/virtio_driver.h

# vhost-user: a small back end, and what it serves
check_LIBRARIES += tests/vhost-user/libvhostuserback.a
tests_vhost_user_libvhostuserback_a_CFLAGS = $(TEST_CFLAGS)
tests_vhost_user_libvhostuserback_a_SOURCES = \
	tests/vhost-user/back_end.c tests/vhost-user/back_end.h \
	tests/vhost-user/back_end_disk.c tests/vhost-user/back_end_disk.h \
	tests/vhost-user/back_end_lie.c tests/vhost-user/back_end_lie.h \
	tests/vhost-user/back_end_log.c tests/vhost-user/back_end_log.h \
	tests/vhost-user/inflight.c tests/vhost-user/inflight.h
VHOST_USER_BACK_END = tests/vhost-user/libvhostuserback.a

# A front end without a guest, and what it says of Debian's back ends
unit_programs += tests/vhost-user/drive-blk
tests_vhost_user_drive_blk_SOURCES = tests/vhost-user/drive-blk.c
tests_vhost_user_drive_blk_CFLAGS = $(TEST_CFLAGS)
tests_vhost_user_drive_blk_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
unit_programs += tests/vhost-user/drive-node
tests_vhost_user_drive_node_SOURCES = tests/vhost-user/drive-node.c
tests_vhost_user_drive_node_CFLAGS = $(TEST_CFLAGS)
tests_vhost_user_drive_node_LDADD = $(TEST_LIBS)
unit_programs += tests/vhost-user/drive-net
tests_vhost_user_drive_net_SOURCES = tests/vhost-user/drive-net.c
tests_vhost_user_drive_net_CFLAGS = $(TEST_CFLAGS)
tests_vhost_user_drive_net_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
unit_scripts += tests/vhost-user/test-storage-daemon tests/vhost-user/test-dpdk

unit_tests += tests/unit/test-block-vhost
tests_unit_test_block_vhost_SOURCES = tests/unit/test-block-vhost.c
tests_unit_test_block_vhost_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_block_vhost_LDADD = $(VHOST_USER_BACK_END) $(TEST_LIBS)

unit_tests += tests/unit/test-block-vhost-emulated
tests_unit_test_block_vhost_emulated_SOURCES = tests/unit/test-block-vhost.c tests/unit/no_io_uring.c
tests_unit_test_block_vhost_emulated_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_block_vhost_emulated_LDADD = $(VHOST_USER_BACK_END) $(TEST_LIBS)

device_tests += tests/device/test-virtio-blk-vhost
tests_device_test_virtio_blk_vhost_SOURCES = tests/device/test-virtio-blk-vhost.c
tests_device_test_virtio_blk_vhost_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_blk_vhost_LDADD = $(VHOST_USER_BACK_END) $(VIRTIO_DRIVER) $(FAKE_MACHINE) \
	$(TEST_LIBS)

device_tests += tests/device/test-vhost-user-blk
tests_device_test_vhost_user_blk_SOURCES = tests/device/test-vhost-user-blk.c
tests_device_test_vhost_user_blk_CFLAGS = $(TEST_CFLAGS)
tests_device_test_vhost_user_blk_LDADD = $(VHOST_USER_BACK_END) $(VIRTIO_DRIVER) $(FAKE_MACHINE) \
	$(TEST_LIBS)

device_tests += tests/device/test-vhost-user-device
tests_device_test_vhost_user_device_SOURCES = tests/device/test-vhost-user-device.c
tests_device_test_vhost_user_device_CFLAGS = $(TEST_CFLAGS)
tests_device_test_vhost_user_device_LDADD = $(VHOST_USER_BACK_END) $(VIRTIO_DRIVER) $(FAKE_MACHINE) \
	$(TEST_LIBS)

device_tests += tests/device/test-vhost-user-net
tests_device_test_vhost_user_net_SOURCES = tests/device/test-vhost-user-net.c
tests_device_test_vhost_user_net_CFLAGS = $(TEST_CFLAGS)
tests_device_test_vhost_user_net_LDADD = $(VHOST_USER_BACK_END) $(VIRTIO_DRIVER) $(FAKE_MACHINE) \
	$(TEST_LIBS)

device_tests += tests/device/test-virtio-scsi
tests_device_test_virtio_scsi_SOURCES = tests/device/test-virtio-scsi.c
tests_device_test_virtio_scsi_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_scsi_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

BLK_FIXTURE = tests/device/virtio_blk_fixture.c tests/device/virtio_blk_fixture.h
device_tests += tests/device/test-virtio-blk
tests_device_test_virtio_blk_SOURCES = tests/device/test-virtio-blk.c $(BLK_FIXTURE)
tests_device_test_virtio_blk_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_blk_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-blk-faults
tests_device_test_virtio_blk_faults_SOURCES = tests/device/test-virtio-blk-faults.c $(BLK_FIXTURE)
tests_device_test_virtio_blk_faults_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_blk_faults_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-blk-host
tests_device_test_virtio_blk_host_SOURCES = tests/device/test-virtio-blk-host.c
tests_device_test_virtio_blk_host_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_blk_host_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-blk-locked
tests_device_test_virtio_blk_locked_SOURCES = tests/device/test-virtio-blk-locked.c
tests_device_test_virtio_blk_locked_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_blk_locked_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-blk-emulated
tests_device_test_virtio_blk_emulated_SOURCES = tests/device/test-virtio-blk.c \
	tests/unit/no_io_uring.c $(BLK_FIXTURE)
tests_device_test_virtio_blk_emulated_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_blk_emulated_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-pci
tests_device_test_virtio_pci_SOURCES = tests/device/test-virtio-pci.c $(BLK_FIXTURE)
tests_device_test_virtio_pci_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_pci_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
tests_device_test_pci_root_port_SOURCES = tests/device/test-pci-root-port.c
tests_device_test_pci_root_port_CFLAGS = $(TEST_CFLAGS)
tests_device_test_pci_root_port_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)

# What runs the layers, and the layers that are not built; one to a line, in order
dist_noinst_SCRIPTS += \
	tests/bench/datapath \
	tests/bench/scale \
	tests/bench/startup \
	tests/clients/run \
	tests/install-deps \
	tests/kvm-host/alone \
	tests/kvm-host/boot-cd \
	tests/kvm-host/boot-disk \
	tests/kvm-host/build-emulator \
	tests/kvm-host/guest-kit \
	tests/kvm-host/host-init \
	tests/kvm-host/run \
	tests/kvm-host/stock-image \
	tests/run \
	tests/system/inside \
	tests/system/main.py \
	tests/system/run
EXTRA_DIST += \
	.ci/run \
	tests/bench/guest_load.c \
	tests/bench/guests.py \
	tests/bench/host.py \
	tests/bench/report.py \
	tests/bench/results/block-inprocess.txt tests/bench/results/datapath-net.txt \
	tests/bench/results/datapath-net.notes.txt \
	tests/bench/results/datapath-block.txt \
	tests/bench/results/scale.txt \
	tests/bench/results/startup.txt \
	tests/clients/desktop.py \
	tests/clients/main.py \
	tests/clients/test_virt_install.py \
	tests/clients/test_virt_manager.py \
	tests/kvm-host/guest-init \
	tests/kvm-host/guest-rc \
	tests/kvm-host/lib.sh \
	tests/system/hosts.py \
	tests/system/lib/__init__.py \
	tests/system/lib/agent.py \
	tests/system/lib/console.py \
	tests/system/lib/daemon.py \
	tests/system/lib/failing.py \
	tests/system/lib/guest.py \
	tests/system/lib/harness.py \
	tests/system/lib/held_storage.py \
	tests/system/lib/images.py \
	tests/system/lib/monitor.py \
	tests/system/lib/servers.py \
	tests/system/lib/smbios.py \
	tests/system/lib/tiny.py \
	tests/system/test_agent.py \
	tests/system/test_apparmor.py \
	tests/system/test_bad_xml.py \
	tests/system/test_blockjob.py \
	tests/system/test_clients.py \
	tests/system/test_cpu_models.py \
	tests/system/test_crash.py \
	tests/system/test_datapath.py \
	tests/system/test_disk.py \
	tests/system/test_display.py \
	tests/system/test_firmware.py \
	tests/system/test_images.py \
	tests/system/test_lifecycle.py \
	tests/system/test_memory.py \
	tests/system/test_monitor.py \
	tests/system/test_network.py \
	tests/system/test_processors.py \
	tests/system/test_recovery.py \
	tests/system/test_scale.py \
	tests/system/test_session.py \
	tests/system/test_settings.py \
	tests/system/test_snapshot.py \
	tests/system/test_stock.py \
	tests/system/test_storage.py \
	tests/system/test_systemd.py \
	tests/system/test_threads.py \
	tests/system/test_tpm.py \
	tests/system/test_vhost.py \
	tests/system/test_vhost_node.py \
	tests/system/test_viewers.py \
	tests/system/test_virtio.py

# The built command as a whole: scripts.
cli_scripts = \
	tests/cli/test-bad-input \
	tests/cli/test-block \
	tests/cli/test-chardev \
	tests/cli/test-cpu-hotplug \
	tests/cli/test-media \
	tests/cli/test-descriptors \
	tests/cli/test-dirty-rate \
	tests/cli/test-display \
	tests/cli/test-firmware \
	tests/cli/test-internal-error \
	tests/cli/test-monitor \
	tests/cli/test-process \
	tests/cli/test-qom \
	tests/cli/test-tpm \
	tests/cli/test-vnc \
	tests/cli/test-vnc-tls \
	tests/cli/test-watchdog
TESTS += $(cli_scripts)
EXTRA_DIST += $(cli_scripts) tests/cli/vireo_cli.py tests/cli/vireo_draw.py tests/cli/vireo_pki.py tests/cli/vireo_rfb.py tests/cli/vireo_watchdog.py

# What tests/run runs of a layer: programs, which are built first, and scripts.
list-%-tests:
	@echo $($*_tests) $($*_scripts)

# What those need built beside themselves
list-%-programs:
	@echo $($*_programs)

device_tests += tests/device/test-virtio-net
NET_FIXTURE = tests/device/virtio_net_fixture.c tests/device/virtio_net_fixture.h
tests_device_test_virtio_net_SOURCES = tests/device/test-virtio-net.c $(NET_FIXTURE)
tests_device_test_virtio_net_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_net_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-net-rss
tests_device_test_virtio_net_rss_SOURCES = tests/device/test-virtio-net-rss.c $(NET_FIXTURE)
tests_device_test_virtio_net_rss_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_net_rss_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-net-vhost
tests_device_test_virtio_net_vhost_SOURCES = tests/device/test-virtio-net-vhost.c $(NET_FIXTURE)
tests_device_test_virtio_net_vhost_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_net_vhost_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
# Needs /dev/vhost-net: tests/system has it run in the emulated host.
system_programs += tests/device/test-virtio-net-kernel
tests_device_test_virtio_net_kernel_SOURCES = tests/device/test-virtio-net-kernel.c
tests_device_test_virtio_net_kernel_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_net_kernel_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-virtio-net-control
tests_device_test_virtio_net_control_SOURCES = tests/device/test-virtio-net-control.c $(NET_FIXTURE)
tests_device_test_virtio_net_control_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_net_control_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

device_tests += tests/device/test-virtio-vsock
tests_device_test_virtio_vsock_SOURCES = tests/device/test-virtio-vsock.c
tests_device_test_virtio_vsock_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_vsock_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

device_tests += tests/device/test-virtio-mem
tests_device_test_virtio_mem_SOURCES = tests/device/test-virtio-mem.c
tests_device_test_virtio_mem_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_mem_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

device_tests += tests/device/test-virtio-rng
tests_device_test_virtio_rng_SOURCES = tests/device/test-virtio-rng.c
tests_device_test_virtio_rng_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_rng_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

device_tests += tests/device/test-virtio-console
tests_device_test_virtio_console_SOURCES = tests/device/test-virtio-console.c
tests_device_test_virtio_console_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_console_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
include tests/driver.mk

device_tests += tests/device/test-virtio-balloon
tests_device_test_virtio_balloon_SOURCES = tests/device/test-virtio-balloon.c
tests_device_test_virtio_balloon_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_balloon_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

fuzz_tests += tests/fuzz/fuzz-block-vhost
tests_fuzz_fuzz_block_vhost_SOURCES = tests/fuzz/fuzz-block-vhost.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_block_vhost_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_block_vhost_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_block_vhost_LDADD = $(TEST_LIBS)
fuzz_tests += tests/fuzz/fuzz-vhost-user
tests_fuzz_fuzz_vhost_user_SOURCES = tests/fuzz/fuzz-vhost-user.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_vhost_user_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_vhost_user_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_vhost_user_LDADD = $(TEST_LIBS)
fuzz_tests += tests/fuzz/fuzz-vsock
tests_fuzz_fuzz_vsock_SOURCES = tests/fuzz/fuzz-vsock.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_vsock_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_vsock_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_vsock_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
fuzz_tests += tests/fuzz/fuzz-virtqueue tests/fuzz/fuzz-virtio
tests_fuzz_fuzz_virtqueue_SOURCES = tests/fuzz/fuzz-virtqueue.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_virtqueue_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_virtqueue_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_virtqueue_LDADD = $(TEST_LIBS)
tests_fuzz_fuzz_virtio_SOURCES = tests/fuzz/fuzz-virtio.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_virtio_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_virtio_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_virtio_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
# Freestanding guests on /dev/kvm: assembled for the guest, not for this host.
GUESTS = hotplug_cpu idle long_mode power_off protected_mode real_mode reset_cf9 reset_i8042 reset_port92 \
	reset_triple_fault smp unrunnable virtio_rng
GUEST_ELFS = $(GUESTS:%=tests/guest/%.elf)
EXTRA_DIST += $(GUESTS:%=tests/guest/%.S) tests/guest/guest.h tests/guest/guest.ld
check_DATA = $(GUEST_ELFS)
CLEANFILES += $(GUEST_ELFS)
guest_scripts = tests/guest/test-guest tests/guest/test-probe-hits
EXTRA_DIST += $(guest_scripts)
TESTS += $(guest_scripts)

$(guest_scripts): $(GUEST_ELFS)

$(GUEST_ELFS): tests/guest/%.elf: $(srcdir)/tests/guest/%.S $(srcdir)/tests/guest/guest.h \
		$(srcdir)/tests/guest/guest.ld
	$(AM_V_GEN)$(MKDIR_P) tests/guest && \
	$(CC) -m32 -nostdlib -static -no-pie -Wl,-T,$(srcdir)/tests/guest/guest.ld \
		-Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
		-o $@ $<

# Screens, keyboards and pointers
device_tests += tests/device/test-display tests/device/test-input tests/device/test-virtio-gpu
tests_device_test_virtio_gpu_SOURCES = tests/device/test-virtio-gpu.c
tests_device_test_virtio_gpu_CFLAGS = $(TEST_CFLAGS)
tests_device_test_virtio_gpu_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)
tests_device_test_display_SOURCES = tests/device/test-display.c
tests_device_test_display_CFLAGS = $(TEST_CFLAGS)
tests_device_test_display_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
tests_device_test_input_SOURCES = tests/device/test-input.c
tests_device_test_input_CFLAGS = $(TEST_CFLAGS)
tests_device_test_input_LDADD = $(VIRTIO_DRIVER) $(FAKE_MACHINE) $(TEST_LIBS)

# The USB host controller
XHCI_DRIVER = tests/device/xhci_driver.c tests/device/xhci_driver.h
device_tests += tests/device/test-xhci
tests_device_test_xhci_SOURCES = tests/device/test-xhci.c $(XHCI_DRIVER)
tests_device_test_xhci_CFLAGS = $(TEST_CFLAGS)
tests_device_test_xhci_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
fuzz_tests += tests/fuzz/fuzz-xhci
tests_fuzz_fuzz_xhci_SOURCES = tests/fuzz/fuzz-xhci.c tests/fuzz/fuzz.h $(XHCI_DRIVER)
tests_fuzz_fuzz_xhci_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_xhci_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_xhci_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
