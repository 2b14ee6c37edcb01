/*
 * vireo_guest.c: the guest agent's commands the driver uses, typed
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virbitmap.h"
#include "virerror.h"
#include "virlog.h"
#include "virsecureerase.h"

#include "vireo_agent.h"
#include "vireo_alias.h"
#include "vireo_guest.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_guest");

#define VIREO_GUEST_CHANNEL "org.qemu.guest_agent.0"

static bool
vireoGuestIsAgentChannel(const virDomainChrDef *chr)
{
    return chr->deviceType == VIR_DOMAIN_CHR_DEVICE_TYPE_CHANNEL &&
        chr->targetType == VIR_DOMAIN_CHR_CHANNEL_TARGET_TYPE_VIRTIO &&
        chr->source->type == VIR_DOMAIN_CHR_TYPE_UNIX &&
        STREQ_NULLABLE(chr->target.name, VIREO_GUEST_CHANNEL);
}

virDomainChrDef *
vireoGuestChannel(const virDomainDef *def)
{
    size_t i;

    for (i = 0; i < def->nchannels; i++) {
        if (vireoGuestIsAgentChannel(def->channels[i]))
            return def->channels[i];
    }

    return NULL;
}

bool
vireoGuestIsConnected(virDomainObj *vm)
{
    virDomainChrDef *chr = vireoGuestChannel(vm->def);

    return chr && chr->state == VIR_DOMAIN_CHR_DEVICE_STATE_CONNECTED;
}

void
vireoGuestDisconnect(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoAgent *agent = g_steal_pointer(&priv->agent);

    if (agent) {
        vireoAgentClose(agent);
        virObjectUnref(agent);
    }
}

static vireoAgent *
vireoGuestConnect(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virSecurityManager *manager = priv->driver->securityManager;
    virDomainChrDef *chr = vireoGuestChannel(vm->def);
    vireoAgent *agent;

    if (virSecurityManagerSetDaemonSocketLabel(manager, vm->def) < 0)
        return NULL;
    agent = vireoAgentOpen(chr->source->data.nix.path);
    if (virSecurityManagerClearSocketLabel(manager, vm->def) < 0) {
        virObjectUnref(agent);
        return NULL;
    }

    return agent;
}

void
vireoGuestSetConnected(virDomainObj *vm,
                       virDomainChrDef *chr,
                       bool connected,
                       int reason)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainChrDeviceState state = connected ? VIR_DOMAIN_CHR_DEVICE_STATE_CONNECTED :
        VIR_DOMAIN_CHR_DEVICE_STATE_DISCONNECTED;
    bool changed = chr->state != state;

    if (changed) {
        chr->state = state;
        vireoDomainSaveStatus(vm);
    }
    if (!vireoGuestIsAgentChannel(chr))
        return;

    if (changed)
        vireoGuestDisconnect(vm);
    /* Even if nobody asks it anything: an agent polls for a host that is not there. */
    if (connected && !priv->agent && !(priv->agent = vireoGuestConnect(vm)))
        VIR_WARN("the agent of domain %s: %s", vm->def->name, virGetLastErrorMessage());
    if (!changed)
        return;

    virObjectEventStateQueue(priv->driver->domainEventState,
                             virDomainEventAgentLifecycleNewFromObj(vm,
                                                                    connected ?
                                                                    VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED :
                                                                    VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED,
                                                                    reason));
}

void
vireoGuestSetAllConnected(virDomainObj *vm,
                          GHashTable *chardevs)
{
    size_t i;

    for (i = 0; i < vm->def->nchannels; i++) {
        virDomainChrDef *chr = vm->def->channels[i];
        g_autofree char *id = vireoAliasChardev(chr);
        const vireoQmpChardev *chardev = g_hash_table_lookup(chardevs, id);

        if (chardev && chr->targetType == VIR_DOMAIN_CHR_CHANNEL_TARGET_TYPE_VIRTIO)
            vireoGuestSetConnected(vm, chr, chardev->open,
                                   VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_DOMAIN_STARTED);
    }
}

