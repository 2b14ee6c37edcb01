/*
 * device_tree.c: the devices and buses of one machine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/device/device.h"
#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/base/rcu.h"

#include <string.h>

struct DeviceTree {
	const DeviceType *const *types;
	DeviceServices *services;
	GPtrArray *devices;		 /* Device *, owned, in order of creation */
	GPtrArray *buses;		 /* Bus *, borrowed */
	unsigned n_anonymous, n_builtin; /* created so far, for their paths */
	bool started;
	GMutex work_lock;
	GPtrArray *work; /* DeviceWork *, posted and not yet done */
};

typedef void (*DeviceFunc)(DeviceTree *tree, Device *device);

/* Something that the main thread shall do with a device. */
typedef struct DeviceWork {
	DeviceTree *tree;
	Device *device;
	DeviceFunc func;
	GSource *source;
} DeviceWork;

/* What a device is made from. */
typedef struct DevicePlan {
	const DeviceType *type;
	Bus *bus;
	const char *id;
	bool builtin;
	json_object *options; /* borrowed; may be NULL */
} DevicePlan;

/* The options that are not properties. */
static const char *const own_options[] = { "driver", "id", "bus", NULL };

DeviceTree *device_tree_new(const DeviceType *const *types, DeviceServices *services)
{
	DeviceTree *tree = g_new0(DeviceTree, 1);

	tree->types = types;
	tree->services = services;
	tree->devices = g_ptr_array_new();
	tree->buses = g_ptr_array_new();
	tree->work = g_ptr_array_new();
	g_mutex_init(&tree->work_lock);
	return tree;
}

/* Forget @work, which need not have been done. */
static void work_cancel(DeviceWork *work)
{
	g_mutex_lock(&work->tree->work_lock);
	g_ptr_array_remove(work->tree->work, work);
	g_mutex_unlock(&work->tree->work_lock);
	g_source_destroy(work->source);
	g_source_unref(work->source);
	g_free(work);
}

static gboolean work_run(gpointer data)
{
	DeviceWork work = *(DeviceWork *)data;

	work_cancel(data);
	work.func(work.tree, work.device);
	return G_SOURCE_REMOVE;
}

/* The first work for @device, or NULL; with @func only that. Lock held. */
static DeviceWork *find_work_locked(const DeviceTree *tree, const Device *device, DeviceFunc func)
{
	for (guint i = 0; i < tree->work->len; i++) {
		DeviceWork *work = tree->work->pdata[i];

		if (work->device == device && (!func || work->func == func))
			return work;
	}
	return NULL;
}

/*
 * Let the main thread call @func for @device, unless that is gone by then. Once: the guest can say
 * the same any number of times until then. Any thread.
 */
static void device_tree_post(DeviceTree *tree, Device *device, DeviceFunc func)
{
	g_mutex_lock(&tree->work_lock);
	if (!find_work_locked(tree, device, func)) {
		DeviceWork *work = g_new(DeviceWork, 1);

		*work = (DeviceWork){ tree, device, func, g_idle_source_new() };
		g_source_set_priority(work->source, G_PRIORITY_DEFAULT);
		g_source_set_callback(work->source, work_run, work, NULL);
		g_ptr_array_add(tree->work, work);
		g_source_attach(work->source, tree->services->main_context);
	}
	g_mutex_unlock(&tree->work_lock);
}

static DeviceWork *find_work(DeviceTree *tree, const Device *device)
{
	DeviceWork *found;

	g_mutex_lock(&tree->work_lock);
	found = find_work_locked(tree, device, NULL);
	g_mutex_unlock(&tree->work_lock);
	return found;
}

static void device_free(Device *device)
{
	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		if (device->type->properties[i])
			properties_clear(device->type->properties[i], device);
	}
	g_mutex_clear(&device->lock);
	g_free(device->id);
	g_free(device->path);
	g_free(device);
}

/* The devices on buses of @device, last plugged first. */
static void destroy_children(DeviceTree *tree, Device *device)
{
	for (guint i = tree->devices->len; i-- > 0;) {
		Device *child = i < tree->devices->len ? tree->devices->pdata[i] : NULL;

		if (child && child->bus && child->bus->parent == device)
			device_tree_remove(tree, child);
	}
}

