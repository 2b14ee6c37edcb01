/*
 * vireo_vhost.c: devices that another process or the kernel serves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "virerror.h"

#include "vireo_alias.h"
#include "vireo_device_props.h"
#include "vireo_firmware.h"
#include "vireo_validate.h"
#include "vireo_vhost.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

bool
vireoVhostIsDisk(const virDomainDiskDef *disk)
{
    return virStorageSourceGetActualType(disk->src) == VIR_STORAGE_TYPE_VHOST_USER;
}

char *
vireoVhostChardevAlias(const char *alias)
{
    return g_strdup_printf("chr-vu-%s", alias);
}

int
vireoVhostCheckMemory(const virDomainDef *def,
                      const char *what)
{
    if (def->mem.access == VIR_DOMAIN_MEMORY_ACCESS_SHARED)
        return 0;

    virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                   _("%s needs memory that another process can share: <memoryBacking><access mode='shared'/>"),
                   what);
    return -1;
}

virJSONValue *
vireoVhostDiskProps(const virDomainDef *def,
                    virDomainDiskDef *disk)
{
    g_autoptr(virJSONValue) props = vireoDevicePropsVirtio(def, "vhost-user-blk-pci",
                                                           &disk->info, disk->virtio);
    g_autofree char *chardev = vireoVhostChardevAlias(disk->info.alias);

    /* Without a number the back end must have a queue for each vCPU, which few offer unasked. */
    if (!props ||
        virJSONValueObjectAdd(&props,
                              "s:chardev", chardev,
                              "u:num-queues", disk->queues ? disk->queues : 1,
                              "p:queue-size", disk->queue_size,
                              "p:bootindex", vireoFirmwareBootIndex(def, &disk->info),
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoVhostNetdevProps(virDomainNetDef *net)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *id = vireoAliasNetdev(net);
    g_autofree char *chardev = vireoVhostChardevAlias(net->info.alias);

    if (virJSONValueObjectAdd(&props,
                              "s:type", "vhost-user",
                              "s:id", id,
                              "s:chardev", chardev,
                              "p:queues", net->driver.virtio.queues,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

int
vireoVhostValidateNet(const virDomainNetDef *net,
                      const virDomainDef *def)
{
    const vireoValidateRefusal refusals[] = {
        { net->driver.virtio.name != VIR_DOMAIN_NET_DRIVER_TYPE_DEFAULT,
          "<driver name> of an interface of type 'vhostuser'" },
        { net->bandwidth != NULL, "<bandwidth> of an interface of type 'vhostuser'" },
    };

    if (vireoValidateRefuse(refusals) < 0)
        return -1;

    return vireoVhostCheckMemory(def, "an interface of type 'vhostuser'");
}
