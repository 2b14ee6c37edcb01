# Boot loaders and ACPI
BOOT_IMAGES = tests/unit/boot_images.c tests/unit/boot_images.h

unit_tests += tests/unit/test-boot tests/unit/test-acpi
tests_unit_test_boot_SOURCES = tests/unit/test-boot.c $(BOOT_IMAGES)
tests_unit_test_boot_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_boot_LDADD = $(TEST_LIBS)
tests_unit_test_acpi_SOURCES = tests/unit/test-acpi.c $(BOOT_IMAGES)
tests_unit_test_acpi_CFLAGS = $(TEST_CFLAGS) -DIASL='"$(IASL)"'
tests_unit_test_acpi_LDADD = $(TEST_LIBS)

unit_tests += tests/unit/test-smbios
tests_unit_test_smbios_SOURCES = tests/unit/test-smbios.c $(BOOT_IMAGES)
tests_unit_test_smbios_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_smbios_LDADD = $(TEST_LIBS)

# Chipset
FAKE_CHARDEV = tests/device/fake_chardev.c tests/device/fake_chardev.h

device_tests += tests/device/test-cpu-hotplug
tests_device_test_cpu_hotplug_SOURCES = tests/device/test-cpu-hotplug.c
tests_device_test_cpu_hotplug_CFLAGS = $(TEST_CFLAGS)
tests_device_test_cpu_hotplug_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-i6300esb
tests_device_test_i6300esb_SOURCES = tests/device/test-i6300esb.c
tests_device_test_i6300esb_CFLAGS = $(TEST_CFLAGS)
tests_device_test_i6300esb_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
device_tests += tests/device/test-serial-16550 tests/device/test-acpi-pm \
	tests/device/test-rtc-cmos tests/device/test-board tests/device/test-lpc-bridge
tests_device_test_serial_16550_SOURCES = tests/device/test-serial-16550.c $(FAKE_CHARDEV)
tests_device_test_serial_16550_CFLAGS = $(TEST_CFLAGS)
tests_device_test_serial_16550_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
tests_device_test_acpi_pm_SOURCES = tests/device/test-acpi-pm.c
tests_device_test_acpi_pm_CFLAGS = $(TEST_CFLAGS)
tests_device_test_acpi_pm_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
tests_device_test_rtc_cmos_SOURCES = tests/device/test-rtc-cmos.c
tests_device_test_rtc_cmos_CFLAGS = $(TEST_CFLAGS)
tests_device_test_rtc_cmos_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
tests_device_test_board_SOURCES = tests/device/test-board.c $(FAKE_CHARDEV)
tests_device_test_board_CFLAGS = $(TEST_CFLAGS)
tests_device_test_board_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
tests_device_test_lpc_bridge_SOURCES = tests/device/test-lpc-bridge.c
tests_device_test_lpc_bridge_CFLAGS = $(TEST_CFLAGS)
tests_device_test_lpc_bridge_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)

# TPM
device_tests += tests/device/test-tpm-crb
tests_device_test_tpm_crb_SOURCES = tests/device/test-tpm-crb.c \
	tests/device/fake_swtpm.c tests/device/fake_swtpm.h
tests_device_test_tpm_crb_CFLAGS = $(TEST_CFLAGS)
tests_device_test_tpm_crb_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)

fuzz_tests += tests/fuzz/fuzz-swtpm
tests_fuzz_fuzz_swtpm_SOURCES = tests/fuzz/fuzz-swtpm.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_swtpm_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_swtpm_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_swtpm_LDADD = $(TEST_LIBS)

# Firmware
device_tests += tests/device/test-firmware
tests_device_test_firmware_SOURCES = tests/device/test-firmware.c
tests_device_test_firmware_CFLAGS = $(TEST_CFLAGS)
tests_device_test_firmware_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)

# Fuzzers
FUZZ_BOOT = tests/fuzz/fuzz.h tests/fuzz/fuzz_boot.c tests/fuzz/fuzz_boot.h $(BOOT_IMAGES)

fuzz_tests += tests/fuzz/fuzz-elf tests/fuzz/fuzz-bzimage tests/fuzz/fuzz-chipset tests/fuzz/fuzz-firmware
tests_fuzz_fuzz_elf_SOURCES = tests/fuzz/fuzz-elf.c $(FUZZ_BOOT)
tests_fuzz_fuzz_elf_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_elf_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_elf_LDADD = $(TEST_LIBS)
tests_fuzz_fuzz_bzimage_SOURCES = tests/fuzz/fuzz-bzimage.c $(FUZZ_BOOT)
tests_fuzz_fuzz_bzimage_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_bzimage_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_bzimage_LDADD = $(TEST_LIBS)
tests_fuzz_fuzz_chipset_SOURCES = tests/fuzz/fuzz-chipset.c tests/fuzz/fuzz.h $(FAKE_CHARDEV)
tests_fuzz_fuzz_chipset_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_chipset_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_chipset_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
tests_fuzz_fuzz_firmware_SOURCES = tests/fuzz/fuzz-firmware.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_firmware_CFLAGS = $(TEST_CFLAGS)
tests_fuzz_fuzz_firmware_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_firmware_LDADD = $(FAKE_MACHINE) $(TEST_LIBS)