void device_tree_remove(DeviceTree *tree, Device *device)
{
	DeviceWork *work;

	destroy_children(tree, device);
	if (device->bus && device->bus->ops->unplugged)
		device->bus->ops->unplugged(device->bus, device);
	if (device->type->unrealize)
		device->type->unrealize(device);
	device->realized = false;
	if (device->bus) {
		g_ptr_array_remove(device->bus->children, device);
		if (device->bus->ops->release)
			device->bus->ops->release(device->bus, device);
	}
	g_ptr_array_remove(tree->devices, device);
	/* A vCPU that found the device before it went may still be in one of its callbacks. */
	rcu_synchronize();
	while ((work = find_work(tree, device)))
		work_cancel(work);
	if (device->unplug_requested)
		qapi_event_device_deleted(tree->services->events, device->id, device->path);
	device_free(device);
}

void device_tree_free(DeviceTree *tree)
{
	if (!tree)
		return;
	while (tree->devices->len > 0)
		device_tree_remove(tree, tree->devices->pdata[tree->devices->len - 1]);
	g_ptr_array_unref(tree->devices);
	g_ptr_array_unref(tree->buses);
	g_ptr_array_unref(tree->work);
	g_mutex_clear(&tree->work_lock);
	g_free(tree);
}

const DeviceType *const *device_tree_types(const DeviceTree *tree)
{
	return tree->types;
}

const DeviceType *device_tree_find_type(const DeviceTree *tree, const char *name)
{
	for (const DeviceType *const *type = tree->types; *type; type++) {
		if (strcmp((*type)->name, name) == 0)
			return *type;
	}
	return NULL;
}

void device_tree_add_bus(DeviceTree *tree, Bus *bus)
{
	g_ptr_array_add(tree->buses, bus);
}

void device_tree_remove_bus(DeviceTree *tree, Bus *bus)
{
	g_ptr_array_remove(tree->buses, bus);
}

Bus *device_tree_find_bus(DeviceTree *tree, const char *name)
{
	for (guint i = 0; i < tree->buses->len; i++) {
		Bus *bus = tree->buses->pdata[i];

		if (strcmp(bus->name, name) == 0)
			return bus;
	}
	return NULL;
}

Device *device_tree_find(DeviceTree *tree, const char *id_or_path)
{
	bool by_path = id_or_path[0] == '/';

	for (guint i = 0; i < tree->devices->len; i++) {
		Device *device = tree->devices->pdata[i];

		if (g_strcmp0(by_path ? device->path : device->id, id_or_path) == 0)
			return device;
	}
	return NULL;
}

void device_tree_foreach(DeviceTree *tree, bool reverse, void (*func)(Device *, gpointer),
			 gpointer data)
{
	guint n = tree->devices->len;

	for (guint i = 0; i < n; i++)
		func(tree->devices->pdata[reverse ? n - 1 - i : i], data);
}

void device_tree_set_started(DeviceTree *tree)
{
	tree->started = true;
}

/* The bus of @kind that a device without "bus" goes on. */
static Bus *default_bus(DeviceTree *tree, const DeviceType *type, GError **error)
{
	bool found = false;

	for (guint i = 0; i < tree->buses->len; i++) {
		Bus *bus = tree->buses->pdata[i];

		if (strcmp(bus->kind, type->bus_kind) != 0)
			continue;
		found = true;
		if ((!tree->started || bus->hotplug) &&
		    (!bus->ops->is_full || !bus->ops->is_full(bus)))
			return bus;
	}
	if (!found)
		error_fail(error, "no '%s' bus found for device '%s'", type->bus_kind, type->name);
	else
		error_fail(error, "no '%s' bus has room for%s device '%s'", type->bus_kind,
			   tree->started ? " hot-plugged" : "", type->name);
	return NULL;
}

static bool choose_bus(DeviceTree *tree, const char *name, DevicePlan *plan, GError **error)
{
	const char *kind = plan->type->bus_kind;

	if (!kind)
		return name ? error_fail(error, "device '%s' goes on no bus", plan->type->name)
			    : true;
	if (!name) {
		plan->bus = default_bus(tree, plan->type, error);
		return plan->bus != NULL;
	}
	plan->bus = device_tree_find_bus(tree, name);
	if (!plan->bus)
		return error_fail(error, "bus '%s' not found", name);
	if (strcmp(plan->bus->kind, kind) != 0)
		return error_fail(error, "device '%s' cannot go on bus '%s', which is a %s bus",
				  plan->type->name, name, plan->bus->kind);
	if (tree->started && !plan->bus->hotplug)
		return error_fail(error, "bus '%s' does not support hotplugging", name);
	return true;
}

