/*
 * vireo_guest_info.c: what a guest agent tells, in libvirt's terms
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virbitmap.h"
#include "virerror.h"
#include "virsocketaddr.h"

#include "vireo_guest_info.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

/* As many as libvirt's protocol carries of anything in one reply. */
#define VIREO_GUEST_INFO_MAX_ITEMS 2048
#define VIREO_GUEST_INFO_MAX_FS 256
#define VIREO_GUEST_INFO_MAX_VCPU 4096

static int
vireoGuestInfoReport(const char *what)
{
    virReportError(VIR_ERR_INTERNAL_ERROR,
                   _("the guest agent's list of %s is not as its protocol says"), what);
    return -1;
}

/* The number of elements, all of which are objects. */
static int
vireoGuestInfoCheckArray(virJSONValue *array,
                         const char *what,
                         size_t max)
{
    size_t i;

    if (!virJSONValueIsArray(array) || virJSONValueArraySize(array) > max)
        return vireoGuestInfoReport(what);
    for (i = 0; i < virJSONValueArraySize(array); i++) {
        if (!virJSONValueIsObject(virJSONValueArrayGet(array, i)))
            return vireoGuestInfoReport(what);
    }

    return virJSONValueArraySize(array);
}

/* The same of a member, which need not be there. */
static int
vireoGuestInfoCheckMember(virJSONValue *object,
                          const char *key,
                          virJSONValue **array,
                          const char *what,
                          size_t max)
{
    return (*array = virJSONValueObjectGet(object, key)) ?
        vireoGuestInfoCheckArray(*array, what, max) : 0;
}

static int
vireoGuestInfoAddress(virDomainInterfacePtr iface,
                      virJSONValue *json)
{
    const char *type = virJSONValueObjectGetString(json, "ip-address-type");
    const char *text = virJSONValueObjectGetString(json, "ip-address");
    virDomainIPAddressPtr address;
    virSocketAddr parsed;
    unsigned int prefix;

    if (!type || !text || virJSONValueObjectGetNumberUint(json, "prefix", &prefix) < 0 ||
        virSocketAddrParse(&parsed, text, AF_UNSPEC) < 0)
        return vireoGuestInfoReport("addresses");

    iface->addrs = g_renew(virDomainIPAddress, iface->addrs, iface->naddrs + 1);
    address = &iface->addrs[iface->naddrs++];
    address->type = STREQ(type, "ipv6") ? VIR_IP_ADDR_TYPE_IPV6 : VIR_IP_ADDR_TYPE_IPV4;
    address->addr = g_strdup(text);
    address->prefix = prefix;

    return 0;
}

static virDomainInterfacePtr
vireoGuestInfoFindInterface(GPtrArray *list,
                            const char *name,
                            size_t n)
{
    size_t i;

    for (i = 0; i < list->len; i++) {
        virDomainInterfacePtr iface = g_ptr_array_index(list, i);

        if (strlen(iface->name) == n && STREQLEN(iface->name, name, n))
            return iface;
    }

    return NULL;
}

static int
vireoGuestInfoInterface(GPtrArray *list,
                        virJSONValue *json)
{
    const char *name = virJSONValueObjectGetString(json, "name");
    /* Further addresses of an interface may come under a label like eth0:1. */
    size_t length = name ? strcspn(name, ":") : 0;
    virDomainInterfacePtr iface;
    virJSONValue *addresses;
    int n;
    int i;

    if (!name)
        return vireoGuestInfoReport("interfaces");
    if (!(iface = vireoGuestInfoFindInterface(list, name, length))) {
        iface = g_new0(virDomainInterface, 1);
        iface->name = g_strndup(name, length);
        iface->hwaddr = g_strdup(virJSONValueObjectGetString(json, "hardware-address"));
        g_ptr_array_add(list, iface);
    }

    if ((n = vireoGuestInfoCheckMember(json, "ip-addresses", &addresses, "addresses",
                                       VIREO_GUEST_INFO_MAX_ITEMS - iface->naddrs)) < 0)
        return -1;
    for (i = 0; i < n; i++) {
        if (vireoGuestInfoAddress(iface, virJSONValueArrayGet(addresses, i)) < 0)
            return -1;
    }

    return 0;
}

