/*
 * cpuid.h: what the guest's CPUID instruction says
 *
 * The model and its features come from cpu_models.h; here topology and the hypervisor's leaves are
 * made from the configuration. This is the one place where APIC ids are computed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/config/vm_config.h"
#include "vmm/x86/cpu_features.h"

/* Where a vCPU is in the topology. */
typedef struct CpuPlace {
	unsigned socket, die, core, thread; /* each within the one before */
} CpuPlace;

/* The place of vCPU @index: threads count first, then cores, dies, sockets. */
CpuPlace cpu_place(const CpuTopology *topology, unsigned index);

/* The index of the vCPU at @place, which is within @topology. */
unsigned cpu_index(const CpuTopology *topology, const CpuPlace *place);

/* The APIC id of vCPU @index: each level of its place in a field of as few bits as do. */
uint32_t cpu_apic_id(const CpuTopology *topology, unsigned index);

/* How many leaves cpuid_set_machine() adds, at most. */
#define CPUID_EXTRA_ENTRIES 12u

/*
 * Put into @cpuid, which has room for CPUID_EXTRA_ENTRIES leaves more, what is the same in all vCPUs
 * of a machine: its topology, and the hypervisor's leaves. @tsc_khz may be 0 (unknown). Any thread.
 */
void cpuid_set_machine(struct kvm_cpuid2 *cpuid, const CpuTopology *topology, unsigned tsc_khz);

/* Put into @cpuid, after cpuid_set_machine(), what differs in vCPU @index. */
void cpuid_set_cpu(struct kvm_cpuid2 *cpuid, const CpuTopology *topology, unsigned index);

/* How many bits a physical address has (leaf 0x80000008; 36 where there is none). */
unsigned cpuid_physical_bits(const struct kvm_cpuid2 *cpuid);

/* Say that there are @bits, where there is that leaf. Any thread. */
void cpuid_set_physical_bits(struct kvm_cpuid2 *cpuid, unsigned bits);
