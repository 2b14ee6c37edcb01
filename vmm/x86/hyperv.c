/*
 * hyperv.c: Hyper-V's enlightenments, those that KVM has
 *
 * "TLFS" is Microsoft's Hypervisor Top Level Functional Specification, whose chapter 2 has the
 * leaves.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/hyperv.h"
#include "vmm/base/error.h"
#include "vmm/x86/cpu_features.h"

#include <string.h>

#define LEAF_BASE	    0x40000000u
#define LEAF_INTERFACE	    0x40000001u
#define LEAF_VERSION	    0x40000002u
#define LEAF_FEATURES	    0x40000003u
#define LEAF_RECOMMENDATION 0x40000004u
#define LEAF_LIMITS	    0x40000005u
#define KVM_SHIFT	    0x100u	/* of KVM's own leaves */
#define INTERFACE_HV_1	    0x31237648u /* Hv#1 */

/* What a guest sees that knows versions: Windows Server 2016. */
#define GUEST_BUILD   14393u
#define GUEST_VERSION (10u << 16)

/* Always, with any enlightenment: the hypercall MSRs, of which guests make sure that they exist. */
#define FEATURE_HYPERCALL_MSRS (1u << 5)
#define NEVER_NOTIFY	       UINT32_MAX /* of spinlocks */

typedef struct Enlightenment {
	const char *name;
	size_t offset;			 /* of its bool */
	uint32_t features, features_edx; /* bits of LEAF_FEATURES: EAX, EDX */
	uint32_t recommendation;	 /* of LEAF_RECOMMENDATION: EAX */
	size_t needs;			 /* the offset of another one's bool; 0: none */
} Enlightenment;

#define AT(field) offsetof(HypervConfig, field)

static const Enlightenment enlightenments[] = {
	{ "hv-relaxed", AT(relaxed), 0, 0, 1u << 5, 0 },
	{ "hv-vapic", AT(vapic), 1u << 4, 0, 1u << 3, 0 },
	{ "hv-vpindex", AT(vpindex), 1u << 6, 0, 0, 0 },
	{ "hv-runtime", AT(runtime), 1u << 0, 0, 0, 0 },
	{ "hv-crash", AT(crash), 0, 1u << 10, 0, 0 },
	{ "hv-time", AT(time), 1u << 1 | 1u << 9, 0, 0, 0 },
	{ "hv-synic", AT(synic), 1u << 2, 0, 0, AT(vpindex) },
	{ "hv-stimer", AT(stimer), 1u << 3, 0, 0, AT(synic) },
	{ "hv-stimer-direct", AT(stimer_direct), 0, 1u << 19, 0, AT(stimer) },
	{ "hv-reset", AT(reset), 1u << 7, 0, 0, 0 },
	{ "hv-frequencies", AT(frequencies), 1u << 11, 1u << 8, 0, 0 },
	{ "hv-reenlightenment", AT(reenlightenment), 1u << 13, 0, 0, 0 },
	{ "hv-tlbflush", AT(tlbflush), 0, 0, 1u << 2 | 1u << 11, AT(vpindex) },
	{ "hv-ipi", AT(ipi), 0, 0, 1u << 10 | 1u << 11, AT(vpindex) },
	{ "hv-avic", AT(avic), 0, 0, 1u << 9, 0 },
};

static bool is_on(const HypervConfig *hyperv, size_t offset)
{
	return *(const bool *)((const char *)hyperv + offset);
}

static const char *name_at(size_t offset)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(enlightenments); i++) {
		if (enlightenments[i].offset == offset)
			return enlightenments[i].name;
	}
	return NULL;
}

bool hyperv_is_wanted(const HypervConfig *hyperv)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(enlightenments); i++) {
		if (is_on(hyperv, enlightenments[i].offset))
			return true;
	}
	return hyperv->spinlocks != 0 || hyperv->vendor_id || hyperv->passthrough;
}

/* Make room at the place that is looked at first. */
static void move_kvm_leaves(struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function - LEAF_BASE >= KVM_SHIFT)
			continue;
		if (entry->function == LEAF_BASE)
			entry->eax += KVM_SHIFT; /* the last one */
		entry->function += KVM_SHIFT;
	}
}

static bool check_one(const Enlightenment *one, const HypervConfig *hyperv,
		      const struct kvm_cpuid2 *supported, GError **error)
{
	const struct kvm_cpuid_entry2 *features = cpuid_find(supported, LEAF_FEATURES, 0);
	const struct kvm_cpuid_entry2 *advice = cpuid_find(supported, LEAF_RECOMMENDATION, 0);

	if (one->needs && !is_on(hyperv, one->needs))
		return error_fail(error, "%s needs %s", one->name, name_at(one->needs));
	if (!features || !advice || (one->features & ~features->eax) ||
	    (one->features_edx & ~features->edx) || (one->recommendation & ~advice->eax))
		return error_fail(error, "this host's KVM has no %s", one->name);
	return true;
}

void hyperv_resolve(HypervConfig *hyperv, const struct kvm_cpuid2 *supported)
{
	/* What another one needs comes before it. */
	for (unsigned i = 0; hyperv->passthrough && i < G_N_ELEMENTS(enlightenments); i++) {
		if (check_one(&enlightenments[i], hyperv, supported, NULL))
			*(bool *)((char *)hyperv + enlightenments[i].offset) = true;
	}
}

static void add_leaf(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t eax, uint32_t ebx,
		     uint32_t ecx, uint32_t edx)
{
	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
		.function = leaf, .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx
	};
}

bool hyperv_add_leaves(struct kvm_cpuid2 *cpuid, const HypervConfig *hyperv,
		       const struct kvm_cpuid2 *supported, GError **error)
{
	uint32_t features = FEATURE_HYPERCALL_MSRS, features_edx = 0, recommendation = 0;
	char vendor[13] = "Microsoft Hv";
	uint32_t words[3];

	for (unsigned i = 0; i < G_N_ELEMENTS(enlightenments); i++) {
		const Enlightenment *one = &enlightenments[i];

		if (!is_on(hyperv, one->offset))
			continue;
		if (!check_one(one, hyperv, supported, error))
			return false;
		features |= one->features;
		features_edx |= one->features_edx;
		recommendation |= one->recommendation;
	}
	if (hyperv->vendor_id) {
		if (strlen(hyperv->vendor_id) > sizeof(words))
			return error_fail(error, "hv-vendor-id has more than %zu letters",
					  sizeof(words));
		memset(vendor, 0, sizeof(vendor));
		memcpy(vendor, hyperv->vendor_id, strlen(hyperv->vendor_id));
	}
	memcpy(words, vendor, sizeof(words));
	move_kvm_leaves(cpuid);
	add_leaf(cpuid, LEAF_BASE, LEAF_LIMITS, words[0], words[1], words[2]);
	add_leaf(cpuid, LEAF_INTERFACE, INTERFACE_HV_1, 0, 0, 0);
	add_leaf(cpuid, LEAF_VERSION, GUEST_BUILD, GUEST_VERSION, 0, 0);
	add_leaf(cpuid, LEAF_FEATURES, features, 0, 0, features_edx);
	add_leaf(cpuid, LEAF_RECOMMENDATION, recommendation,
		 hyperv->spinlocks ? hyperv->spinlocks : NEVER_NOTIFY, 0, 0);
	/* As many virtual processors as the specification has; no physical ones are told. */
	add_leaf(cpuid, LEAF_LIMITS, MACHINE_MAX_CPUS, 0, 0, 0);
	return true;
}
