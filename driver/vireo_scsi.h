/*
 * vireo_scsi.h: SCSI controllers, their disks and drives, and media in those
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* Whether @disk is on a SCSI bus. */
bool
vireoScsiIsDisk(const virDomainDiskDef *disk);

/* Whether Vireo has what @disk, which is on a SCSI bus, asks for: 0, or -1 with an
 * error reported. And the same for a SCSI controller. */
int
vireoScsiValidateDisk(const virDomainDiskDef *disk);
int
vireoScsiValidateController(const virDomainControllerDef *controller,
                            const virDomainDef *def);

/* -device / device_add; NULL with an error reported */
virJSONValue *
vireoScsiDiskProps(const virDomainDef *def,
                   virDomainDiskDef *disk);
virJSONValue *
vireoScsiControllerProps(const virDomainDef *def,
                         virDomainControllerDef *controller);

/* The alias of a disk by its address. */
char *
vireoScsiAlias(const virDomainDiskDef *disk);

/**
 * vireoScsiAddressAssign:
 *
 * Gives SCSI controllers their model, and checks that each disk has one. Returns 0,
 * or -1 with an error reported.
 */
int
vireoScsiAddressAssign(virDomainDef *def);

/**
 * vireoScsiChangeMedium:
 * @vm: an active domain, locked and in a job
 * @wanted: the drive with another medium, or none; its source is taken over
 * @force: even if the guest has locked it
 *
 * Returns 0, or -1 with an error reported and the old medium in the drive.
 */
int
vireoScsiChangeMedium(virDomainObj *vm,
                      virDomainDiskDef *wanted,
                      bool force);

/* Opens the trays that are open in the definition of @vm, which has just been started.
 * Returns 0, or -1 with an error reported. */
int
vireoScsiOpenTrays(virDomainObj *vm);

/* Finds out which trays are open by now. Returns 0, or -1 with an error reported. */
int
vireoScsiReconnect(virDomainObj *vm);

/* The tray of the drive @alias was opened or closed. @vm locked. */
void
vireoScsiTrayMoved(virDomainObj *vm,
                   const char *alias,
                   bool open);
