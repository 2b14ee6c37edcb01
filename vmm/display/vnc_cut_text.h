/*
 * vnc_cut_text.h: the clipboard of a VNC client (RFC 6143 §7.5.6, §7.6.4; "Extended Clipboard")
 *
 * Of the module vireo-vnc.so; all on the client's thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <rfb/rfb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest text, bytes of UTF-8 without what may stand before and after it. */
#define VNC_CUT_TEXT_MAX (1u << 20)

/* Called with @size bytes of UTF-8, which may end in NUL; not kept. */
typedef void (*VncCutTextFunc)(void *opaque, const char *text, size_t size);

/*
 * A ClientCutText message is about to be read from @rfb's socket. Where it brings text in UTF-8,
 * read it, call @func, and return true; @rfb is closed if it is none. Others are libvncserver's:
 * false.
 */
bool vnc_cut_text_take(rfbClientPtr rfb, VncCutTextFunc func, void *opaque);

/* The @size bytes of Latin-1 at @latin1, in UTF-8 with NUL; owned. */
char *vnc_cut_text_from_latin1(const char *latin1, size_t size);

/* Tell the client of @text, UTF-8 whose lines end in LF. */
void vnc_cut_text_send(rfbClientPtr rfb, const char *text);

/*
 * What @size bytes of deflated @data hold of a text, @n bytes; owned. NULL where it is none, or
 * longer than VNC_CUT_TEXT_MAX.
 */
char *vnc_cut_text_inflate(const uint8_t *data, size_t size, size_t *n);
