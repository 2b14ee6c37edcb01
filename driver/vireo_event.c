/*
 * vireo_event.c: what monitors say of their own accord
 *
 * A connection's thread only queues: the reaction may need the domain's lock, a
 * job, or the monitor, and happens on the driver's pool, in the order of arrival
 * (the pool has one worker; what may block starts a thread of its own).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_event.h"
#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"

#include "vireo_alias.h"
#include "vireo_blockjob.h"
#include "vireo_event.h"
#include "vireo_graphics.h"
#include "vireo_guest.h"
#include "vireo_hotplug.h"
#include "vireo_memory_device.h"
#include "vireo_process.h"
#include "vireo_qmp.h"
#include "vireo_rx_filter.h"
#include "vireo_scsi.h"
#include "vireo_storage.h"
#include "vireo_tpm.h"
#include "vireo_watchdog.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_event");

/* How often the end of a domain waits for the job that is under way, half a minute each. */
#define VIREO_EVENT_END_TRIES 20

typedef struct {
    virDomainObj *vm;
    pid_t pid;             /* of the run whose event it is */
    vireoEventOrigin origin;
    char *name;            /* NULL: the monitor is gone */
    virJSONValue *data;
    long long seconds;
    unsigned int micros;
} vireoEventJob;

/* Whose connection it is: the domain may have been started again since. */
struct _vireoEventSource {
    virDomainObj *vm;
    pid_t pid;
    vireoEventOrigin origin;
};

vireoEventSource *
vireoEventSourceNew(virDomainObj *vm,
                    vireoEventOrigin origin)
{
    vireoEventSource *source = g_new0(vireoEventSource, 1);

    source->vm = virObjectRef(vm);
    source->pid = vm->pid;
    source->origin = origin;
    return source;
}

void
vireoEventSourceFree(void *opaque)
{
    vireoEventSource *source = opaque;

    virObjectUnref(source->vm);
    g_free(source);
}

static void
vireoEventJobFree(vireoEventJob *job)
{
    virObjectUnref(job->vm);
    g_free(job->name);
    virJSONValueFree(job->data);
    g_free(job);
}

static void
vireoEventSend(vireoEventSource *source,
               const char *name,
               virJSONValue *data,
               long long seconds,
               unsigned int micros)
{
    vireoEventJob *job = g_new0(vireoEventJob, 1);
    vireoDomainObjPrivate *priv = source->vm->privateData;

    job->vm = virObjectRef(source->vm);
    job->pid = source->pid;
    job->origin = source->origin;
    job->name = g_strdup(name);
    job->data = data ? virJSONValueCopy(data) : NULL;
    job->seconds = seconds;
    job->micros = micros;
    if (virThreadPoolSendJob(priv->driver->workers, 0, job) < 0)
        vireoEventJobFree(job);
}

static void
vireoEventFromMonitor(const char *name,
                      virJSONValue *data,
                      long long seconds,
                      unsigned int micros,
                      void *opaque)
{
    vireoEventSend(opaque, name, data, seconds, micros);
}

static void
vireoEventMonitorClosed(void *opaque)
{
    vireoEventSend(opaque, NULL, NULL, 0, 0);
}

const vireoMonitorCallbacks vireoEventMonitorCallbacks = {
    .event = vireoEventFromMonitor,
    .closed = vireoEventMonitorClosed,
};

void
vireoEventQueueLifecycle(virDomainObj *vm,
                         int type,
                         int detail)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventLifecycleNewFromObj(vm, type, detail));
}

void
vireoEventSetState(virDomainObj *vm,
                   virDomainState state,
                   int reason,
                   int type,
                   int detail)
{
    int oldReason;

    if (virDomainObjGetState(vm, &oldReason) == state && oldReason == reason)
        return;

    virDomainObjSetState(vm, state, reason);
    vireoEventQueueLifecycle(vm, type, detail);
    vireoDomainSaveStatus(vm);
}

static void
vireoEventStop(virDomainObj *vm,
               virJSONValue *data G_GNUC_UNUSED)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int reason;

    /* More is known already: why it stopped. */
    if (priv->handingOver || priv->panicked || priv->shutoffReason != VIR_DOMAIN_SHUTOFF_UNKNOWN ||
        virDomainObjGetState(vm, &reason) != VIR_DOMAIN_RUNNING)
        return;

    vireoEventSetState(vm, VIR_DOMAIN_PAUSED, priv->pausedReason,
                       VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
}

