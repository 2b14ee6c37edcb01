/*
 * fuzz-swtpm.c: a hostile swtpm
 *
 * The input is a reply on the control channel or a response of the TPM, looked at as its bytes
 * arrive: nothing is read past them, and once it is whole or bad no byte more makes it right.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/tpm/swtpm_message.h"

#include <string.h>

#define LIMIT 256u

static const SwtpmCommand commands[] = {
	SWTPM_GET_CAPABILITY, SWTPM_INIT, SWTPM_SHUTDOWN,   SWTPM_GET_TPMESTABLISHED,
	SWTPM_CANCEL_TPM_CMD, SWTPM_STOP, SWTPM_SET_DATAFD, SWTPM_SET_BUFFERSIZE,
};

/* @kind: a command of the control channel, or one more for a response. */
static TpmProgress look(unsigned kind, const uint8_t *data, size_t size)
{
	/* Exactly as large as it is, for the sanitizer. */
	g_autofree uint8_t *bytes = g_memdup2(data, size);
	SwtpmReply reply;
	TpmProgress progress;

	if (kind == G_N_ELEMENTS(commands)) {
		progress = tpm_parse_response(bytes, size, LIMIT);
		g_assert_true(progress != TPM_WHOLE || tpm_message_size(bytes) == size);
		g_assert_true(progress != TPM_MORE || size < LIMIT);
		return progress;
	}
	progress = swtpm_parse_reply(commands[kind], bytes, size, &reply);
	g_assert_true(progress != TPM_MORE || size < SWTPM_REPLY_MAX);
	return progress;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TpmProgress before = TPM_MORE;
	unsigned kind;

	if (size < 1)
		return 0;
	kind = data[0] % (G_N_ELEMENTS(commands) + 1);
	for (size_t have = 0; have < size; have++) {
		TpmProgress now = look(kind, data + 1, have);

		g_assert_true(before != TPM_BAD || now == TPM_BAD);
		before = now;
	}
	return 0;
}
