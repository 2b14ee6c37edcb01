/*
 * vireo_driver.c: the driver's tables, and its state from start to end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "configmake.h"
#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"
#include "viridentity.h"
#include "virlog.h"
#include "virpidfile.h"
#include "virutil.h"

#include "vireo_capabilities.h"
#include "vireo_driver.h"
#include "vireo_graphics.h"
#include "vireo_cpu.h"
#include "vireo_event.h"
#include "vireo_process.h"
#include "vireo_snapshot.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_driver");

/* One daemon, one driver: libvirt's tables have no place for it. */
static vireoDriver *vireo_driver;

static int
vireoStateCleanup(void)
{
    vireoDriver *driver = g_steal_pointer(&vireo_driver);

    if (!driver)
        return -1;

    virThreadPoolFree(driver->workers);
    virObjectUnref(driver->domains);
    virObjectUnref(driver->xmlopt);
    virObjectUnref(driver->caps);
    vireoCPUHostFree(driver->cpuHost);
    virObjectUnref(driver->domainEventState);
    g_clear_pointer(&driver->vncPorts, virPortAllocatorRangeFree);
    virObjectUnref(driver->securityManager);
    if (driver->lockFD >= 0)
        virPidFileReleasePath(driver->config->lockPath, driver->lockFD);
    vireoConfigFree(driver->config);
    g_free(driver);

    return 0;
}

static int
vireoStateAddSecurityManager(vireoDriver *driver,
                             virSecurityManager *manager)
{
    if (!manager)
        return -1;

    if (!driver->securityManager) {
        driver->securityManager = virSecurityManagerNewStack(manager);
    } else if (virSecurityManagerStackAddNested(driver->securityManager, manager) < 0) {
        virObjectUnref(manager);
        return -1;
    }

    return driver->securityManager ? 0 : -1;
}

static int
vireoStateInitSecurity(vireoDriver *driver)
{
    vireoConfig *config = driver->config;
    char *autodetect[] = { NULL, NULL };
    char **names = config->securityDrivers && config->securityDrivers[0] ?
        config->securityDrivers : autodetect;
    unsigned int flags = 0;
    size_t i = 0;

    if (config->securityDefaultConfined)
        flags |= VIR_SECURITY_MANAGER_DEFAULT_CONFINED;
    if (driver->privileged)
        flags |= VIR_SECURITY_MANAGER_PRIVILEGED;

    /* The first may be NULL: whatever the host has. */
    do {
        if (vireoStateAddSecurityManager(driver,
                                         virSecurityManagerNew(names[i], VIREO_DRIVER_NAME,
                                                               flags)) < 0)
            return -1;
    } while (names[i] && names[++i]);

    if (!driver->privileged)
        return 0;

    if (config->dynamicOwnership)
        flags |= VIR_SECURITY_MANAGER_DYNAMIC_OWNERSHIP;
    return vireoStateAddSecurityManager(driver,
                                        virSecurityManagerNewDAC(VIREO_DRIVER_NAME, config->user,
                                                                 config->group, flags, NULL));
}

static int
vireoStateInitConfig(vireoDriver *driver)
{
    g_autofree char *dir = driver->privileged ? g_strdup(SYSCONFDIR "/libvirt") :
        virGetUserConfigDirectory();
    g_autofree char *path = g_strdup_printf("%s/vireo.conf", dir);

    driver->config = vireoConfigNew(driver->privileged);
    if (vireoConfigLoadFile(driver->config, path, driver->privileged) < 0 ||
        vireoConfigMakeDirs(driver->config, driver->privileged) < 0)
        return -1;

    driver->lockFD = virPidFileAcquirePath(driver->config->lockPath, false, getpid());
    return driver->lockFD;
}

static int
vireoStateInitCapabilities(vireoDriver *driver)
{
    if (!(driver->cpuHost = vireoCPUHostNew())) {
        VIR_WARN("guests can have no CPU model but the host's: %s", virGetLastErrorMessage());
        virResetLastError();
    }

    driver->caps = vireoCapabilitiesBuild(driver);
    return driver->caps ? 0 : -1;
}

