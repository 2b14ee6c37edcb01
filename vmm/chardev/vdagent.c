/*
 * vdagent.c: the host's side of the agent protocol of SPICE, as far as it is about the clipboard
 *
 * When something is copied in the guest, the agent says which forms it has that in (GRAB); we ask
 * for text (REQUEST) and get it (CLIPBOARD). The other way round is the same. Forms other than text
 * and the selections of X11 other than the clipboard are left alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/text_lines.h"
#include "vmm/chardev/vdagent.h"

#include <string.h>

/* VDIChunkHeader: whom a chunk is for; and what it holds at most. */
enum { PORT_CLIENT = 1, PORT_SERVER = 2 };
#define CHUNK_MAX 2048u

#define PROTOCOL 1u

/* VDAgentMessage.type */
enum {
	MESSAGE_CLIPBOARD = 4,
	MESSAGE_ANNOUNCE_CAPABILITIES = 6,
	MESSAGE_CLIPBOARD_GRAB = 7,
	MESSAGE_CLIPBOARD_REQUEST = 8,
	MESSAGE_CLIPBOARD_RELEASE = 9,
};

/* Bits of VDAgentAnnounceCapabilities.caps[0] */
#define CAPABILITY_BY_DEMAND  (1u << 5)
#define CAPABILITY_SELECTION  (1u << 6)
#define CAPABILITY_GUEST_CRLF (1u << 9)

enum { SELECTION_CLIPBOARD = 0 };
enum { FORM_NONE = 0, FORM_UTF8 = 1 };

typedef struct ChunkHeader {
	uint32_t port, size;
} ChunkHeader;

typedef struct MessageHeader {
	uint32_t protocol, type;
	uint64_t opaque;
	uint32_t size;
} __attribute__((packed)) MessageHeader;

/* The longest message that is looked at: text, with what stands before it. */
#define BODY_MAX (CLIPBOARD_MAX + 8u)

/* Of output that the guest has not read yet, bytes. */
#define OUTPUT_MAX (2u * CLIPBOARD_MAX)

struct Vdagent {
	Clipboard *clipboard;
	ClipboardPeer *peer; /* NULL: there is no agent, or it cannot do it */
	void (*wake)(void *opaque);
	void *opaque;

	bool open, broken;
	uint32_t capabilities; /* the agent's */
	bool asked;	       /* for what the guest has */

	/* What comes in; headers in the guest's byte order until they are whole. */
	ChunkHeader chunk;
	size_t n_chunk;	     /* bytes of @chunk */
	uint32_t chunk_left; /* bytes of its data; 0: a header comes */
	MessageHeader message;
	size_t n_message;
	uint32_t body_left;
	bool skipping; /* a message that is of no interest */
	GByteArray *body;

	GByteArray *output;
	size_t n_sent; /* of it */
};

static void append_message(Vdagent *vdagent, uint32_t type, const void *data, size_t size)
{
	MessageHeader header = {
		.protocol = GUINT32_TO_LE(PROTOCOL),
		.type = GUINT32_TO_LE(type),
		.size = GUINT32_TO_LE((uint32_t)size),
	};
	g_autoptr(GByteArray) message = g_byte_array_new();

	g_byte_array_append(message, (const guint8 *)&header, sizeof(header));
	g_byte_array_append(message, data, (guint)size);
	for (guint at = 0; at < message->len; at += CHUNK_MAX) {
		guint length = MIN(CHUNK_MAX, message->len - at);
		ChunkHeader chunk = { GUINT32_TO_LE(PORT_CLIENT), GUINT32_TO_LE(length) };

		g_byte_array_append(vdagent->output, (const guint8 *)&chunk, sizeof(chunk));
		g_byte_array_append(vdagent->output, message->data + at, length);
	}
	if (vdagent->wake)
		vdagent->wake(vdagent->opaque);
}

/*
 * A message about the clipboard, dropped where the guest leaves all too much unread. It starts with
 * the selection where both sides know of those.
 */
static void send_clipboard(Vdagent *vdagent, uint32_t type, const uint32_t *form, const char *text)
{
	g_autoptr(GByteArray) body = g_byte_array_new();

	if (vdagent->output->len - vdagent->n_sent > OUTPUT_MAX)
		return;
	if (vdagent->capabilities & CAPABILITY_SELECTION)
		g_byte_array_append(body, (const guint8[4]){ SELECTION_CLIPBOARD }, 4);
	if (form)
		g_byte_array_append(body, (const guint8 *)&(uint32_t){ GUINT32_TO_LE(*form) }, 4);
	if (text)
		g_byte_array_append(body, (const guint8 *)text, (guint)strlen(text));
	append_message(vdagent, type, body->data, body->len);
}

