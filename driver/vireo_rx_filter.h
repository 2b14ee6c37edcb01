/*
 * vireo_rx_filter.h: host devices that follow what guests want to receive
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* Whether the guest may say what the host's end of @net receives. */
bool
vireoRxFilterIsFollowed(const virDomainNetDef *net);

/**
 * vireoRxFilterFollow:
 * @vm: the domain, locked, active, with a job that lets it talk to its monitor
 *
 * Asks what the guest receives on @net, and makes the macvtap on the host receive
 * that: address, multicast groups, everything. Only for one that is followed.
 * Failures are logged.
 */
void
vireoRxFilterFollow(virDomainObj *vm,
                    virDomainNetDef *net);
