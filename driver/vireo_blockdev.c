/*
 * vireo_blockdev.c: images and their backing chains as the storage daemon's nodes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virsecureerase.h"

#include "vireo_alias.h"
#include "vireo_blockdev.h"
#include "vireo_device_props.h"
#include "vireo_secret.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

char *
vireoBlockdevFormatNode(const virStorageSource *src)
{
    return g_strdup_printf("image-%u", src->id);
}

char *
vireoBlockdevStorageNode(const virStorageSource *src)
{
    return g_strdup_printf("storage-%u", src->id);
}

char *
vireoBlockdevSecret(const virStorageSource *src)
{
    return g_strdup_printf("secret-%u", src->id);
}

/* The daemon's driver for a format, or NULL. */
static const char *
vireoBlockdevFormatDriver(const virStorageSource *src)
{
    if (src->format == VIR_STORAGE_FILE_RAW && src->encryption)
        return "luks";

    switch ((virStorageFileFormat)src->format) {
    case VIR_STORAGE_FILE_RAW:
    case VIR_STORAGE_FILE_QCOW2:
    case VIR_STORAGE_FILE_QED:
    case VIR_STORAGE_FILE_VMDK:
    case VIR_STORAGE_FILE_VDI:
    case VIR_STORAGE_FILE_VPC:
        return virStorageFileFormatTypeToString(src->format);
    default:
        return NULL;
    }
}

static int
vireoBlockdevCheckNetwork(const virStorageSource *src,
                          const virDomainDiskDef *disk)
{
    switch ((virStorageNetProtocol)src->protocol) {
    case VIR_STORAGE_NET_PROTOCOL_NBD:
    case VIR_STORAGE_NET_PROTOCOL_HTTP:
    case VIR_STORAGE_NET_PROTOCOL_HTTPS:
        break;
    default:
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': Vireo does not support <source protocol='%s'>"), disk->dst,
                       virStorageNetProtocolTypeToString(src->protocol));
        return -1;
    }

    if (src->nhosts != 1) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': one <source><host> is needed, not %zu"), disk->dst, src->nhosts);
        return -1;
    }
    if (src->haveTLS == VIR_TRISTATE_BOOL_YES || src->ncookies > 0) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': Vireo does not support <source tls> or <cookies>"), disk->dst);
        return -1;
    }
    if ((src->protocol == VIR_STORAGE_NET_PROTOCOL_NBD && (src->readahead > 0 || src->timeout > 0)) ||
        (src->protocol != VIR_STORAGE_NET_PROTOCOL_HTTPS &&
         src->sslverify != VIR_TRISTATE_BOOL_ABSENT)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': <readahead> and <timeout> are for http and https, <ssl> is for https"),
                       disk->dst);
        return -1;
    }

    return 0;
}

int
vireoBlockdevCheck(const virStorageSource *src,
                   const virDomainDiskDef *disk)
{
    virStorageType type = virStorageSourceGetActualType(src);

    if (type != VIR_STORAGE_TYPE_FILE && type != VIR_STORAGE_TYPE_BLOCK &&
        type != VIR_STORAGE_TYPE_NETWORK) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': Vireo does not support images of type '%s'"), disk->dst,
                       virStorageTypeToString(type));
        return -1;
    }
    if (!vireoBlockdevFormatDriver(src)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': Vireo does not support images of format '%s'"), disk->dst,
                       virStorageFileFormatTypeToString(src->format));
        return -1;
    }
    if (src->encryption &&
        (src->encryption->format != VIR_STORAGE_ENCRYPTION_FORMAT_LUKS ||
         src->encryption->nsecrets != 1 ||
         (src->format != VIR_STORAGE_FILE_RAW && src->format != VIR_STORAGE_FILE_QCOW2))) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': of <encryption> Vireo supports format 'luks' with one <secret>, of raw and qcow2 images"),
                       disk->dst);
        return -1;
    }

    return type == VIR_STORAGE_TYPE_NETWORK ? vireoBlockdevCheckNetwork(src, disk) : 0;
}

