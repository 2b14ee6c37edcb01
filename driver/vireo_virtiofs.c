/*
 * vireo_virtiofs.c: virtiofsd, which serves directories of the host to guests
 *
 * The driver listens at the socket, so that it is there before virtiofsd is and only the
 * monitor may connect. virtiofsd serves one connection and ends with it; its process id
 * is kept for a monitor that never connected.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "viralloc.h"
#include "vircommand.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virpidfile.h"
#include "virqemu.h"
#include "virstring.h"

#include "vireo_cgroup.h"
#include "vireo_device_props.h"
#include "vireo_validate.h"
#include "vireo_vhost.h"
#include "vireo_virtiofs.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_virtiofs");

/* Where distributions have it: of QEMU 7, and the one by itself. */
static const char *const vireoVirtiofsPaths[] = {
    "/usr/libexec/virtiofsd",
    "/usr/lib/qemu/virtiofsd",
};

static const char *
vireoVirtiofsBinary(const virDomainFSDef *fs)
{
    size_t i;

    if (fs->binary)
        return fs->binary;
    for (i = 0; i < G_N_ELEMENTS(vireoVirtiofsPaths); i++) {
        if (virFileIsExecutable(vireoVirtiofsPaths[i]))
            return vireoVirtiofsPaths[i];
    }

    virReportError(VIR_ERR_OPERATION_FAILED, "%s",
                   _("virtiofsd is not installed (on Debian 12 it is in qemu-system-common)"));
    return NULL;
}

static char *
vireoVirtiofsSocket(const char *dir,
                    const virDomainFSDef *fs)
{
    return fs->sock ? g_strdup(fs->sock) : g_strdup_printf("%s/%s.sock", dir, fs->info.alias);
}

/* Outside of the monitor's own directory, which it could write to. */
static char *
vireoVirtiofsPidFile(virDomainObj *vm,
                     const virDomainFSDef *fs)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *name = virDomainDefGetShortName(vm->def);

    return g_strdup_printf("%s/%s-%s-virtiofsd.pid", priv->driver->config->stateDir, name,
                           fs->info.alias);
}

/* A listening socket at @path that the monitor's user may connect to; -1 with an error reported. */
static int
vireoVirtiofsListen(vireoDriver *driver,
                    const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    VIR_AUTOCLOSE fd = -1;
    int ret;

    if (virStrcpyStatic(address.sun_path, path) < 0) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("socket path '%s' is too long"), path);
        return -1;
    }
    if (unlink(path) < 0 && errno != ENOENT) {
        virReportSystemError(errno, _("cannot remove '%s'"), path);
        return -1;
    }
    if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 1) < 0 ||
        chmod(path, 0600) < 0 ||
        (driver->privileged && chown(path, driver->config->user, driver->config->group) < 0)) {
        virReportSystemError(errno, _("cannot listen at '%s'"), path);
        return -1;
    }

    ret = fd;
    fd = -1;
    return ret;
}

static void
vireoVirtiofsFormatFlag(virBuffer *buf,
                        const char *name,
                        virTristateSwitch value)
{
    if (value != VIR_TRISTATE_SWITCH_ABSENT)
        virBufferAsprintf(buf, ",%s%s", value == VIR_TRISTATE_SWITCH_ON ? "" : "no_", name);
}

static virCommand *
vireoVirtiofsCommand(const virDomainFSDef *fs,
                     const char *binary,
                     int fd)
{
    g_autoptr(virCommand) cmd = virCommandNew(binary);
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

    virCommandAddArgFormat(cmd, "--fd=%d", fd);
    virCommandPassFD(cmd, fd, VIR_COMMAND_PASS_FD_CLOSE_PARENT);

    virBufferAddLit(&buf, "source=");
    virQEMUBuildBufferEscapeComma(&buf, fs->src->path);
    if (fs->cache != VIR_DOMAIN_FS_CACHE_MODE_DEFAULT)
        virBufferAsprintf(&buf, ",cache=%s", virDomainFSCacheModeTypeToString(fs->cache));
    if (fs->sandbox != VIR_DOMAIN_FS_SANDBOX_MODE_DEFAULT)
        virBufferAsprintf(&buf, ",sandbox=%s", virDomainFSSandboxModeTypeToString(fs->sandbox));
    vireoVirtiofsFormatFlag(&buf, "xattr", fs->xattr);
    vireoVirtiofsFormatFlag(&buf, "flock", fs->flock);
    vireoVirtiofsFormatFlag(&buf, "posix_lock", fs->posix_lock);
    virCommandAddArg(cmd, "-o");
    virCommandAddArgBuffer(cmd, &buf);
    if (fs->thread_pool_size >= 0)
        virCommandAddArgFormat(cmd, "--thread-pool-size=%d", fs->thread_pool_size);

    return g_steal_pointer(&cmd);
}

