/*
 * vireo_cgroup.c: resource limits and pinning
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <glib/gstdio.h>
#include <unistd.h>

#include "domain_audit.h"
#include "domain_cgroup.h"
#include "domain_driver.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virhostcpu.h"
#include "virlog.h"
#include "virprocess.h"
#include "virutil.h"

#include "vireo_cgroup.h"
#include "vireo_numa.h"

#define VIR_FROM_THIS VIR_FROM_CGROUP

VIR_LOG_INIT("vireo.vireo_cgroup");

/* Any controllers the host has. */
#define VIREO_CGROUP_CONTROLLERS -1

#define VIREO_PTY_MAJOR 136

#define VIREO_CGROUP_TRIES 100
#define VIREO_CGROUP_WAIT_US (5 * 1000)

static const char *const vireoCgroupDevices[] = {
    "/dev/null", "/dev/full", "/dev/zero", "/dev/random", "/dev/urandom",
    "/dev/ptmx", "/dev/kvm", "/dev/net/tun", "/dev/vhost-net",
};

static int
vireoCgroupAllowPath(virDomainObj *vm,
                     const char *path,
                     int perms)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int rc = virCgroupAllowDevicePath(priv->cgroup, path, perms, true);

    virDomainAuditCgroupPath(vm, priv->cgroup, "allow", path, virCgroupGetDevicePermsString(perms),
                             rc);
    return rc < 0 ? -1 : 0;
}

static int
vireoCgroupSetupDevices(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t i;

    if (!virCgroupHasController(priv->cgroup, VIR_CGROUP_CONTROLLER_DEVICES))
        return 0;

    if (virCgroupDenyAllDevices(priv->cgroup) < 0) {
        if (virLastErrorIsSystemErrno(EPERM)) {
            virResetLastError();
            VIR_WARN("the host does not allow device filters; domain %s runs without", vm->def->name);
            return 0;
        }
        return -1;
    }

    for (i = 0; i < G_N_ELEMENTS(vireoCgroupDevices); i++) {
        if (virFileExists(vireoCgroupDevices[i]) &&
            vireoCgroupAllowPath(vm, vireoCgroupDevices[i], VIR_CGROUP_DEVICE_RW) < 0)
            return -1;
    }
    if (virCgroupAllowDevice(priv->cgroup, 'c', VIREO_PTY_MAJOR, -1, VIR_CGROUP_DEVICE_RW) < 0)
        return -1;

    for (i = 0; i < vm->def->ndisks; i++) {
        if (vireoCgroupAllowDisk(vm, vm->def->disks[i]) < 0)
            return -1;
    }
    for (i = 0; i < vm->def->nrngs; i++) {
        const virDomainRNGDef *rng = vm->def->rngs[i];

        if (rng->backend == VIR_DOMAIN_RNG_BACKEND_RANDOM && rng->source.file &&
            vireoCgroupAllowPath(vm, rng->source.file, VIR_CGROUP_DEVICE_RW) < 0)
            return -1;
    }

    return 0;
}

int
vireoCgroupSetup(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (virDomainCgroupSetupCgroup(VIREO_DRIVER_NAME, vm, 0, NULL, &priv->cgroup,
                                   VIREO_CGROUP_CONTROLLERS, 0, priv->driver->privileged,
                                   priv->machineName) < 0)
        return -1;
    if (!priv->cgroup)
        return 0;

    if (vireoCgroupSetupDevices(vm) < 0)
        return -1;

    return virDomainCgroupSetupGlobalCpuCgroup(vm, priv->cgroup);
}

/* Moving a thread to another cgroup takes the kernel milliseconds: threads have
 * their own only where one of them is to be treated otherwise than the rest. */
static bool
vireoCgroupNeedsThreads(const virDomainDef *def)
{
    const virDomainCputune *tune = &def->cputune;
    size_t i;

    if (tune->emulatorpin || tune->period || tune->quota ||
        tune->emulator_period || tune->emulator_quota ||
        tune->iothread_period || tune->iothread_quota ||
        vireoNumaIsRestrictive(def))
        return true;

    for (i = 0; i < def->maxvcpus; i++) {
        if (def->vcpus[i]->cpumask)
            return true;
    }
    for (i = 0; i < def->niothreadids; i++) {
        if (def->iothreadids[i]->cpumask)
            return true;
    }

    return false;
}

static int
vireoCgroupSetAffinity(pid_t thread,
                       virBitmap *cpus)
{
    g_autoptr(virBitmap) all = NULL;

    if (cpus)
        return virProcessSetAffinity(thread, cpus, false);

    /* The daemon may itself be confined to some CPUs; its guests are not. */
    if (!virHostCPUHasBitmap() || !(all = virHostCPUGetOnlineBitmap()))
        return 0;
    return virProcessSetAffinity(thread, all, true);
}

