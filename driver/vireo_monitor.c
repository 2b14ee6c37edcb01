/*
 * vireo_monitor.c: the connection to a monitor process (QMP)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virobject.h"
#include "virstring.h"
#include "virthread.h"
#include "virtime.h"
#include "virutil.h"

#include "vireo_monitor.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_monitor");

#define VIREO_MONITOR_GREETING_MS (30 * 1000)
/* More in one line is no monitor of ours. */
#define VIREO_MONITOR_MAX_LINE (64 * 1024 * 1024)

struct _vireoMonitor {
    virObjectLockable parent;

    int fd;
    bool closing;         /* by us */
    bool gone;            /* nothing more will come */
    bool greeted;

    /* The command under way, if its id is not 0. */
    unsigned long long lastID;
    unsigned long long waitID;
    virJSONValue *reply;
    virCond replied;

    const vireoMonitorCallbacks *callbacks;
    void *opaque;
    virFreeCallback opaqueFree;
};

static virClass *vireoMonitorClass;

static void
vireoMonitorDispose(void *obj)
{
    vireoMonitor *mon = obj;

    VIR_FORCE_CLOSE(mon->fd);
    virJSONValueFree(mon->reply);
    virCondDestroy(&mon->replied);
}

static int
vireoMonitorOnceInit(void)
{
    if (!VIR_CLASS_NEW(vireoMonitor, virClassForObjectLockable()))
        return -1;

    return 0;
}

VIR_ONCE_GLOBAL_INIT(vireoMonitor);

static void
vireoMonitorHandleEvent(vireoMonitor *mon,
                        virJSONValue *message,
                        const char *name)
{
    virJSONValue *timestamp = virJSONValueObjectGetObject(message, "timestamp");
    virJSONValue *data = virJSONValueObjectGetObject(message, "data");
    long long seconds = -1;
    unsigned int micros = 0;

    if (timestamp) {
        ignore_value(virJSONValueObjectGetNumberLong(timestamp, "seconds", &seconds));
        ignore_value(virJSONValueObjectGetNumberUint(timestamp, "microseconds", &micros));
    }
    VIR_DEBUG("event %s", name);
    mon->callbacks->event(name, data, seconds, micros, mon->opaque);
}

/* One line from the monitor. Returns -1 if it is not QMP. */
static int
vireoMonitorHandleLine(vireoMonitor *mon,
                       const char *line)
{
    g_autoptr(virJSONValue) message = virJSONValueFromString(line);
    unsigned long long id;
    const char *name;

    if (!message || !virJSONValueIsObject(message)) {
        VIR_WARN("the monitor sent what is not a JSON object: %.200s", line);
        return -1;
    }

    if ((name = virJSONValueObjectGetString(message, "event"))) {
        vireoMonitorHandleEvent(mon, message, name);
        return 0;
    }

    VIR_WITH_OBJECT_LOCK_GUARD(mon) {
        if (virJSONValueObjectHasKey(message, "QMP")) {
            mon->greeted = true;
            virCondSignal(&mon->replied);
        } else if (mon->waitID != 0 && !mon->reply &&
                   (virJSONValueObjectGetNumberUlong(message, "id", &id) < 0 ||
                    id == mon->waitID)) {
            /* An error about unparsable input has no id. */
            mon->reply = g_steal_pointer(&message);
            virCondSignal(&mon->replied);
        }
    }

    return 0;
}

/* Takes whole lines out of @buffer. */
static int
vireoMonitorHandleBuffer(vireoMonitor *mon,
                         GString *buffer,
                         gsize searched)
{
    char *end;

    while ((end = memchr(buffer->str + searched, '\n', buffer->len - searched))) {
        gsize len = end - buffer->str;

        *end = '\0';
        if (len > 1 && vireoMonitorHandleLine(mon, buffer->str) < 0)
            return -1;
        g_string_erase(buffer, 0, len + 1);
        searched = 0;
    }

    return buffer->len > VIREO_MONITOR_MAX_LINE ? -1 : 0;
}