int
vireoGuestInfoInterfaces(virJSONValue *reply,
                         virDomainInterfacePtr **ifaces)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)virDomainInterfaceFree);
    int n = vireoGuestInfoCheckArray(reply, "interfaces", VIREO_GUEST_INFO_MAX_ITEMS);
    int i;

    for (i = 0; i < n; i++) {
        if (vireoGuestInfoInterface(list, virJSONValueArrayGet(reply, i)) < 0)
            return -1;
    }
    if (n < 0)
        return -1;

    n = list->len;
    *ifaces = (virDomainInterfacePtr *)g_ptr_array_free(g_steal_pointer(&list), FALSE);
    return n;
}

/* Which disk of the domain's the guest means, or NULL. */
static virDomainDiskDef *
vireoGuestInfoFindDisk(virDomainDef *def,
                       virJSONValue *json)
{
    virJSONValue *pci = virJSONValueObjectGetObject(json, "pci-controller");
    const char *serial = virJSONValueObjectGetString(json, "serial");
    virPCIDeviceAddress address = { 0 };
    unsigned int bus;
    unsigned int target;
    unsigned int unit;
    size_t i;

    /* The serial number is the domain's to choose; addresses are the guest's. */
    for (i = 0; serial && i < def->ndisks; i++) {
        if (STREQ_NULLABLE(def->disks[i]->serial, serial))
            return def->disks[i];
    }

    if (!pci ||
        virJSONValueObjectGetNumberUint(pci, "domain", &address.domain) < 0 ||
        virJSONValueObjectGetNumberUint(pci, "bus", &address.bus) < 0 ||
        virJSONValueObjectGetNumberUint(pci, "slot", &address.slot) < 0 ||
        virJSONValueObjectGetNumberUint(pci, "function", &address.function) < 0 ||
        virJSONValueObjectGetNumberUint(json, "bus", &bus) < 0 ||
        virJSONValueObjectGetNumberUint(json, "target", &target) < 0 ||
        virJSONValueObjectGetNumberUint(json, "unit", &unit) < 0)
        return NULL;

    return virDomainDiskByAddress(def, &address, NULL, bus, target, unit);
}

static void
vireoGuestInfoFillDisks(virDomainFSInfoPtr info,
                        virJSONValue *disks,
                        int n,
                        virDomainDef *def)
{
    int i;

    info->devAlias = g_new0(char *, n + 1);
    for (i = 0; i < n; i++) {
        virDomainDiskDef *disk = vireoGuestInfoFindDisk(def, virJSONValueArrayGet(disks, i));

        if (disk)
            info->devAlias[info->ndevAlias++] = g_strdup(disk->dst);
    }
}

/* What every file system has, and its disks. */
static int
vireoGuestInfoCheckFS(virJSONValue *json,
                      const char **mountpoint,
                      const char **name,
                      const char **type,
                      virJSONValue **disks)
{
    if (!(*mountpoint = virJSONValueObjectGetString(json, "mountpoint")) ||
        !(*name = virJSONValueObjectGetString(json, "name")) ||
        !(*type = virJSONValueObjectGetString(json, "type")))
        return vireoGuestInfoReport("file systems");

    return vireoGuestInfoCheckMember(json, "disk", disks, "disks", VIREO_GUEST_INFO_MAX_FS);
}

int
vireoGuestInfoFS(virJSONValue *reply,
                 virDomainDef *def,
                 virDomainFSInfoPtr **info)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)virDomainFSInfoFree);
    int n = vireoGuestInfoCheckArray(reply, "file systems", VIREO_GUEST_INFO_MAX_FS);
    int i;

    for (i = 0; i < n; i++) {
        virDomainFSInfoPtr fs;
        virJSONValue *disks;
        const char *mountpoint;
        const char *name;
        const char *type;
        int ndisks;

        if ((ndisks = vireoGuestInfoCheckFS(virJSONValueArrayGet(reply, i), &mountpoint, &name, &type,
                                            &disks)) < 0)
            return -1;
        fs = g_new0(virDomainFSInfo, 1);
        fs->mountpoint = g_strdup(mountpoint);
        fs->name = g_strdup(name);
        fs->fstype = g_strdup(type);
        vireoGuestInfoFillDisks(fs, disks, ndisks, def);
        g_ptr_array_add(list, fs);
    }
    if (n < 0)
        return -1;

    *info = (virDomainFSInfoPtr *)g_ptr_array_free(g_steal_pointer(&list), FALSE);
    return n;
}

