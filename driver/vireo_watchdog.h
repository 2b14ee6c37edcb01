/*
 * vireo_watchdog.h: a domain's watchdog, and what its expiry leads to
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"

/* Whether Vireo has what @watchdog asks for: 0, or -1 with an error reported. */
int
vireoWatchdogValidate(const virDomainWatchdogDef *watchdog);

/* -device; NULL with an error reported */
virJSONValue *
vireoWatchdogProps(const virDomainDef *def,
                   virDomainWatchdogDef *watchdog);

/**
 * vireoWatchdogExpired:
 * @action: the monitor's name of what it does about it
 *
 * Tells clients; the domain's state follows if it is paused. @vm locked.
 */
void
vireoWatchdogExpired(virDomainObj *vm,
                     const char *action);
