/*
 * vireo_driver_job.c: entry points about long jobs, of which Vireo has none
 *
 * What clients ask while a domain migrates or is saved has the answer that it does
 * not: other jobs are over when the call that started them returns.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "virerror.h"

#include "vireo_driver.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoDomainGetJobInfo(virDomainPtr dom,
                      virDomainJobInfoPtr info)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int ret = -1;

    if (!vm)
        return -1;

    memset(info, 0, sizeof(*info));
    if (virDomainGetJobInfoEnsureACL(dom->conn, vm->def) >= 0 &&
        virDomainObjCheckActive(vm) == 0) {
        info->type = VIR_DOMAIN_JOB_NONE;
        ret = 0;
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetJobStats(virDomainPtr dom,
                       int *type,
                       virTypedParameterPtr *params,
                       int *nparams,
                       unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_JOB_STATS_COMPLETED |
                  VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    /* What is over may be asked of a domain that has ended, too. */
    if (virDomainGetJobStatsEnsureACL(dom->conn, vm->def) >= 0 &&
        (flags & VIR_DOMAIN_JOB_STATS_COMPLETED || virDomainObjCheckActive(vm) == 0)) {
        *type = VIR_DOMAIN_JOB_NONE;
        *params = NULL;
        *nparams = 0;
        ret = 0;
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainAbortJobFlags(virDomainPtr dom,
                         unsigned int flags)
{
    virDomainObj *vm;

    virCheckFlags(VIR_DOMAIN_ABORT_JOB_POSTCOPY, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainAbortJobFlagsEnsureACL(dom->conn, vm->def) >= 0 &&
        virDomainObjCheckActive(vm) == 0)
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("no job is active on the domain"));

    virDomainObjEndAPI(&vm);
    return -1;
}

int
vireoDomainAbortJob(virDomainPtr dom)
{
    return vireoDomainAbortJobFlags(dom, 0);
}
