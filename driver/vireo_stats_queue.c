/*
 * vireo_stats_queue.c: what the queues of disks, SCSI controllers and interfaces have done
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virstring.h"

#include "vireo_qmp.h"
#include "vireo_stats_queue.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoStatsQueueGet(virDomainObj *vm,
                   virJSONValue **queues)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) result = NULL;

    if (virJSONValueObjectAdd(&args, "s:target", "x-vireo-queue", NULL) < 0 ||
        vireoQmpCommand(vm, "query-stats", &args, &result) < 0)
        return -1;
    if (!virJSONValueIsArray(result)) {
        virReportError(VIR_ERR_INTERNAL_ERROR, "%s", _("the reply to query-stats is no list"));
        return -1;
    }

    *queues = g_steal_pointer(&result);
    return 0;
}

static int
vireoStatsQueueCollectOne(virJSONValue *stats,
                          const char *prefix,
                          virTypedParamList *params)
{
    size_t i;

    for (i = 0; i < virJSONValueArraySize(stats); i++) {
        virJSONValue *stat = virJSONValueArrayGet(stats, i);
        const char *name;
        unsigned long long value;

        if (!virJSONValueIsObject(stat) ||
            !(name = virJSONValueObjectGetString(stat, "name")) ||
            virJSONValueObjectGetNumberUlong(stat, "value", &value) < 0)
            continue;
        if (virTypedParamListAddULLong(params, value, "%s.%s", prefix, name) < 0)
            return -1;
    }

    return 0;
}

int
vireoStatsQueueCollect(virJSONValue *queues,
                       const char *alias,
                       const char *group,
                       size_t number,
                       virTypedParamList *params)
{
    g_autofree char *start = g_strdup_printf("/machine/peripheral/%s/queue[", alias);
    unsigned int count = 0;
    size_t i;

    for (i = 0; queues && i < virJSONValueArraySize(queues); i++) {
        virJSONValue *queue = virJSONValueArrayGet(queues, i);
        g_autofree char *prefix = NULL;
        virJSONValue *stats;
        const char *path;
        char *end;
        unsigned int index;

        if (!virJSONValueIsObject(queue) ||
            !(path = virJSONValueObjectGetString(queue, "qom-path")) ||
            !(stats = virJSONValueObjectGetArray(queue, "stats")) ||
            !(path = STRSKIP(path, start)) ||
            virStrToLong_uip(path, &end, 10, &index) < 0 || STRNEQ(end, "]"))
            continue;
        prefix = g_strdup_printf("%s.%zu.queue.%u", group, number, index);
        count = MAX(count, index + 1);
        if (vireoStatsQueueCollectOne(stats, prefix, params) < 0)
            return -1;
    }

    if (count == 0)
        return 0;
    return virTypedParamListAddUInt(params, count, "%s.%zu.queue.count", group, number);
}