static void
vireoMonitorThread(void *opaque)
{
    vireoMonitor *mon = opaque;
    g_autoptr(GString) buffer = g_string_new(NULL);
    char chunk[16384];
    bool tell = false;

    for (;;) {
        ssize_t got = recv(mon->fd, chunk, sizeof(chunk), 0);
        gsize searched = buffer->len;

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        g_string_append_len(buffer, chunk, got);
        if (vireoMonitorHandleBuffer(mon, buffer, searched) < 0)
            break;
    }

    VIR_WITH_OBJECT_LOCK_GUARD(mon) {
        mon->gone = true;
        tell = !mon->closing;
        virCondBroadcast(&mon->replied);
    }

    if (tell)
        mon->callbacks->closed(mon->opaque);
    mon->opaqueFree(mon->opaque);
    virObjectUnref(mon);
}

static int
vireoMonitorConnect(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (virStrcpyStatic(addr.sun_path, path) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("the monitor's path '%s' is too long"), path);
        return -1;
    }
    if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) {
        virReportSystemError(errno, "%s", _("cannot create a socket"));
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        virReportSystemError(errno, _("cannot connect to the monitor at '%s'"), path);
        VIR_FORCE_CLOSE(fd);
        return -1;
    }

    return fd;
}

static int
vireoMonitorAwaitGreeting(vireoMonitor *mon)
{
    VIR_LOCK_GUARD lock = virObjectLockGuard(mon);
    unsigned long long now;

    if (virTimeMillisNow(&now) < 0)
        return -1;

    while (!mon->greeted && !mon->gone) {
        if (virCondWaitUntil(&mon->replied, &mon->parent.lock,
                             now + VIREO_MONITOR_GREETING_MS) < 0)
            break;
    }
    if (!mon->greeted) {
        virReportError(VIR_ERR_OPERATION_FAILED, "%s",
                       mon->gone ? _("the monitor exited") : _("the monitor does not answer"));
        return -1;
    }

    return 0;
}

vireoMonitor *
vireoMonitorOpen(const char *path,
                 const vireoMonitorCallbacks *callbacks,
                 void *opaque,
                 virFreeCallback opaqueFree)
{
    vireoMonitor *mon;
    virThread thread;

    if (vireoMonitorInitialize() < 0 ||
        !(mon = virObjectLockableNew(vireoMonitorClass))) {
        opaqueFree(opaque);
        return NULL;
    }
    mon->callbacks = callbacks;
    mon->opaque = opaque;
    mon->opaqueFree = opaqueFree;
    mon->fd = -1;

    if (virCondInit(&mon->replied) < 0) {
        virReportSystemError(errno, "%s", _("cannot initialize a condition"));
        goto error;
    }
    if ((mon->fd = vireoMonitorConnect(path)) < 0)
        goto error;

    virObjectRef(mon);
    if (virThreadCreateFull(&thread, false, vireoMonitorThread, "vireo-mon", false, mon) < 0) {
        virReportSystemError(errno, "%s", _("cannot create the monitor's thread"));
        virObjectUnref(mon);
        goto error;
    }

    if (vireoMonitorAwaitGreeting(mon) < 0 ||
        vireoMonitorCommand(mon, "qmp_capabilities", NULL, -1, NULL) < 0) {
        vireoMonitorClose(mon);
        virObjectUnref(mon);
        return NULL;
    }

    return mon;

 error:
    opaqueFree(opaque);
    virObjectUnref(mon);
    return NULL;
}

void
vireoMonitorClose(vireoMonitor *mon)
{
    VIR_LOCK_GUARD lock = virObjectLockGuard(mon);

    mon->closing = true;
    shutdown(mon->fd, SHUT_RDWR);
    virCondBroadcast(&mon->replied);
}

