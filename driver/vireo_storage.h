/*
 * vireo_storage.h: the storage daemon of a domain
 *
 * What is not raw on the host is served by QEMU's storage daemon, over
 * vhost-user: no parser of image formats is in the monitor's process, whose block
 * layer has the daemon's disk as a node. Raw images are, while something is done with them that
 * takes more (vireo_handover.h). A domain has one daemon, from the first disk that needs it on, under
 * the domain's labels and in its cgroup.
 *
 * The functions take a domain that is active, locked and in a job; its lock is
 * given up while the daemon works. Unless said otherwise they return 0, or -1 with
 * an error reported.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoStorageServes:
 *
 * Whether @disk is one for the storage daemon. Of a volume that is known once the
 * volume's pool has told what it is.
 */
bool
vireoStorageServes(const virDomainDiskDef *disk);

/**
 * vireoStorageCanReturn:
 *
 * Whether the monitor could read and write the image of @disk, which is served, itself.
 */
bool
vireoStorageCanReturn(const virDomainDiskDef *disk);

/**
 * vireoStorageSocket:
 * @dir: of the domain's sockets
 *
 * Returns from where the domain's process gets @disk, which is served and has its alias; free
 * with g_free.
 */
char *
vireoStorageSocket(const char *dir,
                   const virDomainDiskDef *disk);

/**
 * vireoStorageShareMemory:
 * @def: the definition of a domain that is about to run
 *
 * The storage daemon reads from and writes to the guest's memory if it can; else what it reads
 * and writes is copied. Has the memory shared where a disk gains by that and nothing is said.
 */
void
vireoStorageShareMemory(virDomainDef *def);

/**
 * vireoStoragePrepareDisk:
 * @disk: it is to be served; its alias is assigned
 *
 * Finds out the image's backing chain where the definition does not have it,
 * checks and numbers its images, and decides where the disk is served. The format
 * that is written in the definition holds; none is guessed.
 */
int
vireoStoragePrepareDisk(virDomainObj *vm,
                        virDomainDiskDef *disk);

/**
 * vireoStorageStart:
 *
 * Serves all disks that are to be; their images have their labels.
 */
int
vireoStorageStart(virDomainObj *vm);

/**
 * vireoStorageEnsure:
 *
 * Starts the daemon, unless it runs.
 */
int
vireoStorageEnsure(virDomainObj *vm);

/* Ends it if there is nothing for it to serve any more. Failure is logged. */
void
vireoStorageStopIfIdle(virDomainObj *vm);

/**
 * vireoStorageAttachDisk:
 *
 * Opens the images of @disk, which vireoStoragePrepareDisk has seen.
 */
int
vireoStorageAttachDisk(virDomainObj *vm,
                       virDomainDiskDef *disk);

/**
 * vireoStorageDetachDisk:
 *
 * Closes them, whatever fails; failure is logged.
 */
void
vireoStorageDetachDisk(virDomainObj *vm,
                       virDomainDiskDef *disk);

/**
 * vireoStorageExportNode, vireoStorageAddExport:
 * @node: of the daemon's; the image of @disk without it
 *
 * Serve a node to the device of @disk, on its socket.
 */
int
vireoStorageExportNode(virDomainObj *vm,
                       virDomainDiskDef *disk,
                       const char *node);
int
vireoStorageAddExport(virDomainObj *vm,
                      virDomainDiskDef *disk);

/* Opens the images of @disk and serves it: all of the above. */
int
vireoStorageServe(virDomainObj *vm,
                  virDomainDiskDef *disk);

/**
 * vireoStorageRemoveExport:
 *
 * Serves @disk no more. Failure is logged.
 */
void
vireoStorageRemoveExport(virDomainObj *vm,
                         virDomainDiskDef *disk);

/**
 * vireoStorageCommand:
 *
 * A command to the storage daemon; as vireoMonitorCommand.
 */
int
vireoStorageCommand(virDomainObj *vm,
                    const char *name,
                    virJSONValue **args,
                    virJSONValue **result);

/**
 * vireoStorageAdd, vireoStorageDel:
 * @props: consumed: the arguments of @command; NULL: an error is reported
 * @key, @name: its one argument
 *
 * Commands that make and remove something. Removing goes on whatever fails: that is logged.
 */
int
vireoStorageAdd(virDomainObj *vm,
                const char *command,
                virJSONValue *props);
void
vireoStorageDel(virDomainObj *vm,
                const char *command,
                const char *key,
                const char *name);

/**
 * vireoStorageAddImage:
 * @src: an image of the chain of @disk, numbered
 * @writable: by the guest, or by a block job
 *
 * Adds the nodes of one image; those behind it exist.
 */
int
vireoStorageAddImage(virDomainObj *vm,
                     virDomainDiskDef *disk,
                     virStorageSource *src,
                     bool writable);

/**
 * vireoStorageRemoveImage:
 *
 * Removes the nodes of one image, which nothing uses any more. Failure is logged.
 */
void
vireoStorageRemoveImage(virDomainObj *vm,
                        virStorageSource *src);

/**
 * vireoStorageReconnect:
 *
 * Finds the daemon of a domain that was found running, or starts another.
 */
int
vireoStorageReconnect(virDomainObj *vm);

/**
 * vireoStorageLost:
 * @vm: active, locked; no job is needed
 *
 * The daemon has ended by itself: tells clients of disks that fail, and serves the
 * disks anew, on a thread of its own.
 */
void
vireoStorageLost(virDomainObj *vm);

/**
 * vireoStorageStop:
 * @vm: a domain whose process has ended
 *
 * Ends the daemon. Failure is logged.
 */
void
vireoStorageStop(virDomainObj *vm);

/**
 * vireoStorageGetInfo:
 * @disk: served
 * @info: set to the sizes of its image
 */
int
vireoStorageGetInfo(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    virDomainBlockInfo *info);

/**
 * vireoStorageResize:
 * @disk: served
 * @bytes: its new size
 */
int
vireoStorageResize(virDomainObj *vm,
                   virDomainDiskDef *disk,
                   unsigned long long bytes);
