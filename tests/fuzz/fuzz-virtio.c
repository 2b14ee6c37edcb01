/*
 * fuzz-virtio.c: a guest that does anything to the registers and rings of virtio devices
 *
 * The first byte says which device, the rest is a list of actions of 12 bytes. Back ends are fakes
 * that answer at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/virtio_driver.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/block/block.h"
#include "vmm/chardev/chardev_internal.h"
#include "vmm/chardev/rng_backend.h"
#include "vmm/config/options.h"
#include "vmm/net/net_internal.h"
#include "vmm/memory/memory_backend.h"
#include "vmm/virtio/virtio_balloon.h"
#include "vmm/virtio/virtio_blk.h"
#include "vmm/virtio/virtio_console.h"
#include "vmm/virtio/virtio_gpu.h"
#include "vmm/virtio/virtio_input.h"
#include "vmm/virtio/virtio_mem.h"
#include "vmm/virtio/virtio_net.h"
#include "vmm/virtio/virtio_rng.h"

#include <errno.h>
#include <string.h>

#define MAXIMUM_ACTIONS 100
#define ACTION_SIZE	12
#define QUEUES_MAX	8u /* that are fuzzed */
#define DISK_SIZE	(1u << 20)

/* Back ends */

struct BlockNode {
	IoLoop *loop;
};

const char *block_node_name(G_GNUC_UNUSED const BlockNode *node)
{
	return "disk";
}

void block_node_get_limits(G_GNUC_UNUSED BlockNode *node, BlockLimits *limits)
{
	*limits = (BlockLimits){
		.size = DISK_SIZE,
		.logical_block_size = 512,
		.physical_block_size = 512,
		.discard_granularity = 512,
		.can_write_zeroes = true,
	};
}

bool block_node_attach(BlockNode *node, const BlockUser *user, G_GNUC_UNUSED GError **error)
{
	node->loop = user->loops[0];
	return true;
}

void block_node_detach(G_GNUC_UNUSED BlockNode *node)
{
}

void block_node_set_write_cache(G_GNUC_UNUSED BlockNode *node, G_GNUC_UNUSED bool enabled)
{
}

static void block_done(gpointer data)
{
	BlockRequest *request = data;

	if (request->offset > DISK_SIZE || request->size > DISK_SIZE - request->offset)
		g_error("a request outside the disk");
	for (unsigned i = 0; i < request->n_iov && request->operation == BLOCK_READ; i++)
		memset(request->iov[i].iov_base, 0xaa, request->iov[i].iov_len);
	request->complete(request, request->offset == 0x1000 ? -EIO : 0);
}

bool block_node_inherit(BlockNode *node, BlockNode *old, GError **error)
{
	(void)node;
	(void)old;
	(void)error;
	return true;
}

void block_node_succeed(BlockNode *node, BlockNode *old)
{
	(void)node;
	(void)old;
}

void block_node_set_draining(G_GNUC_UNUSED BlockNode *node, G_GNUC_UNUSED unsigned port,
			     G_GNUC_UNUSED bool draining)
{
}

void block_node_submit(BlockNode *node, G_GNUC_UNUSED unsigned port, BlockRequest *request)
{
	io_loop_post(node->loop, block_done, request);
}

typedef struct FuzzNetdev {
	Netdev netdev;
	unsigned n_left;	/* frames that still arrive */
	const uint8_t *packets; /* what they start with, after their Ethernet headers */
	size_t size;
} FuzzNetdev;

static void net_start(Netdev *netdev)
{
	((FuzzNetdev *)netdev)->n_left = 16;
}

static void net_stop(G_GNUC_UNUSED Netdev *netdev)
{
}

static int net_use_queues(G_GNUC_UNUSED Netdev *netdev, G_GNUC_UNUSED unsigned n)
{
	return 0;
}

static unsigned net_offloads(G_GNUC_UNUSED const Netdev *netdev)
{
	return NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_TSO4;
}

static void net_set_offloads(G_GNUC_UNUSED Netdev *netdev, G_GNUC_UNUSED unsigned offloads)
{
}

static void net_watch_readable(G_GNUC_UNUSED Netdev *netdev, G_GNUC_UNUSED unsigned queue,
			       G_GNUC_UNUSED bool enabled)
{
}

