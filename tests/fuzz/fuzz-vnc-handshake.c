/*
 * fuzz-vnc-handshake.c: what VNC clients say before they are let in, in pieces of any size
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/vnc_handshake.h"

#include <glib.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

/* What the first byte sets. */
enum { FLAG_PASSWORD = 1, FLAG_TLS = 2, FLAG_RIGHT = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t challenge[VNC_CHALLENGE_SIZE];
	VncHandshakeStep step = VNC_HANDSHAKE_MORE;
	bool secured = false, answered = false;
	VncHandshake handshake;
	size_t at = 1;
	uint8_t flags;

	if (size == 0)
		return 0;
	flags = data[0];
	vnc_handshake_start(&handshake, flags & FLAG_PASSWORD, flags & FLAG_TLS, challenge);
	while (step != VNC_HANDSHAKE_PASSED && step != VNC_HANDSHAKE_FAILED) {
		if (handshake.n_out > sizeof(handshake.out))
			abort();
		handshake.n_out = 0;
		if (step == VNC_HANDSHAKE_TLS) {
			secured = true;
			step = vnc_handshake_secured(&handshake);
		} else if (step == VNC_HANDSHAKE_PASSWORD) {
			answered = flags & FLAG_RIGHT;
			step = vnc_handshake_answered(&handshake, answered);
		} else {
			size_t wanted = vnc_handshake_wanted(&handshake);
			size_t n = MIN(1 + (size_t)(flags >> 3), MIN(wanted, size - at));

			if (wanted == 0 || wanted > sizeof(handshake.in))
				abort();
			if (n == 0)
				return 0;
			step = vnc_handshake_take(&handshake, data + at, n);
			at += n;
		}
	}
	if (vnc_handshake_wanted(&handshake) != 0)
		abort();
	/* Nobody gets in without what is asked for. */
	if (step == VNC_HANDSHAKE_PASSED &&
	    ((flags & FLAG_TLS && !secured) || (flags & FLAG_PASSWORD && !answered)))
		abort();
	return 0;
}
