/*
 * test-vhost-user-net.c: a network card whose queues another process serves
 *
 * The other process is a thread (tests/vhost-user/back_end.c) that sends each frame back.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#include "qapi-types.h"
#include "tests/device/virtio_driver.h"
#include "tests/vhost-user/back_end.h"
#include "vmm/chardev/chardev.h"
#include "vmm/net/net.h"
#include "vmm/vhost/vhost_user_message.h"
#include "vmm/virtio/virtio_net.h"

#define PATIENCE_MS 30000
#define BIT(n)	    (1ULL << (n))
#define F_CSUM	    BIT(0)
#define F_MTU	    BIT(3)
#define F_HOST_TSO4 BIT(11)
#define F_HOST_UFO  BIT(14)
#define F_MRG_RXBUF BIT(15)
#define F_MQ	    BIT(22)
#define FEATURES    (F_CSUM | F_MTU | F_HOST_TSO4 | F_MRG_RXBUF | F_MQ)
#define PROTOCOL                                                                     \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |      \
	 BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) | BIT(VHOST_USER_PROTOCOL_F_NET_MTU) | \
	 BIT(VHOST_USER_PROTOCOL_F_RARP) | BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
#define STATUS	    6 /* of configuration space: its offset */
#define FRAME_SIZE  80u
#define BUFFER_SIZE 1600u
#define CONTROL	    4 /* with two pairs */

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	Chardevs *chardevs;
	Netdevs *netdevs;
	char *directory, *path;
	BackEnd *back_end;
	Device *device;
	VirtioDriver driver;
} Fixture;

static void add_netdev(Fixture *fixture, const char *id, const char *chardev, int64_t queues)
{
	QapiNetdev options = {
		.id = (char *)id,
		.type = QAPI_NET_CLIENT_DRIVER_VHOST_USER,
		.u.vhost_user = { .chardev = (char *)chardev,
				  .has_queues = true,
				  .queues = queues },
	};
	g_autoptr(GError) error = NULL;

	netdevs_add(fixture->netdevs, &options, &error);
	g_assert_no_error(error);
	fake_machine_set_netdev(fixture->fake, id, netdevs_find(fixture->netdevs, id));
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	g_autofree char *chardev = NULL;
	g_autoptr(ChardevConfig) config = NULL;
	g_autoptr(GError) error = NULL;

	(void)data;
	fixture->fake = fake_machine_new_shared(16 << 20);
	fixture->loop = io_loop_new("io", NULL, NULL, &error);
	g_assert_no_error(error);
	fake_machine_set_io_loop(fixture->fake, "", fixture->loop);
	fixture->directory = g_dir_make_tmp("vhost-user-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->directory, "socket", NULL);
	fixture->back_end = back_end_new_switch(fixture->path, FEATURES, PROTOCOL);
	fixture->chardevs = chardevs_new(fixture->fake->services.main_context);
	chardev = g_strdup_printf("socket,id=c0,path=%s,reconnect=1", fixture->path);
	config = chardev_config_parse(chardev, &error);
	g_assert_no_error(error);
	fake_machine_set_chardev(fixture->fake, "c0",
				 chardevs_add(fixture->chardevs, config, &error));
	g_assert_no_error(error);
	fixture->netdevs = netdevs_new();
	add_netdev(fixture, "n0", "c0", 2);
}

static void start(Fixture *fixture)
{
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	fake_machine_iterate(fixture->fake);
}

static void set_up_started(Fixture *fixture, gconstpointer data)
{
	set_up(fixture, data);
	fixture->device = fake_machine_add(fixture->fake, &virtio_net_type.pci.device,
					   "netdev=n0,mq=on,host_mtu=9000,mac=52:54:00:01:02:03");
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	start(fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
	(void)data;
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	netdevs_free(fixture->netdevs);
	chardevs_free(fixture->chardevs);
	if (fixture->back_end)
		back_end_free(fixture->back_end);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
	g_rmdir(fixture->directory);
	g_free(fixture->directory);
	g_free(fixture->path);
}

/* Send a frame by @pair and receive it again, at descriptor @at of both rings. */
static void check_frame(Fixture *fixture, unsigned pair, uint16_t at, uint8_t fill)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t buffer = virtio_driver_alloc(driver, BUFFER_SIZE);
	uint64_t frame = virtio_driver_alloc(driver, FRAME_SIZE);
	uint32_t length;

	virtio_ring_describe(&driver->rings[2 * pair], at, buffer, BUFFER_SIZE, RING_WRITE, 0);
	virtio_driver_offer(driver, 2 * pair, at);
	memset(virtio_driver_ram(driver, frame) + 12, fill, FRAME_SIZE - 12);
	virtio_ring_describe(&driver->rings[2 * pair + 1], at, frame, FRAME_SIZE, 0, 0);
	virtio_driver_offer(driver, 2 * pair + 1, at);
	g_assert_cmpuint(virtio_driver_wait(driver, 2 * pair + 1, NULL), ==, at);
	g_assert_cmpuint(virtio_driver_wait(driver, 2 * pair, &length), ==, at);
	g_assert_cmpuint(length, ==, FRAME_SIZE);
	for (unsigned i = 12; i < FRAME_SIZE; i++)
		g_assert_cmpuint(virtio_driver_ram(driver, buffer)[i], ==, fill);
}

/* Carry out a command of @size bytes with its header; returns the answer. */
static uint8_t control(Fixture *fixture, const void *command, unsigned size)
{
	VirtioDriver *driver = &fixture->driver;
	uint64_t gpa = virtio_driver_alloc(driver, size), ack = virtio_driver_alloc(driver, 1);

	memcpy(virtio_driver_ram(driver, gpa), command, size);
	virtio_driver_ram(driver, ack)[0] = 0xff;
	virtio_ring_describe(&driver->rings[CONTROL], 0, gpa, size, RING_NEXT, 1);
	virtio_ring_describe(&driver->rings[CONTROL], 1, ack, 1, RING_WRITE, 0);
	virtio_driver_offer(driver, CONTROL, 0);
	virtio_driver_wait(driver, CONTROL, NULL);
	return virtio_driver_ram(driver, ack)[0];
}

static void test_frames(Fixture *fixture, gconstpointer data)
{
	(void)data;
	for (uint16_t i = 0; i < 10; i++)
		check_frame(fixture, 0, i, (uint8_t)(0x30 + i));
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 1));
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 2));
}