static virJSONValue *
vireoBlockdevNBDServer(const virStorageNetHostDef *host)
{
    g_autoptr(virJSONValue) server = NULL;
    g_autofree char *port = g_strdup_printf("%u", host->port);
    bool local = host->transport == VIR_STORAGE_NET_HOST_TRANS_UNIX;

    if (virJSONValueObjectAdd(&server,
                              "s:type", local ? "unix" : "inet",
                              "S:path", local ? host->socket : NULL,
                              "S:host", local ? NULL : host->name,
                              "S:port", local ? NULL : port,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&server);
}

static int
vireoBlockdevAddNetwork(virJSONValue **props,
                        const virStorageSource *src)
{
    const virStorageNetHostDef *host = &src->hosts[0];
    const char *protocol = virStorageNetProtocolTypeToString(src->protocol);
    g_autoptr(virJSONValue) server = NULL;
    g_autofree char *url = NULL;

    if (src->protocol == VIR_STORAGE_NET_PROTOCOL_NBD)
        return (server = vireoBlockdevNBDServer(host)) ?
            virJSONValueObjectAdd(props,
                                  "s:driver", protocol,
                                  "a:server", &server,
                                  "S:export", src->path,
                                  NULL) : -1;

    url = g_strdup_printf("%s://%s:%u%s%s%s%s", protocol, host->name, host->port,
                          src->path && src->path[0] == '/' ? "" : "/", NULLSTR_EMPTY(src->path),
                          src->query ? "?" : "", NULLSTR_EMPTY(src->query));
    return virJSONValueObjectAdd(props,
                                 "s:driver", protocol,
                                 "s:url", url,
                                 "P:readahead", src->readahead,
                                 "P:timeout", src->timeout,
                                 "T:sslverify", src->sslverify,
                                 NULL);
}

virJSONValue *
vireoBlockdevStorageProps(const virDomainDiskDef *disk,
                          const virStorageSource *src)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autoptr(virJSONValue) cache = NULL;
    g_autofree char *node = vireoBlockdevStorageNode(src);
    virStorageType type = virStorageSourceGetActualType(src);
    bool local = type != VIR_STORAGE_TYPE_NETWORK;

    if (vireoDevicePropsCache(disk, &cache) < 0)
        return NULL;

    if (local) {
        if (virJSONValueObjectAdd(&props,
                                  "s:driver", type == VIR_STORAGE_TYPE_BLOCK ? "host_device" : "file",
                                  "s:filename", src->path,
                                  "S:aio", disk->iomode == VIR_DOMAIN_DISK_IO_DEFAULT ? NULL :
                                  virDomainDiskIoTypeToString(disk->iomode),
                                  "S:locking", src->shared ? "off" : NULL,
                                  NULL) < 0)
            return NULL;
    } else if (vireoBlockdevAddNetwork(&props, src) < 0) {
        return NULL;
    }

    /* What lies behind a writable image may become so, when that is merged into it. */
    if (virJSONValueObjectAdd(&props,
                              "s:node-name", node,
                              disk->src->readonly ? "b:read-only" : "b:auto-read-only", true,
                              "S:discard", disk->discard == VIR_DOMAIN_DISK_DISCARD_UNMAP ? "unmap" : NULL,
                              "A:cache", &cache,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

static int
vireoBlockdevAddEncryption(virJSONValue **props,
                           const virStorageSource *src)
{
    g_autoptr(virJSONValue) encrypt = NULL;
    g_autofree char *secret = vireoBlockdevSecret(src);

    if (!src->encryption)
        return 0;
    if (src->format == VIR_STORAGE_FILE_RAW)
        return virJSONValueObjectAdd(props, "s:key-secret", secret, NULL);

    if (virJSONValueObjectAdd(&encrypt, "s:format", "luks", "s:key-secret", secret, NULL) < 0)
        return -1;
    return virJSONValueObjectAdd(props, "a:encrypt", &encrypt, NULL);
}

virJSONValue *
vireoBlockdevFormatProps(const virDomainDiskDef *disk,
                         const virStorageSource *src,
                         bool writable)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *node = vireoBlockdevFormatNode(src);
    g_autofree char *storage = vireoBlockdevStorageNode(src);
    g_autofree char *next = virStorageSourceHasBacking(src) ?
        vireoBlockdevFormatNode(src->backingStore) : NULL;

    if (virJSONValueObjectAdd(&props,
                              "s:node-name", node,
                              "s:driver", vireoBlockdevFormatDriver(src),
                              "s:file", storage,
                              "b:read-only", !writable,
                              "S:discard", disk->discard == VIR_DOMAIN_DISK_DISCARD_UNMAP ? "unmap" : NULL,
                              NULL) < 0 ||
        vireoBlockdevAddEncryption(&props, src) < 0)
        return NULL;

    /* Always said, for what the image's own header names is not to be opened by itself. */
    if (src->format >= VIR_STORAGE_FILE_BACKING &&
        (next ? virJSONValueObjectAppendString(props, "backing", next) :
         virJSONValueObjectAppendNull(props, "backing")) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoBlockdevSecretProps(const virStorageSource *src)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *id = vireoBlockdevSecret(src);
    g_autofree char *encoded = NULL;
    g_autofree uint8_t *secret = NULL;
    size_t n = 0;
    int rc;

    if (vireoSecretGet(&src->encryption->secrets[0]->seclookupdef, VIR_SECRET_USAGE_TYPE_VOLUME,
                       &secret, &n) < 0)
        return NULL;

    encoded = g_base64_encode(secret, n);
    virSecureErase(secret, n);
    rc = virJSONValueObjectAdd(&props,
                               "s:qom-type", "secret",
                               "s:id", id,
                               "s:data", encoded,
                               "s:format", "base64",
                               NULL);
    virSecureEraseString(encoded);

    return rc < 0 ? NULL : g_steal_pointer(&props);
}

virJSONValue *
vireoBlockdevExportProps(const virDomainDiskDef *disk,
                         const char *node,
                         const char *path)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autoptr(virJSONValue) addr = NULL;

    if (virJSONValueObjectAdd(&addr, "s:type", "unix", "s:path", path, NULL) < 0 ||
        virJSONValueObjectAdd(&props,
                              "s:type", "vhost-user-blk",
                              "s:id", disk->info.alias,
                              "s:node-name", node,
                              "a:addr", &addr,
                              "b:writable", !disk->src->readonly,
                              "p:logical-block-size", disk->blockio.logical_block_size,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}

virJSONValue *
vireoBlockdevClientProps(const virDomainDiskDef *disk,
                         const char *path)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *node = vireoAliasServedNode(disk);

    if (virJSONValueObjectAdd(&props,
                              "s:driver", "virtio-blk-vhost-user",
                              "s:node-name", node,
                              "s:path", path,
                              "b:read-only", disk->src->readonly,
                              "S:discard", disk->discard == VIR_DOMAIN_DISK_DISCARD_DEFAULT ? NULL :
                              virDomainDiskDiscardTypeToString(disk->discard),
                              "S:detect-zeroes", vireoDevicePropsDetectZeroes(disk),
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&props);
}
