/*
 * vireo_address.h: where devices sit in the machine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"

/**
 * vireoAddressDefaultController:
 *
 * Fills in what the XML of a PCI controller may leave open.
 */
void
vireoAddressDefaultController(virDomainControllerDef *controller);

/**
 * vireoAddressAddControllers:
 *
 * Adds the PCIe root, the root ports that @def's devices need, and four
 * spare ones for hotplug where the definition has none of its own. Returns 0, or -1
 * with an error reported.
 */
int
vireoAddressAddControllers(virDomainDef *def);

/**
 * vireoAddressAssign:
 *
 * Gives every device of @def an address that has none; addresses that exist
 * are checked and never changed. Returns 0, or -1 with an error reported.
 */
int
vireoAddressAssign(virDomainDef *def);

/**
 * vireoAddressCheckDetach:
 * @def: definition of the running domain
 * @info: of the device of it that is to be detached
 *
 * Functions of one PCI slot can only go together. Returns 0 if the device is
 * alone in its slot or not on PCI, or -1 with an error reported.
 */
int
vireoAddressCheckDetach(virDomainDef *def,
                        virDomainDeviceInfo *info);

/**
 * vireoAddressAssignDevice:
 * @def: definition of the running domain, without @dev
 * @dev: the device to be attached
 *
 * Finds room for one more device, without adding controllers. Returns 0, or -1
 * with an error reported.
 */
int
vireoAddressAssignDevice(virDomainDef *def,
                         virDomainDeviceDef *dev);
