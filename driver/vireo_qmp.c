/*
 * vireo_qmp.c: the QMP commands the driver uses, typed
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"

#include "vireo_alias.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* Gives up the domain's lock for a command. */
static vireoMonitor *
vireoQmpEnter(virDomainObj *vm,
              vireoMonitor *mon)
{
    if (!mon) {
        virReportError(VIR_ERR_OPERATION_FAILED,
                       _("the monitor of domain '%s' is gone"), vm->def->name);
        return NULL;
    }

    virObjectRef(mon);
    virObjectUnlock(vm);
    return mon;
}

/* Takes the lock back, and turns success into failure if the domain is gone. */
static int
vireoQmpExit(virDomainObj *vm,
             vireoMonitor *mon,
             int ret)
{
    virObjectUnref(mon);
    virObjectLock(vm);

    if (ret == 0 && !virDomainObjIsActive(vm)) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("domain '%s' stopped meanwhile"), vm->def->name);
        return -1;
    }

    return ret;
}

static int
vireoQmpCommandFD(virDomainObj *vm,
                  const char *name,
                  virJSONValue **args,
                  int fd,
                  virJSONValue **result)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoMonitor *mon = vireoQmpEnter(vm, priv->mon);

    if (!mon)
        return -1;

    return vireoQmpExit(vm, mon, vireoMonitorCommand(mon, name, args, fd, result));
}

int
vireoQmpCommandTo(virDomainObj *vm,
                  vireoMonitor *mon,
                  const char *name,
                  virJSONValue **args,
                  virJSONValue **result)
{
    if (!vireoQmpEnter(vm, mon))
        return -1;

    return vireoQmpExit(vm, mon, vireoMonitorCommand(mon, name, args, -1, result));
}

int
vireoQmpCommand(virDomainObj *vm,
                const char *name,
                virJSONValue **args,
                virJSONValue **result)
{
    return vireoQmpCommandFD(vm, name, args, -1, result);
}

int
vireoQmpRaw(virDomainObj *vm,
            const char *text,
            char **reply)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoMonitor *mon = vireoQmpEnter(vm, priv->mon);

    if (!mon)
        return -1;
    *reply = vireoMonitorCommandRaw(mon, text);

    return vireoQmpExit(vm, mon, *reply ? 0 : -1);
}

int
vireoQmpSimple(virDomainObj *vm,
               const char *name)
{
    return vireoQmpCommand(vm, name, NULL, NULL);
}

int
vireoQmpReportShape(const char *command)
{
    virReportError(VIR_ERR_INTERNAL_ERROR,
                   _("the monitor's reply to '%s' is not as expected"), command);
    return -1;
}

int
vireoQmpGetStatus(virDomainObj *vm,
                  bool *running,
                  char **status)
{
    g_autoptr(virJSONValue) result = NULL;
    const char *name;

    if (vireoQmpCommand(vm, "query-status", NULL, &result) < 0)
        return -1;
    if (!virJSONValueIsObject(result) ||
        virJSONValueObjectGetBoolean(result, "running", running) < 0 ||
        !(name = virJSONValueObjectGetString(result, "status")))
        return vireoQmpReportShape("query-status");

    *status = g_strdup(name);
    return 0;
}

/* Takes one object of a list: 0, or -1 if it is not as expected. */
typedef int (*vireoQmpItemFunc)(virJSONValue *item,
                                void *opaque);

/* A query that is answered with a list of objects. */
static int
vireoQmpForEach(virDomainObj *vm,
                const char *command,
                vireoQmpItemFunc func,
                void *opaque)
{
    g_autoptr(virJSONValue) result = NULL;
    size_t i;

    if (vireoQmpCommand(vm, command, NULL, &result) < 0)
        return -1;
    if (!virJSONValueIsArray(result))
        return vireoQmpReportShape(command);

    for (i = 0; i < virJSONValueArraySize(result); i++) {
        virJSONValue *item = virJSONValueArrayGet(result, i);

        if (!virJSONValueIsObject(item) || func(item, opaque) < 0)
            return vireoQmpReportShape(command);
    }

    return 0;
}

static int
vireoQmpTakeVcpu(virJSONValue *cpu,
                 void *opaque)
{
    vireoDomainObjPrivate *priv = opaque;
    unsigned int idx;
    int thread;

    if (virJSONValueObjectGetNumberUint(cpu, "cpu-index", &idx) < 0 ||
        virJSONValueObjectGetNumberInt(cpu, "thread-id", &thread) < 0 || idx >= priv->nvcpuThreads)
        return -1;
    priv->vcpuThreads[idx] = thread;

    return 0;
}

