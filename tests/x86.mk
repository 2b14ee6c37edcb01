# Boot loaders and ACPI
BOOT_IMAGES = tests/unit/boot_images.c tests/unit/boot_images.h

unit_tests += tests/unit/test-boot tests/unit/test-acpi
tests_unit_test_boot_SOURCES = tests/unit/test-boot.c $(BOOT_IMAGES)
tests_unit_test_boot_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_boot_LDADD = $(TEST_LIBS)
tests_unit_test_acpi_SOURCES = tests/unit/test-acpi.c $(BOOT_IMAGES)
tests_unit_test_acpi_CFLAGS = $(TEST_CFLAGS) -DIASL='"$(IASL)"'
tests_unit_test_acpi_LDADD = $(TEST_LIBS)
