/*
 * vireo_firmware.c: which firmware boots a domain, and where its variables are
 *
 * A domain with a kernel and no loader has no firmware. What else there is: UEFI in flash, chosen
 * from the host's descriptors or named by <loader type='pflash'>, and a BIOS in ROM, SeaBIOS unless
 * <loader type='rom'> names another. UEFI keeps its variables in a file of the domain's own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"

#include "vireo_command.h"
#include "vireo_firmware.h"
#include "vireo_firmware_descriptor.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_firmware");

#define VIREO_NODE_CODE "pflash0"
#define VIREO_NODE_VARIABLES "pflash1"

bool
vireoFirmwareBootsDirectly(const virDomainDef *def)
{
    return def->os.kernel && !def->os.loader && def->os.firmware == VIR_DOMAIN_OS_DEF_FIRMWARE_NONE;
}

static bool
vireoFirmwareIsFlash(const virDomainDef *def)
{
    return def->os.loader && def->os.loader->type == VIR_DOMAIN_LOADER_TYPE_PFLASH;
}

static bool
vireoFirmwareHasFeatures(const vireoFirmwareDescriptor *descriptor,
                         const virDomainOSDef *os)
{
    bool secure = os->loader && os->loader->secure == VIR_TRISTATE_BOOL_YES;
    bool has[VIR_DOMAIN_OS_DEF_FIRMWARE_FEATURE_LAST] = {
        [VIR_DOMAIN_OS_DEF_FIRMWARE_FEATURE_ENROLLED_KEYS] = descriptor->enrolledKeys,
        [VIR_DOMAIN_OS_DEF_FIRMWARE_FEATURE_SECURE_BOOT] = descriptor->secureBoot,
    };
    size_t i;

    if (secure && !descriptor->secureBoot)
        return false;

    for (i = 0; os->firmwareFeatures && i < VIR_DOMAIN_OS_DEF_FIRMWARE_FEATURE_LAST; i++) {
        if (os->firmwareFeatures[i] != VIR_TRISTATE_BOOL_ABSENT &&
            (os->firmwareFeatures[i] == VIR_TRISTATE_BOOL_YES) != has[i])
            return false;
    }

    return true;
}

static char *
vireoFirmwareVariablesPath(vireoConfig *config,
                           const virDomainDef *def)
{
    return g_strdup_printf("%s/%s_VARS.fd", config->nvramDir, def->name);
}

static void
vireoFirmwareNameVariables(vireoConfig *config,
                           virDomainDef *def,
                           const char *nvramTemplate)
{
    virDomainLoaderDef *loader = def->os.loader;

    if (!loader->nvram) {
        loader->nvram = virStorageSourceNew();
        loader->nvram->type = VIR_STORAGE_TYPE_FILE;
        loader->nvram->format = VIR_STORAGE_FILE_RAW;
        loader->nvram->path = vireoFirmwareVariablesPath(config, def);
    }
    if (!loader->nvramTemplate)
        loader->nvramTemplate = g_strdup(nvramTemplate);
}

/* <os firmware>: libvirt allows no path or type beside it. */
static int
vireoFirmwareSelect(vireoConfig *config,
                    virDomainDef *def)
{
    virDomainOSDef *os = &def->os;
    bool uefi = os->firmware == VIR_DOMAIN_OS_DEF_FIRMWARE_EFI;
    g_autoptr(GPtrArray) descriptors = vireoFirmwareDescriptorsLoad(config->firmwareDirs);
    const vireoFirmwareDescriptor *found = NULL;
    size_t i;

    for (i = 0; i < descriptors->len && !found; i++) {
        const vireoFirmwareDescriptor *descriptor = g_ptr_array_index(descriptors, i);

        if (descriptor->uefi == uefi && descriptor->flash == uefi &&
            vireoFirmwareHasFeatures(descriptor, os) &&
            (!os->loader || os->loader->stateless != VIR_TRISTATE_BOOL_YES || !descriptor->variables))
            found = descriptor;
    }
    if (!found && (uefi || os->firmwareFeatures)) {
        virReportError(VIR_ERR_OPERATION_FAILED,
                       _("this host has no firmware '%s' as domain '%s' wants it, for q35 and without SMM"),
                       virDomainOsDefFirmwareTypeToString(os->firmware), def->name);
        return -1;
    }

    if (!os->loader)
        os->loader = g_new0(virDomainLoaderDef, 1);
    os->loader->path = g_strdup(found ? found->executable : config->bios);
    os->loader->type = uefi ? VIR_DOMAIN_LOADER_TYPE_PFLASH : VIR_DOMAIN_LOADER_TYPE_ROM;
    if (uefi)
        os->loader->readonly = VIR_TRISTATE_BOOL_YES;
    if (found && found->variables)
        vireoFirmwareNameVariables(config, def, found->variables);

    /* What is chosen is said, and how it came to be is not, as libvirt's XML has it. */
    os->firmware = VIR_DOMAIN_OS_DEF_FIRMWARE_NONE;
    g_clear_pointer(&os->firmwareFeatures, g_free);
    return 0;
}

