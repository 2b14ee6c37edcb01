/*
 * vireo_log.c: the log file of a domain's monitor
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <unistd.h>

#include "log_manager.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virstring.h"

#include "vireo_log.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* What of a failed start's log is quoted in the error. */
#define VIREO_LOG_QUOTE 2048
#define VIREO_LOG_READ (256 * 1024)

#define VIREO_LOG_TRIES 100
#define VIREO_LOG_WAIT_US (20 * 1000)

char *
vireoLogPath(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return g_strdup_printf("%s/%s.log", priv->driver->config->logDir, vm->def->name);
}

static int
vireoLogOpenPath(virDomainObj *vm,
                 const char *path,
                 off_t *start)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    int fd;

    if (priv->driver->config->stdioLogd) {
        g_autoptr(virLogManager) manager = virLogManagerNew(priv->driver->privileged);
        ino_t inode;

        if (!manager)
            return -1;
        return virLogManagerDomainOpenLogFile(manager, VIREO_DRIVER_NAME, vm->def->uuid,
                                              vm->def->name, path, 0, &inode, start);
    }

    if ((fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0 ||
        (*start = lseek(fd, 0, SEEK_END)) < 0) {
        virReportSystemError(errno, _("cannot open log file '%s'"), path);
        VIR_FORCE_CLOSE(fd);
        return -1;
    }

    return fd;
}

int
vireoLogOpen(virDomainObj *vm,
             off_t *start)
{
    g_autofree char *path = vireoLogPath(vm);

    return vireoLogOpenPath(vm, path, start);
}

int
vireoLogOpenHelper(virDomainObj *vm,
                   const char *suffix)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *path = g_strdup_printf("%s/%s.%s", priv->driver->config->logDir,
                                            vm->def->name, suffix);
    size_t tries;
    off_t start;
    int fd;

    /* A log is virtlogd's until that has seen the end of the process before. */
    for (tries = 0; (fd = vireoLogOpenPath(vm, path, &start)) < 0; tries++) {
        if (tries == VIREO_LOG_TRIES || !virLastErrorIsSystemErrno(EBUSY))
            return -1;
        virResetLastError();
        g_usleep(VIREO_LOG_WAIT_US);
    }

    return fd;
}

void
vireoLogReportStart(virDomainObj *vm,
                    off_t start)
{
    g_autofree char *path = vireoLogPath(vm);
    VIR_AUTOCLOSE fd = open(path, O_RDONLY | O_CLOEXEC);
    g_autofree char *text = g_malloc(VIREO_LOG_READ + 1);
    const char *said = NULL;
    ssize_t got;
    size_t i;

    if (fd < 0)
        return;

    /* virtlogd may still be copying. */
    for (i = 0; i < VIREO_LOG_TRIES && !said; i++) {
        if (i > 0)
            g_usleep(VIREO_LOG_WAIT_US);
        if ((got = pread(fd, text, VIREO_LOG_READ, start)) < 0)
            return;
        text[got] = '\0';
        virTrimSpaces(text, NULL);
        /* The first line is the command. */
        said = strchr(text, '\n');
    }
    if (!said)
        return;

    said++;
    if (strlen(said) > VIREO_LOG_QUOTE)
        said += strlen(said) - VIREO_LOG_QUOTE;
    virReportError(VIR_ERR_OPERATION_FAILED, _("domain '%s' did not start: %s"),
                   vm->def->name, said);
}
