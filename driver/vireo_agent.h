/*
 * vireo_agent.h: the connection to a guest agent
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "internal.h"
#include "virjson.h"

#include "vireo_agent_reply.h"

/* A reference-counted virObject; one thread at a time sends commands. */
typedef struct _vireoAgent vireoAgent;

/**
 * vireoAgentOpen:
 * @path: of the unix socket of the agent's channel
 *
 * Connects, without waiting for anything. Returns the connection, or NULL with an
 * error reported. End with vireoAgentClose, then virObjectUnref.
 */
vireoAgent *
vireoAgentOpen(const char *path);

/* The same over a connected stream socket, which it takes; also on failure. */
vireoAgent *
vireoAgentNewFD(int fd);

/**
 * vireoAgentClose:
 *
 * The agent is gone: a command that waits fails at once, as will all others. Any
 * thread.
 */
void
vireoAgentClose(vireoAgent *agent);

/**
 * vireoAgentCommand:
 * @name: of the command
 * @args: NULL, or its arguments, which are consumed
 * @seconds: to wait for the reply, or virDomainAgentResponseTimeoutValues
 * @result: NULL, or set to the reply's value; free with virJSONValueFree
 *
 * Makes sure that the agent listens, which has a limit of seconds of its own, then
 * sends the command and waits. What the agent said before, late or unasked, is
 * dropped. Returns 0, or with an error reported VIREO_AGENT_REFUSED,
 * VIREO_AGENT_UNKNOWN or, if there was no reply, -1.
 */
int
vireoAgentCommand(vireoAgent *agent,
                  const char *name,
                  virJSONValue **args,
                  int seconds,
                  virJSONValue **result);

/**
 * vireoAgentCommandRaw:
 * @text: a command as the user wrote it
 *
 * As vireoAgentCommand. Returns the whole reply, an error of the agent's included,
 * or NULL with an error reported. Free with g_free.
 */
char *
vireoAgentCommandRaw(vireoAgent *agent,
                     const char *text,
                     int seconds);

/**
 * vireoAgentShutdown:
 * @mode: "powerdown", "reboot" or "halt"
 *
 * A command with no reply when it succeeds: then the agent ends, or answers
 * the next. Returns 0, or -1 with an error reported.
 */
int
vireoAgentShutdown(vireoAgent *agent,
                   const char *mode,
                   int seconds);
