/*
 * vireo_update.c: new settings of devices that a domain has
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_validate.h"
#include "virbuffer.h"
#include "virerror.h"

#include "vireo_address.h"
#include "vireo_graphics.h"
#include "vireo_memory_device.h"
#include "vireo_update.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

virDomainDeviceDef *
vireoUpdateParse(virDomainDef *def,
                 virDomainXMLOption *xmlopt,
                 const char *xml)
{
    return virDomainDeviceDefParse(xml, def, xmlopt, NULL,
                                   VIR_DOMAIN_DEF_PARSE_INACTIVE |
                                   VIR_DOMAIN_DEF_PARSE_ABI_UPDATE);
}

static int
vireoUpdateConfigDisk(virDomainDef *def,
                      virDomainDeviceDef *dev)
{
    virDomainDeviceDef old = { .type = VIR_DOMAIN_DEVICE_DISK };
    int idx = virDomainDiskIndexByName(def, dev->data.disk->dst, false);

    if (idx < 0) {
        virReportError(VIR_ERR_INVALID_ARG, _("target %s does not exist"), dev->data.disk->dst);
        return -1;
    }

    old.data.disk = def->disks[idx];
    if (virDomainDefCompatibleDevice(def, dev, &old, VIR_DOMAIN_DEVICE_ACTION_UPDATE, false) < 0)
        return -1;

    virDomainDiskDefFree(old.data.disk);
    def->disks[idx] = g_steal_pointer(&dev->data.disk);
    return 0;
}

static int
vireoUpdateConfigNet(virDomainDef *def,
                     virDomainDeviceDef *dev)
{
    virDomainDeviceDef old = { .type = VIR_DOMAIN_DEVICE_NET };
    int idx = virDomainNetFindIdx(def, dev->data.net);

    if (idx < 0)
        return -1;

    old.data.net = def->nets[idx];
    if (virDomainDefCompatibleDevice(def, dev, &old, VIR_DOMAIN_DEVICE_ACTION_UPDATE, false) < 0 ||
        virDomainNetUpdate(def, idx, dev->data.net) < 0)
        return -1;

    virDomainNetDefFree(old.data.net);
    dev->data.net = NULL;
    return 0;
}

int
vireoUpdateConfig(virDomainDef *def,
                  virDomainXMLOption *xmlopt,
                  const char *xml)
{
    g_autoptr(virDomainDeviceDef) dev = vireoUpdateParse(def, xmlopt, xml);
    int rc = -1;

    if (!dev)
        return -1;

    if (dev->type == VIR_DOMAIN_DEVICE_DISK)
        rc = vireoUpdateConfigDisk(def, dev);
    else if (dev->type == VIR_DOMAIN_DEVICE_NET)
        rc = vireoUpdateConfigNet(def, dev);
    else if (dev->type == VIR_DOMAIN_DEVICE_GRAPHICS)
        rc = vireoGraphicsUpdateConfig(def, dev->data.graphics);
    else if (dev->type == VIR_DOMAIN_DEVICE_MEMORY)
        rc = vireoMemoryDeviceUpdateConfig(def, dev->data.memory);
    else
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED,
                       _("Vireo cannot change <%s> of a definition in place"),
                       virDomainDeviceTypeToString(dev->type));

    return rc < 0 ? -1 : vireoAddressAssign(def);
}

static char *
vireoUpdateFormatNet(virDomainXMLOption *xmlopt,
                     virDomainNetDef *net,
                     unsigned int flags)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

    if (virDomainNetDefFormat(&buf, net, xmlopt, flags) < 0)
        return NULL;

    return virBufferContentAndReset(&buf);
}

/* Whether @wanted is @old but for the link, if @old is described with @flags. */
static int
vireoUpdateSameNet(virDomainDef *def,
                   virDomainXMLOption *xmlopt,
                   virDomainNetDef *old,
                   const char *wanted,
                   virDomainNetInterfaceLinkState linkstate,
                   unsigned int flags,
                   bool *same)
{
    g_autofree char *shown = vireoUpdateFormatNet(xmlopt, old, flags);
    g_autofree char *again = NULL;
    g_autoptr(virDomainDeviceDef) dev = NULL;

    if (!shown || !(dev = vireoUpdateParse(def, xmlopt, shown)))
        return -1;
    dev->data.net->linkstate = linkstate;

    if (!(again = vireoUpdateFormatNet(xmlopt, dev->data.net, VIR_DOMAIN_DEF_FORMAT_INACTIVE)))
        return -1;
    *same = STREQ(again, wanted);

    return 0;
}

int
vireoUpdateCheckLink(virDomainDef *def,
                     virDomainXMLOption *xmlopt,
                     virDomainNetDef *old,
                     virDomainNetDef *wanted)
{
    const unsigned int views[] = { 0, VIR_DOMAIN_DEF_FORMAT_INACTIVE };
    g_autofree char *text = NULL;
    bool same = false;
    size_t i;

    if (wanted->info.type == VIR_DOMAIN_DEVICE_ADDRESS_TYPE_NONE) {
        wanted->info.type = old->info.type;
        wanted->info.addr = old->info.addr;
    }
    if (!(text = vireoUpdateFormatNet(xmlopt, wanted, VIR_DOMAIN_DEF_FORMAT_INACTIVE)))
        return -1;

    for (i = 0; i < G_N_ELEMENTS(views) && !same; i++) {
        if (vireoUpdateSameNet(def, xmlopt, old, text, wanted->linkstate, views[i], &same) < 0)
            return -1;
    }
    if (!same) {
        virReportError(VIR_ERR_OPERATION_UNSUPPORTED, "%s",
                       _("Vireo can change nothing but the <link state> of an interface of a running domain"));
        return -1;
    }

    return 0;
}
