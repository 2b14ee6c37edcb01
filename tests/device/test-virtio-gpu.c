/*
 * test-virtio-gpu.c: the graphics device
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <linux/virtio_gpu.h>
#include <string.h>

#include "tests/device/virtio_driver.h"
#include "vmm/display/display.h"
#include "vmm/virtio/virtio_gpu.h"

#define CONTROL	 0
#define CURSOR	 1
#define WIDTH	 32u
#define HEIGHT	 16u
#define RESOURCE 7u

typedef struct Seen {
	unsigned surfaces, damages, cursors;
	DisplaySurface *surface;
	DisplayRect last;
	DisplayCursor *cursor;
} Seen;

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	Device *device;
	VirtioDriver driver;
	uint64_t command, answer, pixels; /* guest-physical */
	Seen seen;
} Fixture;

static void on_surface(void *opaque, DisplaySurface *surface)
{
	Seen *seen = opaque;

	seen->surfaces++;
	display_surface_unref(seen->surface);
	seen->surface = display_surface_ref(surface);
}

static void on_damage(void *opaque, const DisplayRect *rect)
{
	Seen *seen = opaque;

	seen->damages++;
	seen->last = *rect;
}

static void on_cursor(void *opaque, DisplayCursor *cursor)
{
	Seen *seen = opaque;

	seen->cursors++;
	display_cursor_unref(seen->cursor);
	seen->cursor = cursor ? display_cursor_ref(cursor) : NULL;
}

static const DisplayWatcherOps watcher = {
	.surface_changed = on_surface,
	.damaged = on_damage,
	.cursor_changed = on_cursor,
};

static DisplayConsole *console(const Fixture *fixture, unsigned head)
{
	return display_find_console(fixture->fake->services.display, NULL, head);
}

static void set_up(Fixture *fixture, gconstpointer options)
{
	fixture->fake = virtio_driver_machine(&fixture->loop);
	fixture->device = fake_machine_add(fixture->fake, &virtio_gpu_type.pci.device,
					   options ? options : "");
	display_console_watch(console(fixture, 0), &watcher, &fixture->seen);
	virtio_driver_probe(&fixture->driver, fixture->fake, fixture->device);
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	fixture->command = virtio_driver_alloc(&fixture->driver, 1024);
	fixture->answer = virtio_driver_alloc(&fixture->driver, 2048);
	fixture->pixels = virtio_driver_alloc(&fixture->driver, 1u << 20);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_machine_remove(fixture->fake, fixture->device);
	g_assert_null(display_console(fixture->fake->services.display, 0));
	display_surface_unref(fixture->seen.surface);
	display_cursor_unref(fixture->seen.cursor);
	io_loop_free(fixture->loop);
	fake_machine_free(fixture->fake);
}

/* Send @size bytes of @command to @queue; returns the answer's type and, in *@length, its size. */
static uint32_t send_to(Fixture *fixture, unsigned queue, const void *command, size_t size,
			uint32_t *length)
{
	VirtioDriver *driver = &fixture->driver;
	struct virtio_gpu_ctrl_hdr header;

	memcpy(virtio_driver_ram(driver, fixture->command), command, size);
	memset(virtio_driver_ram(driver, fixture->answer), 0, 2048);
	virtio_ring_describe(&driver->rings[queue], 0, fixture->command, (uint32_t)size, RING_NEXT,
			     1);
	virtio_ring_describe(&driver->rings[queue], 1, fixture->answer, 2048, RING_WRITE, 0);
	virtio_driver_offer(driver, queue, 0);
	virtio_driver_wait(driver, queue, length);
	memcpy(&header, virtio_driver_ram(driver, fixture->answer), sizeof(header));
	return header.type;
}

static uint32_t send_command(Fixture *fixture, const void *command, size_t size)
{
	uint32_t length;

	return send_to(fixture, CONTROL, command, size, &length);
}

static uint32_t create(Fixture *fixture, uint32_t id, uint32_t format, uint32_t width,
		       uint32_t height)
{
	return send_command(fixture,
			    &(struct virtio_gpu_resource_create_2d){
				    .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
				    .resource_id = id,
				    .format = format,
				    .width = width,
				    .height = height },
			    sizeof(struct virtio_gpu_resource_create_2d));
}

