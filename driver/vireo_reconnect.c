/*
 * vireo_reconnect.c: what happens to domains when the daemon starts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_driver.h"
#include "viralloc.h"
#include "virerror.h"
#include "virlog.h"
#include "virpidfile.h"

#include "vireo_blockjob.h"
#include "vireo_cgroup.h"
#include "vireo_event.h"
#include "vireo_graphics.h"
#include "vireo_guest.h"
#include "vireo_handover.h"
#include "vireo_interface.h"
#include "vireo_memory_device.h"
#include "vireo_overlay.h"
#include "vireo_process.h"
#include "vireo_qmp.h"
#include "vireo_rx_filter.h"
#include "vireo_scsi.h"
#include "vireo_storage.h"
#include "vireo_tpm.h"
#include "vireo_vcpu.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_reconnect");

/* What the guest did while nobody listened. */
static int
vireoReconnectState(virDomainObj *vm)
{
    g_autofree char *status = NULL;
    bool running;
    int reason;

    if (vireoQmpGetStatus(vm, &running, &status) < 0)
        return -1;

    if (running) {
        if (virDomainObjGetState(vm, &reason) != VIR_DOMAIN_RUNNING)
            vireoEventSetState(vm, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED,
                               VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
    } else if (STREQ(status, "guest-panicked")) {
        vireoEventGuestPanicked(vm);
    } else if (STREQ(status, "shutdown")) {
        vireoEventGuestOff(vm);
    } else if (virDomainObjGetState(vm, &reason) == VIR_DOMAIN_RUNNING) {
        vireoEventSetState(vm, VIR_DOMAIN_PAUSED,
                           STREQ(status, "io-error") ? VIR_DOMAIN_PAUSED_IOERROR :
                           STREQ(status, "watchdog") ? VIR_DOMAIN_PAUSED_WATCHDOG :
                           STREQ(status, "internal-error") ? VIR_DOMAIN_PAUSED_CRASHED :
                           VIR_DOMAIN_PAUSED_UNKNOWN,
                           VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    }

    return 0;
}

/* Whether programs in the guest have their channels open now. */
static int
vireoReconnectChannels(virDomainObj *vm)
{
    g_autoptr(GHashTable) chardevs = NULL;

    if (vm->def->nchannels == 0)
        return 0;
    if (vireoQmpGetChardevs(vm, &chardevs) < 0)
        return -1;

    vireoGuestSetAllConnected(vm, chardevs);
    return 0;
}

/* A status does not say what a volume is; its pool does. */
static void
vireoReconnectVolumes(virDomainObj *vm)
{
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        if (virDomainDiskTranslateSourcePool(vm->def->disks[i]) < 0)
            VIR_WARN("nothing can be done with disk %s of domain %s until it is started anew: %s",
                     vm->def->disks[i]->dst, vm->def->name, virGetLastErrorMessage());
    }
    virResetLastError();
}

/* Whether a daemon ended in the middle of a start. */
static bool
vireoReconnectIsStarting(virDomainObj *vm)
{
    int reason;

    return virDomainObjGetState(vm, &reason) == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_STARTING_UP;
}

static int
vireoReconnectDomain(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoDriver *driver = priv->driver;
    g_autofree char *pidfile = vireoDomainPidFile(vm);
    unsigned long long balloon;
    size_t i;

    if (virPidFileReadPathIfLocked(pidfile, &vm->pid) < 0 || vm->pid <= 0) {
        /* Its disks may have been in new images, which show the old ones if they were not. */
        if (priv->overlaysSwitching)
            vireoOverlaysAdopt(vm);
        vireoOverlaysSettle(vm);
        virReportError(VIR_ERR_OPERATION_FAILED, _("the process of domain '%s' has ended"),
                       vm->def->name);
        return -1;
    }
    if (vireoReconnectIsStarting(vm)) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("the start of domain '%s' was not finished"), vm->def->name);
        return -1;
    }
    vireoReconnectVolumes(vm);
    if (!(priv->machineName = virDomainDriverGenerateMachineName(VIREO_DRIVER_NAME, NULL, vm->def->id,
                                                                 vm->def->name,
                                                                 driver->privileged)) ||
        virSecurityManagerReserveLabel(driver->securityManager, vm->def, vm->pid) < 0 ||
        vireoProcessOpenMonitor(vm) < 0 ||
        vireoCgroupConnect(vm) < 0 ||
        vireoQmpGetThreads(vm) < 0 ||
        vireoStorageReconnect(vm) < 0 ||
        vireoBlockJobReconnect(vm) < 0 ||
        vireoHandoverReconnect(vm) < 0 ||
        vireoReconnectState(vm) < 0 ||
        vireoReconnectChannels(vm) < 0)
        return -1;

    if (vireoScsiReconnect(vm) < 0)
        return -1;
    vireoTpmReconnect(vm);
    vireoVcpuReconnect(vm);
    vireoInterfaceReconnect(vm);
    vireoGraphicsReconnect(vm);
    for (i = 0; i < vm->def->nnets; i++) {
        if (vireoRxFilterIsFollowed(vm->def->nets[i]))
            vireoRxFilterFollow(vm, vm->def->nets[i]);
    }
    if (vm->def->nmems > 0 && vireoQmpGetMemoryDevices(vm) < 0)
        return -1;
    if (virDomainDefHasMemballoon(vm->def) && vireoQmpGetBalloon(vm, &balloon) == 0)
        vm->def->mem.cur_balloon = balloon + vireoMemoryDeviceCurrent(vm->def);

    return virDomainObjSave(vm, driver->xmlopt, driver->config->stateDir);
}

