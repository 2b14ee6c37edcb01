/*
 * vireo_update_net.h: new settings of the interfaces of a running domain
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoUpdateNetCheck:
 * @def: of the running domain
 * @old: an interface of it
 * @wanted: what it is to be; what it leaves open is taken from @old
 *
 * Makes sure that the two differ in nothing that cannot change. Whether the user
 * describes the interface as it was defined or as it is shown now is no difference.
 * Returns 0 if they differ in <link state> at most, 1 if also in what the host does
 * with it, or -1 with an error reported, which names what cannot change.
 */
int
vireoUpdateNetCheck(virDomainDef *def,
                    virDomainXMLOption *xmlopt,
                    virDomainNetDef *old,
                    virDomainNetDef *wanted);

/**
 * vireoUpdateNet:
 * @vm: running, locked, in a job
 * @dev: an interface as it is to be, of the address of one there is; may be taken
 *
 * Changes the interface on the host, and in the definition. Returns 0, or -1 with an
 * error reported.
 */
int
vireoUpdateNet(virDomainObj *vm,
               virDomainDeviceDef *dev);
