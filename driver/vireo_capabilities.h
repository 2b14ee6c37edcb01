/*
 * vireo_capabilities.h: what the host and Vireo offer, in libvirt's terms
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_capabilities.h"

#include "vireo_conf.h"

#define VIREO_MACHINE "q35"
#define VIREO_MACHINE_CANONICAL "vireo-q35-1.0"
#define VIREO_MAX_VCPUS 255

/**
 * vireoCapabilitiesBuild:
 *
 * Probes the host. Returns the capabilities (unreference with virObjectUnref),
 * or NULL with an error reported.
 */
virCaps *
vireoCapabilitiesBuild(vireoDriver *driver);

/**
 * vireoCapabilitiesMachineCanonical:
 * @machine: a machine type as the user names it
 *
 * Returns the versioned name (static), or NULL if Vireo has no such machine.
 */
const char *
vireoCapabilitiesMachineCanonical(const char *machine);

/**
 * vireoCapabilitiesCheck:
 * @arch: architecture name, NULL for x86_64
 * @machine: machine type, NULL for q35
 * @virttype: domain type, NULL for kvm
 *
 * Returns 0, or -1 with an error reported if Vireo has no such domains.
 */
int
vireoCapabilitiesCheck(const char *arch,
                       const char *machine,
                       const char *virttype);

/**
 * vireoDomainCapabilitiesBuild:
 * @emulator: path of the monitor, NULL for the configured one
 * @arch: architecture name, NULL for x86_64
 * @machine: machine type, NULL for q35
 * @virttype: domain type, NULL for kvm
 *
 * Returns what a domain of that kind may have, or NULL with an error reported.
 */
virDomainCaps *
vireoDomainCapabilitiesBuild(vireoDriver *driver,
                             const char *emulator,
                             const char *arch,
                             const char *machine,
                             const char *virttype);