static ssize_t net_receive(Netdev *netdev, G_GNUC_UNUSED unsigned queue, const struct iovec *iov,
			   unsigned n_iov)
{
	static uint8_t frame[9000];
	FuzzNetdev *fuzz = (FuzzNetdev *)netdev;
	size_t size = 60 + fuzz->n_left * 550;

	if (fuzz->n_left == 0)
		return -EAGAIN;
	frame[24] = fuzz->n_left & 1 ? 0x86 : 0x08;
	frame[25] = fuzz->n_left & 1 ? 0xdd : 0x00;
	memcpy(frame + 26, fuzz->packets, fuzz->size);
	fuzz->n_left--;
	return iov_copy_to(iov, n_iov, 0, frame, size) == size ? (ssize_t)size : -EMSGSIZE;
}

static int net_send(G_GNUC_UNUSED Netdev *netdev, G_GNUC_UNUSED unsigned queue,
		    const struct iovec *iov, unsigned n_iov)
{
	uint8_t byte;

	iov_copy_from(iov, n_iov, iov_size(iov, n_iov) - 1, &byte, 1);
	return 0;
}

static const NetdevOps net_ops = {
	.start = net_start,
	.stop = net_stop,
	.use_queues = net_use_queues,
	.offloads = net_offloads,
	.set_offloads = net_set_offloads,
	.watch_readable = net_watch_readable,
	.receive = net_receive,
	.send = net_send,
};

/* Every eighth write is short, as to a slow reader. */
static size_t console_write(G_GNUC_UNUSED Chardev *chardev, G_GNUC_UNUSED const uint8_t *data,
			    size_t size)
{
	static unsigned n_written;

	return n_written++ % 8 == 7 ? size / 2 : size;
}

static const ChardevOps console_ops = {
	.object_size = sizeof(Chardev),
	.write = console_write,
};

static Chardev *new_console(Chardevs *chardevs, const char *options)
{
	g_autoptr(ChardevConfig) config = chardev_config_parse(options, NULL);
	Chardev *chardev = chardevs_add(chardevs, config, NULL);

	chardev->ops = &console_ops;
	return chardev;
}

struct RngBackend {
	unsigned n;
};

static void rng_done(gpointer data)
{
	RngRequest *request = data;

	memset(request->buffer, 0x33, request->size);
	request->complete(request, (int)request->size);
}

void rng_backend_request(G_GNUC_UNUSED RngBackend *backend, IoLoop *loop, RngRequest *request)
{
	io_loop_post(loop, rng_done, request);
}

void rng_request_cancel(G_GNUC_UNUSED RngRequest *request)
{
}

/* The guest */

static const DeviceType *const types[] = {
	&virtio_balloon_type.pci.device,
	&virtio_blk_type.pci.device,
	&virtio_console_type.pci.device,
	&virtio_gpu_type.pci.device,
	&virtio_net_type.pci.device,
	&virtio_mem_type.pci.device,
	&virtio_rng_type.pci.device,
	&virtio_keyboard_type.pci.device,
	&virtio_tablet_type.pci.device,
	&virtio_console_port_type,
	&virtio_serial_port_type,
	NULL,
};

static const char *const devices[] = {
	"virtio-balloon-pci,id=d,free-page-reporting=on",
	"virtio-blk-pci,id=d,drive=disk,num-queues=2,rerror=ignore",
	"virtio-serial-pci,id=d,max_ports=4",
	"virtio-net-pci,id=d,netdev=net,mq=on,in_order=on,notification_data=on",
	"virtio-net-pci,id=d,netdev=net,mq=on,rss=on,hash=on",
	"virtio-rng-pci,id=d,rng=rng",
	"virtio-mem-pci,id=d,memdev=mem,requested-size=16M",
	"virtio-gpu-pci,id=d,max_outputs=2,max_hostmem=4M",
	"virtio-keyboard-pci,id=d",
	"virtio-tablet-pci,id=d",
	("virtio-balloon-pci,id=d,free-page-reporting=off,free-page-hint=on,"
	 "x-vireo-free-page-hint-interval=1,x-vireo-free-page-hint-timeout=1"),
};

typedef struct Action {
	uint8_t what, queue;
	uint16_t offset;
	uint32_t a, b;
} Action;