static void
vireoEventResume(virDomainObj *vm,
                 virJSONValue *data G_GNUC_UNUSED)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int reason;

    priv->resumes++;
    priv->pausedReason = VIR_DOMAIN_PAUSED_UNKNOWN;
    if (virDomainObjGetState(vm, &reason) == VIR_DOMAIN_RUNNING)
        return;

    priv->panicked = false;
    vireoEventSetState(vm, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED,
                       VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
}

static void
vireoEventReset(virDomainObj *vm,
                virJSONValue *data G_GNUC_UNUSED)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    virObjectEventStateQueue(priv->driver->domainEventState, virDomainEventRebootNewFromObj(vm));
}

static int
vireoEventRestartJob(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virJSONValue) args = NULL;
    bool restart = vm->def->onPoweroff == VIR_DOMAIN_LIFECYCLE_ACTION_RESTART;
    bool preserve = vm->def->onPoweroff == VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE;

    priv->shutoffReason = VIR_DOMAIN_SHUTOFF_UNKNOWN;
    priv->panicked = false;
    if (priv->rebooting) {
        priv->rebooting = false;
        if (virJSONValueObjectAdd(&args,
                                  "s:shutdown", restart || preserve ? "pause" : "poweroff",
                                  NULL) < 0 ||
            vireoQmpCommand(vm, "set-action", &args, NULL) < 0)
            return -1;
    }
    if (vireoQmpSimple(vm, "system_reset") < 0)
        return -1;

    return vireoQmpSimple(vm, "cont");
}

/* Runs the guest again that a lifecycle action or the user says shall be. */
static void
vireoEventRestart(void *opaque)
{
    virDomainObj *vm = opaque;

    virObjectLock(vm);
    if (vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        if (vireoEventRestartJob(vm) < 0)
            VIR_WARN("domain %s could not be restarted: %s", vm->def->name, virGetLastErrorMessage());
        virDomainObjEndJob(vm);
    }
    virDomainObjEndAPI(&vm);
}

typedef struct {
    virDomainObj *vm;
    int reason;
} vireoEventEndData;

static void
vireoEventEnd(void *opaque)
{
    g_autofree vireoEventEndData *data = opaque;
    virDomainObj *vm = data->vm;

    int tries = VIREO_EVENT_END_TRIES;
    int rc;

    virObjectLock(vm);
    /* Another job may take longer than one waits for it, but not for ever. */
    while ((rc = virDomainObjBeginJob(vm, VIR_JOB_DESTROY)) < 0 &&
           virDomainObjIsActive(vm) && --tries > 0)
        virResetLastError();
    if (rc == 0) {
        if (virDomainObjIsActive(vm) && vireoProcessEnd(vm, data->reason, false) < 0)
            VIR_WARN("domain %s could not be ended: %s", vm->def->name, virGetLastErrorMessage());
        vireoProcessRemoveInactive(vm);
        virDomainObjEndJob(vm);
    }
    virDomainObjEndAPI(&vm);
}

static void
vireoEventSpawn(virDomainObj *vm,
                virThreadFunc func,
                void *opaque)
{
    virThread thread;

    if (virThreadCreateFull(&thread, false, func, "vireo-event", false, opaque) < 0)
        VIR_WARN("domain %s: an event could not be handled: no thread", vm->def->name);
}

void
vireoEventSpawnEnd(virDomainObj *vm,
                   int reason)
{
    vireoEventEndData *data = g_new0(vireoEventEndData, 1);

    data->vm = virObjectRef(vm);
    data->reason = reason;
    vireoEventSpawn(vm, vireoEventEnd, data);
}

void
vireoEventGuestOff(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (priv->beingStopped)
        return;
    priv->shutoffReason = VIR_DOMAIN_SHUTOFF_SHUTDOWN;

    if (priv->rebooting || vm->def->onPoweroff == VIR_DOMAIN_LIFECYCLE_ACTION_RESTART) {
        vireoEventSpawn(vm, vireoEventRestart, virObjectRef(vm));
        return;
    }

    /* What is to be destroyed exits by itself, and then it is over. */
    vireoEventSetState(vm, VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_UNKNOWN,
                       VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_GUEST);
}

static void
vireoEventShutdown(virDomainObj *vm,
                   virJSONValue *data G_GNUC_UNUSED)
{
    vireoEventGuestOff(vm);
}

