/*
 * vm_config_machine.c: the options for the machine itself: type, memory, name, actions
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/vm_config_internal.h"
#include "vmm/base/error.h"
#include "vmm/config/options.h"

#include <string.h>

#define MAX_MEMORY_SLOTS 256u

typedef struct MachineOptions {
	char *type, *memory_backend, *accel;
	char *pflash[VM_FLASHES];
	bool kernel_irqchip, graphics, mem_merge, dump_guest_core;
} MachineOptions;

static bool check_machine(const MachineOptions *machine, GError **error)
{
	if (strcmp(machine->type, MACHINE_TYPE_ALIAS) != 0 &&
	    strcmp(machine->type, MACHINE_TYPE_NAME) != 0)
		return error_fail(error, "there is no machine type '%s'; see -machine help",
				  machine->type);
	if (strcmp(machine->accel, "kvm") != 0)
		return error_fail(error, "there is no accelerator '%s' but kvm", machine->accel);
	if (!machine->kernel_irqchip)
		return error_fail(error, "the interrupt controllers are always KVM's");
	return true;
}

bool vm_config_parse_machine(VmConfig *config, const VmOption *option, const char *text,
			     GError **error)
{
	static const Property properties[] = {
		{ .name = "type", .kind = PROPERTY_STRING, .initial_text = MACHINE_TYPE_ALIAS,
		  .offset = offsetof(MachineOptions, type) },
		{ .name = "memory-backend", .kind = PROPERTY_STRING,
		  .offset = offsetof(MachineOptions, memory_backend) },
		{ .name = "pflash0", .kind = PROPERTY_NODE,
		  .offset = offsetof(MachineOptions, pflash[0]) },
		{ .name = "pflash1", .kind = PROPERTY_NODE,
		  .offset = offsetof(MachineOptions, pflash[1]) },
		{ .name = "graphics", .kind = PROPERTY_BOOL, .initial = true,
		  .offset = offsetof(MachineOptions, graphics) },
		{ .name = "accel", .kind = PROPERTY_STRING, .initial_text = "kvm",
		  .offset = offsetof(MachineOptions, accel) },
		{ .name = "kernel-irqchip", .kind = PROPERTY_BOOL, .initial = true,
		  .offset = offsetof(MachineOptions, kernel_irqchip) },
		{ .name = "mem-merge", .kind = PROPERTY_BOOL, .initial = true,
		  .offset = offsetof(MachineOptions, mem_merge) },
		{ .name = "dump-guest-core", .kind = PROPERTY_BOOL, .initial = true,
		  .offset = offsetof(MachineOptions, dump_guest_core) },
		PROPERTY_END,
	};
	MachineOptions machine = { 0 };
	bool done;

	(void)option;
	properties_init(properties, &machine);
	done = vm_config_parse_properties(properties, &machine, text, "type", error) &&
	       check_machine(&machine, error);
	if (done) {
		config->memory_merge = machine.mem_merge;
		config->dump_guest_core = machine.dump_guest_core;
	}
	if (done && machine.memory_backend) {
		g_free(config->memory_backend);
		config->memory_backend = g_steal_pointer(&machine.memory_backend);
	}
	for (unsigned i = 0; done && i < VM_FLASHES; i++) {
		if (!machine.pflash[i])
			continue;
		g_free(config->pflash[i]);
		config->pflash[i] = g_steal_pointer(&machine.pflash[i]);
	}
	if (done)
		config->no_graphics = !machine.graphics;
	properties_clear(properties, &machine);
	return done;
}

bool vm_config_parse_boot(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	static const Property properties[] = {
		{ .name = "menu", .kind = PROPERTY_BOOL, .offset = offsetof(BootConfig, menu) },
		{ .name = "strict", .kind = PROPERTY_BOOL, .offset = offsetof(BootConfig, strict) },
		{ .name = "splash-time", .kind = PROPERTY_INT32, .minimum = 0, .maximum = 0xffff,
		  .offset = offsetof(BootConfig, splash_time) },
		{ .name = "reboot-timeout", .kind = PROPERTY_INT32,
		  .offset = offsetof(BootConfig, reboot_timeout) },
		PROPERTY_END,
	};

	(void)option;
	return vm_config_parse_properties(properties, &config->boot, text, NULL, error);
}

bool vm_config_parse_accel(VmConfig *config, const VmOption *option, const char *text,
			   GError **error)
{
	(void)config, (void)option;
	return strcmp(text, "kvm") == 0 ||
	       error_fail(error, "there is no accelerator but kvm, and it has no properties");
}

bool vm_config_parse_memory(VmConfig *config, const VmOption *option, const char *text,
			    GError **error)
{
	json_object *parsed = options_parse(text, "size", error);
	bool done = parsed != NULL;
	uint64_t slots = 0;

	(void)option;
	if (!parsed)
		return false;
	json_object_object_foreach(parsed, key, value)
	{
		const char *number = json_object_get_string(value);

		if (!done)
			continue;
		if (strcmp(key, "size") == 0)
			done = options_parse_size(number, 'M', &config->memory_size, error);
		else if (strcmp(key, "maxmem") == 0)
			done = options_parse_size(number, 'M', &config->memory_maximum, error);
		else if (strcmp(key, "slots") == 0)
			done = options_parse_size(number, 'B', &slots, error);
		else
			done = error_fail(error, "there is no '%s' here", key);
	}
	json_object_put(parsed);
	if (!done)
		return false;
	if (config->memory_size == 0)
		return error_fail(error, "a machine needs memory");
	if (config->memory_maximum && config->memory_maximum < config->memory_size)
		return error_fail(error, "maxmem is less than the size");
	if (slots > 0 && config->memory_maximum <= config->memory_size)
		return error_fail(error, "slots without a maxmem that is more than the size");
	if (slots > MAX_MEMORY_SLOTS)
		return error_fail(error, "slots: the most is %u", MAX_MEMORY_SLOTS);
	config->memory_slots = (unsigned)slots;
	return true;
}

G_STATIC_ASSERT(MACHINE_MAX_CPUS <= NUMA_MAX_CPUS);

bool vm_config_parse_numa(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	(void)option;
	if (!config->numa)
		config->numa = numa_config_new();
	return numa_config_parse(config->numa, text, error);
}

bool vm_config_parse_overcommit(VmConfig *config, const VmOption *option, const char *text,
				GError **error)
{
	static const Property properties[] = {
		{ .name = "mem-lock", .kind = PROPERTY_BOOL,
		  .offset = offsetof(VmConfig, memory_lock) },
		PROPERTY_END,
	};

	(void)option;
	return vm_config_parse_properties(properties, config, text, NULL, error);
}

typedef struct NameOptions {
	char *guest;
	bool debug_threads;
} NameOptions;

bool vm_config_parse_name(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	static const Property properties[] = {
		{ .name = "guest", .kind = PROPERTY_STRING, .offset = offsetof(NameOptions, guest) },
		{ .name = "debug-threads", .kind = PROPERTY_BOOL,
		  .offset = offsetof(NameOptions, debug_threads) },
		PROPERTY_END,
	};
	NameOptions name = { 0 };
	bool done;

	(void)option;
	properties_init(properties, &name);
	done = vm_config_parse_properties(properties, &name, text, "guest", error);
	if (done) {
		g_free(config->name);
		config->name = g_steal_pointer(&name.guest);
		config->debug_threads = name.debug_threads;
	}
	properties_clear(properties, &name);
	return done;
}

bool vm_config_parse_uuid(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	unsigned digits = 0;

	(void)option;
	if (!g_uuid_string_is_valid(text))
		return error_fail(error, "is no UUID");
	for (const char *c = text; *c; c++) {
		if (*c == '-')
			continue;
		config->uuid[digits / 2] =
			(uint8_t)(config->uuid[digits / 2] << 4 | g_ascii_xdigit_value(*c));
		digits++;
	}
	config->has_uuid = true;
	return true;
}

bool vm_config_parse_rtc(VmConfig *config, const VmOption *option, const char *text,
			 GError **error)
{
	/* There is one clock to follow: the host's. */
	static const char *const clock_names[] = { "host", NULL };
	static const char *const driftfix_names[] = { "none", "slew", NULL };
	typedef struct RtcOptions {
		char *base;
		int clock, driftfix;
	} RtcOptions;
	static const Property properties[] = {
		{ .name = "base", .kind = PROPERTY_STRING, .offset = offsetof(RtcOptions, base) },
		{ .name = "clock", .kind = PROPERTY_ENUM, .enum_names = clock_names,
		  .offset = offsetof(RtcOptions, clock) },
		{ .name = "driftfix", .kind = PROPERTY_ENUM, .enum_names = driftfix_names,
		  .offset = offsetof(RtcOptions, driftfix) },
		PROPERTY_END,
	};
	RtcOptions options = { 0 };
	bool done;

	(void)option;
	done = vm_config_parse_properties(properties, &options, text, NULL, error);
	if (done)
		config->rtc_slew = options.driftfix == 1;
	if (done && options.base) {
		g_free(config->rtc_base);
		config->rtc_base = g_steal_pointer(&options.base);
	}
	properties_clear(properties, &options);
	return done;
}

