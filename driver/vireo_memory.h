/*
 * vireo_memory.h: the guest's memory as the monitor's arguments
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "vircommand.h"
#include "virjson.h"

/**
 * vireoMemoryBackendProps:
 * @alias: of the backend
 * @mem: size, target node and what else it asks for itself; the rest is from @def
 * @dir: where the file of a file-backed guest is to be made
 *
 * -object / object-add: a memory backend. Returns a new object, or NULL with an
 * error reported, also where the host has no such NUMA nodes.
 */
virJSONValue *
vireoMemoryBackendProps(const virDomainDef *def,
                        const char *alias,
                        const virDomainMemoryDef *mem,
                        const char *dir);

/**
 * vireoMemoryAddArgs:
 * @dir: as above
 *
 * Adds to @cmd what makes the guest's memory and NUMA nodes. Returns 0, or -1
 * with an error reported.
 */
int
vireoMemoryAddArgs(virCommand *cmd,
                   const virDomainDef *def,
                   const char *dir);