/* Attach @n pieces that say @entries, of which the command has @n_sent. */
static uint32_t attach(Fixture *fixture, uint32_t id, const struct virtio_gpu_mem_entry *entries,
		       uint32_t n, uint32_t n_sent)
{
	uint8_t command[1024];
	const struct virtio_gpu_resource_attach_backing head = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		.resource_id = id,
		.nr_entries = n,
	};

	memcpy(command, &head, sizeof(head));
	memcpy(command + sizeof(head), entries, n_sent * sizeof(*entries));
	return send_command(fixture, command, sizeof(head) + n_sent * sizeof(*entries));
}

static uint32_t with_id(Fixture *fixture, uint32_t type, uint32_t id)
{
	return send_command(
		fixture, &(struct virtio_gpu_resource_unref){ .hdr.type = type, .resource_id = id },
		sizeof(struct virtio_gpu_resource_unref));
}

static uint32_t transfer(Fixture *fixture, uint32_t id, struct virtio_gpu_rect rect,
			 uint64_t offset)
{
	return send_command(fixture,
			    &(struct virtio_gpu_transfer_to_host_2d){
				    .hdr.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
				    .r = rect,
				    .offset = offset,
				    .resource_id = id },
			    sizeof(struct virtio_gpu_transfer_to_host_2d));
}

static uint32_t flush(Fixture *fixture, uint32_t id, struct virtio_gpu_rect rect)
{
	return send_command(
		fixture,
		&(struct virtio_gpu_resource_flush){
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH, .r = rect, .resource_id = id },
		sizeof(struct virtio_gpu_resource_flush));
}

static uint32_t show(Fixture *fixture, uint32_t scanout, uint32_t id, struct virtio_gpu_rect rect)
{
	return send_command(
		fixture,
		&(struct virtio_gpu_set_scanout){ .hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT,
						  .r = rect,
						  .scanout_id = scanout,
						  .resource_id = id },
		sizeof(struct virtio_gpu_set_scanout));
}

static const struct virtio_gpu_rect whole = { .width = WIDTH, .height = HEIGHT };

