/*
 * vnc_cursor.c: the guest's cursor as VNC clients draw it
 *
 * libvncserver sends cursors with a mask; those with alpha it does not know.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/vnc_cursor.h"

#include <string.h>

/* A FramebufferUpdate with one rectangle: the cursor, as raw pixels. */
typedef struct AlphaCursor {
	rfbFramebufferUpdateMsg update;
	rfbFramebufferUpdateRectHeader rect;
	uint32_t encoding;
} AlphaCursor;

/* What is half transparent is shown. */
rfbCursorPtr vnc_cursor_new(const DisplayCursor *cursor)
{
	unsigned row = (cursor->width + 7) / 8;
	rfbCursorPtr made = calloc(1, sizeof(*made));

	made->cleanup = TRUE;
	made->cleanupMask = made->cleanupRichSource = TRUE;
	made->width = (unsigned short)cursor->width;
	made->height = (unsigned short)cursor->height;
	made->xhot = (unsigned short)MIN(cursor->hot_x, cursor->width - 1);
	made->yhot = (unsigned short)MIN(cursor->hot_y, cursor->height - 1);
	made->mask = calloc(row, cursor->height);
	made->richSource = malloc((size_t)cursor->width * cursor->height * 4);
	memcpy(made->richSource, cursor->pixels, (size_t)cursor->width * cursor->height * 4);
	for (unsigned y = 0; y < cursor->height; y++) {
		for (unsigned x = 0; x < cursor->width; x++) {
			if (cursor->pixels[y * cursor->width + x] >> 24 >= 0x80)
				made->mask[y * row + x / 8] |= (unsigned char)(0x80u >> x % 8);
		}
	}
	return made;
}

bool vnc_cursor_send_alpha(rfbClientPtr rfb, const DisplayCursor *cursor)
{
	AlphaCursor message = {
		.update = { .type = rfbFramebufferUpdate, .nRects = Swap16IfLE(1) },
		.rect.encoding = Swap32IfLE((uint32_t)VNC_CURSOR_ALPHA),
		.encoding = Swap32IfLE(rfbEncodingRaw),
	};
	g_autofree uint8_t *pixels = NULL;
	size_t n = 0;

	G_STATIC_ASSERT(sizeof(message) == sz_rfbFramebufferUpdateMsg +
						   sz_rfbFramebufferUpdateRectHeader +
						   sizeof(message.encoding));
	if (cursor) {
		n = (size_t)cursor->width * cursor->height;
		message.rect.r.x = Swap16IfLE((uint16_t)MIN(cursor->hot_x, cursor->width - 1));
		message.rect.r.y = Swap16IfLE((uint16_t)MIN(cursor->hot_y, cursor->height - 1));
		message.rect.r.w = Swap16IfLE((uint16_t)cursor->width);
		message.rect.r.h = Swap16IfLE((uint16_t)cursor->height);
	}
	/* Red, green, blue, alpha, whatever the client's pixels are. */
	pixels = g_malloc(n * 4 + 1);
	for (size_t i = 0; i < n; i++) {
		uint32_t pixel = GUINT32_TO_BE(cursor->pixels[i] << 8 | cursor->pixels[i] >> 24);

		memcpy(pixels + i * 4, &pixel, sizeof(pixel));
	}
	return rfbWriteExact(rfb, (char *)&message, sizeof(message)) > 0 &&
	       (n == 0 || rfbWriteExact(rfb, (char *)pixels, (int)(n * 4)) > 0);
}