/* The template that goes with the code of an explicit loader, if a descriptor knows. */
static void
vireoFirmwareFindTemplate(vireoConfig *config,
                          virDomainDef *def)
{
    virDomainLoaderDef *loader = def->os.loader;
    g_autoptr(GPtrArray) descriptors = NULL;
    size_t i;

    if (loader->stateless == VIR_TRISTATE_BOOL_YES || loader->readonly == VIR_TRISTATE_BOOL_NO)
        return;
    if (loader->nvramTemplate) {
        vireoFirmwareNameVariables(config, def, NULL);
        return;
    }

    descriptors = vireoFirmwareDescriptorsLoad(config->firmwareDirs);
    for (i = 0; i < descriptors->len; i++) {
        const vireoFirmwareDescriptor *descriptor = g_ptr_array_index(descriptors, i);

        if (descriptor->variables && STREQ(descriptor->executable, loader->path)) {
            vireoFirmwareNameVariables(config, def, descriptor->variables);
            return;
        }
    }
    vireoFirmwareNameVariables(config, def, NULL);
}

int
vireoFirmwareFill(vireoConfig *config,
                  virDomainDef *def)
{
    if (vireoFirmwareBootsDirectly(def))
        return 0;
    if (def->os.firmware != VIR_DOMAIN_OS_DEF_FIRMWARE_NONE || !def->os.loader)
        return vireoFirmwareSelect(config, def);
    if (vireoFirmwareIsFlash(def))
        vireoFirmwareFindTemplate(config, def);

    return 0;
}

/* Returns the size of a regular file, or -1 with an error reported. */
static long long
vireoFirmwareSize(const char *what,
                  const char *path)
{
    struct stat sb;

    if (stat(path, &sb) < 0) {
        virReportSystemError(errno, _("the %s '%s' cannot be used"), what, path);
        return -1;
    }
    if (!S_ISREG(sb.st_mode)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("the %s '%s' is not a regular file"), what, path);
        return -1;
    }

    return sb.st_size;
}

static int
vireoFirmwareCopyCallback(int fd,
                          const char *path G_GNUC_UNUSED,
                          const void *opaque)
{
    const char *from = opaque;
    g_autofree char *buf = g_new0(char, 65536);
    VIR_AUTOCLOSE source = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (source < 0) {
        virReportSystemError(errno, _("cannot open '%s'"), from);
        return -1;
    }
    while ((n = saferead(source, buf, 65536)) > 0) {
        if (safewrite(fd, buf, n) != n)
            return -1;
    }
    if (n < 0) {
        virReportSystemError(errno, _("cannot read '%s'"), from);
        return -1;
    }

    return 0;
}

