/*
 * vireo_hotplug.h: devices that come and go while the domain runs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoHotplugUndo:
 *
 * vireoQmpDel() as a part of a clean-up: its failure is only logged, and an error
 * that was reported before stays.
 */
void
vireoHotplugUndo(virDomainObj *vm,
                 const char *command,
                 const char *member,
                 const char *name);

/**
 * vireoHotplugAttach:
 * @vm: an active domain, locked and in a job
 * @dev: parsed and validated; on success its data is part of @vm's definition
 *     and dev->data is NULL
 *
 * Plugs a disk, interface, random source, console or channel. Returns 0, or -1
 * with an error reported and nothing left behind.
 */
int
vireoHotplugAttach(virDomainObj *vm,
                   virDomainDeviceDef *dev);

/**
 * vireoHotplugDetach:
 * @vm: an active domain, locked and in a job
 * @match: what the device to be unplugged looks like
 *
 * Asks the guest to let go of a device and waits some seconds for that. Returns
 * 0 when it is gone or the guest has not answered yet (the event tells), or -1
 * with an error reported.
 */
int
vireoHotplugDetach(virDomainObj *vm,
                   virDomainDeviceDef *match);

/**
 * vireoHotplugRelease:
 * @vm: an active domain, locked and in a job
 * @alias: of the device to be unplugged
 *
 * Asks the guest to let go of a device and waits some seconds for that. Returns 1
 * when it is gone, which is then the caller's to put down, 0 if the guest has not
 * answered yet (vireoHotplugForget() follows when it has), or -1 with an error
 * reported.
 */
int
vireoHotplugRelease(virDomainObj *vm,
                    const char *alias);

/**
 * vireoHotplugForget:
 * @alias: of a device the guest has let go of, later than anyone waited
 *
 * Removes it from the definition, with what stood behind it. @vm locked and in a
 * job.
 */
void
vireoHotplugForget(virDomainObj *vm,
                   const char *alias);
