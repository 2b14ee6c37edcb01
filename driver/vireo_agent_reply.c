/*
 * vireo_agent_reply.c: what a guest agent says, byte by byte
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"

#include "vireo_agent_reply.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_AGENT_DELIMITER 0xFF

/* Bytes of a refusal that are shown. */
#define VIREO_AGENT_REFUSAL_MAX 500

void
vireoAgentReaderInit(vireoAgentReader *reader)
{
    reader->line = g_byte_array_new();
    reader->skipping = false;
}

void
vireoAgentReaderClear(vireoAgentReader *reader)
{
    g_clear_pointer(&reader->line, g_byte_array_unref);
}

static void
vireoAgentReaderEmpty(vireoAgentReader *reader)
{
    /* What was a huge line shall not stay in memory. */
    g_byte_array_unref(reader->line);
    reader->line = g_byte_array_new();
}

void
vireoAgentReaderSkip(vireoAgentReader *reader)
{
    vireoAgentReaderEmpty(reader);
    reader->skipping = true;
}

int
vireoAgentReaderPush(vireoAgentReader *reader,
                     const char *bytes,
                     size_t *n,
                     char **line)
{
    const char *end = bytes + *n;
    const char *start = bytes;
    const char *delimiter;
    const char *newline;

    *line = NULL;
    if (reader->skipping) {
        if (!(delimiter = memchr(start, VIREO_AGENT_DELIMITER, end - start)))
            return 0;
        reader->skipping = false;
        start = delimiter + 1;
    }

    newline = memchr(start, '\n', end - start);
    if (newline) {
        *n = newline + 1 - bytes;
        end = newline;
    }
    if ((delimiter = memrchr(start, VIREO_AGENT_DELIMITER, end - start))) {
        vireoAgentReaderEmpty(reader);
        start = delimiter + 1;
    }

    if (reader->line->len + (size_t)(end - start) >= VIREO_AGENT_REPLY_MAX) {
        vireoAgentReaderEmpty(reader);
        virReportError(VIR_ERR_INTERNAL_ERROR,
                       _("the guest agent's reply is longer than %d bytes"), VIREO_AGENT_REPLY_MAX);
        return -1;
    }
    g_byte_array_append(reader->line, (const guint8 *)start, end - start);

    if (newline) {
        *line = g_strndup((const char *)reader->line->data, reader->line->len);
        vireoAgentReaderEmpty(reader);
    }

    return 0;
}

/* Whether the text can be parsed at a bounded price, whatever else it is. */
static bool
vireoAgentTextIsModest(const char *text)
{
    size_t values = 1;
    size_t depth = 0;
    bool quoted = false;

    for (; *text; text++) {
        if (quoted) {
            if (*text == '\\' && text[1])
                text++;
            else if (*text == '"')
                quoted = false;
            continue;
        }
        switch (*text) {
        case '"':
            quoted = true;
            break;
        case '{':
        case '[':
            if (++depth > VIREO_AGENT_REPLY_MAX_DEPTH)
                return false;
            values++;
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case ',':
            values++;
            break;
        default:
            break;
        }
    }

    return values <= VIREO_AGENT_REPLY_MAX_VALUES;
}

int
vireoAgentParseReply(const char *line,
                     virJSONValue **value,
                     char **refusal)
{
    g_autoptr(virJSONValue) reply = NULL;
    virJSONValue *error;

    *value = NULL;
    *refusal = NULL;
    if (!vireoAgentTextIsModest(line)) {
        virReportError(VIR_ERR_INTERNAL_ERROR,
                       _("the guest agent's reply is nested deeper than %d or has more than %d values"),
                       VIREO_AGENT_REPLY_MAX_DEPTH, VIREO_AGENT_REPLY_MAX_VALUES);
        return -1;
    }
    if (!(reply = virJSONValueFromString(line)) || !virJSONValueIsObject(reply))
        goto malformed;

    if ((error = virJSONValueObjectGet(reply, "error"))) {
        const char *text = virJSONValueIsObject(error) ?
            virJSONValueObjectGetString(error, "desc") : NULL;

        if (!text)
            goto malformed;
        *refusal = g_strndup(text, VIREO_AGENT_REFUSAL_MAX);
        return STREQ_NULLABLE(virJSONValueObjectGetString(error, "class"), "CommandNotFound") ?
            VIREO_AGENT_UNKNOWN : VIREO_AGENT_REFUSED;
    }
    if (virJSONValueObjectRemoveKey(reply, "return", value) == 1)
        return 0;

 malformed:
    virReportError(VIR_ERR_INTERNAL_ERROR, "%s",
                   _("the guest agent's reply is not as its protocol says"));
    return -1;
}
