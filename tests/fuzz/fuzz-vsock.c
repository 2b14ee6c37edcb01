/*
 * fuzz-vsock.c: a guest that sends any packets to the socket device
 *
 * Each 12 bytes of the input are a packet, or something that the host does. There is one connection
 * from the host, and whatever the guest makes of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/device/virtio_driver.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/base/fd.h"
#include "vmm/base/socket.h"
#include "vmm/virtio/virtio_vsock_internal.h"

#define CID	    7u
#define BUFFERS	    8u
#define BUFFER_SIZE 256u
#define PACKETS_MAX 64u
#define FIRST_PORT  0x40000000u /* of those that the device gives out */

typedef struct Step {
	uint8_t what, op, type, flags;
	uint16_t length, port;
	uint32_t credit;
} Step;

static uint64_t buffers[BUFFERS];
static char *path;

static void send_packet(VirtioDriver *driver, uint64_t at, const Step *step)
{
	VirtioRing *ring = &driver->rings[1];
	VsockHeader header = {
		.source_cid = CID,
		.destination_cid = VSOCK_CID_HOST,
		.source_port = step->port % 4,
		.destination_port = FIRST_PORT + (step->port >> 2) % 4,
		.length = step->length,
		.type = step->type % 16 ? VSOCK_TYPE_STREAM : step->type,
		.op = step->op % 9,
		.flags = step->flags,
		.buffer_size = step->credit & 0xffff,
		.forwarded = step->credit >> 16,
	};
	uint32_t id, length;

	memcpy(virtio_driver_ram(driver, at), &header, sizeof(header));
	virtio_ring_describe(ring, 0, at, sizeof(header) + (step->what & 1 ? header.length : 70000),
			     0, 0);
	virtio_driver_offer(driver, 1, 0);
	while (virtio_ring_take_used(ring, &id, &length))
		continue;
}

static void take_packets(VirtioDriver *driver)
{
	VirtioRing *ring = &driver->rings[0];
	uint32_t id, length;

	while (virtio_ring_take_used(ring, &id, &length)) {
		if (length < sizeof(VsockHeader) || length > BUFFER_SIZE)
			g_error("a packet of %u bytes", length);
		virtio_ring_describe(ring, id, buffers[id], BUFFER_SIZE, RING_WRITE, 0);
		virtio_driver_offer(driver, 0, (uint16_t)id);
	}
}

static void act(VirtioDriver *driver, IoLoop *loop, uint64_t at, int *host, const Step *step)
{
	static const uint8_t bytes[4096];
	char sink[4096];

	switch (step->what % 8) {
	case 0:
		fd_close(host);
		*host = socket_open_unix(path, false, false, NULL);
		if (*host >= 0)
			send(*host, "CONNECT 1\n", 10, MSG_NOSIGNAL);
		break;
	case 1:
		if (*host >= 0)
			send(*host, bytes, step->length % sizeof(bytes),
			     MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 2:
		if (*host >= 0)
			(void)!recv(*host, sink, sizeof(sink), MSG_DONTWAIT);
		break;
	case 3:
		virtio_driver_settle(loop);
		take_packets(driver);
		fake_machine_iterate(driver->fake);
		break;
	default:
		send_packet(driver, at, step);
		break;
	}
}

static void start(VirtioDriver *driver, FakeMachine *fake, Device *device)
{
	virtio_driver_probe(driver, fake, device);
	virtio_driver_start(driver, UINT64_MAX);
	for (unsigned i = 0; i < BUFFERS; i++) {
		buffers[i] = virtio_driver_alloc(driver, BUFFER_SIZE);
		virtio_ring_describe(&driver->rings[0], i, buffers[i], BUFFER_SIZE, RING_WRITE, 0);
		virtio_driver_offer(driver, 0, (uint16_t)i);
	}
}

static void remove_socket(void)
{
	unlink(path);
}

static void make_machine(FakeMachine **fake, IoLoop **loop, Device **device)
{
	g_autofree char *options = NULL;

	path = g_strdup_printf("%s/fuzz-vsock-%d", g_get_tmp_dir(), (int)getpid());
	options = g_strdup_printf("guest-cid=%u,path=%s", CID, path);
	*fake = virtio_driver_machine(loop);
	*device = fake_machine_add(*fake, &virtio_vsock_type.pci.device, options);
	atexit(remove_socket);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static IoLoop *loop;
	static FakeMachine *fake;
	static Device *device;
	VirtioDriver driver = {};
	uint64_t at;
	int host;

	/* A machine for each would take longer than what is done with it. */
	if (!fake)
		make_machine(&fake, &loop, &device);
	virtio_device_reset(device);
	start(&driver, fake, device);
	at = virtio_driver_alloc(&driver, 140000);
	host = socket_open_unix(path, false, false, NULL);
	send(host, "CONNECT 1\n", 10, MSG_NOSIGNAL);
	for (unsigned i = 0; i < PACKETS_MAX && size >= sizeof(Step); i++) {
		Step step;

		memcpy(&step, data, sizeof(step));
		act(&driver, loop, at, &host, &step);
		data += sizeof(step);
		size -= sizeof(step);
	}
	fd_close(&host);
	return 0;
}
