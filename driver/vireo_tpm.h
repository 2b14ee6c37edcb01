/*
 * vireo_tpm.h: swtpm, which is the TPM of a domain
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_capabilities.h"
#include "vircommand.h"

#include "vireo_domain.h"

/* What a <tpm> is that does not say. */
void
vireoTpmDefault(virDomainTPMDef *tpm);

/* Whether Vireo has what @tpm asks for: 0, or -1 with an error reported. */
int
vireoTpmValidate(const virDomainTPMDef *tpm);

/* What TPMs this host can give. */
void
vireoTpmFillCapabilities(virDomainCapsDeviceTPM *caps);

/**
 * vireoTpmAddArgs:
 * @dir: run-time directory of the domain
 * @fd: control channel, handed over, and -1 then; -1: a socket in @dir
 *
 * Adds the TPM of @def, if it has one. Returns 0, or -1 with an error reported.
 */
int
vireoTpmAddArgs(virCommand *cmd,
                const virDomainDef *def,
                const char *dir,
                int *fd);

/**
 * vireoTpmStart:
 * @vm: the domain, locked; its labels are made
 * @fd: set to the monitor's end of the control channel
 *
 * Starts the swtpm of @vm, if it has a TPM, and makes what that keeps if there is nothing yet; that
 * takes a second. Returns 0, or -1 with an error reported, after which vireoTpmStop is due.
 */
int
vireoTpmStart(virDomainObj *vm,
              int *fd);

/**
 * vireoTpmJoin:
 *
 * Moves swtpm to the domain's cgroup, which exists by now. Returns 0, or -1 with an error reported.
 */
int
vireoTpmJoin(virDomainObj *vm);

/**
 * vireoTpmStop:
 *
 * Ends swtpm, if it has not ended with the monitor. Keeps the error that is reported.
 */
void
vireoTpmStop(virDomainObj *vm);

/* Says so if the swtpm of @vm, a domain found running, has ended. */
void
vireoTpmReconnect(virDomainObj *vm);

/* The TPM of @vm does not work any more, because of @reason: the log says so. */
void
vireoTpmReportFailure(virDomainObj *vm,
                      const char *reason);

/* Whether @flags (virDomainUndefineFlagsValues) go together: 0, or -1 with an error reported. */
int
vireoTpmCheckUndefine(unsigned int flags);

/**
 * vireoTpmNoteUndefine:
 * @flags: virDomainUndefineFlagsValues
 *
 * @vm has been undefined, or (0) defined again; what that means for its TPM matters once it is gone.
 */
void
vireoTpmNoteUndefine(virDomainObj *vm,
                     unsigned int flags);

/**
 * vireoTpmForget:
 * @vm: an inactive domain, about to leave the list
 *
 * Removes what its TPM keeps, unless that is to stay: by what undefining it said, and else by
 * <backend persistent_state>. Failure is logged.
 */
void
vireoTpmForget(virDomainObj *vm);
