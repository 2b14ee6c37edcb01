/*
 * vireo_sysinfo.c: what SMBIOS and fw_cfg tell a guest by its XML
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virqemu.h"
#include "virsysinfo.h"

#include "vireo_firmware.h"
#include "vireo_sysinfo.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

typedef struct {
    const char *key;
    const char *value;      /* NULL: not said */
} vireoSysinfoText;

/* -smbios type=TYPE with what there is of @texts; nothing if there is nothing. */
static void
vireoSysinfoAdd(virCommand *cmd,
                const char *type,
                const vireoSysinfoText *texts,
                size_t ntexts)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    size_t i;

    for (i = 0; i < ntexts; i++) {
        if (!texts[i].value)
            continue;
        virBufferAsprintf(&buf, ",%s=", texts[i].key);
        virQEMUBuildBufferEscapeComma(&buf, texts[i].value);
    }
    if (virBufferUse(&buf) == 0)
        return;

    virCommandAddArg(cmd, "-smbios");
    virCommandAddArgFormat(cmd, "type=%s%s", type, virBufferCurrentContent(&buf));
}
#define ADD(cmd, type, texts) vireoSysinfoAdd(cmd, type, texts, G_N_ELEMENTS(texts))

static void
vireoSysinfoAddSystem(virCommand *cmd,
                      const virSysinfoSystemDef *sys,
                      bool withUUID)
{
    const vireoSysinfoText texts[] = {
        { "manufacturer", sys->manufacturer },
        { "product", sys->product },
        { "version", sys->version },
        { "serial", sys->serial },
        { "uuid", withUUID ? sys->uuid : NULL },
        { "sku", sys->sku },
        { "family", sys->family },
    };

    ADD(cmd, "1", texts);
}

static void
vireoSysinfoAddBIOS(virCommand *cmd,
                    const virSysinfoBIOSDef *bios)
{
    const vireoSysinfoText texts[] = {
        { "vendor", bios->vendor },
        { "version", bios->version },
        { "date", bios->date },
        { "release", bios->release },
    };

    ADD(cmd, "0", texts);
}

static void
vireoSysinfoAddBoard(virCommand *cmd,
                     const virSysinfoBaseBoardDef *board)
{
    const vireoSysinfoText texts[] = {
        { "manufacturer", board->manufacturer },
        { "product", board->product },
        { "version", board->version },
        { "serial", board->serial },
        { "asset", board->asset },
        { "location", board->location },
    };

    ADD(cmd, "2", texts);
}

static void
vireoSysinfoAddChassis(virCommand *cmd,
                       const virSysinfoChassisDef *chassis)
{
    const vireoSysinfoText texts[] = {
        { "manufacturer", chassis->manufacturer },
        { "version", chassis->version },
        { "serial", chassis->serial },
        { "asset", chassis->asset },
        { "sku", chassis->sku },
    };

    ADD(cmd, "3", texts);
}

static void
vireoSysinfoAddSource(virCommand *cmd,
                      const virSysinfoDef *source,
                      bool host)
{
    size_t i;

    if (source->bios)
        vireoSysinfoAddBIOS(cmd, source->bios);
    /* The host's UUID is the host's. */
    if (source->system)
        vireoSysinfoAddSystem(cmd, source->system, !host);
    for (i = 0; i < source->nbaseBoard; i++)
        vireoSysinfoAddBoard(cmd, &source->baseBoard[i]);
    if (source->chassis)
        vireoSysinfoAddChassis(cmd, source->chassis);
    for (i = 0; source->oemStrings && i < source->oemStrings->nvalues; i++) {
        const vireoSysinfoText texts[] = { { "value", source->oemStrings->values[i] } };

        ADD(cmd, "11", texts);
    }
}

static const virSysinfoDef *
vireoSysinfoFind(const virDomainDef *def,
                 virSysinfoType type)
{
    size_t i;

    for (i = 0; i < def->nsysinfo; i++) {
        if (def->sysinfo[i]->type == type)
            return def->sysinfo[i];
    }

    return NULL;
}

static int
vireoSysinfoAddSMBIOS(virCommand *cmd,
                      const virDomainDef *def)
{
    g_autoptr(virSysinfoDef) host = NULL;

    switch (def->os.smbios_mode) {
    case VIR_DOMAIN_SMBIOS_SYSINFO:
        vireoSysinfoAddSource(cmd, vireoSysinfoFind(def, VIR_SYSINFO_SMBIOS), false);
        return 0;
    case VIR_DOMAIN_SMBIOS_HOST:
        if (!(host = virSysinfoRead())) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                           _("Host SMBIOS information is not available"));
            return -1;
        }
        vireoSysinfoAddSource(cmd, host, true);
        return 0;
    default:
        return 0;
    }
}

static void
vireoSysinfoAddFile(virCommand *cmd,
                    const virSysinfoFWCfgDef *file)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

    virBufferAddLit(&buf, "name=");
    virQEMUBuildBufferEscapeComma(&buf, file->name);
    virBufferAdd(&buf, file->value ? ",string=" : ",file=", -1);
    virQEMUBuildBufferEscapeComma(&buf, file->value ? file->value : file->file);
    virCommandAddArg(cmd, "-fw_cfg");
    virCommandAddArgBuffer(cmd, &buf);
}

int
vireoSysinfoAddArgs(virCommand *cmd,
                    const virDomainDef *def)
{
    const virSysinfoDef *files = vireoSysinfoFind(def, VIR_SYSINFO_FWCFG);
    size_t i;

    for (i = 0; files && i < files->nfw_cfgs; i++)
        vireoSysinfoAddFile(cmd, &files->fw_cfgs[i]);

    return vireoSysinfoAddSMBIOS(cmd, def);
}

int
vireoSysinfoValidate(const virDomainDef *def)
{
    const virSysinfoDef *smbios = vireoSysinfoFind(def, VIR_SYSINFO_SMBIOS);
    const virSysinfoDef *files = vireoSysinfoFind(def, VIR_SYSINFO_FWCFG);
    const char *what = NULL;
    size_t i;

    if (files && vireoFirmwareBootsDirectly(def))
        what = "<sysinfo type='fwcfg'> without firmware";
    else if (def->os.smbios_mode == VIR_DOMAIN_SMBIOS_SYSINFO && !smbios)
        what = "<smbios mode='sysinfo'> without <sysinfo type='smbios'>";
    for (i = 0; files && i < files->nfw_cfgs; i++) {
        if (!g_str_has_prefix(files->fw_cfgs[i].name, "opt/"))
            what = "<entry name> in <sysinfo type='fwcfg'> that does not begin with 'opt/'";
    }
    if (what) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("Vireo does not support %s"), what);
        return -1;
    }

    return 0;
}
