/*
 * vireo_monitor.c: the connection to a monitor process (QMP)
 *
 * The protocol is qmp/'s; this puts it into libvirt's terms: virJSONValue, its
 * errors, an object with references. All connections are served by one thread,
 * which only hands events on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "qmp/qmp_client.h"
#include "viralloc.h"
#include "virerror.h"
#include "vireventthread.h"
#include "virlog.h"
#include "virobject.h"
#include "virsecureerase.h"
#include "virthread.h"

#include "vireo_monitor.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_monitor");

#define VIREO_MONITOR_GREETING_MS (30 * 1000)

struct _vireoMonitor {
    virObject parent;

    QmpClient *client;
    int over;           /* the connection's reference is dropped, or about to be */
    const vireoMonitorCallbacks *callbacks;
    void *opaque;
    virFreeCallback opaqueFree;
};

static virClass *vireoMonitorClass;
static virEventThread *vireoMonitorThread;

static void
vireoMonitorDispose(void *obj)
{
    vireoMonitor *mon = obj;

    g_clear_pointer(&mon->client, qmp_client_unref);
    mon->opaqueFree(mon->opaque);
}

static int
vireoMonitorOnceInit(void)
{
    if (!VIR_CLASS_NEW(vireoMonitor, virClassForObject()))
        return -1;

    return (vireoMonitorThread = virEventThreadNew("vireo-qmp")) ? 0 : -1;
}

VIR_ONCE_GLOBAL_INIT(vireoMonitor);

static virJSONValue *
vireoMonitorFromJSON(json_object *json)
{
    return virJSONValueFromString(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
}

static void
vireoMonitorHandleEvent(QmpClient *client G_GNUC_UNUSED,
                        const char *name,
                        json_object *data,
                        int64_t timeUS,
                        void *opaque)
{
    vireoMonitor *mon = opaque;
    g_autoptr(virJSONValue) value = data ? vireoMonitorFromJSON(data) : NULL;

    VIR_DEBUG("event %s", name);
    mon->callbacks->event(name, value, timeUS / G_USEC_PER_SEC, timeUS % G_USEC_PER_SEC,
                          mon->opaque);
}

static void
vireoMonitorHandleClosed(QmpClient *client G_GNUC_UNUSED,
                         const GError *error,
                         void *opaque)
{
    vireoMonitor *mon = opaque;

    VIR_DEBUG("closed: %s", error->message);
    if (g_atomic_int_compare_and_exchange(&mon->over, 0, 1)) {
        mon->callbacks->closed(mon->opaque);
        virObjectUnref(mon);
    }
}

static const QmpClientCallbacks vireoMonitorClientCallbacks = {
    .event = vireoMonitorHandleEvent,
    .closed = vireoMonitorHandleClosed,
};

vireoMonitor *
vireoMonitorOpen(const char *path,
                 const vireoMonitorCallbacks *callbacks,
                 void *opaque,
                 virFreeCallback opaqueFree)
{
    g_autoptr(vireoMonitor) mon = NULL;
    g_autoptr(GError) error = NULL;
    json_object *version;

    if (vireoMonitorInitialize() < 0 ||
        !(mon = virObjectNew(vireoMonitorClass))) {
        opaqueFree(opaque);
        return NULL;
    }
    mon->callbacks = callbacks;
    mon->opaque = opaque;
    mon->opaqueFree = opaqueFree;

    /* The connection has a reference of its own until it is over. */
    virObjectRef(mon);
    if (!(mon->client = qmp_client_new_unix(virEventThreadGetContext(vireoMonitorThread), path,
                                            &vireoMonitorClientCallbacks, mon, &error))) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("cannot connect to the monitor at '%s': %s"),
                       path, error->message);
        virObjectUnref(mon);
        return NULL;
    }

    if (!(version = qmp_client_call(mon->client, "query-version", NULL, -1,
                                    VIREO_MONITOR_GREETING_MS, &error))) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("the monitor does not answer: %s"),
                       error->message);
        vireoMonitorClose(mon);
        return NULL;
    }
    json_object_put(version);

    return g_steal_pointer(&mon);
}

/* In the connections' thread, where no callback is running. */
static gboolean
vireoMonitorReleaseClosed(void *opaque)
{
    virObjectUnref(opaque);
    return G_SOURCE_REMOVE;
}

void
vireoMonitorClose(vireoMonitor *mon)
{
    /* The callback for the end comes once or never: who is first drops the reference. */
    if (g_atomic_int_compare_and_exchange(&mon->over, 0, 1)) {
        qmp_client_close(mon->client);
        g_main_context_invoke(virEventThreadGetContext(vireoMonitorThread),
                              vireoMonitorReleaseClosed, mon);
    }
}

static int
vireoMonitorReportError(const char *name,
                        const GError *error)
{
    if (error->domain == QMP_CLIENT_ERROR)
        virReportError(VIR_ERR_OPERATION_FAILED, _("no reply to '%s': %s"), name, error->message);
    else
        virReportError(VIR_ERR_OPERATION_FAILED, _("the monitor refused '%s': %s"), name,
                       error->message);

    return g_error_matches(error, QMP_CLIENT_ERROR, QMP_CLIENT_ERROR_CLOSED) ? VIREO_MONITOR_GONE : -1;
}

/* Takes @args over. */
static int
vireoMonitorToJSON(virJSONValue **args,
                   json_object **json)
{
    g_autoptr(virJSONValue) owned = args ? g_steal_pointer(args) : NULL;
    g_autofree char *text = NULL;

    *json = NULL;
    if (!owned)
        return 0;
    if (!(text = virJSONValueToString(owned, false)))
        return -1;
    *json = json_tokener_parse(text);
    /* It may hold a password. */
    virSecureEraseString(text);
    if (!*json) {
        virReportError(VIR_ERR_INTERNAL_ERROR, "%s", _("the arguments of a command cannot be sent"));
        return -1;
    }

    return 0;
}

int
vireoMonitorCommand(vireoMonitor *mon,
                    const char *name,
                    virJSONValue **args,
                    int fd,
                    virJSONValue **result)
{
    g_autoptr(GError) error = NULL;
    json_object *arguments;
    json_object *reply;
    int ret = 0;

    if (vireoMonitorToJSON(args, &arguments) < 0)
        return -1;

    VIR_DEBUG("command %s", name);
    if (!(reply = qmp_client_call(mon->client, name, arguments, fd, 0, &error)))
        return vireoMonitorReportError(name, error);

    if (result && !(*result = vireoMonitorFromJSON(reply)))
        ret = -1;
    json_object_put(reply);

    return ret;
}

char *
vireoMonitorCommandRaw(vireoMonitor *mon,
                       const char *text)
{
    g_autoptr(GError) error = NULL;
    json_object *reply = qmp_client_call_raw(mon->client, text, 0, &error);
    char *ret;

    if (!reply) {
        virReportError(VIR_ERR_OPERATION_FAILED, "%s", error->message);
        return NULL;
    }

    ret = g_strdup(json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN |
                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(reply);
    return ret;
}
