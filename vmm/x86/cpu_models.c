/*
 * cpu_models.c: CPU models: the host's, and those that have names
 *
 * "SDM" is Intel's Software Developer's Manual, "APM" AMD's Architecture Programmer's Manual.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/cpu_models.h"
#include "vmm/base/error.h"

#include <string.h>

/* Bits of leaf 0x80000001's edx that on AMD repeat those of leaf 1 (APM volume 3, §E.4.2). */
#define AMD_REPEATED_BITS 0x0183f3ffu

/* Size of the legacy area and header of XSAVE (SDM volume 1, §13.4). */
#define XSAVE_MINIMUM_SIZE 576u

struct CpuModel {
	const char *name;
	const char *vendor; /* 12 characters; "": the host's */
	unsigned family, model, stepping; /* family 0: the host's signature */
	const char *features; /* separated by spaces; NULL: all of the host's */
};

static const CpuModel models[] = {
	{ "host", "", 0, 0, 0, NULL },
	{ "max", "", 0, 0, 0, NULL },
	{ "base", "", 0, 0, 0, "" },
#include "vmm/x86/cpu-models.inc"
};

/* Registers of nothing but features: what a model does not have is zero there. */
static const struct {
	uint32_t leaf, subleaf;
	bool eax, ebx, ecx, edx;
} feature_registers[] = {
	{ 1, 0, false, false, true, true },
	{ 6, 0, true, true, true, true },
	{ 7, 0, false, true, true, true },
	{ 7, 1, true, true, true, true },
	{ 0xd, 1, true, false, false, false },
	{ 0x80000001, 0, false, false, true, true },
	{ 0x80000007, 0, true, true, true, true },
	{ 0x80000008, 0, false, true, false, false },
	{ 0x8000000a, 0, false, false, false, true },
};

/* Components of XSAVE's state (SDM volume 1, §13.1) and what they are for. */
static const struct {
	unsigned first, last;
	const char *feature;
} xsave_components[] = {
	{ 2, 2, "avx" },     { 3, 4, "mpx" },	    { 5, 7, "avx512f" },
	{ 9, 9, "pku" },     { 17, 18, "amx-tile" },
};

const CpuModel *cpu_model_nth(unsigned index)
{
	return index < G_N_ELEMENTS(models) ? &models[index] : NULL;
}

const char *cpu_model_name(const CpuModel *model)
{
	return model->name;
}

bool cpu_model_is_host(const CpuModel *model)
{
	return model->features == NULL;
}

bool cpu_model_is_static(const CpuModel *model)
{
	return model->features && *model->features == '\0';
}

const CpuModel *cpu_model_find(const char *name, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
		if (strcmp(models[i].name, name) == 0)
			return &models[i];
	}
	error_fail(error, "there is no CPU model '%s'; see -cpu help", name);
	return NULL;
}

static struct kvm_cpuid_entry2 *find_entry(CpuDescription *cpu, uint32_t leaf, uint32_t subleaf)
{
	return (struct kvm_cpuid_entry2 *)cpuid_find(cpu->cpuid, leaf, subleaf);
}

/* Part of nested virtualization: not missed where that is not there as a whole. */
static bool is_part_of_svm(const char *feature)
{
	return g_str_equal(feature, "npt") || g_str_equal(feature, "nrip-save") ||
	       g_str_equal(feature, "svme-addr-chk");
}

GPtrArray *cpu_model_missing(const CpuModel *model, const CpuDescription *host)
{
	GPtrArray *missing = g_ptr_array_new();
	g_auto(GStrv) names = g_strsplit(model->features ? model->features : "", " ", -1);
	bool has_svm = cpu_has(host, "svm");

	for (unsigned i = 0; names[i]; i++) {
		const CpuFeature *feature = cpu_feature_find(names[i]);

		/* A name that cpu_map gives more than one bit is no feature here. */
		if (!feature || cpu_feature_is_set(feature, host) ||
		    (!has_svm && is_part_of_svm(names[i])))
			continue;
		g_ptr_array_add(missing, (gpointer)cpu_feature_name(feature));
	}
	return missing;
}

/* Whether a named model has @leaf: those that say how the host is made are left out. */
static bool is_portable_leaf(uint32_t leaf, bool is_amd)
{
	switch (leaf) {
	case 0 ... 2:
	case 4 ... 7:
	case 0xb:
	case 0xd:
	case 0x1f:
	case 0x40000000 ... 0x4fffffff:
	case 0x80000000 ... 0x80000008:
		return true;
	case 0x8000000a:
	case 0x8000001d ... 0x8000001e:
		return is_amd;
	default:
		return false;
	}
}

