/*
 * vireo_chain.h: the backing chain of a running domain's disk, as it changes
 *
 * The functions take a domain that is active, locked and in a job, and disks that
 * the storage daemon serves; the lock is given up while that works.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* The image of the chain from @src on with the number @id, or NULL. */
virStorageSource *
vireoChainFind(virStorageSource *src,
               unsigned int id);

/* The image of the chain of @disk that lies on @src; NULL: none does. */
virStorageSource *
vireoChainOverlay(virDomainDiskDef *disk,
                  const virStorageSource *src);

/**
 * vireoChainAllowWrite:
 * @src: an image that has only been read
 *
 * Lets the domain's processes write to it. Returns 0, or -1 with an error reported.
 */
int
vireoChainAllowWrite(virDomainObj *vm,
                     virStorageSource *src);

/**
 * vireoChainAddImage:
 * @disk: whose settings hold
 * @src: not in any chain yet; what is behind it is
 *
 * Numbers an image, lets the domain's processes use it, and has the storage daemon open it.
 * Returns 0, or -1 with an error reported and nothing changed.
 */
int
vireoChainAddImage(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   virStorageSource *src);

/**
 * vireoChainRemoveImage:
 *
 * Undoes that. Failure is logged.
 */
void
vireoChainRemoveImage(virDomainObj *vm,
                      virStorageSource *src);

/**
 * vireoChainCut:
 * @above: an image of the chain of @disk
 * @base: one behind it; NULL: none
 * @deleteImages: remove files, too
 *
 * Takes out what is between them, which the storage daemon has done already.
 */
void
vireoChainCut(virDomainObj *vm,
              virDomainDiskDef *disk,
              virStorageSource *above,
              virStorageSource *base,
              bool deleteImages);

/**
 * vireoChainPush:
 * @src: consumed: what lies on the chain of @disk from now on
 *
 * The storage daemon has done so already. The definition for the next start follows if it had the
 * same image.
 */
void
vireoChainPush(virDomainObj *vm,
               virDomainDiskDef *disk,
               virStorageSource *src);

/**
 * vireoChainPivot:
 * @src: consumed: what the disk is from now on
 * @base: the image of the old chain from which on it stays; NULL: none does
 * @deleteImages: remove files of images that do not
 *
 * The storage daemon has done so already. The definition for the next start follows if it had the
 * same image.
 */
void
vireoChainPivot(virDomainObj *vm,
                virDomainDiskDef *disk,
                virStorageSource *src,
                virStorageSource *base,
                bool deleteImages);