static void
vireoStateNoteDomain(virDomainObj *vm,
                     int newDomain G_GNUC_UNUSED,
                     void *opaque)
{
    vireoDriver *driver = opaque;

    if (vm->def->id > driver->lastDomainID)
        driver->lastDomainID = vm->def->id;
}

static int
vireoStateLoadDomains(vireoDriver *driver)
{
    const vireoConfig *config = driver->config;

    if (virDomainObjListLoadAllConfigs(driver->domains, config->stateDir, NULL, true,
                                       driver->xmlopt, vireoStateNoteDomain, driver) < 0)
        return -1;

    if (virDomainObjListLoadAllConfigs(driver->domains, config->configDir, config->autostartDir,
                                       false, driver->xmlopt, NULL, NULL) < 0)
        return -1;

    return virDomainObjListForEach(driver->domains, false, vireoSnapshotLoad, driver->config);
}

static virDrvStateInitResult
vireoStateInitialize(bool privileged,
                     const char *root,
                     bool monolithic G_GNUC_UNUSED,
                     virStateInhibitCallback callback,
                     void *opaque)
{
    vireoDriver *driver;
    bool autostart = false;

    if (root) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("the Vireo driver has no embedded mode"));
        return VIR_DRV_STATE_INIT_ERROR;
    }

    vireo_driver = driver = g_new0(vireoDriver, 1);
    driver->lockFD = -1;
    driver->privileged = privileged;
    driver->inhibitCallback = callback;
    driver->inhibitOpaque = opaque;

    if (vireoStateInitConfig(driver) < 0 ||
        vireoStateInitSecurity(driver) < 0 ||
        vireoStateInitCapabilities(driver) < 0 ||
        !(driver->xmlopt = vireoDomainXMLOptionNew(driver)) ||
        !(driver->domains = virDomainObjListNew()) ||
        !(driver->domainEventState = virObjectEventStateNew()) ||
        !(driver->vncPorts = virPortAllocatorRangeNew("VNC", VIREO_VNC_PORT_MIN,
                                                      VIREO_VNC_PORT_MAX)) ||
        !(driver->workers = virThreadPoolNewFull(1, 1, 0, vireoEventWorker, "vireo-event",
                                                 virIdentityGetSystem(), driver)) ||
        vireoStateLoadDomains(driver) < 0)
        goto error;

    vireoProcessReconnectAll(driver);

    if (virDriverShouldAutostart(driver->config->stateDir, &autostart) < 0)
        goto error;
    if (autostart)
        vireoProcessAutostart(driver);

    return VIR_DRV_STATE_INIT_COMPLETE;

 error:
    vireoStateCleanup();
    return VIR_DRV_STATE_INIT_ERROR;
}

static void
vireoStateReloadDomain(virDomainObj *vm,
                       int newDomain,
                       void *opaque)
{
    vireoDriver *driver = opaque;

    if (newDomain)
        virObjectEventStateQueue(driver->domainEventState,
                                 virDomainEventLifecycleNewFromObj(vm, VIR_DOMAIN_EVENT_DEFINED,
                                                                   VIR_DOMAIN_EVENT_DEFINED_ADDED));
}

static int
vireoStateReload(void)
{
    vireoDriver *driver = vireo_driver;

    if (!driver)
        return 0;

    return virDomainObjListLoadAllConfigs(driver->domains, driver->config->configDir,
                                          driver->config->autostartDir, false, driver->xmlopt,
                                          vireoStateReloadDomain, driver);
}

static int
vireoStateShutdownPrepare(void)
{
    if (vireo_driver)
        virThreadPoolStop(vireo_driver->workers);
    return 0;
}

static int
vireoStateShutdownWait(void)
{
    if (vireo_driver)
        virThreadPoolDrain(vireo_driver->workers);
    return 0;
}

