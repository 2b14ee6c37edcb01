/*
 * vireo_driver_connect.c: entry points about the connection and the host
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_event.h"
#include "viraccessapicheck.h"
#include "viraccessapicheckqemu.h"
#include "viralloc.h"
#include "virclosecallbacks.h"
#include "virerror.h"
#include "virhostcpu.h"
#include "virhostmem.h"
#include "virstring.h"
#include "virutil.h"

#include "vireo_capabilities.h"
#include "vireo_driver.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* Clients that know only QEMU come by its scheme, and are told what they know. */
static bool
vireoConnectIsQemu(virConnectPtr conn)
{
    return conn->uri && STREQ_NULLABLE(conn->uri->scheme, "qemu");
}

int
vireoConnectClose(virConnectPtr conn)
{
    vireoDriver *driver = conn->privateData;

    virCloseCallbacksDomainRunForConn(driver->domains, conn);
    conn->privateData = NULL;

    return 0;
}

const char *
vireoConnectGetType(virConnectPtr conn)
{
    if (virConnectGetTypeEnsureACL(conn) < 0)
        return NULL;

    return vireoConnectIsQemu(conn) ? "QEMU" : "Vireo";
}

int
vireoConnectGetVersion(virConnectPtr conn,
                       unsigned long *version)
{
    unsigned int major = 0;
    unsigned int minor = 0;
    unsigned int micro = 0;

    if (virConnectGetVersionEnsureACL(conn) < 0)
        return -1;

    if (vireoConnectIsQemu(conn)) {
        *version = VIREO_QEMU_VERSION;
        return 0;
    }
    if (sscanf(VIREO_VERSION, "%u.%u.%u", &major, &minor, &micro) != 3) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("version '%s' is not a number"), VIREO_VERSION);
        return -1;
    }
    *version = major * 1000000 + minor * 1000 + micro;

    return 0;
}

char *
vireoConnectGetHostname(virConnectPtr conn)
{
    if (virConnectGetHostnameEnsureACL(conn) < 0)
        return NULL;

    return virGetHostname();
}

int
vireoConnectSupportsFeature(virConnectPtr conn,
                            int feature)
{
    int supported;

    if (virConnectSupportsFeatureEnsureACL(conn) < 0)
        return -1;

    if (virDriverFeatureIsGlobal(feature, &supported))
        return supported;

    switch ((virDrvFeature)feature) {
    case VIR_DRV_FEATURE_TYPED_PARAM_STRING:
    case VIR_DRV_FEATURE_NETWORK_UPDATE_HAS_CORRECT_ORDER:
    case VIR_DRV_FEATURE_FD_PASSING:
    case VIR_DRV_FEATURE_REMOTE:
    case VIR_DRV_FEATURE_PROGRAM_KEEPALIVE:
    case VIR_DRV_FEATURE_REMOTE_CLOSE_CALLBACK:
    case VIR_DRV_FEATURE_REMOTE_EVENT_CALLBACK:
        virReportError(VIR_ERR_INTERNAL_ERROR, _("global feature %d has already been handled"),
                       feature);
        return -1;
    default:
        return 0;
    }
}

char *
vireoConnectGetCapabilities(virConnectPtr conn)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectGetCapabilitiesEnsureACL(conn) < 0)
        return NULL;

    return virCapabilitiesFormatXML(driver->caps);
}

char *
vireoConnectGetDomainCapabilities(virConnectPtr conn,
                                  const char *emulator,
                                  const char *arch,
                                  const char *machine,
                                  const char *virttype,
                                  unsigned int flags)
{
    g_autoptr(virDomainCaps) domcaps = NULL;

    virCheckFlags(0, NULL);

    if (virConnectGetDomainCapabilitiesEnsureACL(conn) < 0)
        return NULL;

    if (!(domcaps = vireoDomainCapabilitiesBuild(conn->privateData, emulator, arch, machine,
                                                 virttype)))
        return NULL;

    return virDomainCapsFormat(domcaps);
}

int
vireoConnectGetMaxVcpus(virConnectPtr conn,
                        const char *type)
{
    if (virConnectGetMaxVcpusEnsureACL(conn) < 0)
        return -1;

    if (type && STRCASENEQ(type, "kvm")) {
        virReportError(VIR_ERR_INVALID_ARG, _("Vireo has no domains of type '%s', only kvm"), type);
        return -1;
    }

    return VIREO_MAX_VCPUS;
}

int
vireoConnectIsAlive(virConnectPtr conn G_GNUC_UNUSED)
{
    return 1;
}

/* Always inside the daemon; the way to it is the remote driver's business. */
int
vireoConnectIsSecure(virConnectPtr conn G_GNUC_UNUSED)
{
    return 1;
}

int
vireoConnectIsEncrypted(virConnectPtr conn G_GNUC_UNUSED)
{
    return 0;
}

