/*
 * vireo_vhost.h: devices that another process or the kernel serves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virjson.h"

/* Whether @disk is of type 'vhostuser': another process has its queues. */
bool
vireoVhostIsDisk(const virDomainDiskDef *disk);

/* The id of the chardev that leads to the back end of the device called @alias; free with g_free. */
char *
vireoVhostChardevAlias(const char *alias);

/**
 * vireoVhostCheckMemory:
 * @what: the device, for the error
 *
 * Whether another process can share the memory of @def: -1 with an error if not.
 */
int
vireoVhostCheckMemory(const virDomainDef *def,
                      const char *what);

/* -netdev / netdev_add: an interface of type 'vhostuser'; NULL with an error reported. */
virJSONValue *
vireoVhostNetdevProps(virDomainNetDef *net);

/* Whether Vireo has what an interface of type 'vhostuser' asks for: 0, or -1 with an error
 * reported. */
int
vireoVhostValidateNet(const virDomainNetDef *net,
                      const virDomainDef *def);

/* -device / device_add: a disk of that type; NULL with an error reported. */
virJSONValue *
vireoVhostDiskProps(const virDomainDef *def,
                    virDomainDiskDef *disk);
