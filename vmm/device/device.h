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

struct DeviceType {
	const char *name;	 /* as -device names it: "virtio-blk-pci" */
	const char *description; /* one line for -device help */
	const char *category;	 /* "Storage", "Network", "Input", "Bridge", "Misc" */
	const char *bus_kind;	 /* "PCI", "ISA", "virtio-serial-bus"; NULL: on the board itself */
	size_t instance_size;
	/* The type's own properties, then its families'; unused slots NULL. */
	const Property *properties[DEVICE_PROPERTY_TABLES];
	const StateTable *state; /* NULL: has none */
	bool hotpluggable;
	bool user_creatable; /* by -device and device_add */

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
	 * before its realize. False and @error if it is taken.
	 */
	bool (*claim)(Bus *bus, Device *device, GError **error);
	void (*release)(Bus *bus, Device *device);
	/* After realize: make it visible; tells the guest if hotplugged. May be NULL. */
	void (*plugged)(Bus *bus, Device *device);
	/*
	 * Ask the guest to let go of @device. The bus later calls device_tree_remove(). False and
	 * @error if the bus cannot; NULL: no unplug on this bus.
	 */
	bool (*request_unplug)(Bus *bus, Device *device, GError **error);
	/* Whether a device could be plugged in after start. */
	bool hotplug;
} BusOps;

struct Bus {
	const BusOps *ops;
	const char *kind; /* matches DeviceType.bus_kind */
	char *name;	  /* owned: "pcie.0", or the id of the device it belongs to + ".N" */
	Device *parent;	  /* NULL: the machine's */
	GPtrArray *children; /* Device *, borrowed, in order of plugging */
};

/*
 * The tree of one machine. @types is a NULL-terminated table of every device type; it and
 * @services outlive the tree.
 */
DeviceTree *device_tree_new(const DeviceType *const *types, DeviceServices *services);
/* Unrealizes and frees every device, last created first. */
void device_tree_free(DeviceTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeviceTree, device_tree_free)

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
 * device_del: ask the guest to release @device; DEVICE_DELETED follows when it has. Before the
 * machine first ran it is removed at once. False and @error if it cannot be unplugged.
 */
bool device_tree_request_remove(DeviceTree *tree, Device *device, GError **error);

/*
 * Take @device out now: unrealize, release its place, emit DEVICE_DELETED if it was asked for,
 * free. Main thread; from bus code on another thread post to the main context.
 */
void device_tree_remove(DeviceTree *tree, Device *device);

/* Reset every device, parents before children. Main thread, vCPUs stopped. */
void device_tree_reset(DeviceTree *tree);
void device_tree_pause(DeviceTree *tree);
void device_tree_resume(DeviceTree *tree);

/* The table that has property @name, searched in all of @type's; NULL if none. */
const Property *device_type_find_property(const DeviceType *type, const char *name);

/* Print "-device help" (every creatable type by category) or "-device TYPE,help". */
void device_types_print_help(const DeviceType *const *types, FILE *stream);
bool device_type_print_help(const DeviceType *const *types, const char *name, FILE *stream);