bool vm_config_parse_action(VmConfig *config, const VmOption *option, const char *text,
			    GError **error)
{
	static const char *const reboot_names[] = { "reset", "shutdown", NULL };
	static const char *const shutdown_names[] = { "poweroff", "pause", NULL };
	static const char *const panic_names[] = { "pause", "shutdown", "exit-failure", "none",
						   NULL };
	static const char *const watchdog_names[] = { "reset", "shutdown", "poweroff", "pause",
						      "debug", "none", "inject-nmi", NULL };
	static const Property properties[] = {
		{ .name = "reboot", .kind = PROPERTY_ENUM, .enum_names = reboot_names,
		  .offset = offsetof(RunActions, reboot) },
		{ .name = "shutdown", .kind = PROPERTY_ENUM, .enum_names = shutdown_names,
		  .offset = offsetof(RunActions, shutdown) },
		{ .name = "panic", .kind = PROPERTY_ENUM, .enum_names = panic_names,
		  .offset = offsetof(RunActions, panic) },
		{ .name = "watchdog", .kind = PROPERTY_ENUM, .enum_names = watchdog_names,
		  .offset = offsetof(RunActions, watchdog) },
		PROPERTY_END,
	};

	(void)option;
	return vm_config_parse_properties(properties, &config->actions, text, NULL, error);
}

bool vm_config_parse_watchdog(VmConfig *config, const VmOption *option, const char *text,
			      GError **error)
{
	g_autofree char *action = g_strdup_printf("watchdog=%s", text);

	return vm_config_parse_action(config, option, action, error);
}
