/*
 * vireo_barrier.h: interfaces that pass nothing while what filters them changes
 *
 * libvirt's filters of an interface are taken away as a whole, and others are put in their place. What
 * comes and goes in between would not be filtered, so it is dropped, as on a wire with a bad contact.
 *
 * Barriers are in the domain's status: a daemon that is started in between takes them away once the
 * filter is there. The functions take a domain that is active, locked and in a job.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoBarrierClose:
 * @ifname: the tap of one of the domain's interfaces
 *
 * From now on no frame passes. Returns 0, also if that was so before, or -1 with an error reported and
 * nothing changed.
 */
int
vireoBarrierClose(virDomainObj *vm,
                  const char *ifname);

/* Whether the interface is closed. */
bool
vireoBarrierIsClosed(virDomainObj *vm,
                     const char *ifname);

/* From now on frames pass again. Failure is logged. */
void
vireoBarrierOpen(virDomainObj *vm,
                 const char *ifname);

/* In the domain's status. */
void
vireoBarriersFormat(virBuffer *buf,
                    GHashTable *barriers);
int
vireoBarriersParse(xmlXPathContextPtr ctxt,
                   GHashTable *barriers);
