/*
 * vireo_blockdev_network.h: images on other machines as the storage daemon's nodes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virjson.h"

/**
 * vireoBlockdevNetworkCheck:
 * @src: an image of type 'network'
 * @disk: for the error
 *
 * Returns 0, or -1 with an error that names what of it is not supported.
 */
int
vireoBlockdevNetworkCheck(const virStorageSource *src,
                          const virDomainDiskDef *disk);

/**
 * vireoBlockdevNetworkAdd:
 * @props: where the image is, is added
 * @auth, @cookies, @tls: names of the objects for those, if @src has them
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoBlockdevNetworkAdd(virJSONValue **props,
                        const virStorageSource *src,
                        const char *auth,
                        const char *cookies,
                        const char *tls);

/* The <cookies> of @src as a browser sends them; free with g_free. */
char *
vireoBlockdevNetworkCookies(const virStorageSource *src);
