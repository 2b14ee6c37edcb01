/*
 * vireo_handover.h: disks of a running domain that pass from the monitor to the storage daemon, and back
 *
 * A raw image is the monitor's own to read and write until something is to be done with it that takes a
 * block layer of more than one image: then the storage daemon serves it, and once that is over, the
 * monitor has it again. The device stays, and the guest sees nothing but a pause.
 *
 * Of the two, one at a time may write to an image, and each keeps it locked. What the guest asks for
 * while the storage daemon has let go of it waits; where the monitor has to let go first, and where
 * several disks are to pass at one moment, the guest is stopped.
 *
 * The functions take a domain that is active, locked and in a job; its lock is
 * given up while the processes work. Unless said otherwise they return 0, or -1 with
 * an error reported and nothing changed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoHandoverPause, vireoHandoverResume:
 *
 * Stop the guest if it runs, and let it go on if it was stopped by that; nobody is told. A daemon that
 * is started in between does the latter.
 */
int
vireoHandoverPause(virDomainObj *vm);
void
vireoHandoverResume(virDomainObj *vm);

/**
 * vireoHandoverPrepare:
 * @disk: the monitor's own
 * @overlay: what is to lie on its image; its file is there. Numbered, and what is behind it set
 *
 * Has the storage daemon open both and serve the overlay, and gives the monitor a node of that.
 * Nothing writes to either image yet but the monitor.
 */
int
vireoHandoverPrepare(virDomainObj *vm,
                     virDomainDiskDef *disk,
                     virStorageSource *overlay);

/* Undoes that, or the rest of it once the domain has ended. Failure is logged. */
void
vireoHandoverUndo(virDomainObj *vm,
                  virDomainDiskDef *disk,
                  virStorageSource *overlay);

/**
 * vireoHandoverSwitch:
 * @served: to the storage daemon's node; else to the monitor's own
 *
 * Has the device of @disk go on in another node, which is there, once what is in flight is done.
 */
int
vireoHandoverSwitch(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    bool served);

/**
 * vireoHandoverFinish:
 * @disk: its device has gone on in the daemon's node
 * @overlay: as it was prepared; consumed: it is the disk's image from now on
 */
void
vireoHandoverFinish(virDomainObj *vm,
                    virDomainDiskDef *disk,
                    virStorageSource *overlay);

/**
 * vireoHandoverTake:
 * @disk: the monitor's own
 *
 * Has the storage daemon serve the same image.
 */
int
vireoHandoverTake(virDomainObj *vm,
                  virDomainDiskDef *disk);

/**
 * vireoHandoverReturn:
 *
 * Gives the image of @disk back to the monitor if that can read and write it. Failure is logged, and
 * the disk stays served.
 */
void
vireoHandoverReturn(virDomainObj *vm,
                    virDomainDiskDef *disk);

/* The same for all disks that have been taken for a block job which has not begun, or is over. */
void
vireoHandoverReturnAll(virDomainObj *vm);

/**
 * vireoHandoverRedo:
 *
 * The storage daemon is gone, and disks may have been about to go on in new images: they do, if
 * all that were the monitor's own have passed to it already, and else none does.
 */
int
vireoHandoverRedo(virDomainObj *vm);

/**
 * vireoHandoverReconnect:
 *
 * Finds out what passed while nobody watched, and removes what a daemon that was ended in the
 * middle of it has left. Block jobs that have ended are dealt with.
 */
int
vireoHandoverReconnect(virDomainObj *vm);