static int
vireoQmpGetVcpuThreads(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    g_free(priv->vcpuThreads);
    priv->nvcpuThreads = virDomainDefGetVcpusMax(vm->def);
    priv->vcpuThreads = g_new0(pid_t, priv->nvcpuThreads);

    return vireoQmpForEach(vm, "query-cpus-fast", vireoQmpTakeVcpu, priv);
}

static int
vireoQmpTakeIOThread(virJSONValue *iothread,
                     void *opaque)
{
    const char *id = virJSONValueObjectGetString(iothread, "id");
    int thread;

    if (!id || virJSONValueObjectGetNumberInt(iothread, "thread-id", &thread) < 0)
        return -1;
    g_hash_table_insert(opaque, g_strdup(id), GINT_TO_POINTER(thread));

    return 0;
}

static int
vireoQmpGetIOThreads(virDomainObj *vm)
{
    g_autoptr(GHashTable) threads = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    size_t i;

    if (vireoQmpForEach(vm, "query-iothreads", vireoQmpTakeIOThread, threads) < 0)
        return -1;

    for (i = 0; i < vm->def->niothreadids; i++) {
        virDomainIOThreadIDDef *iothread = vm->def->iothreadids[i];
        g_autofree char *id = vireoAliasIOThread(iothread->iothread_id);

        iothread->thread_id = GPOINTER_TO_INT(g_hash_table_lookup(threads, id));
    }

    return 0;
}

static int
vireoQmpTakePolling(virJSONValue *iothread,
                    void *opaque)
{
    const char *id = virJSONValueObjectGetString(iothread, "id");
    g_autofree vireoQmpPolling *polling = g_new0(vireoQmpPolling, 1);

    if (!id ||
        virJSONValueObjectGetNumberUlong(iothread, "poll-max-ns", &polling->maxNS) < 0 ||
        virJSONValueObjectGetNumberUlong(iothread, "poll-grow", &polling->grow) < 0 ||
        virJSONValueObjectGetNumberUlong(iothread, "poll-shrink", &polling->shrink) < 0)
        return -1;
    g_hash_table_insert(opaque, g_strdup(id), g_steal_pointer(&polling));

    return 0;
}

int
vireoQmpGetPolling(virDomainObj *vm,
                   GHashTable **polling)
{
    g_autoptr(GHashTable) hash = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    if (vireoQmpForEach(vm, "query-iothreads", vireoQmpTakePolling, hash) < 0)
        return -1;

    *polling = g_steal_pointer(&hash);
    return 0;
}

int
vireoQmpGetThreads(virDomainObj *vm)
{
    if (vireoQmpGetVcpuThreads(vm) < 0)
        return -1;

    return vm->def->niothreadids > 0 ? vireoQmpGetIOThreads(vm) : 0;
}

static void
vireoQmpChardevFree(void *opaque)
{
    vireoQmpChardev *chardev = opaque;

    g_free(chardev->pty);
    g_free(chardev);
}

static int
vireoQmpTakeChardev(virJSONValue *json,
                    void *opaque)
{
    const char *label = virJSONValueObjectGetString(json, "label");
    const char *filename = virJSONValueObjectGetString(json, "filename");
    vireoQmpChardev *chardev;
    bool open;

    if (!label || !filename || virJSONValueObjectGetBoolean(json, "frontend-open", &open) < 0)
        return -1;

    chardev = g_new0(vireoQmpChardev, 1);
    chardev->pty = g_strdup(STRSKIP(filename, "pty:"));
    chardev->open = open;
    g_hash_table_insert(opaque, g_strdup(label), chardev);

    return 0;
}

int
vireoQmpGetChardevs(virDomainObj *vm,
                    GHashTable **chardevs)
{
    g_autoptr(GHashTable) hash = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                       vireoQmpChardevFree);

    if (vireoQmpForEach(vm, "query-chardev", vireoQmpTakeChardev, hash) < 0)
        return -1;

    *chardevs = g_steal_pointer(&hash);
    return 0;
}

int
vireoQmpAdd(virDomainObj *vm,
            const char *command,
            virJSONValue *props)
{
    g_autoptr(virJSONValue) args = props;

    if (!args)
        return -1;

    return vireoQmpCommand(vm, command, &args, NULL);
}

int
vireoQmpDel(virDomainObj *vm,
            const char *command,
            const char *member,
            const char *name)
{
    g_autoptr(virJSONValue) args = virJSONValueNewObject();

    if (virJSONValueObjectAppendString(args, member, name) < 0)
        return -1;

    return vireoQmpCommand(vm, command, &args, NULL);
}