static int
vireoConnectURIProbe(char **uri)
{
    if (vireo_driver)
        *uri = g_strdup(vireo_driver->privileged ? "vireo:///system" : "vireo:///session");

    return vireo_driver ? 1 : 0;
}

virDrvOpenStatus
vireoConnectOpen(virConnectPtr conn,
                 virConnectAuthPtr auth G_GNUC_UNUSED,
                 virConf *conf G_GNUC_UNUSED,
                 unsigned int flags)
{
    const char *path;

    virCheckFlags(VIR_CONNECT_RO, VIR_DRV_OPEN_ERROR);

    if (!vireo_driver) {
        virReportError(VIR_ERR_INTERNAL_ERROR, "%s", _("the Vireo driver is not active"));
        return VIR_DRV_OPEN_ERROR;
    }

    path = vireo_driver->privileged ? "/system" : "/session";
    if (STRNEQ_NULLABLE(conn->uri->path, path)) {
        virReportError(VIR_ERR_INTERNAL_ERROR,
                       _("unexpected URI path '%s', try %s://%s"), NULLSTR(conn->uri->path),
                       conn->uri->scheme, path);
        return VIR_DRV_OPEN_ERROR;
    }

    if (virConnectOpenEnsureACL(conn) < 0)
        return VIR_DRV_OPEN_ERROR;

    conn->privateData = vireo_driver;
    return VIR_DRV_OPEN_SUCCESS;
}

