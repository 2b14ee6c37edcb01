/*
 * machine.h: the guest's machine as a whole
 *
 * A Machine owns everything of one guest: KVM, RAM, address spaces, devices, their back ends and
 * the vCPU threads. There is one per process, but nothing here is global.
 *
 * Unless a comment says otherwise, functions run on the main thread, and what they return is
 * borrowed and lives as long as the machine.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi-types.h"
#include "qmp/qmp_event.h"
#include "vmm/base/fd.h"
#include "vmm/config/vm_config.h"
#include "vmm/device/device.h"
#include "vmm/machine/announcements.h"
#include "vmm/machine/machine_objects.h"
#include "vmm/x86/cpu_features.h"

typedef struct BlockNodes BlockNodes;
typedef struct Chardevs Chardevs;
typedef struct DirtyRate DirtyRate;
typedef struct Kvm Kvm;
typedef struct Machine Machine;
typedef struct Netdevs Netdevs;
typedef struct Tpms Tpms;
typedef struct VncServer VncServer;

/*
 * Build the machine that @config describes: back ends first, then the board, then devices in
 * order, then the kernel is loaded. Nothing runs yet. @config and @events (may be NULL) outlive
 * it; @fd_sets opens "/dev/fdset/N" for back ends and is copied. NULL and @error ("-opt value:
 * reason" where one option is at fault) with everything undone.
 */
Machine *machine_new(const VmConfig *config, const QmpEventSink *events,
		     const FdSetOpener *fd_sets, GError **error);

/* Stop the vCPUs, free devices, then back ends. Emits nothing. */
void machine_free(Machine *machine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

/*
 * Run the main loop until the machine ends: starts the vCPUs first, unless the configuration says
 * -S. False and @error when it cannot start; otherwise *@status is what the process should exit
 * with.
 */
bool machine_run(Machine *machine, int *status, GError **error);

/* The parts. */
const VmConfig *machine_config(const Machine *machine);
Kvm *machine_kvm(Machine *machine);
GuestMemory *machine_memory(Machine *machine);
DeviceTree *machine_devices(Machine *machine);
DeviceServices *machine_services(Machine *machine);
BlockNodes *machine_block_nodes(Machine *machine);
Netdevs *machine_netdevs(Machine *machine);
Announcements *machine_announcements(Machine *machine);
DirtyRate *machine_dirty_rate(Machine *machine);
Chardevs *machine_chardevs(Machine *machine);
Tpms *machine_tpms(Machine *machine);
MachineObjects *machine_objects(Machine *machine);
/* NULL without -vnc. */
VncServer *machine_vnc(Machine *machine);

/* query-status. Any thread for the first two. */
QapiRunState machine_run_state(const Machine *machine);
bool machine_is_running(const Machine *machine);

/*
 * The QMP command stop, also for a guest that runs no more: pauses vCPUs, then devices, and emits
 * STOP. Nothing is in flight when it returns. Does nothing if already stopped.
 */
void machine_stop(Machine *machine);

/*
 * The QMP command cont: runs the guest on, from any state it can continue from, and emits RESUME.
 * False and @error in states that need a reset first (shutdown, internal-error), and where there
 * is nothing to boot.
 */
bool machine_continue(Machine *machine, GError **error);

/*
 * Reset devices and vCPUs, load the kernel again, and go on as before: a running guest runs, a
 * stopped one stays stopped and is made continuable. Emits RESET, or ends the machine where the
 * actions say that a reboot is a shutdown.
 */
void machine_reset(Machine *machine, QapiShutdownCause cause);

/* Press the power button: ACPI tells the guest; emits POWERDOWN. */
void machine_press_power_button(Machine *machine);

/*
 * End the machine: emits SHUTDOWN, and machine_run() returns soon. With shutdown=pause a guest that
 * is reset or switches itself off is stopped in state "shutdown" instead.
 */
void machine_shutdown(Machine *machine, QapiShutdownCause cause);

/* Deliver an NMI to every vCPU. False and @error where KVM cannot. */
bool machine_inject_nmi(Machine *machine, GError **error);

/* set-action, and what is in force. */
RunActions machine_actions(const Machine *machine);
void machine_set_actions(Machine *machine, RunActions actions);

/* A place for a vCPU, for query-cpus-fast and query-hotpluggable-cpus. */
typedef struct MachineCpuInfo {
	unsigned index;
	bool present; /* false: empty, and thread_id and path mean nothing */
	uint32_t apic_id;
	int thread_id; /* the kernel's, for pinning */
	unsigned socket, die, core, thread;
	unsigned node; /* NUMA_NO_NODE: the guest has none */
	const char *path; /* "/machine/unattached/cpu[0]"; borrowed, as long as it is present */
} MachineCpuInfo;

/*
 * What this host's KVM can give a guest: CPUID and the MSRs that list features, to be freed with
 * cpu_description_clear(). False and @error.
 */
bool machine_host_cpu(Machine *machine, CpuDescription *host, GError **error);

/* How many places for vCPUs there are, taken or not. */
unsigned machine_n_cpus(const Machine *machine);
/* Fill in @info of vCPU @index, less than machine_n_cpus(). */
void machine_get_cpu_info(const Machine *machine, unsigned index, MachineCpuInfo *info);
/* KVM_GET_STATS_FD of vCPU @index, for kvm_stats_read(); borrowed, -1 if KVM has none. */
int machine_cpu_stats_fd(Machine *machine, unsigned index);

/* How netdevs and devices find descriptors by the names that getfd gave them; @taker is copied. */
void machine_set_fd_names(Machine *machine, const FdNameTaker *taker);
