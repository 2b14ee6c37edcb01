/*
 * qmp_session.h: one client of a QMP server; for the server's own files only
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qmp/qmp_server.h"

/* A session that has not greeted yet; the caller's reference. */
QmpSession *qmp_session_new(QmpServer *server, GMainContext *context, const QmpStream *stream,
			    void *opaque);
void qmp_session_unref(QmpSession *session);

/* Sends the greeting. May end the session. */
void qmp_session_greet(QmpSession *session);

/* Sends an event, one line of text, if the client has negotiated. May end the session. */
void qmp_session_send_event(QmpSession *session, const GByteArray *text);

/* What sessions need of their server (qmp_server.c). */
const QmpCommand *qmp_server_find_command(QmpServer *server, const char *name);
void *qmp_server_machine(QmpServer *server);
const QmpObserver *qmp_server_observer(QmpServer *server);
/* The session has ended: gives up the server's reference. */
void qmp_server_remove_session(QmpServer *server, QmpSession *session);

/* The value of the greeting's "QMP" member, and of query-version's reply (qmp_handlers.c). */
json_object *qmp_greeting_version(void);
