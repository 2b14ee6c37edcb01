/*
 * vireo_driver_guest.c: entry points that the guest agent answers
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "datatypes.h"
#include "domain_driver.h"
#include "driver.h"
#include "viraccessapicheck.h"
#include "viraccessapicheckqemu.h"
#include "viralloc.h"
#include "virbitmap.h"
#include "virerror.h"
#include "virstring.h"

#include "vireo_driver.h"
#include "vireo_guest.h"
#include "vireo_guest_info.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_GUEST_NS_PER_S (1000 * 1000 * 1000LL)

int
vireoDomainGetFSInfo(virDomainPtr dom,
                     virDomainFSInfoPtr **info,
                     unsigned int flags)
{
    virDomainObj *vm;
    g_autoptr(virJSONValue) reply = NULL;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetFSInfoEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_QUERY) == 0) {
        if (vireoGuestCommand(vm, "guest-get-fsinfo", NULL, &reply) == 0)
            ret = vireoGuestInfoFS(reply, vm->def, info);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainFSFreeze(virDomainPtr dom,
                    const char **mountpoints,
                    unsigned int nmountpoints,
                    unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainFSFreezeEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        ret = vireoGuestFreeze(vm, mountpoints, nmountpoints);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainFSThaw(virDomainPtr dom,
                  const char **mountpoints,
                  unsigned int nmountpoints,
                  unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (mountpoints && nmountpoints > 0) {
        virReportError(VIR_ERR_ARGUMENT_UNSUPPORTED, "%s",
                       _("the guest agent can only thaw all file systems"));
        return -1;
    }
    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainFSThawEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        ret = vireoGuestThaw(vm);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainFSTrim(virDomainPtr dom,
                  const char *mountPoint,
                  unsigned long long minimum,
                  unsigned int flags)
{
    virDomainObj *vm;
    g_autoptr(virJSONValue) args = NULL;
    int ret = -1;

    virCheckFlags(0, -1);

    if (mountPoint) {
        virReportError(VIR_ERR_ARGUMENT_UNSUPPORTED, "%s",
                       _("the guest agent can only trim all file systems"));
        return -1;
    }
    if (virJSONValueObjectAdd(&args, "U:minimum", minimum, NULL) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainFSTrimEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        if (vireoGuestCommand(vm, "guest-fstrim", &args, NULL) == 0)
            ret = 0;
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainGetTime(virDomainPtr dom,
                   long long *seconds,
                   unsigned int *nseconds,
                   unsigned int flags)
{
    virDomainObj *vm;
    long long ns;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetTimeEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_QUERY) == 0) {
        if ((ret = vireoGuestGetTime(vm, &ns)) == 0) {
            *seconds = ns / VIREO_GUEST_NS_PER_S - (ns % VIREO_GUEST_NS_PER_S < 0);
            *nseconds = ns - *seconds * VIREO_GUEST_NS_PER_S;
        }
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetTime(virDomainPtr dom,
                   long long seconds,
                   unsigned int nseconds,
                   unsigned int flags)
{
    virDomainObj *vm;
    long long ns;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_TIME_SYNC, -1);

    if (__builtin_mul_overflow(seconds, VIREO_GUEST_NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, (long long)nseconds, &ns)) {
        virReportError(VIR_ERR_OVERFLOW, _("the guest agent cannot set the time %lld"), seconds);
        return -1;
    }
    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetTimeEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        ret = vireoGuestSetTime(vm, flags & VIR_DOMAIN_TIME_SYNC ? NULL : &ns);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainSetUserPassword(virDomainPtr dom,
                           const char *user,
                           const char *password,
                           unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_PASSWORD_ENCRYPTED, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetUserPasswordEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        ret = vireoGuestSetPassword(vm, user, password, flags & VIR_DOMAIN_PASSWORD_ENCRYPTED);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

/* The name that the guest told the network's DHCP server, if any. */
static char *
vireoDomainLeaseHostname(virConnectPtr conn,
                         virDomainNetDef *net)
{
    g_autoptr(virNetwork) network = virNetworkLookupByName(conn, net->data.network.name);
    virNetworkDHCPLeasePtr *leases = NULL;
    char mac[VIR_MAC_STRING_BUFLEN];
    char *name = NULL;
    int n;
    int i;

    if (!network ||
        (n = virNetworkGetDHCPLeases(network, virMacAddrFormat(&net->mac, mac), &leases, 0)) < 0)
        return NULL;

    for (i = 0; i < n; i++) {
        if (!name)
            name = g_strdup(leases[i]->hostname);
        virNetworkDHCPLeaseFree(leases[i]);
    }
    g_free(leases);

    return name;
}

