/*
 * vireo_command.h: a domain as a command line
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "vircommand.h"
#include "virjson.h"

#include "vireo_conf.h"
#include "vireo_interface.h"

/* What a start has opened for its monitor process. */
typedef struct _vireoCommandInputs vireoCommandInputs;
struct _vireoCommandInputs {
    const vireoConfig *config;
    const char *dir;     /* run-time directory of the domain */
    virBitmap *autoNodes; /* the host's NUMA nodes that numad advised; NULL: it was not asked */
    int monitorFD;       /* listening socket; -1: listen on dir/monitor.sock */
    vireoInterfaceFDs *netFDs; /* one for each <interface>; or NULL */
    bool vsockIsKernels; /* who serves the <vsock>: the kernel, or the monitor */
    int vsockFD;         /* of the kernel's; -1: none */
    int tpmFD;           /* control channel of the <tpm>; -1: dir/swtpm.sock is */
};

/**
 * vireoCommandAddJSON:
 * @props: an object, taken over; NULL: what was to make it failed
 *
 * Adds @option with @props as its argument. Returns 0, or -1 with an error reported.
 */
int
vireoCommandAddJSON(virCommand *cmd,
                    const char *option,
                    virJSONValue *props);

/**
 * vireoCommandBuild:
 * @def: aliases and addresses are assigned
 * @inputs: descriptors are handed over: closed here after the start, or with
 *     the command
 *
 * Returns the command that runs @def, its CPUs stopped, or NULL with an error
 * reported.
 */
virCommand *
vireoCommandBuild(virDomainDef *def,
                  vireoCommandInputs *inputs);