/* A resource of two pieces of memory, the second before the first, with a pattern in it. */
static void make_resource(Fixture *fixture, uint32_t format)
{
	const struct virtio_gpu_mem_entry entries[] = {
		{ .addr = fixture->pixels + 0x8000, .length = 1000 },
		{ .addr = fixture->pixels + 0x4000, .length = 0 },
		{ .addr = fixture->pixels, .length = WIDTH * HEIGHT * 4 - 1000 },
	};

	for (unsigned i = 0; i < WIDTH * HEIGHT * 4; i++) {
		uint64_t at = i < 1000 ? 0x8000 + i : i - 1000;

		*virtio_driver_ram(&fixture->driver, fixture->pixels + at) = (uint8_t)(i * 7);
	}
	g_assert_cmphex(create(fixture, RESOURCE, format, WIDTH, HEIGHT), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(attach(fixture, RESOURCE, entries, 3, 3), ==, VIRTIO_GPU_RESP_OK_NODATA);
}

/* Byte @i of the pattern. */
static uint8_t pattern(unsigned i)
{
	return (uint8_t)(i * 7);
}

static void test_information(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	struct virtio_gpu_resp_display_info info;
	struct virtio_gpu_resp_edid edid;
	struct virtio_gpu_cmd_get_edid command = { .hdr = { .type = VIRTIO_GPU_CMD_GET_EDID,
							    .flags = VIRTIO_GPU_FLAG_FENCE,
							    .fence_id = 0x123456789,
							    .ctx_id = 5 } };
	uint8_t sum = 0;
	uint32_t length;

	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 8, 4), ==, 2);
	g_assert_cmpuint(virtio_driver_read_config(&fixture->driver, 12, 4), ==, 0);
	g_assert_cmphex(
		send_to(fixture, CONTROL,
			&(struct virtio_gpu_ctrl_hdr){ .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO },
			sizeof(struct virtio_gpu_ctrl_hdr), &length),
		==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	g_assert_cmpuint(length, ==, sizeof(info));
	memcpy(&info, virtio_driver_ram(&fixture->driver, fixture->answer), sizeof(info));
	g_assert_cmpuint(info.pmodes[1].enabled, ==, 1);
	g_assert_cmpuint(info.pmodes[1].r.x, ==, 1024);
	g_assert_cmpuint(info.pmodes[1].r.height, ==, 768);
	g_assert_cmpuint(info.pmodes[2].enabled, ==, 0);

	g_assert_cmphex(send_to(fixture, CONTROL, &command, sizeof(command), &length), ==,
			VIRTIO_GPU_RESP_OK_EDID);
	memcpy(&edid, virtio_driver_ram(&fixture->driver, fixture->answer), sizeof(edid));
	g_assert_cmpuint(length, ==, sizeof(edid));
	g_assert_cmphex(edid.hdr.flags, ==, VIRTIO_GPU_FLAG_FENCE);
	g_assert_cmphex(edid.hdr.fence_id, ==, 0x123456789);
	g_assert_cmpuint(edid.hdr.ctx_id, ==, 5);
	g_assert_cmpuint(edid.size, ==, 128);
	for (unsigned i = 0; i < 128; i++)
		sum = (uint8_t)(sum + edid.edid[i]);
	g_assert_cmpuint(sum, ==, 0);
	command.scanout = 2;
	g_assert_cmphex(send_command(fixture, &command, sizeof(command)), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
}

/* The size that output @index prefers, by display information and EDID, and where it is. */
static struct virtio_gpu_rect preferred(Fixture *fixture, unsigned index)
{
	struct virtio_gpu_resp_display_info info;
	struct virtio_gpu_resp_edid edid;
	const struct virtio_gpu_cmd_get_edid command = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID,
							 .scanout = index };

	g_assert_cmphex(send_command(fixture,
				     &(struct virtio_gpu_ctrl_hdr){
					     .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO },
				     sizeof(struct virtio_gpu_ctrl_hdr)),
			==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	memcpy(&info, virtio_driver_ram(&fixture->driver, fixture->answer), sizeof(info));
	g_assert_cmphex(send_command(fixture, &command, sizeof(command)), ==,
			VIRTIO_GPU_RESP_OK_EDID);
	memcpy(&edid, virtio_driver_ram(&fixture->driver, fixture->answer), sizeof(edid));
	g_assert_cmpuint(edid.edid[56] | (edid.edid[58] & 0xf0) << 4, ==,
			 info.pmodes[index].r.width);
	g_assert_cmpuint(edid.edid[59] | (edid.edid[61] & 0xf0) << 4, ==,
			 info.pmodes[index].r.height);
	return info.pmodes[index].r;
}

/* A viewer's window changes its size: the driver hears of it, and asks. */
static void test_resize(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	VirtioDriver *driver = &fixture->driver;
	struct virtio_gpu_rect rect;

	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 0);
	display_console_suggest_size(console(fixture, 0), 1024, 768); /* as it is */
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 0);
	display_console_suggest_size(console(fixture, 0), 1111, 777);
	g_assert_true(virtio_driver_wait_interrupt(driver, 0));
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, VIRTIO_GPU_EVENT_DISPLAY);
	virtio_driver_write_config(driver, 4, ~(uint32_t)VIRTIO_GPU_EVENT_DISPLAY, 4);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, VIRTIO_GPU_EVENT_DISPLAY);
	virtio_driver_write_config(driver, 4, VIRTIO_GPU_EVENT_DISPLAY, 4);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 0);
	g_assert_cmpuint(virtio_driver_read_config(driver, 4, 4), ==, 0);
	rect = preferred(fixture, 0);
	g_assert_cmpuint(rect.width, ==, 1111);
	g_assert_cmpuint(rect.height, ==, 777);
	rect = preferred(fixture, 1);
	g_assert_cmpuint(rect.x, ==, 1111);
	g_assert_cmpuint(rect.width, ==, 1024);
	/* Sizes that an EDID cannot have. */
	display_console_suggest_size(console(fixture, 1), 1, 60000);
	rect = preferred(fixture, 1);
	g_assert_cmpuint(rect.width, ==, 64);
	g_assert_cmpuint(rect.height, ==, 4095);
	/* A driver that starts anew finds sizes, and no news. */
	virtio_driver_start(driver, UINT64_MAX);
	g_assert_cmpuint(virtio_driver_read_config(driver, 0, 4), ==, 0);
	g_assert_cmpuint(preferred(fixture, 0).width, ==, 1111);
}