static int
vireoGuestCheckConnected(virDomainObj *vm)
{
    if (virDomainObjCheckActive(vm) < 0)
        return -1;

    if (!vireoGuestChannel(vm->def)) {
        virReportError(VIR_ERR_ARGUMENT_UNSUPPORTED,
                       _("the domain has no channel '%s' of a unix socket for a guest agent"),
                       VIREO_GUEST_CHANNEL);
        return -1;
    }
    if (!vireoGuestIsConnected(vm)) {
        virReportError(VIR_ERR_AGENT_UNRESPONSIVE, "%s", _("the guest agent is not connected"));
        return -1;
    }
    if (virDomainObjGetState(vm, NULL) != VIR_DOMAIN_RUNNING) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s",
                       _("the guest does not run, so neither does its agent"));
        return -1;
    }

    return 0;
}

int
vireoGuestBeginJob(virDomainObj *vm,
                   virDomainAgentJob job)
{
    if (virDomainObjBeginAgentJob(vm, job) < 0)
        return -1;

    if (vireoGuestCheckConnected(vm) < 0) {
        virDomainObjEndAgentJob(vm);
        return -1;
    }

    return 0;
}

/* Gives up the domain's lock for a command. */
static vireoAgent *
vireoGuestEnter(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoAgent *agent;

    /* It may have gone since the job began or the last command. */
    if (vireoGuestCheckConnected(vm) < 0 ||
        (!priv->agent && !(priv->agent = vireoGuestConnect(vm))))
        return NULL;

    agent = virObjectRef(priv->agent);
    virObjectUnlock(vm);
    return agent;
}

/* Takes the lock back, and turns success into failure if the domain is gone. */
static int
vireoGuestExit(virDomainObj *vm,
               vireoAgent *agent,
               int rc)
{
    virObjectUnref(agent);
    virObjectLock(vm);

    if (rc == 0 && !virDomainObjIsActive(vm)) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("domain '%s' stopped meanwhile"), vm->def->name);
        return -1;
    }

    return rc;
}

int
vireoGuestCommand(virDomainObj *vm,
                  const char *name,
                  virJSONValue **args,
                  virJSONValue **result)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int seconds = priv->agentTimeout;
    vireoAgent *agent = vireoGuestEnter(vm);

    if (!agent)
        return -1;

    return vireoGuestExit(vm, agent, vireoAgentCommand(agent, name, args, seconds, result));
}

int
vireoGuestRaw(virDomainObj *vm,
              const char *text,
              int seconds,
              char **reply)
{
    vireoAgent *agent = vireoGuestEnter(vm);

    if (!agent)
        return -1;
    *reply = vireoAgentCommandRaw(agent, text, seconds);

    return vireoGuestExit(vm, agent, *reply ? 0 : -1);
}

int
vireoGuestShutdown(virDomainObj *vm,
                   const char *mode)
{
    vireoAgent *agent = vireoGuestEnter(vm);
    int rc;

    if (!agent)
        return -1;

    rc = vireoAgentShutdown(agent, mode, VIREO_GUEST_SHUTDOWN_SECONDS);
    virObjectUnref(agent);
    virObjectLock(vm);
    return rc;
}

static int
vireoGuestReportShape(const char *command)
{
    virReportError(VIR_ERR_INTERNAL_ERROR,
                   _("the guest agent's reply to '%s' is not as expected"), command);
    return -1;
}

/* A command that answers with a number from 0 to @max. */
static int
vireoGuestCommandNumber(virDomainObj *vm,
                        const char *name,
                        virJSONValue **args,
                        int max)
{
    g_autoptr(virJSONValue) result = NULL;
    int number;

    if (vireoGuestCommand(vm, name, args, &result) < 0)
        return -1;
    if (virJSONValueGetNumberInt(result, &number) < 0 || number < 0 || number > max)
        return vireoGuestReportShape(name);

    return number;
}

