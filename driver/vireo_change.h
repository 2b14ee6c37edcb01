/*
 * vireo_change.h: a change of settings, of a running domain and of its definition
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"
#include "virtypedparam.h"

/* The definition is changed in a copy, which takes its place only when all of
 * the change has worked. */
typedef struct _vireoChange vireoChange;
struct _vireoChange {
    virDomainObj *vm;
    virDomainDef *live;         /* of the running domain; NULL: is not to change */
    virDomainDef *config;       /* copy of the definition; NULL: is not to change */

    /* What is told by the event, of fields named VIR_DOMAIN_TUNABLE_* */
    virTypedParamList *tuned;
};

/**
 * vireoChangeBegin:
 * @vm: locked
 * @flags: virDomainModificationImpact; other bits are ignored
 *
 * Begins a job, and finds out what is to be changed. Returns 0, or -1 with an
 * error reported and no job begun.
 */
int
vireoChangeBegin(vireoChange *change,
                 virDomainObj *vm,
                 unsigned int flags);

/**
 * vireoChangeEnd:
 * @ret: 0: all went well; -1: an error is reported, the definition stays as it is
 *
 * Saves what has been changed, queues the event of @change->tuned, and ends the
 * job. Returns @ret, or -1 with an error reported if saving failed.
 */
int
vireoChangeEnd(vireoChange *change,
               int ret);
