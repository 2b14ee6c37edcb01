/*
 * test-virtio-console.c: the console device and its ports
 *
 * The chardev is a fake that lives here. The devices are in a device tree of their own, on a PCI
 * bus, as ports come and go on a bus.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/config/options.h"
#include "vmm/chardev/chardev.h"
#include "vmm/virtio/virtio_console.h"

#define F_MULTIPORT VIRTIO_FEATURE(1)
#define F_ALL	    UINT64_MAX

enum { CONTROL_IN = 2, CONTROL_OUT = 3 };
enum {
	DEVICE_READY = 0,
	PORT_ADD = 1,
	PORT_REMOVE = 2,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};

struct Chardev {
	const ChardevFrontEnd *front_end;
	void *opaque;
	GMutex lock;
	GString *written;
	size_t room; /* bytes that are taken before it is full */
	int asked;   /* atomic: calls of accept_input */
	int opened;  /* atomic: times that the guest opened it, less those that it closed it */
};

bool chardev_attach(Chardev *chardev, const char *user, const ChardevFrontEnd *front_end,
		    void *opaque, GError **error)
{
	(void)error;
	g_assert_nonnull(user);
	g_assert_null(chardev->front_end);
	chardev->front_end = front_end;
	chardev->opaque = opaque;
	return true;
}

void chardev_detach(Chardev *chardev)
{
	chardev->front_end = NULL;
}

void chardev_guest_opened(Chardev *chardev, bool open)
{
	__atomic_add_fetch(&chardev->opened, open ? 1 : -1, __ATOMIC_SEQ_CST);
}

void chardev_accept_input(Chardev *chardev)
{
	__atomic_add_fetch(&chardev->asked, 1, __ATOMIC_SEQ_CST);
}

size_t chardev_write(Chardev *chardev, const uint8_t *data, size_t size)
{
	g_mutex_lock(&chardev->lock);
	size = MIN(size, chardev->room);
	chardev->room -= size;
	g_string_append_len(chardev->written, (const char *)data, (gssize)size);
	g_mutex_unlock(&chardev->lock);
	return size;
}

static void set_room(Chardev *chardev, size_t room)
{
	g_mutex_lock(&chardev->lock);
	chardev->room = room;
	g_mutex_unlock(&chardev->lock);
}

static bool wrote(Chardev *chardev, const char *text)
{
	bool equal;

	g_mutex_lock(&chardev->lock);
	equal = strcmp(chardev->written->str, text) == 0;
	g_mutex_unlock(&chardev->lock);
	return equal;
}

/* A PCI bus without places: the device is driven directly. */
static const BusOps pci_ops = {};

static const DeviceType *const types[] = {
	&virtio_console_type.pci.device,
	&virtio_console_port_type,
	&virtio_serial_port_type,
	NULL,
};

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	DeviceTree *tree;
	Bus bus;
	Chardev console_chardev, agent_chardev;
	VirtioDriver driver;
	QmpEventSink sink;
	GMutex lock;
	GString *events;
} Fixture;

static void record_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	g_mutex_lock(&fixture->lock);
	if (strcmp(name, "VSERPORT_CHANGE") == 0)
		g_string_append_printf(
			fixture->events, "%s=%d ",
			json_object_get_string(json_object_object_get(data, "id")),
			json_object_get_boolean(json_object_object_get(data, "open")));
	if (strcmp(name, "DEVICE_DELETED") == 0)
		g_string_append_printf(
			fixture->events, "-%s ",
			json_object_get_string(json_object_object_get(data, "device")));
	g_mutex_unlock(&fixture->lock);
	json_object_put(data);
}

static Device *try_add(Fixture *fixture, const char *options, GError **error)
{
	json_object *object = options_parse(options, "driver", error);
	Device *device;

	g_assert_nonnull(object);
	device = device_tree_add(fixture->tree, object, error);
	json_object_put(object);
	return device;
}

static Device *add_device(Fixture *fixture, const char *options)
{
	g_autoptr(GError) error = NULL;
	Device *device = try_add(fixture, options, &error);

	g_assert_no_error(error);
	return device;
}

