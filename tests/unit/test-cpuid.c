/*
 * test-cpuid.c: topology and the hypervisor's leaves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/cpuid.h"
#include "vmm/x86/hyperv.h"

#include <string.h>

/* What a small Intel-like KVM offers. */
static struct kvm_cpuid2 *new_supported(uint32_t vendor_ebx)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0, .eax = 0xd },
		{ .function = 1, .ebx = 0xffff0800, .ecx = 0x00200001, .edx = 0x10000001 },
		{ .function = 4,
		  .index = 0,
		  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 0xfc000121 },
		{ .function = 4,
		  .index = 3,
		  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 0xfc004163 },
		{ .function = 4, .index = 4, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX },
		{ .function = 7,
		  .index = 0,
		  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .ebx = 1u << 5 },
		{ .function = 0xb,
		  .index = 0,
		  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 7,
		  .edx = 99 },
		{ .function = 0x40000000, .ebx = 0x4b4d564b },
		{ .function = 0x40000001, .eax = 0x01000000 },
		{ .function = 0x80000001, .ecx = 2 },
		{ .function = 0x80000008, .eax = 0x3930, .ecx = 0x7fff },
		{ .function = 0x8000001e, .eax = 77 },
	};
	struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + sizeof(entries));

	cpuid->nent = G_N_ELEMENTS(entries);
	memcpy(cpuid->entries, entries, sizeof(entries));
	cpuid->entries[0].ebx = vendor_ebx;
	return cpuid;
}

/* The same, with a machine's topology in it. */
static struct kvm_cpuid2 *new_cpuid(uint32_t vendor_ebx, const CpuTopology *topology,
				    unsigned tsc_khz)
{
	g_autofree struct kvm_cpuid2 *supported = new_supported(vendor_ebx);
	CpuDescription from = { .cpuid = supported }, to;

	cpu_description_copy(&to, &from, CPUID_EXTRA_ENTRIES + HYPERV_ENTRIES);
	cpuid_set_machine(to.cpuid, topology, tsc_khz);
	return to.cpuid;
}

static CpuTopology topology_of(unsigned sockets, unsigned dies, unsigned cores, unsigned threads)
{
	unsigned cpus = sockets * dies * cores * threads;

	return (CpuTopology){ cpus, cpus, sockets, dies, cores, threads };
}

/* What an older KVM has of Hyper-V: no synthetic timers. */
static struct kvm_cpuid2 *new_hyperv(void)
{
	struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + 2 * sizeof(cpuid->entries[0]));

	cpuid->nent = 2;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){ .function = 0x40000003,
						       .eax = 0x2a77,
						       .edx = 0x00000500 };
	cpuid->entries[1] = (struct kvm_cpuid_entry2){ .function = 0x40000004, .eax = 0xc2c };
	return cpuid;
}

static void test_hyperv(void)
{
	CpuTopology topology = topology_of(1, 1, 1, 1);
	g_autofree struct kvm_cpuid2 *cpuid = new_cpuid(0x756e6547, &topology, 2000000);
	g_autofree struct kvm_cpuid2 *supported = new_hyperv();
	HypervConfig hyperv = { 0 };
	g_autoptr(GError) error = NULL;
	const struct kvm_cpuid_entry2 *leaf;
	uint32_t before = cpuid->nent;

	g_assert_false(hyperv_is_wanted(&hyperv));
	hyperv.tlbflush = true;
	g_assert_true(hyperv_is_wanted(&hyperv));
	g_assert_false(hyperv_add_leaves(cpuid, &hyperv, supported, &error));
	g_assert_cmpstr(error->message, ==, "hv-tlbflush needs hv-vpindex");
	g_clear_error(&error);
	hyperv.vpindex = hyperv.synic = hyperv.stimer = true;
	g_assert_false(hyperv_add_leaves(cpuid, &hyperv, supported, &error));
	g_assert_cmpstr(error->message, ==, "this host's KVM has no hv-stimer");
	g_clear_error(&error);
	g_assert_cmpuint(cpuid->nent, ==, before);

	hyperv.stimer = false;
	hyperv.relaxed = hyperv.time = true;
	hyperv.spinlocks = 0x1fff;
	g_assert_true(hyperv_add_leaves(cpuid, &hyperv, supported, &error));
	g_assert_no_error(error);
	leaf = cpuid_find(cpuid, 0x40000000, 0);
	g_assert_cmphex(leaf->eax, ==, 0x40000005);
	g_assert_cmpmem(&leaf->ebx, 12, "Microsoft Hv", 12);
	leaf = cpuid_find(cpuid, 0x40000003, 0);
	g_assert_cmphex(leaf->eax, ==, 0x266); /* hypercalls, vpindex, time, synic */
	leaf = cpuid_find(cpuid, 0x40000004, 0);
	g_assert_cmphex(leaf->eax, ==, 0x824);
	g_assert_cmphex(leaf->ebx, ==, 0x1fff);
	/* KVM's own are still there, its frequency leaf included. */
	leaf = cpuid_find(cpuid, 0x40000100, 0);
	g_assert_cmphex(leaf->eax, ==, 0x40000110);
	g_assert_cmphex(leaf->ebx, ==, 0x4b4d564b);
	g_assert_cmphex(cpuid_find(cpuid, 0x40000101, 0)->eax, ==, 0x01000000);
	g_assert_cmphex(cpuid_find(cpuid, 0x40000110, 0)->eax, ==, 2000000);
}

