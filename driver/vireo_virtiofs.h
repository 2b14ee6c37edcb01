/*
 * vireo_virtiofs.h: virtiofsd, which serves directories of the host to guests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vireo_domain.h"
#include "virjson.h"

/**
 * vireoVirtiofsStart:
 * @vm: the domain, locked; its run-time directory exists
 * @fs: a file system of it, or one about to be attached
 *
 * Starts the virtiofsd of @fs, unless one is there already at the socket that the
 * XML names. It ends when the monitor does. Returns 0, or -1 with an error reported
 * and nothing left behind.
 */
int
vireoVirtiofsStart(virDomainObj *vm,
                   virDomainFSDef *fs);

/**
 * vireoVirtiofsStop:
 *
 * Ends the virtiofsd of @fs if it still runs. Keeps the error that is reported.
 */
void
vireoVirtiofsStop(virDomainObj *vm,
                  virDomainFSDef *fs);

/* Its socket as the monitor sees it, in the run-time directory @dir; free with
 * virObjectUnref. NULL with an error reported. */
virDomainChrSourceDef *
vireoVirtiofsSource(const char *dir,
                    const virDomainFSDef *fs);

/* -device / device_add; NULL with an error reported */
virJSONValue *
vireoVirtiofsProps(const virDomainDef *def,
                   virDomainFSDef *fs);

/* Whether Vireo has what @fs asks for: 0, or -1 with an error reported. */
int
vireoVirtiofsValidate(const virDomainFSDef *fs,
                      const virDomainDef *def);
