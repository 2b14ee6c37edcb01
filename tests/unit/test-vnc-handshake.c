/*
 * test-vnc-handshake.c: how a VNC client gets in
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/vnc_handshake.h"

#include <glib.h>
#include <string.h>

static const uint8_t challenge[VNC_CHALLENGE_SIZE] = "0123456789abcdef";

#define RESPONSE "fedcba9876543210"

/* What the server has said is @expected of @size bytes. */
static void assert_said(VncHandshake *handshake, const char *expected, size_t size)
{
	g_assert_cmpmem(handshake->out, handshake->n_out, expected, size);
	handshake->n_out = 0;
}

#define ASSERT_SAID(handshake, text) assert_said(handshake, text, sizeof(text) - 1)

/* Say @text of @size bytes, one byte at a time; the last one's step. */
static VncHandshakeStep tell(VncHandshake *handshake, const char *text, size_t size)
{
	VncHandshakeStep step = VNC_HANDSHAKE_MORE;

	for (size_t i = 0; i < size; i++) {
		g_assert_cmpint(step, ==, VNC_HANDSHAKE_MORE);
		g_assert_cmpuint(vnc_handshake_wanted(handshake), >, 0);
		step = vnc_handshake_take(handshake, (const uint8_t *)text + i, 1);
	}
	return step;
}

#define TELL(handshake, text) tell(handshake, text, sizeof(text) - 1)

static void start(VncHandshake *handshake, bool password, bool tls)
{
	vnc_handshake_start(handshake, password, tls, challenge);
	ASSERT_SAID(handshake, "RFB 003.008\n");
	g_assert_cmpuint(vnc_handshake_wanted(handshake), ==, 12);
}

static void assert_over(const VncHandshake *handshake)
{
	g_assert_cmpuint(vnc_handshake_wanted(handshake), ==, 0);
	g_assert_cmpint(handshake->state, ==, VNC_HANDSHAKE_OVER);
}

static void test_open(void)
{
	VncHandshake handshake;

	start(&handshake, false, false);
	g_assert_cmpint(TELL(&handshake, "RFB 003.008\n"), ==, VNC_HANDSHAKE_MORE);
	ASSERT_SAID(&handshake, "\1\1");
	g_assert_cmpint(TELL(&handshake, "\1"), ==, VNC_HANDSHAKE_PASSED);
	ASSERT_SAID(&handshake, "\0\0\0\0");
	assert_over(&handshake);

	/* 3.7 and macOS have no result; 3.3 no choice. */
	start(&handshake, false, false);
	g_assert_cmpint(TELL(&handshake, "RFB 003.007\n"), ==, VNC_HANDSHAKE_MORE);
	ASSERT_SAID(&handshake, "\1\1");
	g_assert_cmpint(TELL(&handshake, "\1"), ==, VNC_HANDSHAKE_PASSED);
	ASSERT_SAID(&handshake, "");
	start(&handshake, false, false);
	TELL(&handshake, "RFB 003.889\n");
	ASSERT_SAID(&handshake, "\1\1");
	g_assert_cmpint(TELL(&handshake, "\1"), ==, VNC_HANDSHAKE_PASSED);
	ASSERT_SAID(&handshake, "");
	g_assert_cmpuint(handshake.minor, ==, VNC_MINOR_MACOS);
	start(&handshake, false, false);
	g_assert_cmpint(TELL(&handshake, "RFB 003.003\n"), ==, VNC_HANDSHAKE_PASSED);
	ASSERT_SAID(&handshake, "\0\0\0\1");
	g_assert_cmpuint(handshake.minor, ==, 3);
}

static void test_password(void)
{
	VncHandshake handshake;

	for (unsigned right = 0; right < 2; right++) {
		start(&handshake, true, false);
		TELL(&handshake, "RFB 003.008\n");
		ASSERT_SAID(&handshake, "\1\2");
		g_assert_cmpint(TELL(&handshake, "\2"), ==, VNC_HANDSHAKE_MORE);
		assert_said(&handshake, (const char *)challenge, sizeof(challenge));
		g_assert_cmpint(TELL(&handshake, RESPONSE), ==, VNC_HANDSHAKE_PASSWORD);
		g_assert_cmpmem(handshake.in, VNC_CHALLENGE_SIZE, RESPONSE, strlen(RESPONSE));
		g_assert_cmpint(vnc_handshake_answered(&handshake, right), ==,
				right ? VNC_HANDSHAKE_PASSED : VNC_HANDSHAKE_FAILED);
		g_assert_cmpuint(handshake.out[3], ==, !right);
		assert_over(&handshake);
	}
	/* 3.3: the challenge comes unasked, and a refusal has no reason. */
	start(&handshake, true, false);
	TELL(&handshake, "RFB 003.003\n");
	ASSERT_SAID(&handshake, "\0\0\0\2"
				"0123456789abcdef");
	g_assert_cmpint(TELL(&handshake, RESPONSE), ==, VNC_HANDSHAKE_PASSWORD);
	vnc_handshake_answered(&handshake, false);
	ASSERT_SAID(&handshake, "\0\0\0\1");
}