int
vireoGuestFreeze(virDomainObj *vm,
                 const char **mountpoints,
                 unsigned int n)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) list = NULL;
    unsigned int i;

    if (!mountpoints || n == 0)
        return vireoGuestCommandNumber(vm, "guest-fsfreeze-freeze", NULL, G_MAXINT);

    list = virJSONValueNewArray();
    for (i = 0; i < n; i++) {
        if (virJSONValueArrayAppendString(list, mountpoints[i]) < 0)
            return -1;
    }
    if (virJSONValueObjectAdd(&args, "a:mountpoints", &list, NULL) < 0)
        return -1;

    return vireoGuestCommandNumber(vm, "guest-fsfreeze-freeze-list", &args, G_MAXINT);
}

int
vireoGuestThaw(virDomainObj *vm)
{
    return vireoGuestCommandNumber(vm, "guest-fsfreeze-thaw", NULL, G_MAXINT);
}

int
vireoGuestGetHostname(virDomainObj *vm,
                      char **name)
{
    g_autoptr(virJSONValue) result = NULL;
    const char *text;

    if (vireoGuestCommand(vm, "guest-get-host-name", NULL, &result) < 0)
        return -1;
    if (!virJSONValueIsObject(result) ||
        !(text = virJSONValueObjectGetString(result, "host-name")))
        return vireoGuestReportShape("guest-get-host-name");

    *name = g_strdup(text);
    return 0;
}

int
vireoGuestGetTime(virDomainObj *vm,
                  long long *ns)
{
    g_autoptr(virJSONValue) result = NULL;

    if (vireoGuestCommand(vm, "guest-get-time", NULL, &result) < 0)
        return -1;
    if (virJSONValueGetNumberLong(result, ns) < 0)
        return vireoGuestReportShape("guest-get-time");

    return 0;
}

int
vireoGuestSetTime(virDomainObj *vm,
                  const long long *ns)
{
    g_autoptr(virJSONValue) args = NULL;

    if (ns && virJSONValueObjectAdd(&args, "I:time", *ns, NULL) < 0)
        return -1;

    return vireoGuestCommand(vm, "guest-set-time", &args, NULL) < 0 ? -1 : 0;
}

int
vireoGuestSetPassword(virDomainObj *vm,
                      const char *user,
                      const char *password,
                      bool crypted)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autofree char *encoded = g_base64_encode((const guchar *)password, strlen(password));
    int rc = virJSONValueObjectAdd(&args,
                                   "b:crypted", crypted,
                                   "s:username", user,
                                   "s:password", encoded,
                                   NULL);

    virSecureEraseString(encoded);
    if (rc < 0)
        return -1;

    return vireoGuestCommand(vm, "guest-set-user-password", &args, NULL) < 0 ? -1 : 0;
}

/* One round: the agent says how many of the list it has done. */
static int
vireoGuestSetSomeVcpus(virDomainObj *vm,
                       virBitmap *map,
                       bool online)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) list = virJSONValueNewArray();
    ssize_t id = -1;
    int n = 0;

    while ((id = virBitmapNextSetBit(map, id)) >= 0) {
        g_autoptr(virJSONValue) vcpu = NULL;

        if (virJSONValueObjectAdd(&vcpu, "u:logical-id", (unsigned int)id, "b:online", online, NULL) < 0 ||
            virJSONValueArrayAppend(list, &vcpu) < 0)
            return -1;
        n++;
    }
    if (virJSONValueObjectAdd(&args, "a:vcpus", &list, NULL) < 0)
        return -1;

    return vireoGuestCommandNumber(vm, "guest-set-vcpus", &args, n);
}

int
vireoGuestSetVcpus(virDomainObj *vm,
                   virBitmap *map,
                   bool online)
{
    g_autoptr(virBitmap) left = virBitmapNewCopy(map);

    while (!virBitmapIsAllClear(left)) {
        int done = vireoGuestSetSomeVcpus(vm, left, online);

        if (done < 0)
            return -1;
        if (done == 0) {
            virReportError(VIR_ERR_OPERATION_FAILED, "%s",
                           _("the guest does not change the state of its vCPUs"));
            return -1;
        }
        while (done-- > 0)
            ignore_value(virBitmapClearBit(left, virBitmapNextSetBit(left, -1)));
    }

    return 0;
}
