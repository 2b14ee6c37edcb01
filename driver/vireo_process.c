/*
 * vireo_process.c: the monitor process of a domain, from start to end
 *
 * A start goes: definition, names, back ends, labels, the process (held before
 * it executes, so that it is in its cgroup first), the monitor's connection,
 * pinning, and only then the guest. The end undoes all of it, whatever of it
 * has happened, so a failed start is just an early end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "domain_audit.h"
#include "domain_driver.h"
#include "viralloc.h"
#include "virclosecallbacks.h"
#include "vircommand.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virpidfile.h"
#include "virstring.h"

#include "vireo_alias.h"
#include "vireo_blockjob.h"
#include "vireo_cgroup.h"
#include "vireo_command.h"
#include "vireo_cpu.h"
#include "vireo_disk.h"
#include "vireo_event.h"
#include "vireo_firmware.h"
#include "vireo_graphics.h"
#include "vireo_guest.h"
#include "vireo_interface.h"
#include "vireo_iotune.h"
#include "vireo_log.h"
#include "vireo_numa.h"
#include "vireo_process.h"
#include "vireo_qmp.h"
#include "vireo_snapshot.h"
#include "vireo_scsi.h"
#include "vireo_storage.h"
#include "vireo_tpm.h"
#include "vireo_vcpu.h"
#include "vireo_virtiofs.h"
#include "vireo_vsock.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_process");

#define VIREO_PROCESS_SOCKET "monitor.sock"

/* How long a process may take to end when asked, and when killed. */
#define VIREO_PROCESS_TERM_MS 5000
#define VIREO_PROCESS_GRACE_MS 15000
#define VIREO_PROCESS_KILL_MS 15000

static int
vireoProcessPrepareDisks(virDomainObj *vm)
{
    size_t i;

    for (i = 0; i < vm->def->ndisks; i++) {
        if (vireoDiskPrepare(vm, vm->def->disks[i]) < 0)
            return -1;
    }

    vireoStorageShareMemory(vm->def);
    return 0;
}

static int
vireoProcessCheckBoot(const virDomainOSDef *os)
{
    const char *paths[] = { os->kernel, os->initrd };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(paths); i++) {
        if (paths[i] && !virFileExists(paths[i])) {
            virReportSystemError(ENOENT, _("'%s' cannot be booted"), paths[i]);
            return -1;
        }
    }

    return 0;
}

static int
vireoProcessPrepareChannels(virDomainObj *vm)
{
    size_t i;

    for (i = 0; i < vm->def->nchannels; i++) {
        if (vireoDomainPrepareChannel(vm, vm->def->channels[i]) < 0)
            return -1;
    }

    return 0;
}

static int
vireoProcessPrepare(virDomainObj *vm,
                    unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoDriver *driver = priv->driver;
    g_autofree char *name = NULL;

    if (virDomainObjSetDefTransient(driver->xmlopt, vm, NULL) < 0)
        return -1;

    vm->def->id = g_atomic_int_add(&driver->lastDomainID, 1) + 1;
    if (vm->def->clock.offset == VIR_DOMAIN_CLOCK_OFFSET_VARIABLE)
        vm->def->clock.data.variable.adjustment0 = vm->def->clock.data.variable.adjustment;
    if (!(name = virDomainDefGetShortName(vm->def)))
        return -1;
    priv->dir = g_strdup_printf("%s/%s", driver->config->stateDir, name);
    if (!(priv->machineName = virDomainDriverGenerateMachineName(VIREO_DRIVER_NAME, NULL, vm->def->id,
                                                                 vm->def->name,
                                                                 driver->privileged)))
        return -1;

    vireoAliasAssign(vm->def);
    vireoVcpuPrepare(vm->def);
    /* A daemon that finds it so removes what is there by then. */
    virDomainObjSetState(vm, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP);
    if (vireoDomainWriteStatus(vm) < 0 ||
        vireoNumaPrepare(vm) < 0 ||
        vireoCPUPrepare(driver->cpuHost, vm->def->cpu) < 0 ||
        vireoProcessCheckBoot(&vm->def->os) < 0 ||
        vireoFirmwareFill(driver->config, vm->def) < 0 ||
        vireoFirmwarePrepare(driver->config, vm->def, flags & VIREO_PROCESS_START_RESET_NVRAM) < 0 ||
        vireoDomainMakeDir(driver, priv->dir) < 0 ||
        vireoProcessPrepareDisks(vm) < 0 ||
        vireoProcessPrepareChannels(vm) < 0 ||
        vireoGraphicsPrepare(vm) < 0 ||
        virSecurityManagerGenLabel(driver->securityManager, vm->def) < 0)
        return -1;

    return virSecurityManagerCheckAllLabel(driver->securityManager, vm->def);
}

