/*
 * vireo_bandwidth.h: how fast interfaces may be
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virnetdevbandwidth.h"

#define VIREO_BANDWIDTH_PARAMS 7

/**
 * vireoBandwidthMerge:
 * @old: the limits there are; may be NULL
 * @params: VIR_DOMAIN_BANDWIDTH_*
 * @merged: set to the limits there are to be, NULL for none; free it
 *
 * A direction that @params do not name stays as it is; one that they do name is
 * theirs alone, and has no limit if its average and floor are 0. Returns 0, or -1
 * with an error reported.
 */
int
vireoBandwidthMerge(const virNetDevBandwidth *old,
                    virTypedParameterPtr params,
                    int nparams,
                    virNetDevBandwidth **merged);

/**
 * vireoBandwidthFormat:
 * @bandwidth: may be NULL
 * @nparams: how many there is room for; set to how many were filled in, or if it
 * is 0, to how many there are
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoBandwidthFormat(const virNetDevBandwidth *bandwidth,
                     virTypedParameterPtr params,
                     int *nparams);

/**
 * vireoBandwidthCheck:
 *
 * Makes sure that an interface like @net can have @bandwidth (may be NULL). Returns
 * 0, or -1 with an error reported.
 */
int
vireoBandwidthCheck(const virDomainNetDef *net,
                    const virNetDevBandwidth *bandwidth);

/**
 * vireoBandwidthSet:
 * @net: an interface of a definition
 * @bandwidth: may be NULL
 *
 * Puts a copy of @bandwidth into @net.
 */
void
vireoBandwidthSet(virDomainNetDef *net,
                  const virNetDevBandwidth *bandwidth);

/**
 * vireoBandwidthApplyHost:
 * @net: an interface of a running domain
 * @bandwidth: may be NULL
 *
 * Has the host limit the interface. Returns 0, or -1 with an error reported and the
 * limits unknown.
 */
int
vireoBandwidthApplyHost(virDomainNetDef *net,
                        const virNetDevBandwidth *bandwidth);

/**
 * vireoBandwidthApply:
 * @net: an interface of a running domain
 * @bandwidth: may be NULL
 *
 * Has the host limit the interface, and puts a copy of @bandwidth into @net. Returns
 * 0, or -1 with an error reported and the limits as they were.
 */
int
vireoBandwidthApply(virDomainNetDef *net,
                    const virNetDevBandwidth *bandwidth);
