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
