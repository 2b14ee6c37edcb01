/*
 * vireo_driver_run.c: entry points that start, stop and steer domains
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viraccessapicheck.h"
#include "viraccessapicheckqemu.h"
#include "viralloc.h"
#include "virerror.h"
#include "virxml.h"

#include "vireo_driver.h"
#include "vireo_event.h"
#include "vireo_guest.h"
#include "vireo_process.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

static unsigned int
vireoDomainStartFlags(unsigned int flags)
{
    return (flags & VIR_DOMAIN_START_PAUSED ? VIREO_PROCESS_START_PAUSED : 0) |
        (flags & VIR_DOMAIN_START_AUTODESTROY ? VIREO_PROCESS_START_AUTODESTROY : 0) |
        (flags & VIR_DOMAIN_START_RESET_NVRAM ? VIREO_PROCESS_START_RESET_NVRAM : 0);
}

virDomainPtr
vireoDomainCreateXML(virConnectPtr conn,
                     const char *xml,
                     unsigned int flags)
{
    vireoDriver *driver = conn->privateData;
    g_autoptr(virDomainDef) identity = NULL;
    g_autoptr(virDomainDef) def = NULL;
    virDomainObj *vm = NULL;
    virDomainPtr dom = NULL;
    unsigned int parseFlags = VIR_DOMAIN_DEF_PARSE_INACTIVE | VIR_DOMAIN_DEF_PARSE_ABI_UPDATE;

    virCheckFlags(VIR_DOMAIN_START_PAUSED |
                  VIR_DOMAIN_START_AUTODESTROY |
                  VIR_DOMAIN_START_VALIDATE |
                  VIR_DOMAIN_START_RESET_NVRAM, NULL);

    if (flags & VIR_DOMAIN_START_VALIDATE)
        parseFlags |= VIR_DOMAIN_DEF_PARSE_VALIDATE_SCHEMA;

    if (!(identity = vireoDomainParseIdentity(driver, xml)) ||
        virDomainCreateXMLEnsureACL(conn, identity) < 0)
        return NULL;

    if (!(def = vireoDomainParseDefinition(driver, xml, parseFlags)) ||
        virXMLCheckIllegalChars("name", def->name, "\n") < 0)
        return NULL;

    if (!(vm = virDomainObjListAdd(driver->domains, &def, driver->xmlopt,
                                   VIR_DOMAIN_OBJ_LIST_ADD_LIVE |
                                   VIR_DOMAIN_OBJ_LIST_ADD_CHECK_LIVE, NULL)))
        return NULL;

    if (virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0) {
        vireoProcessRemoveInactive(vm);
        goto cleanup;
    }
    if (vireoProcessStart(vm, conn, vireoDomainStartFlags(flags)) == 0)
        dom = virGetDomain(conn, vm->def->name, vm->def->uuid, vm->def->id);
    virDomainObjEndJob(vm);
    vireoProcessRemoveInactive(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return dom;
}

int
vireoDomainCreateWithFlags(virDomainPtr dom,
                           unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_START_PAUSED |
                  VIR_DOMAIN_START_AUTODESTROY |
                  VIR_DOMAIN_START_FORCE_BOOT |
                  VIR_DOMAIN_START_RESET_NVRAM, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainCreateWithFlagsEnsureACL(dom->conn, vm->def) < 0 ||
        virDomainObjBeginJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    ret = vireoProcessStart(vm, dom->conn, vireoDomainStartFlags(flags));
    if (ret == 0)
        dom->id = vm->def->id;
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainCreate(virDomainPtr dom)
{
    return vireoDomainCreateWithFlags(dom, 0);
}

int
vireoDomainDestroyFlags(virDomainPtr dom,
                        unsigned int flags)
{
    virDomainObj *vm;
    bool graceful = flags & VIR_DOMAIN_DESTROY_GRACEFUL;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_DESTROY_GRACEFUL, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainDestroyFlagsEnsureACL(dom->conn, vm->def) < 0 ||
        vireoProcessBeginEndJob(vm, graceful) < 0)
        goto cleanup;

    if (virDomainObjCheckActive(vm) == 0)
        ret = vireoProcessEnd(vm, VIR_DOMAIN_SHUTOFF_DESTROYED, graceful);
    virDomainObjEndJob(vm);
    vireoProcessRemoveInactive(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainDestroy(virDomainPtr dom)
{
    return vireoDomainDestroyFlags(dom, 0);
}

/* One command without arguments, in a job of its own. */
static int
vireoDomainSteer(virDomainObj *vm,
                 const char *command)
{
    int ret;

    if (vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        return -1;
    ret = vireoQmpSimple(vm, command);
    virDomainObjEndJob(vm);

    return ret;
}

/* How a user lets the guest end: by an agent that listens, unless told otherwise. */
static int
vireoDomainAskGuest(virDomainObj *vm,
                    unsigned int flags,
                    unsigned int agentFlag,
                    unsigned int buttonFlag,
                    const char *mode,
                    int (*pressButton)(virDomainObj *vm))
{
    bool button = flags == 0 || flags & buttonFlag;
    int rc;

    if (flags & agentFlag || (flags == 0 && vireoGuestIsConnected(vm))) {
        if ((rc = vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY)) == 0) {
            rc = vireoGuestShutdown(vm, mode);
            virDomainObjEndAgentJob(vm);
        }
        if (rc == 0 || !button)
            return rc < 0 ? -1 : 0;
        virResetLastError();
    }

    return pressButton(vm);
}