static int
vireoCgroupSetupThread(virDomainObj *vm,
                       virCgroupThreadName name,
                       int id,
                       pid_t thread,
                       virBitmap *cpus,
                       unsigned long long period,
                       long long quota)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) cgroup = NULL;
    g_autofree char *nodes = NULL;
    bool hasCPU = virCgroupHasController(priv->cgroup, VIR_CGROUP_CONTROLLER_CPU);
    bool hasCpuset = virCgroupHasController(priv->cgroup, VIR_CGROUP_CONTROLLER_CPUSET);

    if (!cpus)
        cpus = vm->def->placement_mode == VIR_DOMAIN_CPU_PLACEMENT_MODE_AUTO ?
            priv->autoCpus : vm->def->cpumask;
    if (vireoNumaThreadNodes(vm, name, id, &nodes) < 0)
        return -1;

    if ((period || quota) && !hasCPU) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("<cputune> quotas need the host's cpu cgroup"));
        return -1;
    }
    if (nodes && !hasCpuset) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("<numatune> mode='restrictive' needs the host's cpuset cgroup"));
        return -1;
    }

    if ((hasCPU || hasCpuset) && vireoCgroupNeedsThreads(vm->def)) {
        if (virCgroupNewThread(priv->cgroup, name, id, true, &cgroup) < 0)
            return -1;
        if ((hasCpuset && cpus && virDomainCgroupSetupCpusetCpus(cgroup, cpus) < 0) ||
            (nodes && virCgroupSetCpusetMems(cgroup, nodes) < 0) ||
            virDomainCgroupSetupVcpuBW(cgroup, period, quota) < 0 ||
            virCgroupAddThread(cgroup, thread) < 0) {
            virCgroupRemove(cgroup);
            return -1;
        }
    }

    return vireoCgroupSetAffinity(thread, cpus);
}

int
vireoCgroupSetupEmulator(virDomainObj *vm,
                         pid_t thread)
{
    const virDomainCputune *tune = &vm->def->cputune;

    return vireoCgroupSetupThread(vm, VIR_CGROUP_THREAD_EMULATOR, 0, thread, tune->emulatorpin,
                                  tune->emulator_period, tune->emulator_quota);
}

int
vireoCgroupSetupVcpu(virDomainObj *vm,
                     unsigned int vcpu,
                     pid_t thread)
{
    const virDomainVcpuDef *def = virDomainDefGetVcpu(vm->def, vcpu);

    return vireoCgroupSetupThread(vm, VIR_CGROUP_THREAD_VCPU, vcpu, thread, def->cpumask,
                                  vm->def->cputune.period, vm->def->cputune.quota);
}

int
vireoCgroupSetupIOThread(virDomainObj *vm,
                         const virDomainIOThreadIDDef *iothread)
{
    return vireoCgroupSetupThread(vm, VIR_CGROUP_THREAD_IOTHREAD, iothread->iothread_id,
                                  iothread->thread_id, iothread->cpumask,
                                  vm->def->cputune.iothread_period,
                                  vm->def->cputune.iothread_quota);
}

int
vireoCgroupOwnThread(virDomainObj *vm,
                     virCgroupThreadName name,
                     int id,
                     pid_t thread,
                     virCgroup **cgroup)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) own = NULL;

    if (virCgroupNewThread(priv->cgroup, name, id, true, &own) < 0)
        return -1;
    if (virCgroupAddThread(own, thread) < 0)
        return -1;

    *cgroup = g_steal_pointer(&own);
    return 0;
}

int
vireoCgroupPin(virDomainObj *vm,
               virCgroupThreadName name,
               int id,
               pid_t thread,
               virBitmap *cpus)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) cgroup = NULL;

    if (virCgroupHasController(priv->cgroup, VIR_CGROUP_CONTROLLER_CPUSET) &&
        (vireoCgroupOwnThread(vm, name, id, thread, &cgroup) < 0 ||
         virDomainCgroupSetupCpusetCpus(cgroup, cpus) < 0))
        return -1;

    return virProcessSetAffinity(thread, cpus, false);
}

void
vireoCgroupRemoveIOThread(virDomainObj *vm,
                          unsigned int id)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) cgroup = NULL;

    if (!virCgroupHasController(priv->cgroup, VIR_CGROUP_CONTROLLER_CPU) &&
        !virCgroupHasController(priv->cgroup, VIR_CGROUP_CONTROLLER_CPUSET))
        return;

    if (virCgroupNewThread(priv->cgroup, VIR_CGROUP_THREAD_IOTHREAD, id, false, &cgroup) == 0 &&
        virCgroupRemove(cgroup) < 0)
        VIR_WARN("the cgroup of IOThread %u of domain %s could not be removed", id, vm->def->name);
    virResetLastError();
}

/* Finds the cgroup of the domain's own threads that run no vCPU; @own: if that is not the domain's. */
static virCgroup *
vireoCgroupForHelpers(virDomainObj *vm,
                      virCgroup **own)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (!vireoCgroupNeedsThreads(vm->def))
        return priv->cgroup;
    if (virCgroupNewThread(priv->cgroup, VIR_CGROUP_THREAD_EMULATOR, 0, true, own) < 0)
        return NULL;

    return *own;
}

/* The directory of the child @name of @cgroup, or NULL: there are hierarchies by controller (v1),
 * in which a child would be limited by itself. */