static int
vireoMonitorSend(vireoMonitor *mon,
                 const char *text,
                 int fd)
{
    size_t len = strlen(text);
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };

    while (len > 0) {
        struct iovec iov = { .iov_base = (void *)text, .iov_len = len };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t sent;

        if (fd >= 0) {
            struct cmsghdr *cmsg;

            msg.msg_control = control.space;
            msg.msg_controllen = sizeof(control.space);
            cmsg = CMSG_FIRSTHDR(&msg);
            cmsg->cmsg_level = SOL_SOCKET;
            cmsg->cmsg_type = SCM_RIGHTS;
            cmsg->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
        }
        sent = sendmsg(mon->fd, &msg, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            virReportSystemError(errno, "%s", _("cannot write to the monitor"));
            return -1;
        }
        text += sent;
        len -= sent;
        fd = -1;
    }

    return 0;
}

/* Sends @command, whose id becomes ours, and returns the reply to it. */
static virJSONValue *
vireoMonitorExchange(vireoMonitor *mon,
                     virJSONValue *command,
                     int fd)
{
    VIR_LOCK_GUARD lock = virObjectLockGuard(mon);
    g_autofree char *text = NULL;
    g_autofree char *line = NULL;
    virJSONValue *reply;

    if (mon->waitID != 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, "%s", _("the monitor is busy"));
        return NULL;
    }
    if (virJSONValueObjectAdd(&command, "U:id", ++mon->lastID, NULL) < 0 ||
        !(text = virJSONValueToString(command, false)))
        return NULL;
    VIR_DEBUG("command %s", text);
    line = g_strconcat(text, "\r\n", NULL);

    mon->waitID = mon->lastID;
    if (vireoMonitorSend(mon, line, fd) < 0) {
        mon->waitID = 0;
        return NULL;
    }

    while (!mon->reply && !mon->gone && !mon->closing) {
        if (virCondWait(&mon->replied, &mon->parent.lock) < 0)
            break;
    }
    mon->waitID = 0;
    if (!(reply = g_steal_pointer(&mon->reply)))
        virReportError(VIR_ERR_OPERATION_FAILED, "%s", _("the monitor exited"));

    return reply;
}

int
vireoMonitorCommand(vireoMonitor *mon,
                    const char *name,
                    virJSONValue **args,
                    int fd,
                    virJSONValue **result)
{
    g_autoptr(virJSONValue) command = NULL;
    g_autoptr(virJSONValue) reply = NULL;
    g_autoptr(virJSONValue) none = NULL;
    virJSONValue *error;

    if (virJSONValueObjectAdd(&command,
                              "s:execute", name,
                              "A:arguments", args ? args : &none,
                              NULL) < 0 ||
        !(reply = vireoMonitorExchange(mon, command, fd)))
        return -1;

    if ((error = virJSONValueObjectGetObject(reply, "error"))) {
        const char *desc = virJSONValueObjectGetString(error, "desc");

        virReportError(VIR_ERR_OPERATION_FAILED, _("the monitor refused '%s': %s"), name,
                       desc ? desc : _("no reason given"));
        return -1;
    }
    if (result) {
        if (virJSONValueObjectRemoveKey(reply, "return", result) <= 0) {
            virReportError(VIR_ERR_OPERATION_FAILED,
                           _("the monitor's reply to '%s' has no result"), name);
            return -1;
        }
    }

    return 0;
}

char *
vireoMonitorCommandRaw(vireoMonitor *mon,
                       const char *text)
{
    g_autoptr(virJSONValue) command = virJSONValueFromString(text);
    g_autoptr(virJSONValue) reply = NULL;
    g_autoptr(virJSONValue) userID = NULL;

    if (!command)
        return NULL;
    if (!virJSONValueIsObject(command)) {
        virReportError(VIR_ERR_INVALID_ARG, "%s", _("a QMP command is a JSON object"));
        return NULL;
    }

    ignore_value(virJSONValueObjectRemoveKey(command, "id", &userID));
    if (!(reply = vireoMonitorExchange(mon, command, -1)))
        return NULL;
    ignore_value(virJSONValueObjectRemoveKey(reply, "id", NULL));
    if (userID && virJSONValueObjectAppend(reply, "id", &userID) < 0)
        return NULL;

    return virJSONValueToString(reply, false);
}
