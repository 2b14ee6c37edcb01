/*
 * vireo_validate.h: refuses what the XML asks and Vireo cannot do
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"

/* One thing a definition may ask for. */
typedef struct {
    bool asked;
    const char *what;      /* the element or attribute, as the user knows it */
} vireoValidateRefusal;

/**
 * vireoValidateRefuseMany:
 *
 * Reports VIR_ERR_CONFIG_UNSUPPORTED for the first of @refusals that is asked
 * for. Returns 0 if none is, otherwise -1.
 */
int
vireoValidateRefuseMany(const vireoValidateRefusal *refusals,
                        size_t nrefusals);
#define vireoValidateRefuse(refusals) \
    vireoValidateRefuseMany(refusals, G_N_ELEMENTS(refusals))

/**
 * vireoValidateDomainDef, vireoValidateDeviceDef:
 *
 * Callbacks of libvirt's parser: everything of a domain but its devices, and
 * one device. Return 0, or -1 with VIR_ERR_CONFIG_UNSUPPORTED reported that
 * names what is not supported.
 */
int
vireoValidateDomainDef(const virDomainDef *def,
                       void *opaque,
                       void *parseOpaque);
int
vireoValidateDeviceDef(const virDomainDeviceDef *dev,
                       const virDomainDef *def,
                       void *opaque,
                       void *parseOpaque);

/* vireo_validate_graphics.c: 0, or -1 with an error that says what Vireo does not have. */
int
vireoValidateVideo(const virDomainVideoDef *video,
                   const virDomainDef *def);
int
vireoValidateInput(const virDomainInputDef *input,
                   const virDomainDef *def);
int
vireoValidateGraphics(const virDomainGraphicsDef *graphics,
                      const virDomainDef *def);
