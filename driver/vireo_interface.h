/*
 * vireo_interface.h: the host side of network interfaces
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* What an interface is served by: a descriptor of its tap for each queue, or a
 * connection to passt; none: it is found by its name, or its socket. And of vhost as
 * many as of the tap, or none. */
typedef struct _vireoInterfaceFDs vireoInterfaceFDs;
struct _vireoInterfaceFDs {
    int *fds;
    size_t nfds;
    int *vhostFDs;
    size_t nvhostFDs;
};

/**
 * vireoInterfaceFDsClear:
 *
 * Closes those that are left, and forgets them.
 */
void
vireoInterfaceFDsClear(vireoInterfaceFDs *fds);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(vireoInterfaceFDs, vireoInterfaceFDsClear);

/**
 * vireoInterfaceStart:
 * @vm: the domain, locked; its run-time directory exists
 * @net: an interface of it, or one about to be attached
 * @fds: empty; filled in with what it is served by, which is the caller's
 *
 * Finds out what the interface is connected to, allocating a port of a network,
 * and makes the tap or starts passt. Returns 0, or -1 with an error reported and
 * nothing left behind.
 */
int
vireoInterfaceStart(virDomainObj *vm,
                    virDomainNetDef *net,
                    vireoInterfaceFDs *fds);

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
 * vireoInterfaceFillBridgeTable:
 * @net: an interface that is a port of its bridge
 *
 * Where libvirt fills the bridge's table of addresses itself, does so, and keeps the
 * port from doing it. Returns 0, or -1 with an error reported.
 */
int
vireoInterfaceFillBridgeTable(const virDomainNetDef *net);

/**
 * vireoInterfaceGetStats:
 *
 * What passed through the host's device of @net, which has a name, as its guest sees
 * it. Returns 0, or -1 with an error reported.
 */
int
vireoInterfaceGetStats(const virDomainNetDef *net,
                       virDomainInterfaceStatsPtr stats);

/**
 * vireoInterfaceReconnect:
 *
 * Tells the network that a domain found running uses its port. Failures are
 * logged.
 */
void
vireoInterfaceReconnect(virDomainObj *vm);