int
vireoGuestInfoVcpus(virJSONValue *reply,
                    virBitmap **vcpus,
                    virBitmap **online,
                    virBitmap **offlinable)
{
    int n = vireoGuestInfoCheckArray(reply, "vCPUs", VIREO_GUEST_INFO_MAX_VCPU);
    g_autoptr(virBitmap) all = virBitmapNew(VIREO_GUEST_INFO_MAX_VCPU);
    g_autoptr(virBitmap) on = virBitmapNew(VIREO_GUEST_INFO_MAX_VCPU);
    g_autoptr(virBitmap) may = virBitmapNew(VIREO_GUEST_INFO_MAX_VCPU);
    int i;

    for (i = 0; i < n; i++) {
        virJSONValue *json = virJSONValueArrayGet(reply, i);
        unsigned int id;
        bool isOnline;
        bool mayGo = false;

        if (virJSONValueObjectGetNumberUint(json, "logical-id", &id) < 0 ||
            virJSONValueObjectGetBoolean(json, "online", &isOnline) < 0 ||
            virBitmapSetBit(all, id) < 0)
            return vireoGuestInfoReport("vCPUs");
        ignore_value(virJSONValueObjectGetBoolean(json, "can-offline", &mayGo));
        if (isOnline)
            ignore_value(virBitmapSetBit(on, id));
        if (mayGo)
            ignore_value(virBitmapSetBit(may, id));
    }
    if (n < 0)
        return -1;

    *vcpus = g_steal_pointer(&all);
    *online = g_steal_pointer(&on);
    *offlinable = g_steal_pointer(&may);
    return 0;
}

int
vireoGuestInfoStrings(virJSONValue *reply,
                      const char *key,
                      char ***strings)
{
    g_auto(GStrv) list = NULL;
    virJSONValue *array = virJSONValueIsObject(reply) ? virJSONValueObjectGetArray(reply, key) : NULL;
    size_t n = array ? virJSONValueArraySize(array) : 0;
    size_t i;

    if (!array || n > VIREO_GUEST_INFO_MAX_ITEMS)
        return vireoGuestInfoReport(key);

    list = g_new0(char *, n + 1);
    for (i = 0; i < n; i++) {
        const char *text = virJSONValueGetString(virJSONValueArrayGet(array, i));

        if (!text)
            return vireoGuestInfoReport(key);
        list[i] = g_strdup(text);
    }

    *strings = g_steal_pointer(&list);
    return n;
}

static int
vireoGuestInfoAddUsers(virTypedParamList *list,
                       virJSONValue *reply,
                       virDomainDef *def G_GNUC_UNUSED)
{
    int n = vireoGuestInfoCheckArray(reply, "users", VIREO_GUEST_INFO_MAX_ITEMS);
    int i;

    if (n < 0 || virTypedParamListAddUInt(list, n, "user.count") < 0)
        return -1;

    for (i = 0; i < n; i++) {
        virJSONValue *json = virJSONValueArrayGet(reply, i);
        const char *name = virJSONValueObjectGetString(json, "user");
        const char *domain = virJSONValueObjectGetString(json, "domain");
        double login;

        if (!name || virJSONValueObjectGetNumberDouble(json, "login-time", &login) < 0 ||
            !(login >= 0 && login * 1000 < (double)(1ULL << 63)))
            return vireoGuestInfoReport("users");
        if (virTypedParamListAddString(list, name, "user.%d.name", i) < 0 ||
            (domain && virTypedParamListAddString(list, domain, "user.%d.domain", i) < 0) ||
            virTypedParamListAddULLong(list, login * 1000, "user.%d.login-time", i) < 0)
            return -1;
    }

    return 0;
}

static int
vireoGuestInfoAddOS(virTypedParamList *list,
                    virJSONValue *reply,
                    virDomainDef *def G_GNUC_UNUSED)
{
    static const char *const names[] = {
        "id", "name", "pretty-name", "version", "version-id", "machine", "variant", "variant-id",
        "kernel-release", "kernel-version",
    };
    size_t i;

    if (!virJSONValueIsObject(reply))
        return vireoGuestInfoReport("names of the system");

    for (i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *text = virJSONValueObjectGetString(reply, names[i]);

        if (text && virTypedParamListAddString(list, text, "os.%s", names[i]) < 0)
            return -1;
    }

    return 0;
}

static int
vireoGuestInfoAddTimezone(virTypedParamList *list,
                          virJSONValue *reply,
                          virDomainDef *def G_GNUC_UNUSED)
{
    const char *name;
    int offset;

    if (!virJSONValueIsObject(reply) ||
        virJSONValueObjectGetNumberInt(reply, "offset", &offset) < 0)
        return vireoGuestInfoReport("time zones");
    name = virJSONValueObjectGetString(reply, "zone");

    if ((name && virTypedParamListAddString(list, name, "timezone.name") < 0) ||
        virTypedParamListAddInt(list, offset, "timezone.offset") < 0)
        return -1;

    return 0;
}

