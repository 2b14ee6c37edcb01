/*
 * vireo_vsock.h: sockets between host and guest
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virjson.h"

/* Whether the kernel can serve sockets of guests, and we may have it do that. */
bool
vireoVsockIsKernels(void);

/**
 * vireoVsockOpen:
 * @fd: the kernel's side, the caller's; -1: the monitor serves it
 *
 * Opens the kernel's side of @vsock, where that is to serve it, and takes its context
 * id, or a free one if that is to be found here; @vsock then has it. Whoever holds the
 * descriptor has the id. Returns 0, or -1 with an error reported.
 */
int
vireoVsockOpen(virDomainVsockDef *vsock,
               int *fd);

/**
 * vireoVsockProps:
 * @kernels: whether the kernel serves it
 * @fd: number of vireoVsockOpen's descriptor in the monitor, or its name there; NULL:
 *     not opened yet
 * @dir: run-time directory of the domain, where the monitor has its socket otherwise
 *
 * -device / device_add; NULL with an error reported
 */
virJSONValue *
vireoVsockProps(const virDomainDef *def,
                const virDomainVsockDef *vsock,
                bool kernels,
                const char *fd,
                const char *dir);

/* Whether Vireo has what @vsock asks for: 0, or -1 with an error reported. */
int
vireoVsockValidate(const virDomainVsockDef *vsock);

/* Whether @match, of a client, means @vsock, which may be NULL. */
bool
vireoVsockMatches(const virDomainVsockDef *match,
                  const virDomainVsockDef *vsock);
