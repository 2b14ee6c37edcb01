/*
 * vireo_agent.c: the connection to a guest agent
 *
 * The agent's protocol has one command at a time under way, and no means to tell
 * whose reply a reply is. So each command is led by guest-sync-delimited with a
 * number: all before the answer with that number is thrown away. A guest that has
 * hung is found out by that, too, before it is sent anything that changes it.
 *
 * There is no thread and no event loop in this: whoever sends a command waits for its
 * reply, and vireoAgentClose wakes him up.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virobject.h"
#include "virsecureerase.h"
#include "virstring.h"
#include "virutil.h"

#include "vireo_agent.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_agent");

/* How long an agent that works may take for the number, and in what is called the default. */
#define VIREO_AGENT_SYNC_SECONDS 5
#define VIREO_AGENT_NEVER -1

/* How a wait ends if not well; less than 0, but not what vireoAgentCommand returns. */
#define VIREO_AGENT_GONE -10

struct _vireoAgent {
    virObject parent;

    int fd;
    int closeFD;          /* eventfd: readable once the agent is gone */

    vireoAgentReader reader;
    char pending[16 * 1024];    /* what has come and not been read */
    size_t pendingStart;
    size_t pendingEnd;
};

static virClass *vireoAgentClass;

static void
vireoAgentDispose(void *obj)
{
    vireoAgent *agent = obj;

    VIR_FORCE_CLOSE(agent->fd);
    VIR_FORCE_CLOSE(agent->closeFD);
    vireoAgentReaderClear(&agent->reader);
}

static int
vireoAgentOnceInit(void)
{
    return VIR_CLASS_NEW(vireoAgent, virClassForObject()) ? 0 : -1;
}

VIR_ONCE_GLOBAL_INIT(vireoAgent);

vireoAgent *
vireoAgentNewFD(int fd)
{
    vireoAgent *agent;

    if (vireoAgentInitialize() < 0 || !(agent = virObjectNew(vireoAgentClass))) {
        VIR_FORCE_CLOSE(fd);
        return NULL;
    }

    agent->fd = fd;
    vireoAgentReaderInit(&agent->reader);
    if ((agent->closeFD = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
        virSetNonBlock(fd) < 0) {
        virReportSystemError(errno, "%s", _("cannot prepare the guest agent's connection"));
        virObjectUnref(agent);
        return NULL;
    }

    return agent;
}

vireoAgent *
vireoAgentOpen(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (virStrcpyStatic(addr.sun_path, path) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("the guest agent's path '%s' is too long"), path);
        return NULL;
    }
    /* A connection to a unix socket is there at once or not at all. */
    if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0 ||
        connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        virReportSystemError(errno, _("cannot connect to the guest agent's channel '%s'"), path);
        VIR_FORCE_CLOSE(fd);
        return NULL;
    }

    return vireoAgentNewFD(fd);
}

void
vireoAgentClose(vireoAgent *agent)
{
    eventfd_write(agent->closeFD, 1);
}

static gint64
vireoAgentDeadline(int seconds)
{
    if (seconds == VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK)
        return VIREO_AGENT_NEVER;
    if (seconds == VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT)
        seconds = VIREO_AGENT_SYNC_SECONDS;

    return g_get_monotonic_time() + seconds * (gint64)G_USEC_PER_SEC;
}

/* Until the socket is ready for @events. */
static int
vireoAgentWait(vireoAgent *agent,
               short events,
               gint64 deadline)
{
    struct pollfd fds[] = {
        { .fd = agent->fd, .events = events },
        { .fd = agent->closeFD, .events = POLLIN },
    };
    gint64 left;
    int rc;

    do {
        left = deadline == VIREO_AGENT_NEVER ? -1 : deadline - g_get_monotonic_time();
        if (deadline != VIREO_AGENT_NEVER && left < 0)
            left = 0;
        rc = poll(fds, G_N_ELEMENTS(fds), left < 0 ? -1 : MIN((left + 999) / 1000, G_MAXINT));
    } while (rc < 0 && errno == EINTR);

    if (rc > 0 && fds[1].revents)
        return VIREO_AGENT_GONE;
    /* An agent that does not stop talking has no more time than one that is silent. */
    if (rc > 0 && (deadline == VIREO_AGENT_NEVER || left > 0 || !(events & POLLIN)))
        return 0;

    virReportError(VIR_ERR_AGENT_UNRESPONSIVE, "%s", _("the guest agent does not answer in time"));
    return -1;
}

