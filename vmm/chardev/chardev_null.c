/*
 * chardev_null.c: -chardev null, output that goes nowhere
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/chardev/chardev_internal.h"

static bool null_open(Chardev *chardev, const ChardevConfig *config, GError **error)
{
	(void)config;
	(void)error;
	chardev_set_open(chardev, true);
	return true;
}

const ChardevOps chardev_null_ops = {
	.object_size = sizeof(Chardev),
	.open = null_open,
};