static int
vireoDomainPressButton(virDomainObj *vm)
{
    return vireoDomainSteer(vm, "system_powerdown");
}

int
vireoDomainShutdownFlags(virDomainPtr dom,
                         unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN |
                  VIR_DOMAIN_SHUTDOWN_GUEST_AGENT, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainShutdownFlagsEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        virDomainObjCheckActive(vm) == 0)
        ret = vireoDomainAskGuest(vm, flags, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
                                  VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, "powerdown",
                                  vireoDomainPressButton);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainShutdown(virDomainPtr dom)
{
    return vireoDomainShutdownFlags(dom, 0);
}

static int
vireoDomainPressForReboot(virDomainObj *vm)
{
    g_autoptr(virJSONValue) args = NULL;

    /* The guest powers off at the button, which is made a reset this once. */
    if (virJSONValueObjectAdd(&args, "s:shutdown", "pause", NULL) < 0 ||
        vireoQmpCommand(vm, "set-action", &args, NULL) < 0)
        return -1;

    return vireoQmpSimple(vm, "system_powerdown");
}

static int
vireoDomainRebootByButton(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int ret;

    if (vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        return -1;

    priv->rebooting = true;
    if ((ret = vireoDomainPressForReboot(vm)) < 0)
        priv->rebooting = false;
    vireoDomainSaveStatus(vm);
    virDomainObjEndJob(vm);

    return ret;
}

int
vireoDomainReboot(virDomainPtr dom,
                  unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_REBOOT_ACPI_POWER_BTN |
                  VIR_DOMAIN_REBOOT_GUEST_AGENT, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainRebootEnsureACL(dom->conn, vm->def, flags) >= 0 &&
        virDomainObjCheckActive(vm) == 0)
        ret = vireoDomainAskGuest(vm, flags, VIR_DOMAIN_REBOOT_GUEST_AGENT,
                                  VIR_DOMAIN_REBOOT_ACPI_POWER_BTN, "reboot",
                                  vireoDomainRebootByButton);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainReset(virDomainPtr dom,
                 unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainResetEnsureACL(dom->conn, vm->def) >= 0)
        ret = vireoDomainSteer(vm, "system_reset");
    /* One that had crashed, and was preserved, can go on from its start. */
    if (ret == 0 && virDomainObjGetState(vm, NULL) == VIR_DOMAIN_CRASHED)
        vireoEventSetState(vm, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_CRASHED,
                           VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSuspend(virDomainPtr dom)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    vireoDomainObjPrivate *priv;
    int state;
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainSuspendEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainBeginActiveJob(vm, VIR_JOB_SUSPEND) < 0)
        goto cleanup;

    priv = vm->privateData;
    state = virDomainObjGetState(vm, NULL);
    if (state == VIR_DOMAIN_PAUSED) {
        ret = 0;
    } else if (state != VIR_DOMAIN_RUNNING) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("domain is not running"));
    } else {
        priv->pausedReason = VIR_DOMAIN_PAUSED_USER;
        if ((ret = vireoQmpSimple(vm, "stop")) == 0)
            vireoEventSetState(vm, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER,
                               VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    }
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

/* Has the guest go on. It may have stopped again, for an error, by the time that this returns. */
static int
vireoDomainGoOn(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    unsigned int resumes = priv->resumes;

    if (vireoQmpSimple(vm, "cont") < 0)
        return -1;
    /* What the monitor said before it answered may have been dealt with, and what came after that. */
    if (priv->resumes == resumes)
        vireoEventSetState(vm, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED,
                           VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);

    return 0;
}

int
vireoDomainResume(virDomainPtr dom)
{
    virDomainObj *vm = vireoDomainObjFromDomain(dom);
    int state;
    int ret = -1;

    if (!vm)
        return -1;

    if (virDomainResumeEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    state = virDomainObjGetState(vm, NULL);
    if (state == VIR_DOMAIN_RUNNING) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("domain is already running"));
    } else if (state != VIR_DOMAIN_PAUSED) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("domain is not paused"));
    } else {
        ret = vireoDomainGoOn(vm);
    }
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainInjectNMI(virDomainPtr dom,
                     unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainInjectNMIEnsureACL(dom->conn, vm->def) >= 0)
        ret = vireoDomainSteer(vm, "inject-nmi");

    virDomainObjEndAPI(&vm);
    return ret;
}