static void drop_leaves(CpuDescription *cpu, bool is_amd)
{
	struct kvm_cpuid2 *cpuid = cpu->cpuid;
	struct kvm_cpuid_entry2 *basic, *extended, *seven;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		bool unknown_subleaf = entry->function == 7 && entry->index > 1;

		if (is_portable_leaf(entry->function, is_amd) && !unknown_subleaf)
			cpuid->entries[kept++] = *entry;
	}
	cpuid->nent = kept;
	basic = find_entry(cpu, 0, 0);
	if (basic)
		basic->eax = MIN(basic->eax, 0xd);
	extended = find_entry(cpu, 0x80000000, 0);
	if (extended)
		extended->eax = MIN(extended->eax, is_amd ? 0x8000001e : 0x80000008);
	seven = find_entry(cpu, 7, 0);
	if (seven)
		seven->eax = MIN(seven->eax, 1);
}

static void clear_features(CpuDescription *cpu)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(feature_registers); i++) {
		struct kvm_cpuid_entry2 *entry = find_entry(cpu, feature_registers[i].leaf,
							    feature_registers[i].subleaf);

		if (!entry)
			continue;
		entry->eax = feature_registers[i].eax ? 0 : entry->eax;
		entry->ebx = feature_registers[i].ebx ? 0 : entry->ebx;
		entry->ecx = feature_registers[i].ecx ? 0 : entry->ecx;
		entry->edx = feature_registers[i].edx ? 0 : entry->edx;
	}
	memset(cpu->msrs, 0, sizeof(cpu->msrs));
}

static bool is_amd_vendor(const CpuDescription *cpu)
{
	const struct kvm_cpuid_entry2 *entry = cpuid_find(cpu->cpuid, 0, 0);

	return entry && (entry->ebx == 0x68747541 /* Auth */ || entry->ebx == 0x6f677948 /* Hygo */);
}

void cpu_set_vendor(CpuDescription *cpu, const char *vendor)
{
	static const uint32_t leaves[] = { 0, 0x80000000 };

	for (unsigned i = 0; i < G_N_ELEMENTS(leaves) && *vendor; i++) {
		struct kvm_cpuid_entry2 *entry = find_entry(cpu, leaves[i], 0);

		if (!entry)
			continue;
		memcpy(&entry->ebx, vendor, 4);
		memcpy(&entry->edx, vendor + 4, 4);
		memcpy(&entry->ecx, vendor + 8, 4);
	}
}

/* SDM volume 2, CPUID leaf 1: extended family and model are for what does not fit four bits. */
static void set_signature(CpuDescription *cpu, const CpuModel *model)
{
	unsigned family = MIN(model->family, 15);
	uint32_t eax = (model->family - family) << 20 | (model->model >> 4) << 16 | family << 8 |
		       (model->model & 0xf) << 4 | model->stepping;
	static const uint32_t leaves[] = { 1, 0x80000001 };

	for (unsigned i = 0; i < G_N_ELEMENTS(leaves) && model->family; i++) {
		struct kvm_cpuid_entry2 *entry = find_entry(cpu, leaves[i], 0);

		if (entry)
			entry->eax = eax;
	}
}

/* The brand string, 48 bytes in leaves 0x80000002 to 4: not the host's. */
static void set_brand(CpuDescription *cpu, const CpuModel *model)
{
	char brand[48] = { 0 };

	g_snprintf(brand, sizeof(brand), "%s virtual CPU", model->name);
	for (uint32_t i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *entry = find_entry(cpu, 0x80000002 + i, 0);

		if (!entry)
			continue;
		memcpy(&entry->eax, brand + i * 16, 4);
		memcpy(&entry->ebx, brand + i * 16 + 4, 4);
		memcpy(&entry->ecx, brand + i * 16 + 8, 4);
		memcpy(&entry->edx, brand + i * 16 + 12, 4);
	}
}

/* KVM has it on any host, and every guest is better off with it. */
static const char *const always_present[] = { "x2apic", "hypervisor" };

static void set_model(const CpuModel *model, const CpuDescription *host, CpuDescription *cpu)
{
	g_auto(GStrv) names = g_strsplit(model->features, " ", -1);

	cpu_set_vendor(cpu, model->vendor);
	set_signature(cpu, model);
	set_brand(cpu, model);
	drop_leaves(cpu, is_amd_vendor(cpu));
	clear_features(cpu);
	for (unsigned i = 0; names[i]; i++) {
		const CpuFeature *feature = cpu_feature_find(names[i]);

		if (feature && cpu_feature_is_set(feature, host))
			cpu_feature_set(feature, cpu, true);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(always_present); i++) {
		const CpuFeature *feature = cpu_feature_find(always_present[i]);

		if (feature && cpu_feature_is_set(feature, host))
			cpu_feature_set(feature, cpu, true);
	}
}

