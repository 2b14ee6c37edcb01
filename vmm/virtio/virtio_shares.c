/*
 * virtio_shares.c: which I/O loop serves which queue
 *
 * One loop for all, as "iothread" says; or as "iothread-vq-mapping" does, which names queues for
 * each loop, or names none: then queues go round.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_device.h"

#include <string.h>

#include "vmm/base/error.h"

static json_object *mapping_member(const VirtioDevice *device, size_t entry, const char *name)
{
	return json_object_object_get(json_object_array_get_idx(device->iothread_mapping, entry),
				      name);
}

static const char *mapping_iothread(const VirtioDevice *device, size_t entry)
{
	return json_object_get_string(mapping_member(device, entry, "iothread"));
}

static bool check_mapping(const VirtioDevice *device, GError **error)
{
	size_t n = json_object_array_length(device->iothread_mapping);

	if (device->iothread)
		return error_fail(error, "iothread and iothread-vq-mapping exclude each other");
	for (size_t i = 0; i < n; i++) {
		if (!mapping_member(device, i, "vqs") != !mapping_member(device, 0, "vqs"))
			return error_fail(error, "iothread-vq-mapping has 'vqs' for some "
						 "iothreads only");
		for (size_t j = 0; j < i; j++) {
			if (strcmp(mapping_iothread(device, i), mapping_iothread(device, j)) == 0)
				return error_fail(error, "iothread-vq-mapping has '%s' twice",
						  mapping_iothread(device, i));
		}
	}
	return true;
}

static bool add_share(VirtioDevice *device, const char *iothread, GError **error)
{
	DeviceServices *services = virtio_device_services(device);
	IoLoop *loop = services->find_io_loop(services, iothread);

	if (!loop && iothread)
		return error_fail(error, "there is no iothread '%s'", iothread);
	if (!loop)
		return error_fail(error, "the machine has no I/O thread to serve the device");
	device->shares[device->n_shares] =
		(VirtioShare){ .device = device, .loop = loop, .index = device->n_shares };
	device->n_shares++;
	return true;
}

bool virtio_shares_find(VirtioDevice *device, GError **error)
{
	size_t n =
		device->iothread_mapping ? json_object_array_length(device->iothread_mapping) : 1;
	bool found = !device->iothread_mapping || check_mapping(device, error);

	device->shares = g_new0(VirtioShare, n);
	device->n_shares = 0;
	for (size_t i = 0; found && i < n; i++)
		found = add_share(device,
				  device->iothread_mapping ? mapping_iothread(device, i)
							   : device->iothread,
				  error);
	if (!found) {
		g_clear_pointer(&device->shares, g_free);
		device->n_shares = 0;
		return false;
	}
	device->loop = device->shares[0].loop;
	return true;
}

static bool assign_by_mapping(VirtioDevice *device, GError **error)
{
	for (unsigned i = 0; i < device->n_shares; i++) {
		json_object *queues = mapping_member(device, i, "vqs");

		for (size_t j = 0; j < json_object_array_length(queues); j++) {
			unsigned queue =
				(unsigned)json_object_get_int(json_object_array_get_idx(queues, j));

			if (queue >= device->n_queues)
				return error_fail(
					error, "iothread-vq-mapping: there is no queue %u", queue);
			if (device->queues[queue].share)
				return error_fail(error, "iothread-vq-mapping has queue %u twice",
						  queue);
			device->queues[queue].share = &device->shares[i];
		}
	}
	for (uint32_t i = 0; i < device->n_queues; i++) {
		if (!device->queues[i].share)
			return error_fail(error, "iothread-vq-mapping lacks queue %u", i);
	}
	return true;
}

bool virtio_shares_assign(VirtioDevice *device, GError **error)
{
	if (device->iothread_mapping && mapping_member(device, 0, "vqs"))
		return assign_by_mapping(device, error);
	for (uint32_t i = 0; i < device->n_queues; i++)
		device->queues[i].share =
			device->n_shares ? &device->shares[i % device->n_shares] : NULL;
	return true;
}