/* All that KVM has, and of what needs another one only that whose need is met. */
static void test_hyperv_passthrough(void)
{
	g_autofree struct kvm_cpuid2 *supported = new_hyperv();
	HypervConfig hyperv = { .passthrough = true };

	g_assert_true(hyperv_is_wanted(&hyperv));
	hyperv_resolve(&hyperv, supported);
	g_assert_true(hyperv.relaxed && hyperv.vapic && hyperv.vpindex && hyperv.runtime &&
		      hyperv.crash && hyperv.time && hyperv.synic && hyperv.frequencies &&
		      hyperv.reenlightenment && hyperv.tlbflush && hyperv.ipi);
	g_assert_false(hyperv.stimer || hyperv.stimer_direct || hyperv.reset || hyperv.avic);
	supported->entries[0].eax &= ~(1u << 6);
	hyperv = (HypervConfig){ .passthrough = true };
	hyperv_resolve(&hyperv, supported);
	g_assert_false(hyperv.vpindex || hyperv.synic || hyperv.tlbflush || hyperv.ipi);
	hyperv = (HypervConfig){ .avic = true };
	hyperv_resolve(&hyperv, supported);
	g_assert_false(hyperv.relaxed);
}

static void test_apic_ids(void)
{
	CpuTopology flat = topology_of(4, 1, 1, 1);
	CpuTopology uneven = topology_of(2, 1, 3, 2);
	CpuTopology dies = topology_of(2, 2, 2, 2);
	CpuPlace place = cpu_place(&uneven, 9);

	g_assert_cmpuint(cpu_apic_id(&flat, 3), ==, 3);
	/* 1 bit of thread, 2 bits of core: the second socket starts at 8. */
	g_assert_cmpuint(cpu_apic_id(&uneven, 5), ==, 5);
	g_assert_cmpuint(cpu_apic_id(&uneven, 6), ==, 8);
	g_assert_cmpuint(place.socket, ==, 1);
	g_assert_cmpuint(place.core, ==, 1);
	g_assert_cmpuint(place.thread, ==, 1);
	g_assert_cmpuint(cpu_apic_id(&dies, 13), ==, 13);
	for (unsigned i = 1; i < 12; i++)
		g_assert_cmpuint(cpu_apic_id(&uneven, i), >, cpu_apic_id(&uneven, i - 1));
}