static void set_up(Fixture *fixture, gconstpointer options)
{
	Device *device;

	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->events = g_string_new(NULL);
	fixture->sink = (QmpEventSink){ .emit = record_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->console_chardev.written = g_string_new(NULL);
	fixture->console_chardev.room = SIZE_MAX;
	fixture->agent_chardev.written = g_string_new(NULL);
	fixture->agent_chardev.room = SIZE_MAX;
	fake_machine_set_chardev(fixture->fake, "con", &fixture->console_chardev);
	fake_machine_set_chardev(fixture->fake, "agent", &fixture->agent_chardev);
	fixture->tree = device_tree_new(types, &fixture->fake->services);
	bus_init(&fixture->bus, &pci_ops, PCI_BUS_KIND, "pcie.0", NULL);
	device_tree_add_bus(fixture->tree, &fixture->bus);
	device = add_device(fixture, options ? options : "virtio-serial-pci,id=vs");
	virtio_driver_probe(&fixture->driver, fixture->fake, device);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	while (device_tree_find(fixture->tree, "vs"))
		device_tree_remove(fixture->tree, device_tree_find(fixture->tree, "vs"));
	g_assert_null(fixture->console_chardev.front_end);
	g_assert_null(fixture->agent_chardev.front_end);
	device_tree_remove_bus(fixture->tree, &fixture->bus);
	bus_clear(&fixture->bus);
	device_tree_free(fixture->tree);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	g_string_free(fixture->console_chardev.written, TRUE);
	g_string_free(fixture->agent_chardev.written, TRUE);
	g_string_free(fixture->events, TRUE);
}

static void assert_events(Fixture *fixture, const char *events)
{
	g_mutex_lock(&fixture->lock);
	g_assert_cmpstr(fixture->events->str, ==, events);
	g_string_truncate(fixture->events, 0);
	g_mutex_unlock(&fixture->lock);
}

static unsigned port_queue(unsigned nr)
{
	return nr ? 2 + 2 * nr : 0;
}

static void control(Fixture *fixture, uint32_t port, uint16_t event, uint16_t value)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, 8);
	uint8_t *bytes = virtio_driver_ram(driver, gpa);

	memcpy(bytes, &port, 4);
	memcpy(bytes + 4, &event, 2);
	memcpy(bytes + 6, &value, 2);
	virtio_ring_describe(&driver->rings[CONTROL_OUT], 0, gpa, 8, 0, 0);
	virtio_driver_offer(driver, CONTROL_OUT, 0);
	virtio_driver_wait(driver, CONTROL_OUT, NULL);
}

/* Offer a buffer of @size bytes at descriptor 0 of @queue; returns where it is. */
static uint64_t offer_buffer(Fixture *fixture, unsigned queue, uint32_t size)
{
	uint64_t gpa = virtio_driver_alloc(&fixture->driver, size);

	virtio_ring_describe(&fixture->driver.rings[queue], 0, gpa, size, RING_WRITE, 0);
	virtio_driver_offer(&fixture->driver, queue, 0);
	return gpa;
}

/* Give a buffer for a control message and expect this one in it. */
static void expect_control(Fixture *fixture, uint32_t port, uint16_t event, uint16_t value,
			   const char *name)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = offer_buffer(fixture, CONTROL_IN, 64);
	const uint8_t *bytes = virtio_driver_ram(driver, gpa);
	uint32_t length;

	virtio_driver_wait(driver, CONTROL_IN, &length);
	g_assert_cmpuint(bytes[0], ==, port);
	g_assert_cmpuint(bytes[4], ==, event);
	g_assert_cmpuint(bytes[6], ==, value);
	g_assert_cmpuint(length, ==, 8 + (name ? strlen(name) : 0));
	if (name)
		g_assert_cmpmem(bytes + 8, length - 8, name, strlen(name));
}

static void send(Fixture *fixture, unsigned nr, const char *text)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, strlen(text));

	memcpy(virtio_driver_ram(driver, gpa), text, strlen(text));
	virtio_ring_describe(&driver->rings[port_queue(nr) + 1], 0, gpa, strlen(text), 0, 0);
	virtio_driver_offer(driver, port_queue(nr) + 1, 0);
}

/* Let @text come from the host, as far as the port takes it; returns how much. */
static size_t type(Chardev *chardev, const char *text)
{
	size_t room = chardev->front_end->can_receive(chardev->opaque);

	room = MIN(room, strlen(text));
	if (room)
		chardev->front_end->receive(chardev->opaque, (const uint8_t *)text, room);
	return room;
}

