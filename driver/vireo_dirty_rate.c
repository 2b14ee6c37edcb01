/*
 * vireo_dirty_rate.c: how fast a domain writes its memory
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virenum.h"
#include "virerror.h"

#include "vireo_dirty_rate.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_ENUM_DECL(vireoDirtyRateStatus);
VIR_ENUM_IMPL(vireoDirtyRateStatus,
              VIR_DOMAIN_DIRTYRATE_LAST,
              "unstarted",
              "measuring",
              "measured",
);

int
vireoDirtyRateStart(virDomainObj *vm,
                    int seconds,
                    unsigned int flags)
{
    g_autoptr(virJSONValue) args = NULL;
    const char *mode = "page-sampling";

    if (flags & VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING) {
        virReportError(VIR_ERR_ARGUMENT_UNSUPPORTED, "%s",
                       _("mode dirty-ring of measuring the dirty rate is not supported"));
        return -1;
    }
    if (flags & VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP)
        mode = "dirty-bitmap";

    if (virJSONValueObjectAdd(&args, "i:calc-time", seconds, "s:mode", mode, NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "calc-dirty-rate", &args, NULL);
}

int
vireoDirtyRateCollect(virDomainObj *vm,
                      bool haveJob,
                      virTypedParamList *params)
{
    g_autoptr(virJSONValue) result = NULL;
    const char *status;
    const char *mode;
    long long start;
    long long rate;
    int state;
    int period;

    if (!haveJob || !virDomainObjIsActive(vm))
        return 0;

    /* A monitor of an earlier version does not know. */
    if (vireoQmpCommand(vm, "query-dirty-rate", NULL, &result) < 0) {
        virResetLastError();
        return virDomainObjCheckActive(vm);
    }
    if (!virJSONValueIsObject(result) ||
        !(status = virJSONValueObjectGetString(result, "status")) ||
        (state = vireoDirtyRateStatusTypeFromString(status)) < 0 ||
        !(mode = virJSONValueObjectGetString(result, "mode")) ||
        virJSONValueObjectGetNumberLong(result, "start-time", &start) < 0 ||
        virJSONValueObjectGetNumberInt(result, "calc-time", &period) < 0)
        return vireoQmpReportShape("query-dirty-rate");

    if (virTypedParamListAddInt(params, state, "dirtyrate.calc_status") < 0 ||
        virTypedParamListAddLLong(params, start, "dirtyrate.calc_start_time") < 0 ||
        virTypedParamListAddInt(params, period, "dirtyrate.calc_period") < 0 ||
        virTypedParamListAddString(params, mode, "dirtyrate.calc_mode") < 0)
        return -1;

    if (state != VIR_DOMAIN_DIRTYRATE_MEASURED)
        return 0;
    if (virJSONValueObjectGetNumberLong(result, "dirty-rate", &rate) < 0)
        return vireoQmpReportShape("query-dirty-rate");

    return virTypedParamListAddLLong(params, rate, "dirtyrate.megabytes_per_second");
}
