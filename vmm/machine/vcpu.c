/*
 * vcpu.c: the threads that run the guest
 *
 * A vCPU thread is in KVM_RUN, in a device's register callback, or parked. To park it, someone
 * sets cpus_may_run, makes KVM_RUN return (immediate_exit for the next one, a signal for the one
 * under way) and waits for "running" to fall. The thread looks at cpus_may_run only when KVM_RUN
 * was interrupted: by then KVM has completed the access that the last exit was about, so that the
 * registers of a parked vCPU are always whole.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/trace.h"
#include "vmm/base/error.h"
#include "vmm/base/sandbox.h"
#include "vmm/x86/cpuid.h"

#include "qapi-events.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define HYPERV_INVALID_HYPERCALL 2 /* HV_STATUS_INVALID_HYPERCALL_CODE */
#define MSR_IA32_MISC_ENABLE	0x1a0u
#define MSR_IA32_MTRR_DEF_TYPE	0x2ffu
#define MISC_ENABLE_FAST_STRING 1u
/* MTRRs on, everything write-back: what firmware would have left (SDM volume 3, §11.11.2.1). */
#define MTRR_ENABLED_WRITE_BACK 0x806u

typedef enum VcpuVerdict {
	VCPU_CONTINUE,
	VCPU_STUCK, /* nothing to run until a reset */
} VcpuVerdict;

static void vcpu_handle_io(MachineCpu *cpu, struct kvm_run *run)
{
	AddressSpace *pio = cpu->machine->pio;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		uint64_t value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, run->io.size);
			address_space_write(pio, run->io.port, value, run->io.size);
		} else {
			value = address_space_read(pio, run->io.port, run->io.size);
			memcpy(data, &value, run->io.size);
		}
	}
}

static void vcpu_handle_mmio(MachineCpu *cpu, struct kvm_run *run)
{
	AddressSpace *mmio = cpu->machine->mmio;
	unsigned size = MIN(run->mmio.len, sizeof(run->mmio.data));
	uint64_t value = 0;

	if (size == 0)
		return;
	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, size);
		address_space_write(mmio, run->mmio.phys_addr, value, size);
	} else {
		value = address_space_read(mmio, run->mmio.phys_addr, size);
		memcpy(run->mmio.data, &value, size);
	}
}

/* An exit that nobody can handle: say all there is to say, once. */
static VcpuVerdict vcpu_fail(MachineCpu *cpu, const char *what)
{
	g_autofree char *registers = kvm_vcpu_describe(cpu->kvm);

	g_warning("vCPU %u cannot go on: %s\n%s", cpu->index, what, registers);
	qapi_event_x_vireo_internal_error(cpu->machine->events, cpu->index, what, registers);
	machine_request(cpu->machine, MACHINE_REQUEST_INTERNAL_ERROR);
	return VCPU_STUCK;
}

static VcpuVerdict vcpu_fail_internal_error(MachineCpu *cpu, const struct kvm_run *run)
{
	g_autoptr(GString) what = g_string_new(NULL);

	g_string_printf(what, "KVM_EXIT_INTERNAL_ERROR, suberror %u%s", run->internal.suberror,
			run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? " (an instruction that KVM cannot emulate)"
				: "");
	for (uint32_t i = 0; i < MIN(run->internal.ndata, G_N_ELEMENTS(run->internal.data)); i++)
		g_string_append_printf(what, " %016llx", run->internal.data[i]);
	return vcpu_fail(cpu, what->str);
}

static VcpuVerdict vcpu_handle_system_event(MachineCpu *cpu, const struct kvm_run *run)
{
	g_autofree char *what = NULL;

	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_request(cpu->machine, RUN_REQUEST_GUEST_SHUTDOWN);
		return VCPU_STUCK;
	case KVM_SYSTEM_EVENT_RESET:
		machine_request(cpu->machine, RUN_REQUEST_GUEST_RESET);
		return VCPU_STUCK;
	case KVM_SYSTEM_EVENT_CRASH:
		machine_request(cpu->machine, RUN_REQUEST_GUEST_PANIC);
		return VCPU_STUCK;
	default:
		what = g_strdup_printf("KVM_EXIT_SYSTEM_EVENT of type %u", run->system_event.type);
		return vcpu_fail(cpu, what);
	}
}