static char *
vireoCgroupChildPath(virCgroup *cgroup,
                     const char *name)
{
    g_autofree char *path = NULL;
    g_autofree char *controllers = NULL;
    int i;

    for (i = 0; i < VIR_CGROUP_CONTROLLER_LAST && !virCgroupHasController(cgroup, i); i++);
    if (i == VIR_CGROUP_CONTROLLER_LAST)
        return NULL;
    if (virCgroupPathOfController(cgroup, i, "", &path) < 0) {
        virResetLastError();
        return NULL;
    }
    controllers = g_build_filename(path, "cgroup.controllers", NULL);

    return virFileExists(controllers) ? g_build_filename(path, name, NULL) : NULL;
}

static int
vireoCgroupWrite(const char *dir,
                 const char *file,
                 const char *text)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);

    if (virFileWriteStr(path, text, 0) == 0)
        return 0;

    virReportSystemError(errno, _("cannot write '%s' to '%s'"), text, path);
    return -1;
}

int
vireoCgroupAddHelper(virDomainObj *vm,
                     const char *name,
                     pid_t pid)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) own = NULL;
    virCgroup *cgroup;
    g_autofree char *path = NULL;
    g_autofree char *number = g_strdup_printf("%lld", (long long)pid);

    if (!priv->cgroup)
        return 0;
    if (!(cgroup = vireoCgroupForHelpers(vm, &own)))
        return -1;
    if (!(path = vireoCgroupChildPath(cgroup, name)))
        return virCgroupAddProcess(cgroup, pid);

    if (g_mkdir(path, 0755) < 0) {
        /* one that served the domain before */
        if (errno == EEXIST)
            return vireoCgroupWrite(path, "cgroup.procs", number);
        virReportSystemError(errno, _("cannot make the cgroup '%s'"), path);
        return -1;
    }
    /* Threaded, as its siblings are or may become: processes and threads of the domain are together. */
    if (vireoCgroupWrite(path, "cgroup.type", "threaded") < 0 ||
        vireoCgroupWrite(path, "cgroup.procs", number) < 0) {
        rmdir(path);
        return -1;
    }

    return 0;
}

void
vireoCgroupRemoveHelper(virDomainObj *vm,
                        const char *name)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCgroup) own = NULL;
    virCgroup *cgroup;
    g_autofree char *path = NULL;
    size_t tries;

    if (!priv->cgroup || !(cgroup = vireoCgroupForHelpers(vm, &own)) ||
        !(path = vireoCgroupChildPath(cgroup, name)))
        return;

    for (tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < VIREO_CGROUP_TRIES; tries++)
        g_usleep(VIREO_CGROUP_WAIT_US);
    if (virFileExists(path))
        VIR_WARN("the cgroup '%s' could not be removed", path);
}

static bool
vireoCgroupFilters(virDomainObj *vm,
                   const virStorageSource *src)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return virStorageSourceGetActualType(src) == VIR_STORAGE_TYPE_BLOCK &&
        virCgroupHasController(priv->cgroup, VIR_CGROUP_CONTROLLER_DEVICES);
}

int
vireoCgroupAllowImage(virDomainObj *vm,
                      const virStorageSource *src,
                      bool readonly)
{
    if (!vireoCgroupFilters(vm, src))
        return 0;

    return vireoCgroupAllowPath(vm, src->path,
                                readonly ? VIR_CGROUP_DEVICE_READ : VIR_CGROUP_DEVICE_RW);
}

int
vireoCgroupDenyImage(virDomainObj *vm,
                     const virStorageSource *src)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    if (!vireoCgroupFilters(vm, src))
        return 0;

    return virCgroupDenyDevicePath(priv->cgroup, src->path, VIR_CGROUP_DEVICE_RWM, true) < 0 ? -1 : 0;
}

int
vireoCgroupAllowDisk(virDomainObj *vm,
                     virDomainDiskDef *disk)
{
    virStorageSource *n;

    for (n = disk->src; virStorageSourceIsBacking(n); n = n->backingStore) {
        if (vireoCgroupAllowImage(vm, n, n != disk->src || n->readonly) < 0)
            return -1;
    }

    return 0;
}

int
vireoCgroupDenyDisk(virDomainObj *vm,
                    virDomainDiskDef *disk)
{
    virStorageSource *n;

    for (n = disk->src; virStorageSourceIsBacking(n); n = n->backingStore) {
        if (vireoCgroupDenyImage(vm, n) < 0)
            return -1;
    }

    return 0;
}

int
vireoCgroupConnect(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return virDomainCgroupConnectCgroup(VIREO_DRIVER_NAME, vm, &priv->cgroup,
                                        VIREO_CGROUP_CONTROLLERS, priv->driver->privileged,
                                        priv->machineName);
}

void
vireoCgroupRemove(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    size_t tries = 0;

    /* A process leaves its cgroup a little after it has ended. */
    while (virDomainCgroupRemoveCgroup(vm, priv->cgroup, priv->machineName) < 0) {
        if (++tries < VIREO_CGROUP_TRIES) {
            g_usleep(VIREO_CGROUP_WAIT_US);
            continue;
        }
        VIR_WARN("the cgroup of domain %s could not be removed", vm->def->name);
        break;
    }
}