int
vireoNodeGetSecurityModel(virConnectPtr conn,
                          virSecurityModelPtr model)
{
    vireoDriver *driver = conn->privateData;
    const virCapsHostSecModel *first = driver->caps->host.secModels;

    if (virNodeGetSecurityModelEnsureACL(conn) < 0)
        return -1;

    memset(model, 0, sizeof(*model));
    if (driver->caps->host.nsecModels == 0 || !first->model)
        return 0;

    if (virStrcpy(model->model, first->model, VIR_SECURITY_MODEL_BUFLEN) < 0 ||
        virStrcpy(model->doi, first->doi, VIR_SECURITY_DOI_BUFLEN) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("security model '%s' has too long a name"),
                       first->model);
        return -1;
    }

    return 0;
}

int
vireoNodeGetInfo(virConnectPtr conn,
                 virNodeInfoPtr info)
{
    if (virNodeGetInfoEnsureACL(conn) < 0)
        return -1;

    return virCapabilitiesGetNodeInfo(info);
}

int
vireoNodeGetCPUStats(virConnectPtr conn,
                     int cpu,
                     virNodeCPUStatsPtr params,
                     int *nparams,
                     unsigned int flags)
{
    if (virNodeGetCPUStatsEnsureACL(conn) < 0)
        return -1;

    return virHostCPUGetStats(cpu, params, nparams, flags);
}

int
vireoNodeGetMemoryStats(virConnectPtr conn,
                        int cell,
                        virNodeMemoryStatsPtr params,
                        int *nparams,
                        unsigned int flags)
{
    if (virNodeGetMemoryStatsEnsureACL(conn) < 0)
        return -1;

    return virHostMemGetStats(cell, params, nparams, flags);
}

unsigned long long
vireoNodeGetFreeMemory(virConnectPtr conn)
{
    unsigned long long free;

    if (virNodeGetFreeMemoryEnsureACL(conn) < 0)
        return 0;

    if (virHostMemGetInfo(NULL, &free) < 0)
        return 0;

    return free;
}

int
vireoNodeGetCPUMap(virConnectPtr conn,
                   unsigned char **cpumap,
                   unsigned int *online,
                   unsigned int flags)
{
    if (virNodeGetCPUMapEnsureACL(conn) < 0)
        return -1;

    return virHostCPUGetMap(cpumap, online, flags);
}

int
vireoConnectDomainEventRegister(virConnectPtr conn,
                                virConnectDomainEventCallback callback,
                                void *opaque,
                                virFreeCallback freecb)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectDomainEventRegisterEnsureACL(conn) < 0)
        return -1;

    return virDomainEventStateRegister(conn, driver->domainEventState, callback, opaque,
                                       freecb) < 0 ? -1 : 0;
}

int
vireoConnectDomainEventDeregister(virConnectPtr conn,
                                  virConnectDomainEventCallback callback)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectDomainEventDeregisterEnsureACL(conn) < 0)
        return -1;

    return virDomainEventStateDeregister(conn, driver->domainEventState, callback) < 0 ? -1 : 0;
}

int
vireoConnectDomainEventRegisterAny(virConnectPtr conn,
                                   virDomainPtr dom,
                                   int eventID,
                                   virConnectDomainEventGenericCallback callback,
                                   void *opaque,
                                   virFreeCallback freecb)
{
    vireoDriver *driver = conn->privateData;
    int id;

    if (virConnectDomainEventRegisterAnyEnsureACL(conn) < 0)
        return -1;

    if (virDomainEventStateRegisterID(conn, driver->domainEventState, dom, eventID, callback,
                                      opaque, freecb, &id) < 0)
        return -1;

    return id;
}

int
vireoConnectDomainEventDeregisterAny(virConnectPtr conn,
                                     int callbackID)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectDomainEventDeregisterAnyEnsureACL(conn) < 0)
        return -1;

    return virObjectEventStateDeregisterID(conn, driver->domainEventState, callbackID,
                                           true) < 0 ? -1 : 0;
}

int
vireoConnectDomainQemuMonitorEventRegister(virConnectPtr conn,
                                           virDomainPtr dom,
                                           const char *event,
                                           virConnectDomainQemuMonitorEventCallback callback,
                                           void *opaque,
                                           virFreeCallback freecb,
                                           unsigned int flags)
{
    vireoDriver *driver = conn->privateData;
    int id;

    if (virConnectDomainQemuMonitorEventRegisterEnsureACL(conn) < 0)
        return -1;

    if (virDomainQemuMonitorEventStateRegisterID(conn, driver->domainEventState, dom, event,
                                                 callback, opaque, freecb, flags, &id) < 0)
        return -1;

    return id;
}

int
vireoConnectDomainQemuMonitorEventDeregister(virConnectPtr conn,
                                             int callbackID)
{
    vireoDriver *driver = conn->privateData;

    if (virConnectDomainQemuMonitorEventDeregisterEnsureACL(conn) < 0)
        return -1;

    return virObjectEventStateDeregisterID(conn, driver->domainEventState, callbackID,
                                           true) < 0 ? -1 : 0;
}
