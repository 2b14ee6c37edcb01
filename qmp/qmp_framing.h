/*
 * qmp_framing.h: JSON messages out of a stream of bytes
 *
 * A framer takes bytes as they arrive, in pieces of any size, and finds where each JSON value ends
 * by looking at brackets and strings only; the value is then parsed in one go. Time is linear in
 * the bytes, and memory is bounded whatever the peer sends: limits on size, tokens and depth are
 * checked while bytes arrive, and what exceeds them is skipped, not kept.
 *
 * After an error the framer goes on: behind a stray word at the next bracket or space, behind a
 * message over a limit at the end of the line or of the message, whichever comes first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <glib.h>
#include <json-c/json.h>

#define QMP_MESSAGE_SIZE_MAX  (16u << 20)  /* bytes */
#define QMP_MESSAGE_TOKEN_MAX (128u << 10) /* brackets, commas, colons and strings */
#define QMP_MESSAGE_DEPTH_MAX 64u

typedef struct QmpFramer QmpFramer;

typedef enum {
	QMP_FRAME_NONE,	   /* all bytes are used up */
	QMP_FRAME_MESSAGE, /* a JSON value */
	QMP_FRAME_ERROR,   /* bytes that are no JSON value */
} QmpFrameKind;

typedef struct {
	QmpFrameKind kind;
	json_object *message; /* a reference the caller owns; NULL for JSON's null */
	const char *error;    /* what is wrong, in QEMU's words; valid until the next call */
} QmpFrame;

/** qmp_framer_new: a framer at the start of a stream. */
QmpFramer *qmp_framer_new(void);

/** qmp_framer_free: frees a framer; it may be NULL. */
void qmp_framer_free(QmpFramer *framer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpFramer, qmp_framer_free)

/**
 * qmp_framer_feed: takes bytes up to the end of one message
 * @data: bytes from the stream
 * @size: how many
 * @frame: what was found
 *
 * To be called again with the rest until @frame says QMP_FRAME_NONE. One thread at a time.
 *
 * Returns: how many bytes were used.
 */
size_t qmp_framer_feed(QmpFramer *framer, const char *data, size_t size, QmpFrame *frame);

/** qmp_framer_is_idle: whether the last byte taken was not inside a message. */
bool qmp_framer_is_idle(const QmpFramer *framer);

/**
 * qmp_message_append: writes a message to a buffer, as one line with CR LF at its end
 * @out: the buffer
 * @message: the message; borrowed
 */
void qmp_message_append(GByteArray *out, json_object *message);