int
vireoProcessListen(virDomainObj *vm,
                   const char *name)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *path = vireoDomainPath(vm, name);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = -1;

    if (virStrcpyStatic(addr.sun_path, path) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("the monitor's path '%s' is too long"), path);
        return -1;
    }
    if (virSecurityManagerSetSocketLabel(priv->driver->securityManager, vm->def) < 0)
        return -1;
    /*
     * QEMU's storage daemon accepts twice when a connection comes while its monitor moves to a
     * thread of its own, and would wait for the second for ever.
     */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (virSecurityManagerClearSocketLabel(priv->driver->securityManager, vm->def) < 0)
        goto error;

    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        chmod(path, 0600) < 0 || listen(fd, 4) < 0) {
        virReportSystemError(errno, _("cannot listen on '%s'"), path);
        goto error;
    }

    return fd;

 error:
    VIR_FORCE_CLOSE(fd);
    return -1;
}

static int
vireoProcessLaunch(virDomainObj *vm,
                   virCommand *cmd,
                   int logFD)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoConfig *config = priv->driver->config;
    g_autofree char *pidfile = vireoDomainPidFile(vm);
    int errFD = logFD;

    virCommandWriteArgLog(cmd, logFD);
    virCommandSetOutputFD(cmd, &logFD);
    virCommandSetErrorFD(cmd, &errFD);
    virCommandNonblockingFDs(cmd);
    virCommandSetPidFile(cmd, pidfile);
    virCommandDaemonize(cmd);
    virCommandRequireHandshake(cmd);
    virCommandSetUmask(cmd, 0x002);
    if (config->maxProcesses > 0)
        virCommandSetMaxProcesses(cmd, config->maxProcesses);
    if (config->maxFiles > 0)
        virCommandSetMaxFiles(cmd, config->maxFiles);
    virCommandSetMaxCoreSize(cmd, config->maxCoreSize);

    if (virSecurityManagerSetChildProcessLabel(priv->driver->securityManager, vm->def, cmd) < 0 ||
        virSecurityManagerPreFork(priv->driver->securityManager) < 0)
        return -1;
    if (virCommandRun(cmd, NULL) < 0) {
        virSecurityManagerPostFork(priv->driver->securityManager);
        return -1;
    }
    virSecurityManagerPostFork(priv->driver->securityManager);

    if (virPidFileReadPath(pidfile, &vm->pid) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("domain '%s' has no process"), vm->def->name);
        return -1;
    }
    if (virCommandHandshakeWait(cmd) < 0 ||
        vireoCgroupSetup(vm) < 0 ||
        vireoCgroupSetupEmulator(vm, vm->pid) < 0 ||
        virSecurityManagerSetAllLabel(priv->driver->securityManager, vm->def, NULL, false, false) < 0 ||
        vireoDomainLabelDir(vm) < 0 ||
        vireoTpmJoin(vm) < 0 ||
        vireoStorageStart(vm) < 0)
        return -1;

    return virCommandHandshakeNotify(cmd);
}

