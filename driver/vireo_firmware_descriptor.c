/*
 * vireo_firmware_descriptor.c: the firmware that the distribution has installed
 *
 * Descriptors are JSON files in several directories. Of files of the same name the one in the later
 * directory counts (an empty one takes a descriptor away); the order of names is that of preference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virfile.h"
#include "virjson.h"
#include "virlog.h"

#include "vireo_capabilities.h"
#include "vireo_firmware_descriptor.h"

#define VIR_FROM_THIS VIR_FROM_CONF

VIR_LOG_INIT("vireo.vireo_firmware_descriptor");

#define VIREO_DESCRIPTOR_MAX (1024 * 1024)

/* What descriptors call the machine that Vireo's is compatible with. */
#define VIREO_DESCRIPTOR_MACHINE "pc-q35-7.2"

static void
vireoFirmwareDescriptorFree(void *data)
{
    vireoFirmwareDescriptor *descriptor = data;

    g_free(descriptor->executable);
    g_free(descriptor->variables);
    g_free(descriptor);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vireoFirmwareDescriptor, vireoFirmwareDescriptorFree);

/* name of file -> its path, from all directories */
static GHashTable *
vireoFirmwareDescriptorsFind(char **dirs)
{
    GHashTable *paths = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (; *dirs; dirs++) {
        g_autoptr(GDir) dir = g_dir_open(*dirs, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
            if (g_str_has_suffix(name, ".json") && name[0] != '.')
                g_hash_table_replace(paths, g_strdup(name), g_build_filename(*dirs, name, NULL));
        }
    }

    return paths;
}

/* Whether the array @name of @object has the string @wanted. */
static bool
vireoFirmwareDescriptorHas(virJSONValue *object,
                           const char *name,
                           const char *wanted)
{
    virJSONValue *array = virJSONValueObjectGetArray(object, name);
    size_t i;

    for (i = 0; array && i < virJSONValueArraySize(array); i++) {
        if (STREQ_NULLABLE(virJSONValueGetString(virJSONValueArrayGet(array, i)), wanted))
            return true;
    }

    return false;
}

static bool
vireoFirmwareDescriptorTargets(virJSONValue *object)
{
    virJSONValue *targets = virJSONValueObjectGetArray(object, "targets");
    size_t i;
    size_t j;

    for (i = 0; targets && i < virJSONValueArraySize(targets); i++) {
        virJSONValue *target = virJSONValueArrayGet(targets, i);
        virJSONValue *machines = virJSONValueObjectGetArray(target, "machines");

        if (STRNEQ_NULLABLE(virJSONValueObjectGetString(target, "architecture"), "x86_64"))
            continue;
        for (j = 0; machines && j < virJSONValueArraySize(machines); j++) {
            const char *machine = virJSONValueGetString(virJSONValueArrayGet(machines, j));

            if (machine && (g_pattern_match_simple(machine, VIREO_DESCRIPTOR_MACHINE) ||
                            g_pattern_match_simple(machine, VIREO_MACHINE)))
                return true;
        }
    }

    return false;
}

/* The file of a raw image that @mapping has as @name, or NULL. */
static char *
vireoFirmwareDescriptorFile(virJSONValue *mapping,
                            const char *name)
{
    virJSONValue *file = virJSONValueObjectGetObject(mapping, name);
    const char *format = file ? virJSONValueObjectGetString(file, "format") : NULL;

    if (!file || STRNEQ_NULLABLE(format, "raw"))
        return NULL;

    return g_strdup(virJSONValueObjectGetString(file, "filename"));
}

/* NULL where it is of no use here. */
static vireoFirmwareDescriptor *
vireoFirmwareDescriptorParse(virJSONValue *object)
{
    g_autoptr(vireoFirmwareDescriptor) descriptor = g_new0(vireoFirmwareDescriptor, 1);
    virJSONValue *mapping = virJSONValueObjectGetObject(object, "mapping");
    const char *device = mapping ? virJSONValueObjectGetString(mapping, "device") : NULL;
    const char *mode = mapping ? virJSONValueObjectGetString(mapping, "mode") : NULL;

    descriptor->uefi = vireoFirmwareDescriptorHas(object, "interface-types", "uefi");
    if ((!descriptor->uefi && !vireoFirmwareDescriptorHas(object, "interface-types", "bios")) ||
        !vireoFirmwareDescriptorTargets(object) ||
        vireoFirmwareDescriptorHas(object, "features", "requires-smm"))
        return NULL;

    if (STREQ_NULLABLE(device, "flash")) {
        descriptor->flash = true;
        descriptor->executable = vireoFirmwareDescriptorFile(mapping, "executable");
        if (!mode || STREQ(mode, "split")) {
            if (!(descriptor->variables = vireoFirmwareDescriptorFile(mapping, "nvram-template")))
                return NULL;
        } else if (STRNEQ(mode, "stateless")) {
            return NULL;
        }
    } else if (STREQ_NULLABLE(device, "memory")) {
        descriptor->executable = g_strdup(virJSONValueObjectGetString(mapping, "filename"));
    }
    if (!descriptor->executable)
        return NULL;

    descriptor->secureBoot = vireoFirmwareDescriptorHas(object, "features", "secure-boot");
    descriptor->enrolledKeys = vireoFirmwareDescriptorHas(object, "features", "enrolled-keys");

    return g_steal_pointer(&descriptor);
}

static int
vireoFirmwareDescriptorCompare(const void *a,
                               const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *
vireoFirmwareDescriptorsLoad(char **dirs)
{
    GPtrArray *descriptors = g_ptr_array_new_with_free_func(vireoFirmwareDescriptorFree);
    g_autoptr(GHashTable) paths = vireoFirmwareDescriptorsFind(dirs);
    guint nnames;
    g_autofree char **names = (char **)g_hash_table_get_keys_as_array(paths, &nnames);
    guint i;

    qsort(names, nnames, sizeof(*names), vireoFirmwareDescriptorCompare);
    for (i = 0; i < nnames; i++) {
        const char *path = g_hash_table_lookup(paths, names[i]);
        g_autofree char *text = NULL;
        g_autoptr(virJSONValue) object = NULL;
        vireoFirmwareDescriptor *descriptor;

        if (virFileReadAllQuiet(path, VIREO_DESCRIPTOR_MAX, &text) < 0) {
            VIR_WARN("'%s' cannot be read", path);
            continue;
        }
        if (*text == '\0')
            continue;
        if (!(object = virJSONValueFromString(text))) {
            VIR_WARN("'%s' is no JSON: %s", path, virGetLastErrorMessage());
            virResetLastError();
            continue;
        }
        if (virJSONValueIsObject(object) && (descriptor = vireoFirmwareDescriptorParse(object)))
            g_ptr_array_add(descriptors, descriptor);
    }

    return descriptors;
}
