/*
 * vireo_disk.h: the host side of disks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* Whether it is a drive without a medium. */
bool
vireoDiskIsEmpty(const virDomainDiskDef *disk);

/**
 * vireoDiskPrepare:
 *
 * Finds the image of a disk, in its storage pool if it is in one, and what it takes
 * to serve it; checks that it is there. Returns 0, or -1 with an error reported.
 */
int
vireoDiskPrepare(virDomainObj *vm,
                 virDomainDiskDef *disk);

/**
 * vireoDiskNodeProps:
 * @disk: a disk with an image, other than one of type 'vhostuser'
 * @dir: of the domain's sockets
 *
 * Returns the arguments of -blockdev and blockdev-add: an image is the monitor's own to
 * read and write, or the storage daemon's. NULL with an error reported.
 */
virJSONValue *
vireoDiskNodeProps(virDomainDiskDef *disk,
                   const char *dir);

/**
 * vireoDiskAcquire, vireoDiskRelease:
 * @vm: an active domain, locked and in a job
 * @disk: to be attached to it, or just detached
 *
 * Let the domain's processes use an image, and not any more. Acquire returns 0, or
 * -1 with an error reported and nothing changed; Release logs failures and keeps
 * the error that is reported.
 */
int
vireoDiskAcquire(virDomainObj *vm,
                 virDomainDiskDef *disk);
void
vireoDiskRelease(virDomainObj *vm,
                 virDomainDiskDef *disk);

/**
 * vireoDiskAddNode, vireoDiskRemoveNode:
 * @disk: acquired; no device uses it
 *
 * Give the monitor what is to be behind the device, and take it away. Add returns 0,
 * or -1 with an error reported and nothing changed; Remove logs failures and keeps the error that
 * is reported.
 */
int
vireoDiskAddNode(virDomainObj *vm,
                 virDomainDiskDef *disk);
void
vireoDiskRemoveNode(virDomainObj *vm,
                    virDomainDiskDef *disk);
