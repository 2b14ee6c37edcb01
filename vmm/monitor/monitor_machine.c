/*
 * monitor_machine.c: QMP commands of schemas/machine.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "qmp/qmp_error.h"
#include "vmm/base/error.h"
#include "vmm/machine/machine.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/memory_backend.h"
#include "vmm/virtio/virtio_balloon.h"
#include "vmm/virtio/virtio_mem.h"

QapiTargetInfo *qmp_query_target(G_GNUC_UNUSED QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	QapiTargetInfo *info = g_new0(QapiTargetInfo, 1);

	info->arch = QAPI_SYS_EMU_TARGET_X86_64;
	return info;
}

QapiKvmInfo *qmp_query_kvm(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	QapiKvmInfo *info = g_new0(QapiKvmInfo, 1);

	/* There is no other accelerator: a machine without KVM does not exist. */
	info->present = true;
	info->enabled = machine_kvm(qmp_context_machine(ctx)) != NULL;
	return info;
}

GPtrArray *qmp_query_machines(G_GNUC_UNUSED QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_MachineInfo();
	QapiMachineInfo *info = g_new0(QapiMachineInfo, 1);

	info->name = g_strdup(MACHINE_TYPE_NAME);
	info->alias = g_strdup(MACHINE_TYPE_ALIAS);
	info->has_is_default = true;
	info->is_default = true;
	info->cpu_max = MACHINE_MAX_CPUS;
	info->hotpluggable_cpus = true;
	g_ptr_array_add(list, info);
	return list;
}

static void add_plugged_memory(Device *device, gpointer data)
{
	VirtioMemInfo info;

	if (!virtio_mem_is(device))
		return;
	virtio_mem_get_info(device, &info);
	*(uint64_t *)data += info.size;
}

static void append_memory_device(Device *device, gpointer data)
{
	QapiMemoryDeviceInfo *entry;
	QapiVirtioMEMDeviceInfo *mem;
	VirtioMemInfo info;

	if (!virtio_mem_is(device))
		return;
	virtio_mem_get_info(device, &info);
	mem = g_new0(QapiVirtioMEMDeviceInfo, 1);
	mem->id = g_strdup(device->id);
	mem->memaddr = info.address;
	mem->requested_size = info.requested_size;
	mem->size = info.size;
	mem->max_size = info.maximum_size;
	mem->block_size = info.block_size;
	mem->node = info.node;
	mem->memdev = g_strdup_printf("/objects/%s", info.memdev);
	entry = g_new0(QapiMemoryDeviceInfo, 1);
	entry->type = QAPI_MEMORY_DEVICE_INFO_KIND_VIRTIO_MEM;
	entry->u.virtio_mem.data = mem;
	g_ptr_array_add(data, entry);
}

GPtrArray *qmp_query_memory_devices(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_MemoryDeviceInfo();

	device_tree_foreach(machine_devices(qmp_context_machine(ctx)), false,
			    append_memory_device, list);
	return list;
}

QapiMemoryInfo *qmp_query_memory_size_summary(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	QapiMemoryInfo *info = g_new0(QapiMemoryInfo, 1);

	info->base_memory = guest_memory_size(machine_memory(qmp_context_machine(ctx)));
	info->has_plugged_memory = true;
	device_tree_foreach(machine_devices(qmp_context_machine(ctx)), false, add_plugged_memory,
			    &info->plugged_memory);
	return info;
}

static void append_memdev(MachineObject *object, gpointer data)
{
	const MemoryBackend *backend = machine_object_memory_backend(object);
	const MemoryBackendConfig *config;
	QapiMemdev *info;

	if (!backend)
		return;
	config = &backend->config;
	info = g_new0(QapiMemdev, 1);
	info->id = g_strdup(object->options->id);
	info->size = config->size;
	info->merge = config->merge;
	info->dump = config->dump;
	info->prealloc = config->prealloc;
	info->share = config->share;
	info->host_nodes = config->host_nodes ? g_array_copy(config->host_nodes)
					      : g_array_new(FALSE, FALSE, sizeof(uint16_t));
	info->policy = (QapiHostMemPolicy)config->policy;
	g_ptr_array_add(data, info);
}

GPtrArray *qmp_query_memdev(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_Memdev();

	machine_objects_foreach(machine_objects(qmp_context_machine(ctx)), append_memdev, list);
	return list;
}

static void find_balloon_cb(Device *device, gpointer data)
{
	if (virtio_balloon_is(device) && device->realized)
		*(Device **)data = device;
}

/* The balloon, or NULL and @error. */
static Device *find_balloon(QmpContext *ctx, GError **error)
{
	Device *balloon = NULL;

	device_tree_foreach(machine_devices(qmp_context_machine(ctx)), true, find_balloon_cb,
			    &balloon);
	if (!balloon)
		g_set_error(error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_ACTIVE,
			    "No balloon device has been activated");
	return balloon;
}

QapiBalloonInfo *qmp_query_balloon(QmpContext *ctx, GError **error)
{
	Device *balloon = find_balloon(ctx, error);
	QapiBalloonInfo *info;

	if (!balloon)
		return NULL;
	info = g_new0(QapiBalloonInfo, 1);
	info->actual = (int64_t)virtio_balloon_actual(balloon);
	return info;
}

bool qmp_balloon(QmpContext *ctx, int64_t value, GError **error)
{
	Device *balloon = find_balloon(ctx, error);

	if (!balloon)
		return false;
	if (value <= 0) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "Parameter 'target' expects a size");
		return false;
	}
	virtio_balloon_set_target(balloon, (uint64_t)value);
	return true;
}