static VcpuVerdict vcpu_handle_exit(MachineCpu *cpu)
{
	struct kvm_run *run = kvm_vcpu_shared(cpu->kvm);
	const char *name = kvm_exit_name(run->exit_reason);
	g_autofree char *what = NULL;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		vcpu_handle_io(cpu, run);
		return VCPU_CONTINUE;
	case KVM_EXIT_MMIO:
		vcpu_handle_mmio(cpu, run);
		return VCPU_CONTINUE;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return VCPU_CONTINUE;
	case KVM_EXIT_SHUTDOWN: /* a triple fault: PCs reset then */
		machine_request(cpu->machine, RUN_REQUEST_GUEST_RESET);
		return VCPU_STUCK;
	case KVM_EXIT_HYPERV: /* pages of messages and events, which nobody sends; hypercalls */
		if (run->hyperv.type == KVM_EXIT_HYPERV_HCALL)
			run->hyperv.u.hcall.result = HYPERV_INVALID_HYPERCALL;
		return VCPU_CONTINUE;
	case KVM_EXIT_SYSTEM_EVENT:
		return vcpu_handle_system_event(cpu, run);
	case KVM_EXIT_INTERNAL_ERROR:
		return vcpu_fail_internal_error(cpu, run);
	case KVM_EXIT_FAIL_ENTRY:
		what = g_strdup_printf("KVM_EXIT_FAIL_ENTRY, hardware reason 0x%" PRIx64,
				       (uint64_t)run->fail_entry.hardware_entry_failure_reason);
		return vcpu_fail(cpu, what);
	default:
		what = name ? g_strdup(name) : g_strdup_printf("exit %u", run->exit_reason);
		return vcpu_fail(cpu, what);
	}
}

/* Run until interrupted or stuck. */
static VcpuVerdict vcpu_run(MachineCpu *cpu)
{
	Machine *machine = cpu->machine;

	for (;;) {
		int result = kvm_vcpu_run(cpu->kvm);
		VcpuVerdict verdict;

		kvm_drain_coalesced(machine->kvm);
		if (result == -EINTR) {
			kvm_vcpu_clear_interrupt(cpu->kvm);
			return VCPU_CONTINUE;
		}
		if (result == -EAGAIN) /* a waiting CPU was woken by INIT or SIPI */
			continue;
		if (result < 0) {
			g_autofree char *what = g_strdup_printf("KVM_RUN: %s", error_text(-result));

			return vcpu_fail(cpu, what);
		}
		trace_vcpu_exit(cpu->index, kvm_vcpu_shared(cpu->kvm)->exit_reason);
		verdict = vcpu_handle_exit(cpu);
		if (verdict != VCPU_CONTINUE)
			return verdict;
	}
}

static gpointer vcpu_thread(gpointer data)
{
	MachineCpu *cpu = data;
	Machine *machine = cpu->machine;
	bool sandboxed = false;

	g_mutex_lock(&machine->cpu_lock);
	cpu->pthread = pthread_self();
	cpu->thread_id = gettid();
	g_cond_broadcast(&machine->cpu_changed);
	while (!machine->cpus_exit && !cpu->leaving) {
		VcpuVerdict verdict;

		if (!machine->cpus_may_run || cpu->stuck) {
			if (cpu->running) {
				cpu->running = false;
				g_cond_broadcast(&machine->cpu_changed);
			}
			g_cond_wait(&machine->cpu_changed, &machine->cpu_lock);
			continue;
		}
		cpu->running = true;
		g_mutex_unlock(&machine->cpu_lock);
		/*
		 * Not before the first run: until then the process may still change its user,
		 * which the C library does in every thread.
		 */
		if (!sandboxed)
			machine_restrict_thread(machine, SANDBOX_VCPU);
		sandboxed = true;
		verdict = vcpu_run(cpu);
		g_mutex_lock(&machine->cpu_lock);
		cpu->stuck = verdict == VCPU_STUCK;
	}
	cpu->running = false;
	g_cond_broadcast(&machine->cpu_changed);
	g_mutex_unlock(&machine->cpu_lock);
	return NULL;
}

/* Does nothing: a signal's arrival is what ends KVM_RUN. */
static void ignore_signal(int number)
{
	(void)number;
}

static bool vcpu_create(Machine *machine, MachineCpu *cpu, GError **error)
{
	cpu->kvm = kvm_vcpu_new(machine->kvm, cpu->apic_id, error);
	if (!cpu->kvm)
		return false;
	if (!machine->cpu.cpuid &&
	    !machine_describe_cpu(machine, kvm_vcpu_tsc_khz(cpu->kvm), error))
		return false;
	if (!machine_set_cpu_model(machine, cpu->kvm, cpu->index, error))
		return false;
	cpu->power_on = kvm_vcpu_get_state(cpu->kvm, error);
	if (!cpu->power_on)
		return false;
	/*
	 * While KVM creates a vCPU it makes its map of APICs without that one, and makes it again
	 * only when some APIC changes. A guest that runs changes none before it sends the INIT.
	 */
	return kvm_vcpu_set_lapic(cpu->kvm, &cpu->power_on->lapic, error);
}

