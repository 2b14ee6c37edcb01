/*
 * vireo_cgroup.h: resource limits and pinning
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoCgroupSetup:
 * @vm: the domain, its process forked, locked
 *
 * Makes the domain's cgroup with the process in it, and sets its limits. Without
 * cgroups (a session) nothing is done. Returns 0, or -1 with an error reported.
 */
int
vireoCgroupSetup(virDomainObj *vm);

/**
 * vireoCgroupSetupEmulator, vireoCgroupSetupVcpu, vireoCgroupSetupIOThread:
 * @thread: the kernel's number of the thread; of an I/O thread it is in @iothread
 *
 * Pin a thread and limit its time as the definition says. Return 0, or -1 with
 * an error reported.
 */
int
vireoCgroupSetupEmulator(virDomainObj *vm,
                         pid_t thread);
int
vireoCgroupSetupVcpu(virDomainObj *vm,
                     unsigned int vcpu,
                     pid_t thread);
int
vireoCgroupSetupIOThread(virDomainObj *vm,
                         const virDomainIOThreadIDDef *iothread);

/**
 * vireoCgroupOwnThread:
 * @vm: an active domain with a cgroup, locked
 * @name: the kind of thread
 * @id: its number among those
 * @thread: the kernel's number of it
 * @cgroup: set to the thread's own cgroup, made if there was none; release it
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoCgroupOwnThread(virDomainObj *vm,
                     virCgroupThreadName name,
                     int id,
                     pid_t thread,
                     virCgroup **cgroup);

/**
 * vireoCgroupPin:
 * @cpus: where the thread may run; the rest is as for vireoCgroupOwnThread
 *
 * Moves a running thread; its domain may have no cgroup. Returns 0, or -1 with an
 * error reported.
 */
int
vireoCgroupPin(virDomainObj *vm,
               virCgroupThreadName name,
               int id,
               pid_t thread,
               virBitmap *cpus);

/**
 * vireoCgroupRemoveIOThread:
 *
 * Removes the cgroup of a thread that has ended, if it had one of its own; failure is
 * logged.
 */
void
vireoCgroupRemoveIOThread(virDomainObj *vm,
                          unsigned int id);

/**
 * vireoCgroupAddHelper, vireoCgroupRemoveHelper:
 * @name: what is said of it in its cgroup's name
 * @pid: a process that serves @vm beside its own
 *
 * Move it to a cgroup of its own where the domain's own threads are that run no vCPU, so that it is
 * pinned and limited with those and accounted with the domain; and remove that cgroup once the process
 * has ended. Where cgroups are by controller (v1) it joins those threads. Add returns 0, or -1 with
 * an error reported; Remove logs failures.
 */
int
vireoCgroupAddHelper(virDomainObj *vm,
                     const char *name,
                     pid_t pid);
void
vireoCgroupRemoveHelper(virDomainObj *vm,
                        const char *name);

/**
 * vireoCgroupAllowDisk, vireoCgroupDenyDisk:
 *
 * Open the domain's device filter for the block devices of a disk and its backing
 * chain, and close it. Return 0, or -1 with an error reported.
 */
int
vireoCgroupAllowDisk(virDomainObj *vm,
                     virDomainDiskDef *disk);
int
vireoCgroupDenyDisk(virDomainObj *vm,
                    virDomainDiskDef *disk);

/* The same for one image. */
int
vireoCgroupAllowImage(virDomainObj *vm,
                      const virStorageSource *src,
                      bool readonly);
int
vireoCgroupDenyImage(virDomainObj *vm,
                     const virStorageSource *src);

/**
 * vireoCgroupConnect:
 *
 * Finds the cgroup of a domain found running. Returns 0, or -1 with an error
 * reported.
 */
int
vireoCgroupConnect(virDomainObj *vm);

/**
 * vireoCgroupRemove:
 *
 * Removes the cgroup of a domain whose process has ended; failure is logged.
 */
void
vireoCgroupRemove(virDomainObj *vm);
