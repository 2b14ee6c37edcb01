/*
 * machine.c: the guest's machine as a whole
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/error.h"
#include "vmm/base/sandbox.h"
#include "vmm/block/block.h"
#include "vmm/chardev/chardev.h"
#include "vmm/chardev/chardev_config.h"
#include "vmm/chipset/chipset.h"
#include "vmm/display/display.h"
#include "vmm/machine/dirty_rate.h"
#include "vmm/net/net.h"
#include "vmm/tpm/tpm.h"

#include "qapi-events.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIO_SPACE_SIZE 0x10000u

void machine_restrict_thread(Machine *machine, SandboxThread kind)
{
	g_autoptr(GError) error = NULL;

	if (!machine->config->sandbox || sandbox_apply(kind, &error))
		return;
	/* Going on without would be going on with less protection than was asked for. */
	g_printerr("vireo: %s\n", error->message);
	_exit(EXIT_FAILURE);
}

void machine_io_thread_init(gpointer data)
{
	Machine *machine = data;

	if (machine->sandboxed)
		machine_restrict_thread(machine, machine->config->memory_lock ? SANDBOX_IO_LOCKED
									      : SANDBOX_IO);
}

static void sandbox_object(MachineObject *object, gpointer machine)
{
	IoLoop *loop = machine_object_io_loop(object);

	if (loop)
		io_loop_run_sync(loop, machine_io_thread_init, machine);
}

void machine_sandbox_io_threads(Machine *machine)
{
	machine->sandboxed = machine->config->sandbox;
	if (machine->default_io_loop)
		io_loop_run_sync(machine->default_io_loop, machine_io_thread_init, machine);
	machine_objects_foreach(machine->objects, sandbox_object, machine);
}

static Machine *machine_of(DeviceServices *services)
{
	return (Machine *)services;
}

static void service_request(DeviceServices *services, RunRequest request, int value)
{
	Machine *machine = machine_of(services);

	if (request == RUN_REQUEST_EXIT)
		atomic_store(&machine->exit_value, value);
	machine_request(machine, request);
}

static bool service_is_running(DeviceServices *services)
{
	return machine_is_running(machine_of(services));
}

static bool service_with_quiet_guest(DeviceServices *services, void (*func)(gpointer data),
				     gpointer data)
{
	Machine *machine = machine_of(services);

	return machine_is_running(machine) && machine_with_quiet_guest(machine, func, data);
}

static BlockNode *service_find_block_node(DeviceServices *services, const char *node_name)
{
	return block_nodes_find(machine_of(services)->block_nodes, node_name);
}

static Netdev *service_find_netdev(DeviceServices *services, const char *id)
{
	return netdevs_find(machine_of(services)->netdevs, id);
}

static Chardev *service_find_chardev(DeviceServices *services, const char *id)
{
	return chardevs_find(machine_of(services)->chardevs, id);
}

static RngBackend *service_find_rng(DeviceServices *services, const char *id)
{
	MachineObject *object = machine_objects_find(machine_of(services)->objects, id);

	return object ? machine_object_rng(object) : NULL;
}

static Tpm *service_find_tpm(DeviceServices *services, const char *id)
{
	return tpms_find(machine_of(services)->tpms, id);
}

static int service_take_fd(DeviceServices *services, const char *text, GError **error)
{
	return fd_take(&machine_of(services)->fd_names, text, error);
}

static IoLoop *service_find_io_loop(DeviceServices *services, const char *id)
{
	Machine *machine = machine_of(services);
	g_autoptr(GError) error = NULL;
	MachineObject *object;

	if (id) {
		object = machine_objects_find(machine->objects, id);
		return object ? machine_object_io_loop(object) : NULL;
	}
	if (!machine->default_io_loop) {
		machine->default_io_loop =
			io_loop_new("IO", machine_io_thread_init, machine, &error);
		if (!machine->default_io_loop)
			g_warning("no I/O thread: %s", error->message);
	}
	return machine->default_io_loop;
}