int
vireoProcessConnect(virDomainObj *vm,
                    const char *name,
                    vireoEventOrigin origin,
                    vireoMonitor **monitor)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *path = vireoDomainPath(vm, name);
    vireoEventSource *source = vireoEventSourceNew(vm, origin);
    vireoMonitor *mon;
    int rc;

    if ((rc = virSecurityManagerSetDaemonSocketLabel(priv->driver->securityManager, vm->def)) < 0) {
        vireoEventSourceFree(source);
        return -1;
    }
    virObjectUnlock(vm);
    mon = vireoMonitorOpen(path, &vireoEventMonitorCallbacks, source, vireoEventSourceFree);
    virObjectLock(vm);
    if (virSecurityManagerClearSocketLabel(priv->driver->securityManager, vm->def) < 0)
        rc = -1;

    if (mon && rc == 0 && virDomainObjIsActive(vm)) {
        *monitor = mon;
        return 0;
    }

    if (mon) {
        vireoMonitorClose(mon);
        virObjectUnref(mon);
        if (rc == 0)
            virReportError(VIR_ERR_OPERATION_FAILED, _("domain '%s' was ended"), vm->def->name);
    }
    return -1;
}

int
vireoProcessOpenMonitor(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return vireoProcessConnect(vm, VIREO_PROCESS_SOCKET, VIREO_EVENT_MONITOR, &priv->mon);
}

static int
vireoProcessPinThreads(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    if (vireoQmpGetThreads(vm) < 0)
        return -1;

    for (i = 0; i < priv->nvcpuThreads; i++) {
        if (priv->vcpuThreads[i] != 0 &&
            vireoCgroupSetupVcpu(vm, i, priv->vcpuThreads[i]) < 0)
            return -1;
    }
    for (i = 0; i < vm->def->niothreadids; i++) {
        if (vm->def->iothreadids[i]->thread_id != 0 &&
            vireoCgroupSetupIOThread(vm, vm->def->iothreadids[i]) < 0)
            return -1;
    }

    return 0;
}

static void
vireoProcessSetPty(virDomainChrDef *chr,
                   GHashTable *chardevs)
{
    g_autofree char *id = vireoAliasChardev(chr);
    const vireoQmpChardev *chardev = g_hash_table_lookup(chardevs, id);

    if (chr->source->type == VIR_DOMAIN_CHR_TYPE_PTY && chardev && chardev->pty) {
        g_free(chr->source->data.file.path);
        chr->source->data.file.path = g_strdup(chardev->pty);
    }
}

static int
vireoProcessLearnChardevs(virDomainObj *vm)
{
    g_autoptr(GHashTable) chardevs = NULL;
    size_t i;

    if (vireoQmpGetChardevs(vm, &chardevs) < 0)
        return -1;

    for (i = 0; i < vm->def->nserials; i++)
        vireoProcessSetPty(vm->def->serials[i], chardevs);
    for (i = 0; i < vm->def->nchannels; i++)
        vireoProcessSetPty(vm->def->channels[i], chardevs);
    for (i = 0; i < vm->def->nconsoles; i++)
        vireoProcessSetPty(vm->def->consoles[i], chardevs);
    vireoGuestSetAllConnected(vm, chardevs);

    return 0;
}

/* What cannot be said on the command line. */
static int
vireoProcessConfigure(virDomainObj *vm)
{
    unsigned long long balloon = vm->def->mem.cur_balloon;
    size_t i;

    for (i = 0; i < vm->def->nnets; i++) {
        virDomainNetDef *net = vm->def->nets[i];

        if (net->linkstate == VIR_DOMAIN_NET_INTERFACE_LINK_STATE_DOWN &&
            vireoQmpSetLink(vm, net->info.alias, false) < 0)
            return -1;
    }

    for (i = 0; i < vm->def->ndisks; i++) {
        virDomainDiskDef *disk = vm->def->disks[i];

        if (virDomainBlockIoTuneInfoHasAny(&disk->blkdeviotune) &&
            vireoIoTuneApply(vm, disk, &disk->blkdeviotune) < 0)
            return -1;
    }

    if (vireoScsiOpenTrays(vm) < 0)
        return -1;

    if (virDomainDefHasMemballoon(vm->def) && balloon < virDomainDefGetMemoryInitial(vm->def))
        return vireoQmpSetBalloon(vm, balloon);

    return 0;
}

