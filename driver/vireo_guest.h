/*
 * vireo_guest.h: the guest agent's commands the driver uses, typed
 *
 * Those that take an agent job take a domain that is locked and in one
 * (vireoGuestBeginJob); its lock is given up while the agent works, so @vm may
 * have stopped when they return (which is then an error). Unless said otherwise
 * they return 0, or -1 with an error reported.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "virdomainjob.h"

#include "vireo_domain.h"

/* Seconds that a shutdown by the agent may take to begin. */
#define VIREO_GUEST_SHUTDOWN_SECONDS 60

/**
 * vireoGuestChannel:
 *
 * Returns the channel of @def that an agent would use, or NULL.
 */
virDomainChrDef *
vireoGuestChannel(const virDomainDef *def);

/**
 * vireoGuestIsConnected:
 *
 * Whether a program in the guest of the active domain @vm, locked, has the agent's channel open.
 */
bool
vireoGuestIsConnected(virDomainObj *vm);

/**
 * vireoGuestSetConnected:
 * @vm: active, locked
 * @chr: a channel of it, of which the guest's end has opened or closed
 * @reason: virConnectDomainEventAgentLifecycleReason
 *
 * Keeps that for the XML and, if it is the agent's, tells clients, and ends a
 * command that waits for an agent that is gone.
 */
void
vireoGuestSetConnected(virDomainObj *vm,
                       virDomainChrDef *chr,
                       bool connected,
                       int reason);

/**
 * vireoGuestSetAllConnected:
 * @chardevs: as vireoQmpGetChardevs has it
 *
 * The same for all channels, of which nothing was known till now.
 */
void
vireoGuestSetAllConnected(virDomainObj *vm,
                          GHashTable *chardevs);

/**
 * vireoGuestDisconnect:
 *
 * The domain @vm, locked, ends: so does its connection.
 */
void
vireoGuestDisconnect(virDomainObj *vm);

/**
 * vireoGuestBeginJob:
 *
 * Starts a job that needs a connected agent; jobs of the other kind go on. Returns 0, or -1
 * with an error reported and no job begun. End with virDomainObjEndAgentJob.
 */
int
vireoGuestBeginJob(virDomainObj *vm,
                   virDomainAgentJob job);

/**
 * vireoGuestCommand:
 *
 * Any command, in an agent job; as vireoAgentCommand.
 */
int
vireoGuestCommand(virDomainObj *vm,
                  const char *name,
                  virJSONValue **args,
                  virJSONValue **result);

/* A command as the user wrote it; sets @reply, free with g_free. */
int
vireoGuestRaw(virDomainObj *vm,
              const char *text,
              int seconds,
              char **reply);

/* "powerdown", "reboot" or "halt" */
int
vireoGuestShutdown(virDomainObj *vm,
                   const char *mode);

/**
 * vireoGuestFreeze:
 * @mountpoints: NULL for all file systems
 *
 * Returns the number of file systems that are frozen now.
 */
int
vireoGuestFreeze(virDomainObj *vm,
                 const char **mountpoints,
                 unsigned int n);

/* Returns the number of file systems that were frozen. */
int
vireoGuestThaw(virDomainObj *vm);

/* Sets @name; free with g_free. */
int
vireoGuestGetHostname(virDomainObj *vm,
                      char **name);

/* Nanoseconds since 1970, UTC. */
int
vireoGuestGetTime(virDomainObj *vm,
                  long long *ns);

/* NULL: to what the clock of the guest's hardware says. */
int
vireoGuestSetTime(virDomainObj *vm,
                  const long long *ns);

/* @crypted: the password is a hash as the guest keeps it */
int
vireoGuestSetPassword(virDomainObj *vm,
                      const char *user,
                      const char *password,
                      bool crypted);

/* Puts the vCPUs of the map @online, or not. */
int
vireoGuestSetVcpus(virDomainObj *vm,
                   virBitmap *map,
                   bool online);