static bool vcpu_start_thread(Machine *machine, MachineCpu *cpu, GError **error)
{
	char name[16] = "vireo";

	if (machine->config->debug_threads)
		g_snprintf(name, sizeof(name), "CPU %u/KVM", cpu->index);
	cpu->thread = g_thread_try_new(name, vcpu_thread, cpu, error);
	if (!cpu->thread)
		return false;
	g_mutex_lock(&machine->cpu_lock);
	while (cpu->thread_id == 0)
		g_cond_wait(&machine->cpu_changed, &machine->cpu_lock);
	g_mutex_unlock(&machine->cpu_lock);
	return true;
}

/* Park @cpu for good, and wait for its thread to end. */
static void vcpu_end_thread(Machine *machine, MachineCpu *cpu)
{
	g_mutex_lock(&machine->cpu_lock);
	cpu->leaving = true;
	if (cpu->running) {
		kvm_vcpu_interrupt(cpu->kvm);
		pthread_kill(cpu->pthread, SIGUSR1);
	}
	g_cond_broadcast(&machine->cpu_changed);
	g_mutex_unlock(&machine->cpu_lock);
	g_clear_pointer(&cpu->thread, g_thread_join);
	kvm_vcpu_clear_interrupt(cpu->kvm);
	cpu->leaving = cpu->stuck = false;
	cpu->thread_id = 0;
}

/* What firmware would have set before it starts a kernel. */
static void vcpu_set_firmware_msrs(MachineCpu *cpu)
{
	const struct kvm_msrs *msrs = cpu->power_on->msrs;
	struct kvm_msr_entry entries[2] = {
		{ .index = MSR_IA32_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK },
	};
	unsigned n = 1;

	for (unsigned i = 0; i < msrs->nmsrs; i++) {
		if (msrs->entries[i].index != MSR_IA32_MISC_ENABLE)
			continue;
		entries[n] = msrs->entries[i];
		entries[n++].data |= MISC_ENABLE_FAST_STRING;
	}
	kvm_vcpu_set_msrs(cpu->kvm, entries, n);
}

/* A vCPU in an empty place: a new one, or the one that was there before, as if it were new. */
static bool vcpu_start(Machine *machine, MachineCpu *cpu, GError **error)
{
	bool is_new = !cpu->kvm;

	if (!(is_new ? vcpu_create(machine, cpu, error)
		     : kvm_vcpu_set_state(cpu->kvm, cpu->power_on, error)))
		return false;
	/*
	 * The first load sets them in all that are there; later it is now or never, for once the
	 * thread is in KVM_RUN nothing gets past it.
	 */
	if (machine->ram_written && !machine_has_firmware(machine))
		vcpu_set_firmware_msrs(cpu);
	cpu->present = true;
	if (vcpu_start_thread(machine, cpu, error))
		return true;
	cpu->present = false;
	return false;
}

bool machine_plug_cpu(DeviceServices *services, unsigned index, unsigned node, const char *path,
		      GError **error)
{
	Machine *machine = (Machine *)services;
	MachineCpu *cpu = &machine->cpus[index];
	const NumaConfig *numa = machine->config->numa;

	if (node != NUMA_NO_NODE && (!numa || numa->node_of_cpu[index] != node))
		return error_fail(error, "node-id %u is not where -numa has CPU %u", node, index);
	if (!vcpu_start(machine, cpu, error))
		return false;
	cpu->path = g_strdup(path);
	return true;
}

void machine_unplug_cpu(DeviceServices *services, unsigned index)
{
	Machine *machine = (Machine *)services;
	MachineCpu *cpu;

	/* At the end of the machine they all went before their devices do. */
	if (index >= machine->n_cpus)
		return;
	cpu = &machine->cpus[index];
	vcpu_end_thread(machine, cpu);
	cpu->present = false;
	g_clear_pointer(&cpu->path, g_free);
}

bool machine_create_cpus(Machine *machine, GError **error)
{
	const CpuTopology *topology = &machine->config->cpu_topology;
	struct sigaction ignore = { .sa_handler = ignore_signal };

	if (topology->max_cpus > kvm_max_vcpus(machine->kvm))
		return error_fail(error, "-smp %u: this host's KVM runs at most %u vCPUs",
				  topology->max_cpus, kvm_max_vcpus(machine->kvm));
	sigemptyset(&ignore.sa_mask);
	sigaction(SIGUSR1, &ignore, NULL);
	machine->cpus = g_new0(MachineCpu, topology->max_cpus);
	machine->n_cpus = topology->max_cpus;
	for (unsigned i = 0; i < topology->max_cpus; i++) {
		MachineCpu *cpu = &machine->cpus[i];

		cpu->machine = machine;
		cpu->index = i;
		cpu->apic_id = cpu_apic_id(topology, i);
		if (i >= topology->cpus)
			continue;
		cpu->path = g_strdup_printf("/machine/unattached/cpu[%u]", i);
		if (!vcpu_start(machine, cpu, error))
			return false;
	}
	return true;
}

