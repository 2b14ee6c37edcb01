/*
 * test-address-space.c: what answers at an address
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/fd.h"
#include "vmm/base/rcu.h"
#include "vmm/memory/address_space.h"

#include <stdatomic.h>
#include <string.h>

/* A region of plain bytes that remembers the last callback. */
typedef struct Recorder {
	IoRegion region;
	uint8_t bytes[64];
	unsigned n_calls;
	unsigned last_size;
	uint64_t last_offset;
} Recorder;

static void recorder_note(Recorder *recorder, uint64_t offset, unsigned size)
{
	g_assert_true(size == 1 || size == 2 || size == 4 || size == 8);
	g_assert_cmpuint(offset + size, <=, recorder->region.size);
	recorder->n_calls++;
	recorder->last_offset = offset;
	recorder->last_size = size;
}

static uint64_t recorder_read(void *opaque, uint64_t offset, unsigned size)
{
	Recorder *recorder = opaque;
	uint64_t value = 0;

	recorder_note(recorder, offset, size);
	memcpy(&value, recorder->bytes + offset, size);
	return value;
}

static void recorder_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	Recorder *recorder = opaque;

	recorder_note(recorder, offset, size);
	memcpy(recorder->bytes + offset, &value, size);
}

static const IoRegionOps plain_ops = { .read = recorder_read, .write = recorder_write };

static void recorder_init(Recorder *recorder, const IoRegionOps *ops, uint64_t size)
{
	memset(recorder, 0, sizeof(*recorder));
	recorder->region = (IoRegion){ .name = "recorder", .size = size, .ops = ops,
				       .opaque = recorder };
	for (unsigned i = 0; i < sizeof(recorder->bytes); i++)
		recorder->bytes[i] = (uint8_t)i;
}

static void test_dispatch(void)
{
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	Recorder a;

	recorder_init(&a, &plain_ops, 64);
	g_assert_true(address_space_map(space, &a.region, 0x1000));
	g_assert_false(address_space_map(space, &a.region, 0x2000));
	g_assert_cmphex(address_space_read(space, 0x1010, 4), ==, 0x13121110);
	g_assert_cmphex(address_space_read(space, 0xfff, 1), ==, 0xff);
	g_assert_cmphex(address_space_read(space, 0x1040, 8), ==, UINT64_MAX);
	address_space_write(space, 0x1000, 0x1122334455667788, 8);
	g_assert_cmphex(address_space_read(space, 0x1004, 2), ==, 0x3344);
	address_space_write(space, 0x5000, 1, 4);
	address_space_unmap(space, &a.region);
	address_space_unmap(space, &a.region);
	g_assert_cmphex(address_space_read(space, 0x1010, 4), ==, 0xffffffff);
}

/* Reads of ROM come from memory, in any size; writes are called back. */
static void test_rom(void)
{
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	static uint8_t rom[4096] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	Recorder a;

	recorder_init(&a, &plain_ops, sizeof(rom));
	a.region.rom = rom;
	g_assert_true(address_space_map(space, &a.region, 0x1000));
	g_assert_cmphex(address_space_read(space, 0x1000, 8), ==, 0x0807060504030201);
	g_assert_cmphex(address_space_read(space, 0x1003, 1), ==, 4);
	g_assert_cmphex(address_space_read(space, 0x1ffe, 4), ==, 0xffff0000);
	g_assert_cmpuint(a.n_calls, ==, 0);
	address_space_write(space, 0x1002, 0x55, 1);
	g_assert_cmpuint(a.n_calls, ==, 1);
	g_assert_cmpuint(a.last_offset, ==, 2);
	g_assert_cmphex(address_space_read(space, 0x1002, 1), ==, 3);
	address_space_unmap(space, &a.region);
}

static void test_bounds(void)
{
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	g_autoptr(AddressSpace) whole = address_space_new("test", UINT64_MAX);
	Recorder a, b;

	recorder_init(&a, &plain_ops, 64);
	recorder_init(&b, &plain_ops, 64);
	g_assert_false(address_space_map(space, &a.region, 0xffc1));
	g_assert_false(address_space_map(space, &a.region, 0x10000));
	g_assert_false(address_space_map(space, &a.region, UINT64_MAX - 8));
	g_assert_true(address_space_map(space, &a.region, 0xffc0));
	g_assert_cmphex(address_space_read(space, 0xfffe, 4), ==, 0xffff3f3e);
	address_space_write(space, 0xfffe, 0x04030201, 4);
	g_assert_cmphex(a.bytes[62], ==, 1);
	g_assert_cmphex(a.bytes[63], ==, 2);
	address_space_unmap(space, &a.region);

	/* An access that wraps does not reach address 0. */
	g_assert_true(address_space_map(whole, &b.region, 0));
	g_assert_cmphex(address_space_read(whole, UINT64_MAX - 1, 4), ==, 0xffffffff);
	g_assert_cmpuint(b.n_calls, ==, 0);
	address_space_unmap(whole, &b.region);
}