static char *
vireoDomainLeasesHostname(const virDomainDef *def)
{
    g_autoptr(virConnect) conn = virGetConnectNetwork();
    char *name = NULL;
    size_t i;

    if (!conn)
        return NULL;
    for (i = 0; !name && i < def->nnets; i++) {
        if (def->nets[i]->type == VIR_DOMAIN_NET_TYPE_NETWORK)
            name = vireoDomainLeaseHostname(conn, def->nets[i]);
    }

    return name;
}

char *
vireoDomainGetHostname(virDomainPtr dom,
                       unsigned int flags)
{
    virDomainObj *vm;
    char *name = NULL;

    virCheckFlags(VIR_DOMAIN_GET_HOSTNAME_LEASE |
                  VIR_DOMAIN_GET_HOSTNAME_AGENT, NULL);
    VIR_EXCLUSIVE_FLAGS_RET(VIR_DOMAIN_GET_HOSTNAME_LEASE,
                            VIR_DOMAIN_GET_HOSTNAME_AGENT,
                            NULL);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return NULL;

    if (virDomainGetHostnameEnsureACL(dom->conn, vm->def) < 0 ||
        virDomainObjCheckActive(vm) < 0)
        goto cleanup;

    if (flags & VIR_DOMAIN_GET_HOSTNAME_LEASE) {
        name = vireoDomainLeasesHostname(vm->def);
    } else {
        if (vireoGuestBeginJob(vm, VIR_AGENT_JOB_QUERY) < 0)
            goto cleanup;
        ignore_value(vireoGuestGetHostname(vm, &name));
        virDomainObjEndAgentJob(vm);
        if (!name)
            goto cleanup;
    }

    if (!name)
        virReportError(VIR_ERR_NO_HOSTNAME, _("no hostname is known of domain '%s'"), vm->def->name);

 cleanup:
    virDomainObjEndAPI(&vm);
    return name;
}

static int
vireoDomainCollectGuestInfo(virDomainObj *vm,
                            unsigned int types,
                            virTypedParamList *list)
{
    const vireoGuestInfoKind *kind;

    for (kind = vireoGuestInfoKinds; kind->type != 0; kind++) {
        g_autoptr(virJSONValue) reply = NULL;
        int rc;

        if (types != 0 && !(types & kind->type))
            continue;
        rc = vireoGuestCommand(vm, kind->command, NULL, &reply);
        /* Who asks for everything gets what there is. */
        if (rc == VIREO_AGENT_UNKNOWN && types == 0) {
            virResetLastError();
            continue;
        }
        if (rc < 0 || kind->add(list, reply, vm->def) < 0)
            return -1;
    }

    return 0;
}

