/*
 * vireo_driver.h: the driver's entry points
 *
 * vireo_driver.c holds the tables; the entry points are in vireo_driver_*.c, one
 * file for each kind. Each does no more than libvirt's rules for entry points
 * say: flags, lookup, access check, job, work done elsewhere, answer. Their
 * meaning is that of libvirt's public API.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "datatypes.h"
#include "driver.h"

#include "vireo_domain.h"

/**
 * vireoRegister:
 *
 * The module's only symbol: registers the driver. Returns 0, or -1 with an error
 * reported.
 */
int
vireoRegister(void);

/**
 * vireoDomainObjFromDomain:
 *
 * Returns the object behind @dom, locked and referenced (virDomainObjEndAPI), or
 * NULL with an error reported.
 */
virDomainObj *
vireoDomainObjFromDomain(virDomainPtr dom);

/**
 * vireoDomainParseIdentity:
 * @xml: a domain's definition, not trusted
 *
 * Reads no more of it than the access check needs, so that the rest is parsed
 * only for those who may. Returns a definition with nothing but name and UUID, or
 * NULL with an error reported.
 */
virDomainDef *
vireoDomainParseIdentity(vireoDriver *driver,
                         const char *xml);

/**
 * vireoDomainParseDefinition:
 * @flags: virDomainDefParseFlags
 *
 * As virDomainDefParseString, which calls many a user's mistake an internal
 * error: those are errors of the XML here.
 */
virDomainDef *
vireoDomainParseDefinition(vireoDriver *driver,
                           const char *xml,
                           unsigned int flags);

/* vireo_driver_connect.c */
virDrvOpenStatus
vireoConnectOpen(virConnectPtr conn,
                 virConnectAuthPtr auth,
                 virConf *conf,
                 unsigned int flags);
int
vireoConnectClose(virConnectPtr conn);
const char *
vireoConnectGetType(virConnectPtr conn);
int
vireoConnectGetVersion(virConnectPtr conn,
                       unsigned long *version);
char *
vireoConnectGetHostname(virConnectPtr conn);
int
vireoConnectSupportsFeature(virConnectPtr conn,
                            int feature);
char *
vireoConnectGetCapabilities(virConnectPtr conn);
char *
vireoConnectGetDomainCapabilities(virConnectPtr conn,
                                  const char *emulator,
                                  const char *arch,
                                  const char *machine,
                                  const char *virttype,
                                  unsigned int flags);
int
vireoConnectGetMaxVcpus(virConnectPtr conn,
                        const char *type);
int
vireoConnectIsAlive(virConnectPtr conn);
int
vireoConnectIsSecure(virConnectPtr conn);
int
vireoConnectIsEncrypted(virConnectPtr conn);
int
vireoNodeGetSecurityModel(virConnectPtr conn,
                          virSecurityModelPtr model);
int
vireoNodeGetInfo(virConnectPtr conn,
                 virNodeInfoPtr info);
int
vireoNodeGetCPUStats(virConnectPtr conn,
                     int cpu,
                     virNodeCPUStatsPtr params,
                     int *nparams,
                     unsigned int flags);
int
vireoNodeGetMemoryStats(virConnectPtr conn,
                        int cell,
                        virNodeMemoryStatsPtr params,
                        int *nparams,
                        unsigned int flags);
unsigned long long
vireoNodeGetFreeMemory(virConnectPtr conn);
int
vireoNodeGetCPUMap(virConnectPtr conn,
                   unsigned char **cpumap,
                   unsigned int *online,
                   unsigned int flags);
int
vireoConnectDomainEventRegister(virConnectPtr conn,
                                virConnectDomainEventCallback callback,
                                void *opaque,
                                virFreeCallback freecb);
int
vireoConnectDomainEventDeregister(virConnectPtr conn,
                                  virConnectDomainEventCallback callback);
int
vireoConnectDomainEventRegisterAny(virConnectPtr conn,
                                   virDomainPtr dom,
                                   int eventID,
                                   virConnectDomainEventGenericCallback callback,
                                   void *opaque,
                                   virFreeCallback freecb);
int
vireoConnectDomainEventDeregisterAny(virConnectPtr conn,
                                     int callbackID);
int
vireoConnectDomainQemuMonitorEventRegister(virConnectPtr conn,
                                           virDomainPtr dom,
                                           const char *event,
                                           virConnectDomainQemuMonitorEventCallback callback,
                                           void *opaque,
                                           virFreeCallback freecb,
                                           unsigned int flags);
