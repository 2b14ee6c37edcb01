/*
 * vireo_vsock.h: sockets between host and guest
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virjson.h"

/**
 * vireoVsockOpen:
 *
 * Opens the kernel's side of @vsock and takes its context id, or a free one if that
 * is to be found here; @vsock then has it. Whoever holds the descriptor has the id.
 * Returns the descriptor, the caller's, or -1 with an error reported.
 */
int
vireoVsockOpen(virDomainVsockDef *vsock);

/**
 * vireoVsockProps:
 * @fd: number of vireoVsockOpen's descriptor in the monitor, or its name there; NULL:
 *     the monitor opens it
 *
 * -device / device_add; NULL with an error reported
 */
virJSONValue *
vireoVsockProps(const virDomainDef *def,
                const virDomainVsockDef *vsock,
                const char *fd);

/* Whether Vireo has what @vsock asks for: 0, or -1 with an error reported. */
int
vireoVsockValidate(const virDomainVsockDef *vsock);

/* Whether @match, of a client, means @vsock, which may be NULL. */
bool
vireoVsockMatches(const virDomainVsockDef *match,
                  const virDomainVsockDef *vsock);
