/*
 * vireo_update.h: new settings of devices that a domain has
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"

/**
 * vireoUpdateParse:
 * @def: the definition that has the device
 *
 * Returns the device of @xml as the user wants it to be, or NULL with an error
 * reported.
 */
virDomainDeviceDef *
vireoUpdateParse(virDomainDef *def,
                 virDomainXMLOption *xmlopt,
                 const char *xml);

/**
 * vireoUpdateConfig:
 * @def: a definition, changed only if the update is possible
 *
 * Puts the disk or interface of @xml in the place of the one it means. Returns 0, or
 * -1 with an error reported.
 */
int
vireoUpdateConfig(virDomainDef *def,
                  virDomainXMLOption *xmlopt,
                  const char *xml);

/**
 * vireoUpdateCheckLink:
 * @def: of the running domain
 * @old: an interface of it
 * @wanted: what it is to be
 *
 * Makes sure that the two differ in nothing but <link state>. What is open in
 * @wanted and assigned in @old is no difference, and neither is whether the user
 * describes the interface as it was defined or as it is shown now. Returns 0, or -1
 * with an error reported.
 */
int
vireoUpdateCheckLink(virDomainDef *def,
                     virDomainXMLOption *xmlopt,
                     virDomainNetDef *old,
                     virDomainNetDef *wanted);