static int
vireoFirmwareMakeVariables(vireoConfig *config,
                           const virDomainLoaderDef *loader)
{
    const char *path = loader->nvram->path;

    if (!loader->nvramTemplate) {
        virReportError(VIR_ERR_OPERATION_FAILED,
                       _("the firmware's variables '%s' are not there, and no template for them is known"),
                       path);
        return -1;
    }
    if (vireoFirmwareSize("template of variables", loader->nvramTemplate) < 0)
        return -1;
    if (virFileMakeParentPath(path) < 0) {
        virReportSystemError(errno, _("cannot make the directory of '%s'"), path);
        return -1;
    }

    return virFileRewrite(path, S_IRUSR | S_IWUSR, config->user, config->group,
                          vireoFirmwareCopyCallback, loader->nvramTemplate);
}

int
vireoFirmwarePrepare(vireoConfig *config,
                     virDomainDef *def,
                     bool reset)
{
    const virDomainLoaderDef *loader = def->os.loader;
    long long size;
    long long wanted;

    if (!loader)
        return 0;
    if (vireoFirmwareSize("firmware", loader->path) < 0)
        return -1;
    if (!loader->nvram)
        return 0;
    if ((reset || !virFileExists(loader->nvram->path)) &&
        vireoFirmwareMakeVariables(config, loader) < 0)
        return -1;

    if ((size = vireoFirmwareSize("file of variables", loader->nvram->path)) < 0)
        return -1;
    if (loader->nvramTemplate && virFileExists(loader->nvramTemplate)) {
        if ((wanted = vireoFirmwareSize("template of variables", loader->nvramTemplate)) < 0)
            return -1;
        if (size != wanted) {
            virReportError(VIR_ERR_OPERATION_FAILED,
                           _("the firmware's variables '%s' have %lld bytes, but their template '%s' has %lld: they are not this firmware's, or damaged (start --reset-nvram makes them anew)"),
                           loader->nvram->path, size, loader->nvramTemplate, wanted);
            return -1;
        }
    }

    return 0;
}

char *
vireoFirmwareVariables(vireoConfig *config,
                       const virDomainDef *def)
{
    const virDomainLoaderDef *loader = def->os.loader;

    if (loader && loader->nvram)
        return virStorageSourceIsLocalStorage(loader->nvram) ? g_strdup(loader->nvram->path) : NULL;
    if (loader && loader->stateless == VIR_TRISTATE_BOOL_YES)
        return NULL;
    if (def->os.firmware == VIR_DOMAIN_OS_DEF_FIRMWARE_EFI ||
        (vireoFirmwareIsFlash(def) && loader->readonly != VIR_TRISTATE_BOOL_NO))
        return vireoFirmwareVariablesPath(config, def);

    return NULL;
}

int
vireoFirmwareUndefine(vireoConfig *config,
                      const virDomainDef *def,
                      unsigned int flags)
{
    g_autofree char *path = vireoFirmwareVariables(config, def);

    if (!path || !virFileExists(path) || (flags & VIR_DOMAIN_UNDEFINE_KEEP_NVRAM))
        return 0;
    if (!(flags & VIR_DOMAIN_UNDEFINE_NVRAM)) {
        virReportError(VIR_ERR_OPERATION_INVALID, "%s", _("cannot undefine domain with nvram"));
        return -1;
    }
    if (unlink(path) < 0) {
        virReportSystemError(errno, _("failed to remove nvram: %s"), path);
        return -1;
    }

    return 0;
}

void
vireoFirmwareAddMachine(virBuffer *buf,
                        const virDomainDef *def)
{
    if (vireoFirmwareIsFlash(def)) {
        virBufferAddLit(buf, ",pflash0=" VIREO_NODE_CODE);
        if (def->os.loader->nvram)
            virBufferAddLit(buf, ",pflash1=" VIREO_NODE_VARIABLES);
    }
    if (def->os.bios.useserial == VIR_TRISTATE_BOOL_YES)
        virBufferAddLit(buf, ",graphics=off");
}