int
vireoQmpSendFD(virDomainObj *vm,
               const char *name,
               int fd)
{
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "s:fdname", name, NULL) < 0)
        return -1;

    return vireoQmpCommandFD(vm, "getfd", &args, fd, NULL);
}

int
vireoQmpSetLink(virDomainObj *vm,
                const char *alias,
                bool up)
{
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "s:name", alias, "b:up", up, NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "set_link", &args, NULL);
}

int
vireoQmpBlockResize(virDomainObj *vm,
                    const char *node,
                    unsigned long long bytes)
{
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "s:node-name", node, "U:size", bytes, NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "block_resize", &args, NULL);
}

static int
vireoQmpTakeDiskError(virJSONValue *drive,
                      void *opaque)
{
    const char *status = virJSONValueObjectGetString(drive, "io-status");
    virJSONValue *inserted;
    const char *node;

    if (!status || STREQ(status, "ok"))
        return 0;
    if (!(inserted = virJSONValueObjectGetObject(drive, "inserted")) ||
        !(node = virJSONValueObjectGetString(inserted, "node-name")))
        return -1;
    g_hash_table_insert(opaque, g_strdup(node),
                        GINT_TO_POINTER(STREQ(status, "nospace") ?
                                        VIR_DOMAIN_DISK_ERROR_NO_SPACE :
                                        VIR_DOMAIN_DISK_ERROR_UNSPEC));

    return 0;
}

int
vireoQmpGetDiskErrors(virDomainObj *vm,
                      GHashTable **errors)
{
    g_autoptr(GHashTable) hash = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    if (vireoQmpForEach(vm, "query-block", vireoQmpTakeDiskError, hash) < 0)
        return -1;

    *errors = g_steal_pointer(&hash);
    return 0;
}

int
vireoQmpSetStatsPeriod(virDomainObj *vm,
                       unsigned int period)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s",
                                            vm->def->memballoon->info.alias);

    if (virJSONValueObjectAdd(&args,
                              "s:path", path,
                              "s:property", "guest-stats-polling-interval",
                              "u:value", period,
                              NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "qom-set", &args, NULL);
}

int
vireoQmpSetPolling(virDomainObj *vm,
                   unsigned int iothread,
                   const char *property,
                   unsigned long long value)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autofree char *id = vireoAliasIOThread(iothread);
    g_autofree char *path = g_strdup_printf("/objects/%s", id);

    if (virJSONValueObjectAdd(&args,
                              "s:path", path,
                              "s:property", property,
                              "U:value", value,
                              NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "qom-set", &args, NULL);
}

int
vireoQmpSetRequestedSize(virDomainObj *vm,
                         const char *alias,
                         unsigned long long kib)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", alias);

    if (virJSONValueObjectAdd(&args,
                              "s:path", path,
                              "s:property", "requested-size",
                              "U:value", kib * 1024,
                              NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "qom-set", &args, NULL);
}

static int
vireoQmpTakeMemoryDevice(virJSONValue *device,
                         void *opaque)
{
    virDomainDef *def = opaque;
    virJSONValue *data = virJSONValueObjectGetObject(device, "data");
    unsigned long long size;
    size_t i;

    if (!data || virJSONValueObjectGetNumberUlong(data, "size", &size) < 0)
        return -1;

    for (i = 0; i < def->nmems; i++) {
        if (STREQ_NULLABLE(def->mems[i]->info.alias, virJSONValueObjectGetString(data, "id")))
            def->mems[i]->currentsize = size / 1024;
    }

    return 0;
}

int
vireoQmpGetMemoryDevices(virDomainObj *vm)
{
    return vireoQmpForEach(vm, "query-memory-devices", vireoQmpTakeMemoryDevice, vm->def);
}

int
vireoQmpSetBalloon(virDomainObj *vm,
                   unsigned long long kib)
{
    g_autoptr(virJSONValue) args = NULL;

    if (virJSONValueObjectAdd(&args, "U:value", kib * 1024, NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "balloon", &args, NULL);
}

int
vireoQmpGetBalloon(virDomainObj *vm,
                   unsigned long long *kib)
{
    g_autoptr(virJSONValue) result = NULL;
    unsigned long long bytes;

    if (vireoQmpCommand(vm, "query-balloon", NULL, &result) < 0)
        return -1;
    if (!virJSONValueIsObject(result) ||
        virJSONValueObjectGetNumberUlong(result, "actual", &bytes) < 0)
        return vireoQmpReportShape("query-balloon");

    *kib = bytes / 1024;
    return 0;
}
