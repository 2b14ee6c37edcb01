# The QMP protocol, linked by the monitor and by the driver (hence position-independent).
noinst_LTLIBRARIES += libqmp.la
libqmp_la_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(JSON_CFLAGS)
libqmp_la_LIBADD = $(GLIB_LIBS) $(JSON_LIBS)
libqmp_la_SOURCES = \
	qmp/qapi.c qmp/qapi.h qmp/qapi_layout.h qmp/qapi_parse.c \
	qmp/qmp_client.c qmp/qmp_client.h \
	qmp/qmp_command.h \
	qmp/qmp_connection.c \
	qmp/qmp_error.c qmp/qmp_error.h \
	qmp/qmp_event.h \
	qmp/qmp_events.c qmp/qmp_events.h \
	qmp/qmp_fds.c qmp/qmp_fds.h \
	qmp/qmp_framing.c qmp/qmp_framing.h \
	qmp/qmp_handlers.c \
	qmp/qmp_server.c qmp/qmp_server.h \
	qmp/qmp_session.c qmp/qmp_session.h \
	qmp/qmp_socket.c qmp/qmp_socket.h
nodist_libqmp_la_SOURCES = $(QAPI_GENERATED)
