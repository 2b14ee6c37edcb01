/*
 * vireo_driver_graphics.c: entry points for screens and keyboards
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "viraccessapicheck.h"
#include "viralloc.h"
#include "virerror.h"
#include "virfdstream.h"
#include "virfile.h"
#include "virkeycode.h"
#include "virlog.h"

#include "vireo_driver.h"
#include "vireo_qmp.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_driver_graphics");

/* The display device that screen @screen is of. */
static const virDomainVideoDef *
vireoDomainFindScreen(virDomainObj *vm,
                      unsigned int screen)
{
    const virDomainVideoDef *video = vm->def->nvideos > 0 ? vm->def->videos[0] : NULL;

    if (!video || video->type == VIR_DOMAIN_VIDEO_TYPE_NONE) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s",
                       _("the domain has no screen to take a picture of"));
        return NULL;
    }
    if (screen > 0) {
        virReportError(VIR_ERR_INVALID_ARG, _("the domain has no screen %u"), screen);
        return NULL;
    }

    return video;
}

/* Has the monitor write a picture to @path, and lets @stream read it. */
static int
vireoDomainTakePicture(virDomainObj *vm,
                       const virDomainVideoDef *video,
                       const char *path,
                       virStreamPtr stream)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virJSONValue) args = NULL;

    if (virSecurityManagerDomainSetPathLabel(priv->driver->securityManager, vm->def, path, false) < 0 ||
        virJSONValueObjectAdd(&args,
                              "s:filename", path,
                              "s:device", video->info.alias,
                              "s:format", "png",
                              NULL) < 0 ||
        vireoQmpCommand(vm, "screendump", &args, NULL) < 0)
        return -1;

    return virFDStreamOpenFile(stream, path, 0, 0, O_RDONLY);
}

char *
vireoDomainScreenshot(virDomainPtr dom,
                      virStreamPtr stream,
                      unsigned int screen,
                      unsigned int flags)
{
    virDomainObj *vm;
    const virDomainVideoDef *video;
    g_autofree char *path = NULL;
    VIR_AUTOCLOSE fd = -1;
    char *ret = NULL;

    virCheckFlags(0, NULL);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return NULL;

    if (virDomainScreenshotEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    if (!(video = vireoDomainFindScreen(vm, screen)))
        goto endjob;
    path = vireoDomainPath(vm, "screenshot.XXXXXX");
    if ((fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600)) < 0) {
        virReportSystemError(errno, _("cannot create '%s'"), path);
        goto endjob;
    }
    if (vireoDomainTakePicture(vm, video, path, stream) == 0)
        ret = g_strdup("image/png");
    unlink(path);

 endjob:
    virDomainObjEndJob(vm);
 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

static int
vireoDomainSendKeyJob(virDomainObj *vm,
                      unsigned int codeset,
                      unsigned int holdtime,
                      const unsigned int *keycodes,
                      int nkeycodes)
{
    g_autoptr(virJSONValue) keys = virJSONValueNewArray();
    g_autoptr(virJSONValue) args = NULL;
    int i;

    for (i = 0; i < nkeycodes; i++) {
        g_autoptr(virJSONValue) key = NULL;
        int code = codeset == VIR_KEYCODE_SET_QNUM ? (int)keycodes[i] :
            virKeycodeValueTranslate(codeset, VIR_KEYCODE_SET_QNUM, keycodes[i]);

        if (code < 0) {
            virReportError(VIR_ERR_INVALID_ARG, _("keycode %u of set %s has no scan code"),
                           keycodes[i], virKeycodeSetTypeToString(codeset));
            return -1;
        }
        if (virJSONValueObjectAdd(&key, "s:type", "number", "i:data", code, NULL) < 0 ||
            virJSONValueArrayAppend(keys, &key) < 0)
            return -1;
    }

    if (virJSONValueObjectAdd(&args, "a:keys", &keys, "p:hold-time", holdtime, NULL) < 0)
        return -1;

    return vireoQmpCommand(vm, "send-key", &args, NULL);
}

int
vireoDomainSendKey(virDomainPtr dom,
                   unsigned int codeset,
                   unsigned int holdtime,
                   unsigned int *keycodes,
                   int nkeycodes,
                   unsigned int flags)
{
    virDomainObj *vm;
    int ret = -1;

    virCheckFlags(0, -1);

    if (codeset >= VIR_KEYCODE_SET_LAST) {
        virReportError(VIR_ERR_INVALID_ARG, _("there is no codeset %u"), codeset);
        return -1;
    }

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainSendKeyEnsureACL(dom->conn, vm->def) >= 0 &&
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) == 0) {
        ret = vireoDomainSendKeyJob(vm, codeset, holdtime, keycodes, nkeycodes);
        virDomainObjEndJob(vm);
    }

    virDomainObjEndAPI(&vm);
    return ret;
}

