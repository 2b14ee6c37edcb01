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
 * vireoDiskAcquire, vireoDiskRelease:
 * @vm: an active domain, locked
 * @disk: to be attached to it, or just detached
 *
 * Let the domain's process use an image, and not any more. Acquire returns 0, or
 * -1 with an error reported and nothing changed; Release logs failures and keeps
 * the error that is reported.
 */
int
vireoDiskAcquire(virDomainObj *vm,
                 virDomainDiskDef *disk);
void
vireoDiskRelease(virDomainObj *vm,
                 virDomainDiskDef *disk);
