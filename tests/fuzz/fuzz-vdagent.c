/*
 * fuzz-vdagent.c: what a guest may send as SPICE's agent, and a viewer as deflated text
 *
 * The input is the guest's, in pieces whose sizes it chooses; a viewer copies something now and
 * then. An odd first byte makes the rest a viewer's deflated text.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/chardev/vdagent.h"
#include "vmm/display/vnc_cut_text.h"

static void on_copied(void *opaque, const char *text)
{
	(void)opaque;
	g_assert_true(g_utf8_validate(text, -1, NULL));
}

static const ClipboardPeerOps viewer_ops = { .copied = on_copied };

static void inflate_text(const uint8_t *data, size_t size)
{
	size_t n;
	g_autofree char *text = vnc_cut_text_inflate(data, size, &n);
	unsigned sum = 0;

	for (size_t i = 0; text && i < n; i++)
		sum += (unsigned char)text[i];
	g_assert_true(sum < UINT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(Clipboard) clipboard = NULL;
	ClipboardPeer *viewer;
	Vdagent *vdagent;
	size_t left;

	if (size < 1)
		return 0;
	if (data[0] & 1) {
		inflate_text(data + 1, size - 1);
		return 0;
	}
	clipboard = clipboard_new();
	vdagent = vdagent_new(clipboard);
	viewer = clipboard_join(clipboard, false, &viewer_ops, NULL);
	vdagent_restart(vdagent, true);
	for (size_t at = 1; at < size;) {
		size_t piece = MIN((size_t)data[at] + 1, size - at);
		g_autofree uint8_t *copy = g_memdup2(data + at, piece);

		vdagent_take(vdagent, copy, piece);
		if (piece % 7 == 0)
			clipboard_set(viewer, "a\nb", 3);
		vdagent_output(vdagent, &left);
		vdagent_sent(vdagent, left / 2);
		at += piece;
	}
	vdagent_free(vdagent);
	clipboard_leave(viewer);
	return 0;
}
