/*
 * device.h: what all devices have in common
 *
 * A device type is one const table (DeviceType or a structure that starts with one: PciDeviceType,
 * VirtioDeviceType). A device is an instance: a structure that starts with Device. Devices sit on
 * buses; a bus belongs to a device or to the machine. The DeviceTree knows them all by id.
 *
 * Life: create (properties set) -> realize (resources claimed, visible to the guest) -> unrealize
 * -> free. Reset brings a realized device back to power-on state.
 *
 * Threads: create, realize, unrealize, reset, pause and free on the main thread, with the vCPUs
 * paused for reset. Register callbacks on vCPU threads, queue callbacks on I/O loops; the device
 * locks what they share with device->lock.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "vmm/config/property.h"
#include "vmm/device/services.h"
#include "vmm/device/state.h"

typedef struct Bus Bus;
typedef struct Device Device;
typedef struct DeviceTree DeviceTree;
typedef struct DeviceType DeviceType;

#define DEVICE_PROPERTY_TABLES 4

/*
 * What can be read from a realized device, or changed in it, by qom-get and qom-set; also a
 * property (of the same name) that can be changed later. A table of these ends with one without a
 * name.
 */
typedef struct DeviceAttribute {
	const char *name;
	const char *type; /* as qom-list shows it */
	/* The value, a new reference. Main thread. NULL: it is the property's. */
	json_object *(*get)(Device *device);
	/*
	 * Change it to @value (borrowed); false and @error, which names the property, if that will
	 * not do. Main thread. NULL: read-only.
	 */
	bool (*set)(Device *device, json_object *value, GError **error);
} DeviceAttribute;

struct DeviceType {
	const char *name;	 /* as -device names it: "virtio-blk-pci" */
	const char *description; /* one line for -device help */
	const char *category;	 /* "Storage", "Network", "Input", "Bridge", "Misc" */
	const char *bus_kind;	 /* "PCI", "ISA", "virtio-serial-bus"; NULL: on the board itself */
	size_t instance_size;
	/* The type's own properties, then its families'; unused slots NULL. */
	const Property *properties[DEVICE_PROPERTY_TABLES];
	const DeviceAttribute *attributes; /* NULL: has none */
	const StateTable *state; /* NULL: has none */
	bool hotpluggable;
	bool user_creatable; /* by -device and device_add */

	/*
	 * Whether a running guest can be asked to let go of @device; false and @error, which goes
	 * on after the device's name. Main thread. NULL: it always can.
	 */
	bool (*check_unplug)(Device *device, GError **error);
	bool (*realize)(Device *device, GError **error);
	void (*unrealize)(Device *device); /* only after a realize that succeeded */
	void (*reset)(Device *device);
	/*
	 * Stop touching guest memory and finish what is in flight (pause, save), and go on.
	 * Either may be NULL. Main thread; the vCPUs are stopped during both.
	 */
	void (*pause)(Device *device);
	void (*resume)(Device *device);
};

struct Device {
	const DeviceType *type;
	char *id;   /* NULL if the user gave none */
	char *path; /* /machine/peripheral/ID or /machine/peripheral-anon/device[N] */
	DeviceServices *services;
	DeviceTree *tree;
	Bus *bus; /* the one it is plugged into; NULL on the board */
	GMutex lock;
	bool realized;
	bool hotplugged;	/* plugged after the machine first ran */
	bool unplug_requested; /* device_del was issued and the guest has not let go yet */
};

typedef struct BusOps {
	/*
	 * Find and claim a place for @device (address from its properties or the first free one),
	 * before its realize. False and @error if it is taken. NULL: a bus without places.
	 */
	bool (*claim)(Bus *bus, Device *device, GError **error);
	void (*release)(Bus *bus, Device *device); /* after unrealize; goes with claim */
	/* Whether no place is left, so that it is no default for a device. NULL: there always is. */
	bool (*is_full)(const Bus *bus);
	/* After realize: make it visible; tells the guest if hotplugged. May be NULL. */
	void (*plugged)(Bus *bus, Device *device);
	/*
	 * Before unrealize: hide it from the guest again, and wait until no vCPU is in its
	 * callbacks. May be NULL.
	 */
	void (*unplugged)(Bus *bus, Device *device);
	/*
	 * Ask the guest to let go of @device, whose unplug_requested is set. The bus later calls
	 * device_tree_remove(). False and @error if the bus cannot; NULL: no unplug on this bus.
	 */
	bool (*request_unplug)(Bus *bus, Device *device, GError **error);
} BusOps;

struct Bus {
	const BusOps *ops;
	const char *kind; /* matches DeviceType.bus_kind */
	char *name;	  /* owned: "pcie.0", the id of the port or bridge, "ID.0" of controllers */
	Device *parent;	  /* NULL: the machine's */
	GPtrArray *children; /* Device *, borrowed, in order of plugging */
	bool hotplug;	     /* a device can be plugged in after start */
};

/*
 * Set up @bus, embedded in what owns it, which also makes it known with device_tree_add_bus().
 * @kind is static, @name is copied. No hotplug unless the caller then says so. Main thread.
 */
