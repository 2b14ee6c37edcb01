/*
 * device_query.c: the device tree as QMP's object commands show it
 *
 * The paths are QEMU's: /machine has peripheral (devices with an id), peripheral-anon (without)
 * and unattached (the board's); below these are the devices.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/device/device.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"

#include <string.h>

static const char *const containers[] = { "/machine/peripheral", "/machine/peripheral-anon",
					  "/machine/unattached", NULL };

typedef struct ChildSearch {
	json_object *list;
	const char *path; /* of the container */
} ChildSearch;

static void add_item(json_object *list, const char *name, const char *type)
{
	json_object *item = json_object_new_object();

	json_object_object_add(item, "name", json_object_new_string(name));
	json_object_object_add(item, "type", json_object_new_string(type));
	json_object_array_add(list, item);
}

static void add_child(Device *device, gpointer data)
{
	ChildSearch *search = data;
	size_t length = strlen(search->path);

	if (strncmp(device->path, search->path, length) == 0 && device->path[length] == '/') {
		g_autofree char *type = g_strdup_printf("child<%s>", device->type->name);

		add_item(search->list, device->path + length + 1, type);
	}
}

static const DeviceAttribute *find_attribute(const DeviceType *type, const char *name)
{
	const DeviceAttribute *attribute = type->attributes;

	for (; attribute && attribute->name; attribute++) {
		if (strcmp(attribute->name, name) == 0)
			return attribute;
	}
	return NULL;
}

static void add_properties(json_object *list, const DeviceType *type)
{
	add_item(list, "realized", "bool");
	add_item(list, "hotplugged", "bool");
	if (type->bus_kind)
		add_item(list, "parent_bus", "link<bus>");
	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		const Property *property = type->properties[i];

		for (; property && property->name; property++)
			add_item(list, property->name, property_type_name(property));
	}
	for (const DeviceAttribute *attribute = type->attributes; attribute && attribute->name;
	     attribute++) {
		if (!device_type_find_property(type, attribute->name))
			add_item(list, attribute->name, attribute->type);
	}
}

json_object *device_tree_list_path(DeviceTree *tree, const char *path)
{
	Device *device = device_tree_find(tree, path);
	json_object *list;

	if (path[0] != '/' ||
	    (!device && strcmp(path, "/machine") != 0 && !g_strv_contains(containers, path)))
		return NULL;
	list = json_object_new_array();
	add_item(list, "type", "string");
	if (device) {
		add_properties(list, device->type);
	} else if (g_strv_contains(containers, path)) {
		device_tree_foreach(tree, false, add_child, &(ChildSearch){ list, path });
	} else {
		for (unsigned i = 0; containers[i]; i++)
			add_item(list, strrchr(containers[i], '/') + 1, "child<container>");
	}
	return list;
}

json_object *device_tree_get_property(DeviceTree *tree, const char *path, const char *property,
				      GError **error)
{
	Device *device = device_tree_find(tree, path);
	const DeviceAttribute *attribute;
	const Property *entry;

	if (!device)
		return NULL;
	if (strcmp(property, "type") == 0)
		return json_object_new_string(device->type->name);
	if (strcmp(property, "realized") == 0)
		return json_object_new_boolean(device->realized);
	if (strcmp(property, "hotplugged") == 0)
		return json_object_new_boolean(device->hotplugged);
	if (strcmp(property, "parent_bus") == 0 && device->bus)
		return json_object_new_string(device->bus->name);
	attribute = find_attribute(device->type, property);
	if (attribute && attribute->get)
		return attribute->get(device);
	entry = device_type_find_property(device->type, property);
	if (!entry) {
		error_fail(error, "property '%s.%s' not found", device->type->name, property);
		return NULL;
	}
	return property_get(entry, device);
}

bool device_tree_set_property(DeviceTree *tree, const char *path, const char *property,
			      json_object *value, GError **error)
{
	Device *device = device_tree_find(tree, path);
	const DeviceAttribute *attribute;
	g_autoptr(JsonObject) current = NULL;
	g_autoptr(GError) local_error = NULL;

	if (!device)
		return false;
	attribute = find_attribute(device->type, property);
	if (attribute && attribute->set)
		return attribute->set(device, value, error);
	current = device_tree_get_property(tree, path, property, &local_error);
	if (local_error)
		return error_fail(error, "%s", local_error->message);
	return error_fail(error, "property '%s.%s' cannot be changed", device->type->name,
			  property);
}