static int
vireoGuestInfoAddHostname(virTypedParamList *list,
                          virJSONValue *reply,
                          virDomainDef *def G_GNUC_UNUSED)
{
    const char *name = virJSONValueIsObject(reply) ?
        virJSONValueObjectGetString(reply, "host-name") : NULL;

    if (!name)
        return vireoGuestInfoReport("host names");

    return virTypedParamListAddString(list, name, "hostname");
}

static int
vireoGuestInfoAddFSDisk(virTypedParamList *list,
                        virJSONValue *json,
                        virDomainDef *def,
                        int fs,
                        int i)
{
    virDomainDiskDef *disk = vireoGuestInfoFindDisk(def, json);
    const char *serial = virJSONValueObjectGetString(json, "serial");
    const char *device = virJSONValueObjectGetString(json, "dev");

    if ((disk && virTypedParamListAddString(list, disk->dst, "fs.%d.disk.%d.alias", fs, i) < 0) ||
        (serial && virTypedParamListAddString(list, serial, "fs.%d.disk.%d.serial", fs, i) < 0) ||
        (device && virTypedParamListAddString(list, device, "fs.%d.disk.%d.device", fs, i) < 0))
        return -1;

    return 0;
}

static int
vireoGuestInfoAddOneFS(virTypedParamList *list,
                       virJSONValue *json,
                       virDomainDef *def,
                       int fs)
{
    virJSONValue *disks;
    const char *mountpoint;
    const char *name;
    const char *type;
    unsigned long long bytes;
    int n;
    int i;

    if ((n = vireoGuestInfoCheckFS(json, &mountpoint, &name, &type, &disks)) < 0 ||
        virTypedParamListAddString(list, mountpoint, "fs.%d.mountpoint", fs) < 0 ||
        virTypedParamListAddString(list, name, "fs.%d.name", fs) < 0 ||
        virTypedParamListAddString(list, type, "fs.%d.fstype", fs) < 0)
        return -1;
    /* Older agents and some file systems have no numbers. */
    if (virJSONValueObjectGetNumberUlong(json, "total-bytes", &bytes) == 0 &&
        virTypedParamListAddULLong(list, bytes, "fs.%d.total-bytes", fs) < 0)
        return -1;
    if (virJSONValueObjectGetNumberUlong(json, "used-bytes", &bytes) == 0 &&
        virTypedParamListAddULLong(list, bytes, "fs.%d.used-bytes", fs) < 0)
        return -1;

    if (virTypedParamListAddUInt(list, n, "fs.%d.disk.count", fs) < 0)
        return -1;
    for (i = 0; i < n; i++) {
        if (vireoGuestInfoAddFSDisk(list, virJSONValueArrayGet(disks, i), def, fs, i) < 0)
            return -1;
    }

    return 0;
}

static int
vireoGuestInfoAddFS(virTypedParamList *list,
                    virJSONValue *reply,
                    virDomainDef *def)
{
    int n = vireoGuestInfoCheckArray(reply, "file systems", VIREO_GUEST_INFO_MAX_FS);
    int i;

    if (n < 0 || virTypedParamListAddUInt(list, n, "fs.count") < 0)
        return -1;
    for (i = 0; i < n; i++) {
        if (vireoGuestInfoAddOneFS(list, virJSONValueArrayGet(reply, i), def, i) < 0)
            return -1;
    }

    return 0;
}

static int
vireoGuestInfoAddDependencies(virTypedParamList *list,
                              virJSONValue *json,
                              int disk)
{
    virJSONValue *names = virJSONValueObjectGetArray(json, "dependencies");
    size_t n = names ? virJSONValueArraySize(names) : 0;
    size_t i;

    if (n == 0)
        return 0;
    if (n > VIREO_GUEST_INFO_MAX_ITEMS)
        return vireoGuestInfoReport("disks");

    if (virTypedParamListAddUInt(list, n, "disk.%d.dependency.count", disk) < 0)
        return -1;
    for (i = 0; i < n; i++) {
        const char *name = virJSONValueGetString(virJSONValueArrayGet(names, i));

        if (!name)
            return vireoGuestInfoReport("disks");
        if (virTypedParamListAddString(list, name, "disk.%d.dependency.%zu.name", disk, i) < 0)
            return -1;
    }

    return 0;
}