int
vireoConnectDomainQemuMonitorEventDeregister(virConnectPtr conn,
                                             int callbackID);

/* vireo_driver_list.c */
int
vireoConnectListDomains(virConnectPtr conn,
                        int *ids,
                        int maxids);
int
vireoConnectNumOfDomains(virConnectPtr conn);
int
vireoConnectListDefinedDomains(virConnectPtr conn,
                               char **const names,
                               int maxnames);
int
vireoConnectNumOfDefinedDomains(virConnectPtr conn);
int
vireoConnectListAllDomains(virConnectPtr conn,
                           virDomainPtr **domains,
                           unsigned int flags);
virDomainPtr
vireoDomainLookupByID(virConnectPtr conn,
                      int id);
virDomainPtr
vireoDomainLookupByUUID(virConnectPtr conn,
                        const unsigned char *uuid);
virDomainPtr
vireoDomainLookupByName(virConnectPtr conn,
                        const char *name);
int
vireoDomainGetInfo(virDomainPtr dom,
                   virDomainInfoPtr info);
int
vireoDomainGetState(virDomainPtr dom,
                    int *state,
                    int *reason,
                    unsigned int flags);
int
vireoDomainGetControlInfo(virDomainPtr dom,
                          virDomainControlInfoPtr info,
                          unsigned int flags);
char *
vireoDomainGetOSType(virDomainPtr dom);
unsigned long long
vireoDomainGetMaxMemory(virDomainPtr dom);
int
vireoDomainIsActive(virDomainPtr dom);
int
vireoDomainIsPersistent(virDomainPtr dom);
int
vireoDomainIsUpdated(virDomainPtr dom);
int
vireoDomainGetMaxVcpus(virDomainPtr dom);
int
vireoDomainGetVcpusFlags(virDomainPtr dom,
                         unsigned int flags);
int
vireoDomainGetVcpus(virDomainPtr dom,
                    virVcpuInfoPtr info,
                    int maxinfo,
                    unsigned char *cpumaps,
                    int maplen);
int
vireoDomainGetVcpuPinInfo(virDomainPtr dom,
                          int ncpumaps,
                          unsigned char *cpumaps,
                          int maplen,
                          unsigned int flags);
int
vireoDomainGetEmulatorPinInfo(virDomainPtr dom,
                              unsigned char *cpumap,
                              int maplen,
                              unsigned int flags);
int
vireoDomainGetSecurityLabel(virDomainPtr dom,
                            virSecurityLabelPtr label);
int
vireoDomainGetMessages(virDomainPtr dom,
                       char ***msgs,
                       unsigned int flags);

/* vireo_driver_define.c */
virDomainPtr
vireoDomainDefineXML(virConnectPtr conn,
                     const char *xml);
virDomainPtr
vireoDomainDefineXMLFlags(virConnectPtr conn,
                          const char *xml,
                          unsigned int flags);
int
vireoDomainUndefine(virDomainPtr dom);
int
vireoDomainUndefineFlags(virDomainPtr dom,
                         unsigned int flags);
char *
vireoDomainGetXMLDesc(virDomainPtr dom,
                      unsigned int flags);
char *
vireoConnectDomainXMLToNative(virConnectPtr conn,
                              const char *format,
                              const char *xml,
                              unsigned int flags);
int
vireoDomainGetAutostart(virDomainPtr dom,
                        int *autostart);
int
vireoDomainSetAutostart(virDomainPtr dom,
                        int autostart);
int
vireoDomainRename(virDomainPtr dom,
                  const char *name,
                  unsigned int flags);
char *
vireoDomainGetMetadata(virDomainPtr dom,
                       int type,
                       const char *uri,
                       unsigned int flags);
int
vireoDomainSetMetadata(virDomainPtr dom,
                       int type,
                       const char *metadata,
                       const char *key,
                       const char *uri,
                       unsigned int flags);
int
vireoDomainHasManagedSaveImage(virDomainPtr dom,
                               unsigned int flags);

/* vireo_driver_run.c */
virDomainPtr
vireoDomainCreateXML(virConnectPtr conn,
                     const char *xml,
                     unsigned int flags);
int
vireoDomainCreate(virDomainPtr dom);
int
vireoDomainCreateWithFlags(virDomainPtr dom,
                           unsigned int flags);
