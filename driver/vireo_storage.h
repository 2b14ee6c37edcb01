/*
 * vireo_storage.h: the storage daemon of a domain
 *
 * What is not raw on the host is served by QEMU's storage daemon, over
 * vhost-user: no parser of image formats is in the monitor's process. A domain
 * has one, from the first disk that needs it on, under the domain's labels and in
 * its cgroup.
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
 * vireoStorageSetSocket:
 * @disk: it is to be served; its alias is assigned
 * @dir: of the domain's sockets
 *
 * Says from where the domain's process gets the disk.
 */
void
vireoStorageSetSocket(virDomainDiskDef *disk,
                      const char *dir);

/**
 * vireoStorageShareMemory:
 * @def: the definition of a domain that is about to run
 *
 * The storage daemon reads from and writes to the guest's memory: has it shared where
 * a disk needs that and nothing is said. Returns 0, or -1 with an error reported if it
 * must not be.
 */
int
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
 * vireoStorageAttachDisk:
 *
 * Serves @disk, which vireoStoragePrepareDisk has seen.
 */
int
vireoStorageAttachDisk(virDomainObj *vm,
                       virDomainDiskDef *disk);

/**
 * vireoStorageDetachDisk:
 *
 * Serves @disk no more. Failure is logged.
 */
void
vireoStorageDetachDisk(virDomainObj *vm,
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