static void add_ports(Fixture *fixture)
{
	add_device(fixture, "virtconsole,id=c0,chardev=con");
	add_device(fixture, "virtserialport,id=a0,chardev=agent,name=org.example.agent.0");
}

/* Up to where a guest has both ports and the agent's is open. */
static void start_with_ports(Fixture *fixture)
{
	add_ports(fixture);
	virtio_driver_start(&fixture->driver, F_ALL);
	control(fixture, UINT32_MAX, DEVICE_READY, 1);
	expect_control(fixture, 0, PORT_ADD, 1, NULL);
	expect_control(fixture, 1, PORT_ADD, 1, NULL);
	control(fixture, 0, PORT_READY, 1);
	expect_control(fixture, 0, CONSOLE_PORT, 1, NULL);
	expect_control(fixture, 0, PORT_OPEN, 1, NULL);
	control(fixture, 1, PORT_READY, 1);
	expect_control(fixture, 1, PORT_NAME, 1, "org.example.agent.0");
	control(fixture, 1, PORT_OPEN, 1);
	assert_events(fixture, "a0=1 ");
	g_assert_cmpint(g_atomic_int_get(&fixture->agent_chardev.opened), ==, 1);
}

static void test_ports(Fixture *fixture, gconstpointer data)
{
	uint32_t length;
	uint64_t gpa;

	(void)data;
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 4, 4), ==, 31);
	start_with_ports(fixture);
	send(fixture, 1, "pong");
	virtio_driver_wait(&fixture->driver, 5, NULL);
	g_assert_true(wrote(&fixture->agent_chardev, "pong"));
	g_assert_cmpuint(type(&fixture->agent_chardev, "ping"), ==, 4);
	gpa = offer_buffer(fixture, 4, 100);
	virtio_driver_wait(&fixture->driver, 4, &length);
	g_assert_cmpmem(virtio_driver_ram(&fixture->driver, gpa), length, "ping", 4);
	/* The host comes and goes. */
	fixture->agent_chardev.front_end->event(fixture->agent_chardev.opaque, CHARDEV_OPENED);
	expect_control(fixture, 1, PORT_OPEN, 1, NULL);
	fixture->agent_chardev.front_end->event(fixture->agent_chardev.opaque, CHARDEV_CLOSED);
	expect_control(fixture, 1, PORT_OPEN, 0, NULL);
	control(fixture, 1, PORT_OPEN, 0);
	assert_events(fixture, "a0=0 ");
	g_assert_cmpint(g_atomic_int_get(&fixture->agent_chardev.opened), ==, 0);
	g_assert_cmpuint(type(&fixture->agent_chardev, "nobody reads"), ==, 0);
}

static void test_single_port(Fixture *fixture, gconstpointer data)
{
	uint32_t length;
	uint64_t gpa;

	(void)data;
	add_device(fixture, "virtconsole,id=c0,chardev=con");
	g_assert_cmpuint(type(&fixture->console_chardev, "early"), ==, 0);
	virtio_driver_start(&fixture->driver, F_ALL & ~F_MULTIPORT);
	send(fixture, 0, "login: ");
	virtio_driver_wait(&fixture->driver, 1, NULL);
	g_assert_true(wrote(&fixture->console_chardev, "login: "));
	gpa = offer_buffer(fixture, 0, 3);
	g_assert_cmpuint(type(&fixture->console_chardev, "root"), ==, 4);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpmem(virtio_driver_ram(&fixture->driver, gpa), length, "roo", 3);
	gpa = offer_buffer(fixture, 0, 3);
	virtio_driver_wait(&fixture->driver, 0, &length);
	g_assert_cmpmem(virtio_driver_ram(&fixture->driver, gpa), length, "t", 1);
}

