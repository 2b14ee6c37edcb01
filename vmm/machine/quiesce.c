/*
 * quiesce.c: the one handshake by which everything that could touch the guest comes to rest
 *
 * First the vCPUs park, so that no register access and no kick starts anything new; then batched
 * writes are performed; then the devices finish what is in flight. Pause, reset, hot-unplug and
 * save all go through here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"

#include <pthread.h>
#include <signal.h>

static bool any_cpu_running(const Machine *machine)
{
	for (unsigned i = 0; i < machine->n_cpus; i++) {
		if (machine->cpus[i].running)
			return true;
	}
	return false;
}

static void park_cpus(Machine *machine)
{
	g_mutex_lock(&machine->cpu_lock);
	machine->cpus_may_run = false;
	for (unsigned i = 0; i < machine->n_cpus; i++) {
		MachineCpu *cpu = &machine->cpus[i];

		if (!cpu->running)
			continue;
		kvm_vcpu_interrupt(cpu->kvm);
		pthread_kill(cpu->pthread, SIGUSR1);
	}
	while (any_cpu_running(machine))
		g_cond_wait(&machine->cpu_changed, &machine->cpu_lock);
	g_mutex_unlock(&machine->cpu_lock);
}

static void come_to_rest(Machine *machine)
{
	park_cpus(machine);
	kvm_drain_coalesced(machine->kvm);
	device_tree_pause(machine->devices);
}

void machine_quiesce(Machine *machine)
{
	if (!machine->cpus_may_run)
		return;
	come_to_rest(machine);
	kvm_pause_clock(machine->kvm);
}

static void unpark_cpus(Machine *machine)
{
	g_mutex_lock(&machine->cpu_lock);
	machine->cpus_may_run = true;
	/* "running" is set here and not by the threads, so that whoever parks them misses none. */
	for (unsigned i = 0; i < machine->n_cpus; i++)
		machine->cpus[i].running = machine->cpus[i].present && !machine->cpus[i].stuck;
	g_cond_broadcast(&machine->cpu_changed);
	g_mutex_unlock(&machine->cpu_lock);
}

void machine_with_parked_cpus(Machine *machine, void (*func)(Machine *, gpointer), gpointer data)
{
	bool were_running = machine->cpus_may_run;

	if (were_running)
		park_cpus(machine);
	func(machine, data);
	if (were_running)
		unpark_cpus(machine);
}

bool machine_with_quiet_guest(Machine *machine, void (*func)(gpointer), gpointer data)
{
	if (!machine->cpus_may_run)
		return false;
	come_to_rest(machine);
	func(data);
	device_tree_resume(machine->devices);
	unpark_cpus(machine);
	return true;
}

void machine_unquiesce(Machine *machine)
{
	if (machine->cpus_may_run)
		return;
	kvm_resume_clock(machine->kvm);
	device_tree_resume(machine->devices);
	for (unsigned i = 0; i < machine->n_cpus; i++) {
		if (machine->cpus[i].present)
			kvm_vcpu_mark_paused(machine->cpus[i].kvm);
	}
	unpark_cpus(machine);
}
