/*
 * kvm_vcpu.c: one virtual CPU of the kernel's KVM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/kvm/kvm_vcpu.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/kvm/kvm_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MSR_IA32_TSC 0x10u

struct KvmVcpu {
	Kvm *kvm;
	int fd;
	int stats_fd;
	struct kvm_run *run;
};

KvmVcpu *kvm_vcpu_new(Kvm *kvm, uint32_t apic_id, GError **error)
{
	g_autoptr(KvmVcpu) vcpu = g_new0(KvmVcpu, 1);
	void *shared;

	vcpu->kvm = kvm;
	vcpu->stats_fd = -1;
	/* KVM takes the id that it is given as the APIC id. */
	vcpu->fd = kvm_ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)apic_id);
	if (vcpu->fd < 0) {
		error_fail_errno(error, errno, "KVM_CREATE_VCPU");
		return NULL;
	}
	shared = mmap(NULL, kvm->vcpu_mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (shared == MAP_FAILED) {
		error_fail_errno(error, errno, "cannot map a vCPU");
		return NULL;
	}
	vcpu->run = shared;
	if (!kvm->coalesced_ring && kvm->coalesced_offset &&
	    kvm->coalesced_offset < kvm->vcpu_mmap_size)
		kvm->coalesced_ring = (void *)((uint8_t *)shared + kvm->coalesced_offset);
	return g_steal_pointer(&vcpu);
}

void kvm_vcpu_free(KvmVcpu *vcpu)
{
	struct kvm_coalesced_mmio_ring *ring;

	if (!vcpu)
		return;
	ring = vcpu->kvm->coalesced_ring;
	if (vcpu->run) {
		if ((uint8_t *)ring == (uint8_t *)vcpu->run + vcpu->kvm->coalesced_offset)
			vcpu->kvm->coalesced_ring = NULL;
		munmap(vcpu->run, vcpu->kvm->vcpu_mmap_size);
	}
	fd_close(&vcpu->stats_fd);
	fd_close(&vcpu->fd);
	g_free(vcpu);
}

bool kvm_vcpu_set_cpuid(KvmVcpu *vcpu, const struct kvm_cpuid2 *cpuid, GError **error)
{
	return KVM_CALL(vcpu->fd, KVM_SET_CPUID2, cpuid, error);
}

unsigned kvm_vcpu_tsc_khz(KvmVcpu *vcpu)
{
	int khz = kvm_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, NULL);

	return khz > 0 ? (unsigned)khz : 0;
}

struct kvm_run *kvm_vcpu_shared(KvmVcpu *vcpu)
{
	return vcpu->run;
}

int kvm_vcpu_run(KvmVcpu *vcpu)
{
	/* Not kvm_ioctl(): EINTR is what the caller waits for. */
	return ioctl(vcpu->fd, KVM_RUN, NULL) < 0 ? -errno : 0;
}

