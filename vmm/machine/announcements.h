/*
 * announcements.h: telling networks where a machine's cards are
 *
 * Main thread, all of these.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qapi-types.h"
#include "vmm/device/device.h"

/* Those on their way. */
typedef struct Announcements Announcements;

/* None yet; they will run on @context and be about the cards in @tree, both borrowed. */
Announcements *announcements_new(GMainContext *context, DeviceTree *tree);

/* Those on their way are not finished. */
void announcements_free(Announcements *announcements);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Announcements, announcements_free)

/* Announce now, and again, as @how says. False and @error where that is out of bounds. */
bool announcements_start(Announcements *announcements, const QapiAnnounceParameters *how,
			 GError **error);