static void test_flow_control(Fixture *fixture, gconstpointer data)
{
	g_autofree char *much = g_strnfill(10000, 'x');
	uint32_t id, length;
	int asked;

	(void)data;
	start_with_ports(fixture);
	/* To a host that takes 3 bytes now. */
	set_room(&fixture->agent_chardev, 3);
	send(fixture, 1, "abcdefgh");
	virtio_driver_settle(fixture->loop);
	g_assert_false(virtio_ring_take_used(&fixture->driver.rings[5], &id, &length));
	g_assert_true(wrote(&fixture->agent_chardev, "abc"));
	/* A pause in between changes nothing. */
	device_tree_pause(fixture->tree);
	device_tree_resume(fixture->tree);
	set_room(&fixture->agent_chardev, SIZE_MAX);
	fixture->agent_chardev.front_end->writable(fixture->agent_chardev.opaque);
	virtio_driver_wait(&fixture->driver, 5, NULL);
	g_assert_true(wrote(&fixture->agent_chardev, "abcdefgh"));
	/* From a host that has more than the guest takes. */
	g_assert_cmpuint(type(&fixture->agent_chardev, much), ==, 4096);
	g_assert_cmpuint(type(&fixture->agent_chardev, much), ==, 0);
	asked = __atomic_load_n(&fixture->agent_chardev.asked, __ATOMIC_SEQ_CST);
	offer_buffer(fixture, 4, 1000);
	virtio_driver_wait(&fixture->driver, 4, &length);
	g_assert_cmpuint(length, ==, 1000);
	virtio_driver_settle(fixture->loop);
	g_assert_cmpint(__atomic_load_n(&fixture->agent_chardev.asked, __ATOMIC_SEQ_CST), >, asked);
	g_assert_cmpuint(type(&fixture->agent_chardev, much), ==, 1000);
}

static void test_hotplug(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	(void)data;
	virtio_driver_start(&fixture->driver, F_ALL);
	control(fixture, 0, DEVICE_READY, 1);
	device_tree_set_started(fixture->tree);
	add_device(fixture, "virtserialport,id=a0,nr=7,chardev=agent,name=x");
	expect_control(fixture, 7, PORT_ADD, 1, NULL);
	control(fixture, 7, PORT_READY, 1);
	expect_control(fixture, 7, PORT_NAME, 1, "x");
	control(fixture, 7, PORT_OPEN, 1);
	/* Taken out while it is too slow for what the guest sends. */
	set_room(&fixture->agent_chardev, 0);
	send(fixture, 7, "lost");
	virtio_driver_settle(fixture->loop);
	g_assert_true(device_tree_request_remove(fixture->tree,
						 device_tree_find(fixture->tree, "a0"), &error));
	g_assert_no_error(error);
	fake_machine_iterate(fixture->fake);
	g_assert_null(device_tree_find(fixture->tree, "a0"));
	assert_events(fixture, "a0=1 -a0 ");
	virtio_driver_wait(&fixture->driver, port_queue(7) + 1, NULL);
	expect_control(fixture, 7, PORT_REMOVE, 1, NULL);
	/* Messages about what is gone, and data for it. */
	control(fixture, 7, PORT_OPEN, 1);
	send(fixture, 7, "into the void");
	virtio_driver_wait(&fixture->driver, port_queue(7) + 1, NULL);
	set_room(&fixture->agent_chardev, SIZE_MAX);
	add_device(fixture, "virtserialport,id=a1,nr=7,chardev=agent");
	expect_control(fixture, 7, PORT_ADD, 1, NULL);
}