int
vireoDomainDestroy(virDomainPtr dom);
int
vireoDomainDestroyFlags(virDomainPtr dom,
                        unsigned int flags);
int
vireoDomainShutdown(virDomainPtr dom);
int
vireoDomainShutdownFlags(virDomainPtr dom,
                         unsigned int flags);
int
vireoDomainReboot(virDomainPtr dom,
                  unsigned int flags);
int
vireoDomainReset(virDomainPtr dom,
                 unsigned int flags);
int
vireoDomainSuspend(virDomainPtr dom);
int
vireoDomainResume(virDomainPtr dom);
int
vireoDomainInjectNMI(virDomainPtr dom,
                     unsigned int flags);
int
vireoDomainOpenConsole(virDomainPtr dom,
                       const char *name,
                       virStreamPtr stream,
                       unsigned int flags);
int
vireoDomainOpenChannel(virDomainPtr dom,
                       const char *name,
                       virStreamPtr stream,
                       unsigned int flags);
int
vireoDomainQemuMonitorCommand(virDomainPtr dom,
                              const char *cmd,
                              char **result,
                              unsigned int flags);
int
vireoDomainSetMemoryStatsPeriod(virDomainPtr dom,
                                int period,
                                unsigned int flags);


/* vireo_driver_device.c */
int
vireoDomainAttachDevice(virDomainPtr dom,
                        const char *xml);
int
vireoDomainAttachDeviceFlags(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags);
int
vireoDomainDetachDevice(virDomainPtr dom,
                        const char *xml);
int
vireoDomainDetachDeviceAlias(virDomainPtr dom,
                             const char *alias,
                             unsigned int flags);
int
vireoDomainDetachDeviceFlags(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags);

/* vireo_driver_stats.c */
int
vireoDomainMemoryStats(virDomainPtr dom,
                       virDomainMemoryStatPtr stats,
                       unsigned int nstats,
                       unsigned int flags);
int
vireoDomainBlockStats(virDomainPtr dom,
                      const char *path,
                      virDomainBlockStatsPtr stats);
int
vireoDomainBlockStatsFlags(virDomainPtr dom,
                           const char *path,
                           virTypedParameterPtr params,
                           int *nparams,
                           unsigned int flags);
int
vireoDomainInterfaceStats(virDomainPtr dom,
                          const char *device,
                          virDomainInterfaceStatsPtr stats);
int
vireoDomainGetBlockInfo(virDomainPtr dom,
                        const char *path,
                        virDomainBlockInfoPtr info,
                        unsigned int flags);

int
vireoDomainStartDirtyRateCalc(virDomainPtr dom,
                              int seconds,
                              unsigned int flags);

int
vireoConnectGetAllDomainStats(virConnectPtr conn,
                              virDomainPtr *doms,
                              unsigned int ndoms,
                              unsigned int stats,
                              virDomainStatsRecordPtr **retStats,
                              unsigned int flags);

int
vireoDomainInterfaceAddresses(virDomainPtr dom,
                              virDomainInterfacePtr **ifaces,
                              unsigned int source,
                              unsigned int flags);
int
vireoDomainGetDiskErrors(virDomainPtr dom,
                         virDomainDiskErrorPtr errors,
                         unsigned int nerrors,
                         unsigned int flags);

/* vireo_driver_update.c */
int
vireoDomainUpdateDeviceFlags(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags);
int
vireoDomainBlockResize(virDomainPtr dom,
                       const char *path,
                       unsigned long long size,
                       unsigned int flags);

/* vireo_driver_threads.c */
int
vireoDomainPinVcpu(virDomainPtr dom,
                   unsigned int vcpu,
                   unsigned char *cpumap,
                   int maplen);
int
vireoDomainPinVcpuFlags(virDomainPtr dom,
                        unsigned int vcpu,
                        unsigned char *cpumap,
                        int maplen,
                        unsigned int flags);
int
vireoDomainPinEmulator(virDomainPtr dom,
                       unsigned char *cpumap,
                       int maplen,
                       unsigned int flags);
int
vireoDomainPinIOThread(virDomainPtr dom,
                       unsigned int iothread_id,
                       unsigned char *cpumap,
                       int maplen,
                       unsigned int flags);
