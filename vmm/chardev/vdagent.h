/*
 * vdagent.h: the host's side of the agent protocol of SPICE, as far as it is about the clipboard
 *
 * spice-vdagent in the guest speaks it over a port of a virtio console that is called
 * com.redhat.spice.0: messages, cut into chunks (spice-protocol, vd_agent.h). Main thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/chardev/clipboard.h"

#include <stdint.h>

typedef struct Vdagent Vdagent;

/* A host's side that takes part in @clipboard, which outlives it, once an agent can. */
Vdagent *vdagent_new(Clipboard *clipboard);
void vdagent_free(Vdagent *vdagent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vdagent, vdagent_free)

/* The guest has closed its port, or (@open) opened it: nothing is left of what was before. */
void vdagent_restart(Vdagent *vdagent, bool open);

/*
 * @size bytes came from the guest. After what is not the protocol nothing is looked at any more
 * until the port is opened again.
 */
void vdagent_take(Vdagent *vdagent, const uint8_t *data, size_t size);

/* The bytes that are to go to the guest: the first of them, borrowed until the next call. */
const uint8_t *vdagent_output(const Vdagent *vdagent, size_t *size);
/* @size of them are there. */
void vdagent_sent(Vdagent *vdagent, size_t size);
/* Have @wake called with @opaque when output appears. It calls nothing of this. */
void vdagent_set_wake(Vdagent *vdagent, void (*wake)(void *opaque), void *opaque);