static int
vireoGuestInfoAddOneDisk(virTypedParamList *list,
                         virJSONValue *json,
                         virDomainDef *def,
                         int i)
{
    const char *name = virJSONValueObjectGetString(json, "name");
    const char *alias = virJSONValueObjectGetString(json, "alias");
    virJSONValue *address = virJSONValueObjectGetObject(json, "address");
    const char *serial = address ? virJSONValueObjectGetString(address, "serial") : NULL;
    virDomainDiskDef *disk = address ? vireoGuestInfoFindDisk(def, address) : NULL;
    bool partition;

    if (!name || virJSONValueObjectGetBoolean(json, "partition", &partition) < 0)
        return vireoGuestInfoReport("disks");

    if (virTypedParamListAddString(list, name, "disk.%d.name", i) < 0 ||
        virTypedParamListAddBoolean(list, partition, "disk.%d.partition", i) < 0 ||
        (serial && virTypedParamListAddString(list, serial, "disk.%d.serial", i) < 0) ||
        (disk && virTypedParamListAddString(list, disk->dst, "disk.%d.alias", i) < 0) ||
        (alias && virTypedParamListAddString(list, alias, "disk.%d.guest_alias", i) < 0))
        return -1;

    return vireoGuestInfoAddDependencies(list, json, i);
}

static int
vireoGuestInfoAddDisks(virTypedParamList *list,
                       virJSONValue *reply,
                       virDomainDef *def)
{
    int n = vireoGuestInfoCheckArray(reply, "disks", VIREO_GUEST_INFO_MAX_ITEMS);
    int i;

    if (n < 0 || virTypedParamListAddUInt(list, n, "disk.count") < 0)
        return -1;
    for (i = 0; i < n; i++) {
        if (vireoGuestInfoAddOneDisk(list, virJSONValueArrayGet(reply, i), def, i) < 0)
            return -1;
    }

    return 0;
}

static int
vireoGuestInfoAddInterface(virTypedParamList *list,
                           virDomainInterfacePtr iface,
                           int n)
{
    unsigned int i;

    if (virTypedParamListAddString(list, iface->name, "if.%d.name", n) < 0 ||
        (iface->hwaddr && virTypedParamListAddString(list, iface->hwaddr, "if.%d.hwaddr", n) < 0) ||
        virTypedParamListAddUInt(list, iface->naddrs, "if.%d.addr.count", n) < 0)
        return -1;

    for (i = 0; i < iface->naddrs; i++) {
        virDomainIPAddressPtr address = &iface->addrs[i];
        const char *type = address->type == VIR_IP_ADDR_TYPE_IPV6 ? "ipv6" : "ipv4";

        if (virTypedParamListAddString(list, type, "if.%d.addr.%u.type", n, i) < 0 ||
            virTypedParamListAddString(list, address->addr, "if.%d.addr.%u.addr", n, i) < 0 ||
            virTypedParamListAddUInt(list, address->prefix, "if.%d.addr.%u.prefix", n, i) < 0)
            return -1;
    }

    return 0;
}

static int
vireoGuestInfoAddInterfaces(virTypedParamList *list,
                            virJSONValue *reply,
                            virDomainDef *def G_GNUC_UNUSED)
{
    virDomainInterfacePtr *ifaces = NULL;
    int n = vireoGuestInfoInterfaces(reply, &ifaces);
    int rc = n < 0 ? -1 : virTypedParamListAddUInt(list, n, "if.count");
    int i;

    for (i = 0; i < n; i++) {
        if (rc == 0)
            rc = vireoGuestInfoAddInterface(list, ifaces[i], i);
        virDomainInterfaceFree(ifaces[i]);
    }
    g_free(ifaces);

    return rc;
}

const vireoGuestInfoKind vireoGuestInfoKinds[] = {
    { VIR_DOMAIN_GUEST_INFO_USERS, "guest-get-users", vireoGuestInfoAddUsers },
    { VIR_DOMAIN_GUEST_INFO_OS, "guest-get-osinfo", vireoGuestInfoAddOS },
    { VIR_DOMAIN_GUEST_INFO_TIMEZONE, "guest-get-timezone", vireoGuestInfoAddTimezone },
    { VIR_DOMAIN_GUEST_INFO_HOSTNAME, "guest-get-host-name", vireoGuestInfoAddHostname },
    { VIR_DOMAIN_GUEST_INFO_FILESYSTEM, "guest-get-fsinfo", vireoGuestInfoAddFS },
    { VIR_DOMAIN_GUEST_INFO_DISKS, "guest-get-disks", vireoGuestInfoAddDisks },
    { VIR_DOMAIN_GUEST_INFO_INTERFACES, "guest-network-get-interfaces", vireoGuestInfoAddInterfaces },
    { 0 },
};