/* The character device called @name, or the one most users mean by a console. */
static virDomainChrDef *
vireoDomainFindConsole(virDomainDef *def,
                       const char *name)
{
    virDomainDeviceDef dev;

    if (name) {
        if (virDomainDefFindDevice(def, name, &dev, false) == 0 &&
            dev.type == VIR_DOMAIN_DEVICE_CHR)
            return dev.data.chr;
        return NULL;
    }
    if (def->nconsoles > 0)
        return def->consoles[0]->targetType == VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_SERIAL &&
            def->nserials > 0 ? def->serials[0] : def->consoles[0];

    return def->nserials > 0 ? def->serials[0] : NULL;
}

static int
vireoDomainOpenChr(virDomainObj *vm,
                   virDomainChrDef *chr,
                   const char *name,
                   virStreamPtr stream,
                   bool force)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int rc;

    if (!chr) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("cannot find character device %s"),
                       NULLSTR(name));
        return -1;
    }
    if (chr->source->type != VIR_DOMAIN_CHR_TYPE_PTY &&
        chr->source->type != VIR_DOMAIN_CHR_TYPE_UNIX) {
        virReportError(VIR_ERR_INTERNAL_ERROR,
                       _("character device %s is not using a PTY or UNIX socket"),
                       chr->info.alias);
        return -1;
    }

    if ((rc = virChrdevOpen(priv->devs, chr->source, stream, force)) == 1)
        virReportError(VIR_ERR_OPERATION_FAILED, "%s", _("active console session exists for this domain"));

    return rc == 0 ? 0 : -1;
}

int
vireoDomainOpenConsole(virDomainPtr dom,
                       const char *name,
                       virStreamPtr stream,
                       unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_CONSOLE_SAFE |
                  VIR_DOMAIN_CONSOLE_FORCE, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainOpenConsoleEnsureACL(dom->conn, vm->def) >= 0 &&
        virDomainObjCheckActive(vm) == 0)
        ret = vireoDomainOpenChr(vm, vireoDomainFindConsole(vm->def, name), name, stream,
                                 flags & VIR_DOMAIN_CONSOLE_FORCE);

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainOpenChannel(virDomainPtr dom,
                       const char *name,
                       virStreamPtr stream,
                       unsigned int flags)
{
    virDomainObj *vm;
    virDomainChrDef *chr = NULL;
    size_t i;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_CHANNEL_FORCE, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainOpenChannelEnsureACL(dom->conn, vm->def) < 0 ||
        virDomainObjCheckActive(vm) < 0)
        goto cleanup;

    for (i = 0; !chr && i < vm->def->nchannels; i++) {
        virDomainChrDef *channel = vm->def->channels[i];

        if (!name || STREQ_NULLABLE(name, channel->info.alias) ||
            STREQ_NULLABLE(name, channel->target.name))
            chr = channel;
    }
    ret = vireoDomainOpenChr(vm, chr, name, stream, flags & VIR_DOMAIN_CHANNEL_FORCE);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainQemuMonitorCommand(virDomainPtr dom,
                              const char *cmd,
                              char **result,
                              unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    /* HMP is QEMU's other language, which Vireo does not speak. */
    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainQemuMonitorCommandEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    virDomainObjTaint(vm, VIR_DOMAIN_TAINT_CUSTOM_MONITOR);
    ret = vireoQmpRaw(vm, cmd, result);
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}