static int
vireoFirmwareAddNode(virCommand *cmd,
                     const char *name,
                     const char *path,
                     bool readonly)
{
    g_autoptr(virJSONValue) props = NULL;

    if (virJSONValueObjectAdd(&props,
                              "s:driver", "file",
                              "s:node-name", name,
                              "s:filename", path,
                              "b:read-only", readonly,
                              NULL) < 0)
        return -1;

    return vireoCommandAddJSON(cmd, "-blockdev", g_steal_pointer(&props));
}

char *
vireoFirmwareScreenROM(const virDomainDef *def)
{
    g_autofree char *dir = NULL;
    g_autofree char *path = NULL;

    if (!def->os.loader || vireoFirmwareIsFlash(def))
        return NULL;

    /* SeaBIOS has it beside itself. */
    dir = g_path_get_dirname(def->os.loader->path);
    path = g_build_filename(dir, "vgabios-bochs-display.bin", NULL);
    return virFileExists(path) ? g_steal_pointer(&path) : NULL;
}

static int
vireoFirmwareAddLoader(virCommand *cmd,
                       const virDomainDef *def)
{
    const virDomainLoaderDef *loader = def->os.loader;

    if (!vireoFirmwareIsFlash(def)) {
        virCommandAddArgList(cmd, "-bios", loader->path, NULL);
        return 0;
    }
    if (vireoFirmwareAddNode(cmd, VIREO_NODE_CODE, loader->path,
                             loader->readonly != VIR_TRISTATE_BOOL_NO) < 0)
        return -1;

    return !loader->nvram ? 0 :
        vireoFirmwareAddNode(cmd, VIREO_NODE_VARIABLES, loader->nvram->path, false);
}

int
vireoFirmwareAddArgs(virCommand *cmd,
                     const virDomainDef *def)
{
    const virDomainOSDef *os = &def->os;
    g_auto(virBuffer) boot = VIR_BUFFER_INITIALIZER;

    if (os->loader) {
        if (vireoFirmwareAddLoader(cmd, def) < 0)
            return -1;
        if (os->bootmenu == VIR_TRISTATE_BOOL_YES)
            virBufferAddLit(&boot, "menu=on,");
        if (os->bm_timeout_set)
            virBufferAsprintf(&boot, "splash-time=%u,", os->bm_timeout);
        if (os->bios.rt_set)
            virBufferAsprintf(&boot, "reboot-timeout=%d,", os->bios.rt_delay);
        virBufferAddLit(&boot, "strict=on");
        virCommandAddArg(cmd, "-boot");
        virCommandAddArgBuffer(cmd, &boot);
    }

    if (os->kernel)
        virCommandAddArgList(cmd, "-kernel", os->kernel, NULL);
    if (os->initrd)
        virCommandAddArgList(cmd, "-initrd", os->initrd, NULL);
    if (os->cmdline)
        virCommandAddArgList(cmd, "-append", os->cmdline, NULL);
    return 0;
}

/* What of @def the <boot dev> @dev means: the first of its kind. */
static const virDomainDeviceInfo *
vireoFirmwareBootDevice(const virDomainDef *def,
                        virDomainBootOrder dev)
{
    size_t i;

    if (dev == VIR_DOMAIN_BOOT_NET)
        return def->nnets > 0 ? &def->nets[0]->info : NULL;
    for (i = 0; i < def->ndisks; i++) {
        const virDomainDiskDef *disk = def->disks[i];

        if ((dev == VIR_DOMAIN_BOOT_DISK && disk->device == VIR_DOMAIN_DISK_DEVICE_DISK) ||
            (dev == VIR_DOMAIN_BOOT_CDROM && disk->device == VIR_DOMAIN_DISK_DEVICE_CDROM))
            return &disk->info;
    }

    return NULL;
}

