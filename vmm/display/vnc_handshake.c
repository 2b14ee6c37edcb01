/*
 * vnc_handshake.c: RFB up to the point where a client has passed (RFC 6143 §7.1 and §7.2)
 *
 * VeNCrypt 0.2: the server says its version and the client the one it wants, the server says
 * whether that will do and which types there are, the client chooses, and TLS begins. Of its types
 * there are those with X.509 certificates, followed by nothing or by RFB's own password.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/vnc_handshake.h"

#include <glib.h>
#include <string.h>

#define VERSION_SIZE 12u

enum { TYPE_INVALID = 0, TYPE_NONE = 1, TYPE_VNC = 2, TYPE_VENCRYPT = 19 };
enum { VENCRYPT_X509_NONE = 260, VENCRYPT_X509_VNC = 261 };

static const char version[] = "RFB 003.008\n";

static void say(VncHandshake *handshake, const void *data, size_t size)
{
	g_return_if_fail(handshake->n_out + size <= sizeof(handshake->out));
	memcpy(handshake->out + handshake->n_out, data, size);
	handshake->n_out += size;
}

static void say_byte(VncHandshake *handshake, uint8_t value)
{
	say(handshake, &value, sizeof(value));
}

static void say_word(VncHandshake *handshake, uint32_t value)
{
	uint32_t big_endian = GUINT32_TO_BE(value);

	say(handshake, &big_endian, sizeof(big_endian));
}

static void say_reason(VncHandshake *handshake, const char *reason)
{
	say_word(handshake, (uint32_t)strlen(reason));
	say(handshake, reason, strlen(reason));
}

static VncHandshakeStep expect(VncHandshake *handshake, VncHandshakeState state, size_t size)
{
	handshake->state = state;
	handshake->wanted = size;
	handshake->n_in = 0;
	return VNC_HANDSHAKE_MORE;
}

static VncHandshakeStep end(VncHandshake *handshake, VncHandshakeStep step)
{
	handshake->state = VNC_HANDSHAKE_OVER;
	handshake->wanted = 0;
	return step;
}

/* SecurityResult, §7.1.3; reasons are 3.8's. */
static VncHandshakeStep refuse(VncHandshake *handshake, const char *reason)
{
	say_word(handshake, 1);
	if (handshake->minor >= 8)
		say_reason(handshake, reason);
	return end(handshake, VNC_HANDSHAKE_FAILED);
}

/* The client has come to where its password is asked for, if it needs one. */
static VncHandshakeStep authenticate(VncHandshake *handshake)
{
	if (handshake->password) {
		say(handshake, handshake->challenge, VNC_CHALLENGE_SIZE);
		return expect(handshake, VNC_HANDSHAKE_ANSWER, VNC_CHALLENGE_SIZE);
	}
	if (handshake->minor == 8)
		say_word(handshake, 0);
	return end(handshake, VNC_HANDSHAKE_PASSED);
}

static uint8_t type_of(const VncHandshake *handshake)
{
	if (handshake->tls)
		return TYPE_VENCRYPT;
	return handshake->password ? TYPE_VNC : TYPE_NONE;
}

/* §7.1.2; with 3.3 the server chooses, and there is nothing of VeNCrypt. */
static VncHandshakeStep offer_types(VncHandshake *handshake)
{
	if (handshake->minor >= 7) {
		say_byte(handshake, 1);
		say_byte(handshake, type_of(handshake));
		return expect(handshake, VNC_HANDSHAKE_TYPE, 1);
	}
	if (handshake->tls) {
		say_word(handshake, TYPE_INVALID);
		say_reason(handshake, "this screen is for clients that use TLS (VeNCrypt)");
		return end(handshake, VNC_HANDSHAKE_FAILED);
	}
	say_word(handshake, type_of(handshake));
	return authenticate(handshake);
}

/* "RFB 003.00M\n"; other numbers than those of the protocol's versions are taken for the nearest.
 */
