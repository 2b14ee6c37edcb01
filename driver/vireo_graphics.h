/*
 * vireo_graphics.h: how the screen of a domain is seen
 *
 * Unless a comment says otherwise, functions take a locked domain in a job and
 * return 0, or -1 with an error reported.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "vircommand.h"

#include "vireo_domain.h"

/* The ports that VNC servers without one get. */
#define VIREO_VNC_PORT_MIN 5900
#define VIREO_VNC_PORT_MAX 65535

/**
 * vireoGraphicsPrepare:
 *
 * Gives the live definition the ports, addresses and sockets that it leaves open,
 * before the monitor starts, and checks that there are the certificates that it
 * needs. vireoGraphicsRelease gives back what it has taken.
 */
int
vireoGraphicsPrepare(virDomainObj *vm);

/* Gives back what is the domain's no more. Needs no job. */
void
vireoGraphicsRelease(virDomainObj *vm);

/* After a restart of the daemon: the ports are taken. Needs no job. */
void
vireoGraphicsReconnect(virDomainObj *vm);

/* Adds the VNC server of @def to its command line. Needs no lock. */
int
vireoGraphicsAddCommand(virCommand *cmd,
                        const virDomainDef *def,
                        const vireoConfig *config);

/* Tells the monitor the password that the live definition has, if any. */
int
vireoGraphicsSetPassword(virDomainObj *vm);

/**
 * vireoGraphicsUpdate:
 * @wanted: what the user wants the graphics of the running domain to be
 *
 * Changes the password and its expiry; anything else has to be as it is.
 */
int
vireoGraphicsUpdate(virDomainObj *vm,
                    virDomainGraphicsDef *wanted);

/* Changes the password of the VNC server in definition @def to that of @wanted. Needs no lock. */
int
vireoGraphicsUpdateConfig(virDomainDef *def,
                          virDomainGraphicsDef *wanted);

/**
 * vireoGraphicsEvent:
 * @phase: virDomainEventGraphicsPhase
 * @data: of the monitor's VNC_* event
 *
 * Tells clients of it. Needs no job.
 */
void
vireoGraphicsEvent(virDomainObj *vm,
                   int phase,
                   virJSONValue *data);
