/*
 * vireo_memory_device.h: memory that can be changed while a domain runs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* How much the guest has of all its memory devices, KiB. */
unsigned long long
vireoMemoryDeviceCurrent(const virDomainDef *def);

/**
 * vireoMemoryDeviceAttach:
 * @mem: has its alias and address; the definition's if this succeeds
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoMemoryDeviceAttach(virDomainObj *vm,
                        virDomainMemoryDef *mem);

/* The monitor has let go of @mem, which is freed: so do we. */
void
vireoMemoryDeviceForget(virDomainObj *vm,
                        virDomainMemoryDef *mem);

/**
 * vireoMemoryDeviceUpdate, vireoMemoryDeviceUpdateConfig:
 * @wanted: a memory device of the domain, with another requested size
 *
 * Changes the requested size of the device that has @wanted's address. Returns 0,
 * or -1 with an error reported, also where anything else would have to change.
 */
int
vireoMemoryDeviceUpdate(virDomainObj *vm,
                        const virDomainMemoryDef *wanted);
int
vireoMemoryDeviceUpdateConfig(virDomainDef *def,
                              virDomainMemoryDef *wanted);

/* The guest has @kib of the device @alias now. */
void
vireoMemoryDeviceChanged(virDomainObj *vm,
                         const char *alias,
                         unsigned long long kib);
