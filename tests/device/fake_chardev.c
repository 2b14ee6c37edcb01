/*
 * fake_chardev.c: a chardev that a device test is the host side of
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_chardev.h"

#include <string.h>

#include "vmm/base/error.h"

void fake_chardev_init(Chardev *chardev)
{
	*chardev = (Chardev){ .written = g_string_new(NULL), .room = SIZE_MAX };
}

void fake_chardev_clear(Chardev *chardev)
{
	g_assert_null(chardev->front_end);
	g_string_free(chardev->written, TRUE);
}

size_t fake_chardev_send(Chardev *chardev, const char *text)
{
	size_t size = MIN(chardev->front_end->can_receive(chardev->opaque), strlen(text));

	if (size > 0)
		chardev->front_end->receive(chardev->opaque, (const uint8_t *)text, size);
	return size;
}

bool chardev_attach(Chardev *chardev, const char *user, const ChardevFrontEnd *front_end,
		    void *opaque, GError **error)
{
	if (chardev->front_end)
		return error_fail(error, "%s: the chardev is in use", user);
	chardev->front_end = front_end;
	chardev->opaque = opaque;
	if (front_end->event)
		front_end->event(opaque, CHARDEV_OPENED);
	return true;
}

void chardev_detach(Chardev *chardev)
{
	chardev->front_end = NULL;
}

void chardev_accept_input(Chardev *chardev)
{
	chardev->accepted++;
}

size_t chardev_write(Chardev *chardev, const uint8_t *data, size_t size)
{
	size = MIN(size, chardev->room);
	chardev->room -= size;
	g_string_append_len(chardev->written, (const char *)data, (gssize)size);
	return size;
}