int
vireoDomainGetGuestInfo(virDomainPtr dom,
                        unsigned int types,
                        virTypedParameterPtr *params,
                        int *nparams,
                        unsigned int flags)
{
    g_autoptr(virTypedParamList) list = g_new0(virTypedParamList, 1);
    const vireoGuestInfoKind *kind;
    unsigned int unknown = types;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    for (kind = vireoGuestInfoKinds; kind->type != 0; kind++)
        unknown &= ~kind->type;
    if (unknown != 0) {
        virReportError(VIR_ERR_INVALID_ARG, _("unknown types of guest information 0x%x"), unknown);
        return -1;
    }
    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetGuestInfoEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_QUERY) == 0) {
        ret = vireoDomainCollectGuestInfo(vm, types, list);
        virDomainObjEndAgentJob(vm);
    }
    if (ret == 0)
        *nparams = virTypedParamListStealParams(list, params);

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainFormatGuestVcpus(virJSONValue *reply,
                            virTypedParamList *list)
{
    g_autoptr(virBitmap) vcpus = NULL;
    g_autoptr(virBitmap) online = NULL;
    g_autoptr(virBitmap) offlinable = NULL;
    g_autofree char *vcpusText = NULL;
    g_autofree char *onlineText = NULL;
    g_autofree char *offlinableText = NULL;

    if (vireoGuestInfoVcpus(reply, &vcpus, &online, &offlinable) < 0)
        return -1;

    vcpusText = virBitmapFormat(vcpus);
    onlineText = virBitmapFormat(online);
    offlinableText = virBitmapFormat(offlinable);
    if (virTypedParamListAddString(list, vcpusText, "vcpus") < 0 ||
        virTypedParamListAddString(list, onlineText, "online") < 0 ||
        virTypedParamListAddString(list, offlinableText, "offlinable") < 0)
        return -1;

    return 0;
}

int
vireoDomainGetGuestVcpus(virDomainPtr dom,
                         virTypedParameterPtr *params,
                         unsigned int *nparams,
                         unsigned int flags)
{
    g_autoptr(virTypedParamList) list = g_new0(virTypedParamList, 1);
    g_autoptr(virJSONValue) reply = NULL;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainGetGuestVcpusEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_QUERY) == 0) {
        if (vireoGuestCommand(vm, "guest-get-vcpus", NULL, &reply) == 0)
            ret = vireoDomainFormatGuestVcpus(reply, list);
        virDomainObjEndAgentJob(vm);
    }
    if (ret == 0)
        *nparams = virTypedParamListStealParams(list, params);

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainSetGuestVcpusJob(virDomainObj *vm,
                            virBitmap *map,
                            bool online)
{
    g_autoptr(virJSONValue) reply = NULL;
    g_autoptr(virBitmap) vcpus = NULL;
    g_autoptr(virBitmap) isOnline = NULL;
    g_autoptr(virBitmap) offlinable = NULL;
    ssize_t id = -1;

    if (vireoGuestCommand(vm, "guest-get-vcpus", NULL, &reply) < 0 ||
        vireoGuestInfoVcpus(reply, &vcpus, &isOnline, &offlinable) < 0)
        return -1;

    while ((id = virBitmapNextSetBit(map, id)) >= 0) {
        if (!virBitmapIsBitSet(vcpus, id)) {
            virReportError(VIR_ERR_INVALID_ARG, _("the guest has no vCPU %zd"), id);
            return -1;
        }
        if (!online && !virBitmapIsBitSet(offlinable, id)) {
            virReportError(VIR_ERR_INVALID_ARG, _("the guest cannot put vCPU %zd offline"), id);
            return -1;
        }
    }

    return vireoGuestSetVcpus(vm, map, online);
}

int
vireoDomainSetGuestVcpus(virDomainPtr dom,
                         const char *cpumap,
                         int state,
                         unsigned int flags)
{
    g_autoptr(virBitmap) map = NULL;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (state != 0 && state != 1) {
        virReportInvalidArg(state, "%s", _("a vCPU is online (1) or not (0)"));
        return -1;
    }
    if (virBitmapParse(cpumap, &map, 4096) < 0 || !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSetGuestVcpusEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        ret = vireoDomainSetGuestVcpusJob(vm, map, state == 1);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainAuthorizedSSHKeysGet(virDomainPtr dom,
                                const char *user,
                                char ***keys,
                                unsigned int flags)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) reply = NULL;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (virJSONValueObjectAdd(&args, "s:username", user, NULL) < 0 ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainAuthorizedSshKeysGetEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_QUERY) == 0) {
        if (vireoGuestCommand(vm, "guest-ssh-get-authorized-keys", &args, &reply) == 0)
            ret = vireoGuestInfoStrings(reply, "keys", keys);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static virJSONValue *
vireoDomainFormatSSHKeys(const char *user,
                         const char **keys,
                         unsigned int nkeys,
                         unsigned int flags)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) list = virJSONValueNewArray();
    unsigned int i;

    for (i = 0; i < nkeys; i++) {
        if (virJSONValueArrayAppendString(list, keys[i]) < 0)
            return NULL;
    }
    if (virJSONValueObjectAdd(&args, "s:username", user, "a:keys", &list, NULL) < 0)
        return NULL;
    if (flags == 0 && virJSONValueObjectAppendBoolean(args, "reset", true) < 0)
        return NULL;

    return g_steal_pointer(&args);
}

