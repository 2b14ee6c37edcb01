/*
 * virtio_balloon_parts.h: host pages that are larger than the balloon's
 *
 * A balloon's pages have 4 KiB. Where the host's are larger, one can go when all of its parts are
 * in the balloon, in whatever order they came: a driver takes what it finds free, here and there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The largest host page that is put together: 2 MiB. */
#define BALLOON_PARTS_MAX 512u

typedef struct BalloonParts BalloonParts;

/* No part is in the balloon yet. The caller owns it; one thread at a time may use it. */
BalloonParts *balloon_parts_new(void);
void balloon_parts_free(BalloonParts *parts);

/* All are out of the balloon, as after a reset of its driver. */
void balloon_parts_clear(BalloonParts *parts);

/*
 * The @part-th 4 KiB of the host page at @page, of @n_parts (at most BALLOON_PARTS_MAX), are in the
 * balloon from now on, or were before. Whether the whole of that page is, with them. Remembering
 * takes some 100 bytes a host page.
 */
bool balloon_parts_add(BalloonParts *parts, const void *page, unsigned part, unsigned n_parts);

/* They are not, or were not. */
void balloon_parts_remove(BalloonParts *parts, const void *page, unsigned part);