void machine_free_cpus(Machine *machine)
{
	g_mutex_lock(&machine->cpu_lock);
	machine->cpus_exit = true;
	g_cond_broadcast(&machine->cpu_changed);
	g_mutex_unlock(&machine->cpu_lock);
	for (unsigned i = 0; i < machine->n_cpus; i++) {
		MachineCpu *cpu = &machine->cpus[i];

		if (cpu->thread)
			g_thread_join(cpu->thread);
		g_free(cpu->path);
		kvm_vcpu_state_free(cpu->power_on);
		kvm_vcpu_free(cpu->kvm);
	}
	g_clear_pointer(&machine->cpus, g_free);
	machine->n_cpus = 0;
}

static struct kvm_segment kvm_segment_of(const BootSegment *segment)
{
	return (struct kvm_segment){
		.base = segment->base,
		.limit = segment->limit,
		.selector = segment->selector,
		.type = segment->type,
		.present = 1,
		.db = segment->default_32,
		.s = segment->code_or_data,
		.l = segment->long_mode,
		.g = segment->granularity,
	};
}

static bool vcpu_set_boot_state(MachineCpu *cpu, const BootState *boot, GError **error)
{
	struct kvm_sregs sregs = cpu->power_on->sregs;
	struct kvm_regs regs = {
		.rip = boot->rip,
		.rsp = boot->rsp,
		.rflags = boot->rflags,
		.rax = boot->rax,
		.rbx = boot->rbx,
		.rsi = boot->rsi,
	};

	sregs.cs = kvm_segment_of(&boot->code);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = kvm_segment_of(&boot->data);
	sregs.tr = kvm_segment_of(&boot->task);
	sregs.gdt.base = boot->gdt_base;
	sregs.gdt.limit = boot->gdt_limit;
	sregs.cr0 = boot->cr0;
	sregs.cr3 = boot->cr3;
	sregs.cr4 = boot->cr4;
	sregs.efer = boot->efer;
	return kvm_vcpu_set_sregs(cpu->kvm, &sregs, error) &&
	       kvm_vcpu_set_regs(cpu->kvm, &regs, error);
}

bool machine_reset_cpus(Machine *machine, const BootState *boot, GError **error)
{
	for (unsigned i = 0; i < machine->n_cpus; i++) {
		MachineCpu *cpu = &machine->cpus[i];

		if (!cpu->present)
			continue;
		/* The first load finds them as they were created. */
		if (machine->ram_written && !kvm_vcpu_set_state(cpu->kvm, cpu->power_on, error))
			return false;
		if (!machine_has_firmware(machine))
			vcpu_set_firmware_msrs(cpu);
		g_mutex_lock(&machine->cpu_lock);
		cpu->stuck = false;
		g_mutex_unlock(&machine->cpu_lock);
	}
	return !boot || vcpu_set_boot_state(&machine->cpus[0], boot, error);
}

unsigned machine_n_cpus(const Machine *machine)
{
	return machine->n_cpus;
}

void machine_get_cpu_info(const Machine *machine, unsigned index, MachineCpuInfo *info)
{
	const MachineCpu *cpu = &machine->cpus[index];
	CpuPlace place = cpu_place(&machine->config->cpu_topology, index);

	*info = (MachineCpuInfo){
		.index = index,
		.present = cpu->present,
		.apic_id = cpu->apic_id,
		.thread_id = cpu->thread_id,
		.socket = place.socket,
		.die = place.die,
		.core = place.core,
		.thread = place.thread,
		.node = machine->config->numa ? machine->config->numa->node_of_cpu[index]
					      : NUMA_NO_NODE,
	};
	info->path = cpu->path;
}

static void open_cpu_stats(Machine *machine, gpointer data)
{
	MachineCpu *cpu = data;

	(void)machine;
	cpu->stats_fd = kvm_vcpu_stats_fd(cpu->kvm);
	cpu->stats_opened = true;
}

int machine_cpu_stats_fd(Machine *machine, unsigned index)
{
	MachineCpu *cpu = &machine->cpus[index];

	if (!cpu->stats_opened)
		machine_with_parked_cpus(machine, open_cpu_stats, cpu);
	return cpu->stats_fd;
}

static void inject_nmis(Machine *machine, gpointer data)
{
	GError **error = data;

	for (unsigned i = 0; i < machine->n_cpus && !*error; i++) {
		if (machine->cpus[i].present)
			kvm_vcpu_inject_nmi(machine->cpus[i].kvm, error);
	}
}

bool machine_inject_nmi(Machine *machine, GError **error)
{
	GError *failure = NULL;

	machine_with_parked_cpus(machine, inject_nmis, &failure);
	if (failure)
		g_propagate_error(error, failure);
	return failure == NULL;
}