/* What of @inputs the command did not take is still the caller's. */
static int
vireoProcessRunMonitor(virDomainObj *vm,
                       vireoCommandInputs *inputs,
                       off_t *logStart)
{
    g_autoptr(virCommand) cmd = NULL;
    VIR_AUTOCLOSE logFD = -1;
    off_t start;

    if (!(cmd = vireoCommandBuild(vm->def, inputs))) {
        VIR_FORCE_CLOSE(inputs->monitorFD);
        return -1;
    }
    /* The back ends have their names by now. */
    if (vireoDomainWriteStatus(vm) < 0 ||
        (logFD = vireoLogOpen(vm, &start)) < 0 ||
        vireoProcessLaunch(vm, cmd, logFD) < 0)
        return -1;

    /* From here on it is the monitor that says what goes wrong. */
    *logStart = start;
    return 0;
}

static int
vireoProcessStartBackEnds(virDomainObj *vm,
                          off_t *logStart)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree vireoInterfaceFDs *netFDs = g_new0(vireoInterfaceFDs, vm->def->nnets + 1);
    vireoCommandInputs inputs = {
        .config = priv->driver->config,
        .dir = priv->dir,
        .autoNodes = priv->autoNodes,
        .netFDs = netFDs,
        .vsockFD = -1,
        .tpmFD = -1,
    };
    size_t i;
    int ret = -1;

    if (vm->def->vsock && vireoVsockOpen(vm->def->vsock, &inputs.vsockFD) < 0)
        return -1;
    inputs.vsockIsKernels = inputs.vsockFD >= 0;
    for (i = 0; i < vm->def->nfss; i++) {
        if (vireoVirtiofsStart(vm, vm->def->fss[i]) < 0)
            goto cleanup;
    }
    for (i = 0; i < vm->def->nnets; i++) {
        if (vireoInterfaceStart(vm, vm->def->nets[i], &netFDs[i]) < 0)
            goto cleanup;
    }
    if (vireoTpmStart(vm, &inputs.tpmFD) < 0)
        goto cleanup;

    if ((inputs.monitorFD = vireoProcessListen(vm, VIREO_PROCESS_SOCKET)) >= 0)
        ret = vireoProcessRunMonitor(vm, &inputs, logStart);

 cleanup:
    /* Those the command took are -1 by now. */
    for (i = 0; i < vm->def->nnets; i++)
        vireoInterfaceFDsClear(&netFDs[i]);
    VIR_FORCE_CLOSE(inputs.vsockFD);
    VIR_FORCE_CLOSE(inputs.tpmFD);
    return ret;
}

static void
vireoProcessAutoDestroy(virDomainObj *vm,
                        virConnectPtr conn G_GNUC_UNUSED)
{
    if (virDomainObjBeginJob(vm, VIR_JOB_DESTROY) < 0)
        return;
    if (virDomainObjIsActive(vm))
        vireoProcessEnd(vm, VIR_DOMAIN_SHUTOFF_DESTROYED, false);
    vireoProcessRemoveInactive(vm);
    virDomainObjEndJob(vm);
}