void
vireoEventGuestPanicked(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (priv->panicked)
        return;
    priv->panicked = true;
    vireoEventSetState(vm, VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED,
                       VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED);

    switch ((virDomainLifecycleAction)vm->def->onCrash) {
    case VIR_DOMAIN_LIFECYCLE_ACTION_RESTART:
        vireoEventSpawn(vm, vireoEventRestart, virObjectRef(vm));
        break;
    case VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE:
        break;
    default:
        vireoEventSpawnEnd(vm, VIR_DOMAIN_SHUTOFF_CRASHED);
        break;
    }
}

static void
vireoEventInternalError(virDomainObj *vm,
                        virJSONValue *data)
{
    const char *reason = data ? virJSONValueObjectGetString(data, "reason") : NULL;
    const char *registers = data ? virJSONValueObjectGetString(data, "registers") : NULL;

    VIR_ERROR(_("domain %s has stopped, as a virtual CPU did what cannot be carried out: %s\n%s"),
              vm->def->name, NULLSTR(reason), NULLSTR_EMPTY(registers));
    vireoEventSetState(vm, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_CRASHED,
                       VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
}

typedef struct {
    virDomainObj *vm;
    char *alias;
} vireoEventDeviceData;

static void
vireoEventSpawnDevice(virDomainObj *vm,
                      virThreadFunc handle,
                      const char *alias)
{
    vireoEventDeviceData *data = g_new0(vireoEventDeviceData, 1);

    data->vm = virObjectRef(vm);
    data->alias = g_strdup(alias);
    vireoEventSpawn(vm, handle, data);
}

/* Nobody waits any more for the guest to let go of it. */
static void
vireoEventForget(void *opaque)
{
    g_autofree vireoEventDeviceData *data = opaque;
    virDomainObj *vm = data->vm;

    virObjectLock(vm);
    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) == 0) {
        if (virDomainObjIsActive(vm))
            vireoHotplugForget(vm, data->alias);
        virDomainObjEndJob(vm);
    }
    virDomainObjEndAPI(&vm);
    g_free(data->alias);
}

static void
vireoEventFollowRxFilter(void *opaque)
{
    g_autofree vireoEventDeviceData *data = opaque;
    virDomainObj *vm = data->vm;
    virDomainDeviceDef dev;

    virObjectLock(vm);
    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) == 0) {
        if (virDomainObjIsActive(vm) &&
            virDomainDefFindDevice(vm->def, data->alias, &dev, false) == 0 &&
            dev.type == VIR_DOMAIN_DEVICE_NET)
            vireoRxFilterFollow(vm, dev.data.net);
        virDomainObjEndJob(vm);
    }
    virDomainObjEndAPI(&vm);
    g_free(data->alias);
}

static void
vireoEventRxFilter(virDomainObj *vm,
                   virJSONValue *data)
{
    const char *alias = data ? virJSONValueObjectGetString(data, "name") : NULL;
    virDomainDeviceDef dev;

    /* Of those that nobody follows it tells once, and then not until somebody asks. */
    if (alias && virDomainDefFindDevice(vm->def, alias, &dev, false) == 0 &&
        dev.type == VIR_DOMAIN_DEVICE_NET && vireoRxFilterIsFollowed(dev.data.net))
        vireoEventSpawnDevice(vm, vireoEventFollowRxFilter, alias);
}

static void
vireoEventPanicked(virDomainObj *vm,
                   virJSONValue *data G_GNUC_UNUSED)
{
    vireoEventGuestPanicked(vm);
}

static void
vireoEventUnplugged(virDomainObj *vm,
                    virJSONValue *data,
                    bool refused)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const char *alias = data ? virJSONValueObjectGetString(data, "device") : NULL;

    if (!alias)
        return;
    if (STRNEQ_NULLABLE(priv->unplugAlias, alias)) {
        if (!refused)
            vireoEventSpawnDevice(vm, vireoEventForget, alias);
        return;
    }

    priv->unplugState = refused ? VIREO_UNPLUG_REFUSED : VIREO_UNPLUG_DONE;
    virDomainObjBroadcast(vm);
}

static void
vireoEventDeviceDeleted(virDomainObj *vm,
                        virJSONValue *data)
{
    vireoEventUnplugged(vm, data, false);
}

static void
vireoEventUnplugError(virDomainObj *vm,
                      virJSONValue *data)
{
    vireoEventUnplugged(vm, data, true);
}

