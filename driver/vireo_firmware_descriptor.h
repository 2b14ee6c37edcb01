/*
 * vireo_firmware_descriptor.h: the firmware that the distribution has installed
 *
 * QEMU's docs/interop/firmware.json says what is in a descriptor and where they are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "internal.h"

typedef struct _vireoFirmwareDescriptor vireoFirmwareDescriptor;
struct _vireoFirmwareDescriptor {
    bool uefi;              /* or else a BIOS */
    bool flash;             /* or else ROM */
    char *executable;
    char *variables;        /* template of the variables; NULL: it has none */
    bool secureBoot;
    bool enrolledKeys;
};

/**
 * vireoFirmwareDescriptorsLoad:
 * @dirs: where descriptors are, in ascending order of precedence, ends with NULL
 *
 * Returns the descriptors of firmware that can run here (x86_64, q35, raw files, no SMM), best
 * first: a GPtrArray of vireoFirmwareDescriptor, to be unreferenced. A descriptor that cannot be
 * read is logged and left out.
 */
GPtrArray *
vireoFirmwareDescriptorsLoad(char **dirs);
