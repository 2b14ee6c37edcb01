/*
 * cpuid.c: what the guest's CPUID instruction says
 *
 * "SDM" is Intel's Software Developer's Manual, "APM" AMD's Architecture Programmer's Manual.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/cpuid.h"

#define CPUID_HYPERVISOR_BASE	   0x40000000u
#define CPUID_HYPERVISOR_FREQUENCY 0x40000010u
/* KVM's LAPIC timer counts at 1 GHz. */
#define LAPIC_KHZ 1000000u

/* Widths, in bits, of the fields of an APIC id. */
typedef struct ApicIdLayout {
	unsigned thread_bits, core_bits, die_bits;
} ApicIdLayout;

/* The smallest width that can hold @n different values. */
static unsigned bits_for(unsigned n)
{
	return n <= 1 ? 0 : 32u - (unsigned)__builtin_clz(n - 1);
}

static ApicIdLayout apic_id_layout(const CpuTopology *topology)
{
	return (ApicIdLayout){
		.thread_bits = bits_for(topology->threads),
		.core_bits = bits_for(topology->cores),
		.die_bits = bits_for(topology->dies),
	};
}

CpuPlace cpu_place(const CpuTopology *topology, unsigned index)
{
	CpuPlace place;

	place.thread = index % topology->threads;
	index /= topology->threads;
	place.core = index % topology->cores;
	index /= topology->cores;
	place.die = index % topology->dies;
	place.socket = index / topology->dies;
	return place;
}

unsigned cpu_index(const CpuTopology *topology, const CpuPlace *place)
{
	unsigned index = place->socket;

	index = index * topology->dies + place->die;
	index = index * topology->cores + place->core;
	return index * topology->threads + place->thread;
}

uint32_t cpu_apic_id(const CpuTopology *topology, unsigned index)
{
	ApicIdLayout layout = apic_id_layout(topology);
	CpuPlace place = cpu_place(topology, index);
	uint32_t id = place.socket;

	id = id << layout.die_bits | place.die;
	id = id << layout.core_bits | place.core;
	return id << layout.thread_bits | place.thread;
}

static struct kvm_cpuid_entry2 *find_entry(struct kvm_cpuid2 *cpuid, uint32_t leaf,
					   uint32_t subleaf)
{
	return (struct kvm_cpuid_entry2 *)cpuid_find(cpuid, leaf, subleaf);
}

/* Append a leaf; there is room for CPUID_EXTRA_ENTRIES of them. */
static struct kvm_cpuid_entry2 *add_entry(struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
	struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent++];

	*entry = (struct kvm_cpuid_entry2){ .function = leaf };
	return entry;
}

static void remove_leaf(struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function != leaf)
			cpuid->entries[kept++] = cpuid->entries[i];
	}
	cpuid->nent = kept;
}

unsigned cpuid_physical_bits(const struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, 0x80000008, 0);
	unsigned bits = entry ? entry->eax & 0xff : 0;

	return bits ? bits : 36;
}

void cpuid_set_physical_bits(struct kvm_cpuid2 *cpuid, unsigned bits)
{
	struct kvm_cpuid_entry2 *entry = find_entry(cpuid, 0x80000008, 0);

	/* Bits 16 to 23, 0 here: what a guest of this machine has is the same (APM volume 3, §E.4.7). */
	if (entry)
		entry->eax = (entry->eax & 0xff00ff00) | bits;
}

/* How many logical CPUs share a cache of @level: those of a core, or for the last level of a die. */
static unsigned cache_sharers(const CpuTopology *topology, unsigned level)
{
	return level <= 2 ? topology->threads : topology->threads * topology->cores;
}

/* The highest value of a field with room for @n values: what caches and packages count in. */
static uint32_t field_maximum(unsigned n)
{
	return (UINT32_C(1) << bits_for(n)) - 1;
}

/* Cache leaves 4 (SDM: "Deterministic Cache Parameters") and 0x8000001d (APM volume 3, §E.4.15). */
static void set_caches(struct kvm_cpuid2 *cpuid, const CpuTopology *topology)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
		unsigned level = (entry->eax >> 5) & 7;
		uint32_t sharing = field_maximum(cache_sharers(topology, level)) << 14;

		if ((entry->eax & 0x1f) == 0)
			continue; /* no more caches */
		if (entry->function == 4) {
			uint32_t cores = field_maximum(topology->dies * topology->cores);

			entry->eax = (entry->eax & 0x3fff) | sharing | MIN(cores, 63u) << 26;
		} else if (entry->function == 0x8000001d) {
			entry->eax = (entry->eax & 0x3fff) | sharing;
		}
	}
}

/* One level of leaf 0xb or 0x1f (SDM: "Extended Topology Enumeration"). */
static void add_topology_level(struct kvm_cpuid2 *cpuid, uint32_t leaf, unsigned level,
			       unsigned type, unsigned shift, unsigned logical_cpus)
{
	struct kvm_cpuid_entry2 *entry = add_entry(cpuid, leaf);

	entry->index = level;
	entry->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	entry->eax = shift;
	entry->ebx = logical_cpus;
	entry->ecx = level | type << 8;
}

