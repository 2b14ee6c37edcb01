/*
 * vireo_blockdev.h: images and their backing chains as the storage daemon's nodes
 *
 * An image is two nodes, one for what the bytes mean and one for where they are;
 * both are named after the image's number in the domain (virStorageSource.id).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virjson.h"

#include "vireo_conf.h"

/* The names of the nodes of @src; free with g_free. */
char *
vireoBlockdevFormatNode(const virStorageSource *src);
char *
vireoBlockdevStorageNode(const virStorageSource *src);

/* What beside those an image may need in the storage daemon. */
typedef enum {
    VIREO_BLOCKDEV_KEY,     /* of an encrypted image */
    VIREO_BLOCKDEV_AUTH,    /* a password or key for a server */
    VIREO_BLOCKDEV_COOKIES, /* for a server */
    VIREO_BLOCKDEV_TLS,     /* certificates */
    VIREO_BLOCKDEV_N_OBJECTS,
} vireoBlockdevObject;

bool
vireoBlockdevHasObject(const virStorageSource *src,
                       vireoBlockdevObject object);

/* Its name, or NULL if @src has none such; free with g_free. */
char *
vireoBlockdevObjectID(const virStorageSource *src,
                      vireoBlockdevObject object);

/**
 * vireoBlockdevObjectProps:
 * @object: one that @src has
 *
 * Returns the arguments of object-add, with secrets asked of libvirt's secret driver, or NULL with
 * an error reported.
 */
virJSONValue *
vireoBlockdevObjectProps(const virStorageSource *src,
                         vireoBlockdevObject object,
                         const vireoConfig *config);

/**
 * vireoBlockdevCheck:
 * @src: an image of a chain
 * @disk: for the error
 *
 * Returns 0, or -1 with an error that names what of it is not supported.
 */
int
vireoBlockdevCheck(const virStorageSource *src,
                   const virDomainDiskDef *disk);

/**
 * vireoBlockdevStorageProps, vireoBlockdevFormatProps:
 * @disk: whose settings hold
 * @src: an image of its chain
 * @writable: by the guest or by a block job; what is not may become so when another is merged into it
 *
 * Return the arguments of blockdev-add, or NULL with an error reported.
 */
virJSONValue *
vireoBlockdevStorageProps(const virDomainDiskDef *disk,
                          const virStorageSource *src);
virJSONValue *
vireoBlockdevFormatProps(const virDomainDiskDef *disk,
                         const virStorageSource *src,
                         bool writable);

/**
 * vireoBlockdevExportProps, vireoBlockdevClientProps:
 * @node: the storage daemon's
 * @disk: served by that on the socket @path
 *
 * Return the arguments of block-export-add for the storage daemon, and of blockdev-add for the
 * monitor, or NULL with an error reported.
 */
virJSONValue *
vireoBlockdevClientProps(const virDomainDiskDef *disk,
                         const char *path);
virJSONValue *
vireoBlockdevExportProps(const virDomainDiskDef *disk,
                         const char *node,
                         const char *path);