/* What the other process can is what the driver is offered; what is the card's own stays. */
static void test_features(Fixture *fixture, gconstpointer data)
{
	uint64_t offered = virtio_driver_offered(&fixture->driver);

	(void)data;
	g_assert_cmphex(offered & (F_CSUM | F_HOST_TSO4 | F_HOST_UFO | F_MRG_RXBUF), ==,
			F_CSUM | F_HOST_TSO4 | F_MRG_RXBUF);
	g_assert_cmphex(offered & F_MQ, ==, F_MQ);
	g_assert_cmphex(offered & BIT(17), ==, BIT(17)); /* CTRL_VQ */
	g_assert_cmphex(offered & BIT(2), ==, 0);	 /* CTRL_GUEST_OFFLOADS */
	g_assert_cmpuint(back_end_told(fixture->back_end, VHOST_USER_NET_SET_MTU), ==, 9000);
	g_assert_cmphex(back_end_told(fixture->back_end, VHOST_USER_SET_FEATURES) & F_HOST_TSO4, ==,
			F_HOST_TSO4);
}

static bool runs_four(gpointer data)
{
	return back_end_running(((Fixture *)data)->back_end) == 4;
}

static bool runs_two(gpointer data)
{
	return back_end_running(((Fixture *)data)->back_end) == 2;
}

/* The pairs that the driver does not use the other process does not get. */
static void test_pairs(Fixture *fixture, gconstpointer data)
{
	(void)data;
	g_assert_cmpuint(back_end_running(fixture->back_end), ==, 2);
	check_frame(fixture, 0, 0, 1);
	g_assert_cmpuint(control(fixture, "\4\0\2\0", 4), ==, 0);
	g_assert_true(fake_machine_run_until(fixture->fake, runs_four, fixture, PATIENCE_MS));
	check_frame(fixture, 0, 1, 2);
	check_frame(fixture, 1, 0, 3);
	virtio_device_pause(fixture->device);
	virtio_device_resume(fixture->device);
	check_frame(fixture, 1, 1, 4);
	g_assert_cmpuint(control(fixture, "\4\0\1\0", 4), ==, 0);
	g_assert_true(fake_machine_run_until(fixture->fake, runs_two, fixture, PATIENCE_MS));
	check_frame(fixture, 0, 2, 5);
	/* After a reset it is one again. */
	start(fixture);
	g_assert_cmpuint(back_end_running(fixture->back_end), ==, 2);
	check_frame(fixture, 0, 0, 6);
}

static void test_one_pair(Fixture *fixture, gconstpointer data)
{
	(void)data;
	virtio_driver_start(&fixture->driver, UINT64_MAX & ~F_MQ);
	fake_machine_iterate(fixture->fake);
	g_assert_cmpuint(back_end_running(fixture->back_end), ==, 2);
	check_frame(fixture, 0, 0, 1);
}

static bool link_is_up(gpointer data)
{
	return virtio_driver_read_config(&((Fixture *)data)->driver, STATUS, 2) & 1;
}

static bool link_is_down(gpointer data)
{
	return !link_is_up(data);
}

static void test_link(Fixture *fixture, gconstpointer data)
{
	Netdev *netdev = netdevs_find(fixture->netdevs, "n0");

	(void)data;
	check_frame(fixture, 0, 0, 1);
	netdev_set_link(netdev, false);
	g_assert_true(link_is_down(fixture));
	g_assert_cmpuint(back_end_running(fixture->back_end), ==, 0);
	/* One that comes while the cable is out does not start. */
	back_end_hang_up(fixture->back_end);
	g_assert_false(fake_machine_run_until(fixture->fake, link_is_up, fixture, 1500));
	g_assert_cmpuint(back_end_running(fixture->back_end), ==, 0);
	netdev_set_link(netdev, true);
	g_assert_true(link_is_up(fixture));
	check_frame(fixture, 0, 1, 2);
}