static void
vireoEventVncConnected(virDomainObj *vm,
                       virJSONValue *data)
{
    vireoGraphicsEvent(vm, VIR_DOMAIN_EVENT_GRAPHICS_CONNECT, data);
}

static void
vireoEventVncInitialized(virDomainObj *vm,
                         virJSONValue *data)
{
    vireoGraphicsEvent(vm, VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE, data);
}

static void
vireoEventVncDisconnected(virDomainObj *vm,
                          virJSONValue *data)
{
    vireoGraphicsEvent(vm, VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT, data);
}

static void
vireoEventTrayMoved(virDomainObj *vm,
                    virJSONValue *data)
{
    const char *alias = data ? virJSONValueObjectGetString(data, "id") : NULL;
    bool open;

    if (alias && virJSONValueObjectGetBoolean(data, "tray-open", &open) == 0)
        vireoScsiTrayMoved(vm, alias, open);
}

static void
vireoEventWatchdog(virDomainObj *vm,
                   virJSONValue *data)
{
    const char *action = data ? virJSONValueObjectGetString(data, "action") : NULL;

    if (action)
        vireoWatchdogExpired(vm, action);
}

static void
vireoEventBalloon(virDomainObj *vm,
                  virJSONValue *data)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    unsigned long long bytes;

    if (!data || virJSONValueObjectGetNumberUlong(data, "actual", &bytes) < 0)
        return;

    /* The balloon is of what the guest was started with. */
    vm->def->mem.cur_balloon = bytes / 1024 + vireoMemoryDeviceCurrent(vm->def);
    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventBalloonChangeNewFromObj(vm, vm->def->mem.cur_balloon));
    vireoDomainSaveStatus(vm);
}

static void
vireoEventMemorySize(virDomainObj *vm,
                     virJSONValue *data)
{
    const char *alias = data ? virJSONValueObjectGetString(data, "id") : NULL;
    unsigned long long bytes;

    if (alias && virJSONValueObjectGetNumberUlong(data, "size", &bytes) == 0)
        vireoMemoryDeviceChanged(vm, alias, bytes / 1024);
}

/* The disk with the block node @node, or NULL. */
static virDomainDiskDef *
vireoEventFindDisk(const virDomainDef *def,
                   const char *node)
{
    size_t i;

    for (i = 0; i < def->ndisks; i++) {
        g_autofree char *own = vireoAliasBlockNode(def->disks[i]);

        if (STREQ_NULLABLE(own, node))
            return def->disks[i];
    }

    return NULL;
}

static void
vireoEventIOError(virDomainObj *vm,
                  virJSONValue *data)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const char *node = data ? virJSONValueObjectGetString(data, "node-name") : NULL;
    const char *actionName = data ? virJSONValueObjectGetString(data, "action") : NULL;
    virDomainDiskDef *disk = vireoEventFindDisk(vm->def, node);
    int action = VIR_DOMAIN_EVENT_IO_ERROR_REPORT;
    bool full = false;

    if (!disk)
        return;
    if (STREQ_NULLABLE(actionName, "ignore"))
        action = VIR_DOMAIN_EVENT_IO_ERROR_NONE;
    else if (STREQ_NULLABLE(actionName, "stop"))
        action = VIR_DOMAIN_EVENT_IO_ERROR_PAUSE;
    ignore_value(virJSONValueObjectGetBoolean(data, "nospace", &full));

    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventIOErrorNewFromObj(vm, virDomainDiskGetSource(disk),
                                                             disk->info.alias, action));
    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventIOErrorReasonNewFromObj(vm, virDomainDiskGetSource(disk),
                                                                   disk->info.alias, action,
                                                                   full ? "enospc" : ""));
    if (action == VIR_DOMAIN_EVENT_IO_ERROR_PAUSE)
        vireoEventSetState(vm, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR,
                           VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR);
}

static void
vireoEventPort(virDomainObj *vm,
               virJSONValue *data)
{
    const char *id = data ? virJSONValueObjectGetString(data, "id") : NULL;
    virDomainDeviceDef dev;
    bool open;

    if (!id || virJSONValueObjectGetBoolean(data, "open", &open) < 0 ||
        virDomainDefFindDevice(vm->def, id, &dev, false) < 0 ||
        dev.type != VIR_DOMAIN_DEVICE_CHR)
        return;

    vireoGuestSetConnected(vm, dev.data.chr, open,
                           VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL);
}