static void test_vencrypt(void)
{
	VncHandshake handshake;

	for (unsigned password = 0; password < 2; password++) {
		start(&handshake, password, true);
		TELL(&handshake, "RFB 003.008\n");
		ASSERT_SAID(&handshake, "\1\23");
		TELL(&handshake, "\23");
		ASSERT_SAID(&handshake, "\0\2");
		TELL(&handshake, "\0\2");
		assert_said(&handshake, password ? "\0\1\0\0\1\5" : "\0\1\0\0\1\4", 6);
		g_assert_cmpint(tell(&handshake, password ? "\0\0\1\5" : "\0\0\1\4", 4), ==,
				VNC_HANDSHAKE_TLS);
		ASSERT_SAID(&handshake, "\1");
		/* What comes now is TLS's. */
		g_assert_cmpuint(vnc_handshake_wanted(&handshake), ==, 0);
		if (password) {
			g_assert_cmpint(vnc_handshake_secured(&handshake), ==, VNC_HANDSHAKE_MORE);
			assert_said(&handshake, (const char *)challenge, sizeof(challenge));
			g_assert_cmpint(TELL(&handshake, RESPONSE), ==, VNC_HANDSHAKE_PASSWORD);
			vnc_handshake_answered(&handshake, true);
		} else {
			g_assert_cmpint(vnc_handshake_secured(&handshake), ==,
					VNC_HANDSHAKE_PASSED);
		}
		ASSERT_SAID(&handshake, "\0\0\0\0");
		assert_over(&handshake);
	}
}

/* Whatever was not offered is refused. */
static void test_refused(void)
{
	static const char *const versions[] = { "RFB 004.000\n", "RFB 003.00x\n", "GET / HTTP/1",
						"RFB 003.008 ",
						"\x16\x03\x01\x02\0\1\0\1\xfc\3\3\n" };
	VncHandshake handshake;

	for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
		start(&handshake, false, i % 2);
		g_assert_cmpint(tell(&handshake, versions[i], 12), ==, VNC_HANDSHAKE_FAILED);
		ASSERT_SAID(&handshake, "");
		assert_over(&handshake);
	}
	for (unsigned type = 0; type < 256; type++) {
		uint8_t byte = (uint8_t)type;

		for (unsigned kind = 0; kind < 4; kind++) {
			bool offered = type == (kind & 2 ? 19 : kind & 1 ? 2 : 1);

			start(&handshake, kind & 1, kind & 2);
			TELL(&handshake, "RFB 003.008\n");
			handshake.n_out = 0;
			g_assert_cmpint(vnc_handshake_take(&handshake, &byte, 1) ==
						VNC_HANDSHAKE_FAILED,
					!=, offered);
		}
	}
	start(&handshake, false, true);
	g_assert_cmpint(TELL(&handshake, "RFB 003.003\n"), ==, VNC_HANDSHAKE_FAILED);
	g_assert_cmpmem(handshake.out, 4, "\0\0\0\0", 4);
	start(&handshake, false, true);
	TELL(&handshake, "RFB 003.008\n\23");
	g_assert_cmpint(TELL(&handshake, "\0\1"), ==, VNC_HANDSHAKE_FAILED);
	/* Neither another type of VeNCrypt (TLSNone), nor the one without the password. */
	for (unsigned i = 0; i < 2; i++) {
		start(&handshake, i, true);
		TELL(&handshake, "RFB 003.008\n\23"
				 "\0\2");
		g_assert_cmpint(tell(&handshake, i ? "\0\0\1\4" : "\0\0\1\1", 4), ==,
				VNC_HANDSHAKE_FAILED);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vnc-handshake/open", test_open);
	g_test_add_func("/vnc-handshake/password", test_password);
	g_test_add_func("/vnc-handshake/vencrypt", test_vencrypt);
	g_test_add_func("/vnc-handshake/refused", test_refused);
	return g_test_run();
}