enum {
	ACT_DESCRIBE,
	ACT_OFFER,
	ACT_SET_AVAILABLE,
	ACT_WRITE_BAR,
	ACT_READ_BAR,
	ACT_WRITE_PCI,
	ACT_READ_PCI,
	ACT_WRITE_RAM,
	ACT_PAUSE,
	ACT_RESTART,
	ACT_SETTLE,
	ACT_STEER,
	ACT_HINT,
	N_ACTIONS,
};

static IoLoop *loop;
static MemoryBackend *memory;

static MemoryBackend *new_memory(void)
{
	char id[] = "mem";
	const MemoryBackendConfig config = { .id = id, .size = 32u << 20, .dump = true };

	return memory_backend_new(&config, NULL);
}

static const BusOps bus_ops = {};

static Device *add(DeviceTree *tree, const char *text)
{
	json_object *options = options_parse(text, "driver", NULL);
	Device *device = device_tree_add(tree, options, NULL);

	json_object_put(options);
	if (!device)
		g_error("no %s", text);
	return device;
}

/* Choose receive queues by hashes, by a command that is nearly right. */
static void steer(VirtioDriver *driver, const Action *action)
{
	struct {
		uint8_t class, code;
		uint32_t kinds;
		uint16_t mask, unclassified, table[8], n_active;
		uint8_t key_size, key[40];
	} __attribute__((packed)) command = {
		.class = 4,
		.code = 1 + (action->offset & 1),
		.kinds = action->a,
		.mask = 7,
		.unclassified = action->b & 1,
		.n_active = 1 + (action->b >> 1 & 1),
		.key_size = sizeof(command.key),
	};
	VirtioRing *ring = &driver->rings[4];
	uint64_t gpa = 0x3f0000;

	for (unsigned i = 0; i < G_N_ELEMENTS(command.table); i++)
		command.table[i] = action->b >> (2 + i * 3) & 1;
	memset(command.key, action->offset >> 1, sizeof(command.key));
	memcpy(driver->fake->ram + gpa, &command, sizeof(command));
	virtio_ring_describe(ring, 0, gpa, sizeof(command), RING_NEXT, 1);
	virtio_ring_describe(ring, 1, gpa + sizeof(command), 1, RING_WRITE, 0);
	virtio_ring_offer(ring, 0);
	virtio_driver_kick(driver, 4);
}

/* Begin or end a round of hints, once the device has begun one: by what it asked, or nearly. */
static void hint(VirtioDriver *driver, const Action *action)
{
	const uint64_t gpa = 0x3f0000;
	uint32_t id;

	if (virtio_driver_read_config(driver, 8, 4) <= 1) {
		g_usleep(1000); /* the shortest time from one to the next */
		fake_machine_iterate(driver->fake);
	}
	id = virtio_driver_read_config(driver, 8, 4) + (action->b & 1);
	memcpy(driver->fake->ram + gpa, &id, sizeof(id));
	virtio_ring_describe(&driver->rings[3], 0, gpa, sizeof(id), RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[3], 1, action->a & 0x3ff000, action->b & 0x3fffff,
			     RING_WRITE, 0);
	virtio_ring_offer(&driver->rings[3], 0);
	virtio_driver_kick(driver, 3);
}

static void restart(VirtioDriver *driver, Device *device)
{
	device->type->reset(device);
	virtio_driver_probe(driver, driver->fake, device);
	virtio_driver_start(driver, UINT64_MAX);
}

/* What a buffer or value may be: often something that makes sense. */
static uint64_t address(const Action *action)
{
	return action->a & 0x80000000 ? (uint64_t)action->a << 8 : action->a & 0x3fffff;
}