/* The switch dies and another comes: the cable is out meanwhile, and that is all. */
static void test_reconnect(Fixture *fixture, gconstpointer data)
{
	(void)data;
	check_frame(fixture, 0, 0, 1);
	back_end_free(fixture->back_end);
	g_assert_true(fake_machine_run_until(fixture->fake, link_is_down, fixture, PATIENCE_MS));
	g_assert_true(virtio_driver_wait_interrupt(&fixture->driver, 0));
	fixture->back_end = back_end_new_switch(fixture->path, FEATURES, PROTOCOL);
	g_assert_true(fake_machine_run_until(fixture->fake, link_is_up, fixture, PATIENCE_MS));
	check_frame(fixture, 0, 1, 2);
	g_assert_false(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET);
}

/* The next switch cannot do what the driver was promised. */
static void test_fewer_features(Fixture *fixture, gconstpointer data)
{
	(void)data;
	back_end_free(fixture->back_end);
	g_assert_true(fake_machine_run_until(fixture->fake, link_is_down, fixture, PATIENCE_MS));
	fixture->back_end = back_end_new_switch(fixture->path, FEATURES & ~F_CSUM, PROTOCOL);
	g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
}

static void test_announce(Fixture *fixture, gconstpointer data)
{
	uint64_t told;

	(void)data;
	virtio_net_announce(fixture->device);
	told = back_end_told(fixture->back_end, VHOST_USER_SEND_RARP);
	g_assert_cmpmem(&told, 6, "\x52\x54\x00\x01\x02\x03", 6);
}

static void test_netdev_removed(Fixture *fixture, gconstpointer data)
{
	(void)data;
	check_frame(fixture, 0, 0, 1);
	g_assert_true(netdevs_remove(fixture->netdevs, "n0", NULL));
	g_assert_true(link_is_down(fixture));
	g_assert_cmpuint(back_end_running(fixture->back_end), ==, 0);
}

static void test_lies(Fixture *fixture, gconstpointer data)
{
	static const unsigned requests[] = { VHOST_USER_NET_SET_MTU, VHOST_USER_SET_VRING_ENABLE,
					     VHOST_USER_SET_VRING_CALL };

	(void)data;
	for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
		back_end_set_lie(fixture->back_end, requests[i], BACK_END_WRONG_REQUEST);
		virtio_driver_start(&fixture->driver, UINT64_MAX);
		g_assert_true(virtio_driver_wait_needs_reset(&fixture->driver));
		back_end_set_lie(fixture->back_end, requests[i], BACK_END_HONEST);
		g_assert_true(
			fake_machine_run_until(fixture->fake, link_is_up, fixture, PATIENCE_MS));
		start(fixture);
		check_frame(fixture, 0, 0, 1);
	}
}

static void test_refused(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *options, *error;
	} cases[] = {
		{ "netdev=n1", "*netdev 'n1': there is no chardev 'nothing'*" },
		{ "netdev=n2,mq=on", "*has 2 queues, fewer than the device's 3*" },
	};
	QapiNetdev options = {
		.id = (char *)"n3",
		.type = QAPI_NET_CLIENT_DRIVER_VHOST_USER,
		.u.vhost_user = { .chardev = (char *)"c0", .has_queues = true },
	};
	g_autoptr(GError) error = NULL;

	(void)data;
	add_netdev(fixture, "n1", "nothing", 1);
	add_netdev(fixture, "n2", "c0", 3);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) failure = NULL;

		g_assert_null(fake_machine_try_add(fixture->fake, &virtio_net_type.pci.device,
						   cases[i].options, &failure));
		g_assert_nonnull(failure);
		g_test_message("%s", failure->message);
		g_assert_true(g_pattern_match_simple(cases[i].error, failure->message));
		fake_machine_iterate(fixture->fake);
	}
	g_assert_false(netdevs_add(fixture->netdevs, &options, &error));
	g_assert_true(g_pattern_match_simple("*n3*'queues'*", error->message));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(Fixture *fixture, gconstpointer data);
		bool started;
	} tests[] = {
		{ "frames", test_frames, true },
		{ "features", test_features, true },
		{ "pairs", test_pairs, true },
		{ "one-pair", test_one_pair, true },
		{ "link", test_link, true },
		{ "reconnect", test_reconnect, true },
		{ "fewer-features", test_fewer_features, true },
		{ "announce", test_announce, true },
		{ "netdev-removed", test_netdev_removed, true },
		{ "lies", test_lies, true },
		{ "refused", test_refused, false },
	};

	g_test_init(&argc, &argv, NULL);
	/* Back ends that are cut off are warned of, which is what is tested. */
	g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
	for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strdup_printf("/vhost-user-net/%s", tests[i].name);

		g_test_add(path, Fixture, NULL, tests[i].started ? set_up_started : set_up,
			   tests[i].run, tear_down);
	}
	return g_test_run();
}
