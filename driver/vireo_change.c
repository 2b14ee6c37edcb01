/*
 * vireo_change.c: a change of settings, of a running domain and of its definition
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_event.h"
#include "domain_validate.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_change.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoChangeBegin(vireoChange *change,
                 virDomainObj *vm,
                 unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainDef *config;

    memset(change, 0, sizeof(*change));
    change->vm = vm;

    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0)
        return -1;

    if (virDomainObjGetDefs(vm, flags, &change->live, &config) < 0 ||
        (config &&
         !(change->config = virDomainObjCopyPersistentDef(vm, priv->driver->xmlopt, NULL)))) {
        virDomainObjEndJob(vm);
        return -1;
    }

    change->tuned = g_new0(virTypedParamList, 1);
    return 0;
}

static int
vireoChangeSave(vireoChange *change)
{
    vireoDomainObjPrivate *priv = change->vm->privateData;
    vireoDriver *driver = priv->driver;

    if (!change->config)
        return 0;

    /* Tells of what the parser would have refused. */
    if (virDomainDefValidate(change->config, 0, driver->xmlopt, NULL) < 0 ||
        virDomainDefSave(change->config, driver->xmlopt, driver->config->configDir) < 0)
        return -1;

    virDomainObjAssignDef(change->vm, &change->config, false, NULL);
    return 0;
}

static void
vireoChangeTell(vireoChange *change)
{
    vireoDomainObjPrivate *priv = change->vm->privateData;
    virTypedParameterPtr params = NULL;
    size_t nparams = virTypedParamListStealParams(change->tuned, &params);

    if (nparams > 0)
        virObjectEventStateQueue(priv->driver->domainEventState,
                                 virDomainEventTunableNewFromObj(change->vm, &params, nparams));
    virTypedParamsFree(params, nparams);
}

int
vireoChangeEnd(vireoChange *change,
               int ret)
{
    /* Part of a change that failed has happened to the running domain. */
    if (change->live && virDomainObjIsActive(change->vm)) {
        vireoDomainSaveStatus(change->vm);
        vireoChangeTell(change);
    }
    if (ret == 0)
        ret = vireoChangeSave(change);

    virTypedParamListFree(change->tuned);
    virDomainDefFree(change->config);
    virDomainObjEndJob(change->vm);
    return ret;
}