typedef struct ObjectReference {
	const char *id;
	bool found;
} ObjectReference;

/* Whether *@mapping, of a PROPERTY_IOTHREAD_MAPPING, names iothread @id. */
static bool maps_queues_to(const void *mapping, const char *id)
{
	json_object *entries = *(json_object *const *)mapping;

	for (size_t i = 0; entries && i < json_object_array_length(entries); i++) {
		json_object *entry = json_object_array_get_idx(entries, i);

		if (strcmp(json_object_get_string(json_object_object_get(entry, "iothread")), id) ==
		    0)
			return true;
	}
	return false;
}

/* Does a property of @device that names an object name this one? */
static void check_reference(Device *device, gpointer data)
{
	ObjectReference *reference = data;

	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		const Property *property = device->type->properties[i];

		for (; property && property->name; property++) {
			const char *id;

			if (property->kind == PROPERTY_IOTHREAD_MAPPING &&
			    maps_queues_to((uint8_t *)device + property->offset, reference->id))
				reference->found = true;
			if (property->kind != PROPERTY_IOTHREAD &&
			    property->kind != PROPERTY_OBJECT)
				continue;
			id = *(char **)((char *)device + property->offset);
			if (g_strcmp0(id, reference->id) == 0)
				reference->found = true;
		}
	}
}

static bool object_in_use(Machine *machine, const char *id)
{
	ObjectReference reference = { .id = id };

	device_tree_foreach(machine->devices, false, check_reference, &reference);
	return reference.found;
}

static void machine_init_services(Machine *machine)
{
	machine->services = (DeviceServices){
		.memory = machine->memory,
		.mmio = machine->mmio,
		.pio = machine->pio,
		.interrupts = kvm_interrupts(machine->kvm),
		.events = machine->events,
		.main_context = machine->context,
		.display = machine->display,
		.n_cpus = machine->config->cpu_topology.cpus,
		.cpu_topology = &machine->config->cpu_topology,
		.plug_cpu = machine_plug_cpu,
		.unplug_cpu = machine_unplug_cpu,
		.n_nodes = machine->config->numa ? machine->config->numa->n_nodes : 1,
		.request = service_request,
		.is_running = service_is_running,
		.with_quiet_guest = service_with_quiet_guest,
		.find_block_node = service_find_block_node,
		.find_netdev = service_find_netdev,
		.find_chardev = service_find_chardev,
		.find_rng = service_find_rng,
		.find_tpm = service_find_tpm,
		.take_fd = service_take_fd,
		.find_io_loop = service_find_io_loop,
		.claim_memory = machine_claim_memory,
		.release_memory = machine_release_memory,
		.plug_memory = machine_plug_memory,
		.unplug_memory = machine_unplug_memory,
	};
}

/* "-object text: reason" */
static void prefix_item(GError **error, const VmConfigItem *item)
{
	g_prefix_error(error, "%s %s: ", item->option, item->text);
}

static bool add_objects(Machine *machine, GError **error)
{
	for (unsigned i = 0; i < machine->config->objects->len; i++) {
		const VmConfigItem *item = machine->config->objects->pdata[i];
		QapiObjectOptions *options =
			qapi_parse_ObjectOptions(item->options, QAPI_PARSE_KEYVAL, error);

		if (!options || !machine_objects_add(machine->objects, options, error)) {
			prefix_item(error, item);
			return false;
		}
	}
	return true;
}

static bool add_chardevs(Machine *machine, GError **error)
{
	for (unsigned i = 0; i < machine->config->chardevs->len; i++) {
		const VmConfigItem *item = machine->config->chardevs->pdata[i];
		g_autoptr(ChardevConfig) config = chardev_config_new(item->options, error);

		if (!config || !chardevs_add(machine->chardevs, config, error)) {
			prefix_item(error, item);
			return false;
		}
	}
	return true;
}

