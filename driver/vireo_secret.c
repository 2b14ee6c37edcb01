/*
 * vireo_secret.c: what libvirt keeps secret, asked for
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "datatypes.h"
#include "driver.h"
#include "viridentity.h"

#include "vireo_secret.h"

/* As whoever asked for it, and as a daemon, which may see private secrets. */
static int
vireoSecretAsk(virSecretLookupTypeDef *lookup,
               virSecretUsageType usage,
               uint8_t **secret,
               size_t *size)
{
    VIR_IDENTITY_AUTORESTORE virIdentity *before = virIdentityElevateCurrent();
    g_autoptr(virConnect) conn = before ? virGetConnectSecret() : NULL;

    return conn ? virSecretGetSecretString(conn, lookup, usage, secret, size) : -1;
}

int
vireoSecretGet(virSecretLookupTypeDef *lookup,
               virSecretUsageType usage,
               uint8_t **secret,
               size_t *size)
{
    g_autoptr(virIdentity) user = virIdentityGetCurrent();
    g_autoptr(virIdentity) own = NULL;
    int rc;

    if (user)
        return vireoSecretAsk(lookup, usage, secret, size);

    /* A domain that is started by itself, or disks that are served again. */
    if (!(own = virIdentityGetSystem()) || virIdentitySetCurrent(own) < 0)
        return -1;
    rc = vireoSecretAsk(lookup, usage, secret, size);
    ignore_value(virIdentitySetCurrent(NULL));

    return rc;
}
