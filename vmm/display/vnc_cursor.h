/*
 * vnc_cursor.h: the guest's cursor as VNC clients draw it (RFC 6143 §7.8.1; "Cursor With Alpha")
 *
 * Of the module vireo-vnc.so; all on the client's thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <rfb/rfb.h>
#include <stdbool.h>

#include "vmm/display/display.h"

/* The encoding by which a client says that it draws cursors that are partly transparent. */
#define VNC_CURSOR_ALPHA (-314)

/* @cursor for libvncserver, with a mask of one bit a pixel; for rfbFreeCursor(). */
rfbCursorPtr vnc_cursor_new(const DisplayCursor *cursor);

/*
 * Send @cursor (NULL: an empty one) to a client that has asked for VNC_CURSOR_ALPHA. False where it
 * is gone.
 */
bool vnc_cursor_send_alpha(rfbClientPtr rfb, const DisplayCursor *cursor);