static void send_capabilities(Vdagent *vdagent, bool request)
{
	uint32_t words[2] = { GUINT32_TO_LE(request),
			      GUINT32_TO_LE(CAPABILITY_BY_DEMAND | CAPABILITY_SELECTION) };

	append_message(vdagent, MESSAGE_ANNOUNCE_CAPABILITIES, words, sizeof(words));
}

/* The clipboard's peer */

static void copied(void *opaque, const char *text)
{
	Vdagent *vdagent = opaque;

	(void)text;
	vdagent->asked = false;
	send_clipboard(vdagent, MESSAGE_CLIPBOARD_GRAB, &(uint32_t){ FORM_UTF8 }, NULL);
}

static void fetch(void *opaque)
{
	Vdagent *vdagent = opaque;

	vdagent->asked = true;
	send_clipboard(vdagent, MESSAGE_CLIPBOARD_REQUEST, &(uint32_t){ FORM_UTF8 }, NULL);
}

static const ClipboardPeerOps peer_ops = { .copied = copied, .fetch = fetch };

static void leave(Vdagent *vdagent)
{
	if (vdagent->peer)
		clipboard_leave(vdagent->peer);
	vdagent->peer = NULL;
	vdagent->asked = false;
}

/* Messages; what is too short for its type is passed over. */

static uint32_t word_at(const uint8_t *data)
{
	uint32_t word;

	memcpy(&word, data, sizeof(word));
	return GUINT32_FROM_LE(word);
}

static void take_capabilities(Vdagent *vdagent, const uint8_t *data, size_t size)
{
	if (size < 4)
		return;
	vdagent->capabilities = size >= 8 ? word_at(data + 4) : 0;
	/* An agent that has started asks for ours. */
	if (word_at(data)) {
		leave(vdagent);
		send_capabilities(vdagent, false);
	}
	if (!(vdagent->capabilities & CAPABILITY_BY_DEMAND))
		leave(vdagent);
	else if (!vdagent->peer)
		vdagent->peer = clipboard_join(vdagent->clipboard, true, &peer_ops, vdagent);
}

static void take_grab(Vdagent *vdagent, const uint8_t *data, size_t size)
{
	vdagent->asked = false;
	for (size_t at = 0; at + 4 <= size; at += 4) {
		if (word_at(data + at) == FORM_UTF8) {
			clipboard_announce(vdagent->peer);
			return;
		}
	}
	clipboard_release(vdagent->peer);
}

static void take_text(Vdagent *vdagent, const uint8_t *data, size_t size)
{
	if (!vdagent->asked || size < 4 || word_at(data) != FORM_UTF8)
		return;
	vdagent->asked = false;
	clipboard_set(vdagent->peer, (const char *)data + 4, size - 4);
}

static void take_request(Vdagent *vdagent, const uint8_t *data, size_t size)
{
	const char *text = clipboard_text(vdagent->clipboard);
	g_autofree char *lines = NULL;

	if (size < 4)
		return;
	if (!text || word_at(data) != FORM_UTF8) {
		send_clipboard(vdagent, MESSAGE_CLIPBOARD, &(uint32_t){ FORM_NONE }, NULL);
		return;
	}
	if (vdagent->capabilities & CAPABILITY_GUEST_CRLF)
		text = lines = text_lines_to_crlf(text);
	send_clipboard(vdagent, MESSAGE_CLIPBOARD, &(uint32_t){ FORM_UTF8 }, text);
}

static void take_message(Vdagent *vdagent)
{
	const uint8_t *data = vdagent->body->data;
	size_t size = vdagent->body->len;

	if (vdagent->message.type == MESSAGE_ANNOUNCE_CAPABILITIES) {
		take_capabilities(vdagent, data, size);
		return;
	}
	if (!vdagent->peer)
		return;
	if (vdagent->capabilities & CAPABILITY_SELECTION) {
		if (size < 4 || data[0] != SELECTION_CLIPBOARD)
			return;
		data += 4;
		size -= 4;
	}
	switch (vdagent->message.type) {
	case MESSAGE_CLIPBOARD:
		take_text(vdagent, data, size);
		break;
	case MESSAGE_CLIPBOARD_GRAB:
		take_grab(vdagent, data, size);
		break;
	case MESSAGE_CLIPBOARD_REQUEST:
		take_request(vdagent, data, size);
		break;
	case MESSAGE_CLIPBOARD_RELEASE:
		clipboard_release(vdagent->peer);
		break;
	default:
		break;
	}
}

static bool is_of_interest(const MessageHeader *message)
{
	switch (message->type) {
	case MESSAGE_CLIPBOARD:
	case MESSAGE_ANNOUNCE_CAPABILITIES:
	case MESSAGE_CLIPBOARD_GRAB:
	case MESSAGE_CLIPBOARD_REQUEST:
	case MESSAGE_CLIPBOARD_RELEASE:
		return message->size <= BODY_MAX;
	default:
		return false;
	}
}