int
vireoDomainGetIOThreadInfo(virDomainPtr dom,
                           virDomainIOThreadInfoPtr **info,
                           unsigned int flags);
int
vireoDomainAddIOThread(virDomainPtr dom,
                       unsigned int iothread_id,
                       unsigned int flags);
int
vireoDomainDelIOThread(virDomainPtr dom,
                       unsigned int iothread_id,
                       unsigned int flags);
int
vireoDomainSetIOThreadParams(virDomainPtr dom,
                             unsigned int iothread_id,
                             virTypedParameterPtr params,
                             int nparams,
                             unsigned int flags);

/* vireo_driver_tune.c */
char *
vireoDomainGetSchedulerType(virDomainPtr dom,
                            int *nparams);
int
vireoDomainGetSchedulerParameters(virDomainPtr dom,
                                  virTypedParameterPtr params,
                                  int *nparams);
int
vireoDomainGetSchedulerParametersFlags(virDomainPtr dom,
                                       virTypedParameterPtr params,
                                       int *nparams,
                                       unsigned int flags);
int
vireoDomainSetSchedulerParameters(virDomainPtr dom,
                                  virTypedParameterPtr params,
                                  int nparams);
int
vireoDomainSetSchedulerParametersFlags(virDomainPtr dom,
                                       virTypedParameterPtr params,
                                       int nparams,
                                       unsigned int flags);
int
vireoDomainGetMemoryParameters(virDomainPtr dom,
                               virTypedParameterPtr params,
                               int *nparams,
                               unsigned int flags);
int
vireoDomainSetMemoryParameters(virDomainPtr dom,
                               virTypedParameterPtr params,
                               int nparams,
                               unsigned int flags);
int
vireoDomainGetBlkioParameters(virDomainPtr dom,
                              virTypedParameterPtr params,
                              int *nparams,
                              unsigned int flags);
int
vireoDomainSetBlkioParameters(virDomainPtr dom,
                              virTypedParameterPtr params,
                              int nparams,
                              unsigned int flags);
int
vireoDomainSetBlockIoTune(virDomainPtr dom,
                          const char *path,
                          virTypedParameterPtr params,
                          int nparams,
                          unsigned int flags);
int
vireoDomainGetBlockIoTune(virDomainPtr dom,
                          const char *path,
                          virTypedParameterPtr params,
                          int *nparams,
                          unsigned int flags);
int
vireoDomainGetNumaParameters(virDomainPtr dom,
                             virTypedParameterPtr params,
                             int *nparams,
                             unsigned int flags);
int
vireoDomainSetNumaParameters(virDomainPtr dom,
                             virTypedParameterPtr params,
                             int nparams,
                             unsigned int flags);
int
vireoDomainGetInterfaceParameters(virDomainPtr dom,
                                  const char *device,
                                  virTypedParameterPtr params,
                                  int *nparams,
                                  unsigned int flags);
int
vireoDomainSetInterfaceParameters(virDomainPtr dom,
                                  const char *device,
                                  virTypedParameterPtr params,
                                  int nparams,
                                  unsigned int flags);
int
vireoDomainGetCPUStats(virDomainPtr dom,
                       virTypedParameterPtr params,
                       unsigned int nparams,
                       int start_cpu,
                       unsigned int ncpus,
                       unsigned int flags);
int
vireoDomainSetMemory(virDomainPtr dom,
                     unsigned long memory);
int
vireoDomainSetMemoryFlags(virDomainPtr dom,
                          unsigned long memory,
                          unsigned int flags);
int
vireoDomainSetMaxMemory(virDomainPtr dom,
                        unsigned long memory);

/* vireo_driver_vcpu.c */
int
vireoDomainSetVcpus(virDomainPtr dom,
                    unsigned int nvcpus);
int
vireoDomainSetVcpusFlags(virDomainPtr dom,
                         unsigned int nvcpus,
                         unsigned int flags);
int
vireoDomainSetVcpu(virDomainPtr dom,
                   const char *map,
                   int state,
                   unsigned int flags);

/* vireo_driver_block.c */
int
vireoDomainBlockPull(virDomainPtr dom,
                     const char *path,
                     unsigned long bandwidth,
                     unsigned int flags);
int
vireoDomainBlockRebase(virDomainPtr dom,
                       const char *path,
                       const char *base,
                       unsigned long bandwidth,
                       unsigned int flags);