static bool apply_setting(const CpuFeatureSetting *setting, const CpuDescription *host,
			  CpuDescription *cpu, GError **error)
{
	const CpuFeature *feature = cpu_feature_find(setting->name);
	bool wanted = setting->state != CPU_FEATURE_OFF;

	if (!feature)
		return error_fail(error, "there is no CPU feature '%s'", setting->name);
	if ((setting->state == CPU_FEATURE_ON && !cpu_feature_is_set(feature, host)) ||
	    (!cpu_feature_set(feature, cpu, wanted) && wanted))
		return error_fail(error, "this host cannot give CPU feature '%s'", setting->name);
	return true;
}

static uint64_t component_mask(unsigned first, unsigned last)
{
	return ((UINT64_C(1) << (last + 1)) - 1) & ~((UINT64_C(1) << first) - 1);
}

/* The components of XSAVE that the features of @cpu use. */
static uint64_t xsave_mask(const CpuDescription *cpu, bool is_host)
{
	uint64_t known = 3, used = 3; /* x87 and SSE */

	for (unsigned i = 0; i < G_N_ELEMENTS(xsave_components); i++) {
		uint64_t mask = component_mask(xsave_components[i].first, xsave_components[i].last);

		known |= mask;
		if (cpu_has(cpu, xsave_components[i].feature))
			used |= mask;
	}
	/* What has no name here is the host's, or nobody's. */
	return is_host ? used | ~known : used;
}

/* Leaf 0xd tells of no state whose features the CPU does not have. */
static void limit_xsave(CpuDescription *cpu, bool is_host)
{
	struct kvm_cpuid2 *cpuid = cpu->cpuid;
	struct kvm_cpuid_entry2 *main = find_entry(cpu, 0xd, 0);
	uint64_t mask = cpu_has(cpu, "xsave") ? xsave_mask(cpu, is_host) : 0;
	uint32_t size = XSAVE_MINIMUM_SIZE, kept = 0;

	if (!main)
		return;
	main->eax &= (uint32_t)mask;
	main->edx &= (uint32_t)(mask >> 32);
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		bool is_user_state = entry->function == 0xd && !(entry->ecx & 1);

		if (entry->function == 0xd && entry->index >= 2 && entry->index < 64 &&
		    !(mask & UINT64_C(1) << entry->index))
			continue;
		if (is_user_state && entry->index >= 2)
			size = MAX(size, entry->eax + entry->ebx);
		if (entry->function == 0xd && entry->index == 1 && !is_host)
			entry->ecx = entry->edx = 0;
		cpuid->entries[kept++] = *entry;
	}
	cpuid->nent = kept;
	main = find_entry(cpu, 0xd, 0);
	main->ecx = main->eax ? size : 0;
}

bool cpu_model_describe(const CpuModel *model, const GPtrArray *settings,
			const CpuDescription *host, unsigned extra, CpuDescription *cpu,
			GError **error)
{
	struct kvm_cpuid_entry2 *extended;
	const struct kvm_cpuid_entry2 *basic;

	cpu_description_copy(cpu, host, extra);
	if (!cpu_model_is_host(model))
		set_model(model, host, cpu);
	for (unsigned i = 0; settings && i < settings->len; i++) {
		if (!apply_setting(settings->pdata[i], host, cpu, error)) {
			cpu_description_clear(cpu);
			return false;
		}
	}
	limit_xsave(cpu, cpu_model_is_host(model));
	basic = cpuid_find(cpu->cpuid, 1, 0);
	extended = find_entry(cpu, 0x80000001, 0);
	if (!cpu_model_is_host(model) && basic && extended && is_amd_vendor(cpu))
		extended->edx |= basic->edx & AMD_REPEATED_BITS;
	return true;
}

static void print_names(FILE *stream, const char *(*nth)(unsigned index), unsigned first)
{
	unsigned column = 0;
	const char *name;

	for (unsigned i = first; (name = nth(i)); i++) {
		int printed = fprintf(stream, "%s%s", column ? " " : "  ", name);

		column += (unsigned)MAX(printed, 0);
		if (column > 78) {
			fputc('\n', stream);
			column = 0;
		}
	}
	if (column)
		fputc('\n', stream);
}

static const char *nth_model_name(unsigned index)
{
	const CpuModel *model = cpu_model_nth(index);

	return model ? model->name : NULL;
}

static const char *nth_feature_name(unsigned index)
{
	const CpuFeature *feature = cpu_feature_nth(index);

	return feature ? cpu_feature_name(feature) : NULL;
}

void cpu_models_print_help(FILE *stream)
{
	fputs("CPU models:\n"
	      "  host   all that KVM offers of this host's CPU\n"
	      "  max    the same\n"
	      "  base   nothing but what is asked for by name\n",
	      stream);
	print_names(stream, nth_model_name, 3);
	fputs("CPU features, for +NAME, -NAME, NAME=on, NAME=off and NAME=force:\n", stream);
	print_names(stream, nth_feature_name, 0);
}