static void test_overlap(void)
{
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	Recorder a, b;

	recorder_init(&a, &plain_ops, 16);
	recorder_init(&b, &plain_ops, 64);
	memset(b.bytes, 0xbb, sizeof(b.bytes));
	g_assert_true(address_space_map(space, &a.region, 0x110));
	g_assert_true(address_space_map(space, &b.region, 0x100));
	g_assert_cmphex(address_space_read(space, 0x10f, 1), ==, 0xbb);
	g_assert_cmphex(address_space_read(space, 0x110, 1), ==, 0);
	g_assert_cmphex(address_space_read(space, 0x11f, 1), ==, 0xf);
	g_assert_cmphex(address_space_read(space, 0x120, 1), ==, 0xbb);
	/* Who wants to be alone can ask. */
	a.region.name = "a";
	b.region.name = "b";
	g_assert_cmpstr(address_space_find_overlap(space, 0x112, 1), ==, "a");
	g_assert_cmpstr(address_space_find_overlap(space, 0xff, 2), ==, "b");
	g_assert_cmpstr(address_space_find_overlap(space, 0x13f, 16), ==, "b");
	g_assert_null(address_space_find_overlap(space, 0xf0, 16));
	g_assert_null(address_space_find_overlap(space, 0x140, UINT64_MAX));
	/* Across the edges of both. */
	g_assert_cmphex(address_space_read(space, 0x10e, 4), ==, 0x0100bbbb);
	g_assert_cmphex(address_space_read(space, 0x13e, 4), ==, 0xffffbbbb);
	address_space_unmap(space, &a.region);
	g_assert_cmphex(address_space_read(space, 0x110, 1), ==, 0xbb);
	g_assert_true(address_space_map(space, &a.region, 0x110));
	g_assert_cmphex(address_space_read(space, 0x110, 1), ==, 0xbb);
	address_space_unmap(space, &a.region);
	address_space_unmap(space, &b.region);
}

static void test_sizes(void)
{
	static const IoRegionOps narrow_ops = { .read = recorder_read, .write = recorder_write,
						.maximum_size = 2 };
	static const IoRegionOps wide_ops = { .read = recorder_read, .write = recorder_write,
					      .minimum_size = 4, .maximum_size = 4,
					      .aligned_only = true };
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	Recorder narrow, wide, odd;

	recorder_init(&narrow, &narrow_ops, 64);
	recorder_init(&wide, &wide_ops, 64);
	recorder_init(&odd, &wide_ops, 63);
	g_assert_true(address_space_map(space, &narrow.region, 0x1000));
	g_assert_true(address_space_map(space, &wide.region, 0x2000));
	g_assert_true(address_space_map(space, &odd.region, 0x3000));

	g_assert_cmphex(address_space_read(space, 0x1008, 8), ==, 0x0f0e0d0c0b0a0908);
	g_assert_cmpuint(narrow.n_calls, ==, 4);
	address_space_write(space, 0x1008, 0xa1a2a3a4, 4);
	g_assert_cmpuint(narrow.last_size, ==, 2);
	g_assert_cmphex(narrow.bytes[11], ==, 0xa1);

	g_assert_cmphex(address_space_read(space, 0x2005, 1), ==, 5);
	g_assert_cmpuint(wide.last_offset, ==, 4);
	g_assert_cmpuint(wide.last_size, ==, 4);
	address_space_write(space, 0x2006, 0xffee, 2);
	g_assert_cmphex(address_space_read(space, 0x2004, 4), ==, 0xffee0000);
	g_assert_cmphex(address_space_read(space, 0x2001, 2), ==, 0xffff);
	g_assert_cmphex(address_space_read(space, 0x2002, 4), ==, 0xffffffff);
	/* No room to widen into. */
	g_assert_cmphex(address_space_read(space, 0x303c, 1), ==, 0xff);
	/* Three bytes, as KVM leaves them at the end of a page. */
	g_assert_cmphex(address_space_read(space, 0x1001, 3), ==, 0x030201);
	address_space_unmap(space, &narrow.region);
	address_space_unmap(space, &wide.region);
	address_space_unmap(space, &odd.region);
}

