/*
 * cpuid.h: what the guest's CPUID instruction says
 *
 * Everything starts from what KVM offers (models "host" and "max", which are the same here);
 * features are taken away or checked by name; topology and the hypervisor's leaves are made from
 * the configuration.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmm/config/vm_config.h"

/* Where a vCPU is in the topology. */
typedef struct CpuPlace {
	unsigned socket, die, core, thread; /* each within the one before */
} CpuPlace;

/* The place of vCPU @index: threads count first, then cores, dies, sockets. */
CpuPlace cpu_place(const CpuTopology *topology, unsigned index);

/* The APIC id of vCPU @index: each level of its place in a field of as few bits as do. */
uint32_t cpu_apic_id(const CpuTopology *topology, unsigned index);

/*
 * The CPUID that all vCPUs of a machine share, a new allocation: @supported (KVM's) with the
 * settings @features (CpuFeatureSetting *) applied. @tsc_khz may be 0 (unknown). NULL and @error
 * naming the feature that does not exist or that this host cannot give. Any thread.
 */
struct kvm_cpuid2 *cpuid_new(const struct kvm_cpuid2 *supported, const CpuTopology *topology,
			     const GPtrArray *features, unsigned tsc_khz, GError **error);

/* Put into @cpuid, made by cpuid_new(), what differs in vCPU @index. */
void cpuid_set_cpu(struct kvm_cpuid2 *cpuid, const CpuTopology *topology, unsigned index);

/* How many bits a physical address has (leaf 0x80000008; 36 where there is none). */
unsigned cpuid_physical_bits(const struct kvm_cpuid2 *cpuid);

/* Find a leaf; NULL if there is none. */
const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *cpuid, uint32_t leaf,
					  uint32_t subleaf);

/* The models, NULL-terminated. */
extern const char *const cpu_model_names[];

/* Check that @model is one that exists; false and @error otherwise. */
bool cpu_model_check(const char *model, GError **error);

/* Print "-cpu help": the models, and the names of the features. */
void cpu_models_print_help(FILE *stream);
