/*
 * vireo_update.c: new settings of devices that a domain has
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "domain_validate.h"
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
