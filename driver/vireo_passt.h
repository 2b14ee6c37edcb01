/*
 * vireo_passt.h: passt, the network of unprivileged guests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoPasstStart:
 * @vm: the domain, locked; its run-time directory exists
 * @net: an interface of type user
 *
 * Starts a passt that waits for the monitor on ALIAS-passt.sock in the run-time
 * directory. Returns 0, or -1 with an error reported.
 */
int
vireoPasstStart(virDomainObj *vm,
                virDomainNetDef *net);

/**
 * vireoPasstStop:
 *
 * Ends it, if it did not end with the monitor, and removes its files.
 */
void
vireoPasstStop(virDomainObj *vm,
               virDomainNetDef *net);
