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
 * @src: an image of a chain, which has only been read
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
 * vireoChainRemoveImages:
 * @src: the first of images that no chain has any more
 * @end: the one behind the last of them, or NULL
 * @deleteImages: remove files, too
 *
 * The same to all of them.
 */
void
vireoChainRemoveImages(virDomainObj *vm,
                       virStorageSource *src,
                       const virStorageSource *end,
                       bool deleteImages);

/**
 * vireoChainCut:
 * @above: an image of the chain of @disk
 * @base: one behind it; NULL: none
 *
 * Takes out what is between them, which the storage daemon has done already.
 * Returns the first of that; unref when it is removed.
 */
virStorageSource *
vireoChainCut(virDomainObj *vm,
              virDomainDiskDef *disk,
              virStorageSource *above,
              virStorageSource *base);

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
 *
 * The storage daemon has done so already. The definition for the next start follows if it had the
 * same image. Returns the old chain; unref when what does not stay is removed.
 */
virStorageSource *
vireoChainPivot(virDomainObj *vm,
                virDomainDiskDef *disk,
                virStorageSource *src,
                virStorageSource *base);