static void set_topology_leaves(struct kvm_cpuid2 *cpuid, const CpuTopology *topology)
{
	enum { TYPE_NONE, TYPE_SMT, TYPE_CORE, TYPE_DIE = 5 };
	ApicIdLayout layout = apic_id_layout(topology);
	unsigned core_shift = layout.thread_bits + layout.core_bits;
	unsigned package_shift = core_shift + layout.die_bits;
	unsigned in_package = topology->threads * topology->cores * topology->dies;
	struct kvm_cpuid_entry2 *basic = find_entry(cpuid, 0, 0);

	remove_leaf(cpuid, 0xb);
	remove_leaf(cpuid, 0x1f);
	/* AMD's own form of the same, which says what the host's CPU is like. */
	remove_leaf(cpuid, 0x80000026);
	if (!basic || basic->eax < 0xb)
		return;
	add_topology_level(cpuid, 0xb, 0, TYPE_SMT, layout.thread_bits, topology->threads);
	add_topology_level(cpuid, 0xb, 1, TYPE_CORE, package_shift, in_package);
	add_topology_level(cpuid, 0xb, 2, TYPE_NONE, 0, 0);
	if (topology->dies == 1)
		return;
	basic->eax = MAX(basic->eax, 0x1f);
	add_topology_level(cpuid, 0x1f, 0, TYPE_SMT, layout.thread_bits, topology->threads);
	add_topology_level(cpuid, 0x1f, 1, TYPE_CORE, core_shift,
			   topology->threads * topology->cores);
	add_topology_level(cpuid, 0x1f, 2, TYPE_DIE, package_shift, in_package);
	add_topology_level(cpuid, 0x1f, 3, TYPE_NONE, 0, 0);
}

/* The older ways of saying how many CPUs a package has. */
static void set_package_counts(struct kvm_cpuid2 *cpuid, const CpuTopology *topology)
{
	unsigned in_package = topology->threads * topology->cores * topology->dies;
	ApicIdLayout layout = apic_id_layout(topology);
	unsigned id_bits = layout.thread_bits + layout.core_bits + layout.die_bits;
	struct kvm_cpuid_entry2 *features = find_entry(cpuid, 1, 0);
	struct kvm_cpuid_entry2 *amd_features = find_entry(cpuid, 0x80000001, 0);
	struct kvm_cpuid_entry2 *amd_sizes = find_entry(cpuid, 0x80000008, 0);
	const struct kvm_cpuid_entry2 *vendor = cpuid_find(cpuid, 0, 0);
	bool is_amd = vendor && (vendor->ebx == 0x68747541 /* Auth */ ||
				 vendor->ebx == 0x6f677948 /* Hygo */);

	if (features) {
		features->ebx = (features->ebx & 0xff00ffff) |
				MIN(1u << id_bits, 255u) << 16;
		/* HTT: the count above means something. */
		features->edx = (features->edx & ~(1u << 28)) | (in_package > 1 ? 1u << 28 : 0);
	}
	if (amd_features && is_amd) {
		/* CmpLegacy */
		amd_features->ecx &= ~2u;
		amd_features->ecx |= in_package > 1 ? 2u : 0;
	}
	if (amd_sizes && is_amd)
		amd_sizes->ecx = (amd_sizes->ecx & ~0xf0ffu) | id_bits << 12 |
				 MIN(in_package - 1, 255u);
}

/*
 * KVM's leaves are in the supported list; the frequency leaf is a convention of hypervisors that
 * saves the guest from measuring (LKML "Hypervisor CPUID leaf for timing", 2008).
 */
static void set_hypervisor_leaves(struct kvm_cpuid2 *cpuid, unsigned tsc_khz)
{
	struct kvm_cpuid_entry2 *base = find_entry(cpuid, CPUID_HYPERVISOR_BASE, 0);
	struct kvm_cpuid_entry2 *frequency;

	if (!base)
		return;
	/* Older kernels say 0 here and mean 0x40000001. */
	base->eax = CPUID_HYPERVISOR_BASE + 1;
	if (tsc_khz == 0)
		return;
	base->eax = CPUID_HYPERVISOR_FREQUENCY;
	remove_leaf(cpuid, CPUID_HYPERVISOR_FREQUENCY);
	frequency = add_entry(cpuid, CPUID_HYPERVISOR_FREQUENCY);
	frequency->eax = tsc_khz;
	frequency->ebx = LAPIC_KHZ;
}

void cpuid_set_machine(struct kvm_cpuid2 *cpuid, const CpuTopology *topology, unsigned tsc_khz)
{
	set_caches(cpuid, topology);
	set_topology_leaves(cpuid, topology);
	set_package_counts(cpuid, topology);
	set_hypervisor_leaves(cpuid, tsc_khz);
}

void cpuid_set_cpu(struct kvm_cpuid2 *cpuid, const CpuTopology *topology, unsigned index)
{
	uint32_t apic_id = cpu_apic_id(topology, index);
	CpuPlace place = cpu_place(topology, index);

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 1:
			entry->ebx = (entry->ebx & 0x00ffffff) | apic_id << 24;
			break;
		case 0xb:
		case 0x1f:
			entry->edx = apic_id;
			break;
		case 0x8000001e: /* APM volume 3, §E.4.16: core and node of this thread */
			entry->eax = apic_id;
			entry->ebx = (topology->threads - 1) << 8 |
				     ((place.die * topology->cores + place.core) & 0xff);
			entry->ecx = (topology->dies - 1) << 8 |
				     ((place.socket * topology->dies + place.die) & 0xff);
			break;
		default:
			break;
		}
	}
}
