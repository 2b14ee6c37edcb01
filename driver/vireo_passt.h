/*
 * vireo_passt.h: passt, the network of unprivileged guests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoPasstStart:
 * @vm: the domain, locked
 * @net: an interface of type user
 * @fd: set to a connection to it, the caller's, for -netdev stream
 *
 * Starts a passt, which ends when the last copy of @fd is closed. Returns 0, or
 * -1 with the reason that passt gave reported.
 */
int
vireoPasstStart(virDomainObj *vm,
                virDomainNetDef *net,
                int *fd);