static void test_eventfd(void)
{
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	autofd int any = fd_new_event(NULL), one = fd_new_event(NULL), two = fd_new_event(NULL);
	Recorder a;

	recorder_init(&a, &plain_ops, 64);
	g_assert_true(address_space_map(space, &a.region, 0x1000));
	g_assert_true(address_space_add_eventfd(space, 0x1020, 2, true, 1, one));
	g_assert_true(address_space_add_eventfd(space, 0x1020, 2, true, 2, two));
	g_assert_true(address_space_add_eventfd(space, 0x1000, 0, false, 0, any));
	g_assert_false(address_space_add_eventfd(space, 0x1020, 2, true, 1, any));

	address_space_write(space, 0x1020, 0x10002, 2);
	g_assert_false(fd_event_take(one));
	g_assert_true(fd_event_take(two));
	address_space_write(space, 0x1000, 7, 4);
	g_assert_true(fd_event_take(any));
	g_assert_cmpuint(a.n_calls, ==, 0);
	/* Another size, another value: the region's. */
	address_space_write(space, 0x1020, 1, 4);
	address_space_write(space, 0x1020, 3, 2);
	g_assert_cmpuint(a.n_calls, ==, 2);

	address_space_remove_eventfd(space, 0x1020, 2, true, 1, two);
	address_space_write(space, 0x1020, 1, 2);
	g_assert_true(fd_event_take(one));
	address_space_remove_eventfd(space, 0x1020, 2, true, 1, one);
	address_space_write(space, 0x1020, 1, 2);
	g_assert_false(fd_event_take(one));
	address_space_unmap(space, &a.region);
}

typedef struct Counter {
	unsigned mapped, unmapped, added, removed, log_changed;
} Counter;

static bool count_add(void *opaque, uint64_t address, unsigned size, bool match, uint64_t value,
		      int fd)
{
	(void)address, (void)size, (void)match, (void)value, (void)fd;
	((Counter *)opaque)->added++;
	return false;
}

static void count_remove(void *opaque, uint64_t address, unsigned size, bool match, uint64_t value,
			 int fd)
{
	(void)address, (void)size, (void)match, (void)value, (void)fd;
	((Counter *)opaque)->removed++;
}

static void count_mapped(void *opaque, IoRegion *region)
{
	g_assert_cmphex(region->base, ==, 0x1000);
	((Counter *)opaque)->mapped++;
}

static void count_unmapped(void *opaque, IoRegion *region)
{
	g_assert_true(region->mapped);
	((Counter *)opaque)->unmapped++;
}

static void count_log_changed(void *opaque, IoRegion *region)
{
	g_assert_true(region->mapped);
	((Counter *)opaque)->log_changed++;
}

static bool say_dirty(void *opaque, IoRegion *region, uint64_t *bitmap)
{
	(void)opaque, (void)region;
	bitmap[0] |= 2;
	return true;
}

static const AddressSpaceListener listener = {
	.add_eventfd = count_add,
	.remove_eventfd = count_remove,
	.region_mapped = count_mapped,
	.region_unmapped = count_unmapped,
	.region_log_changed = count_log_changed,
	.fetch_dirty = say_dirty,
};

/* Memory answers by itself; what the guest writes there is the listener's to know. */
static void test_device_memory(void)
{
	static uint8_t bytes[8192];
	IoRegion region = { .name = "memory", .size = sizeof(bytes), .ram = bytes };
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	g_autoptr(AddressSpace) alone = address_space_new("alone", 0x10000);
	Counter counter = { 0 };
	uint64_t dirty = 0;

	address_space_set_listener(space, &listener, &counter);
	address_space_log_dirty(space, &region, true);
	g_assert_false(address_space_fetch_dirty(space, &region, &dirty));
	g_assert_true(address_space_map(space, &region, 0x1000));
	address_space_write(space, 0x1ffe, 0x11223344, 4);
	g_assert_cmphex(address_space_read(space, 0x1ffe, 4), ==, 0x11223344);
	g_assert_cmphex(bytes[0xffe], ==, 0x44);
	/* Over the edge: the rest is nowhere. */
	address_space_write(space, 0x2ffe, 0x5566, 4);
	g_assert_cmphex(address_space_read(space, 0x2ffe, 4), ==, 0xffff5566);
	g_assert_true(address_space_fetch_dirty(space, &region, &dirty));
	g_assert_cmphex(dirty, ==, 2);
	address_space_log_dirty(space, &region, true);
	g_assert_cmpuint(counter.log_changed, ==, 0);
	address_space_log_dirty(space, &region, false);
	g_assert_cmpuint(counter.log_changed, ==, 1);
	g_assert_false(address_space_fetch_dirty(space, &region, &dirty));
	address_space_unmap(space, &region);
	/* Nobody knows of the pages there. */
	g_assert_true(address_space_map(alone, &region, 0x1000));
	address_space_log_dirty(alone, &region, true);
	g_assert_false(address_space_fetch_dirty(alone, &region, &dirty));
	address_space_unmap(alone, &region);
}

