/*
 * fuzz-qmp-framing.c: bytes from a peer; in pieces they are the same messages as in one go
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>

#include "qmp/qmp_framing.h"
#include "tests/fuzz/fuzz.h"

/* What comes out of a framer, as text. */
static GString *frames(const uint8_t *data, size_t size, size_t piece)
{
	g_autoptr(QmpFramer) framer = qmp_framer_new();
	GString *out = g_string_new(NULL);

	for (size_t at = 0, end; at < size; at = end) {
		end = MIN(size, at + piece);
		while (at < end) {
			QmpFrame frame;

			at += qmp_framer_feed(framer, (const char *)data + at, end - at, &frame);
			if (frame.kind == QMP_FRAME_NONE)
				break;
			g_string_append(out, frame.kind == QMP_FRAME_ERROR
						     ? frame.error
						     : json_object_to_json_string(frame.message));
			g_string_append_c(out, '\n');
			json_object_put(frame.message);
		}
	}
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GString) whole = NULL;
	g_autoptr(GString) pieces = NULL;

	if (!size)
		return 0;
	whole = frames(data + 1, size - 1, size);
	pieces = frames(data + 1, size - 1, 1u + data[0] % 16);
	if (!g_string_equal(whole, pieces))
		abort();
	return 0;
}
