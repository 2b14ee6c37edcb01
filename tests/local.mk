# Tests. A program added to unit_tests or device_tests is built against libvmm.a and run by make check.
unit_tests =
device_tests =

check_PROGRAMS += $(unit_tests) $(device_tests)
TESTS += $(unit_tests) $(device_tests)