static void test_listener(void)
{
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	autofd int fd = fd_new_event(NULL);
	Counter counter = { 0 };
	Recorder a;

	recorder_init(&a, &plain_ops, 64);
	address_space_set_listener(space, &listener, &counter);
	g_assert_true(address_space_map(space, &a.region, 0x1000));
	g_assert_false(address_space_map(space, &a.region, 0x20000));
	g_assert_true(address_space_add_eventfd(space, 0x1000, 4, false, 0, fd));
	address_space_add_eventfd(space, 0x1000, 4, false, 0, fd);
	/* The listener refused it, so a write signals it here. */
	address_space_write(space, 0x1000, 1, 4);
	g_assert_true(fd_event_take(fd));
	address_space_remove_eventfd(space, 0x1000, 4, false, 0, fd);
	address_space_remove_eventfd(space, 0x1000, 4, false, 0, fd);
	address_space_unmap(space, &a.region);
	address_space_unmap(space, &a.region);
	g_assert_cmpuint(counter.mapped, ==, 1);
	g_assert_cmpuint(counter.unmapped, ==, 1);
	g_assert_cmpuint(counter.added, ==, 1);
	g_assert_cmpuint(counter.removed, ==, 1);
}

/* A region whose write moves itself, as a BAR does under the guest's hands. */
typedef struct Mover {
	IoRegion region;
	AddressSpace *space;
} Mover;

static uint64_t mover_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque, (void)offset, (void)size;
	return 0x42;
}

static void mover_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	Mover *mover = opaque;

	(void)offset, (void)size;
	address_space_unmap(mover->space, &mover->region);
	g_assert_true(address_space_map(mover->space, &mover->region, value));
}

static atomic_bool stop_reading;

static gpointer read_around(gpointer data)
{
	while (!atomic_load(&stop_reading)) {
		uint64_t value = address_space_read(data, 0x1000, 1);

		g_assert_true(value == 0x42 || value == 0xff);
	}
	return NULL;
}

static void test_move_while_reading(void)
{
	static const IoRegionOps mover_ops = { .read = mover_read, .write = mover_write };
	g_autoptr(AddressSpace) space = address_space_new("test", 0x10000);
	Mover *mover = g_new0(Mover, 1);
	GThread *reader;

	mover->region = (IoRegion){ .name = "mover", .size = 16, .ops = &mover_ops,
				    .opaque = mover };
	mover->space = space;
	g_assert_true(address_space_map(space, &mover->region, 0x1000));
	reader = g_thread_new("reader", read_around, space);
	for (unsigned i = 0; i < 1000; i++)
		address_space_write(space, i % 2 ? 0x2000 : 0x1000, i % 2 ? 0x1000 : 0x2000, 4);
	address_space_unmap(space, &mover->region);
	rcu_synchronize();
	g_free(mover);
	address_space_read(space, 0x1000, 1);
	atomic_store(&stop_reading, true);
	g_thread_join(reader);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/address-space/dispatch", test_dispatch);
	g_test_add_func("/address-space/bounds", test_bounds);
	g_test_add_func("/address-space/rom", test_rom);
	g_test_add_func("/address-space/overlap", test_overlap);
	g_test_add_func("/address-space/sizes", test_sizes);
	g_test_add_func("/address-space/eventfd", test_eventfd);
	g_test_add_func("/address-space/listener", test_listener);
	g_test_add_func("/address-space/device-memory", test_device_memory);
	g_test_add_func("/address-space/move-while-reading", test_move_while_reading);
	return g_test_run();
}
