# The libvirt driver's tests; they need its sources built, but no daemon.
driver_test_data = \
	addresses \
	chardevs \
	clock \
	cpu-boot-actions \
	cpu-custom \
	cpu-details \
	cpu-hotplug \
	cpu-migratable \
	disks \
	graphics \
	graphics-socket \
	graphics-virtio \
	filesystem \
	firmware-bios \
	firmware-efi \
	firmware-loader \
	hugepages \
	interfaces \
	iothreads \
	memfd-shared \
	memory-devices \
	memory-file \
	minimal \
	multifunction \
	namespace \
	numa \
	rng-panic-balloon \
	scsi \
	storage \
	sysinfo \
	tpm \
	usb \
	vhost-user \
	vsock
EXTRA_DIST += $(foreach name,$(driver_test_data),tests/unit/driver-data/$(name).xml tests/unit/driver-data/$(name).args)
driver_test_firmware = \
	10-secure.json \
	20-other.json \
	30-qcow2.json \
	60-plain.json \
	70-broken.json
EXTRA_DIST += $(foreach name,$(driver_test_firmware),tests/unit/driver-data/firmware/$(name))
EXTRA_DIST += tests/unit/test-driver-lint tests/unit/test-domain-schema tests/unit/test-settings

if DRIVER
unit_tests += tests/unit/test-driver
tests_unit_test_driver_CPPFLAGS = $(DRIVER_CPPFLAGS)
tests_unit_test_driver_CFLAGS = $(DRIVER_CFLAGS)
tests_unit_test_driver_SOURCES = tests/unit/test-driver.c
tests_unit_test_driver_LDADD = libvireodriver.la

unit_tests += tests/unit/test-driver-settings
tests_unit_test_driver_settings_CPPFLAGS = $(DRIVER_CPPFLAGS)
tests_unit_test_driver_settings_CFLAGS = $(DRIVER_CFLAGS)
tests_unit_test_driver_settings_SOURCES = tests/unit/test-driver-settings.c
tests_unit_test_driver_settings_LDADD = libvireodriver.la

unit_tests += tests/unit/test-driver-tpm
tests_unit_test_driver_tpm_CPPFLAGS = $(DRIVER_CPPFLAGS)
tests_unit_test_driver_tpm_CFLAGS = $(DRIVER_CFLAGS)
tests_unit_test_driver_tpm_SOURCES = tests/unit/test-driver-tpm.c
tests_unit_test_driver_tpm_LDADD = libvireodriver.la

unit_tests += tests/unit/test-driver-blockdev
tests_unit_test_driver_blockdev_CPPFLAGS = $(DRIVER_CPPFLAGS)
tests_unit_test_driver_blockdev_CFLAGS = $(DRIVER_CFLAGS)
tests_unit_test_driver_blockdev_SOURCES = tests/unit/test-driver-blockdev.c
tests_unit_test_driver_blockdev_LDADD = libvireodriver.la

unit_tests += tests/unit/test-driver-cpu
tests_unit_test_driver_cpu_CPPFLAGS = $(DRIVER_CPPFLAGS)
tests_unit_test_driver_cpu_CFLAGS = $(DRIVER_CFLAGS)
tests_unit_test_driver_cpu_SOURCES = tests/unit/test-driver-cpu.c
tests_unit_test_driver_cpu_LDADD = libvireodriver.la

unit_tests += tests/unit/test-agent
tests_unit_test_agent_CPPFLAGS = $(DRIVER_CPPFLAGS)
tests_unit_test_agent_CFLAGS = $(DRIVER_CFLAGS)
tests_unit_test_agent_SOURCES = tests/unit/test-agent.c
tests_unit_test_agent_LDADD = libvireodriver.la

fuzz_tests += tests/fuzz/fuzz-agent
tests_fuzz_fuzz_agent_CPPFLAGS = $(DRIVER_CPPFLAGS)
tests_fuzz_fuzz_agent_CFLAGS = $(DRIVER_CFLAGS)
tests_fuzz_fuzz_agent_SOURCES = tests/fuzz/fuzz-agent.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_agent_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_agent_LDADD = libvireodriver.la

unit_scripts += tests/unit/test-driver-lint tests/unit/test-domain-schema tests/unit/test-settings
AM_TESTS_ENVIRONMENT += export LIBVIRT_SOURCE='$(LIBVIRT_SOURCE)' PYTHON='$(PYTHON)';
endif