static int
vireoAgentWrite(vireoAgent *agent,
                const char *text,
                gint64 deadline)
{
    size_t n = strlen(text);
    int rc;

    while (n > 0) {
        ssize_t sent = send(agent->fd, text, n, MSG_NOSIGNAL);

        if (sent >= 0) {
            text += sent;
            n -= sent;
        } else if (errno == EAGAIN || errno == EINTR) {
            if ((rc = vireoAgentWait(agent, POLLOUT, deadline)) < 0)
                return rc;
        } else {
            return VIREO_AGENT_GONE;
        }
    }

    return 0;
}

/* The next line, or 0 and no line if more bytes are needed. */
static int
vireoAgentNextLine(vireoAgent *agent,
                   char **line)
{
    size_t n = agent->pendingEnd - agent->pendingStart;

    if (vireoAgentReaderPush(&agent->reader, agent->pending + agent->pendingStart, &n, line) < 0) {
        agent->pendingStart = agent->pendingEnd;
        return -1;
    }
    agent->pendingStart += n;

    return 0;
}

static int
vireoAgentRead(vireoAgent *agent,
               gint64 deadline,
               char **line)
{
    int rc;

    for (;;) {
        ssize_t got;

        if (vireoAgentNextLine(agent, line) < 0)
            return -1;
        if (*line)
            return 0;

        agent->pendingStart = agent->pendingEnd = 0;
        if ((rc = vireoAgentWait(agent, POLLIN, deadline)) < 0)
            return rc;
        got = read(agent->fd, agent->pending, sizeof(agent->pending));
        if (got > 0)
            agent->pendingEnd = got;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return VIREO_AGENT_GONE;
    }
}

static int
vireoAgentReportGone(void)
{
    virReportError(VIR_ERR_AGENT_UNRESPONSIVE, "%s", _("the guest agent is not there any more"));
    return -1;
}

/* @prefix: what comes before the question; @number: of the question that was sent */
static int
vireoAgentSendSync(vireoAgent *agent,
                   const char *prefix,
                   gint64 deadline,
                   unsigned int *number)
{
    g_autofree char *text = NULL;

    *number = g_random_int();
    text = g_strdup_printf("%s{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%u}}\n",
                           prefix, *number);
    return vireoAgentWrite(agent, text, deadline);
}

static bool
vireoAgentIsNumber(const char *line,
                   unsigned int expected)
{
    g_autoptr(virJSONValue) value = NULL;
    g_autofree char *refusal = NULL;
    unsigned int number;

    return vireoAgentParseReply(line, &value, &refusal) == 0 &&
        virJSONValueGetNumberUint(value, &number) == 0 && number == expected;
}

static int
vireoAgentSync(vireoAgent *agent,
               int seconds)
{
    gint64 deadline;
    unsigned int number;
    int rc;

    /* Whether one waits for ever for the reply or not at all, this is a sign of life. */
    if (seconds <= 0 || seconds > VIREO_AGENT_SYNC_SECONDS)
        seconds = VIREO_AGENT_SYNC_SECONDS;
    deadline = vireoAgentDeadline(seconds);

    vireoAgentReaderSkip(&agent->reader);
    /* The agent's own parser starts afresh at a 0xFF, and says that this was none of its language. */
    if ((rc = vireoAgentSendSync(agent, "\xFF", deadline, &number)) < 0)
        return rc;

    for (;;) {
        g_autofree char *line = NULL;

        if ((rc = vireoAgentRead(agent, deadline, &line)) < 0)
            return rc;
        if (vireoAgentIsNumber(line, number)) {
            virResetLastError();
            return 0;
        }
        /* The answer to an earlier question, or anything else. */
        vireoAgentReaderSkip(&agent->reader);
    }
}

static int
vireoAgentExchange(vireoAgent *agent,
                   const char *text,
                   int seconds,
                   char **line)
{
    gint64 deadline;
    int rc;

    if ((rc = vireoAgentSync(agent, seconds)) == 0) {
        deadline = vireoAgentDeadline(seconds);
        if ((rc = vireoAgentWrite(agent, text, deadline)) == 0)
            rc = vireoAgentRead(agent, deadline, line);
    }

    return rc == VIREO_AGENT_GONE ? vireoAgentReportGone() : rc;
}

