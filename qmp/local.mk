# The QMP protocol, linked by the monitor and by the driver (hence position-independent).
noinst_LTLIBRARIES += libqmp.la
libqmp_la_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(JSON_CFLAGS)
libqmp_la_LIBADD = $(GLIB_LIBS) $(JSON_LIBS)
libqmp_la_SOURCES = \
	qmp/qapi.c qmp/qapi.h qmp/qapi_layout.h qmp/qapi_parse.c \
	qmp/qmp_command.h \
	qmp/qmp_error.c qmp/qmp_error.h \
	qmp/qmp_event.h
nodist_libqmp_la_SOURCES = $(QAPI_GENERATED)
