/*
 * cpu_features.h: the features of a CPU by name
 *
 * Names and bits are libvirt's cpu_map, turned into a table at build time. A feature is a bit of
 * CPUID or of an MSR that lists features.
 *
 * Everything here is for any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

/* The MSRs that list features: IA32_CORE_CAPABILITIES and IA32_ARCH_CAPABILITIES. */
#define CPU_FEATURE_MSRS 2
extern const uint32_t cpu_feature_msrs[CPU_FEATURE_MSRS];

/* What a CPU says of itself. */
typedef struct CpuDescription {
	struct kvm_cpuid2 *cpuid;	 /* owned */
	uint64_t msrs[CPU_FEATURE_MSRS]; /* in the order of cpu_feature_msrs */
} CpuDescription;

/* Copy @from into @to, with room for @extra leaves more. cpu_description_clear() frees it. */
void cpu_description_copy(CpuDescription *to, const CpuDescription *from, unsigned extra);
void cpu_description_clear(CpuDescription *cpu);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CpuDescription, cpu_description_clear)

/* Find a leaf; NULL if there is none. */
const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *cpuid, uint32_t leaf,
					  uint32_t subleaf);

typedef struct CpuFeature CpuFeature;

/*
 * The feature @name, NULL if there is none. Names are compared as people write them: "sse4.1",
 * "sse4_1" and "SSE4-1" are one, and "sse3" is "pni".
 */
const CpuFeature *cpu_feature_find(const char *name);

/* The @index-th feature, NULL beyond the last one; other names of one feature are left out. */
const CpuFeature *cpu_feature_nth(unsigned index);
/* The name that libvirt gives it. Static. */
const char *cpu_feature_name(const CpuFeature *feature);

/* Whether @cpu has it. */
bool cpu_feature_is_set(const CpuFeature *feature, const CpuDescription *cpu);
/* Set or clear it in @cpu; false where @cpu lacks the leaf that it is in. */
bool cpu_feature_set(const CpuFeature *feature, CpuDescription *cpu, bool value);
/* Whether @cpu has the feature of that name, which exists. */
bool cpu_has(const CpuDescription *cpu, const char *name);