static void act(VirtioDriver *driver, Device *device, const Action *action)
{
	unsigned queue = action->queue % MIN(((VirtioDevice *)device)->n_queues, QUEUES_MAX);
	VirtioRing *ring = &driver->rings[queue];
	unsigned size = 1u << (action->b & 3);

	switch (action->what % N_ACTIONS) {
	case ACT_DESCRIBE:
		virtio_ring_describe(ring, action->offset % ring->size, address(action),
				     action->b & 0xffff, (action->b >> 16) & 7,
				     (action->b >> 20) % (ring->size + 1u));
		break;
	case ACT_OFFER:
		virtio_ring_offer(ring, action->offset % (ring->size + 1u));
		virtio_driver_kick(driver, queue);
		break;
	case ACT_SET_AVAILABLE:
		virtio_ring_set_available(ring, action->offset);
		break;
	case ACT_WRITE_BAR:
		fake_write(driver->fake, driver->common + action->offset % 0x4000, action->a, size);
		break;
	case ACT_READ_BAR:
		fake_read(driver->fake, driver->common + action->offset % 0x4000, size);
		break;
	case ACT_WRITE_PCI:
		pci_device_config_write(driver->pci, action->offset & 0xffc, action->a, 4);
		break;
	case ACT_READ_PCI:
		pci_device_config_read(driver->pci, action->offset & 0xffc, 4);
		break;
	case ACT_WRITE_RAM:
		memcpy(driver->fake->ram + action->a % (1u << 20), &action->b, 4);
		break;
	case ACT_PAUSE:
		device->type->pause(device);
		device->type->resume(device);
		break;
	case ACT_RESTART:
		restart(driver, device);
		break;
	case ACT_SETTLE:
		virtio_driver_settle(loop);
		fake_machine_iterate(driver->fake);
		break;
	case ACT_STEER:
		if (device->type == &virtio_net_type.pci.device)
			steer(driver, action);
		break;
	case ACT_HINT:
		if (device->type == &virtio_balloon_type.pci.device &&
		    (((VirtioDevice *)device)->offered & VIRTIO_FEATURE(3)))
			hint(driver, action);
		break;
	}
}

static GLogWriterOutput drop_log(G_GNUC_UNUSED GLogLevelFlags level,
				 G_GNUC_UNUSED const GLogField *fields, G_GNUC_UNUSED gsize n,
				 G_GNUC_UNUSED gpointer data)
{
	return G_LOG_WRITER_HANDLED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FakeMachine *fake;
	BlockNode node = {};
	char id[] = "net";
	FuzzNetdev netdev = { .netdev = { .ops = &net_ops, .id = id, .n_queues = 2 } };
	Chardevs *chardevs;
	RngBackend rng = {};
	DeviceTree *tree;
	VirtioDriver driver = {};
	Device *device;
	Bus bus;

	if (size < 1)
		return 0;
	netdev.packets = data;
	netdev.size = MIN(size, 512);
	if (!loop) {
		loop = io_loop_new("io", NULL, NULL, NULL);
		memory = new_memory();
		g_log_set_writer_func(drop_log, NULL, NULL);
	}
	fake = fake_machine_new(4u << 20);
	fake_machine_set_io_loop(fake, "", loop);
	fake_machine_set_block_node(fake, "disk", &node);
	fake_machine_set_netdev(fake, "net", &netdev.netdev);
	chardevs = chardevs_new(NULL);
	fake_machine_set_chardev(fake, "con", new_console(chardevs, "null,id=con"));
	fake_machine_set_chardev(fake, "ser", new_console(chardevs, "null,id=ser"));
	fake_machine_set_rng(fake, "rng", &rng);
	fake_machine_set_memory(fake, "mem", memory);
	tree = device_tree_new(types, &fake->services);
	bus_init(&bus, &bus_ops, PCI_BUS_KIND, "pcie.0", NULL);
	device_tree_add_bus(tree, &bus);
	device = add(tree, devices[data[0] % G_N_ELEMENTS(devices)]);
	if (device->type == &virtio_console_type.pci.device) {
		add(tree, "virtconsole,chardev=con");
		add(tree, "virtserialport,id=s,chardev=ser,name=fuzz");
	}
	driver.fake = fake;
	restart(&driver, device);
	data++;
	size--;
	for (unsigned i = 0; i < MAXIMUM_ACTIONS && size >= ACTION_SIZE; i++) {
		Action action;

		memcpy(&action, data, ACTION_SIZE);
		act(&driver, device, &action);
		data += ACTION_SIZE;
		size -= ACTION_SIZE;
	}
	device_tree_remove(tree, device);
	device_tree_remove_bus(tree, &bus);
	bus_clear(&bus);
	device_tree_free(tree);
	chardevs_free(chardevs);
	fake_machine_free(fake);
	return 0;
}