/* What it says goes to the domain's log. */
static int
vireoVirtiofsOpenLog(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *path = g_strdup_printf("%s/%s-virtiofsd.log", priv->driver->config->logDir,
                                            vm->def->name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd < 0)
        virReportSystemError(errno, _("cannot open '%s'"), path);
    return fd;
}

int
vireoVirtiofsStart(virDomainObj *vm,
                   virDomainFSDef *fs)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *path = vireoVirtiofsSocket(priv->dir, fs);
    g_autofree char *pidfile = vireoVirtiofsPidFile(vm, fs);
    g_autoptr(virCommand) cmd = NULL;
    const char *binary;
    VIR_AUTOCLOSE logFD = -1;
    int fd;

    if (fs->sock)
        return 0;
    if (!virFileIsDir(fs->src->path)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("'%s' is not a directory"), fs->src->path);
        return -1;
    }
    if (!(binary = vireoVirtiofsBinary(fs)) ||
        (logFD = vireoVirtiofsOpenLog(vm)) < 0 ||
        (fd = vireoVirtiofsListen(priv->driver, path)) < 0)
        return -1;

    cmd = vireoVirtiofsCommand(fs, binary, fd);
    virCommandSetOutputFD(cmd, &logFD);
    virCommandSetErrorFD(cmd, &logFD);
    virCommandNonblockingFDs(cmd);
    virCommandSetPidFile(cmd, pidfile);
    virCommandDaemonize(cmd);
    if (virCommandRun(cmd, NULL) < 0) {
        unlink(path);
        return -1;
    }

    return 0;
}

void
vireoVirtiofsStop(virDomainObj *vm,
                  virDomainFSDef *fs)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *pidfile = vireoVirtiofsPidFile(vm, fs);
    g_autofree char *path = NULL;
    virErrorPtr saved;

    if (fs->sock || !fs->info.alias)
        return;

    virErrorPreserveLast(&saved);
    if (virFileExists(pidfile) && virPidFileForceCleanupPath(pidfile) < 0)
        VIR_WARN("virtiofsd of %s of domain %s could not be ended", fs->info.alias, vm->def->name);
    if (priv->dir) {
        path = vireoVirtiofsSocket(priv->dir, fs);
        if (unlink(path) < 0 && errno != ENOENT)
            VIR_WARN("'%s' could not be removed", path);
    }
    virErrorRestore(&saved);
}

virDomainChrSourceDef *
vireoVirtiofsSource(const char *dir,
                    const virDomainFSDef *fs)
{
    virDomainChrSourceDef *source = virDomainChrSourceDefNew(NULL);

    if (!source)
        return NULL;
    source->type = VIR_DOMAIN_CHR_TYPE_UNIX;
    source->data.nix.path = vireoVirtiofsSocket(dir, fs);
    return source;
}

virJSONValue *
vireoVirtiofsProps(const virDomainDef *def,
                   virDomainFSDef *fs)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "vhost-user-fs-pci",
                                                           &fs->info, fs->virtio);
    g_autofree char *chardev = vireoVhostChardevAlias(fs->info.alias);

    if (!props ||
        virJSONValueObjectAdd(&props,
                              "s:chardev", chardev,
                              "s:tag", fs->dst,
                              "P:queue-size", fs->queue_size,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

int
vireoVirtiofsValidate(const virDomainFSDef *fs,
                      const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { fs->type != VIR_DOMAIN_FS_TYPE_MOUNT, "a <filesystem type> other than 'mount'" },
        { fs->fsdriver != VIR_DOMAIN_FS_DRIVER_TYPE_VIRTIOFS,
          "a <filesystem> without <driver type='virtiofs'>" },
        { fs->accessmode != VIR_DOMAIN_FS_ACCESSMODE_PASSTHROUGH &&
          fs->accessmode != VIR_DOMAIN_FS_ACCESSMODE_DEFAULT,
          "a <filesystem accessmode> other than 'passthrough'" },
        { fs->wrpolicy != VIR_DOMAIN_FS_WRPOLICY_DEFAULT, "<driver wrpolicy>" },
        { fs->model == VIR_DOMAIN_FS_MODEL_VIRTIO_TRANSITIONAL,
          "<filesystem model='virtio-transitional'>" },
        { fs->multidevs != VIR_DOMAIN_FS_MULTIDEVS_DEFAULT, "<filesystem multidevs>" },
        { fs->fmode != 0 || fs->dmode != 0, "<filesystem fmode> and dmode" },
        { fs->readonly, "<readonly> of a <filesystem>" },
        { fs->space_hard_limit != 0 || fs->space_soft_limit != 0, "<space_hard_limit>" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;
    if (strlen(fs->dst) > 36) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("the <target dir='%s'> of a <filesystem> is longer than virtio's 36 bytes"),
                       fs->dst);
        return -1;
    }

    return vireoVhostCheckMemory(def, "a <filesystem>");
}
