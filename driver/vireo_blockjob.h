/*
 * vireo_blockjob.h: block jobs of disks, which the storage daemon serves meanwhile
 *
 * A disk has at most one. A job goes on without the libvirt daemon, is found again
 * by its successor, and waits in the storage daemon until its end has been dealt
 * with. Of a copy or an active commit that also holds for the moment in which the guest's
 * requests go to the other image: they wait until the status says so. Whoever ends in it,
 * the image that the status names has all that the guest was told is written.
 *
 * The functions take a domain that is active, locked and in a job; its lock is
 * given up while the storage daemon works. Unless said otherwise they return 0, or
 * -1 with an error reported.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

typedef struct _vireoBlockJob vireoBlockJob;
struct _vireoBlockJob {
    char *disk;               /* its target */
    int type;                 /* virDomainBlockJobType */
    unsigned int top;         /* numbers of images: from the first */
    unsigned int base;        /* to before this; 0: the end of the chain */
    bool deleteImages;        /* that are of no use any more */
    bool existing;            /* a copy's target is not ours to remove */

    bool pivoting;            /* the storage daemon has gone on in the other image, or is about to */

    bool awaited;             /* somebody waits for the end, and will deal with it */
    bool told;                /* by this daemon, to end */
    bool changed;             /* the storage daemon waits for this one */
};

void
vireoBlockJobFree(void *job);

/**
 * vireoBlockJobFind:
 *
 * Returns the job of a disk, or NULL.
 */
vireoBlockJob *
vireoBlockJobFind(virDomainObj *vm,
                  const virDomainDiskDef *disk);

/* Checks that a disk has no job: 0, or -1 with an error reported. */
int
vireoBlockJobCheckNone(virDomainObj *vm,
                       const virDomainDiskDef *disk);

/**
 * vireoBlockJobFindDisk:
 * @path: target, alias or source of a disk
 *
 * Returns the disk, or NULL with an error reported if there is none that can have
 * jobs.
 */
virDomainDiskDef *
vireoBlockJobFindDisk(virDomainObj *vm,
                      const char *path);

/**
 * vireoBlockJobPull:
 * @base: image of the disk's chain whose data stays there; NULL: none
 * @speed: bytes per second; 0: no limit
 */
int
vireoBlockJobPull(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virStorageSource *base,
                  unsigned long long speed);

/**
 * vireoBlockJobCommit:
 * @top: image of the disk's chain from which on data is merged
 * @base: image behind it, into which
 * @deleteImages: remove the files that have been merged
 */
int
vireoBlockJobCommit(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    virStorageSource *top,
                    virStorageSource *base,
                    unsigned long long speed,
                    bool deleteImages);

/**
 * vireoBlockJobCopy:
 * @target: where to; consumed. It exists and has its format
 * @disk: served
 * @shallow: it has what is behind @disk behind it, too
 * @existing: its file was there before
 * @granularity, @bufSize: bytes; 0: as the storage daemon likes
 */
int
vireoBlockJobCopy(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virStorageSource *target,
                  bool shallow,
                  bool existing,
                  unsigned long long speed,
                  unsigned int granularity,
                  unsigned long long bufSize);

/**
 * vireoBlockJobAbort:
 * @pivot: a copy or an active commit is ready: go on with what it made
 * @async: do not wait for the end
 */
int
vireoBlockJobAbort(virDomainObj *vm,
                   vireoBlockJob *job,
                   bool pivot,
                   bool async);

int
vireoBlockJobSetSpeed(virDomainObj *vm,
                      vireoBlockJob *job,
                      unsigned long long speed);

/**
 * vireoBlockJobGetInfo:
 *
 * Returns 1 with @info set, or 0 if the job is over.
 */
int
vireoBlockJobGetInfo(virDomainObj *vm,
                     vireoBlockJob *job,
                     virDomainBlockJobInfo *info);

/**
 * vireoBlockJobHandleEvent:
 * @vm: active, locked; no job is needed
 *
 * An event of the storage daemon, which may be about something else.
 */
void
vireoBlockJobHandleEvent(virDomainObj *vm,
                         const char *name,
                         virJSONValue *data);

/**
 * vireoBlockJobReconnect:
 *
 * Deals with what jobs did while nobody watched.
 */
int
vireoBlockJobReconnect(virDomainObj *vm);

/**
 * vireoBlockJobsLost:
 *
 * The storage daemon has ended, and its jobs with it: they have failed, but for those that were
 * pivoting, which are done.
 */
void
vireoBlockJobsLost(virDomainObj *vm);

/**
 * vireoBlockJobsHold, vireoBlockJobsRelease:
 *
 * Have jobs stand still, once those that have ended are dealt with, and go on: QEMU 7.2's daemon does
 * not survive the question for its nodes while a job ends. Release logs failures.
 */
int
vireoBlockJobsHold(virDomainObj *vm);
void
vireoBlockJobsRelease(virDomainObj *vm);

/* In the domain's status. */
void
vireoBlockJobsFormat(virBuffer *buf,
                     GHashTable *jobs);
int
vireoBlockJobsParse(xmlXPathContextPtr ctxt,
                    GHashTable *jobs);