void kvm_vcpu_interrupt(KvmVcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

void kvm_vcpu_clear_interrupt(KvmVcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

bool kvm_vcpu_get_regs(KvmVcpu *vcpu, struct kvm_regs *regs, GError **error)
{
	return KVM_CALL(vcpu->fd, KVM_GET_REGS, regs, error);
}

bool kvm_vcpu_set_regs(KvmVcpu *vcpu, const struct kvm_regs *regs, GError **error)
{
	return KVM_CALL(vcpu->fd, KVM_SET_REGS, regs, error);
}

bool kvm_vcpu_get_sregs(KvmVcpu *vcpu, struct kvm_sregs *sregs, GError **error)
{
	return KVM_CALL(vcpu->fd, KVM_GET_SREGS, sregs, error);
}

bool kvm_vcpu_set_sregs(KvmVcpu *vcpu, const struct kvm_sregs *sregs, GError **error)
{
	return KVM_CALL(vcpu->fd, KVM_SET_SREGS, sregs, error);
}

bool kvm_vcpu_set_mp_state(KvmVcpu *vcpu, uint32_t mp_state, GError **error)
{
	struct kvm_mp_state state = { .mp_state = mp_state };

	return KVM_CALL(vcpu->fd, KVM_SET_MP_STATE, &state, error);
}

bool kvm_vcpu_set_lapic(KvmVcpu *vcpu, const struct kvm_lapic_state *lapic, GError **error)
{
	return KVM_CALL(vcpu->fd, KVM_SET_LAPIC, lapic, error);
}

static struct kvm_msrs *kvm_msrs_new(unsigned n)
{
	return g_malloc0(sizeof(struct kvm_msrs) + n * sizeof(struct kvm_msr_entry));
}

void kvm_vcpu_set_msrs(KvmVcpu *vcpu, const struct kvm_msr_entry *entries, unsigned n)
{
	g_autofree struct kvm_msrs *msrs = kvm_msrs_new(n);
	unsigned done = 0;

	/* KVM sets them in order and says how many it did: the next one is what it refuses. */
	while (done < n) {
		int set;

		msrs->nmsrs = n - done;
		memcpy(msrs->entries, entries + done, msrs->nmsrs * sizeof(*entries));
		set = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
		done += (unsigned)MAX(set, 0);
		if (done < n) {
			g_debug("KVM refuses to set MSR 0x%x", entries[done].index);
			done++;
		}
	}
}

/* Read every MSR that KVM saves, without those that it lists and then cannot read. */
static struct kvm_msrs *kvm_vcpu_get_msrs(KvmVcpu *vcpu, GError **error)
{
	const struct kvm_msr_list *list = kvm_msr_list(vcpu->kvm, error);
	g_autofree struct kvm_msrs *msrs = NULL, *part = NULL;
	unsigned done = 0;

	if (!list)
		return NULL;
	msrs = kvm_msrs_new(list->nmsrs);
	part = kvm_msrs_new(list->nmsrs);
	while (done < list->nmsrs) {
		int got;

		part->nmsrs = list->nmsrs - done;
		for (unsigned i = 0; i < part->nmsrs; i++)
			part->entries[i] = (struct kvm_msr_entry){ .index =
									   list->indices[done + i] };
		got = kvm_ioctl(vcpu->fd, KVM_GET_MSRS, part);
		if (got > 0)
			memcpy(msrs->entries + msrs->nmsrs, part->entries,
			       (unsigned)got * sizeof(part->entries[0]));
		msrs->nmsrs += (unsigned)MAX(got, 0);
		done += (unsigned)MAX(got, 0) + 1;
	}
	return g_steal_pointer(&msrs);
}

/*
 * Restoring the TSC of each vCPU to what was read a little later than its neighbour's would set
 * them apart for ever; KVM takes 0 as "start again, together".
 */
static void kvm_zero_tsc(struct kvm_msrs *msrs)
{
	for (unsigned i = 0; i < msrs->nmsrs; i++) {
		if (msrs->entries[i].index == MSR_IA32_TSC)
			msrs->entries[i].data = 0;
	}
}

KvmVcpuState *kvm_vcpu_get_state(KvmVcpu *vcpu, GError **error)
{
	g_autoptr(KvmVcpuState) state = g_new0(KvmVcpuState, 1);
	bool has_xsave2 = vcpu->kvm->has_xsave2;
	int xsave_size = sizeof(struct kvm_xsave);

	if (has_xsave2)
		xsave_size = MAX(xsave_size,
				 kvm_ioctl(vcpu->kvm->vm_fd, KVM_CHECK_EXTENSION,
					   (void *)(uintptr_t)KVM_CAP_XSAVE2));
	state->xsave_size = (size_t)xsave_size;
	state->xsave = g_malloc0(state->xsave_size);
	if (!KVM_CALL(vcpu->fd, KVM_GET_REGS, &state->regs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_GET_SREGS, &state->sregs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_GET_XCRS, &state->xcrs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_GET_DEBUGREGS, &state->debugregs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_GET_VCPU_EVENTS, &state->events, error) ||
	    !KVM_CALL(vcpu->fd, KVM_GET_MP_STATE, &state->mp_state, error) ||
	    !KVM_CALL(vcpu->fd, KVM_GET_LAPIC, &state->lapic, error) ||
	    !KVM_CALL(vcpu->fd, has_xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, state->xsave, error))
		return NULL;
	state->msrs = kvm_vcpu_get_msrs(vcpu, error);
	return state->msrs ? g_steal_pointer(&state) : NULL;
}

bool kvm_vcpu_set_state(KvmVcpu *vcpu, const KvmVcpuState *state, GError **error)
{
	g_autofree struct kvm_msrs *msrs = kvm_msrs_new(state->msrs->nmsrs);

	msrs->nmsrs = state->msrs->nmsrs;
	memcpy(msrs->entries, state->msrs->entries, msrs->nmsrs * sizeof(msrs->entries[0]));
	kvm_zero_tsc(msrs);
	/*
	 * Segments before registers, the APIC base (in sregs) before the APIC, and that before
	 * the MSRs (its deadline) and events.
	 */
	if (!KVM_CALL(vcpu->fd, KVM_SET_XSAVE, state->xsave, error) ||
	    !KVM_CALL(vcpu->fd, KVM_SET_XCRS, &state->xcrs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_SET_SREGS, &state->sregs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_SET_REGS, &state->regs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_SET_DEBUGREGS, &state->debugregs, error) ||
	    !KVM_CALL(vcpu->fd, KVM_SET_LAPIC, &state->lapic, error))
		return false;
	kvm_vcpu_set_msrs(vcpu, msrs->entries, msrs->nmsrs);
	return KVM_CALL(vcpu->fd, KVM_SET_MP_STATE, &state->mp_state, error) &&
	       KVM_CALL(vcpu->fd, KVM_SET_VCPU_EVENTS, &state->events, error);
}

bool kvm_vcpu_enable_synic(KvmVcpu *vcpu, GError **error)
{
	struct kvm_enable_cap capability = { .cap = KVM_CAP_HYPERV_SYNIC2 };

	return KVM_CALL(vcpu->fd, KVM_ENABLE_CAP, &capability, error);
}

void kvm_vcpu_state_free(KvmVcpuState *state)
{
	if (!state)
		return;
	g_free(state->xsave);
	g_free(state->msrs);
	g_free(state);
}

bool kvm_vcpu_inject_nmi(KvmVcpu *vcpu, GError **error)
{
	return KVM_CALL(vcpu->fd, KVM_NMI, NULL, error);
}

void kvm_vcpu_mark_paused(KvmVcpu *vcpu)
{
	/* EINVAL: the guest does not use kvmclock. */
	(void)kvm_ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, NULL);
}

static void describe_segment(GString *text, const char *name, const struct kvm_segment *segment)
{
	g_string_append_printf(text, "%s  %04x base %016" PRIx64 " limit %08x type %x s %u dpl %u "
				     "p %u l %u db %u g %u\n",
			       name, segment->selector, (uint64_t)segment->base, segment->limit,
			       segment->type, segment->s, segment->dpl, segment->present,
			       segment->l, segment->db, segment->g);
}

char *kvm_vcpu_describe(KvmVcpu *vcpu)
{
	GString *text = g_string_new(NULL);
	struct kvm_regs r = { 0 };
	struct kvm_sregs s = { 0 };
	g_autoptr(GError) error = NULL;

	if (!kvm_vcpu_get_regs(vcpu, &r, &error) || !kvm_vcpu_get_sregs(vcpu, &s, &error)) {
		g_string_append_printf(text, "no registers: %s\n", error->message);
		return g_string_free(text, FALSE);
	}
	g_string_append_printf(text,
			       "rip %016llx rsp %016llx rflags %08llx\n"
			       "rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
			       "rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n"
			       "r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n"
			       "r13 %016llx r14 %016llx r15 %016llx\n",
			       r.rip, r.rsp, r.rflags, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi,
			       r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15);
	describe_segment(text, "cs", &s.cs);
	describe_segment(text, "ds", &s.ds);
	describe_segment(text, "es", &s.es);
	describe_segment(text, "ss", &s.ss);
	describe_segment(text, "fs", &s.fs);
	describe_segment(text, "gs", &s.gs);
	describe_segment(text, "tr", &s.tr);
	g_string_append_printf(text,
			       "gdt %016llx limit %04x idt %016llx limit %04x\n"
			       "cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %llx "
			       "apic base %llx\n",
			       s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit, s.cr0, s.cr2,
			       s.cr3, s.cr4, s.efer, s.apic_base);
	return g_string_free(text, FALSE);
}

const char *kvm_exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "KVM_EXIT_UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "KVM_EXIT_EXCEPTION",
		[KVM_EXIT_IO] = "KVM_EXIT_IO",
		[KVM_EXIT_HYPERCALL] = "KVM_EXIT_HYPERCALL",
		[KVM_EXIT_DEBUG] = "KVM_EXIT_DEBUG",
		[KVM_EXIT_HLT] = "KVM_EXIT_HLT",
		[KVM_EXIT_MMIO] = "KVM_EXIT_MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "KVM_EXIT_IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "KVM_EXIT_SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "KVM_EXIT_FAIL_ENTRY",
		[KVM_EXIT_INTR] = "KVM_EXIT_INTR",
		[KVM_EXIT_SET_TPR] = "KVM_EXIT_SET_TPR",
		[KVM_EXIT_TPR_ACCESS] = "KVM_EXIT_TPR_ACCESS",
		[KVM_EXIT_NMI] = "KVM_EXIT_NMI",
		[KVM_EXIT_INTERNAL_ERROR] = "KVM_EXIT_INTERNAL_ERROR",
		[KVM_EXIT_WATCHDOG] = "KVM_EXIT_WATCHDOG",
		[KVM_EXIT_SYSTEM_EVENT] = "KVM_EXIT_SYSTEM_EVENT",
		[KVM_EXIT_IOAPIC_EOI] = "KVM_EXIT_IOAPIC_EOI",
		[KVM_EXIT_HYPERV] = "KVM_EXIT_HYPERV",
		[KVM_EXIT_X86_RDMSR] = "KVM_EXIT_X86_RDMSR",
		[KVM_EXIT_X86_WRMSR] = "KVM_EXIT_X86_WRMSR",
		[KVM_EXIT_X86_BUS_LOCK] = "KVM_EXIT_X86_BUS_LOCK",
		[KVM_EXIT_NOTIFY] = "KVM_EXIT_NOTIFY",
	};

	return reason < G_N_ELEMENTS(names) ? names[reason] : NULL;
}

int kvm_vcpu_stats_fd(KvmVcpu *vcpu)
{
	if (vcpu->stats_fd < 0)
		vcpu->stats_fd = kvm_open_stats(vcpu->kvm, vcpu->fd);
	return vcpu->stats_fd;
}
