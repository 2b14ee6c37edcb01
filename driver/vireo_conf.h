/*
 * vireo_conf.h: the driver's configuration and state
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "datatypes.h"

#include "capabilities.h"
#include "domain_conf.h"
#include "domain_event.h"
#include "driver.h"
#include "security_manager.h"
#include "virdomainobjlist.h"
#include "virportallocator.h"
#include "virthread.h"
#include "virthreadpool.h"

#define VIREO_DRIVER_NAME "vireo"

/* The QEMU release whose QMP contract Vireo honours: the version that clients
 * of the qemu scheme are told. */
#define VIREO_QEMU_VERSION (7 * 1000000 + 2 * 1000)

typedef struct _vireoConfig vireoConfig;
struct _vireoConfig {
    char *configDir;      /* definitions */
    char *autostartDir;
    char *stateDir;       /* running state; gone after a reboot of the host */
    char *lockPath;       /* held by the daemon that owns all this */
    char *logDir;
    char *snapshotDir;    /* what snapshots there are */
    char *nvramDir;       /* variables of UEFI firmware */
    char **firmwareDirs;  /* of firmware descriptors, the most important last */
    char *bios;           /* what boots where no firmware is asked for */
    char *channelDir;     /* sockets of channels that name none */
    char *tpmDir;         /* what TPMs keep: libvirt's, not Vireo's alone */

    uid_t user;           /* whom monitors run as, (uid_t)-1: as the daemon */
    gid_t group;
    bool dynamicOwnership;
    uid_t tpmUser;        /* whom TPMs run as */
    gid_t tpmGroup;

    char *vireoBinary;
    char **securityDrivers;
    bool securityDefaultConfined;
    char *vncListen;      /* where screens are that do not say */
    bool vncAutoUnixSocket; /* at unix sockets instead */
    char *vncPassword;    /* of those that have none; NULL: none */
    char *vncTLSDir;      /* certificates for them; NULL: no TLS */
    bool vncTLSVerify;    /* viewers need certificates, too */
    char *nbdTLSDir;      /* certificates for images that come by nbd with TLS */
    bool stdioLogd;       /* the monitors' logs go through virtlogd */
    unsigned int maxProcesses;
    unsigned int maxFiles;
    unsigned long long maxCoreSize;
};

/* Everything but the event counters is set once, before the first connection,
 * and read without a lock. */
typedef struct _vireoDriver vireoDriver;
typedef struct _vireoCPUHost vireoCPUHost;
struct _vireoDriver {
    bool privileged;
    int lockFD;
    vireoConfig *config;

    virCaps *caps;
    vireoCPUHost *cpuHost; /* NULL: KVM does not tell */
    virDomainXMLOption *xmlopt;
    virDomainObjList *domains;
    virObjectEventState *domainEventState;
    virSecurityManager *securityManager;

    virPortAllocatorRange *vncPorts;

    /* Reacts to events of monitors, outside their own threads. */
    virThreadPool *workers;

    gint lastDomainID;
    gint activeDomains;
    virStateInhibitCallback inhibitCallback;
    void *inhibitOpaque;
};

/**
 * vireoConfigNew:
 * @privileged: whether the daemon is the system's (root's) or a session's
 *
 * Returns the defaults; free with vireoConfigFree.
 */
vireoConfig *
vireoConfigNew(bool privileged);

/**
 * vireoConfigLoadFile:
 * @config: changed by what the file sets
 * @path: the file; it is no error if it does not exist
 * @privileged: user, group and security settings are refused without
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoConfigLoadFile(vireoConfig *config,
                    const char *path,
                    bool privileged);

/**
 * vireoConfigMakeDirs:
 *
 * Creates the directories of @config. Returns 0, or -1 with an error reported.
 */
int
vireoConfigMakeDirs(vireoConfig *config,
                    bool privileged);

void
vireoConfigFree(vireoConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vireoConfig, vireoConfigFree);

/**
 * vireoDriverDomainActive:
 * @active: a domain has started (true) or is gone (false)
 *
 * Keeps the daemon from idling out, and the host from shutting down unasked,
 * while domains run. Any thread.
 */
void
vireoDriverDomainActive(vireoDriver *driver,
                        bool active);
