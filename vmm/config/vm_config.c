/*
 * vm_config.c: the table of command line options
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/vm_config_internal.h"
#include "vmm/base/error.h"
#include "vmm/config/options.h"

#include <string.h>

static void vm_config_item_free(gpointer data)
{
	VmConfigItem *item = data;

	g_free(item->text);
	json_object_put(item->options);
	g_free(item);
}

void vm_config_add_item(GPtrArray *items, const char *option, const char *text,
			json_object *options)
{
	VmConfigItem *item = g_new0(VmConfigItem, 1);

	item->option = option;
	item->text = g_strdup(text);
	item->options = options;
	g_ptr_array_add(items, item);
}

bool vm_config_parse_item(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	GPtrArray *items = *(GPtrArray **)((char *)config + option->offset);
	json_object *options = options_parse(text, option->implied_key, error);

	if (!options)
		return false;
	vm_config_add_item(items, option->name, text, options);
	return true;
}

bool vm_config_parse_device(VmConfig *config, const VmOption *option, const char *text,
			    GError **error)
{
	VmConfigItem *item;
	json_object *driver, *help;

	if (!vm_config_parse_item(config, option, text, error))
		return false;
	item = config->devices->pdata[config->devices->len - 1];
	if (json_object_object_get_ex(item->options, "driver", &driver) &&
	    json_object_object_get_ex(item->options, "help", &help)) {
		config->help = VM_HELP_DEVICE_TYPE;
		config->help_argument = g_strdup(json_object_get_string(driver));
	}
	return true;
}

bool vm_config_parse_properties(const Property *table, void *object, const char *text,
				const char *implied_key, GError **error)
{
	json_object *options = options_parse(text, implied_key, error);
	bool done = options != NULL;

	if (!options)
		return false;
	json_object_object_foreach(options, key, value)
	{
		const Property *property = property_find(table, key);

		if (!done)
			continue;
		done = property ? property_set(property, object, value, error)
				: error_fail(error, "there is no '%s' here", key);
	}
	json_object_put(options);
	return done;
}

static bool parse_flag(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	(void)text, (void)error;
	*(bool *)((char *)config + option->offset) = true;
	return true;
}

static bool parse_string(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	char **place = (char **)((char *)config + option->offset);

	if (*text == '\0')
		return error_fail(error, "must not be empty");
	g_free(*place);
	*place = g_strdup(text);
	return true;
}

/* A kernel command line may be empty. */
static bool parse_append(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	(void)option, (void)error;
	g_free(config->append);
	config->append = g_strdup(text);
	return true;
}

static bool parse_sandbox(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	(void)option;
	config->sandbox = strcmp(text, "on") == 0;
	return config->sandbox || strcmp(text, "off") == 0 || error_fail(error, "use on or off");
}

static bool parse_message(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	static const Property properties[] = {
		{ .name = "timestamp", .kind = PROPERTY_BOOL,
		  .offset = offsetof(VmConfig, log_timestamps) },
		PROPERTY_END,
	};

	(void)option;
	return vm_config_parse_properties(properties, config, text, NULL, error);
}

/* What Vireo does anyhow is no error to ask for; anything else by these names is. */
static bool parse_none(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	(void)config, (void)option;
	return strcmp(text, "none") == 0 || error_fail(error, "there is only 'none'");
}

/* "none" is what there is without it. */
static bool parse_vnc(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	if (strcmp(text, "none") == 0)
		return true;
	if (config->vncs->len > 0)
		return error_fail(error, "there can be one VNC server");
	return vm_config_parse_item(config, option, text, error);
}

static bool parse_truth(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	(void)config, (void)option, (void)text, (void)error;
	return true;
}

static bool parse_no_reboot(VmConfig *config, const VmOption *option, const char *text,
			    GError **error)
{
	(void)option, (void)text, (void)error;
	config->actions.reboot = QAPI_REBOOT_ACTION_SHUTDOWN;
	return true;
}

static bool parse_no_shutdown(VmConfig *config, const VmOption *option, const char *text,
			      GError **error)
{
	(void)option, (void)text, (void)error;
	config->actions.shutdown = QAPI_SHUTDOWN_ACTION_PAUSE;
	return true;
}

static bool parse_smbios(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	(void)option;
	return smbios_config_parse(&config->smbios, text, error);
}

static bool parse_help(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	(void)option, (void)text, (void)error;
	config->help = VM_HELP_OPTIONS;
	return true;
}