int
vireoDomainBlockCommit(virDomainPtr dom,
                       const char *path,
                       const char *base,
                       const char *top,
                       unsigned long bandwidth,
                       unsigned int flags);
int
vireoDomainBlockCopy(virDomainPtr dom,
                     const char *path,
                     const char *destxml,
                     virTypedParameterPtr params,
                     int nparams,
                     unsigned int flags);
int
vireoDomainBlockJobAbort(virDomainPtr dom,
                         const char *path,
                         unsigned int flags);
int
vireoDomainGetBlockJobInfo(virDomainPtr dom,
                           const char *path,
                           virDomainBlockJobInfoPtr info,
                           unsigned int flags);
int
vireoDomainBlockJobSetSpeed(virDomainPtr dom,
                            const char *path,
                            unsigned long bandwidth,
                            unsigned int flags);

/* vireo_driver_snapshot.c */
virDomainSnapshotPtr
vireoDomainSnapshotCreateXML(virDomainPtr dom,
                             const char *xml,
                             unsigned int flags);
int
vireoDomainSnapshotDelete(virDomainSnapshotPtr snapshot,
                          unsigned int flags);
char *
vireoDomainSnapshotGetXMLDesc(virDomainSnapshotPtr snapshot,
                              unsigned int flags);
int
vireoDomainSnapshotNum(virDomainPtr dom,
                       unsigned int flags);
int
vireoDomainSnapshotListNames(virDomainPtr dom,
                             char **names,
                             int nameslen,
                             unsigned int flags);
int
vireoDomainListAllSnapshots(virDomainPtr dom,
                            virDomainSnapshotPtr **snapshots,
                            unsigned int flags);
int
vireoDomainSnapshotNumChildren(virDomainSnapshotPtr snapshot,
                               unsigned int flags);
int
vireoDomainSnapshotListChildrenNames(virDomainSnapshotPtr snapshot,
                                     char **names,
                                     int nameslen,
                                     unsigned int flags);
int
vireoDomainSnapshotListAllChildren(virDomainSnapshotPtr snapshot,
                                   virDomainSnapshotPtr **snapshots,
                                   unsigned int flags);
virDomainSnapshotPtr
vireoDomainSnapshotLookupByName(virDomainPtr dom,
                                const char *name,
                                unsigned int flags);
int
vireoDomainHasCurrentSnapshot(virDomainPtr dom,
                              unsigned int flags);
virDomainSnapshotPtr
vireoDomainSnapshotGetParent(virDomainSnapshotPtr snapshot,
                             unsigned int flags);
virDomainSnapshotPtr
vireoDomainSnapshotCurrent(virDomainPtr dom,
                           unsigned int flags);
int
vireoDomainSnapshotIsCurrent(virDomainSnapshotPtr snapshot,
                             unsigned int flags);
int
vireoDomainSnapshotHasMetadata(virDomainSnapshotPtr snapshot,
                               unsigned int flags);

/* vireo_driver_guest.c */
int
vireoDomainGetFSInfo(virDomainPtr dom,
                     virDomainFSInfoPtr **info,
                     unsigned int flags);
int
vireoDomainFSFreeze(virDomainPtr dom,
                    const char **mountpoints,
                    unsigned int nmountpoints,
                    unsigned int flags);
int
vireoDomainFSThaw(virDomainPtr dom,
                  const char **mountpoints,
                  unsigned int nmountpoints,
                  unsigned int flags);
int
vireoDomainFSTrim(virDomainPtr dom,
                  const char *mountPoint,
                  unsigned long long minimum,
                  unsigned int flags);
int
vireoDomainGetTime(virDomainPtr dom,
                   long long *seconds,
                   unsigned int *nseconds,
                   unsigned int flags);
int
vireoDomainSetTime(virDomainPtr dom,
                   long long seconds,
                   unsigned int nseconds,
                   unsigned int flags);
int
vireoDomainSetUserPassword(virDomainPtr dom,
                           const char *user,
                           const char *password,
                           unsigned int flags);
char *
vireoDomainGetHostname(virDomainPtr dom,
                       unsigned int flags);
int
vireoDomainGetGuestInfo(virDomainPtr dom,
                        unsigned int types,
                        virTypedParameterPtr *params,
                        int *nparams,
                        unsigned int flags);
int
vireoDomainGetGuestVcpus(virDomainPtr dom,
                         virTypedParameterPtr *params,
                         unsigned int *nparams,
                         unsigned int flags);