static VncHandshakeStep take_version(VncHandshake *handshake)
{
	const uint8_t *in = handshake->in;
	unsigned minor = 0;

	if (memcmp(in, version, strlen("RFB 003.")) != 0 || in[VERSION_SIZE - 1] != '\n')
		return end(handshake, VNC_HANDSHAKE_FAILED);
	for (size_t i = strlen("RFB 003."); i < VERSION_SIZE - 1; i++) {
		if (!g_ascii_isdigit(in[i]))
			return end(handshake, VNC_HANDSHAKE_FAILED);
		minor = minor * 10 + (in[i] - '0');
	}
	if (minor != VNC_MINOR_MACOS)
		minor = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
	handshake->minor = minor;
	return offer_types(handshake);
}

static VncHandshakeStep take_type(VncHandshake *handshake)
{
	if (handshake->in[0] != type_of(handshake))
		return refuse(handshake,
			      handshake->tls ? "this screen is for clients that use TLS (VeNCrypt)"
					     : "that security type was not offered");
	if (!handshake->tls)
		return authenticate(handshake);
	say_byte(handshake, 0);
	say_byte(handshake, 2);
	return expect(handshake, VNC_HANDSHAKE_VENCRYPT_VERSION, 2);
}

static VncHandshakeStep take_vencrypt_version(VncHandshake *handshake)
{
	bool known = handshake->in[0] == 0 && handshake->in[1] == 2;

	say_byte(handshake, known ? 0 : 1);
	if (!known)
		return end(handshake, VNC_HANDSHAKE_FAILED);
	say_byte(handshake, 1);
	say_word(handshake, handshake->password ? VENCRYPT_X509_VNC : VENCRYPT_X509_NONE);
	return expect(handshake, VNC_HANDSHAKE_VENCRYPT_TYPE, sizeof(uint32_t));
}

static VncHandshakeStep take_vencrypt_type(VncHandshake *handshake)
{
	uint32_t type;

	memcpy(&type, handshake->in, sizeof(type));
	if (GUINT32_FROM_BE(type) !=
	    (handshake->password ? VENCRYPT_X509_VNC : VENCRYPT_X509_NONE)) {
		say_byte(handshake, 0);
		return end(handshake, VNC_HANDSHAKE_FAILED);
	}
	say_byte(handshake, 1);
	return end(handshake, VNC_HANDSHAKE_TLS);
}

void vnc_handshake_start(VncHandshake *handshake, bool password, bool tls,
			 const uint8_t challenge[static VNC_CHALLENGE_SIZE])
{
	*handshake = (VncHandshake){ .password = password, .tls = tls };
	memcpy(handshake->challenge, challenge, VNC_CHALLENGE_SIZE);
	say(handshake, version, VERSION_SIZE);
	expect(handshake, VNC_HANDSHAKE_VERSION, VERSION_SIZE);
}

size_t vnc_handshake_wanted(const VncHandshake *handshake)
{
	return handshake->wanted - MIN(handshake->n_in, handshake->wanted);
}

VncHandshakeStep vnc_handshake_take(VncHandshake *handshake, const uint8_t *data, size_t size)
{
	size = MIN(size, vnc_handshake_wanted(handshake));
	memcpy(handshake->in + handshake->n_in, data, size);
	handshake->n_in += size;
	if (handshake->n_in < handshake->wanted)
		return VNC_HANDSHAKE_MORE;
	switch (handshake->state) {
	case VNC_HANDSHAKE_VERSION:
		return take_version(handshake);
	case VNC_HANDSHAKE_TYPE:
		return take_type(handshake);
	case VNC_HANDSHAKE_VENCRYPT_VERSION:
		return take_vencrypt_version(handshake);
	case VNC_HANDSHAKE_VENCRYPT_TYPE:
		return take_vencrypt_type(handshake);
	case VNC_HANDSHAKE_ANSWER:
		return end(handshake, VNC_HANDSHAKE_PASSWORD);
	case VNC_HANDSHAKE_OVER:
		break;
	}
	return VNC_HANDSHAKE_FAILED;
}

VncHandshakeStep vnc_handshake_secured(VncHandshake *handshake)
{
	return authenticate(handshake);
}

VncHandshakeStep vnc_handshake_answered(VncHandshake *handshake, bool right)
{
	if (!right)
		return refuse(handshake, "the password is not right");
	say_word(handshake, 0);
	return end(handshake, VNC_HANDSHAKE_PASSED);
}
