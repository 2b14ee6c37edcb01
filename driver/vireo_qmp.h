/*
 * vireo_qmp.h: the QMP commands the driver uses, typed
 *
 * All of them take a domain that is locked and in a job, with a live monitor;
 * its lock is given up while the monitor works, so @vm may have stopped when
 * they return (which is then an error). They return 0, or -1 with an error
 * reported.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoQmpCommand:
 *
 * Any command; as vireoMonitorCommand.
 */
int
vireoQmpCommand(virDomainObj *vm,
                const char *name,
                virJSONValue **args,
                virJSONValue **result);

/* The same to another process that serves the domain by QMP. */
int
vireoQmpCommandTo(virDomainObj *vm,
                  vireoMonitor *mon,
                  const char *name,
                  virJSONValue **args,
                  virJSONValue **result);

/**
 * vireoQmpRaw:
 *
 * A command as the user wrote it. Sets @reply (free with g_free).
 */
int
vireoQmpRaw(virDomainObj *vm,
            const char *text,
            char **reply);

/* Reports that the reply to @command is not what it should be. Returns -1. */
int
vireoQmpReportShape(const char *command);

/* cont, stop, system_reset, system_powerdown, inject-nmi */
int
vireoQmpSimple(virDomainObj *vm,
               const char *name);

/**
 * vireoQmpGetStatus:
 * @status: set to QEMU's name of the run state; free with g_free
 */
int
vireoQmpGetStatus(virDomainObj *vm,
                  bool *running,
                  char **status);

/**
 * vireoQmpGetThreads:
 *
 * Learns the threads of vCPUs (into the private data) and of I/O threads (into the
 * definition).
 */
int
vireoQmpGetThreads(virDomainObj *vm);

/* How an I/O thread polls, as query-iothreads has it. */
typedef struct _vireoQmpPolling vireoQmpPolling;
struct _vireoQmpPolling {
    unsigned long long maxNS;
    unsigned long long grow;
    unsigned long long shrink;
};

/**
 * vireoQmpGetPolling:
 * @polling: hash from the alias of an I/O thread to vireoQmpPolling; unref when done
 */
int
vireoQmpGetPolling(virDomainObj *vm,
                   GHashTable **polling);

/* qom-set of the I/O thread with this number: poll-max-ns, poll-grow or poll-shrink */
int
vireoQmpSetPolling(virDomainObj *vm,
                   unsigned int iothread,
                   const char *property,
                   unsigned long long value);

/* The host's end of a character device. */
typedef struct _vireoQmpChardev vireoQmpChardev;
struct _vireoQmpChardev {
    char *pty;    /* path of its terminal, or NULL */
    bool open;    /* the guest has the other end open */
};

/**
 * vireoQmpGetChardevs:
 * @chardevs: hash from chardev id to vireoQmpChardev; unref when done
 */
int
vireoQmpGetChardevs(virDomainObj *vm,
                    GHashTable **chardevs);

/* device_add, netdev_add, object-add, blockdev-add: @props is consumed. */
int
vireoQmpAdd(virDomainObj *vm,
            const char *command,
            virJSONValue *props);

/* device_del, netdev_del, object-del, blockdev-del: @member is the name's key. */
int
vireoQmpDel(virDomainObj *vm,
            const char *command,
            const char *member,
            const char *name);

/* getfd: @fd is known to the monitor as @name from now on. */
int
vireoQmpSendFD(virDomainObj *vm,
               const char *name,
               int fd);

/* set_link */
int
vireoQmpSetLink(virDomainObj *vm,
                const char *alias,
                bool up);

/* block_resize; bytes */
int
vireoQmpBlockResize(virDomainObj *vm,
                    const char *node,
                    unsigned long long bytes);

/**
 * vireoQmpGetDiskErrors:
 * @errors: hash from block node to GINT_TO_POINTER(virDomainDiskErrorCode), of
 * those that stopped the guest; unref when done
 */
int
vireoQmpGetDiskErrors(virDomainObj *vm,
                      GHashTable **errors);

/* How often, in seconds, the balloon asks the guest for statistics; 0 for never. */
int
vireoQmpSetStatsPeriod(virDomainObj *vm,
                       unsigned int period);

/* qom-set of the memory device @alias; KiB */
int
vireoQmpSetRequestedSize(virDomainObj *vm,
                         const char *alias,
                         unsigned long long kib);

/**
 * vireoQmpGetMemoryDevices:
 *
 * Learns how much the guest has of each memory device, into the definition.
 */
int
vireoQmpGetMemoryDevices(virDomainObj *vm);

/* balloon, query-balloon; KiB */
int
vireoQmpSetBalloon(virDomainObj *vm,
                   unsigned long long kib);
int
vireoQmpGetBalloon(virDomainObj *vm,
                   unsigned long long *kib);
