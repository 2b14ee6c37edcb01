/*
 * monitor_qom.c: QMP commands of schemas/qom.json: devices and objects, made, removed, looked at
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"
#include "vmm/device/device.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/machine_objects.h"

/* Where objects of -object and object-add are found. */
#define OBJECTS_PATH "/objects"

static void set_device_not_found(GError **error, const char *id)
{
	g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
}

bool qmp_device_add(QmpContext *ctx, json_object *args, GError **error)
{
	return device_tree_add(machine_devices(qmp_context_machine(ctx)), args, error) != NULL;
}

bool qmp_device_del(QmpContext *ctx, const char *id, GError **error)
{
	DeviceTree *tree = machine_devices(qmp_context_machine(ctx));
	Device *device = device_tree_find(tree, id);

	if (!device) {
		set_device_not_found(error, id);
		return false;
	}
	return device_tree_request_remove(tree, device, error);
}

bool qmp_object_add(QmpContext *ctx, const QapiObjectOptions *args, GError **error)
{
	g_autoptr(JsonObject) json = qapi_format_ObjectOptions(args);
	/* The arguments are only lent; the object keeps its own. */
	QapiObjectOptions *options = qapi_parse_ObjectOptions(json, QAPI_PARSE_STRICT, error);

	return options && machine_objects_add(machine_objects(qmp_context_machine(ctx)), options,
					      error) != NULL;
}

bool qmp_object_del(QmpContext *ctx, const char *id, GError **error)
{
	return machine_objects_remove(machine_objects(qmp_context_machine(ctx)), id, error);
}

/* Take over a JSON array of {name, type, ...} as the list the schema wants. */
static GPtrArray *property_infos(json_object *array, GError **error)
{
	g_autoptr(GPtrArray) list = qapi_list_new_ObjectPropertyInfo();

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		QapiObjectPropertyInfo *info = qapi_parse_ObjectPropertyInfo(
			json_object_array_get_idx(array, i), QAPI_PARSE_STRICT, error);

		if (!info)
			return NULL;
		g_ptr_array_add(list, info);
	}
	return g_steal_pointer(&list);
}

static void append_property(GPtrArray *list, const char *name, const char *type)
{
	QapiObjectPropertyInfo *info = g_new0(QapiObjectPropertyInfo, 1);

	info->name = g_strdup(name);
	info->type = g_strdup(type);
	g_ptr_array_add(list, info);
}

static const char *object_type_name(const MachineObject *object)
{
	return qapi_enum_name(&qapi_type_ObjectType, object->options->qom_type);
}

static void append_object(MachineObject *object, gpointer data)
{
	g_autofree char *type = g_strdup_printf("child<%s>", object_type_name(object));

	append_property(data, object->options->id, type);
}

/* The object whose path is OBJECTS_PATH "/" id; NULL if @path is not such a path. */
static MachineObject *find_object(Machine *machine, const char *path)
{
	if (!g_str_has_prefix(path, OBJECTS_PATH "/"))
		return NULL;
	return machine_objects_find(machine_objects(machine), path + strlen(OBJECTS_PATH "/"));
}

static const char *json_type_as_qom(json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_boolean:
		return "bool";
	case json_type_int:
		return "int";
	default:
		return "string";
	}
}

static GPtrArray *list_object(const MachineObject *object)
{
	g_autoptr(JsonObject) options = qapi_format_ObjectOptions(object->options);
	GPtrArray *list = qapi_list_new_ObjectPropertyInfo();

	json_object_object_foreach(options, name, value)
		append_property(list, name, json_type_as_qom(value));
	return list;
}

static GPtrArray *list_root(void)
{
	GPtrArray *list = qapi_list_new_ObjectPropertyInfo();

	append_property(list, "machine", "child<" MACHINE_TYPE_NAME "-machine>");
	append_property(list, "objects", "child<container>");
	return list;
}

GPtrArray *qmp_qom_list(QmpContext *ctx, const char *path, GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	g_autoptr(JsonObject) array = NULL;
	const MachineObject *object;

	if (g_str_equal(path, "/"))
		return list_root();
	if (g_str_equal(path, OBJECTS_PATH)) {
		GPtrArray *list = qapi_list_new_ObjectPropertyInfo();

		machine_objects_foreach(machine_objects(machine), append_object, list);
		return list;
	}
	object = find_object(machine, path);
	if (object)
		return list_object(object);
	array = device_tree_list_path(machine_devices(machine), path);
	if (!array) {
		set_device_not_found(error, path);
		return NULL;
	}
	return property_infos(array, error);
}

json_object *qmp_qom_get(QmpContext *ctx, const char *path, const char *property, GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	const MachineObject *object = find_object(machine, path);
	GError *local_error = NULL;
	json_object *value = NULL;

	if (object) {
		g_autoptr(JsonObject) options = qapi_format_ObjectOptions(object->options);

		if (json_object_object_get_ex(options, property, &value))
			return json_object_get(value);
		error_fail(error, "Property '%s.%s' not found", object_type_name(object), property);
		return NULL;
	}
	value = device_tree_get_property(machine_devices(machine), path, property, &local_error);
	if (!value && !local_error)
		set_device_not_found(error, path);
	else if (local_error)
		g_propagate_error(error, local_error);
	return value;
}

bool qmp_qom_set(QmpContext *ctx, const char *path, const char *property, json_object *value,
		 GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	MachineObject *object = find_object(machine, path);
	GError *local_error = NULL;

	if (object)
		return machine_object_set(object, property, value, error);
	if (device_tree_set_property(machine_devices(machine), path, property, value, &local_error))
		return true;
	if (local_error)
		g_propagate_error(error, local_error);
	else
		set_device_not_found(error, path);
	return false;
}

static void append_type(GPtrArray *list, const char *name, const char *parent)
{
	QapiObjectTypeInfo *info = g_new0(QapiObjectTypeInfo, 1);

	info->name = g_strdup(name);
	info->parent = g_strdup(parent);
	g_ptr_array_add(list, info);
}

GPtrArray *qmp_qom_list_types(QmpContext *ctx, const char *implements, bool has_abstract,
			      bool abstract, G_GNUC_UNUSED GError **error)
{
	const DeviceType *const *types =
		device_tree_types(machine_devices(qmp_context_machine(ctx)));
	GPtrArray *list = qapi_list_new_ObjectTypeInfo();

	/* Two parents exist: what -device makes and what -object makes. None is abstract. */
	(void)has_abstract;
	(void)abstract;
	if (!implements || g_str_equal(implements, "device")) {
		for (unsigned i = 0; types[i]; i++)
			append_type(list, types[i]->name, "device");
	}
	if (!implements || g_str_equal(implements, "user-creatable")) {
		for (int i = 0; i < QAPI_OBJECT_TYPE_COUNT; i++)
			append_type(list, qapi_enum_name(&qapi_type_ObjectType, i),
				    "user-creatable");
	}
	return list;
}

GPtrArray *qmp_device_list_properties(QmpContext *ctx, const char *typename, GError **error)
{
	const DeviceType *type =
		device_tree_find_type(machine_devices(qmp_context_machine(ctx)), typename);
	g_autoptr(JsonObject) array = NULL;

	if (!type) {
		set_device_not_found(error, typename);
		return NULL;
	}
	array = device_type_list_properties(type);
	return property_infos(array, error);
}
