/*
 * vm_config.h: the typed configuration of one machine, as the command line says it
 *
 * vm_config_parse() has no side effects: it opens, creates and checks nothing outside the text.
 * Options that name things with arguments of their own (-device, -blockdev, ...) stay parsed
 * JSON, in order, with the text for messages; their owners check them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "qapi-types.h"
#include "vmm/config/smbios_config.h"
#include "vmm/config/numa_config.h"

/* The machine type, its alias, and the most vCPUs it can have (APIC ids have 8 bits). */
#define MACHINE_TYPE_NAME  "vireo-q35-1.0"
#define MACHINE_TYPE_ALIAS "q35"
#define MACHINE_MAX_CPUS   255u

/* One occurrence of an option with arguments of its own. */
typedef struct VmConfigItem {
	const char *option;   /* "-device"; static */
	char *text;	      /* as it was written */
	json_object *options; /* as it was understood */
} VmConfigItem;

/* -smp; every level is at least 1 and their product is max_cpus, which is at least cpus. */
typedef struct CpuTopology {
	unsigned cpus;	   /* present at start */
	unsigned max_cpus;
	unsigned sockets;
	unsigned dies;	  /* per socket */
	unsigned cores;	  /* per die */
	unsigned threads; /* per core */
} CpuTopology;

/* +feature, -feature, feature=on|off|force of -cpu, in order. */
typedef enum CpuFeatureState {
	CPU_FEATURE_OFF,
	CPU_FEATURE_ON,	   /* and the host must be able to give it */
	CPU_FEATURE_FORCE, /* whatever the host says */
} CpuFeatureState;

typedef struct CpuFeatureSetting {
	char *name;
	CpuFeatureState state;
} CpuFeatureSetting;

/* Free @data, a CpuFeatureSetting. */
void cpu_feature_setting_free(gpointer data);

/* Flash chips that there can be: code and variables. */
#define VM_FLASHES 2u

/* -boot: what firmware is told. */
typedef struct BootConfig {
	bool menu;	      /* offer to choose */
	bool strict;	      /* nothing but what has a bootindex */
	int32_t splash_time;  /* ms to wait for a choice; -1: firmware's own idea */
	int32_t reboot_timeout; /* ms until it tries again when nothing boots; -1: never */
} BootConfig;

/* What a guest's own wish leads to (-action, set-action). */
typedef struct RunActions {
	QapiRebootAction reboot;
	QapiShutdownAction shutdown;
	QapiPanicAction panic;
	QapiWatchdogAction watchdog;
} RunActions;

/* What a "help" argument asks for instead of a machine. */
typedef enum VmHelp {
	VM_HELP_NONE,
	VM_HELP_OPTIONS,     /* -help */
	VM_HELP_VERSION,     /* -version */
	VM_HELP_MACHINE,     /* -machine help */
	VM_HELP_CPU,	     /* -cpu help */
	VM_HELP_DEVICE,	     /* -device help */
	VM_HELP_DEVICE_TYPE, /* -device X,help; help_argument is X */
	VM_HELP_OBJECT,	     /* -object help */
} VmHelp;

/* -cpu ...,hv-NAME: what hyperv.h has. */
typedef struct HypervConfig {
	bool relaxed, vapic, vpindex, runtime, crash, time, synic, stimer, stimer_direct, reset;
	bool frequencies, reenlightenment, tlbflush, ipi, avic;
	bool passthrough;   /* all that KVM has */
	uint32_t spinlocks; /* how often a guest tries before it says so; 0: not given */
	char *vendor_id;    /* NULL: Microsoft's */
} HypervConfig;

typedef struct VmConfig {
	VmHelp help;
	char *help_argument;

	char *name; /* -name guest=; NULL if not given */
	bool debug_threads;
	char *rtc_base; /* -rtc base=; NULL if not given (utc) */
	bool rtc_slew;	/* -rtc driftfix=slew */
	bool has_uuid;
	uint8_t uuid[16]; /* in the order it is written */

	char *memory_backend; /* -machine memory-backend=; NULL: plain -m */
	uint64_t memory_size; /* bytes; 0: not given */
	uint64_t memory_maximum; /* bytes, with what may be added later; 0: not given */
	unsigned memory_slots;	 /* the most memory devices; 0: as many as there is room for */
	bool memory_merge, dump_guest_core; /* what memory backends do unless told otherwise */
	bool memory_lock;		    /* -overcommit mem-lock= */
	NumaConfig *numa;		    /* NULL: no nodes */
	CpuTopology cpu_topology;
	char *cpu_model;
	GPtrArray *cpu_features; /* CpuFeatureSetting * */
	bool cpu_check;		 /* warn of what the host lacks of the model */
	bool cpu_enforce;	 /* or do not start then */
	char *cpu_vendor;	 /* 12 letters in place of the model's; NULL: not given */
	uint32_t cpu_physical_bits; /* of an address; 0: the host's */
	HypervConfig hyperv;

	char *kernel, *initrd, *append; /* NULL if not given */

	char *bios;	  /* -bios; NULL if not given */
	char *pflash[VM_FLASHES]; /* -machine pflash0=, pflash1=: names of nodes, or NULL */
	bool no_graphics; /* -machine graphics=off */
	BootConfig boot;
	GPtrArray *fw_cfg; /* of -fw_cfg */
	SmbiosConfig smbios;

	GPtrArray *objects;   /* VmConfigItem *, each of these */
	GPtrArray *blockdevs;
	GPtrArray *netdevs;
	GPtrArray *chardevs;  /* those that -serial and -qmp spell out are among them */
	GPtrArray *tpmdevs;
	GPtrArray *devices;
	GPtrArray *serials;   /* options: {"chardev": ID}, or {} for none */
	GPtrArray *add_fds;   /* descriptors for /dev/fdset/N */
	GPtrArray *vncs;      /* none or one */
	GPtrArray *monitors;  /* options: {"chardev": ID, "pretty": BOOL} */

	bool nographic;
	bool start_paused; /* -S */
	RunActions actions;

	bool daemonize;
	char *pid_file;
	char *run_as;
	bool sandbox;
	char *log_file;
	bool log_timestamps;
} VmConfig;

/*
 * Parse @argv. NULL and @error, whose message starts with the option at fault
 * ("-smp 0: ..."). When config->help is set the rest was not looked at.
 */
VmConfig *vm_config_parse(int argc, char **argv, GError **error);
void vm_config_free(VmConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmConfig, vm_config_free)

/* Print every option with its help text. */
void vm_config_print_help(FILE *stream);
