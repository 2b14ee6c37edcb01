/*
 * vireo_iotune.h: limits on the speed of disks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_change.h"

/* How many parameters of virDomainSetBlockIoTune() there are. */
#define VIREO_IOTUNE_PARAMS 20

/**
 * vireoIoTuneCheck:
 *
 * Makes sure that limits do not contradict each other and are what the monitor can do.
 * Returns 0, or -1 with an error reported.
 */
int
vireoIoTuneCheck(const virDomainBlockIoTuneInfo *tune);

/**
 * vireoIoTuneCheckParams:
 *
 * Makes sure that @params are known, once each. Returns 0, or -1 with an error reported.
 */
int
vireoIoTuneCheckParams(virTypedParameterPtr params,
                       int nparams);

/**
 * vireoIoTuneMerge:
 * @old: what a disk has
 * @params: checked
 * @tune: set to what it has with @params; the caller frees its group_name
 *
 * A total and its parts, and limits and those of bursts, are each given together or
 * stay as they are. Returns 0, or -1 with an error reported.
 */
int
vireoIoTuneMerge(const virDomainBlockIoTuneInfo *old,
                 virTypedParameterPtr params,
                 int nparams,
                 virDomainBlockIoTuneInfo *tune);

/**
 * vireoIoTuneSet:
 *
 * Makes @tune the limits of @disk, and of all disks of @def in the group it names.
 */
void
vireoIoTuneSet(virDomainDef *def,
               virDomainDiskDef *disk,
               const virDomainBlockIoTuneInfo *tune);

/**
 * vireoIoTuneFormat:
 * @nparams: how many there is room for; set to how many were filled in, or if it
 * is 0, to how many there are
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoIoTuneFormat(const virDomainBlockIoTuneInfo *tune,
                  virTypedParameterPtr params,
                  int *nparams);

/* Tells @tuned, for the event, of the limits on @disk. Returns 0 or -1. */
int
vireoIoTuneTell(virTypedParamList *tuned,
                const virDomainDiskDef *disk,
                const virDomainBlockIoTuneInfo *tune);

/**
 * vireoIoTuneApply:
 * @vm: locked, in a job, active
 *
 * Has the monitor limit @disk to @tune; without limits there it takes them away.
 * Returns 0, or -1 with an error reported.
 */
int
vireoIoTuneApply(virDomainObj *vm,
                 const virDomainDiskDef *disk,
                 const virDomainBlockIoTuneInfo *tune);
