/*
 * hyperv.h: Hyper-V's enlightenments, those that KVM has
 *
 * What Windows asks a hypervisor for instead of what costs exits: clocks, interrupts, flushes. With
 * any of them the CPUID leaves of Hyper-V are where a hypervisor's are looked for first, and KVM's
 * own follow 0x100 later, where Linux finds them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>

#include "vmm/config/vm_config.h"

/* The number of a virtual processor, by which hypercalls name it. */
#define HYPERV_MSR_VP_INDEX 0x40000002u

/* Whether @hyperv asks for anything. Any thread, all of these. */
bool hyperv_is_wanted(const HypervConfig *hyperv);

/*
 * Where @hyperv asks for all that KVM has, switch on in it what @supported
 * (KVM_GET_SUPPORTED_HV_CPUID) has.
 */
void hyperv_resolve(HypervConfig *hyperv, const struct kvm_cpuid2 *supported);

/* Leaves that hyperv_add_leaves() adds. */
#define HYPERV_ENTRIES 6u

/*
 * Put the leaves that @hyperv asks for into @cpuid, which has room for HYPERV_ENTRIES more.
 * @supported is what KVM has (KVM_GET_SUPPORTED_HV_CPUID). False and @error, naming it, on an
 * enlightenment that KVM lacks or that needs another one.
 */
bool hyperv_add_leaves(struct kvm_cpuid2 *cpuid, const HypervConfig *hyperv,
		       const struct kvm_cpuid2 *supported, GError **error);
