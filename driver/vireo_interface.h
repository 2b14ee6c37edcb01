/*
 * vireo_interface.h: the host side of network interfaces
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoInterfaceStart:
 * @vm: the domain, locked; its run-time directory exists
 * @net: an interface of it, or one about to be attached
 * @tapFD: set to the descriptor of the tap or of a connection to passt, which is
 *     the caller's; -1: there is none
 *
 * Finds out what the interface is connected to, allocating a port of a network,
 * and makes the tap or starts passt. Returns 0, or -1 with an error reported and
 * nothing left behind.
 */
int
vireoInterfaceStart(virDomainObj *vm,
                    virDomainNetDef *net,
                    int *tapFD);

/**
 * vireoInterfaceStop:
 *
 * Undoes vireoInterfaceStart as far as closing its descriptor, which the end of the
 * monitor does, does not. Keeps the error that is reported; failures are logged.
 */
void
vireoInterfaceStop(virDomainObj *vm,
                   virDomainNetDef *net);

/**
 * vireoInterfaceReconnect:
 *
 * Tells the network that a domain found running uses its port. Failures are
 * logged.
 */
void
vireoInterfaceReconnect(virDomainObj *vm);
