/*
 * vnc_cut_text.c: the clipboard of a VNC client
 *
 * libvncserver speaks the protocol, but for one message: text from a client of the extended
 * clipboard. Of that it hands on as many bytes as the client says there are, even where fewer come:
 * what was in memory before would get into the guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

#include "vmm/base/text_lines.h"
#include "vmm/display/vnc_cut_text.h"

/* Flags of an extended message; formats are the lower 16 bits. */
#define FLAG_TEXT    (1u << 0)
#define FLAG_CAPS    (1u << 24)
#define FLAG_REQUEST (1u << 25)
#define FLAG_PEEK    (1u << 26)
#define FLAG_PROVIDE (1u << 28)

/* What deflated data may have beyond the text's own size; and the size before, the NUL after. */
#define DEFLATED_MAX (VNC_CUT_TEXT_MAX + 4096u)
#define INFLATED_MAX (VNC_CUT_TEXT_MAX + 1u)

/* For how long a header may be on its way. */
#define HEADER_WAIT_MS 10000u

typedef struct CutTextHeader {
	uint8_t type, padding[3];
	uint32_t length; /* negative: of an extended message */
	uint32_t flags;	 /* of such */
} CutTextHeader;

char *vnc_cut_text_from_latin1(const char *latin1, size_t size)
{
	GString *text = g_string_sized_new(size + 1);

	for (size_t i = 0; i < size && latin1[i]; i++)
		g_string_append_unichar(text, (unsigned char)latin1[i]);
	return g_string_free(text, FALSE);
}

static char *to_latin1(const char *text)
{
	GString *latin1 = g_string_sized_new(strlen(text) + 1);

	for (; *text; text = g_utf8_next_char(text)) {
		gunichar character = g_utf8_get_char(text);

		g_string_append_c(latin1, character <= 0xff ? (char)character : '?');
	}
	return g_string_free(latin1, FALSE);
}

/* Inflate exactly @size bytes to @to. */
static bool inflate_exactly(z_stream *stream, void *to, uint32_t size)
{
	int result;

	stream->next_out = to;
	stream->avail_out = size;
	if (size == 0)
		return true;
	result = inflate(stream, Z_SYNC_FLUSH);
	return (result == Z_OK || result == Z_STREAM_END) && stream->avail_out == 0;
}

char *vnc_cut_text_inflate(const uint8_t *data, size_t size, size_t *n)
{
	z_stream stream = { .next_in = (Bytef *)data, .avail_in = (uInt)size };
	g_autofree char *text = NULL;
	uint32_t length;

	if (size > DEFLATED_MAX || inflateInit(&stream) != Z_OK)
		return NULL;
	if (inflate_exactly(&stream, &length, sizeof(length))) {
		length = GUINT32_FROM_BE(length);
		if (length <= INFLATED_MAX)
			text = g_malloc(length + 1);
		if (text && !inflate_exactly(&stream, text, length))
			g_clear_pointer(&text, g_free);
	}
	inflateEnd(&stream);
	*n = text ? length : 0;
	return g_steal_pointer(&text);
}

/* Read @size bytes of deflated text and hand them on; false where they are none. */
static bool take_text(rfbClientPtr rfb, uint32_t size, VncCutTextFunc func, void *opaque)
{
	g_autofree uint8_t *data = g_malloc(size);
	g_autofree char *text = NULL;
	size_t n;

	if (rfbReadExact(rfb, (char *)data, (int)size) <= 0)
		return false;
	text = vnc_cut_text_inflate(data, size, &n);
	if (text)
		func(opaque, text, n);
	return text != NULL;
}

/*
 * Look at the first @size bytes of a message. They nearly always come at once; poll() would not
 * tell when more do.
 */
static bool look_at(rfbClientPtr rfb, CutTextHeader *header, size_t size)
{
	for (unsigned ms = 0; ms < HEADER_WAIT_MS; ms++) {
		ssize_t n = recv(rfb->sock, header, size, MSG_PEEK | MSG_DONTWAIT);

		if (n == (ssize_t)size)
			return true;
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		g_usleep(1000);
	}
	return false;
}

bool vnc_cut_text_take(rfbClientPtr rfb, VncCutTextFunc func, void *opaque)
{
	CutTextHeader header;
	uint32_t size, flags;

	if (!rfb->enableExtendedClipboard)
		return false;
	if (!look_at(rfb, &header, offsetof(CutTextHeader, flags)) ||
	    !(header.length & GUINT32_TO_BE(1u << 31)))
		return false;
	size = -GUINT32_FROM_BE(header.length);
	if (size < sizeof(flags) || !look_at(rfb, &header, sizeof(header)))
		return false;
	flags = GUINT32_FROM_BE(header.flags);
	if (!(flags & FLAG_PROVIDE) || (flags & (FLAG_CAPS | FLAG_REQUEST | FLAG_PEEK)))
		return false;
	size -= sizeof(flags);
	if (size > DEFLATED_MAX || rfbReadExact(rfb, (char *)&header, sizeof(header)) <= 0 ||
	    !(flags & FLAG_TEXT) || !take_text(rfb, size, func, opaque))
		rfbCloseClient(rfb);
	return true;
}

void vnc_cut_text_send(rfbClientPtr rfb, const char *text)
{
	g_autofree char *converted = NULL;

	if (rfb->enableExtendedClipboard) {
		converted = text_lines_to_crlf(text);
		rfbSendServerCutTextUTF8(rfb->screen, converted, (int)strlen(converted), NULL, 0);
	} else {
		converted = to_latin1(text);
		rfbSendServerCutText(rfb->screen, converted, (int)strlen(converted));
	}
}
