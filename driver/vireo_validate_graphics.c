/*
 * vireo_validate_graphics.c: refuses screens, keyboards and viewers that Vireo does not have
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "virerror.h"

#include "vireo_graphics.h"
#include "vireo_validate.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* What bochs-display takes, KiB. */
#define VIREO_VIDEO_MEMORY_MIN (4 * 1024)
#define VIREO_VIDEO_MEMORY_MAX (256 * 1024)

static bool
vireoValidateHasScreen(const virDomainDef *def)
{
    return def->nvideos > 0 && def->videos[0]->type != VIR_DOMAIN_VIDEO_TYPE_NONE;
}

int
vireoValidateVideo(const virDomainVideoDef *video,
                   const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { def->nvideos > 1, "more than one <video>" },
        { video->backend == VIR_DOMAIN_VIDEO_BACKEND_TYPE_VHOSTUSER, "<video><driver name='vhostuser'>" },
        { video->heads > 1, "<video><model heads> above 1" },
        { video->accel && (video->accel->accel2d == VIR_TRISTATE_BOOL_YES ||
                           video->accel->accel3d == VIR_TRISTATE_BOOL_YES), "<video><acceleration>" },
        { video->driver && video->driver->vgaconf, "<video><driver vgaconf>" },
        { video->ram || video->vram64 || video->vgamem,
          "<video><model ram>, vram64 and vgamem (only vram)" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;
    if (video->type == VIR_DOMAIN_VIDEO_TYPE_NONE)
        return 0;
    if (video->type == VIR_DOMAIN_VIDEO_TYPE_VIRTIO) {
        const vireoValidateRefusal virtioRefusals[] = {
            { video->vram != 0, "<video><model type='virtio' vram>" },
        };

        return vireoValidateRefuse(virtioRefusals);
    }
    if (video->type != VIR_DOMAIN_VIDEO_TYPE_BOCHS) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support <video><model type='%s'>, only 'virtio', 'bochs' and 'none'"),
                       virDomainVideoTypeToString(video->type));
        return -1;
    }
    if (video->vram < VIREO_VIDEO_MEMORY_MIN || video->vram > VIREO_VIDEO_MEMORY_MAX) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("<video><model vram='%u'> is not from %d to %d"), video->vram,
                       VIREO_VIDEO_MEMORY_MIN, VIREO_VIDEO_MEMORY_MAX);
        return -1;
    }

    return 0;
}

int
vireoValidateInput(const virDomainInputDef *input,
                   const virDomainDef *def)
{
    bool known = input->type == VIR_DOMAIN_INPUT_TYPE_KBD || input->type == VIR_DOMAIN_INPUT_TYPE_MOUSE ||
        (input->type == VIR_DOMAIN_INPUT_TYPE_TABLET && input->bus != VIR_DOMAIN_INPUT_BUS_PS2);
    const vireoValidateRefusal refusals[] = {
        { input->model == VIR_DOMAIN_INPUT_MODEL_VIRTIO_TRANSITIONAL,
          "<input model='virtio-transitional'>" },
        { !known, "an <input> of this type and bus; there are keyboard, mouse and tablet on buses "
                  "'virtio' and 'usb', keyboard and mouse on bus 'ps2'" },
        { input->bus != VIR_DOMAIN_INPUT_BUS_VIRTIO && input->bus != VIR_DOMAIN_INPUT_BUS_USB &&
          input->bus != VIR_DOMAIN_INPUT_BUS_PS2,
          "an <input bus> other than 'virtio', 'usb' and 'ps2'" },
        { input->bus == VIR_DOMAIN_INPUT_BUS_PS2 && !vireoValidateHasScreen(def),
          "<input bus='ps2'> in a domain without <video>" },
    };

    return vireoValidateRefuse(refusals);
}

static int
vireoValidateListen(const virDomainGraphicsDef *graphics)
{
    int port = graphics->data.vnc.port;
    const vireoValidateRefusal refusals[] = {
        { graphics->nListens != 1, "more than one <graphics><listen>" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;
    if (port > 0 && (port < VIREO_VNC_PORT_MIN || port > VIREO_VNC_PORT_MAX)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("<graphics port='%d'> is not from %d to %d"),
                       port, VIREO_VNC_PORT_MIN, VIREO_VNC_PORT_MAX);
        return -1;
    }

    return 0;
}

int
vireoValidateGraphics(const virDomainGraphicsDef *graphics,
                      const virDomainDef *def)
{
    if (graphics->type != VIR_DOMAIN_GRAPHICS_TYPE_VNC) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("Vireo does not support <graphics type='%s'>, only 'vnc'"),
                       virDomainGraphicsTypeToString(graphics->type));
        return -1;
    }

    const vireoValidateRefusal refusals[] = {
        { def->ngraphics > 1, "more than one <graphics>" },
        { !vireoValidateHasScreen(def), "<graphics> in a domain without <video>" },
        { graphics->data.vnc.websocket != 0, "<graphics websocket>" },
        { graphics->data.vnc.keymap && STRNEQ(graphics->data.vnc.keymap, "en-us"),
          "<graphics keymap> other than 'en-us': clients send keys, or letters of a US keyboard" },
        { graphics->data.vnc.powerControl == VIR_TRISTATE_BOOL_YES, "<graphics powerControl>" },
        { graphics->data.vnc.audioId > 0, "<graphics><audio>" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;

    return vireoValidateListen(graphics);
}
