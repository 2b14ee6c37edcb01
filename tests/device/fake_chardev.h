/*
 * fake_chardev.h: a chardev that a device test is the host side of
 *
 * It stands in for vmm/chardev at link time: a test that links fake_chardev.c gets this one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/chardev/chardev.h"

struct Chardev {
	const ChardevFrontEnd *front_end; /* NULL: nothing is attached */
	void *opaque;
	GString *written;  /* what the device wrote */
	size_t room;	   /* how many bytes it still takes */
	unsigned accepted; /* calls of chardev_accept_input() */
};

/* Open, with all the room there is. */
void fake_chardev_init(Chardev *chardev);
void fake_chardev_clear(Chardev *chardev);

/* Deliver as much of @text as the device takes now; returns how much. */
size_t fake_chardev_send(Chardev *chardev, const char *text);
