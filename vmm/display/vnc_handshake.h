/*
 * vnc_handshake.h: RFB up to the point where a client has passed
 *
 * The server's side of the protocol's version, its security types and VeNCrypt, and of the
 * password, as a machine that takes bytes and gives bytes: whoever has the connection carries
 * them. libvncserver has one list of security types for all of its clients and takes any of them
 * from each, so that a client for which a manager vouches would open the door to another: none of
 * this is left to it.
 *
 * Any thread, one at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VNC_CHALLENGE_SIZE 16u

/*
 * What the client of macOS says it speaks: 3.8, but that without a password there is neither a
 * SecurityResult nor a ClientInit.
 */
#define VNC_MINOR_MACOS 889u

/* What comes next, once @out is sent. */
typedef enum VncHandshakeStep {
	VNC_HANDSHAKE_MORE,	/* vnc_handshake_wanted() bytes of the client's */
	VNC_HANDSHAKE_TLS,	/* TLS, then vnc_handshake_secured() */
	VNC_HANDSHAKE_PASSWORD, /* @in answers @challenge: vnc_handshake_answered() */
	VNC_HANDSHAKE_PASSED,	/* the client goes on with ClientInit */
	VNC_HANDSHAKE_FAILED,	/* the end */
} VncHandshakeStep;

typedef enum VncHandshakeState {
	VNC_HANDSHAKE_VERSION,
	VNC_HANDSHAKE_TYPE,
	VNC_HANDSHAKE_VENCRYPT_VERSION,
	VNC_HANDSHAKE_VENCRYPT_TYPE,
	VNC_HANDSHAKE_ANSWER,
	VNC_HANDSHAKE_OVER,
} VncHandshakeState;

typedef struct VncHandshake {
	VncHandshakeState state;
	bool password, tls; /* what a client needs */
	unsigned minor;	    /* version 3.@minor is spoken */
	size_t wanted;	    /* bytes of the message that comes */
	size_t n_in;
	uint8_t in[VNC_CHALLENGE_SIZE];
	size_t n_out; /* to be sent; who has sent it sets this to 0 */
	uint8_t out[96];
	uint8_t challenge[VNC_CHALLENGE_SIZE];
} VncHandshake;

/*
 * Start: with @password the client has to have it, with @tls it has to use TLS. @challenge is
 * random. The first step is VNC_HANDSHAKE_MORE; the version in @out comes before it.
 */
void vnc_handshake_start(VncHandshake *handshake, bool password, bool tls,
			 const uint8_t challenge[static VNC_CHALLENGE_SIZE]);

/* How many bytes to take at most: what follows them may be TLS's. */
size_t vnc_handshake_wanted(const VncHandshake *handshake);

/* Take @size bytes at @data, at most those that are wanted. */
VncHandshakeStep vnc_handshake_take(VncHandshake *handshake, const uint8_t *data, size_t size);

/* After VNC_HANDSHAKE_TLS: the connection is secured. */
VncHandshakeStep vnc_handshake_secured(VncHandshake *handshake);

/* After VNC_HANDSHAKE_PASSWORD: whether the answer is @right. */
VncHandshakeStep vnc_handshake_answered(VncHandshake *handshake, bool right);
