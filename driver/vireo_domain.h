/*
 * vireo_domain.h: what the driver keeps about a domain, and its XML's defaults
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vircgroup.h"
#include "virchrdev.h"

#include "vireo_agent.h"
#include "vireo_conf.h"
#include "vireo_monitor.h"

/* Guarded by the domain object's lock. Strings and cgroup exist while the
 * domain is active; what is marked * also survives in the status file. */
typedef struct _vireoDomainObjPrivate vireoDomainObjPrivate;
struct _vireoDomainObjPrivate {
    vireoDriver *driver;

    char *dir;              /* * of its sockets */
    char *machineName;      /* for systemd-machined */
    virCgroup *cgroup;
    virChrdevs *devs;

    /* NULL before the connection and once the process is known to be gone */
    vireoMonitor *mon;

    /* To the guest's agent, from the first command for it on */
    vireoAgent *agent;
    /* * Seconds, or virDomainAgentResponseTimeoutValues; of all runs */
    int agentTimeout;

    /* The storage daemon, if disks need one; NULL while it does not run */
    vireoMonitor *storage;
    pid_t storagePid;
    unsigned int storageRestarts;       /* since then (monotonic, microseconds) */
    gint64 storageRestartsSince;
    GHashTable *blockJobs;              /* * by the disk's target: vireoBlockJob */
    unsigned int lastImage;             /* * the highest number of an image till now */
    GPtrArray *overlays;                /* * vireoOverlay: images that disks are about to go on in */
    bool overlaysSwitching;             /* * and may be in already */
    /* * The guest is stopped while disks are handed over, and shall run. */
    bool handingOver;
    GHashTable *barriers;               /* * taps that pass nothing at the moment */

    /* * What numad advised, if it was asked: nodes of memory, and processors */
    virBitmap *autoNodes;
    virBitmap *autoCpus;

    pid_t *vcpuThreads;     /* * one for each vCPU, 0: not known */
    size_t nvcpuThreads;

    /* A stop is under way: what the monitor still says is of no interest. */
    bool beingStopped;
    /* Why the guest stopped by itself, VIR_DOMAIN_SHUTOFF_UNKNOWN: it has not. */
    int shutoffReason;
    bool panicked;
    /* * What undefining said of the TPM's state: virDomainUndefineFlagsValues */
    unsigned int tpmFlags;
    /* * The next power-off is a reboot that was asked for. */
    bool rebooting;
    /* How often the monitor has said that the guest goes on */
    unsigned int resumes;
    /* virDomainPausedReason of whoever is about to pause the guest */
    int pausedReason;

    /* The alias device_del was sent for, and whether the guest let go of it. */
    char *unplugAlias;
    enum {
        VIREO_UNPLUG_PENDING,
        VIREO_UNPLUG_DONE,
        VIREO_UNPLUG_REFUSED,
    } unplugState;
};

/**
 * vireoDomainXMLOptionNew:
 *
 * Returns what makes libvirt's parser Vireo's: defaults, addresses, refusals,
 * the namespace, private data. Unreference with virObjectUnref.
 */
virDomainXMLOption *
vireoDomainXMLOptionNew(vireoDriver *driver);

/* Takes one node of a domain's status. Returns 0, or -1 with an error reported. */
typedef int (*vireoDomainParseNode)(xmlNodePtr node, void *opaque);

/**
 * vireoDomainParseNodes:
 * @path: XPath of nodes of a domain's status
 *
 * Has @parse take them, one after the other. Returns 0, or -1 with an error reported; those behind the
 * one that failed are not taken.
 */
int
vireoDomainParseNodes(xmlXPathContextPtr ctxt,
                      const char *path,
                      vireoDomainParseNode parse,
                      void *opaque);

/**
 * vireoDomainWriteStatus:
 * @vm: a domain that is active, or about to be, locked
 *
 * Writes the running state, so that a restarted daemon finds it. Returns 0, or -1 with an error reported.
 */
int
vireoDomainWriteStatus(virDomainObj *vm);

/**
 * vireoDomainSaveStatus:
 * @vm: an active domain, locked
 *
 * The same for a domain that runs on without it: failure is logged.
 */
void
vireoDomainSaveStatus(virDomainObj *vm);

/**
 * vireoDomainPath:
 * @vm: an active domain, locked
 * @name: name of a file of the domain's run-time directory
 *
 * Returns the path; free with g_free.
 */
char *
vireoDomainPath(virDomainObj *vm,
                const char *name);

/**
 * vireoDomainPidFile:
 *
 * Returns the path of the file with the number of the domain's process, which
 * the process keeps locked; free with g_free.
 */
char *
vireoDomainPidFile(virDomainObj *vm);

/**
 * vireoDomainChannelDir:
 *
 * Returns where the sockets are of the domain's channels that name none; free
 * with g_free.
 */
char *
vireoDomainChannelDir(virDomainObj *vm);

/**
 * vireoDomainMakeDir:
 *
 * Makes a directory that the domain's process may write to. Returns 0, or -1 with
 * an error reported.
 */
int
vireoDomainMakeDir(vireoDriver *driver,
                   const char *path);

/**
 * vireoDomainLabelDir:
 *
 * Lets the processes of the domain, which has its label, use the sockets in its
 * run-time directory. A security driver may forget that when a device goes, so this is
 * for each that comes. Returns 0, or -1 with an error reported.
 */
int
vireoDomainLabelDir(virDomainObj *vm);

/**
 * vireoDomainPrepareChannel:
 * @vm: an active domain, locked
 * @chr: its alias is assigned
 *
 * Gives a unix channel that names no socket one in the domain's directory.
 * Returns 0, or -1 with an error reported.
 */
int
vireoDomainPrepareChannel(virDomainObj *vm,
                          virDomainChrDef *chr);

/**
 * vireoDomainForgetRuntime:
 * @vm: a domain that has just stopped, locked
 *
 * Frees what the private data holds only of active domains.
 */
void
vireoDomainForgetRuntime(virDomainObj *vm);

/**
 * vireoDomainBeginActiveJob:
 *
 * Starts a job that needs a running monitor. Returns 0, or -1 with an error
 * reported and no job begun. End with virDomainObjEndJob.
 */
int
vireoDomainBeginActiveJob(virDomainObj *vm,
                          virDomainJob job);
