/*
 * clipboard.h: text that an agent in the guest and the viewers of its screens copy and paste
 *
 * Each who takes part is a peer. What one has copied is the clipboard's until another copies
 * something; it is fetched from an agent only where there is somebody to show it to. Where no
 * agent takes part, nothing is kept.
 *
 * Text is UTF-8 with lines that end in LF, without NUL. Main thread, all of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* The longest text, bytes. */
#define CLIPBOARD_MAX (1u << 20)

typedef struct Clipboard Clipboard;
typedef struct ClipboardPeer ClipboardPeer;

typedef struct ClipboardPeerOps {
	/* Another peer has copied @text, borrowed. */
	void (*copied)(void *opaque, const char *text);
	/* Give what was announced: clipboard_set() follows, now or later. NULL: never announces. */
	void (*fetch)(void *opaque);
} ClipboardPeerOps;

/* An empty clipboard without peers. */
Clipboard *clipboard_new(void);
/* No peer is left. */
void clipboard_free(Clipboard *clipboard);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Clipboard, clipboard_free)

/*
 * Take part: as an @agent of the guest, or as a viewer, who soon hears what there is. @ops is
 * static.
 */
ClipboardPeer *clipboard_join(Clipboard *clipboard, bool agent, const ClipboardPeerOps *ops,
			      void *opaque);
/* What it has copied goes with it. */
void clipboard_leave(ClipboardPeer *peer);

/* @peer has copied text, which is fetched when somebody wants it. */
void clipboard_announce(ClipboardPeer *peer);
/*
 * @peer has copied @size bytes of @text, or was asked for that. What is not UTF-8 or too long is
 * ignored; it ends before a NUL, and CR LF becomes LF.
 */
void clipboard_set(ClipboardPeer *peer, const char *text, size_t size);
/* @peer has nothing copied any more. */
void clipboard_release(ClipboardPeer *peer);

/* What there is, borrowed until the next call; NULL: nothing, or nothing that was fetched. */
const char *clipboard_text(const Clipboard *clipboard);