static bool add_block_nodes(Machine *machine, GError **error)
{
	for (unsigned i = 0; i < machine->config->blockdevs->len; i++) {
		const VmConfigItem *item = machine->config->blockdevs->pdata[i];
		g_autoptr(QapiBlockdevOptions) options =
			qapi_parse_BlockdevOptions(item->options, QAPI_PARSE_KEYVAL, error);

		if (!options || !block_nodes_add(machine->block_nodes, options, error)) {
			prefix_item(error, item);
			return false;
		}
	}
	return true;
}

static bool add_tpms(Machine *machine, GError **error)
{
	for (unsigned i = 0; i < machine->config->tpmdevs->len; i++) {
		const VmConfigItem *item = machine->config->tpmdevs->pdata[i];

		if (!tpms_add(machine->tpms, item->options, error)) {
			prefix_item(error, item);
			return false;
		}
	}
	return true;
}

static bool add_netdevs(Machine *machine, GError **error)
{
	for (unsigned i = 0; i < machine->config->netdevs->len; i++) {
		const VmConfigItem *item = machine->config->netdevs->pdata[i];
		g_autoptr(QapiNetdev) options =
			qapi_parse_Netdev(item->options, QAPI_PARSE_KEYVAL, error);

		if (!options || !netdevs_add(machine->netdevs, options, error)) {
			prefix_item(error, item);
			return false;
		}
	}
	return true;
}

static bool find_tls(void *opaque, const char *id, VncTlsConfig *config, GError **error)
{
	const Machine *machine = opaque;
	const MachineObject *object = machine_objects_find(machine->objects, id);
	const QapiTlsCredsX509Properties *tls;

	if (!object || object->options->qom_type != QAPI_OBJECT_TYPE_TLS_CREDS_X509)
		return error_fail(error, "there is no tls-creds-x509 object '%s'", id);
	tls = &object->options->u.tls_creds_x509;
	*config = (VncTlsConfig){
		.directory = tls->dir,
		.priority = tls->priority,
		.verify_peer = !tls->has_verify_peer || tls->verify_peer,
	};
	return true;
}

/* Last of the parts: it shows what a device has. */
static bool create_vnc_server(Machine *machine, GError **error)
{
	const VncTlsFinder finder = { find_tls, machine };
	const VmConfigItem *item;
	g_autofree char *name = g_strdup_printf(
		"Vireo (%s)", machine->config->name ? machine->config->name : "guest");

	if (machine->config->vncs->len == 0)
		return true;
	item = machine->config->vncs->pdata[0];
	machine->vnc = vnc_server_new(item->options, machine->display,
				      chardevs_clipboard(machine->chardevs), name, &finder,
				      machine->events, error);
	if (!machine->vnc)
		prefix_item(error, item);
	return machine->vnc != NULL;
}

static bool machine_create(Machine *machine, GError **error)
{
	if (machine->config->memory_lock && !machine_lock_memory(machine, error))
		return false;
	machine->kvm = kvm_new(error);
	if (!machine->kvm)
		return false;
	kvm_listen(machine->kvm, machine->mmio, false);
	kvm_listen(machine->kvm, machine->pio, true);
	machine_init_services(machine);
	machine->devices = device_tree_new(machine_device_types, &machine->services);
	if (!add_objects(machine, error) || !add_chardevs(machine, error) ||
	    !add_tpms(machine, error) || !add_block_nodes(machine, error) ||
	    !add_netdevs(machine, error) ||
	    !machine_create_memory(machine, error) || !kvm_create_chips(machine->kvm, error) ||
	    !machine_create_cpus(machine, error) || !machine_create_board(machine, error))
		return false;
	machine->announcements = announcements_new(machine->context, machine->devices);
	machine->dirty_rate = dirty_rate_new(machine);
	device_tree_reset(machine->devices);
	return machine_load(machine, error) && create_vnc_server(machine, error);
}

