/*
 * vireo_image.h: image files that the driver makes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoImageCheckOverlay:
 * @image: is to lie on the image of @disk
 * @existing: it is there already; else it will be made
 *
 * Returns 0, or -1 with an error that says what cannot be.
 */
int
vireoImageCheckOverlay(const virDomainDiskDef *disk,
                       const virStorageSource *image,
                       bool existing);

/**
 * vireoImageGetInfo:
 * @vm: locked; if active, in a job
 * @disk: one of its disks
 * @info: set to the sizes of its image
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoImageGetInfo(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virDomainBlockInfo *info);

/**
 * vireoImageCreate:
 * @src: an image, with what is behind it
 * @bytes: the size that a guest sees
 *
 * Makes the file, which must not be there. Returns 0, or -1 with an error reported.
 */
int
vireoImageCreate(virStorageSource *src,
                 unsigned long long bytes);

/* Removes it again; failure is logged. */
void
vireoImageRemove(virStorageSource *src);