static void
vireoEventTpmFailed(virDomainObj *vm,
                    virJSONValue *data)
{
    const char *reason = data ? virJSONValueObjectGetString(data, "reason") : NULL;

    vireoTpmReportFailure(vm, reason ? reason : "?");
}

static void
vireoEventRTC(virDomainObj *vm,
              virJSONValue *data)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    long long offset;

    if (!data || virJSONValueObjectGetNumberLong(data, "offset", &offset) < 0)
        return;

    /* The monitor counts from what the clock started with. */
    if (vm->def->clock.offset == VIR_DOMAIN_CLOCK_OFFSET_VARIABLE) {
        offset += vm->def->clock.data.variable.adjustment0;
        vm->def->clock.data.variable.adjustment = offset;
        vireoDomainSaveStatus(vm);
    }
    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventRTCChangeNewFromObj(vm, offset));
}

static void
vireoEventClosed(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int reason = priv->shutoffReason;

    /* Whoever stops it finds out. */
    if (priv->beingStopped)
        return;
    if (reason == VIR_DOMAIN_SHUTOFF_UNKNOWN)
        reason = VIR_DOMAIN_SHUTOFF_CRASHED;
    vireoEventSpawnEnd(vm, reason);
}

static void
vireoEventRaw(virDomainObj *vm,
              const vireoEventJob *job)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *details = job->data ? virJSONValueToString(job->data, false) : NULL;

    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainQemuMonitorEventNew(vm->def->id, vm->def->name, vm->def->uuid,
                                                          job->name, job->seconds, job->micros,
                                                          details));
}

static const struct {
    const char *name;
    void (*handle)(virDomainObj *vm,
                   virJSONValue *data);
} vireoEventHandlers[] = {
    { "BALLOON_CHANGE", vireoEventBalloon },
    { "BLOCK_IO_ERROR", vireoEventIOError },
    { "DEVICE_DELETED", vireoEventDeviceDeleted },
    { "DEVICE_UNPLUG_GUEST_ERROR", vireoEventUnplugError },
    { "DEVICE_TRAY_MOVED", vireoEventTrayMoved },
    { "GUEST_PANICKED", vireoEventPanicked },
    { "MEMORY_DEVICE_SIZE_CHANGE", vireoEventMemorySize },
    { "NIC_RX_FILTER_CHANGED", vireoEventRxFilter },
    { "RESET", vireoEventReset },
    { "RESUME", vireoEventResume },
    { "RTC_CHANGE", vireoEventRTC },
    { "SHUTDOWN", vireoEventShutdown },
    { "STOP", vireoEventStop },
    { "VSERPORT_CHANGE", vireoEventPort },
    { "VNC_CONNECTED", vireoEventVncConnected },
    { "VNC_DISCONNECTED", vireoEventVncDisconnected },
    { "VNC_INITIALIZED", vireoEventVncInitialized },
    { "WATCHDOG", vireoEventWatchdog },
    { "X_VIREO_INTERNAL_ERROR", vireoEventInternalError },
    { "X_VIREO_TPM_FAILED", vireoEventTpmFailed },
};

static void
vireoEventHandle(virDomainObj *vm,
                 const vireoEventJob *job)
{
    size_t i;

    vireoEventRaw(vm, job);
    for (i = 0; i < G_N_ELEMENTS(vireoEventHandlers); i++) {
        if (STREQ(job->name, vireoEventHandlers[i].name)) {
            vireoEventHandlers[i].handle(vm, job->data);
            return;
        }
    }
}

static void
vireoEventHandleStorage(virDomainObj *vm,
                        const vireoEventJob *job)
{
    if (job->name)
        vireoBlockJobHandleEvent(vm, job->name, job->data);
    else
        vireoStorageLost(vm);
}

void
vireoEventWorker(void *opaque,
                 void *data G_GNUC_UNUSED)
{
    vireoEventJob *job = opaque;
    virDomainObj *vm = job->vm;

    virObjectLock(vm);
    /* Of an earlier run: that is over and known. */
    if (virDomainObjIsActive(vm) && vm->pid == job->pid) {
        if (job->origin == VIREO_EVENT_STORAGE)
            vireoEventHandleStorage(vm, job);
        else if (job->name)
            vireoEventHandle(vm, job);
        else
            vireoEventClosed(vm);
    }
    virObjectUnlock(vm);
    vireoEventJobFree(job);
}
