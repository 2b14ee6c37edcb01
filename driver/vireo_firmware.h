/*
 * vireo_firmware.h: which firmware boots a domain, and where its variables are
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_capabilities.h"

#include "vireo_conf.h"

/**
 * vireoFirmwareBootsDirectly:
 *
 * Returns whether the monitor loads @def's kernel itself, without firmware.
 */
bool
vireoFirmwareBootsDirectly(const virDomainDef *def);

/**
 * vireoFirmwareFill:
 * @def: about to be started, not the persistent definition; it is changed
 *
 * Chooses the firmware that @def asks for by kind (<os firmware='efi'>, or none: a
 * BIOS) from what the host's descriptors offer, and names the file with its
 * variables. Returns 0, or -1 with an error reported.
 */
int
vireoFirmwareFill(vireoConfig *config,
                  virDomainDef *def);

/**
 * vireoFirmwarePrepare:
 * @def: filled in
 * @reset: make the variables anew from their template, whatever is there
 *
 * Checks that the firmware's files are there, and makes that of the variables if
 * it is not. Returns 0, or -1 with an error reported.
 */
int
vireoFirmwarePrepare(vireoConfig *config,
                     virDomainDef *def,
                     bool reset);

/**
 * vireoFirmwareVariables:
 * @def: a persistent definition
 *
 * Returns the file with the variables of @def, which need not exist, or NULL where it has
 * none; free with g_free.
 */
char *
vireoFirmwareVariables(vireoConfig *config,
                       const virDomainDef *def);

/**
 * vireoFirmwareUndefine:
 * @flags: of virDomainUndefineFlags
 *
 * Removes the variables of @def, which is about to be undefined, if @flags say so. Where
 * there are some and @flags do not say what to do with them it fails. Returns 0, or -1
 * with an error reported.
 */
int
vireoFirmwareUndefine(vireoConfig *config,
                      const virDomainDef *def,
                      unsigned int flags);

/**
 * vireoFirmwareAddMachine:
 * @buf: the value of -machine, which is extended
 */
void
vireoFirmwareAddMachine(virBuffer *buf,
                        const virDomainDef *def);

/**
 * vireoFirmwareAddArgs:
 *
 * Adds to @cmd what boots @def: its firmware, or its kernel, or both. Returns 0, or -1
 * with an error reported.
 */
int
vireoFirmwareAddArgs(virCommand *cmd,
                     const virDomainDef *def);

/**
 * vireoFirmwareScreenROM:
 *
 * Returns the path of what @def's BIOS shows things on bochs-display with, to be freed,
 * or NULL: it is no BIOS, or comes without one.
 */
char *
vireoFirmwareScreenROM(const virDomainDef *def);

/**
 * vireoFirmwareBootIndex:
 * @info: of a disk or an interface of @def
 *
 * Returns its place in the boot order, from 1, or 0: none. <boot dev> means the first
 * device of its kind.
 */
unsigned int
vireoFirmwareBootIndex(const virDomainDef *def,
                       const virDomainDeviceInfo *info);

/**
 * vireoFirmwareFillCapabilities:
 *
 * Fills in @domcaps what firmware there is on this host.
 */
void
vireoFirmwareFillCapabilities(vireoConfig *config,
                              virDomainCaps *domcaps);

/**
 * vireoFirmwareValidate:
 *
 * Refuses what firmware cannot do for @def. Returns 0, or -1 with an error reported.
 */
int
vireoFirmwareValidate(const virDomainDef *def);
