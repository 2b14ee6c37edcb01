/*
 * vireo_driver_numa.c: libvirt's calls about the host's NUMA nodes that memory is on
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"
#include "virtypedparam.h"

#include "vireo_change.h"
#include "vireo_driver.h"
#include "vireo_numa.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_NUMA_PARAMETERS 2

static int
vireoDomainFillNumaParameters(const virDomainDef *def,
                              virBitmap *autoNodes,
                              virTypedParameterPtr params,
                              int *nparams)
{
    virDomainNumatuneMemMode mode = VIR_DOMAIN_NUMATUNE_MEM_STRICT;
    char *nodeset = NULL;

    if (*nparams == 0) {
        *nparams = VIREO_NUMA_PARAMETERS;
        return 0;
    }

    ignore_value(virDomainNumatuneGetMode(def->numa, -1, &mode));
    if (virTypedParameterAssign(&params[0], VIR_DOMAIN_NUMA_MODE, VIR_TYPED_PARAM_INT, mode) < 0)
        return -1;
    if (*nparams > 1) {
        if (!(nodeset = virDomainNumatuneFormatNodeset(def->numa, autoNodes, -1)) ||
            virTypedParameterAssign(&params[1], VIR_DOMAIN_NUMA_NODESET,
                                    VIR_TYPED_PARAM_STRING, nodeset) < 0)
            return -1;
    }

    *nparams = MIN(*nparams, VIREO_NUMA_PARAMETERS);
    return 0;
}

int
vireoDomainGetNumaParameters(virDomainPtr dom,
                             virTypedParameterPtr params,
                             int *nparams,
                             unsigned int flags)
{
    virDomainObj *vm;
    virDomainDef *def;
    vireoDomainObjPrivate *priv;
    bool live;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE |
                  VIR_DOMAIN_AFFECT_CONFIG |
                  VIR_TYPED_PARAM_STRING_OKAY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    priv = vm->privateData;
    if (virDomainGetNumaParametersEnsureACL(dom->conn, vm->def) >= 0 &&
        (def = virDomainObjGetOneDefState(vm, flags, &live)))
        ret = vireoDomainFillNumaParameters(def, live ? priv->autoNodes : NULL, params, nparams);

    virDomainObjEndAPI(&vm);
    return ret;
}

/* Memory that the monitor has bound to nodes stays there; the threads' cgroups can change. */
static int
vireoDomainSetNumaLive(vireoChange *change,
                       int mode,
                       virBitmap *nodeset)
{
    virDomainNumatuneMemMode now;

    if (virDomainNumatuneGetMode(change->live->numa, -1, &now) < 0 ||
        now != VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s",
                       _("the memory of a running domain moves to other NUMA nodes only "
                         "if its mode is 'restrictive'"));
        return -1;
    }
    if (mode != -1 && mode != (int) now) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s",
                       _("the numatune mode of a running domain cannot change"));
        return -1;
    }
    if (nodeset && vireoNumaSetNodes(change->vm, nodeset) < 0)
        return -1;

    return virDomainNumatuneSet(change->live->numa,
                                change->live->placement_mode ==
                                VIR_DOMAIN_CPU_PLACEMENT_MODE_STATIC,
                                -1, mode, nodeset);
}

static int
vireoDomainChangeNuma(vireoChange *change,
                      int mode,
                      virBitmap *nodeset)
{
    if (change->config &&
        virDomainNumatuneSet(change->config->numa,
                             change->config->placement_mode ==
                             VIR_DOMAIN_CPU_PLACEMENT_MODE_STATIC,
                             -1, mode, nodeset) < 0)
        return -1;

    return change->live ? vireoDomainSetNumaLive(change, mode, nodeset) : 0;
}

int
vireoDomainSetNumaParameters(virDomainPtr dom,
                             virTypedParameterPtr params,
                             int nparams,
                             unsigned int flags)
{
    g_autoptr(virBitmap) nodeset = NULL;
    const char *nodes = NULL;
    vireoChange change;
    virDomainObj *vm;
    int mode = -1;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, -1);

    if (virTypedParamsValidate(params, nparams,
                               VIR_DOMAIN_NUMA_MODE, VIR_TYPED_PARAM_INT,
                               VIR_DOMAIN_NUMA_NODESET, VIR_TYPED_PARAM_STRING,
                               NULL) < 0 ||
        virTypedParamsGetInt(params, nparams, VIR_DOMAIN_NUMA_MODE, &mode) < 0 ||
        virTypedParamsGetString(params, nparams, VIR_DOMAIN_NUMA_NODESET, &nodes) < 0)
        return -1;
    if (mode < -1 || mode >= VIR_DOMAIN_NUMATUNE_MEM_LAST) {
        virReportError(VIR_ERR_INVALID_ARG, _("there is no numatune mode %d"), mode);
        return -1;
    }
    if (nodes && virBitmapParse(nodes, &nodeset, VIR_DOMAIN_CPUMASK_LEN) < 0)
        return -1;
    if (nodeset && virBitmapIsAllClear(nodeset)) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("the nodeset is empty"));
        return -1;
    }

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetNumaParametersEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        vireoChangeBegin(&change, vm, flags) == 0)
        ret = vireoChangeEnd(&change, vireoDomainChangeNuma(&change, mode, nodeset));

    virDomainObjEndAPI(&vm);
    return ret;
}
