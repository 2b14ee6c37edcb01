/*
 * vireo_agent_reply.h: what a guest agent says, byte by byte
 *
 * The bytes are the guest's, so nothing of them is believed: a reply has a limit
 * in size, in depth and in the number of its values, for libvirt's parser has
 * none and takes far more memory than the text.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "virjson.h"

/* Bytes, including the newline: as much as a guest-file-read that clients use. */
#define VIREO_AGENT_REPLY_MAX (10 * 1024 * 1024)
#define VIREO_AGENT_REPLY_MAX_DEPTH 32
#define VIREO_AGENT_REPLY_MAX_VALUES (64 * 1024)

/* One at a time belongs to a connection; not for several threads at once. */
typedef struct _vireoAgentReader vireoAgentReader;
struct _vireoAgentReader {
    GByteArray *line;    /* of which the end has not come yet */
    bool skipping;       /* up to the next 0xFF */
};

/* Initializes, frees what it holds. */
void
vireoAgentReaderInit(vireoAgentReader *reader);
void
vireoAgentReaderClear(vireoAgentReader *reader);

/**
 * vireoAgentReaderSkip:
 *
 * Forgets what has been read, and all that is to come before a 0xFF, with which
 * the reply to guest-sync-delimited starts.
 */
void
vireoAgentReaderSkip(vireoAgentReader *reader);

/**
 * vireoAgentReaderPush:
 * @bytes: what has come
 * @n: how many; set to how many of them have been used up
 * @line: set to a whole line without its end, or to NULL if there is none yet;
 * free with g_free
 *
 * Takes bytes as far as the end of a line. A 0xFF makes void what was before it on
 * its line. Returns 0, or -1 with an error reported if a line is too long.
 */
int
vireoAgentReaderPush(vireoAgentReader *reader,
                     const char *bytes,
                     size_t *n,
                     char **line);

/* The agent understood, and said no; VIREO_AGENT_UNKNOWN: it has no such command. */
#define VIREO_AGENT_REFUSED -2
#define VIREO_AGENT_UNKNOWN -3

/**
 * vireoAgentParseReply:
 * @line: as the agent sent it
 * @value: set to the value of a successful reply, else NULL; free with
 * virJSONValueFree
 * @refusal: set to what a refusing agent says, else NULL; free with g_free
 *
 * Returns 0; VIREO_AGENT_REFUSED or VIREO_AGENT_UNKNOWN, with nothing reported; or
 * -1 with an error reported if this is no reply.
 */
int
vireoAgentParseReply(const char *line,
                     virJSONValue **value,
                     char **refusal);
