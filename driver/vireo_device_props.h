/*
 * vireo_device_props.h: libvirt's devices as the monitor's JSON
 *
 * The same objects serve the command line and QMP (device_add, blockdev-add,
 * netdev_add, object-add). Each function returns a new object, or NULL with an
 * error reported; aliases and addresses must have been assigned.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virjson.h"

/* chardev-add: @source, called @id, as it stands behind a port or a device of another process */
virJSONValue *
vireoDevicePropsChardev(const char *id,
                        const virDomainChrSourceDef *source);

/* What every PCI device has: its type, id and place. */
virJSONValue *
vireoDevicePropsPCI(const virDomainDef *def,
                    const char *type,
                    const virDomainDeviceInfo *info);

/*
 * The beginning of a virtio device of @type: its id and place, and what all have; @virtio may be
 * NULL.
 */
virJSONValue *
vireoDevicePropsVirtio(const virDomainDef *def,
                       const char *type,
                       const virDomainDeviceInfo *info,
                       const virDomainVirtioOptions *virtio);

/* The device's write-cache: "on", "off", or NULL: not said */
const char *
vireoDevicePropsWriteCache(const virDomainDiskDef *disk);

/**
 * vireoDevicePropsCache:
 * @cache: set to the "cache" of a node for the image of @disk, or to NULL: not said
 *
 * Returns 0, or -1 with an error reported.
 */
int
vireoDevicePropsCache(const virDomainDiskDef *disk,
                      virJSONValue **cache);

/* What the device does about failed writes and reads; NULL: its default */
const char *
vireoDevicePropsWriteErrors(const virDomainDiskDef *disk);
const char *
vireoDevicePropsReadErrors(const virDomainDiskDef *disk);

/* detect-zeroes, without what needs discards where there are none; NULL: not said */
const char *
vireoDevicePropsDetectZeroes(const virDomainDiskDef *disk);

/* -device / device_add */
virJSONValue *
vireoDevicePropsDisk(const virDomainDef *def,
                     virDomainDiskDef *disk);
virJSONValue *
vireoDevicePropsNet(const virDomainDef *def,
                    virDomainNetDef *net);
virJSONValue *
vireoDevicePropsRNG(const virDomainDef *def,
                    virDomainRNGDef *rng);
virJSONValue *
vireoDevicePropsMemballoon(const virDomainDef *def,
                           virDomainMemballoonDef *balloon);
virJSONValue *
vireoDevicePropsChr(const virDomainDef *def,
                    virDomainChrDef *chr);
virJSONValue *
vireoDevicePropsGeneration(const virDomainDef *def);
virJSONValue *
vireoDevicePropsPanic(virDomainPanicDef *panic);
virJSONValue *
vireoDevicePropsVideo(const virDomainDef *def,
                      virDomainVideoDef *video);

/* As above; of an <input> on bus virtio. */
virJSONValue *
vireoDevicePropsInput(const virDomainDef *def,
                      virDomainInputDef *input);

/* As above; NULL without an error for controllers that are part of the machine. */
int
vireoDevicePropsController(const virDomainDef *def,
                           virDomainControllerDef *controller,
                           virJSONValue **props);

/* -blockdev / blockdev-add: the node of an image that is the monitor's own to read and write */
virJSONValue *
vireoDevicePropsBlockNode(virDomainDiskDef *disk);

/**
 * vireoDevicePropsNetdev:
 * @fd: the descriptor of the tap or of passt's connection, as a number or a name
 *     given by getfd; several with colons between; NULL: by name
 * @vhostfd: likewise, those of vhost; NULL: frames go through the monitor
 * @socket: the path where a passt is to be found, if there is no descriptor of it
 *
 * -netdev / netdev_add
 */
virJSONValue *
vireoDevicePropsNetdev(virDomainNetDef *net,
                       const char *fd,
                       const char *vhostfd,
                       const char *socket);

virJSONValue *
vireoDevicePropsMemory(const virDomainDef *def,
                       virDomainMemoryDef *mem);

/* -object / object-add: the source of random numbers */
virJSONValue *
vireoDevicePropsRNGObject(virDomainRNGDef *rng);