/* From a connected monitor to a running guest. */
static int
vireoProcessFinishStart(virDomainObj *vm,
                        unsigned int flags)
{
    if (vireoCPUUpdateLive(vm) < 0 ||
        vireoProcessPinThreads(vm) < 0 ||
        vireoProcessLearnChardevs(vm) < 0 ||
        vireoProcessConfigure(vm) < 0 ||
        vireoGraphicsSetPassword(vm) < 0)
        return -1;

    virDomainObjSetState(vm, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
    vireoEventQueueLifecycle(vm, VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_BOOTED);
    if (flags & VIREO_PROCESS_START_PAUSED) {
        vireoEventQueueLifecycle(vm, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    } else {
        /* before the guest runs, so that its own events find it running */
        virDomainObjSetState(vm, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED);
        if (vireoQmpSimple(vm, "cont") < 0)
            return -1;
    }

    return vireoDomainWriteStatus(vm);
}

int
vireoProcessStart(virDomainObj *vm,
                  virConnectPtr conn,
                  unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    off_t logStart = -1;

    if (virDomainObjIsActive(vm)) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("domain is already running"));
        return -1;
    }
    if (!virFileIsExecutable(vm->def->emulator)) {
        virReportError(VIR_ERR_OPERATION_FAILED,
                       _("the monitor '%s' is missing or cannot be executed"), vm->def->emulator);
        return -1;
    }

    vireoDriverDomainActive(priv->driver, true);
    if (vireoProcessPrepare(vm, flags) < 0 ||
        vireoProcessStartBackEnds(vm, &logStart) < 0 ||
        vireoProcessOpenMonitor(vm) < 0 ||
        vireoProcessFinishStart(vm, flags) < 0) {
        virErrorPtr saved;

        virDomainAuditStart(vm, "booted", false);
        if (logStart >= 0)
            vireoLogReportStart(vm, logStart);
        virErrorPreserveLast(&saved);
        if (virDomainObjIsActive(vm))
            vireoProcessEnd(vm, VIR_DOMAIN_SHUTOFF_FAILED, false);
        else
            vireoDriverDomainActive(priv->driver, false);
        virErrorRestore(&saved);
        return -1;
    }

    virDomainAuditStart(vm, "booted", true);
    if (flags & VIREO_PROCESS_START_AUTODESTROY)
        virCloseCallbacksDomainAdd(vm, conn, vireoProcessAutoDestroy);

    return 0;
}

static bool
vireoProcessWait(int pidfd,
                 int timeoutMS)
{
    struct pollfd pfd = { .fd = pidfd, .events = POLLIN };

    return poll(&pfd, 1, timeoutMS) > 0;
}

int
vireoProcessKill(const char *name,
                 const char *pidfile,
                 pid_t expected,
                 bool graceful)
{
    VIR_AUTOCLOSE pidfd = -1;
    pid_t pid = -1;

    if (expected <= 0 ||
        virPidFileReadPathIfLocked(pidfile, &pid) < 0 || pid != expected)
        return 0;
    if ((pidfd = syscall(SYS_pidfd_open, pid, 0)) < 0)
        return errno == ESRCH ? 0 : -1;

    syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
    if (vireoProcessWait(pidfd, graceful ? VIREO_PROCESS_GRACE_MS : VIREO_PROCESS_TERM_MS))
        return 0;
    if (graceful) {
        virReportError(VIR_ERR_SYSTEM_ERROR, _("domain '%s' did not end when asked to"), name);
        return -1;
    }

    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    if (vireoProcessWait(pidfd, VIREO_PROCESS_KILL_MS))
        return 0;
    virReportError(VIR_ERR_SYSTEM_ERROR, _("process %lld of domain '%s' cannot be killed"),
                   (long long)pid, name);
    return -1;
}

static void
vireoProcessRemoveFiles(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *status = virDomainConfigFile(priv->driver->config->stateDir, vm->def->name);
    g_autofree char *pidfile = vireoDomainPidFile(vm);
    g_autofree char *channels = vireoDomainChannelDir(vm);

    if (unlink(pidfile) < 0 && errno != ENOENT)
        VIR_WARN("'%s' could not be removed", pidfile);
    if (priv->dir && virFileDeleteTree(priv->dir) < 0)
        VIR_WARN("'%s' could not be removed", priv->dir);
    if (virFileDeleteTree(channels) < 0)
        VIR_WARN("'%s' could not be removed", channels);
    /* Last, so that another daemon does the rest should this one end now. */
    if (unlink(status) < 0 && errno != ENOENT)
        VIR_WARN("'%s' could not be removed", status);
}

static int
vireoProcessEventDetail(int reason)
{
    switch ((virDomainShutoffReason)reason) {
    case VIR_DOMAIN_SHUTOFF_SHUTDOWN:
        return VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN;
    case VIR_DOMAIN_SHUTOFF_DESTROYED:
        return VIR_DOMAIN_EVENT_STOPPED_DESTROYED;
    case VIR_DOMAIN_SHUTOFF_CRASHED:
        return VIR_DOMAIN_EVENT_STOPPED_CRASHED;
    default:
        return VIR_DOMAIN_EVENT_STOPPED_FAILED;
    }
}

