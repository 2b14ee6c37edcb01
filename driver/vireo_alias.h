/*
 * vireo_alias.h: the names devices have in the monitor
 *
 * A device's alias is its id in the monitor. What stands behind it (block node,
 * network or character back end, random source) is named after it with a prefix.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"

#define VIREO_ALIAS_MEMORY "ram0"

/**
 * vireoAliasAssign:
 *
 * Gives every device of @def that has no alias one, as QEMU's driver names them.
 */
void
vireoAliasAssign(virDomainDef *def);

/**
 * vireoAliasAssignDevice:
 * @def: definition of the running domain, without @dev
 *
 * Gives @dev an alias that no device of @def has, unless the user chose one.
 */
void
vireoAliasAssignDevice(virDomainDef *def,
                       virDomainDeviceDef *dev);

/**
 * vireoAliasOwnNode, vireoAliasServedNode:
 *
 * Return what the monitor calls the node of @disk while the image is its own to read and write,
 * and while it is the storage daemon's: one takes over from the other. Free with g_free.
 */
char *
vireoAliasOwnNode(const virDomainDiskDef *disk);
char *
vireoAliasServedNode(const virDomainDiskDef *disk);

/**
 * vireoAliasBlockNode, vireoAliasNetdev, vireoAliasChardev, vireoAliasRNGObject,
 * vireoAliasIOThread:
 *
 * Return the name of what stands behind a device; free with g_free. A block node
 * is named after the disk's target, as aliases may be longer than node names.
 */
char *
vireoAliasBlockNode(const virDomainDiskDef *disk);
char *
vireoAliasNetdev(const virDomainNetDef *net);
char *
vireoAliasChardev(const virDomainChrDef *chr);
char *
vireoAliasRNGObject(const virDomainRNGDef *rng);
char *
vireoAliasIOThread(unsigned int id);
