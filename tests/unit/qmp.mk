# QMP: the generator, and a small schema of its own for what it generates
unit_scripts += tests/unit/test-qapi-gen tests/unit/test-qapi-compat
EXTRA_DIST += tests/unit/qapi-test.json tests/unit/qmp-core.json

TEST_QAPI = test-qapi-types.c test-qapi-types.h test-qapi-commands.c test-qapi-commands.h \
	test-qapi-events.c test-qapi-events.h core-qapi-commands.c core-qapi-commands.h
test-qapi.stamp: tests/unit/qapi-test.json tests/unit/qmp-core.json $(QAPI_SCHEMA) $(QAPI_GEN_FILES)
	$(AM_V_GEN)$(PYTHON) $(top_srcdir)/$(QAPI_GEN) -p test- -k types,commands,events \
		$(top_srcdir)/tests/unit/qapi-test.json
	$(AM_V_at)$(PYTHON) $(top_srcdir)/$(QAPI_GEN) -p core- -t qapi-types.h -k commands \
		$(top_srcdir)/tests/unit/qmp-core.json
	$(AM_V_at)touch $@
$(TEST_QAPI): test-qapi.stamp
	$(AM_V_at)test -f $@ || { rm -f test-qapi.stamp; $(MAKE) $(AM_MAKEFLAGS) test-qapi.stamp; }
CLEANFILES += $(TEST_QAPI) test-qapi.stamp

QMP_TEST_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(JSON_CFLAGS)
QMP_TEST_LIBS = tests/unit/libqmptest.a libqmp.la $(GLIB_LIBS) $(JSON_LIBS)
check_LIBRARIES += tests/unit/libqmptest.a
tests_unit_libqmptest_a_CFLAGS = $(QMP_TEST_CFLAGS)
tests_unit_libqmptest_a_SOURCES = \
	tests/unit/qmp_test_client.c tests/unit/qmp_test_client.h \
	tests/unit/qmp_test_handlers.c tests/unit/qmp_test_handlers.h
nodist_tests_unit_libqmptest_a_SOURCES = $(TEST_QAPI)
BUILT_SOURCES += $(TEST_QAPI)

unit_tests += tests/unit/test-qapi tests/unit/test-qmp-framing
tests_unit_test_qapi_SOURCES = tests/unit/test-qapi.c
tests_unit_test_qapi_CFLAGS = $(QMP_TEST_CFLAGS)
tests_unit_test_qapi_LDADD = $(QMP_TEST_LIBS)
tests_unit_test_qmp_framing_SOURCES = tests/unit/test-qmp-framing.c
tests_unit_test_qmp_framing_CFLAGS = $(QMP_TEST_CFLAGS)
tests_unit_test_qmp_framing_LDADD = $(QMP_TEST_LIBS)

unit_tests += tests/unit/test-qmp-server tests/unit/test-qmp-fds tests/unit/test-qmp-streams
tests_unit_test_qmp_server_SOURCES = tests/unit/test-qmp-server.c
tests_unit_test_qmp_server_CFLAGS = $(QMP_TEST_CFLAGS)
tests_unit_test_qmp_server_LDADD = $(QMP_TEST_LIBS)
tests_unit_test_qmp_fds_SOURCES = tests/unit/test-qmp-fds.c
tests_unit_test_qmp_fds_CFLAGS = $(QMP_TEST_CFLAGS)
tests_unit_test_qmp_fds_LDADD = $(QMP_TEST_LIBS)
tests_unit_test_qmp_streams_SOURCES = tests/unit/test-qmp-streams.c
tests_unit_test_qmp_streams_CFLAGS = $(QMP_TEST_CFLAGS)
tests_unit_test_qmp_streams_LDADD = $(QMP_TEST_LIBS)

unit_tests += tests/unit/test-qmp-client
tests_unit_test_qmp_client_SOURCES = tests/unit/test-qmp-client.c
tests_unit_test_qmp_client_CFLAGS = $(QMP_TEST_CFLAGS)
tests_unit_test_qmp_client_LDADD = $(QMP_TEST_LIBS)

fuzz_tests += tests/fuzz/fuzz-qmp-framing tests/fuzz/fuzz-qmp-types tests/fuzz/fuzz-qmp-server \
	tests/fuzz/fuzz-qmp-client
tests_fuzz_fuzz_qmp_framing_SOURCES = tests/fuzz/fuzz-qmp-framing.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_qmp_framing_CFLAGS = $(QMP_TEST_CFLAGS)
tests_fuzz_fuzz_qmp_framing_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_qmp_framing_LDADD = $(QMP_TEST_LIBS)
tests_fuzz_fuzz_qmp_types_SOURCES = tests/fuzz/fuzz-qmp-types.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_qmp_types_CFLAGS = $(QMP_TEST_CFLAGS)
tests_fuzz_fuzz_qmp_types_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_qmp_types_LDADD = $(QMP_TEST_LIBS)
tests_fuzz_fuzz_qmp_server_SOURCES = tests/fuzz/fuzz-qmp-server.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_qmp_server_CFLAGS = $(QMP_TEST_CFLAGS)
tests_fuzz_fuzz_qmp_server_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_qmp_server_LDADD = $(QMP_TEST_LIBS)
tests_fuzz_fuzz_qmp_client_SOURCES = tests/fuzz/fuzz-qmp-client.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_qmp_client_CFLAGS = $(QMP_TEST_CFLAGS)
tests_fuzz_fuzz_qmp_client_LDFLAGS = $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_qmp_client_LDADD = $(QMP_TEST_LIBS)