static bool parse_version(VmConfig *config, const VmOption *option, const char *text,
			  GError **error)
{
	(void)option, (void)text, (void)error;
	config->help = VM_HELP_VERSION;
	return true;
}

#define FIELD(name) offsetof(VmConfig, name)

static const VmOption options[] = {
	{ "-machine",
	  "[type=]q35[,memory-backend=ID][,pflash0=NODE][,pflash1=NODE][,graphics=on|off][,accel=kvm]"
	  "[,kernel-irqchip=on][,mem-merge=on|off][,dump-guest-core=on|off]",
	  "the machine type", vm_config_parse_machine, 0, NULL },
	{ "-M", "[type=]q35[,...]", "the same", vm_config_parse_machine, 0, NULL },
	{ "-accel", "kvm", "what runs the guest", vm_config_parse_accel, 0, NULL },
	{ "-enable-kvm", NULL, "the same", parse_truth, 0, NULL },
	{ "-cpu", "MODEL[,+FEATURE][,-FEATURE][,FEATURE=on|off|force][,check=on|off][,enforce=on|off]",
	  "the CPU model; -cpu help lists models and features", vm_config_parse_cpu, 0, NULL },
	{ "-smp", "[cpus=]N[,maxcpus=N][,sockets=N][,dies=N][,cores=N][,threads=N]",
	  "virtual CPUs and their topology", vm_config_parse_smp, 0, NULL },
	{ "-m", "[size=]MEGABYTES[,maxmem=SIZE][,slots=N]",
	  "size of RAM (suffixes k, M, G, T), and with what can be added",
	  vm_config_parse_memory, 0, NULL },
	{ "-numa", "node[,nodeid=N][,cpus=N[-N]...][,memdev=ID] | dist,src=N,dst=N,val=N",
	  "a NUMA node of the guest; how far it is from one to another", vm_config_parse_numa, 0,
	  NULL },
	{ "-overcommit", "mem-lock=on|off", "whether all memory is locked",
	  vm_config_parse_overcommit, 0, NULL },
	{ "-kernel", "FILE", "a kernel to boot: bzImage, PVH or Multiboot", parse_string,
	  FIELD(kernel), NULL },
	{ "-initrd", "FILE", "its initial RAM disk (Multiboot: modules)", parse_string,
	  FIELD(initrd), NULL },
	{ "-append", "TEXT", "its command line", parse_append, 0, NULL },
	{ "-bios", "FILE", "firmware in ROM, to boot from disks", parse_string, FIELD(bios), NULL },
	{ "-boot", "[menu=on|off][,strict=on|off][,splash-time=MS][,reboot-timeout=MS]",
	  "what firmware is told about booting", vm_config_parse_boot, 0, NULL },
	{ "-fw_cfg", "[name=]NAME,string=TEXT|file=FILE", "a file for firmware and guest to read",
	  vm_config_parse_item, FIELD(fw_cfg), "name" },
	{ "-smbios", "type=0|1|2|3|4|11|17[,KEY=TEXT...]", "text of SMBIOS structures", parse_smbios, 0,
	  NULL },
	{ "-object", "TYPE,id=ID[,...]", "a memory backend, I/O thread or entropy source",
	  vm_config_parse_item, FIELD(objects), "qom-type" },
	{ "-blockdev", "DRIVER,node-name=NAME[,...]", "the host side of a disk",
	  vm_config_parse_item, FIELD(blockdevs), "driver" },
	{ "-netdev", "TYPE,id=ID[,...]", "the host side of a network card", vm_config_parse_item,
	  FIELD(netdevs), "type" },
	{ "-chardev", "BACKEND,id=ID[,...]", "the host side of a serial port, console or monitor",
	  vm_config_parse_item, FIELD(chardevs), "backend" },
	{ "-tpmdev", "emulator,id=ID,chardev=ID", "the host side of a TPM: swtpm behind a socket",
	  vm_config_parse_item, FIELD(tpmdevs), "type" },
	{ "-device", "TYPE[,id=ID][,PROPERTY=VALUE...]", "a device; -device help lists them",
	  vm_config_parse_device, FIELD(devices), "driver" },
	{ "-serial", "stdio|pty|null|none|chardev:ID|file:PATH|unix:PATH", "the next serial port",
	  vm_config_parse_serial, 0, NULL },
	{ "-qmp", "stdio|chardev:ID|unix:PATH[,server=on,wait=off]", "a QMP monitor",
	  vm_config_parse_qmp, 0, NULL },
	{ "-mon", "[chardev=]ID,mode=control[,pretty=on]", "a QMP monitor on a chardev",
	  vm_config_parse_mon, 0, NULL },
	{ "-monitor", "none", "there is no other kind of monitor", parse_none, 0, NULL },
	{ "-add-fd", "fd=N,set=N[,opaque=TEXT]", "a descriptor, as /dev/fdset/SET",
	  vm_config_parse_item, FIELD(add_fds), NULL },
	{ "-name", "[guest=]NAME[,debug-threads=on|off]", "the guest's name; whether threads have names",
	  vm_config_parse_name, 0, NULL },
	{ "-rtc", "[base=utc|localtime|DATE][,clock=host][,driftfix=none|slew]",
	  "what the guest's clock starts from", vm_config_parse_rtc, 0, NULL },
	{ "-uuid", "UUID", "the guest's UUID", vm_config_parse_uuid, 0, NULL },
	{ "-S", NULL, "do not start the guest; 'cont' does", parse_flag, FIELD(start_paused),
	  NULL },
	{ "-action",
	  "reboot=reset|shutdown,shutdown=poweroff|pause,panic=pause|shutdown|exit-failure|none,watchdog=ACTION",
	  "what the guest's reboot, shutdown, panic or expired watchdog leads to",
	  vm_config_parse_action, 0, NULL },
	{ "-watchdog-action", "reset|shutdown|poweroff|pause|inject-nmi|debug|none",
	  "the same as -action watchdog=", vm_config_parse_watchdog, 0, NULL },
	{ "-no-reboot", NULL, "the same as -action reboot=shutdown", parse_no_reboot, 0, NULL },
	{ "-no-shutdown", NULL, "the same as -action shutdown=pause", parse_no_shutdown, 0, NULL },
	{ "-daemonize", NULL, "go to the background once the guest is ready", parse_flag,
	  FIELD(daemonize), NULL },
	{ "-pidfile", "FILE", "write the process id there, and keep it locked", parse_string,
	  FIELD(pid_file), NULL },
	{ "-runas", "USER", "become this user before the guest starts", parse_string, FIELD(run_as),
	  NULL },
	{ "-sandbox", "on|off", "system call filters (default: on)", parse_sandbox, 0, NULL },
	{ "-D", "FILE", "write the log there instead of to standard error", parse_string,
	  FIELD(log_file), NULL },
	{ "-msg", "timestamp=on|off", "whether log lines have the time", parse_message, 0, NULL },
	{ "-nographic", NULL, "the first serial port on standard input and output", parse_flag,
	  FIELD(nographic), NULL },
	{ "-vnc", "HOST:DISPLAY|unix:PATH|none[,password=on][,share=POLICY][,...]",
	  "show the screen by VNC", parse_vnc, FIELD(vncs), "vnc" },
	{ "-display", "none", "there are no windows", parse_none, 0, NULL },
	{ "-vga", "none", "there is no VGA", parse_none, 0, NULL },
	{ "-nodefaults", NULL, "there are no default devices", parse_truth, 0, NULL },
	{ "-no-user-config", NULL, "there are no configuration files", parse_truth, 0, NULL },
	{ "-help", NULL, "print this", parse_help, 0, NULL },
	{ "-h", NULL, "the same", parse_help, 0, NULL },
	{ "-version", NULL, "print the version", parse_version, 0, NULL },
	{ .name = NULL },
};