static void test_picture(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	const struct virtio_gpu_rect part = { .x = 8, .y = 4, .width = 10, .height = 6 };
	Seen *seen = &fixture->seen;

	make_resource(fixture, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM);
	g_assert_cmphex(show(fixture, 0, RESOURCE, whole), ==, VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(transfer(fixture, RESOURCE, whole, 0), ==, VIRTIO_GPU_RESP_OK_NODATA);
	display_console_refresh(console(fixture, 0));
	g_assert_cmpuint(seen->surface->width, ==, WIDTH);
	g_assert_cmpuint(seen->surface->height, ==, HEIGHT);
	for (unsigned i = 0; i < WIDTH * HEIGHT * 4; i++)
		g_assert_cmphex(seen->surface->pixels[i], ==, pattern(i));

	/* Without a flush nothing is reported, with one what the output shows of it. */
	g_assert_false(display_console_refresh(console(fixture, 0)));
	g_assert_cmphex(flush(fixture, RESOURCE, part), ==, VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_true(display_console_refresh(console(fixture, 0)));
	g_assert_cmpuint(seen->damages, ==, 1);
	g_assert_cmpuint(seen->last.x, ==, 8);
	g_assert_cmpuint(seen->last.height, ==, 6);

	/* A part, from a place in the backing. */
	memset(virtio_driver_ram(&fixture->driver, fixture->pixels), 0xee, 0x4000);
	g_assert_cmphex(transfer(fixture, RESOURCE, part, (9 * WIDTH + 8) * 4), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(seen->surface->pixels[(4 * WIDTH + 8) * 4], ==, 0xee);
	g_assert_cmphex(seen->surface->pixels[(9 * WIDTH + 17) * 4 + 3], ==, 0xee);
	g_assert_cmphex(seen->surface->pixels[(4 * WIDTH + 18) * 4], ==,
			pattern((4 * WIDTH + 18) * 4));
	g_assert_cmphex(seen->surface->pixels[(3 * WIDTH + 8) * 4], ==,
			pattern((3 * WIDTH + 8) * 4));

	/* An output that shows a part of it. */
	g_assert_cmphex(show(fixture, 0, RESOURCE, part), ==, VIRTIO_GPU_RESP_OK_NODATA);
	display_console_refresh(console(fixture, 0));
	g_assert_cmpuint(seen->surface->width, ==, 10);
	g_assert_cmphex(seen->surface->pixels[0], ==, 0xee);
	g_assert_cmphex(flush(fixture, RESOURCE, (struct virtio_gpu_rect){ 0, 0, 9, 5 }), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	display_console_refresh(console(fixture, 0));
	g_assert_cmpuint(seen->last.x, ==, 0);
	g_assert_cmpuint(seen->last.width, ==, 1);
	g_assert_cmpuint(seen->last.height, ==, 1);

	/* The picture is looked at even after the guest let go of it. */
	g_assert_cmphex(with_id(fixture, VIRTIO_GPU_CMD_RESOURCE_UNREF, RESOURCE), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(seen->surface->pixels[0], ==, 0xee);
	display_console_refresh(console(fixture, 0));
	g_assert_cmpuint(seen->surface->width, ==, 640);
}

static void test_formats(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	/* What becomes of the bytes 1, 2, 3, 4. */
	static const struct {
		uint32_t format, pixel;
	} formats[] = {
		{ VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 0x04030201 },
		{ VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, 0x01020304 },
		{ VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, 0x00020304 },
		{ VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, 0x04010203 },
		{ VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, 0x00040302 },
		{ VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, 0x01040302 },
		{ VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, 0x00010203 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		const uint8_t bytes[] = { 1, 2, 3, 4 };
		g_autoptr(DisplaySurface) surface = NULL;
		uint32_t pixel;

		make_resource(fixture, formats[i].format);
		memcpy(virtio_driver_ram(&fixture->driver, fixture->pixels + 0x8000), bytes, 4);
		g_assert_cmphex(show(fixture, 0, RESOURCE, whole), ==, VIRTIO_GPU_RESP_OK_NODATA);
		transfer(fixture, RESOURCE, whole, 0);
		surface = display_console_surface(console(fixture, 0));
		memcpy(&pixel, surface->pixels, sizeof(pixel));
		g_assert_cmphex(GUINT32_FROM_LE(pixel), ==, formats[i].pixel);
		with_id(fixture, VIRTIO_GPU_CMD_RESOURCE_UNREF, RESOURCE);
	}
}

static uint32_t set_cursor(Fixture *fixture, uint32_t scanout, uint32_t id, uint32_t hot)
{
	uint32_t length;

	return send_to(fixture, CURSOR,
		       &(struct virtio_gpu_update_cursor){ .hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR,
							   .pos.scanout_id = scanout,
							   .resource_id = id,
							   .hot_x = hot,
							   .hot_y = hot },
		       sizeof(struct virtio_gpu_update_cursor), &length);
}

static void test_cursor(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Seen *seen = &fixture->seen;
	struct virtio_gpu_update_cursor move = { .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR };
	uint32_t length;

	make_resource(fixture, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM);
	transfer(fixture, RESOURCE, whole, 0);
	g_assert_cmphex(set_cursor(fixture, 0, RESOURCE, UINT32_MAX), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	display_console_refresh(console(fixture, 0));
	g_assert_cmpuint(seen->cursor->width, ==, WIDTH);
	g_assert_cmpuint(seen->cursor->hot_x, ==, WIDTH - 1);
	/* A format without alpha is opaque. */
	g_assert_cmphex(seen->cursor->pixels[0], ==,
			0xff000000u | (unsigned)pattern(2) << 16 | (unsigned)pattern(1) << 8);
	g_assert_cmphex(send_to(fixture, CURSOR, &move, sizeof(move), &length), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(set_cursor(fixture, 2, RESOURCE, 0), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	g_assert_cmphex(set_cursor(fixture, 0, 99, 0), ==, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	g_assert_cmphex(create(fixture, 8, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 257, 1), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(set_cursor(fixture, 0, 8, 0), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(set_cursor(fixture, 0, 0, 0), ==, VIRTIO_GPU_RESP_OK_NODATA);
	display_console_refresh(console(fixture, 0));
	g_assert_null(seen->cursor);
}

static void test_bad_commands(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const struct virtio_gpu_rect bad[] = {
		{ 0, 0, WIDTH + 1, 1 },	 { 0, 0, 1, HEIGHT + 1 }, { WIDTH, 0, 1, 1 },
		{ 0, HEIGHT, 1, 1 },	 { UINT32_MAX, 0, 2, 1 }, { 0, UINT32_MAX, 1, 2 },
		{ 1, 0, UINT32_MAX, 1 }, { 0, 1, 1, UINT32_MAX }, { 0, 0, 0, 1 },
		{ 0, 0, 1, 0 },
	};
	const struct virtio_gpu_mem_entry entry = { .addr = UINT64_MAX - 100,
						    .length = UINT32_MAX };
	const uint32_t format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM;

	make_resource(fixture, format);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_cmphex(transfer(fixture, RESOURCE, bad[i], 0), ==,
				VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		g_assert_cmphex(flush(fixture, RESOURCE, bad[i]), ==,
				VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		g_assert_cmphex(show(fixture, 0, RESOURCE, bad[i]), ==,
				VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	}
	g_assert_cmphex(transfer(fixture, RESOURCE, whole, 4), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(transfer(fixture, RESOURCE, whole, UINT64_MAX), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(show(fixture, 2, RESOURCE, whole), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	g_assert_cmphex(show(fixture, 0, 99, whole), ==, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	g_assert_cmphex(create(fixture, 0, format, 1, 1), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	g_assert_cmphex(create(fixture, RESOURCE, format, 1, 1), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	g_assert_cmphex(create(fixture, 8, 5, 1, 1), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(create(fixture, 8, format, 0, 1), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(create(fixture, 8, format, UINT32_MAX, UINT32_MAX), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	/* A backing twice, one that is longer than its list, and one that is nowhere. */
	g_assert_cmphex(attach(fixture, RESOURCE, &entry, 1, 1), ==, VIRTIO_GPU_RESP_ERR_UNSPEC);
	g_assert_cmphex(create(fixture, 8, format, WIDTH, HEIGHT), ==, VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(attach(fixture, 8, &entry, 2, 1), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(attach(fixture, 8, &entry, UINT32_MAX, 1), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(transfer(fixture, 8, whole, 0), ==,
			VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	g_assert_cmphex(with_id(fixture, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 8), ==,
			VIRTIO_GPU_RESP_ERR_UNSPEC);
	g_assert_cmphex(attach(fixture, 8, &entry, 0, 0), ==, VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(transfer(fixture, 8, whole, 0), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	g_assert_cmphex(with_id(fixture, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 8), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(attach(fixture, 8, &entry, 1, 1), ==, VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(transfer(fixture, 8, whole, 0), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	/* Unknown ones, and ones that are cut off. */
	g_assert_cmphex(with_id(fixture, VIRTIO_GPU_CMD_CTX_CREATE, 1), ==,
			VIRTIO_GPU_RESP_ERR_UNSPEC);
	g_assert_cmphex(with_id(fixture, VIRTIO_GPU_CMD_UPDATE_CURSOR, 1), ==,
			VIRTIO_GPU_RESP_ERR_UNSPEC);
	g_assert_cmphex(send_command(fixture, &(uint32_t){ VIRTIO_GPU_CMD_GET_DISPLAY_INFO }, 4),
			==, VIRTIO_GPU_RESP_ERR_UNSPEC);
	g_assert_cmphex(virtio_driver_status(&fixture->driver) & VIRTIO_STATUS_NEEDS_RESET, ==, 0);
}

static void test_limits(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	const uint32_t format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM;
	unsigned n = 0;

	/* 4 MiB in all: one of 1024 by 1024 pixels, and nothing beside it. */
	g_assert_cmphex(create(fixture, 1, format, 1024, 1025), ==,
			VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	g_assert_cmphex(create(fixture, 1, format, 1024, 1024), ==, VIRTIO_GPU_RESP_OK_NODATA);
	g_assert_cmphex(create(fixture, 2, format, 1, 1), ==, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	g_assert_cmphex(with_id(fixture, VIRTIO_GPU_CMD_RESOURCE_UNREF, 1), ==,
			VIRTIO_GPU_RESP_OK_NODATA);
	/* Small ones take a page each. */
	while (create(fixture, n + 1, format, 1, 1) == VIRTIO_GPU_RESP_OK_NODATA)
		n++;
	g_assert_cmpuint(n, ==, 1024);
	/* A reset lets go of them. */
	virtio_driver_start(&fixture->driver, UINT64_MAX);
	g_assert_cmphex(create(fixture, 1, format, 1024, 1024), ==, VIRTIO_GPU_RESP_OK_NODATA);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	IoLoop *loop;
	FakeMachine *other = virtio_driver_machine(&loop);
	Device *fresh = fake_machine_add(other, &virtio_gpu_type.pci.device, data);
	g_autoptr(DisplaySurface) surface = NULL;

	make_resource(fixture, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	transfer(fixture, RESOURCE, whole, 0);
	show(fixture, 1, RESOURCE, (struct virtio_gpu_rect){ 4, 4, 8, 8 });
	display_console_suggest_size(console(fixture, 1), 800, 600);
	fake_machine_check_state(fixture->device, fresh);
	surface = display_console_surface(display_find_console(other->services.display, NULL, 1));
	g_assert_cmpuint(surface->width, ==, 8);
	g_assert_cmphex(surface->pixels[0], ==, pattern((4 * WIDTH + 4) * 4));
	fake_machine_remove(other, fresh);
	io_loop_free(loop);
	fake_machine_free(other);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(path, options, function) \
	g_test_add("/virtio-gpu/" path, Fixture, options, set_up, function, tear_down)
	ADD("information", "max_outputs=2,xres=1024,yres=768", test_information);
	ADD("resize", "max_outputs=2,xres=1024,yres=768", test_resize);
	ADD("picture", NULL, test_picture);
	ADD("formats", NULL, test_formats);
	ADD("cursor", "max_outputs=2", test_cursor);
	ADD("bad-commands", "max_outputs=2", test_bad_commands);
	ADD("limits", "max_hostmem=4M", test_limits);
	ADD("state", "max_outputs=2", test_state);
	return g_test_run();
}