/* QEMU's rule, which libvirt's aliases obey. */
static bool id_is_well_formed(const char *id)
{
	if (!g_ascii_isalpha(id[0]))
		return false;
	for (; *id; id++) {
		if (!g_ascii_isalnum(*id) && !strchr("-._", *id))
			return false;
	}
	return true;
}

static bool set_properties(Device *device, json_object *options, GError **error)
{
	struct lh_entry *entry = options ? json_object_get_object(options)->head : NULL;

	for (; entry; entry = entry->next) {
		const char *name = lh_entry_k(entry);
		const Property *property = device_type_find_property(device->type, name);

		if (g_strv_contains(own_options, name))
			continue;
		if (!property)
			return error_fail(error, "property '%s.%s' not found", device->type->name,
					  name);
		if (!property_set(property, device, (json_object *)lh_entry_v(entry), error)) {
			g_prefix_error(error, "device '%s': ", device->type->name);
			return false;
		}
	}
	return true;
}

static bool check_required(const DeviceType *type, json_object *options, GError **error)
{
	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		const Property *property = type->properties[i];

		for (; property && property->name; property++) {
			if (property->required &&
			    !json_object_object_get_ex(options, property->name, NULL))
				return error_fail(error, "device '%s' needs property '%s'",
						  type->name, property->name);
		}
	}
	return true;
}

/* Allocate the device of @plan with its properties. */
static Device *device_new(DeviceTree *tree, const DevicePlan *plan, GError **error)
{
	Device *device = g_malloc0(plan->type->instance_size);

	device->type = plan->type;
	device->services = tree->services;
	device->tree = tree;
	device->bus = plan->bus;
	device->id = g_strdup(plan->id);
	device->hotplugged = tree->started;
	g_mutex_init(&device->lock);
	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		if (plan->type->properties[i])
			properties_init(plan->type->properties[i], device);
	}
	if (!check_required(plan->type, plan->options, error) ||
	    !set_properties(device, plan->options, error)) {
		device_free(device);
		return NULL;
	}
	if (plan->builtin)
		device->path = g_strdup_printf("/machine/unattached/device[%u]", tree->n_builtin++);
	else if (plan->id)
		device->path = g_strdup_printf("/machine/peripheral/%s", plan->id);
	else
		device->path =
			g_strdup_printf("/machine/peripheral-anon/device[%u]", tree->n_anonymous++);
	return device;
}

static Device *device_tree_create(DeviceTree *tree, const DevicePlan *plan, GError **error)
{
	Device *device = device_new(tree, plan, error);
	Bus *bus = plan->bus;

	if (!device)
		return NULL;
	if (bus && bus->ops->claim && !bus->ops->claim(bus, device, error)) {
		device_free(device);
		return NULL;
	}
	if (plan->type->realize && !plan->type->realize(device, error)) {
		if (bus && bus->ops->release)
			bus->ops->release(bus, device);
		rcu_synchronize();
		device_free(device);
		return NULL;
	}
	device->realized = true;
	g_ptr_array_add(tree->devices, device);
	if (bus)
		g_ptr_array_add(bus->children, device);
	/* The machine resets what is there before it starts. */
	if (device->hotplugged && plan->type->reset)
		plan->type->reset(device);
	if (bus && bus->ops->plugged)
		bus->ops->plugged(bus, device);
	return device;
}

/* The text of option @name, NULL if it was not given. False and @error if it is no text. */
static bool get_text(json_object *options, const char *name, const char **text, GError **error)
{
	json_object *value;

	*text = NULL;
	if (!json_object_object_get_ex(options, name, &value))
		return true;
	if (!json_object_is_type(value, json_type_string))
		return error_fail(error, "parameter '%s' expects a string", name);
	*text = json_object_get_string(value);
	return true;
}