/* Hands @fd, one end of a connection, to the VNC server. */
static int
vireoDomainAddViewer(virDomainObj *vm,
                     unsigned int idx,
                     int fd,
                     bool skipAuth)
{
    const char *name = "graphics";
    g_autoptr(virJSONValue) args = NULL;

    if (idx >= vm->def->ngraphics) {
        virReportError(VIR_ERR_INTERNAL_ERROR, _("No graphics backend with index %d"), idx);
        return -1;
    }
    if (virJSONValueObjectAdd(&args,
                              "s:protocol", "vnc",
                              "s:fdname", name,
                              "b:skipauth", skipAuth,
                              NULL) < 0 ||
        vireoQmpSendFD(vm, name, fd) < 0)
        return -1;

    return vireoQmpCommand(vm, "add_client", &args, NULL);
}

int
vireoDomainOpenGraphics(virDomainPtr dom,
                        unsigned int idx,
                        int fd,
                        unsigned int flags)
{
    virDomainObj *vm;
    vireoDomainObjPrivate *priv;
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainOpenGraphicsEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    priv = vm->privateData;
    if (virSecurityManagerSetImageFDLabel(priv->driver->securityManager, vm->def, fd) == 0)
        ret = vireoDomainAddViewer(vm, idx, fd, flags & VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH);
    virDomainObjEndJob(vm);

 cleanup:
    virDomainObjEndAPI(&vm);
    return ret;
}

/* A pair of connected sockets, of which the second is the monitor's. */
static int
vireoDomainMakePair(virDomainObj *vm,
                    int pair[2])
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virSecurityManager *manager = priv->driver->securityManager;
    int rc;

    if (virSecurityManagerSetSocketLabel(manager, vm->def) < 0)
        return -1;
    rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    if (rc < 0)
        virReportSystemError(errno, "%s", _("cannot make a pair of sockets"));
    if (virSecurityManagerClearSocketLabel(manager, vm->def) < 0)
        rc = -1;

    return rc;
}

int
vireoDomainOpenGraphicsFD(virDomainPtr dom,
                          unsigned int idx,
                          unsigned int flags)
{
    virDomainObj *vm;
    int pair[2] = { -1, -1 };
    int ret = -1;

    virCheckFlags(VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, -1);

    if (!(vm = vireoDomainObjFromDomain(dom)))
        return -1;

    if (virDomainOpenGraphicsFdEnsureACL(dom->conn, vm->def) < 0 ||
        vireoDomainBeginActiveJob(vm, VIR_JOB_MODIFY) < 0)
        goto cleanup;

    if (vireoDomainMakePair(vm, pair) == 0 &&
        vireoDomainAddViewer(vm, idx, pair[1], flags & VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH) == 0) {
        ret = pair[0];
        pair[0] = -1;
    }
    virDomainObjEndJob(vm);

 cleanup:
    VIR_FORCE_CLOSE(pair[0]);
    VIR_FORCE_CLOSE(pair[1]);
    virDomainObjEndAPI(&vm);
    return ret;
}