int
vireoDomainSetGuestVcpus(virDomainPtr dom,
                         const char *cpumap,
                         int state,
                         unsigned int flags);
int
vireoDomainAuthorizedSSHKeysGet(virDomainPtr dom,
                                const char *user,
                                char ***keys,
                                unsigned int flags);
int
vireoDomainAuthorizedSSHKeysSet(virDomainPtr dom,
                                const char *user,
                                const char **keys,
                                unsigned int nkeys,
                                unsigned int flags);
char *
vireoDomainQemuAgentCommand(virDomainPtr dom,
                            const char *cmd,
                            int timeout,
                            unsigned int flags);
int
vireoDomainAgentSetResponseTimeout(virDomainPtr dom,
                                   int timeout,
                                   unsigned int flags);
int
vireoDomainPMSuspendForDuration(virDomainPtr dom,
                                unsigned int target,
                                unsigned long long duration,
                                unsigned int flags);

/* vireo_driver_host.c */
int
vireoNodeGetCellsFreeMemory(virConnectPtr conn,
                            unsigned long long *freeMems,
                            int startCell,
                            int maxCells);
int
vireoNodeGetFreePages(virConnectPtr conn,
                      unsigned int npages,
                      unsigned int *pages,
                      int startCell,
                      unsigned int cellCount,
                      unsigned long long *counts,
                      unsigned int flags);
int
vireoNodeAllocPages(virConnectPtr conn,
                    unsigned int npages,
                    unsigned int *pageSizes,
                    unsigned long long *pageCounts,
                    int startCell,
                    unsigned int cellCount,
                    unsigned int flags);
int
vireoNodeGetMemoryParameters(virConnectPtr conn,
                             virTypedParameterPtr params,
                             int *nparams,
                             unsigned int flags);
int
vireoNodeSetMemoryParameters(virConnectPtr conn,
                             virTypedParameterPtr params,
                             int nparams,
                             unsigned int flags);
int
vireoNodeSuspendForDuration(virConnectPtr conn,
                            unsigned int target,
                            unsigned long long duration,
                            unsigned int flags);
char *
vireoConnectGetSysinfo(virConnectPtr conn,
                       unsigned int flags);
int
vireoConnectGetCPUModelNames(virConnectPtr conn,
                             const char *archName,
                             char ***models,
                             unsigned int flags);
int
vireoConnectCompareCPU(virConnectPtr conn,
                       const char *xmlDesc,
                       unsigned int flags);
char *
vireoConnectBaselineCPU(virConnectPtr conn,
                        const char **xmlCPUs,
                        unsigned int ncpus,
                        unsigned int flags);
int
vireoConnectCompareHypervisorCPU(virConnectPtr conn,
                                 const char *emulator,
                                 const char *arch,
                                 const char *machine,
                                 const char *virttype,
                                 const char *xmlCPU,
                                 unsigned int flags);
char *
vireoConnectBaselineHypervisorCPU(virConnectPtr conn,
                                  const char *emulator,
                                  const char *arch,
                                  const char *machine,
                                  const char *virttype,
                                  const char **xmlCPUs,
                                  unsigned int ncpus,
                                  unsigned int flags);

/* vireo_driver_job.c */
int
vireoDomainGetJobInfo(virDomainPtr dom,
                      virDomainJobInfoPtr info);
int
vireoDomainGetJobStats(virDomainPtr dom,
                       int *type,
                       virTypedParameterPtr *params,
                       int *nparams,
                       unsigned int flags);
int
vireoDomainAbortJob(virDomainPtr dom);
int
vireoDomainAbortJobFlags(virDomainPtr dom,
                         unsigned int flags);

/* vireo_driver_graphics.c */
char *
vireoDomainScreenshot(virDomainPtr dom,
                      virStreamPtr stream,
                      unsigned int screen,
                      unsigned int flags);
int
vireoDomainSendKey(virDomainPtr dom,
                   unsigned int codeset,
                   unsigned int holdtime,
                   unsigned int *keycodes,
                   int nkeycodes,
                   unsigned int flags);
int
vireoDomainOpenGraphics(virDomainPtr dom,
                        unsigned int idx,
                        int fd,
                        unsigned int flags);
int
vireoDomainOpenGraphicsFD(virDomainPtr dom,
                          unsigned int idx,
                          unsigned int flags);
