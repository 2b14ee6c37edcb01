/*
 * cpu_models.h: CPU models: the host's, and those that have names
 *
 * A named model (libvirt's cpu_map, turned into a table at build time) is a vendor, a signature and
 * a set of features. A guest gets of it what this host's KVM can give.
 *
 * Everything here is for any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

#include "vmm/config/vm_config.h"
#include "vmm/x86/cpu_features.h"

typedef struct CpuModel CpuModel;

/* The model @name; NULL and @error naming it if there is none. */
const CpuModel *cpu_model_find(const char *name, GError **error);
/* The @index-th model, NULL beyond the last one. */
const CpuModel *cpu_model_nth(unsigned index);
const char *cpu_model_name(const CpuModel *model);

/* Whether it follows the host ("host", "max"), so that it means something else on another one. */
bool cpu_model_is_host(const CpuModel *model);
/* Whether it is "base", which has no features and is thus the same for ever. */
bool cpu_model_is_static(const CpuModel *model);

/*
 * The features of @model that @host, what KVM supports here, lacks: an array of static strings, not
 * NULL-terminated; g_ptr_array_unref() it.
 */
GPtrArray *cpu_model_missing(const CpuModel *model, const CpuDescription *host);

/*
 * Describe in @cpu, which cpu_description_clear() frees, a CPU of @model with @settings
 * (CpuFeatureSetting *, may be NULL) on @host. What the model has and the host lacks is left out
 * (cpu_model_missing()); a feature that @settings ask for must be there. @extra is how many leaves
 * can be added later. False and @error naming the feature that does not exist, or that this host
 * cannot give; @cpu is unset then.
 */
bool cpu_model_describe(const CpuModel *model, const GPtrArray *settings,
			const CpuDescription *host, unsigned extra, CpuDescription *cpu,
			GError **error);

/* How many letters the name of a CPU's vendor has. */
#define CPU_VENDOR_LENGTH 12u

/* Let CPUID of @cpu name @vendor, CPU_VENDOR_LENGTH letters, as the maker; "": as it is. */
void cpu_set_vendor(CpuDescription *cpu, const char *vendor);

/* Print "-cpu help": the models, and the names of the features. */
void cpu_models_print_help(FILE *stream);