static void test_bad_messages(Fixture *fixture, gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa;

	(void)data;
	start_with_ports(fixture);
	control(fixture, 31, PORT_OPEN, 1);
	control(fixture, UINT32_MAX, PORT_READY, 1);
	control(fixture, 5, PORT_OPEN, 1);
	control(fixture, 1, 99, 1);
	control(fixture, 1, PORT_READY, 0);
	/* Too short, and with nothing readable. */
	gpa = virtio_driver_alloc(driver, 8);
	virtio_ring_describe(&driver->rings[CONTROL_OUT], 0, gpa, 7, 0, 0);
	virtio_driver_offer(driver, CONTROL_OUT, 0);
	virtio_driver_wait(driver, CONTROL_OUT, NULL);
	virtio_ring_describe(&driver->rings[CONTROL_OUT], 0, gpa, 8, RING_WRITE, 0);
	virtio_driver_offer(driver, CONTROL_OUT, 0);
	virtio_driver_wait(driver, CONTROL_OUT, NULL);
	g_assert_false(virtio_driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
	/* No room for a message. */
	virtio_ring_describe(&driver->rings[CONTROL_IN], 0, gpa, 7, RING_WRITE, 0);
	virtio_driver_offer(driver, CONTROL_IN, 0);
	control(fixture, 1, PORT_READY, 1);
	g_assert_true(virtio_driver_wait_needs_reset(driver));
}

static void test_reset(Fixture *fixture, gconstpointer data)
{
	(void)data;
	start_with_ports(fixture);
	type(&fixture->agent_chardev, "for the guest before");
	set_room(&fixture->agent_chardev, 2);
	send(fixture, 1, "abcd");
	virtio_driver_settle(fixture->loop);
	virtio_driver_set_status(&fixture->driver, 0);
	assert_events(fixture, "a0=0 ");
	g_assert_cmpuint(type(&fixture->agent_chardev, "x"), ==, 0);
	set_room(&fixture->agent_chardev, SIZE_MAX);
	virtio_driver_start(&fixture->driver, F_ALL);
	control(fixture, 0, DEVICE_READY, 1);
	expect_control(fixture, 0, PORT_ADD, 1, NULL);
	send(fixture, 1, "ef");
	virtio_driver_wait(&fixture->driver, 5, NULL);
	g_assert_true(wrote(&fixture->agent_chardev, "abef"));
}

static void test_emergency(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_write_config(&fixture->driver, 8, '!', 4); /* no port yet */
	add_ports(fixture);
	virtio_driver_write_config(&fixture->driver, 8, 'O', 4);
	virtio_driver_write_config(&fixture->driver, 8, 'K', 4);
	virtio_driver_write_config(&fixture->driver, 8, 'x', 1);
	virtio_driver_write_config(&fixture->driver, 4, 'x', 4);
	g_assert_true(wrote(&fixture->console_chardev, "OK"));
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 4, 4), ==, 31);
}

static void test_places(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *options, *error;
	} bad[] = {
		{ "virtserialport,nr=0", "port 0 of 'vs.0' is for a virtconsole" },
		{ "virtserialport,nr=1", "port 1 of 'vs.0' is taken" },
		{ "virtserialport,nr=3", "'vs.0' has no port 3, only 3 of them" },
		{ "virtserialport,chardev=none", "there is no chardev 'none'" },
	};

	(void)data;
	add_device(fixture, "virtserialport");
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(try_add(fixture, bad[i].options, &error));
		g_assert_cmpstr(error->message, ==, bad[i].error);
	}
	add_device(fixture, "virtserialport");
	for (unsigned i = 0; i < 2; i++) {
		g_autoptr(GError) error = NULL;
		Device *device = try_add(fixture, i ? "virtconsole" : "virtserialport", &error);

		g_assert_true(i ? device != NULL : device == NULL);
		if (!i)
			g_assert_cmpstr(error->message, ==, "'vs.0' has no port left");
	}
}

static void check_equal(Device *from, Device *to)
{
	fake_machine_check_state(from, to);
}

static void test_state(Fixture *fixture, gconstpointer data)
{
	Device *other;

	(void)data;
	start_with_ports(fixture);
	type(&fixture->agent_chardev, "unread");
	control(fixture, 1, PORT_READY, 1); /* a name is pending */
	set_room(&fixture->agent_chardev, 1);
	send(fixture, 1, "abc");
	virtio_driver_settle(fixture->loop);
	device_tree_pause(fixture->tree);
	other = add_device(fixture, "virtio-serial-pci,id=other");
	add_device(fixture, "virtconsole,id=oc,bus=other.0");
	add_device(fixture, "virtserialport,id=oa,bus=other.0");
	check_equal(device_tree_find(fixture->tree, "vs"), other);
	check_equal(device_tree_find(fixture->tree, "a0"), device_tree_find(fixture->tree, "oa"));
	device_tree_remove(fixture->tree, other);
}

static void add(const char *path, void (*func)(Fixture *, gconstpointer), const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-console/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("ports", test_ports, NULL);
	add("single-port", test_single_port, "virtio-serial-pci,id=vs,max_ports=1");
	add("flow-control", test_flow_control, NULL);
	add("hotplug", test_hotplug, NULL);
	add("bad-messages", test_bad_messages, NULL);
	add("reset", test_reset, NULL);
	add("emergency", test_emergency, NULL);
	add("places", test_places, "virtio-serial-pci,id=vs,max_ports=3");
	add("state", test_state, NULL);
	return g_test_run();
}