static void test_topology(void)
{
	CpuTopology topology = topology_of(1, 2, 3, 2);
	g_autofree struct kvm_cpuid2 *cpuid = new_cpuid(0x756e6547, &topology, 0);
	const struct kvm_cpuid_entry2 *entry;

	cpuid_set_cpu(cpuid, &topology, 7);
	entry = cpuid_find(cpuid, 1, 0);
	g_assert_cmpuint(entry->ebx >> 24, ==, cpu_apic_id(&topology, 7));
	g_assert_cmpuint(entry->ebx >> 16 & 0xff, ==, 16);
	g_assert_cmpuint(entry->ebx >> 8 & 0xff, ==, 8);
	g_assert_true(entry->edx & 1u << 28);
	entry = cpuid_find(cpuid, 4, 0);
	g_assert_cmpuint(entry->eax >> 14 & 0xfff, ==, 1);
	g_assert_cmpuint(entry->eax >> 26, ==, 7);
	entry = cpuid_find(cpuid, 4, 3);
	g_assert_cmpuint(entry->eax >> 14 & 0xfff, ==, 7);
	g_assert_cmpuint(cpuid_find(cpuid, 4, 4)->eax, ==, 0);
	g_assert_cmpuint(cpuid_find(cpuid, 0, 0)->eax, ==, 0x1f);
	g_assert_cmpuint(cpuid_find(cpuid, 0xb, 0)->eax, ==, 1);
	g_assert_cmpuint(cpuid_find(cpuid, 0xb, 1)->eax, ==, 4);
	g_assert_cmpuint(cpuid_find(cpuid, 0xb, 1)->ebx, ==, 12);
	g_assert_cmpuint(cpuid_find(cpuid, 0xb, 1)->edx, ==, cpu_apic_id(&topology, 7));
	g_assert_cmpuint(cpuid_find(cpuid, 0xb, 2)->ecx, ==, 2);
	g_assert_cmphex(cpuid_find(cpuid, 0x1f, 2)->ecx, ==, 0x502);
	/* AMD's counts stay alone on Intel. */
	g_assert_cmphex(cpuid_find(cpuid, 0x80000008, 0)->ecx, ==, 0x7fff);
	g_assert_cmpuint(cpuid_physical_bits(cpuid), ==, 48);
	cpuid_set_physical_bits(cpuid, 40);
	g_assert_cmpuint(cpuid_physical_bits(cpuid), ==, 40);
	g_assert_cmphex(cpuid_find(cpuid, 0x80000008, 0)->eax, ==, 0x3928);
}

static void test_amd(void)
{
	CpuTopology topology = topology_of(1, 1, 4, 2), single = topology_of(1, 1, 1, 1);
	g_autofree struct kvm_cpuid2 *cpuid = new_cpuid(0x68747541, &topology, 0);
	g_autofree struct kvm_cpuid2 *one = new_cpuid(0x68747541, &single, 0);

	cpuid_set_cpu(cpuid, &topology, 5);
	g_assert_cmphex(cpuid_find(cpuid, 0x80000008, 0)->ecx, ==, 0x3f07);
	g_assert_cmphex(cpuid_find(cpuid, 0x8000001e, 0)->eax, ==, 5);
	g_assert_cmphex(cpuid_find(cpuid, 0x8000001e, 0)->ebx, ==, 0x102);
	g_assert_true(cpuid_find(cpuid, 0x80000001, 0)->ecx & 2);
	g_assert_null(cpuid_find(cpuid, 0x1f, 0));
	g_assert_false(cpuid_find(one, 0x80000001, 0)->ecx & 2);
	g_assert_false(cpuid_find(one, 1, 0)->edx & 1u << 28);
}

static void test_hypervisor(void)
{
	CpuTopology topology = topology_of(1, 1, 1, 1);
	g_autofree struct kvm_cpuid2 *known = new_cpuid(0x756e6547, &topology, 2300000);
	g_autofree struct kvm_cpuid2 *unknown = new_cpuid(0x756e6547, &topology, 0);

	g_assert_cmphex(cpuid_find(known, 0x40000000, 0)->eax, ==, 0x40000010);
	g_assert_cmpuint(cpuid_find(known, 0x40000010, 0)->eax, ==, 2300000);
	g_assert_cmpuint(cpuid_find(known, 0x40000010, 0)->ebx, ==, 1000000);
	g_assert_cmphex(cpuid_find(unknown, 0x40000000, 0)->eax, ==, 0x40000001);
	g_assert_null(cpuid_find(unknown, 0x40000010, 0));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cpuid/apic-ids", test_apic_ids);
	g_test_add_func("/cpuid/topology", test_topology);
	g_test_add_func("/cpuid/amd", test_amd);
	g_test_add_func("/cpuid/hypervisor", test_hypervisor);
	g_test_add_func("/cpuid/hyperv", test_hyperv);
	g_test_add_func("/cpuid/hyperv-passthrough", test_hyperv_passthrough);
	return g_test_run();
}
