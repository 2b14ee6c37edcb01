/*
 * vireo_log.h: the log file of a domain's monitor
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/**
 * vireoLogOpen:
 * @vm: the domain that is about to start
 * @start: set to where in the file this start's messages begin
 *
 * Opens logDir/NAME.log for appending, through virtlogd unless configured
 * otherwise. Returns a descriptor, or -1 with an error reported.
 */
int
vireoLogOpen(virDomainObj *vm,
             off_t *start);

/* The same for another process of the domain's, which has a log of its own: logDir/NAME.@suffix */
int
vireoLogOpenHelper(virDomainObj *vm,
                   const char *suffix);

/**
 * vireoLogReportStart:
 * @start: as vireoLogOpen set it
 *
 * Replaces the error that is reported by one that ends with what the monitor
 * wrote since @start, if it wrote anything.
 */
void
vireoLogReportStart(virDomainObj *vm,
                    off_t start);

/**
 * vireoLogPath:
 *
 * Returns the path of the domain's log; free with g_free.
 */
char *
vireoLogPath(virDomainObj *vm);
