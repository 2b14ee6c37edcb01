/*
 * vireo_secret.h: what libvirt keeps secret, asked for
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "virsecret.h"

/**
 * vireoSecretGet:
 * @lookup: which secret
 * @usage: what it is to be for
 * @secret: set to its value, @size bytes; to be erased and freed
 *
 * Asks as the client that is served, or, on a thread of the daemon's own, as the daemon. Returns 0,
 * or -1 with an error reported.
 */
int
vireoSecretGet(virSecretLookupTypeDef *lookup,
               virSecretUsageType usage,
               uint8_t **secret,
               size_t *size);