static virHypervisorDriver vireoHypervisorDriver = {
    .name = VIREO_DRIVER_NAME,
    .connectURIProbe = vireoConnectURIProbe,
    .connectOpen = vireoConnectOpen, /* 0.1.0 */
    .connectClose = vireoConnectClose, /* 0.1.0 */
    .connectGetType = vireoConnectGetType, /* 0.1.0 */
    .connectGetVersion = vireoConnectGetVersion, /* 0.1.0 */
    .connectGetHostname = vireoConnectGetHostname, /* 0.1.0 */
    .connectSupportsFeature = vireoConnectSupportsFeature, /* 0.1.0 */
    .connectGetCapabilities = vireoConnectGetCapabilities, /* 0.1.0 */
    .connectGetDomainCapabilities = vireoConnectGetDomainCapabilities, /* 0.1.0 */
    .connectGetMaxVcpus = vireoConnectGetMaxVcpus, /* 0.1.0 */
    .connectIsAlive = vireoConnectIsAlive, /* 0.1.0 */
    .connectIsSecure = vireoConnectIsSecure, /* 0.1.0 */
    .connectIsEncrypted = vireoConnectIsEncrypted, /* 0.1.0 */
    .nodeGetSecurityModel = vireoNodeGetSecurityModel, /* 0.1.0 */
    .nodeGetInfo = vireoNodeGetInfo, /* 0.1.0 */
    .nodeGetCPUStats = vireoNodeGetCPUStats, /* 0.1.0 */
    .nodeGetMemoryStats = vireoNodeGetMemoryStats, /* 0.1.0 */
    .nodeGetFreeMemory = vireoNodeGetFreeMemory, /* 0.1.0 */
    .nodeGetCPUMap = vireoNodeGetCPUMap, /* 0.1.0 */
    .nodeGetCellsFreeMemory = vireoNodeGetCellsFreeMemory, /* 0.1.0 */
    .nodeGetFreePages = vireoNodeGetFreePages, /* 0.1.0 */
    .nodeAllocPages = vireoNodeAllocPages, /* 0.1.0 */
    .nodeGetMemoryParameters = vireoNodeGetMemoryParameters, /* 0.1.0 */
    .nodeSetMemoryParameters = vireoNodeSetMemoryParameters, /* 0.1.0 */
    .nodeSuspendForDuration = vireoNodeSuspendForDuration, /* 0.1.0 */
    .connectGetSysinfo = vireoConnectGetSysinfo, /* 0.1.0 */
    .connectGetCPUModelNames = vireoConnectGetCPUModelNames, /* 0.1.0 */
    .connectCompareCPU = vireoConnectCompareCPU, /* 0.1.0 */
    .connectBaselineCPU = vireoConnectBaselineCPU, /* 0.1.0 */
    .connectCompareHypervisorCPU = vireoConnectCompareHypervisorCPU, /* 0.1.0 */
    .connectBaselineHypervisorCPU = vireoConnectBaselineHypervisorCPU, /* 0.1.0 */
    .connectDomainEventRegister = vireoConnectDomainEventRegister, /* 0.1.0 */
    .connectDomainEventDeregister = vireoConnectDomainEventDeregister, /* 0.1.0 */
    .connectDomainEventRegisterAny = vireoConnectDomainEventRegisterAny, /* 0.1.0 */
    .connectDomainEventDeregisterAny = vireoConnectDomainEventDeregisterAny, /* 0.1.0 */
    .connectDomainQemuMonitorEventRegister = vireoConnectDomainQemuMonitorEventRegister, /* 0.1.0 */
    .connectDomainQemuMonitorEventDeregister = vireoConnectDomainQemuMonitorEventDeregister, /* 0.1.0 */
    .connectListDomains = vireoConnectListDomains, /* 0.1.0 */
    .connectNumOfDomains = vireoConnectNumOfDomains, /* 0.1.0 */
    .connectListDefinedDomains = vireoConnectListDefinedDomains, /* 0.1.0 */
    .connectNumOfDefinedDomains = vireoConnectNumOfDefinedDomains, /* 0.1.0 */
    .connectListAllDomains = vireoConnectListAllDomains, /* 0.1.0 */
    .domainLookupByID = vireoDomainLookupByID, /* 0.1.0 */
    .domainLookupByUUID = vireoDomainLookupByUUID, /* 0.1.0 */
    .domainLookupByName = vireoDomainLookupByName, /* 0.1.0 */
    .domainGetInfo = vireoDomainGetInfo, /* 0.1.0 */
    .domainGetState = vireoDomainGetState, /* 0.1.0 */
    .domainGetControlInfo = vireoDomainGetControlInfo, /* 0.1.0 */
    .domainGetOSType = vireoDomainGetOSType, /* 0.1.0 */
    .domainGetMaxMemory = vireoDomainGetMaxMemory, /* 0.1.0 */
    .domainIsActive = vireoDomainIsActive, /* 0.1.0 */
    .domainIsPersistent = vireoDomainIsPersistent, /* 0.1.0 */
    .domainIsUpdated = vireoDomainIsUpdated, /* 0.1.0 */
    .domainGetMaxVcpus = vireoDomainGetMaxVcpus, /* 0.1.0 */
    .domainGetVcpusFlags = vireoDomainGetVcpusFlags, /* 0.1.0 */
    .domainGetVcpus = vireoDomainGetVcpus, /* 0.1.0 */
    .domainGetVcpuPinInfo = vireoDomainGetVcpuPinInfo, /* 0.1.0 */
    .domainGetEmulatorPinInfo = vireoDomainGetEmulatorPinInfo, /* 0.1.0 */
    .domainPinVcpu = vireoDomainPinVcpu, /* 0.1.0 */
    .domainPinVcpuFlags = vireoDomainPinVcpuFlags, /* 0.1.0 */
    .domainPinEmulator = vireoDomainPinEmulator, /* 0.1.0 */
    .domainPinIOThread = vireoDomainPinIOThread, /* 0.1.0 */
    .domainGetIOThreadInfo = vireoDomainGetIOThreadInfo, /* 0.1.0 */
    .domainAddIOThread = vireoDomainAddIOThread, /* 0.1.0 */
    .domainDelIOThread = vireoDomainDelIOThread, /* 0.1.0 */
    .domainSetIOThreadParams = vireoDomainSetIOThreadParams, /* 0.1.0 */
    .domainGetSchedulerType = vireoDomainGetSchedulerType, /* 0.1.0 */
    .domainGetSchedulerParameters = vireoDomainGetSchedulerParameters, /* 0.1.0 */
    .domainGetSchedulerParametersFlags = vireoDomainGetSchedulerParametersFlags, /* 0.1.0 */
    .domainSetSchedulerParameters = vireoDomainSetSchedulerParameters, /* 0.1.0 */
    .domainSetSchedulerParametersFlags = vireoDomainSetSchedulerParametersFlags, /* 0.1.0 */
    .domainGetMemoryParameters = vireoDomainGetMemoryParameters, /* 0.1.0 */
    .domainSetMemoryParameters = vireoDomainSetMemoryParameters, /* 0.1.0 */
    .domainGetBlkioParameters = vireoDomainGetBlkioParameters, /* 0.1.0 */
    .domainSetBlkioParameters = vireoDomainSetBlkioParameters, /* 0.1.0 */
    .domainSetBlockIoTune = vireoDomainSetBlockIoTune, /* 0.1.0 */
    .domainGetBlockIoTune = vireoDomainGetBlockIoTune, /* 0.1.0 */
    .domainSetNumaParameters = vireoDomainSetNumaParameters, /* 0.1.0 */
    .domainGetNumaParameters = vireoDomainGetNumaParameters, /* 0.1.0 */
    .domainGetInterfaceParameters = vireoDomainGetInterfaceParameters, /* 0.1.0 */
    .domainSetInterfaceParameters = vireoDomainSetInterfaceParameters, /* 0.1.0 */
    .domainGetCPUStats = vireoDomainGetCPUStats, /* 0.1.0 */
    .domainSetVcpus = vireoDomainSetVcpus, /* 0.1.0 */
    .domainSetVcpusFlags = vireoDomainSetVcpusFlags, /* 0.1.0 */
    .domainSetVcpu = vireoDomainSetVcpu, /* 0.1.0 */
    .domainGetSecurityLabel = vireoDomainGetSecurityLabel, /* 0.1.0 */
    .domainGetMessages = vireoDomainGetMessages, /* 0.1.0 */
    .domainDefineXML = vireoDomainDefineXML, /* 0.1.0 */
    .domainDefineXMLFlags = vireoDomainDefineXMLFlags, /* 0.1.0 */
    .domainUndefine = vireoDomainUndefine, /* 0.1.0 */
    .domainUndefineFlags = vireoDomainUndefineFlags, /* 0.1.0 */
    .domainGetXMLDesc = vireoDomainGetXMLDesc, /* 0.1.0 */
    .connectDomainXMLToNative = vireoConnectDomainXMLToNative, /* 0.1.0 */
    .domainGetAutostart = vireoDomainGetAutostart, /* 0.1.0 */
    .domainSetAutostart = vireoDomainSetAutostart, /* 0.1.0 */
    .domainRename = vireoDomainRename, /* 0.1.0 */
    .domainGetMetadata = vireoDomainGetMetadata, /* 0.1.0 */
    .domainSetMetadata = vireoDomainSetMetadata, /* 0.1.0 */
    .domainHasManagedSaveImage = vireoDomainHasManagedSaveImage, /* 0.1.0 */
    .domainCreateXML = vireoDomainCreateXML, /* 0.1.0 */
    .domainCreate = vireoDomainCreate, /* 0.1.0 */
    .domainCreateWithFlags = vireoDomainCreateWithFlags, /* 0.1.0 */
    .domainDestroy = vireoDomainDestroy, /* 0.1.0 */
    .domainDestroyFlags = vireoDomainDestroyFlags, /* 0.1.0 */
    .domainShutdown = vireoDomainShutdown, /* 0.1.0 */
    .domainShutdownFlags = vireoDomainShutdownFlags, /* 0.1.0 */
    .domainReboot = vireoDomainReboot, /* 0.1.0 */
    .domainReset = vireoDomainReset, /* 0.1.0 */
    .domainSuspend = vireoDomainSuspend, /* 0.1.0 */
    .domainResume = vireoDomainResume, /* 0.1.0 */
    .domainInjectNMI = vireoDomainInjectNMI, /* 0.1.0 */
    .domainSendKey = vireoDomainSendKey, /* 0.1.0 */
    .domainScreenshot = vireoDomainScreenshot, /* 0.1.0 */
    .domainOpenGraphics = vireoDomainOpenGraphics, /* 0.1.0 */
    .domainOpenGraphicsFD = vireoDomainOpenGraphicsFD, /* 0.1.0 */
    .domainOpenConsole = vireoDomainOpenConsole, /* 0.1.0 */
    .domainOpenChannel = vireoDomainOpenChannel, /* 0.1.0 */
    .domainQemuMonitorCommand = vireoDomainQemuMonitorCommand, /* 0.1.0 */
    .domainSetMaxMemory = vireoDomainSetMaxMemory, /* 0.1.0 */
    .domainSetMemory = vireoDomainSetMemory, /* 0.1.0 */
    .domainSetMemoryFlags = vireoDomainSetMemoryFlags, /* 0.1.0 */
    .domainAttachDevice = vireoDomainAttachDevice, /* 0.1.0 */
    .domainAttachDeviceFlags = vireoDomainAttachDeviceFlags, /* 0.1.0 */
    .domainDetachDevice = vireoDomainDetachDevice, /* 0.1.0 */
    .domainDetachDeviceFlags = vireoDomainDetachDeviceFlags, /* 0.1.0 */
    .domainDetachDeviceAlias = vireoDomainDetachDeviceAlias, /* 0.1.0 */
    .domainUpdateDeviceFlags = vireoDomainUpdateDeviceFlags, /* 0.1.0 */
    .domainBlockResize = vireoDomainBlockResize, /* 0.1.0 */
    .domainGetJobInfo = vireoDomainGetJobInfo, /* 0.1.0 */
    .domainGetJobStats = vireoDomainGetJobStats, /* 0.1.0 */
    .domainAbortJob = vireoDomainAbortJob, /* 0.1.0 */
    .domainAbortJobFlags = vireoDomainAbortJobFlags, /* 0.1.0 */
    .domainSetMemoryStatsPeriod = vireoDomainSetMemoryStatsPeriod, /* 0.1.0 */
    .domainMemoryStats = vireoDomainMemoryStats, /* 0.1.0 */
    .domainBlockStats = vireoDomainBlockStats, /* 0.1.0 */
    .domainBlockStatsFlags = vireoDomainBlockStatsFlags, /* 0.1.0 */
    .domainInterfaceStats = vireoDomainInterfaceStats, /* 0.1.0 */
    .domainInterfaceAddresses = vireoDomainInterfaceAddresses, /* 0.1.0 */
    .domainGetDiskErrors = vireoDomainGetDiskErrors, /* 0.1.0 */
    .domainGetBlockInfo = vireoDomainGetBlockInfo, /* 0.1.0 */
    .domainGetFSInfo = vireoDomainGetFSInfo, /* 0.1.0 */
    .domainFSFreeze = vireoDomainFSFreeze, /* 0.1.0 */
    .domainFSThaw = vireoDomainFSThaw, /* 0.1.0 */
    .domainFSTrim = vireoDomainFSTrim, /* 0.1.0 */
    .domainGetTime = vireoDomainGetTime, /* 0.1.0 */
    .domainSetTime = vireoDomainSetTime, /* 0.1.0 */
    .domainSetUserPassword = vireoDomainSetUserPassword, /* 0.1.0 */
    .domainGetHostname = vireoDomainGetHostname, /* 0.1.0 */
    .domainGetGuestInfo = vireoDomainGetGuestInfo, /* 0.1.0 */
    .domainGetGuestVcpus = vireoDomainGetGuestVcpus, /* 0.1.0 */
    .domainSetGuestVcpus = vireoDomainSetGuestVcpus, /* 0.1.0 */
    .domainAuthorizedSSHKeysGet = vireoDomainAuthorizedSSHKeysGet, /* 0.1.0 */
    .domainAuthorizedSSHKeysSet = vireoDomainAuthorizedSSHKeysSet, /* 0.1.0 */
    .domainQemuAgentCommand = vireoDomainQemuAgentCommand, /* 0.1.0 */
    .domainAgentSetResponseTimeout = vireoDomainAgentSetResponseTimeout, /* 0.1.0 */
    .domainPMSuspendForDuration = vireoDomainPMSuspendForDuration, /* 0.1.0 */
    .domainSnapshotCreateXML = vireoDomainSnapshotCreateXML, /* 0.1.0 */
    .domainSnapshotDelete = vireoDomainSnapshotDelete, /* 0.1.0 */
    .domainSnapshotGetXMLDesc = vireoDomainSnapshotGetXMLDesc, /* 0.1.0 */
    .domainSnapshotNum = vireoDomainSnapshotNum, /* 0.1.0 */
    .domainSnapshotListNames = vireoDomainSnapshotListNames, /* 0.1.0 */
    .domainListAllSnapshots = vireoDomainListAllSnapshots, /* 0.1.0 */
    .domainSnapshotNumChildren = vireoDomainSnapshotNumChildren, /* 0.1.0 */
    .domainSnapshotListChildrenNames = vireoDomainSnapshotListChildrenNames, /* 0.1.0 */
    .domainSnapshotListAllChildren = vireoDomainSnapshotListAllChildren, /* 0.1.0 */
    .domainSnapshotLookupByName = vireoDomainSnapshotLookupByName, /* 0.1.0 */
    .domainHasCurrentSnapshot = vireoDomainHasCurrentSnapshot, /* 0.1.0 */
    .domainSnapshotGetParent = vireoDomainSnapshotGetParent, /* 0.1.0 */
    .domainSnapshotCurrent = vireoDomainSnapshotCurrent, /* 0.1.0 */
    .domainSnapshotIsCurrent = vireoDomainSnapshotIsCurrent, /* 0.1.0 */
    .domainSnapshotHasMetadata = vireoDomainSnapshotHasMetadata, /* 0.1.0 */
    .domainBlockPull = vireoDomainBlockPull, /* 0.1.0 */
    .domainBlockRebase = vireoDomainBlockRebase, /* 0.1.0 */
    .domainBlockCommit = vireoDomainBlockCommit, /* 0.1.0 */
    .domainBlockCopy = vireoDomainBlockCopy, /* 0.1.0 */
    .domainBlockJobAbort = vireoDomainBlockJobAbort, /* 0.1.0 */
    .domainGetBlockJobInfo = vireoDomainGetBlockJobInfo, /* 0.1.0 */
    .domainBlockJobSetSpeed = vireoDomainBlockJobSetSpeed, /* 0.1.0 */
    .domainStartDirtyRateCalc = vireoDomainStartDirtyRateCalc, /* 0.1.0 */
    .connectGetAllDomainStats = vireoConnectGetAllDomainStats, /* 0.1.0 */
};

static virConnectDriver vireoConnectDriver = {
    .localOnly = true,
    .uriSchemes = (const char *[]){ "vireo", "qemu", NULL },
    .hypervisorDriver = &vireoHypervisorDriver,
};

static virStateDriver vireoStateDriver = {
    .name = VIREO_DRIVER_NAME,
    .stateInitialize = vireoStateInitialize,
    .stateCleanup = vireoStateCleanup,
    .stateReload = vireoStateReload,
    .stateShutdownPrepare = vireoStateShutdownPrepare,
    .stateShutdownWait = vireoStateShutdownWait,
};

int
vireoRegister(void)
{
    if (virRegisterConnectDriver(&vireoConnectDriver, true) < 0)
        return -1;

    return virRegisterStateDriver(&vireoStateDriver);
}