void bus_init(Bus *bus, const BusOps *ops, const char *kind, const char *name, Device *parent);
/* Free what bus_init() made; no device is on it any more. Main thread. */
void bus_clear(Bus *bus);

/*
 * The tree of one machine. @types is a NULL-terminated table of every device type; it and
 * @services outlive the tree.
 */
DeviceTree *device_tree_new(const DeviceType *const *types, DeviceServices *services);
/* Unrealizes and frees every device, last created first. */
void device_tree_free(DeviceTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeviceTree, device_tree_free)

/* The table of types, and the type called @name or NULL. Any thread. */
const DeviceType *const *device_tree_types(const DeviceTree *tree);
const DeviceType *device_tree_find_type(const DeviceTree *tree, const char *name);

/* Register and forget a bus (in realize and unrealize of what owns it). Names are unique. */
void device_tree_add_bus(DeviceTree *tree, Bus *bus);
void device_tree_remove_bus(DeviceTree *tree, Bus *bus);
Bus *device_tree_find_bus(DeviceTree *tree, const char *name);

/* Find by id, or by path if @id_or_path starts with "/". NULL if none. */
Device *device_tree_find(DeviceTree *tree, const char *id_or_path);

/* Call @func for every device, in order of creation (or the reverse). */
void device_tree_foreach(DeviceTree *tree, bool reverse, void (*func)(Device *, gpointer),
			 gpointer data);

/*
 * Create, plug and realize a device from @options, as device_add and -device take them: "driver",
 * "id", "bus" and the type's properties. The bus defaults to the first of the right kind with
 * room. NULL and @error naming the offending option; nothing is left behind then.
 */
Device *device_tree_add(DeviceTree *tree, json_object *options, GError **error);

/*
 * Create a device of the board: of any type called @type_name, on @bus (NULL: on the board itself),
 * with the properties in @options (borrowed; NULL: none). Its path is
 * /machine/unattached/device[N]. NULL and @error as device_tree_add(). Main thread.
 */
Device *device_tree_add_builtin(DeviceTree *tree, const char *type_name, Bus *bus,
				json_object *options, GError **error);

/*
 * Say that the machine runs for the first time: devices added from now on are hot-plugged, and
 * removing one needs the guest's consent. Main thread, before the vCPUs start.
 */
void device_tree_set_started(DeviceTree *tree);

/*
 * device_del: ask the guest to release @device; DEVICE_DELETED follows when it has. Before the
 * machine first ran it is removed at once. False and @error if it cannot be unplugged.
 */
bool device_tree_request_remove(DeviceTree *tree, Device *device, GError **error);

/*
 * Take @device out now: unrealize, release its place, emit DEVICE_DELETED if it was asked for,
 * free. Main thread; from bus code on another thread post to the main context.
 */
void device_tree_remove(DeviceTree *tree, Device *device);

/* As device_tree_remove(), soon and on the main thread, if @device is still there then. Any thread. */
void device_tree_post_remove(DeviceTree *tree, Device *device);

/*
 * The guest does not let go of @device: forget the request and emit DEVICE_UNPLUG_GUEST_ERROR.
 * Soon, on the main thread. Any thread.
 */
void device_tree_post_unplug_refused(DeviceTree *tree, Device *device);

/*
 * Reset every device, parents before children. A guest that starts anew has let go of everything,
 * so devices whose removal was requested go first. Main thread, vCPUs stopped.
 */
void device_tree_reset(DeviceTree *tree);
void device_tree_pause(DeviceTree *tree);
void device_tree_resume(DeviceTree *tree);

/* The table that has property @name, searched in all of @type's; NULL if none. */
const Property *device_type_find_property(const DeviceType *type, const char *name);

/* Everything below: main thread. */

/*
 * device-list-properties: what a user can set on @type, an array of {name, type, description,
 * default-value} sorted by name; a new reference.
 */
json_object *device_type_list_properties(const DeviceType *type);

/*
 * qom-list: what is at @path ("/machine", "/machine/peripheral", a device, ...), an array of
 * {name, type}; NULL if nothing is there.
 */
json_object *device_tree_list_path(DeviceTree *tree, const char *path);

/*
 * qom-get: the value of @property of the device at @path, a new reference. NULL and @error when
 * there is no such property; NULL without @error when there is no such device.
 */
json_object *device_tree_get_property(DeviceTree *tree, const char *path, const char *property,
				      GError **error);

/*
 * qom-set: change @property of the device at @path to @value (borrowed). False and @error when
 * there is no such property, it cannot be changed, or not to that; false without @error when there
 * is no such device.
 */
bool device_tree_set_property(DeviceTree *tree, const char *path, const char *property,
			      json_object *value, GError **error);

/* Print "-device help" (every creatable type by category) or "-device TYPE,help". */
void device_types_print_help(const DeviceType *const *types, FILE *stream);
bool device_type_print_help(const DeviceType *const *types, const char *name, FILE *stream);
