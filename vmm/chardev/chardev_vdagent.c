/*
 * chardev_vdagent.c: -chardev qemu-vdagent, the clipboard of a guest with spice-vdagent
 *
 * There is no descriptor behind it. What the guest writes waits for the main thread, which has the
 * clipboard; whether the guest has its port open comes in the same order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/chardev/chardev_internal.h"
#include "vmm/chardev/vdagent.h"

/* Of input that waits, bytes. */
#define INPUT_MAX 65536u

typedef struct ChardevVdagent {
	Chardev chardev;
	Vdagent *agent;

	/* Under the chardev's lock. */
	GByteArray *input;
	bool restarted; /* before @input */
	bool guest_open;
} ChardevVdagent;

static void wake(void *opaque)
{
	chardev_accept_input(opaque);
}

static bool vdagent_open(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	ChardevVdagent *vdagent = (ChardevVdagent *)chardev;

	if (!config->clipboard)
		return error_fail(error, "'clipboard=on' is missing: a qemu-vdagent does nothing else");
	vdagent->input = g_byte_array_new();
	vdagent->agent = vdagent_new(chardev_clipboard(chardev));
	vdagent_set_wake(vdagent->agent, wake, chardev);
	chardev_set_open(chardev, true);
	return true;
}

static void vdagent_close(Chardev *chardev)
{
	ChardevVdagent *vdagent = (ChardevVdagent *)chardev;

	vdagent_free(vdagent->agent);
	if (vdagent->input)
		g_byte_array_unref(vdagent->input);
}

static size_t vdagent_write(Chardev *chardev, const uint8_t *data, size_t size)
{
	ChardevVdagent *vdagent = (ChardevVdagent *)chardev;
	size_t taken = MIN(size, INPUT_MAX - vdagent->input->len);

	g_byte_array_append(vdagent->input, data, (guint)taken);
	chardev->write_blocked = taken < size;
	chardev_accept_input(chardev);
	return taken;
}

static void guest_opened(Chardev *chardev, bool open)
{
	ChardevVdagent *vdagent = (ChardevVdagent *)chardev;

	g_byte_array_set_size(vdagent->input, 0);
	vdagent->restarted = true;
	vdagent->guest_open = open;
	chardev_accept_input(chardev);
}

static void vdagent_attend(Chardev *chardev)
{
	ChardevVdagent *vdagent = (ChardevVdagent *)chardev;
	g_autoptr(GByteArray) input = NULL;
	const uint8_t *output;
	bool restarted, open, was_blocked;
	size_t left;

	/* An agent that does not read is not listened to either. */
	vdagent_output(vdagent->agent, &left);
	g_mutex_lock(&chardev->lock);
	restarted = vdagent->restarted;
	open = vdagent->guest_open;
	vdagent->restarted = false;
	if ((restarted || left <= INPUT_MAX) && vdagent->input->len > 0) {
		input = g_steal_pointer(&vdagent->input);
		vdagent->input = g_byte_array_new();
	}
	was_blocked = chardev->write_blocked && input;
	g_mutex_unlock(&chardev->lock);

	if (restarted)
		vdagent_restart(vdagent->agent, open);
	if (input)
		vdagent_take(vdagent->agent, input->data, input->len);
	if (was_blocked)
		chardev_writable(chardev);
	output = vdagent_output(vdagent->agent, &left);
	if (left > 0)
		vdagent_sent(vdagent->agent, chardev_deliver(chardev, output, left));
}

const ChardevOps chardev_vdagent_ops = {
	.object_size = sizeof(ChardevVdagent),
	.open = vdagent_open,
	.close = vdagent_close,
	.write = vdagent_write,
	.guest_opened = guest_opened,
	.attend = vdagent_attend,
};