/* Undoes what a start makes; the process has ended. */
static void
vireoProcessCleanUp(virDomainObj *vm,
                    int reason)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoDriver *driver = priv->driver;
    size_t i;

    vireoGuestDisconnect(vm);
    vireoGraphicsRelease(vm);
    for (i = 0; i < vm->def->nnets; i++)
        vireoInterfaceStop(vm, vm->def->nets[i]);
    for (i = 0; i < vm->def->nfss; i++)
        vireoVirtiofsStop(vm, vm->def->fss[i]);
    vireoTpmStop(vm);

    if (virSecurityManagerRestoreAllLabel(driver->securityManager, vm->def, false, false) < 0)
        VIR_WARN("labels of domain %s could not be restored: %s", vm->def->name,
                 virGetLastErrorMessage());
    virSecurityManagerReleaseLabel(driver->securityManager, vm->def);

    vireoCgroupRemove(vm);
    vireoProcessRemoveFiles(vm);
    virDomainAuditStop(vm, virDomainShutoffReasonTypeToString(reason));

    virCloseCallbacksDomainRemove(vm, NULL, vireoProcessAutoDestroy);
    virChrdevFree(priv->devs);
    priv->devs = virChrdevAlloc();
    vireoDomainForgetRuntime(vm);

    vm->taint = 0;
    vm->updated = 0;
    vm->pid = 0;
    virDomainObjSetState(vm, VIR_DOMAIN_SHUTOFF, reason);
    vm->def->id = -1;
    virDomainObjRemoveTransientDef(vm);
    vireoDriverDomainActive(driver, false);
}

/* Others may look at the domain while the process takes its time. */
static int
vireoProcessKillUnlocked(virDomainObj *vm,
                         bool graceful)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *pidfile = vireoDomainPidFile(vm);
    g_autofree char *name = g_strdup(vm->def->name);
    pid_t pid = vm->pid;
    int rc;

    priv->beingStopped = true;
    virObjectUnlock(vm);
    rc = vireoProcessKill(name, pidfile, pid, graceful);
    virObjectLock(vm);
    if (rc < 0)
        priv->beingStopped = false;

    return rc;
}

int
vireoProcessBeginEndJob(virDomainObj *vm,
                        bool graceful)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virDomainObjCheckActive(vm) < 0 ||
        (priv->dir && vireoProcessKillUnlocked(vm, graceful) < 0))
        return -1;
    if (virDomainObjBeginJob(vm, VIR_JOB_DESTROY) == 0)
        return 0;

    /* Its process is gone all the same, and nobody else heard of that. */
    priv->beingStopped = false;
    if (virDomainObjIsActive(vm))
        vireoEventSpawnEnd(vm, VIR_DOMAIN_SHUTOFF_DESTROYED);
    return -1;
}

int
vireoProcessEnd(virDomainObj *vm,
                int reason,
                bool graceful)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoMonitor *mon;
    virObjectEvent *event;

    if (priv->dir && vireoProcessKillUnlocked(vm, graceful) < 0)
        return -1;

    if ((mon = g_steal_pointer(&priv->mon))) {
        vireoMonitorClose(mon);
        virObjectUnref(mon);
    }

    vireoStorageStop(vm);
    vireoBlockJobsLost(vm);

    event = virDomainEventLifecycleNewFromObj(vm, VIR_DOMAIN_EVENT_STOPPED,
                                              vireoProcessEventDetail(reason));
    vireoProcessCleanUp(vm, reason);
    virObjectEventStateQueue(priv->driver->domainEventState, event);

    return 0;
}

void
vireoProcessRemoveInactive(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (!vm->persistent && !virDomainObjIsActive(vm) && !vm->removing) {
        vireoSnapshotForgetAll(vm);
        vireoTpmForget(vm);
        virDomainObjListRemove(priv->driver->domains, vm);
    }
}
