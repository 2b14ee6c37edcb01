/*
 * vireo_guest_info.h: what a guest agent tells, in libvirt's terms
 *
 * The functions take the value of a reply, which is the guest's and may be
 * anything. They return as said, or -1 with an error reported.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "domain_conf.h"
#include "virjson.h"
#include "virtypedparam.h"

/**
 * vireoGuestInfoInterfaces:
 * @reply: to guest-network-get-interfaces
 * @ifaces: set to an array; free each with virDomainInterfaceFree, it with g_free
 *
 * Returns the number of interfaces.
 */
int
vireoGuestInfoInterfaces(virJSONValue *reply,
                         virDomainInterfacePtr **ifaces);

/**
 * vireoGuestInfoFS:
 * @reply: to guest-get-fsinfo
 * @def: for the names of its disks
 * @info: set to an array; free each with virDomainFSInfoFree, it with g_free
 *
 * Returns the number of file systems.
 */
int
vireoGuestInfoFS(virJSONValue *reply,
                 virDomainDef *def,
                 virDomainFSInfoPtr **info);

/**
 * vireoGuestInfoVcpus:
 * @reply: to guest-get-vcpus
 * @vcpus: set to the vCPUs that the guest knows, @online, @offlinable: of them; free
 * with virBitmapFree
 *
 * Returns 0.
 */
int
vireoGuestInfoVcpus(virJSONValue *reply,
                    virBitmap **vcpus,
                    virBitmap **online,
                    virBitmap **offlinable);

/**
 * vireoGuestInfoStrings:
 * @reply: an object
 * @key: of an array of strings in it
 * @strings: set to a list; free with g_strfreev
 *
 * Returns the number of strings.
 */
int
vireoGuestInfoStrings(virJSONValue *reply,
                      const char *key,
                      char ***strings);

/* One kind of information of virDomainGetGuestInfo. */
typedef struct _vireoGuestInfoKind vireoGuestInfoKind;
struct _vireoGuestInfoKind {
    unsigned int type;    /* virDomainGuestInfoTypes */
    const char *command;
    /* Adds what @reply tells; returns 0 */
    int (*add)(virTypedParamList *list,
               virJSONValue *reply,
               virDomainDef *def);
};

/* All kinds; the last has type 0. */
extern const vireoGuestInfoKind vireoGuestInfoKinds[];