static void
vireoReconnectThread(void *opaque)
{
    virDomainObj *vm = opaque;
    int reason;

    virObjectLock(vm);
    reason = vireoReconnectIsStarting(vm) ? VIR_DOMAIN_SHUTOFF_FAILED : VIR_DOMAIN_SHUTOFF_CRASHED;
    if (vireoReconnectDomain(vm) < 0) {
        VIR_WARN("domain %s is lost: %s", vm->def->name, virGetLastErrorMessage());
        if (virDomainObjIsActive(vm))
            vireoProcessEnd(vm, reason, false);
    }
    virDomainObjEndJob(vm);
    vireoProcessRemoveInactive(vm);
    virDomainObjEndAPI(&vm);
}

static int
vireoReconnectOne(virDomainObj *vm,
                  void *opaque)
{
    vireoDriver *driver = opaque;
    virThread thread;

    virObjectLock(vm);
    virObjectRef(vm);
    if (!virDomainObjIsActive(vm) || virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0) {
        virDomainObjEndAPI(&vm);
        return 0;
    }

    /* In its own thread: a monitor that hangs must not hold up the daemon. */
    vireoDriverDomainActive(driver, true);
    if (virThreadCreateFull(&thread, false, vireoReconnectThread, "vireo-reconn", false, vm) < 0) {
        VIR_WARN("domain %s cannot be reconnected: no thread", vm->def->name);
        vireoDriverDomainActive(driver, false);
        virDomainObjEndJob(vm);
        virDomainObjEndAPI(&vm);
        return 0;
    }
    virObjectUnlock(vm);

    return 0;
}

void
vireoProcessReconnectAll(vireoDriver *driver)
{
    virDomainObjListForEach(driver->domains, false, vireoReconnectOne, driver);
}

static int
vireoAutostartOne(virDomainObj *vm,
                  void *opaque G_GNUC_UNUSED)
{
    virObjectLock(vm);
    virObjectRef(vm);

    if (vm->autostart && !virDomainObjIsActive(vm) &&
        virDomainObjBeginJob(vm, VIR_JOB_MODIFY) == 0) {
        if (!virDomainObjIsActive(vm) && vireoProcessStart(vm, NULL, 0) < 0)
            VIR_ERROR(_("domain %s could not be autostarted: %s"), vm->def->name,
                      virGetLastErrorMessage());
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return 0;
}

void
vireoProcessAutostart(vireoDriver *driver)
{
    virDomainObjListForEach(driver->domains, false, vireoAutostartOne, NULL);
}
