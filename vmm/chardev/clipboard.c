/*
 * clipboard.c: text that an agent in the guest and the viewers of its screens copy and paste
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/text_lines.h"
#include "vmm/chardev/clipboard.h"

struct ClipboardPeer {
	Clipboard *clipboard;
	bool agent;
	const ClipboardPeerOps *ops;
	void *opaque;
};

struct Clipboard {
	GPtrArray *peers;     /* ClipboardPeer *, owned */
	unsigned n_agents;    /* of them */
	ClipboardPeer *owner; /* who copied last; NULL: nobody */
	bool fetching;	      /* the owner has been asked */
	char *text;	      /* NULL: none, or not fetched */
};

Clipboard *clipboard_new(void)
{
	Clipboard *clipboard = g_new0(Clipboard, 1);

	clipboard->peers = g_ptr_array_new_with_free_func(g_free);
	return clipboard;
}

static void clear(Clipboard *clipboard)
{
	clipboard->owner = NULL;
	clipboard->fetching = false;
	g_clear_pointer(&clipboard->text, g_free);
}

void clipboard_free(Clipboard *clipboard)
{
	if (!clipboard)
		return;
	clear(clipboard);
	g_ptr_array_unref(clipboard->peers);
	g_free(clipboard);
}

/* Ask the owner, if there is somebody to ask for. */
static void fetch(Clipboard *clipboard)
{
	ClipboardPeer *owner = clipboard->owner;

	if (!owner || clipboard->text || clipboard->fetching || clipboard->peers->len < 2)
		return;
	clipboard->fetching = true;
	owner->ops->fetch(owner->opaque);
}

static void tell_others(Clipboard *clipboard)
{
	for (unsigned i = 0; i < clipboard->peers->len; i++) {
		const ClipboardPeer *peer = clipboard->peers->pdata[i];

		if (peer != clipboard->owner)
			peer->ops->copied(peer->opaque, clipboard->text);
	}
}

ClipboardPeer *clipboard_join(Clipboard *clipboard, bool agent, const ClipboardPeerOps *ops,
			      void *opaque)
{
	ClipboardPeer *peer = g_new0(ClipboardPeer, 1);

	peer->clipboard = clipboard;
	peer->agent = agent;
	peer->ops = ops;
	peer->opaque = opaque;
	g_ptr_array_add(clipboard->peers, peer);
	clipboard->n_agents += agent;
	if (clipboard->text)
		ops->copied(opaque, clipboard->text);
	fetch(clipboard);
	return peer;
}

void clipboard_leave(ClipboardPeer *peer)
{
	Clipboard *clipboard = peer->clipboard;

	clipboard_release(peer);
	clipboard->n_agents -= peer->agent;
	g_ptr_array_remove(clipboard->peers, peer);
	if (clipboard->n_agents == 0)
		clear(clipboard);
}

void clipboard_announce(ClipboardPeer *peer)
{
	Clipboard *clipboard = peer->clipboard;

	clear(clipboard);
	clipboard->owner = peer;
	fetch(clipboard);
}

void clipboard_set(ClipboardPeer *peer, const char *text, size_t size)
{
	Clipboard *clipboard = peer->clipboard;
	g_autofree char *copy = NULL;

	if (clipboard->n_agents == 0 || size > CLIPBOARD_MAX)
		return;
	copy = g_strndup(text, size);
	if (!g_utf8_validate(copy, -1, NULL))
		return;
	text_lines_to_lf(copy);
	clear(clipboard);
	clipboard->owner = peer;
	clipboard->text = g_steal_pointer(&copy);
	tell_others(clipboard);
}

void clipboard_release(ClipboardPeer *peer)
{
	if (peer->clipboard->owner == peer)
		clear(peer->clipboard);
}

const char *clipboard_text(const Clipboard *clipboard)
{
	return clipboard->text;
}
