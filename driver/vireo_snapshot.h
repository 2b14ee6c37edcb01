/*
 * vireo_snapshot.h: snapshots of domains
 *
 * A snapshot is of disks, and external: each disk goes on in a new image that lies
 * on the one it had. What there are is kept in snapshotDir/DOMAIN/SNAPSHOT.xml.
 *
 * The functions take a domain that is locked and, unless said otherwise, in a job. They return
 * 0, or -1 with an error reported.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "snapshot_conf.h"
#include "virdomainsnapshotobjlist.h"

#include "vireo_domain.h"

/**
 * vireoSnapshotLoad:
 * @vm: not locked
 * @opaque: the driver's configuration
 *
 * Reads what snapshots a domain has; for virDomainObjListForEach. A file that cannot be
 * read is logged and left alone. Returns 0.
 */
int
vireoSnapshotLoad(virDomainObj *vm,
                  void *opaque);

/**
 * vireoSnapshotFind:
 *
 * No job is needed. Returns the snapshot, or NULL with an error reported.
 */
virDomainMomentObj *
vireoSnapshotFind(virDomainObj *vm,
                  const char *name);

/**
 * vireoSnapshotAdd:
 * @def: consumed in any case
 * @current: it is to be the current one
 *
 * Notes that there is a snapshot, in place of one with the same name. Returns it, or NULL with
 * an error reported.
 */
virDomainMomentObj *
vireoSnapshotAdd(virDomainObj *vm,
                 virDomainSnapshotDef *def,
                 bool current);

/**
 * vireoSnapshotForget:
 * @children, @self: forget its descendants, itself
 *
 * Forgets snapshots; images stay. Children that are left get its parent.
 */
int
vireoSnapshotForget(virDomainObj *vm,
                    virDomainMomentObj *snapshot,
                    bool children,
                    bool self);

/* Forgets all of a domain that goes away; no job is needed, failure is logged. */
void
vireoSnapshotForgetAll(virDomainObj *vm);

/**
 * vireoSnapshotTakeDisks:
 * @vm: active
 * @def: its disks are aligned with the domain's
 * @existing: the images are there already
 *
 * Makes the images, and has all disks of @def go on in them, at one moment. If that fails, no
 * disk does, and images that were made are removed.
 */
int
vireoSnapshotTakeDisks(virDomainObj *vm,
                       virDomainSnapshotDef *def,
                       bool existing);

/**
 * vireoSnapshotTakeOffline:
 * @vm: not active
 * @def, @existing: as above
 *
 * Makes the images, and has the definition name them. If that fails, it stays what it was, and
 * images that were made are removed.
 */
int
vireoSnapshotTakeOffline(virDomainObj *vm,
                         virDomainSnapshotDef *def,
                         bool existing);

/* For these two: whether Vireo takes what is @wanted of one disk, and the error for no disk at all.
 * Return 0, or -1 with an error reported. */
int
vireoSnapshotCheckDisk(const virDomainSnapshotDiskDef *wanted);
int
vireoSnapshotReportNone(void);
