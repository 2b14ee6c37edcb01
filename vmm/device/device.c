/*
 * device.c: what can be said of device types and buses without a tree
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/device/device.h"

#include <string.h>

void bus_init(Bus *bus, const BusOps *ops, const char *kind, const char *name, Device *parent)
{
	*bus = (Bus){
		.ops = ops,
		.kind = kind,
		.name = g_strdup(name),
		.parent = parent,
		.children = g_ptr_array_new(),
	};
}

void bus_clear(Bus *bus)
{
	g_clear_pointer(&bus->children, g_ptr_array_unref);
	g_clear_pointer(&bus->name, g_free);
}

const Property *device_type_find_property(const DeviceType *type, const char *name)
{
	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		const Property *table = type->properties[i];
		const Property *property = table ? property_find(table, name) : NULL;

		if (property)
			return property;
	}
	return NULL;
}

static int compare_properties(gconstpointer a, gconstpointer b)
{
	const Property *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

/* All properties of @type by name; borrowed ones in a new array. */
static GPtrArray *sorted_properties(const DeviceType *type)
{
	GPtrArray *all = g_ptr_array_new();

	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		const Property *table = type->properties[i];

		for (; table && table->name; table++)
			g_ptr_array_add(all, (gpointer)table);
	}
	g_ptr_array_sort(all, compare_properties);
	return all;
}

json_object *device_type_list_properties(const DeviceType *type)
{
	g_autoptr(GPtrArray) all = sorted_properties(type);
	json_object *list = json_object_new_array();

	for (guint i = 0; i < all->len; i++) {
		const Property *property = all->pdata[i];
		json_object *item = json_object_new_object();
		json_object *initial = property_get_default(property);

		json_object_object_add(item, "name", json_object_new_string(property->name));
		json_object_object_add(item, "type",
				       json_object_new_string(property_type_name(property)));
		if (property->description)
			json_object_object_add(item, "description",
					       json_object_new_string(property->description));
		if (initial)
			json_object_object_add(item, "default-value", initial);
		json_object_array_add(list, item);
	}
	return list;
}

static int compare_types(gconstpointer a, gconstpointer b)
{
	const DeviceType *const *left = a, *const *right = b;
	int by_category = g_strcmp0((*left)->category, (*right)->category);

	return by_category ? by_category : strcmp((*left)->name, (*right)->name);
}

void device_types_print_help(const DeviceType *const *types, FILE *stream)
{
	g_autoptr(GPtrArray) sorted = g_ptr_array_new();
	const char *category = NULL;

	for (; *types; types++) {
		if ((*types)->user_creatable)
			g_ptr_array_add(sorted, (gpointer)*types);
	}
	g_ptr_array_sort(sorted, compare_types);
	for (guint i = 0; i < sorted->len; i++) {
		const DeviceType *type = sorted->pdata[i];

		if (g_strcmp0(type->category, category) != 0) {
			fprintf(stream, "%s%s devices:\n", i ? "\n" : "", type->category);
			category = type->category;
		}
		fprintf(stream, "name \"%s\", bus %s, desc \"%s\"\n", type->name,
			type->bus_kind ? type->bus_kind : "none", type->description);
	}
}

bool device_type_print_help(const DeviceType *const *types, const char *name, FILE *stream)
{
	for (; *types; types++) {
		g_autoptr(GPtrArray) all = NULL;

		if (!(*types)->user_creatable || strcmp((*types)->name, name) != 0)
			continue;
		all = sorted_properties(*types);
		fprintf(stream, "%s options:\n", name);
		for (guint i = 0; i < all->len; i++)
			property_print_help(all->pdata[i], stream);
		return true;
	}
	return false;
}
