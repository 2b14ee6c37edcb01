/*
 * vireo_event.h: what monitors say of their own accord
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* Whose events they are */
typedef enum {
    VIREO_EVENT_MONITOR,    /* the domain's own process */
    VIREO_EVENT_STORAGE,    /* its storage daemon */
} vireoEventOrigin;

/* Opaque for these callbacks: a run of a domain. */
typedef struct _vireoEventSource vireoEventSource;

/**
 * vireoEventSourceNew:
 * @vm: locked, its process known
 *
 * Returns the opaque for vireoEventMonitorCallbacks; free with
 * vireoEventSourceFree.
 */
vireoEventSource *
vireoEventSourceNew(virDomainObj *vm,
                    vireoEventOrigin origin);
void
vireoEventSourceFree(void *opaque);

/* For vireoMonitorOpen. */
extern const vireoMonitorCallbacks vireoEventMonitorCallbacks;

/**
 * vireoEventWorker:
 *
 * The function of the driver's thread pool: reacts to one event of a monitor.
 */
void
vireoEventWorker(void *job,
                 void *opaque);

/**
 * vireoEventQueueLifecycle:
 * @type: virDomainEventType
 * @detail: of it
 *
 * Tells clients of a change of @vm. Any thread; @vm locked.
 */
void
vireoEventQueueLifecycle(virDomainObj *vm,
                         int type,
                         int detail);

/**
 * vireoEventSetState:
 *
 * Changes the state of an active domain, tells clients and saves it; does nothing
 * if that is the state already. @vm locked.
 */
void
vireoEventSetState(virDomainObj *vm,
                   virDomainState state,
                   int reason,
                   int type,
                   int detail);

/**
 * vireoEventSpawnEnd:
 * @vm: active, locked
 * @reason: virDomainShutoffReason
 *
 * Ends @vm, whose process has ended or shall, on a thread of its own, as soon as
 * it gets a job.
 */
void
vireoEventSpawnEnd(virDomainObj *vm,
                   int reason);

/**
 * vireoEventGuestOff, vireoEventGuestPanicked:
 * @vm: active, locked
 *
 * The guest has powered off, or panicked: what the definition says for that
 * follows, on threads of its own where it takes a job.
 */
void
vireoEventGuestOff(virDomainObj *vm);
void
vireoEventGuestPanicked(virDomainObj *vm);
