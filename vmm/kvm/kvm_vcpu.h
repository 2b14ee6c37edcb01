/*
 * kvm_vcpu.h: one virtual CPU of the kernel's KVM
 *
 * Register access and running are for the vCPU's own thread, or for any other while that one is
 * stopped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/kvm/kvm.h"

typedef struct KvmVcpu KvmVcpu;

/* All of a vCPU that survives a pause: what reset restores and migration moves. */
typedef struct KvmVcpuState {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state lapic;
	struct kvm_xsave *xsave; /* of xsave_size bytes; owned */
	size_t xsave_size;
	struct kvm_msrs *msrs; /* owned */
} KvmVcpuState;

/* Create vCPU with APIC id @apic_id. NULL and @error. Main thread. */
KvmVcpu *kvm_vcpu_new(Kvm *kvm, uint32_t apic_id, GError **error);
void kvm_vcpu_free(KvmVcpu *vcpu);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KvmVcpu, kvm_vcpu_free)

/* What the guest sees of CPUID. Before the first run. */
bool kvm_vcpu_set_cpuid(KvmVcpu *vcpu, const struct kvm_cpuid2 *cpuid, GError **error);

/* The TSC's frequency in kHz, 0 if KVM does not know it. */
unsigned kvm_vcpu_tsc_khz(KvmVcpu *vcpu);

/* The page shared with KVM: exit_reason and its data. */
struct kvm_run *kvm_vcpu_shared(KvmVcpu *vcpu);

/*
 * Run until the next exit. Returns 0 with the page filled in, or negative errno; -EINTR after
 * kvm_vcpu_interrupt(). Own thread.
 */
int kvm_vcpu_run(KvmVcpu *vcpu);

/*
 * Make the current or next kvm_vcpu_run() return at once; the caller sends the thread a signal as
 * well. kvm_vcpu_clear_interrupt() ends that. Any thread.
 */
void kvm_vcpu_interrupt(KvmVcpu *vcpu);
void kvm_vcpu_clear_interrupt(KvmVcpu *vcpu);

/*
 * The KVM calls of these names. Own thread, or any while the vCPU is parked. False and @error where
 * KVM refuses.
 */
bool kvm_vcpu_get_regs(KvmVcpu *vcpu, struct kvm_regs *regs, GError **error);
bool kvm_vcpu_set_regs(KvmVcpu *vcpu, const struct kvm_regs *regs, GError **error);
bool kvm_vcpu_get_sregs(KvmVcpu *vcpu, struct kvm_sregs *sregs, GError **error);
bool kvm_vcpu_set_sregs(KvmVcpu *vcpu, const struct kvm_sregs *sregs, GError **error);
bool kvm_vcpu_set_mp_state(KvmVcpu *vcpu, uint32_t mp_state, GError **error);
bool kvm_vcpu_set_lapic(KvmVcpu *vcpu, const struct kvm_lapic_state *lapic, GError **error);

/*
 * Set @n MSRs. What KVM refuses is left out, and logged for debugging: a host may lack MSRs that
 * its guests were never promised.
 */
void kvm_vcpu_set_msrs(KvmVcpu *vcpu, const struct kvm_msr_entry *entries, unsigned n);

/*
 * Give it Hyper-V's synthetic interrupt controller, which leaves the pages of messages alone when it
 * is switched on (KVM_CAP_HYPERV_SYNIC2, KVM API §6.83). False and @error.
 */
bool kvm_vcpu_enable_synic(KvmVcpu *vcpu, GError **error);

/* Read all state into a new KvmVcpuState. NULL and @error. */
KvmVcpuState *kvm_vcpu_get_state(KvmVcpu *vcpu, GError **error);
bool kvm_vcpu_set_state(KvmVcpu *vcpu, const KvmVcpuState *state, GError **error);
void kvm_vcpu_state_free(KvmVcpuState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KvmVcpuState, kvm_vcpu_state_free)

/* Queue an NMI. */
bool kvm_vcpu_inject_nmi(KvmVcpu *vcpu, GError **error);

/* Tell the guest's watchdogs that it was paused (kvmclock). Does nothing without kvmclock. */
void kvm_vcpu_mark_paused(KvmVcpu *vcpu);

/* The registers as text of several lines, for the log of an exit that cannot be handled. */
char *kvm_vcpu_describe(KvmVcpu *vcpu);

/* The name of a KVM exit reason ("KVM_EXIT_SHUTDOWN"), or NULL. */
const char *kvm_exit_name(uint32_t reason);

/* KVM_GET_STATS_FD of the vCPU; borrowed, -1 where KVM has none. */
int kvm_vcpu_stats_fd(KvmVcpu *vcpu);