unsigned int
vireoFirmwareBootIndex(const virDomainDef *def,
                       const virDomainDeviceInfo *info)
{
    size_t i;

    if (info->bootIndex > 0 || vireoFirmwareBootsDirectly(def))
        return info->bootIndex;
    for (i = 0; i < def->os.nBootDevs; i++) {
        if (vireoFirmwareBootDevice(def, def->os.bootDevs[i]) == info)
            return i + 1;
    }

    return 0;
}

int
vireoFirmwareValidate(const virDomainDef *def)
{
    const virDomainOSDef *os = &def->os;
    const virDomainLoaderDef *loader = os->loader;
    bool flash = os->firmware == VIR_DOMAIN_OS_DEF_FIRMWARE_EFI || vireoFirmwareIsFlash(def);
    bool direct = vireoFirmwareBootsDirectly(def);
    const char *what = NULL;
    size_t i;

    if (os->kernel && !direct && !flash)
        what = "a <kernel> beside a BIOS";
    else if ((os->initrd || os->cmdline) && !os->kernel)
        what = "<initrd> or <cmdline> without a <kernel>";
    else if (direct && os->bootmenu == VIR_TRISTATE_BOOL_YES)
        what = "<bootmenu> without firmware";
    else if (direct && os->bios.rt_set)
        what = "<bios rebootTimeout> without firmware";
    else if (os->bios.useserial == VIR_TRISTATE_BOOL_YES && (direct || flash))
        what = "<bios useserial> without a BIOS";
    else if (os->bios.useserial == VIR_TRISTATE_BOOL_YES && def->nserials == 0)
        what = "<bios useserial> without a serial port";
    else if (loader && loader->secure == VIR_TRISTATE_BOOL_YES && loader->path)
        what = "<loader secure='yes'>, which needs SMM";
    else if (loader && loader->nvram && !virStorageSourceIsLocalStorage(loader->nvram))
        what = "an <nvram> that is not a local file";
    else if (loader && loader->nvram && !flash)
        what = "an <nvram> without flash";

    if (what) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, _("Vireo does not support %s"), what);
        return -1;
    }

    for (i = 0; i < os->nBootDevs; i++) {
        if (os->bootDevs[i] == VIR_DOMAIN_BOOT_FLOPPY) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                           _("Vireo does not support <boot dev='fd'>"));
            return -1;
        }
    }

    return 0;
}

void
vireoFirmwareFillCapabilities(vireoConfig *config,
                              virDomainCaps *domcaps)
{
    g_autoptr(GPtrArray) descriptors = vireoFirmwareDescriptorsLoad(config->firmwareDirs);
    virDomainCapsOS *os = &domcaps->os;
    virDomainCapsLoader *loader = &os->loader;
    size_t i;

    os->supported = VIR_TRISTATE_BOOL_YES;
    os->firmware.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(os->firmware, VIR_DOMAIN_OS_DEF_FIRMWARE_BIOS);

    loader->supported = VIR_TRISTATE_BOOL_YES;
    loader->values.values = g_new0(char *, descriptors->len + 1);
    for (i = 0; i < descriptors->len; i++) {
        const vireoFirmwareDescriptor *descriptor = g_ptr_array_index(descriptors, i);

        loader->values.values[loader->values.nvalues++] = g_strdup(descriptor->executable);
        if (descriptor->uefi)
            VIR_DOMAIN_CAPS_ENUM_SET(os->firmware, VIR_DOMAIN_OS_DEF_FIRMWARE_EFI);
    }
    loader->type.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(loader->type, VIR_DOMAIN_LOADER_TYPE_ROM, VIR_DOMAIN_LOADER_TYPE_PFLASH);
    loader->readonly.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(loader->readonly, VIR_TRISTATE_BOOL_YES, VIR_TRISTATE_BOOL_NO);
    loader->secure.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(loader->secure, VIR_TRISTATE_BOOL_NO);
}