static char *
vireoAgentFormatCommand(const char *name,
                        virJSONValue **args)
{
    g_autoptr(virJSONValue) arguments = args ? g_steal_pointer(args) : NULL;
    g_autoptr(virJSONValue) command = NULL;
    g_autofree char *text = NULL;

    if (virJSONValueObjectAdd(&command, "s:execute", name, "A:arguments", &arguments, NULL) < 0 ||
        !(text = virJSONValueToString(command, false)))
        return NULL;

    return g_strconcat(text, "\n", NULL);
}

static int
vireoAgentReportRefusal(const char *name,
                        int rc,
                        const char *refusal)
{
    if (rc == VIREO_AGENT_UNKNOWN)
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("the guest agent has no command '%s'"), name);
    else
        virReportError(VIR_ERR_OPERATION_FAILED, _("the guest agent refused '%s': %s"), name, refusal);

    return rc;
}

int
vireoAgentCommand(vireoAgent *agent,
                  const char *name,
                  virJSONValue **args,
                  int seconds,
                  virJSONValue **result)
{
    g_autofree char *text = vireoAgentFormatCommand(name, args);
    g_autofree char *line = NULL;
    g_autofree char *refusal = NULL;
    g_autoptr(virJSONValue) value = NULL;
    int rc;

    VIR_DEBUG("command %s", name);
    if (!text)
        return -1;
    rc = vireoAgentExchange(agent, text, seconds, &line);
    /* It may hold a password. */
    virSecureEraseString(text);
    if (rc < 0)
        return -1;
    if ((rc = vireoAgentParseReply(line, &value, &refusal)) < 0)
        return rc == -1 ? -1 : vireoAgentReportRefusal(name, rc, refusal);

    if (result)
        *result = g_steal_pointer(&value);
    return 0;
}

char *
vireoAgentCommandRaw(vireoAgent *agent,
                     const char *text,
                     int seconds)
{
    g_autoptr(virJSONValue) command = virJSONValueFromString(text);
    g_autoptr(virJSONValue) value = NULL;
    g_autofree char *compact = NULL;
    g_autofree char *sent = NULL;
    g_autofree char *line = NULL;
    g_autofree char *refusal = NULL;

    if (!command)
        return NULL;
    if (!virJSONValueIsObject(command)) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("a command of the guest agent is a JSON object"));
        return NULL;
    }

    /* On one line, whatever the user wrote. */
    compact = virJSONValueToString(command, false);
    sent = g_strconcat(compact, "\n", NULL);
    if (vireoAgentExchange(agent, sent, seconds, &line) < 0 ||
        vireoAgentParseReply(line, &value, &refusal) == -1)
        return NULL;

    return g_steal_pointer(&line);
}

int
vireoAgentShutdown(vireoAgent *agent,
                   const char *mode,
                   int seconds)
{
    gint64 deadline = vireoAgentDeadline(seconds);
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) value = NULL;
    g_autofree char *text = NULL;
    g_autofree char *line = NULL;
    g_autofree char *refusal = NULL;
    unsigned int number;
    int rc;

    if (virJSONValueObjectAdd(&args, "s:mode", mode, NULL) < 0 ||
        !(text = vireoAgentFormatCommand("guest-shutdown", &args)))
        return -1;
    if ((rc = vireoAgentSync(agent, seconds)) < 0)
        return rc == VIREO_AGENT_GONE ? vireoAgentReportGone() : -1;

    if ((rc = vireoAgentWrite(agent, text, deadline)) < 0 ||
        (rc = vireoAgentSendSync(agent, "", deadline, &number)) < 0 ||
        (rc = vireoAgentRead(agent, deadline, &line)) < 0)
        return rc == VIREO_AGENT_GONE ? 0 : -1;

    if ((rc = vireoAgentParseReply(line, &value, &refusal)) < -1)
        return vireoAgentReportRefusal("guest-shutdown", rc, refusal);
    if (rc == 0 && !vireoAgentIsNumber(line, number)) {
        virReportError(VIR_ERR_AGENT_UNSYNCED, "%s",
                       _("the guest agent answers something that it was not asked"));
        rc = -1;
    }

    return rc;
}
