/*
 * vireo_watchdog.c: a domain's watchdog, and what its expiry leads to
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_event.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_device_props.h"
#include "vireo_event.h"
#include "vireo_validate.h"
#include "vireo_watchdog.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_watchdog");

int
vireoWatchdogValidate(const virDomainWatchdogDef *watchdog)
{
    const vireoValidateRefusal refusals[] = {
        { watchdog->model != VIR_DOMAIN_WATCHDOG_MODEL_I6300ESB,
          "a <watchdog model> other than 'i6300esb'" },
        { watchdog->action == VIR_DOMAIN_WATCHDOG_ACTION_DUMP, "<watchdog action='dump'>" },
    };

    return vireoValidateRefuse(refusals);
}

virJSONValue *
vireoWatchdogProps(const virDomainDef *def,
                   virDomainWatchdogDef *watchdog)
{
    return vireoDevicePropsPCI(def, "i6300esb", &watchdog->info);
}

void
vireoWatchdogExpired(virDomainObj *vm,
                     const char *action)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int event = VIR_DOMAIN_EVENT_WATCHDOG_NONE;
    int reason;

    switch ((virDomainWatchdogAction)virDomainWatchdogActionTypeFromString(action)) {
    case VIR_DOMAIN_WATCHDOG_ACTION_RESET:
        event = VIR_DOMAIN_EVENT_WATCHDOG_RESET;
        break;
    case VIR_DOMAIN_WATCHDOG_ACTION_SHUTDOWN:
        event = VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN;
        break;
    case VIR_DOMAIN_WATCHDOG_ACTION_POWEROFF:
        event = VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF;
        break;
    case VIR_DOMAIN_WATCHDOG_ACTION_PAUSE:
        event = VIR_DOMAIN_EVENT_WATCHDOG_PAUSE;
        break;
    case VIR_DOMAIN_WATCHDOG_ACTION_INJECTNMI:
        event = VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI;
        break;
    case VIR_DOMAIN_WATCHDOG_ACTION_DUMP:
    case VIR_DOMAIN_WATCHDOG_ACTION_NONE:
    case VIR_DOMAIN_WATCHDOG_ACTION_LAST:
        break;
    }

    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventWatchdogNewFromObj(vm, event));
    if (event == VIR_DOMAIN_EVENT_WATCHDOG_PAUSE &&
        virDomainObjGetState(vm, &reason) == VIR_DOMAIN_RUNNING)
        vireoEventSetState(vm, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_WATCHDOG,
                           VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG);
}
