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
#include "vireo_blockdev_network.h"
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

bool
vireoBlockdevHasObject(const virStorageSource *src,
                       vireoBlockdevObject object)
{
    bool network = virStorageSourceGetActualType(src) == VIR_STORAGE_TYPE_NETWORK;

    switch (object) {
    case VIREO_BLOCKDEV_KEY:
        return src->encryption != NULL;
    case VIREO_BLOCKDEV_AUTH:
        return network && src->auth;
    case VIREO_BLOCKDEV_COOKIES:
        return network && src->ncookies > 0;
    case VIREO_BLOCKDEV_TLS:
        return network && src->haveTLS == VIR_TRISTATE_BOOL_YES;
    case VIREO_BLOCKDEV_N_OBJECTS:
        break;
    }

    return false;
}

char *
vireoBlockdevObjectID(const virStorageSource *src,
                      vireoBlockdevObject object)
{
    static const char *const names[] = { "secret", "auth", "cookies", "tls" };

    return vireoBlockdevHasObject(src, object) ? g_strdup_printf("%s-%u", names[object], src->id) : NULL;
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
         src->encryption->engine == VIR_STORAGE_ENCRYPTION_ENGINE_LIBRBD ||
         (src->format != VIR_STORAGE_FILE_RAW && src->format != VIR_STORAGE_FILE_QCOW2))) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': of <encryption> Vireo supports format 'luks' of engine 'qemu' with one <secret>, of raw and qcow2 images"),
                       disk->dst);
        return -1;
    }

    return type == VIR_STORAGE_TYPE_NETWORK ? vireoBlockdevNetworkCheck(src, disk) : 0;
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
    } else {
        g_autofree char *auth = vireoBlockdevObjectID(src, VIREO_BLOCKDEV_AUTH);
        g_autofree char *cookies = vireoBlockdevObjectID(src, VIREO_BLOCKDEV_COOKIES);
        g_autofree char *tls = vireoBlockdevObjectID(src, VIREO_BLOCKDEV_TLS);

        if (vireoBlockdevNetworkAdd(&props, src, auth, cookies, tls) < 0)
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
    g_autofree char *secret = vireoBlockdevObjectID(src, VIREO_BLOCKDEV_KEY);

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

static virJSONValue *
vireoBlockdevSecretProps(const char *id,
                         const uint8_t *secret,
                         size_t n)
{
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *encoded = g_base64_encode(secret, n);
    int rc = virJSONValueObjectAdd(&props,
                                   "s:qom-type", "secret",
                                   "s:id", id,
                                   "s:data", encoded,
                                   "s:format", "base64",
                                   NULL);

    virSecureEraseString(encoded);
    return rc < 0 ? NULL : g_steal_pointer(&props);
}

static virJSONValue *
vireoBlockdevAskSecret(const char *id,
                       virSecretLookupTypeDef *lookup,
                       virSecretUsageType usage)
{
    g_autofree uint8_t *secret = NULL;
    virJSONValue *props;
    size_t n = 0;

    if (vireoSecretGet(lookup, usage, &secret, &n) < 0)
        return NULL;

    props = vireoBlockdevSecretProps(id, secret, n);
    virSecureErase(secret, n);
    return props;
}

virJSONValue *
vireoBlockdevObjectProps(const virStorageSource *src,
                         vireoBlockdevObject object,
                         const vireoConfig *config)
{
    g_autofree char *id = vireoBlockdevObjectID(src, object);
    g_autoptr(virJSONValue) props = NULL;

    switch (object) {
    case VIREO_BLOCKDEV_KEY:
        return vireoBlockdevAskSecret(id, &src->encryption->secrets[0]->seclookupdef,
                                      VIR_SECRET_USAGE_TYPE_VOLUME);
    case VIREO_BLOCKDEV_AUTH:
        return vireoBlockdevAskSecret(id, &src->auth->seclookupdef,
                                      src->protocol == VIR_STORAGE_NET_PROTOCOL_RBD ?
                                      VIR_SECRET_USAGE_TYPE_CEPH : VIR_SECRET_USAGE_TYPE_ISCSI);
    case VIREO_BLOCKDEV_COOKIES: {
        g_autofree char *cookies = vireoBlockdevNetworkCookies(src);

        props = vireoBlockdevSecretProps(id, (const uint8_t *)cookies, strlen(cookies));
        virSecureEraseString(cookies);
        return g_steal_pointer(&props);
    }
    case VIREO_BLOCKDEV_TLS:
        if (virJSONValueObjectAdd(&props,
                                  "s:qom-type", "tls-creds-x509",
                                  "s:id", id,
                                  "s:dir", config->nbdTLSDir,
                                  "s:endpoint", "client",
                                  "b:verify-peer", true,
                                  NULL) < 0)
            return NULL;
        return g_steal_pointer(&props);
    case VIREO_BLOCKDEV_N_OBJECTS:
        break;
    }

    return NULL;
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
