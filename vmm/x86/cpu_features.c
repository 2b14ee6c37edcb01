/*
 * cpu_features.c: the features of a CPU by name
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/cpu_features.h"

#include <string.h>

typedef enum CpuFeatureKind { CPU_FEATURE_CPUID, CPU_FEATURE_MSR } CpuFeatureKind;

struct CpuFeature {
	const char *name;
	CpuFeatureKind kind;
	uint32_t leaf, subleaf; /* leaf: of an MSR its number */
	uint8_t reg;		/* 0 to 3: eax, ebx, ecx, edx; of an MSR edx is the high half */
	uint8_t bit;
	bool is_alias;
};

static const CpuFeature features[] = {
#include "vmm/x86/cpu-features.inc"
};

const uint32_t cpu_feature_msrs[CPU_FEATURE_MSRS] = { 0xcf, 0x10a };

void cpu_description_copy(CpuDescription *to, const CpuDescription *from, unsigned extra)
{
	const struct kvm_cpuid2 *cpuid = from->cpuid;
	size_t size = sizeof(*cpuid) + cpuid->nent * sizeof(cpuid->entries[0]);

	*to = *from;
	to->cpuid = g_malloc(size + extra * sizeof(cpuid->entries[0]));
	memcpy(to->cpuid, cpuid, size);
}

void cpu_description_clear(CpuDescription *cpu)
{
	g_clear_pointer(&cpu->cpuid, g_free);
}

const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *cpuid, uint32_t leaf,
					  uint32_t subleaf)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == leaf &&
		    (entry->index == subleaf || !(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return entry;
	}
	return NULL;
}

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		bool separators = strchr("-_.", *a) && strchr("-_.", *b);

		if (!separators && g_ascii_tolower(*a) != g_ascii_tolower(*b))
			return false;
	}
	return *a == *b;
}

const CpuFeature *cpu_feature_find(const char *name)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
		if (same_name(features[i].name, name))
			return &features[i];
	}
	return NULL;
}

const CpuFeature *cpu_feature_nth(unsigned index)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
		if (!features[i].is_alias && index-- == 0)
			return &features[i];
	}
	return NULL;
}

const char *cpu_feature_name(const CpuFeature *feature)
{
	return feature->name;
}

/* The register of CPUID that @feature is in; NULL where @cpu lacks it. */
static uint32_t *find_register(const CpuFeature *feature, const CpuDescription *cpu)
{
	struct kvm_cpuid_entry2 *entry = (struct kvm_cpuid_entry2 *)cpuid_find(
		cpu->cpuid, feature->leaf, feature->subleaf);

	if (!entry)
		return NULL;
	return (uint32_t *const[]){ &entry->eax, &entry->ebx, &entry->ecx,
				    &entry->edx }[feature->reg];
}

static unsigned find_msr(const CpuFeature *feature)
{
	unsigned i = 0;

	while (i < CPU_FEATURE_MSRS && cpu_feature_msrs[i] != feature->leaf)
		i++;
	return i;
}

static uint64_t msr_bit(const CpuFeature *feature)
{
	return UINT64_C(1) << (feature->bit + (feature->reg == 3 ? 32 : 0));
}

bool cpu_feature_is_set(const CpuFeature *feature, const CpuDescription *cpu)
{
	const uint32_t *value;

	if (feature->kind == CPU_FEATURE_MSR) {
		unsigned msr = find_msr(feature);

		return msr < CPU_FEATURE_MSRS && (cpu->msrs[msr] & msr_bit(feature));
	}
	value = find_register(feature, cpu);
	return value && (*value & UINT32_C(1) << feature->bit);
}

bool cpu_feature_set(const CpuFeature *feature, CpuDescription *cpu, bool value)
{
	uint32_t mask = UINT32_C(1) << feature->bit, *place;

	if (feature->kind == CPU_FEATURE_MSR) {
		unsigned msr = find_msr(feature);

		if (msr >= CPU_FEATURE_MSRS)
			return false;
		cpu->msrs[msr] = (cpu->msrs[msr] & ~msr_bit(feature)) |
				 (value ? msr_bit(feature) : 0);
		return true;
	}
	place = find_register(feature, cpu);
	if (!place)
		return false;
	*place = (*place & ~mask) | (value ? mask : 0);
	return true;
}

bool cpu_has(const CpuDescription *cpu, const char *name)
{
	const CpuFeature *feature = cpu_feature_find(name);

	return feature && cpu_feature_is_set(feature, cpu);
}