Device *device_tree_add(DeviceTree *tree, json_object *options, GError **error)
{
	DevicePlan plan = { .options = options };
	const char *driver, *bus;

	if (!get_text(options, "driver", &driver, error) ||
	    !get_text(options, "bus", &bus, error) || !get_text(options, "id", &plan.id, error))
		return NULL;
	if (!driver) {
		error_fail(error, "parameter 'driver' is missing");
		return NULL;
	}
	plan.type = device_tree_find_type(tree, driver);
	if (!plan.type || !plan.type->user_creatable) {
		error_fail(error, "'%s' is not a valid device model name", driver);
		return NULL;
	}
	if (plan.id && !id_is_well_formed(plan.id)) {
		error_fail(error, "parameter 'id' expects an identifier, not '%s'", plan.id);
		return NULL;
	}
	if (plan.id && device_tree_find(tree, plan.id)) {
		error_fail(error, "duplicate device ID '%s'", plan.id);
		return NULL;
	}
	if (tree->started && !plan.type->hotpluggable) {
		error_fail(error, "device '%s' does not support hotplugging", driver);
		return NULL;
	}
	if (!choose_bus(tree, bus, &plan, error))
		return NULL;
	return device_tree_create(tree, &plan, error);
}

Device *device_tree_add_builtin(DeviceTree *tree, const char *type_name, Bus *bus,
				json_object *options, GError **error)
{
	DevicePlan plan = { .bus = bus, .builtin = true, .options = options };

	plan.type = device_tree_find_type(tree, type_name);
	if (!plan.type) {
		error_fail(error, "'%s' is not a valid device model name", type_name);
		return NULL;
	}
	return device_tree_create(tree, &plan, error);
}

bool device_tree_request_remove(DeviceTree *tree, Device *device, GError **error)
{
	const char *name = device->id ? device->id : device->path;
	bool was_requested = device->unplug_requested;
	Bus *bus = device->bus;

	if (!device->type->user_creatable)
		return error_fail(error, "device '%s' is part of the board", name);
	if (!tree->started) {
		device->unplug_requested = true;
		device_tree_remove(tree, device);
		return true;
	}
	if (!device->type->hotpluggable)
		return error_fail(error, "device '%s' does not support hotplugging", name);
	if (device->type->check_unplug && !device->type->check_unplug(device, error)) {
		g_prefix_error(error, "device '%s': ", name);
		return false;
	}
	if (!bus || !bus->hotplug || !bus->ops->request_unplug)
		return error_fail(error, "bus '%s' does not support hotplugging",
				  bus ? bus->name : "none");
	/* The guest may answer before the bus has. */
	device->unplug_requested = true;
	if (bus->ops->request_unplug(bus, device, error))
		return true;
	device->unplug_requested = was_requested;
	return false;
}

void device_tree_post_remove(DeviceTree *tree, Device *device)
{
	device_tree_post(tree, device, device_tree_remove);
}

static void unplug_refused(DeviceTree *tree, Device *device)
{
	device->unplug_requested = false;
	qapi_event_device_unplug_guest_error(tree->services->events, device->id, device->path);
}

void device_tree_post_unplug_refused(DeviceTree *tree, Device *device)
{
	device_tree_post(tree, device, unplug_refused);
}

static void reset_device(Device *device, G_GNUC_UNUSED gpointer data)
{
	if (device->type->reset)
		device->type->reset(device);
}

void device_tree_reset(DeviceTree *tree)
{
	for (guint i = tree->devices->len; i-- > 0;) {
		Device *device = i < tree->devices->len ? tree->devices->pdata[i] : NULL;

		if (device && device->unplug_requested)
			device_tree_remove(tree, device);
	}
	device_tree_foreach(tree, false, reset_device, NULL);
}

static void pause_device(Device *device, G_GNUC_UNUSED gpointer data)
{
	if (device->type->pause)
		device->type->pause(device);
}

void device_tree_pause(DeviceTree *tree)
{
	device_tree_foreach(tree, true, pause_device, NULL);
}

static void resume_device(Device *device, G_GNUC_UNUSED gpointer data)
{
	if (device->type->resume)
		device->type->resume(device);
}

void device_tree_resume(DeviceTree *tree)
{
	device_tree_foreach(tree, false, resume_device, NULL);
}
