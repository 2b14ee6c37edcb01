/*
 * vireo_image.h: image files that the driver makes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoImageCreate:
 * @vm: active, locked and in a job
 * @disk: served, and of the size that the image shall have
 * @src: an image, with what is behind it
 *
 * Makes the file, which must not be there. Returns 0, or -1 with an error reported.
 */
int
vireoImageCreate(virDomainObj *vm,
                 virDomainDiskDef *disk,
                 virStorageSource *src);

/* Removes it again; failure is logged. */
void
vireoImageRemove(virStorageSource *src);