void vm_config_print_help(FILE *stream)
{
	fputs("Usage: vireo OPTION...\n\nRuns one virtual machine on KVM. Options:\n", stream);
	for (const VmOption *option = options; option->name; option++)
		fprintf(stream, "  %s%s%s\n        %s\n", option->name, option->argument ? " " : "",
			option->argument ? option->argument : "", option->help);
}

static VmConfig *vm_config_new(void)
{
	VmConfig *config = g_new0(VmConfig, 1);
	GPtrArray **lists[] = { &config->objects,  &config->blockdevs, &config->netdevs,
				&config->chardevs, &config->devices,   &config->serials,
				&config->monitors, &config->add_fds,   &config->fw_cfg,
				&config->vncs,	   &config->tpmdevs };

	for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++)
		*lists[i] = g_ptr_array_new_with_free_func(vm_config_item_free);
	config->cpu_topology = (CpuTopology){ 1, 1, 1, 1, 1, 1 };
	config->cpu_model = g_strdup("host");
	config->cpu_features = g_ptr_array_new_with_free_func(cpu_feature_setting_free);
	config->cpu_check = true;
	config->boot = (BootConfig){ .splash_time = -1, .reboot_timeout = -1 };
	config->actions.panic = QAPI_PANIC_ACTION_SHUTDOWN;
	config->sandbox = true;
	config->memory_merge = config->dump_guest_core = true;
	return config;
}

