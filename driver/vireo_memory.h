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
 * @autoNodes: the host's nodes that numad advised, or NULL
 *
 * -object / object-add: a memory backend. Returns a new object, or NULL with an
 * error reported, also where the host has no such NUMA nodes.
 */
virJSONValue *
vireoMemoryBackendProps(const virDomainDef *def,
                        const char *alias,
                        const virDomainMemoryDef *mem,
                        const char *dir,
                        virBitmap *autoNodes);

/* The alias of a memory device's backend; free with g_free. */
char *
vireoMemoryBackendAlias(const virDomainMemoryDef *mem);

/* Whether @mem is to have huge pages, for itself or as all memory of @def. */
bool
vireoMemoryHasHugePages(const virDomainDef *def,
                        const virDomainMemoryDef *mem);

/**
 * vireoMemoryAddArgs, vireoMemoryAddDevices:
 * @dir, @autoNodes: as above
 *
 * Add to @cmd what makes the guest's memory and NUMA nodes, and its memory
 * devices. Return 0, or -1 with an error reported.
 */
int
vireoMemoryAddDevices(virCommand *cmd,
                      const virDomainDef *def,
                      const char *dir,
                      virBitmap *autoNodes);
int
vireoMemoryAddArgs(virCommand *cmd,
                   const virDomainDef *def,
                   const char *dir,
                   virBitmap *autoNodes);