Machine *machine_new(const VmConfig *config, const QmpEventSink *events, const FdSetOpener *fd_sets,
		     GError **error)
{
	g_autoptr(Machine) machine = g_new0(Machine, 1);

	machine->config = config;
	machine->events = events;
	machine->actions = config->actions;
	machine->context = g_main_context_default();
	machine->loop = g_main_loop_new(machine->context, FALSE);
	g_mutex_init(&machine->cpu_lock);
	g_cond_init(&machine->cpu_changed);
	atomic_store(&machine->state, QAPI_RUN_STATE_PRELAUNCH);
	machine->memory = guest_memory_new();
	machine->mmio = address_space_new("MMIO", UINT64_MAX);
	machine->pio = address_space_new("PIO", PIO_SPACE_SIZE);
	machine->display = display_new();
	machine->objects = machine_objects_new(object_in_use, machine);
	machine->chardevs = chardevs_new(machine->context);
	machine->tpms = tpms_new(machine->chardevs, NULL);
	machine->block_nodes = block_nodes_new();
	block_nodes_set_memory(machine->block_nodes, machine->memory, machine->context);
	machine->netdevs = netdevs_new();
	if (fd_sets) {
		chardevs_set_fd_sets(machine->chardevs, fd_sets);
		block_nodes_set_fd_sets(machine->block_nodes, fd_sets);
	}
	if (!machine_create(machine, error))
		return NULL;
	return g_steal_pointer(&machine);
}

void machine_free(Machine *machine)
{
	if (!machine)
		return;
	machine->events = NULL;
	machine->services.events = NULL;
	if (machine->kvm)
		machine_quiesce(machine);
	machine_free_cpus(machine);
	vnc_server_free(machine->vnc);
	announcements_free(machine->announcements);
	dirty_rate_free(machine->dirty_rate);
	device_tree_free(machine->devices);
	display_free(machine->display);
	if (machine->isa_bus)
		isa_bus_free(machine->isa_bus);
	g_clear_pointer(&machine->default_io_loop, io_loop_free);
	netdevs_free(machine->netdevs);
	block_nodes_free(machine->block_nodes);
	tpms_free(machine->tpms);
	chardevs_free(machine->chardevs);
	machine_free_firmware(machine);
	g_clear_pointer(&machine->boot, boot_source_free);
	address_space_free(machine->mmio);
	address_space_free(machine->pio);
	kvm_free(machine->kvm);
	guest_memory_free(machine->memory);
	machine_free_memory(machine);
	machine_objects_free(machine->objects);
	cpu_description_clear(&machine->cpu);
	g_mutex_clear(&machine->cpu_lock);
	g_cond_clear(&machine->cpu_changed);
	g_main_loop_unref(machine->loop);
	g_free(machine);
}

const VmConfig *machine_config(const Machine *machine)
{
	return machine->config;
}

Kvm *machine_kvm(Machine *machine)
{
	return machine->kvm;
}

GuestMemory *machine_memory(Machine *machine)
{
	return machine->memory;
}

DeviceTree *machine_devices(Machine *machine)
{
	return machine->devices;
}

DeviceServices *machine_services(Machine *machine)
{
	return &machine->services;
}

BlockNodes *machine_block_nodes(Machine *machine)
{
	return machine->block_nodes;
}

Netdevs *machine_netdevs(Machine *machine)
{
	return machine->netdevs;
}

Announcements *machine_announcements(Machine *machine)
{
	return machine->announcements;
}

DirtyRate *machine_dirty_rate(Machine *machine)
{
	return machine->dirty_rate;
}

Chardevs *machine_chardevs(Machine *machine)
{
	return machine->chardevs;
}

Tpms *machine_tpms(Machine *machine)
{
	return machine->tpms;
}

VncServer *machine_vnc(Machine *machine)
{
	return machine->vnc;
}

MachineObjects *machine_objects(Machine *machine)
{
	return machine->objects;
}

void machine_press_power_button(Machine *machine)
{
	acpi_pm_power_button(machine->acpi_pm);
	qapi_event_powerdown(machine->events);
}

void machine_set_fd_names(Machine *machine, const FdNameTaker *taker)
{
	machine->fd_names = *taker;
	netdevs_set_fd_names(machine->netdevs, taker);
}
