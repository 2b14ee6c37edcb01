/*
 * vireo_driver_iotune.c: entry points for limits on the speed of disks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"

#include "vireo_driver.h"
#include "vireo_iotune.h"
#include "vireo_vhost.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

static virDomainDiskDef *
vireoDomainFindTunable(virDomainDef *def,
                       const char *path)
{
    virDomainDiskDef *disk = virDomainDiskByName(def, path, true);

    if (!disk) {
        virReportError(VIR_ERR_INVALID_ARG, _("the domain has no disk '%s'"), path);
        return NULL;
    }
    if (vireoVhostIsDisk(disk)) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("disk '%s' is another process's, which limits its speed"), path);
        return NULL;
    }

    return disk;
}

static int
vireoDomainSetIoTuneLive(vireoChange *change,
                         const char *path,
                         virTypedParameterPtr params,
                         int nparams)
{
    virDomainDiskDef *disk = vireoDomainFindTunable(change->live, path);
    virDomainBlockIoTuneInfo tune;
    int ret = -1;

    if (!disk || vireoIoTuneMerge(&disk->blkdeviotune, params, nparams, &tune) < 0)
        return -1;

    if (vireoIoTuneApply(change->vm, disk, &tune) == 0) {
        vireoIoTuneSet(change->live, disk, &tune);
        ret = vireoIoTuneTell(change->tuned, disk, &tune);
    }

    g_free(tune.group_name);
    return ret;
}

static int
vireoDomainSetIoTuneConfig(vireoChange *change,
                           const char *path,
                           virTypedParameterPtr params,
                           int nparams)
{
    virDomainDiskDef *disk = vireoDomainFindTunable(change->config, path);
    virDomainBlockIoTuneInfo tune;

    if (!disk || vireoIoTuneMerge(&disk->blkdeviotune, params, nparams, &tune) < 0)
        return -1;

    vireoIoTuneSet(change->config, disk, &tune);
    g_free(tune.group_name);
    return 0;
}

int
vireoDomainSetBlockIoTune(virDomainPtr dom,
                          const char *path,
                          virTypedParameterPtr params,
                          int nparams,
                          unsigned int flags)
{
    vireoChange change;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (vireoIoTuneCheckParams(params, nparams) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetBlockIoTuneEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0) {
        ret = 0;
        if (change.config)
            ret = vireoDomainSetIoTuneConfig(&change, path, params, nparams);
        if (change.live && ret == 0)
            ret = vireoDomainSetIoTuneLive(&change, path, params, nparams);
        ret = vireoChangeEnd(&change, ret);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetBlockIoTune(virDomainPtr dom,
                          const char *path,
                          virTypedParameterPtr params,
                          int *nparams,
                          unsigned int flags)
{
    virDomainDiskDef *disk;
    virDomainObj *vm;
    virDomainDef *def;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetBlockIoTuneEnsureACL(dom->conn, vm->def) < 0 ||
        !(def = virDomainObjGetOneDef(vm, flags)))
        goto cleanup;

    /* A client that only asks how many there are need not name a disk. */
    if (*nparams == 0)
        ret = vireoIoTuneFormat(NULL, params, nparams);
    else if ((disk = vireoDomainFindTunable(def, path)))
        ret = vireoIoTuneFormat(&disk->blkdeviotune, params, nparams);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}
