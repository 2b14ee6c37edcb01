/*
 * vireo_overlay.h: new images that disks of a running domain are about to go on in
 *
 * They are written into the domain's status before they are made, and before the disks go on in them.
 * A libvirt daemon that ends in the middle of that leaves them to its successor, which finds out
 * from the processes what has happened; or, if the storage daemon is gone, too, does it again: an image
 * that nothing has been written to shows what is behind it.
 *
 * The functions take a domain that is active, locked and in a job.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

typedef struct _vireoOverlay vireoOverlay;
struct _vireoOverlay {
    char *disk;             /* its target */
    char *path;             /* of the image: a file, or a block device */
    bool made;              /* the file is ours to remove */
};

void
vireoOverlayFree(void *overlay);

/**
 * vireoOverlayIntend:
 * @made: the file is not there yet, and will be made
 *
 * Notes that @disk is to go on in @image, unless that is on the network. The caller has the status
 * written before anything is done.
 */
void
vireoOverlayIntend(virDomainObj *vm,
                   const virDomainDiskDef *disk,
                   const virStorageSource *image,
                   bool made);

/**
 * vireoOverlaysSwitch:
 *
 * All of them are there: from now on they may be in use. The status is written.
 */
void
vireoOverlaysSwitch(virDomainObj *vm);

/**
 * vireoOverlaysAdopt:
 *
 * The definition says that the disks are in them. The processes are not told.
 */
void
vireoOverlaysAdopt(virDomainObj *vm);

/* It is over, one way or the other. The caller has the status written. */
void
vireoOverlaysForget(virDomainObj *vm);

/**
 * vireoOverlaysSettle:
 *
 * Removes the files of those that were made and did not become a disk's, and forgets them all.
 */
void
vireoOverlaysSettle(virDomainObj *vm);

/* In the domain's status. */
void
vireoOverlaysFormat(virBuffer *buf,
                    const vireoDomainObjPrivate *priv);
int
vireoOverlaysParse(xmlXPathContextPtr ctxt,
                   vireoDomainObjPrivate *priv);