/* Move bytes of @data to where @size of them are gathered at @to; whether they are all there. */
static bool gather(void *to, size_t size, size_t *n, const uint8_t **data, size_t *left)
{
	size_t taken = MIN(size - *n, *left);

	memcpy((uint8_t *)to + *n, *data, taken);
	*n += taken;
	*data += taken;
	*left -= taken;
	return *n == size;
}

static bool begin_chunk(Vdagent *vdagent)
{
	uint32_t port = GUINT32_FROM_LE(vdagent->chunk.port);

	vdagent->chunk_left = GUINT32_FROM_LE(vdagent->chunk.size);
	vdagent->n_chunk = 0;
	return (port == PORT_CLIENT || port == PORT_SERVER) && vdagent->chunk_left <= CHUNK_MAX;
}

static bool begin_message(Vdagent *vdagent)
{
	MessageHeader *message = &vdagent->message;

	message->protocol = GUINT32_FROM_LE(message->protocol);
	message->type = GUINT32_FROM_LE(message->type);
	message->size = GUINT32_FROM_LE(message->size);
	vdagent->body_left = message->size;
	vdagent->skipping = !is_of_interest(message);
	g_byte_array_set_size(vdagent->body, 0);
	return message->protocol == PROTOCOL;
}

/* Take @size bytes of messages; false where they are none. */
static bool take_chunk(Vdagent *vdagent, const uint8_t *data, size_t size)
{
	while (size > 0) {
		size_t taken;

		if (vdagent->n_message < sizeof(vdagent->message)) {
			if (!gather(&vdagent->message, sizeof(vdagent->message),
				    &vdagent->n_message, &data, &size))
				return true;
			if (!begin_message(vdagent))
				return false;
		}
		taken = MIN(size, vdagent->body_left);
		if (!vdagent->skipping)
			g_byte_array_append(vdagent->body, data, (guint)taken);
		data += taken;
		size -= taken;
		vdagent->body_left -= (uint32_t)taken;
		if (vdagent->body_left > 0)
			return true;
		vdagent->n_message = 0;
		if (!vdagent->skipping)
			take_message(vdagent);
	}
	return true;
}

void vdagent_take(Vdagent *vdagent, const uint8_t *data, size_t size)
{
	while (size > 0 && vdagent->open && !vdagent->broken) {
		size_t taken;

		if (vdagent->chunk_left == 0) {
			if (gather(&vdagent->chunk, sizeof(vdagent->chunk), &vdagent->n_chunk,
				   &data, &size) &&
			    !begin_chunk(vdagent))
				vdagent->broken = true;
			continue;
		}
		taken = MIN(size, vdagent->chunk_left);
		if (!take_chunk(vdagent, data, taken))
			vdagent->broken = true;
		data += taken;
		size -= taken;
		vdagent->chunk_left -= (uint32_t)taken;
	}
	if (vdagent->broken)
		leave(vdagent);
}

void vdagent_restart(Vdagent *vdagent, bool open)
{
	leave(vdagent);
	vdagent->open = open;
	vdagent->broken = false;
	vdagent->capabilities = 0;
	vdagent->n_chunk = vdagent->n_message = 0;
	vdagent->chunk_left = 0;
	g_byte_array_set_size(vdagent->output, 0);
	vdagent->n_sent = 0;
	if (open)
		send_capabilities(vdagent, true);
}

const uint8_t *vdagent_output(const Vdagent *vdagent, size_t *size)
{
	*size = vdagent->output->len - vdagent->n_sent;
	return vdagent->output->data + vdagent->n_sent;
}

void vdagent_sent(Vdagent *vdagent, size_t size)
{
	vdagent->n_sent += size;
	if (vdagent->n_sent == vdagent->output->len) {
		g_byte_array_unref(vdagent->output);
		vdagent->output = g_byte_array_new();
		vdagent->n_sent = 0;
	}
}

void vdagent_set_wake(Vdagent *vdagent, void (*wake)(void *opaque), void *opaque)
{
	vdagent->wake = wake;
	vdagent->opaque = opaque;
}

Vdagent *vdagent_new(Clipboard *clipboard)
{
	Vdagent *vdagent = g_new0(Vdagent, 1);

	vdagent->clipboard = clipboard;
	vdagent->body = g_byte_array_new();
	vdagent->output = g_byte_array_new();
	return vdagent;
}

void vdagent_free(Vdagent *vdagent)
{
	if (!vdagent)
		return;
	leave(vdagent);
	g_byte_array_unref(vdagent->body);
	g_byte_array_unref(vdagent->output);
	g_free(vdagent);
}