void vm_config_free(VmConfig *config)
{
	if (!config)
		return;
	g_ptr_array_unref(config->objects);
	g_ptr_array_unref(config->blockdevs);
	g_ptr_array_unref(config->netdevs);
	g_ptr_array_unref(config->chardevs);
	g_ptr_array_unref(config->devices);
	g_ptr_array_unref(config->serials);
	g_ptr_array_unref(config->monitors);
	g_ptr_array_unref(config->add_fds);
	g_ptr_array_unref(config->fw_cfg);
	g_ptr_array_unref(config->vncs);
	g_ptr_array_unref(config->tpmdevs);
	smbios_config_clear(&config->smbios);
	g_ptr_array_unref(config->cpu_features);
	g_free(config->help_argument);
	g_free(config->name);
	g_free(config->memory_backend);
	numa_config_free(config->numa);
	g_free(config->cpu_model);
	g_free(config->cpu_vendor);
	g_free(config->hyperv.vendor_id);
	g_free(config->kernel);
	g_free(config->initrd);
	g_free(config->append);
	g_free(config->bios);
	for (unsigned i = 0; i < VM_FLASHES; i++)
		g_free(config->pflash[i]);
	g_free(config->rtc_base);
	g_free(config->pid_file);
	g_free(config->run_as);
	g_free(config->log_file);
	g_free(config);
}

/* -X help, for the options whose values can be listed. */
static VmHelp help_of(const VmOption *option, const char *text)
{
	static const struct {
		const char *option;
		VmHelp help;
	} helps[] = {
		{ "-machine", VM_HELP_MACHINE }, { "-M", VM_HELP_MACHINE }, { "-cpu", VM_HELP_CPU },
		{ "-device", VM_HELP_DEVICE },	 { "-object", VM_HELP_OBJECT },
	};

	if (strcmp(text, "help") != 0 && strcmp(text, "?") != 0)
		return VM_HELP_NONE;
	for (unsigned i = 0; i < G_N_ELEMENTS(helps); i++) {
		if (strcmp(option->name, helps[i].option) == 0)
			return helps[i].help;
	}
	return VM_HELP_NONE;
}

/* "--name" is read as "-name", as QEMU does. */
static const VmOption *find_option(const char *text)
{
	if (text[0] == '-' && text[1] == '-')
		text++;
	for (const VmOption *option = options; option->name; option++) {
		if (strcmp(option->name, text) == 0)
			return option;
	}
	return NULL;
}

/* What only all options together can say. */
static bool vm_config_finish(VmConfig *config, GError **error)
{
	if (config->nographic && config->serials->len == 0)
		vm_config_parse_serial(config, find_option("-serial"), "stdio", NULL);
	config->no_graphics |= config->nographic;
	if (config->numa && config->memory_backend)
		return error_fail(error, "-machine memory-backend=%s: nodes (-numa) have theirs",
				  config->memory_backend);
	if (config->numa &&
	    !numa_config_complete(config->numa, config->cpu_topology.max_cpus, error)) {
		g_prefix_error(error, "-numa: ");
		return false;
	}
	return true;
}

VmConfig *vm_config_parse(int argc, char **argv, GError **error)
{
	g_autoptr(VmConfig) config = vm_config_new();

	for (int i = 1; i < argc && config->help == VM_HELP_NONE; i++) {
		const VmOption *option = find_option(argv[i]);
		const char *text = NULL;

		if (!option) {
			error_fail(error, "%s: there is no such option; see -help", argv[i]);
			return NULL;
		}
		if (option->argument) {
			text = ++i < argc ? argv[i] : NULL;
			if (!text) {
				error_fail(error, "%s: needs an argument: %s", option->name,
					   option->argument);
				return NULL;
			}
			config->help = help_of(option, text);
		}
		if (config->help == VM_HELP_NONE && !option->parse(config, option, text, error)) {
			g_prefix_error(error, "%s%s%s: ", option->name, text ? " " : "",
				       text ? text : "");
			return NULL;
		}
	}
	if (config->help == VM_HELP_NONE && !vm_config_finish(config, error))
		return NULL;
	return g_steal_pointer(&config);
}