int
vireoDomainAuthorizedSSHKeysSet(virDomainPtr dom,
                                const char *user,
                                const char **keys,
                                unsigned int nkeys,
                                unsigned int flags)
{
    const char *command = flags & VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE ?
        "guest-ssh-remove-authorized-keys" : "guest-ssh-add-authorized-keys";
    g_autoptr(virJSONValue) args = NULL;
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND |
                  VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE, -1);
    VIR_EXCLUSIVE_FLAGS_RET(VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND,
                            VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE,
                            -1);

    if (!(args = vireoDomainFormatSSHKeys(user, keys, nkeys, flags)) ||
        !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainAuthorizedSshKeysSetEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        if (vireoGuestCommand(vm, command, &args, NULL) == 0)
            ret = 0;
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainCheckAgentTimeout(int timeout)
{
    if (timeout >= VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK)
        return 0;

    virReportError(VIR_ERR_INVALID_ARG,
                   _("guest agent timeout '%d' is less than the minimum '%d'"),
                   timeout, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK);
    return -1;
}

char *
vireoDomainQemuAgentCommand(virDomainPtr dom,
                            const char *cmd,
                            int timeout,
                            unsigned int flags)
{
    virDomainObj *vm;
    char *result = NULL;

    virCheckFlags(0, NULL);

    if (vireoDomainCheckAgentTimeout(timeout) < 0 || !(vm = vireoDomainObjFromDomain(dom)))
        return NULL;

    if (virDomainQemuAgentCommandEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoGuestBeginJob(vm, VIR_AGENT_JOB_MODIFY) == 0) {
        virDomainObjTaint(vm, VIR_DOMAIN_TAINT_CUSTOM_GA_COMMAND);
        if (vireoGuestRaw(vm, cmd, timeout, &result) < 0)
            g_clear_pointer(&result, g_free);
        virDomainObjEndAgentJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return result;
}

int
vireoDomainAgentSetResponseTimeout(virDomainPtr dom,
                                   int timeout,
                                   unsigned int flags)
{
    virDomainObj *vm;
    vireoDomainObjPrivate *priv;
    int ret = -1;

    virCheckFlags(0, -1);

    if (vireoDomainCheckAgentTimeout(timeout) < 0 || !(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainAgentSetResponseTimeoutEnsureACL(dom->conn, vm->def) >= 0) {
        priv = vm->privateData;
        priv->agentTimeout = timeout;
        vireoDomainSaveStatus(vm);
        ret = 0;
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

int
vireoDomainPMSuspendForDuration(virDomainPtr dom,
                                unsigned int target,
                                unsigned long long duration G_GNUC_UNUSED,
                                unsigned int flags)
{
    static const char *const targets[] = { "memory (S3)", "disk (S4)", "hybrid" };
    virDomainObj *vm;

    virCheckFlags(0, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainPMSuspendForDurationEnsureACL(dom->conn, vm->def) >= 0)
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("Vireo's machine does not suspend to %s"),
                       target < G_N_ELEMENTS(targets) ? targets[target] : "that");

    virDomainObjEndAPI(&vm);
    return -1;
}
