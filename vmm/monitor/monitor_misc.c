/*
 * monitor_misc.c: QMP commands of schemas/misc.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/base/error.h"
#include "vmm/chipset/chipset.h"
#include "vmm/machine/machine.h"

QapiNameInfo *qmp_query_name(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	QapiNameInfo *info = g_new0(QapiNameInfo, 1);

	info->name = g_strdup(machine_config(qmp_context_machine(ctx))->name);
	return info;
}

QapiUuidInfo *qmp_query_uuid(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	const uint8_t *uuid = machine_config(qmp_context_machine(ctx))->uuid;
	QapiUuidInfo *info = g_new0(QapiUuidInfo, 1);
	GString *text = g_string_new(NULL);

	/* All zeroes where none was given, as QEMU answers. */
	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			g_string_append_c(text, '-');
		g_string_append_printf(text, "%02x", uuid[i]);
	}
	info->UUID = g_string_free(text, FALSE);
	return info;
}

static void find_vmgenid(Device *device, gpointer data)
{
	const Device **found = data;

	if (device->type == &vmgenid_type)
		*found = device;
}

QapiGuidInfo *qmp_query_vm_generation_id(QmpContext *ctx, GError **error)
{
	const Device *vmgenid = NULL;
	QapiGuidInfo *info;

	device_tree_foreach(machine_devices(qmp_context_machine(ctx)), false, find_vmgenid,
			    &vmgenid);
	if (!vmgenid) {
		error_fail(error, "VM Generation ID device not found");
		return NULL;
	}
	info = g_new0(QapiGuidInfo, 1);
	info->guid = g_strdup(vmgenid_guid(vmgenid));
	return info;
}

static void append_iothread(MachineObject *object, gpointer data)
{
	const IoLoop *io_loop = machine_object_io_loop(object);
	IoLoopPolling polling;
	QapiIOThreadInfo *info;

	if (!io_loop)
		return;
	info = g_new0(QapiIOThreadInfo, 1);
	info->id = g_strdup(object->options->id);
	info->thread_id = io_loop_thread_id(io_loop);
	machine_object_polling(object, &polling);
	info->poll_max_ns = polling.max_ns;
	info->poll_grow = polling.grow;
	info->poll_shrink = polling.shrink;
	g_ptr_array_add(data, info);
}

GPtrArray *qmp_query_iothreads(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_IOThreadInfo();

	machine_objects_foreach(machine_objects(qmp_context_machine(ctx)), append_iothread, list);
	return list;
}
