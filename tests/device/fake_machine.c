/*
 * fake_machine.c: a machine for device tests, without KVM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/device/fake_machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/display/display.h"
#include "vmm/config/options.h"
#include "vmm/memory/memory_backend.h"

typedef struct FakeRoute {
	MsiMessage message;
	int eventfd; /* -1: the route is free */
} FakeRoute;

static FakeInterrupts *fake_interrupts(InterruptController *controller)
{
	return (FakeInterrupts *)controller;
}

static FakeMachine *fake_machine(DeviceServices *services)
{
	return (FakeMachine *)services;
}

static void fake_set_line(InterruptController *controller, unsigned gsi, bool level)
{
	FakeInterrupts *fake = fake_interrupts(controller);

	g_assert_cmpuint(gsi, <, FAKE_MACHINE_LINES);
	g_mutex_lock(&fake->lock);
	fake->edges[gsi] += level && !fake->level[gsi];
	fake->level[gsi] = level;
	g_mutex_unlock(&fake->lock);
}

static bool fake_send_msi(InterruptController *controller, const MsiMessage *message)
{
	FakeInterrupts *fake = fake_interrupts(controller);

	g_mutex_lock(&fake->lock);
	g_array_append_val(fake->sent, *message);
	g_mutex_unlock(&fake->lock);
	return true;
}

static int fake_add_msi_route(InterruptController *controller, const MsiMessage *message,
			      int eventfd, G_GNUC_UNUSED GError **error)
{
	FakeInterrupts *fake = fake_interrupts(controller);
	FakeRoute route = { .message = *message, .eventfd = eventfd };
	guint index;

	g_mutex_lock(&fake->lock);
	for (index = 0; index < fake->routes->len; index++) {
		if (g_array_index(fake->routes, FakeRoute, index).eventfd < 0)
			break;
	}
	if (index == fake->routes->len)
		g_array_append_val(fake->routes, route);
	else
		g_array_index(fake->routes, FakeRoute, index) = route;
	g_mutex_unlock(&fake->lock);
	return (int)index;
}

static bool fake_update_msi_route(InterruptController *controller, int route,
				  const MsiMessage *message)
{
	FakeInterrupts *fake = fake_interrupts(controller);

	g_mutex_lock(&fake->lock);
	g_assert_cmpint(route, >=, 0);
	g_assert_cmpint(route, <, (int)fake->routes->len);
	g_assert_cmpint(g_array_index(fake->routes, FakeRoute, route).eventfd, >=, 0);
	g_array_index(fake->routes, FakeRoute, route).message = *message;
	g_mutex_unlock(&fake->lock);
	return true;
}

static void fake_remove_msi_route(InterruptController *controller, int route, int eventfd)
{
	FakeInterrupts *fake = fake_interrupts(controller);

	g_mutex_lock(&fake->lock);
	g_assert_cmpint(route, >=, 0);
	g_assert_cmpint(route, <, (int)fake->routes->len);
	g_assert_cmpint(g_array_index(fake->routes, FakeRoute, route).eventfd, ==, eventfd);
	g_array_index(fake->routes, FakeRoute, route).eventfd = -1;
	g_mutex_unlock(&fake->lock);
}

static const InterruptControllerOps fake_interrupt_ops = {
	.set_line = fake_set_line,
	.send_msi = fake_send_msi,
	.add_msi_route = fake_add_msi_route,
	.update_msi_route = fake_update_msi_route,
	.remove_msi_route = fake_remove_msi_route,
};

static void fake_request(DeviceServices *services, RunRequest request, int value)
{
	FakeMachine *fake = fake_machine(services);
	FakeRequest record = { .request = request, .value = value };

	g_mutex_lock(&fake->lock);
	g_array_append_val(fake->requests, record);
	g_mutex_unlock(&fake->lock);
}

static bool fake_is_running(DeviceServices *services)
{
	return fake_machine(services)->running;
}

/* Its devices rest; what a test does as the guest is the test's own. */
static bool fake_with_quiet_guest(DeviceServices *services, void (*func)(gpointer data),
				  gpointer data)
{
	FakeMachine *fake = fake_machine(services);

	if (!fake->running)
		return false;
	for (GSList *link = fake->devices; link; link = link->next) {
		Device *device = link->data;

		if (device->type->pause)
			device->type->pause(device);
	}
	func(data);
	for (GSList *link = fake->devices; link; link = link->next) {
		Device *device = link->data;

		if (device->type->resume)
			device->type->resume(device);
	}
	return true;
}

static void fake_set_back_end(FakeMachine *fake, const char *kind, const char *id,
			      gpointer back_end)
{
	g_hash_table_replace(fake->back_ends, g_strconcat(kind, ":", id, NULL), back_end);
}

static gpointer fake_find_back_end(DeviceServices *services, const char *kind, const char *id)
{
	g_autofree char *key = g_strconcat(kind, ":", id, NULL);

	return g_hash_table_lookup(fake_machine(services)->back_ends, key);
}

static BlockNode *fake_find_block_node(DeviceServices *services, const char *id)
{
	return fake_find_back_end(services, "block", id);
}

static Netdev *fake_find_netdev(DeviceServices *services, const char *id)
{
	return fake_find_back_end(services, "netdev", id);
}

static Chardev *fake_find_chardev(DeviceServices *services, const char *id)
{
	return fake_find_back_end(services, "chardev", id);
}

static RngBackend *fake_find_rng(DeviceServices *services, const char *id)
{
	return fake_find_back_end(services, "rng", id);
}

static Tpm *fake_find_tpm(DeviceServices *services, const char *id)
{
	return fake_find_back_end(services, "tpm", id);
}

static int fake_take_fd(DeviceServices *services, const char *text, GError **error)
{
	const FdNameTaker none = {};

	(void)services;
	return fd_take(&none, text, error);
}

static IoLoop *fake_find_io_loop(DeviceServices *services, const char *id)
{
	return fake_find_back_end(services, "iothread", id);
}

/* One device at a time may have a backend. */
static MemoryBackend *fake_claim_memory(DeviceServices *services, const char *id, GError **error)
{
	MemoryBackend *backend = fake_find_back_end(services, "memory", id);

	if (!backend)
		error_fail(error, "there is no memory backend '%s'", id);
	else
		fake_set_back_end(fake_machine(services), "memory", id, NULL);
	return backend;
}

static void fake_release_memory(G_GNUC_UNUSED DeviceServices *services,
				G_GNUC_UNUSED const char *id)
{
}

static bool fake_plug_memory(DeviceServices *services, const MemoryBackend *backend,
			     G_GNUC_UNUSED uint64_t alignment, uint64_t *gpa, GError **error)
{
	const GuestMemoryRegion region = {
		.gpa = *gpa ? *gpa : FAKE_MACHINE_MEMORY_DEVICE,
		.size = backend->config.size,
		.hva = backend->hva,
		.fd = backend->fd,
		.shared = backend->config.share,
		.page_size = backend->page_size,
		.is_device = true,
	};

	*gpa = region.gpa;
	return guest_memory_add(services->memory, &region, error);
}

static void fake_unplug_memory(DeviceServices *services, uint64_t gpa)
{
	guest_memory_remove(services->memory, gpa);
}

/* Room in the dirty log for memory that a test adds. */
#define LOG_LIMIT (UINT64_C(1) << 36)

static void make_ram(FakeMachine *fake, bool shared)
{
	void *ram;

	fake->ram_fd = -1;
	if (g_test_initialized() && fake->ram_size > 0)
		fake->watch = write_watch_new(fake->ram_size);
	if (fake->watch) {
		fake->ram = fake->watch->plain;
		fake->ram_fd = shared ? fake->watch->fd : -1;
		return;
	}
	if (!shared) {
		/* Whole pages, as a machine's are: direct I/O depends on it. */
		if (posix_memalign((void **)&fake->ram, 4096, MAX(fake->ram_size, 1)) != 0)
			g_error("no memory for the guest's RAM");
		memset(fake->ram, 0, fake->ram_size);
		return;
	}
	fake->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	g_assert_no_errno(ftruncate(fake->ram_fd, (off_t)fake->ram_size));
	ram = mmap(NULL, fake->ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, fake->ram_fd, 0);
	g_assert_true(ram != MAP_FAILED);
	fake->ram = ram;
}

static void free_ram(FakeMachine *fake)
{
	if (fake->watch) {
		write_watch_free(fake->watch);
		return;
	}
	if (fake->ram_fd < 0)
		free(fake->ram);
	else
		munmap(fake->ram, fake->ram_size);
	fd_close(&fake->ram_fd);
}

static void watch_writes(FakeMachine *fake)
{
	g_autoptr(GError) error = NULL;

	dirty_log_set_limit(fake->services.memory, LOG_LIMIT);
	fake->tracker = dirty_tracker_new(fake->services.memory, &error);
	g_assert_no_error(error);
}

void fake_machine_unwatch(FakeMachine *fake)
{
	g_clear_pointer(&fake->tracker, dirty_tracker_free);
}

static void check_writes(FakeMachine *fake)
{
	g_autofree uint64_t *marked = g_new0(uint64_t, dirty_tracker_words(fake->tracker));

	dirty_tracker_take(fake->tracker, marked);
	write_watch_check(fake->watch, marked);
	dirty_tracker_free(fake->tracker);
}

static FakeMachine *make_machine(uint64_t ram_size, bool shared)
{
	FakeMachine *fake = g_new0(FakeMachine, 1);
	g_autoptr(GError) error = NULL;

	g_mutex_init(&fake->lock);
	g_mutex_init(&fake->interrupts.lock);
	fake->interrupts.controller.ops = &fake_interrupt_ops;
	fake->interrupts.sent = g_array_new(FALSE, TRUE, sizeof(MsiMessage));
	fake->interrupts.routes = g_array_new(FALSE, TRUE, sizeof(FakeRoute));
	fake->requests = g_array_new(FALSE, TRUE, sizeof(FakeRequest));
	fake->back_ends = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	fake->ram_size = ram_size;
	make_ram(fake, shared);
	fake->running = true;
	fake->services = (DeviceServices){
		.memory = guest_memory_new(),
		.mmio = address_space_new("memory", UINT64_C(1) << 52),
		.pio = address_space_new("I/O", 0x10000),
		.interrupts = &fake->interrupts.controller,
		.main_context = g_main_context_new(),
		.display = display_new(),
		.n_cpus = 1,
		.request = fake_request,
		.is_running = fake_is_running,
		.with_quiet_guest = fake_with_quiet_guest,
		.find_block_node = fake_find_block_node,
		.find_netdev = fake_find_netdev,
		.find_chardev = fake_find_chardev,
		.find_rng = fake_find_rng,
		.find_tpm = fake_find_tpm,
		.take_fd = fake_take_fd,
		.find_io_loop = fake_find_io_loop,
		.n_nodes = 1,
		.claim_memory = fake_claim_memory,
		.release_memory = fake_release_memory,
		.plug_memory = fake_plug_memory,
		.unplug_memory = fake_unplug_memory,
	};
	if (ram_size > 0) {
		GuestMemoryRegion region = {
			.size = ram_size,
			.hva = fake->watch ? fake->watch->watched : fake->ram,
			.fd = fake->ram_fd,
			.shared = shared,
		};

		guest_memory_add(fake->services.memory, &region, &error);
		g_assert_no_error(error);
	}
	if (fake->watch)
		watch_writes(fake);
	return fake;
}

FakeMachine *fake_machine_new(uint64_t ram_size)
{
	return make_machine(ram_size, false);
}

FakeMachine *fake_machine_new_shared(uint64_t ram_size)
{
	return make_machine(ram_size, true);
}

void fake_machine_free(FakeMachine *fake)
{
	if (fake->tracker)
		check_writes(fake);
	display_free(fake->services.display);
	g_main_context_unref(fake->services.main_context);
	address_space_free(fake->services.mmio);
	address_space_free(fake->services.pio);
	guest_memory_free(fake->services.memory);
	g_hash_table_unref(fake->back_ends);
	g_array_unref(fake->requests);
	g_array_unref(fake->interrupts.sent);
	g_array_unref(fake->interrupts.routes);
	g_mutex_clear(&fake->interrupts.lock);
	g_mutex_clear(&fake->lock);
	free_ram(fake);
	g_free(fake);
}

void fake_machine_set_block_node(FakeMachine *fake, const char *id, BlockNode *node)
{
	fake_set_back_end(fake, "block", id, node);
}

void fake_machine_set_netdev(FakeMachine *fake, const char *id, Netdev *netdev)
{
	fake_set_back_end(fake, "netdev", id, netdev);
}

void fake_machine_set_chardev(FakeMachine *fake, const char *id, Chardev *chardev)
{
	fake_set_back_end(fake, "chardev", id, chardev);
}

void fake_machine_set_rng(FakeMachine *fake, const char *id, RngBackend *rng)
{
	fake_set_back_end(fake, "rng", id, rng);
}

void fake_machine_set_tpm(FakeMachine *fake, const char *id, Tpm *tpm)
{
	fake_set_back_end(fake, "tpm", id, tpm);
}

void fake_machine_set_memory(FakeMachine *fake, const char *id, MemoryBackend *backend)
{
	fake_set_back_end(fake, "memory", id, backend);
}

void fake_machine_set_io_loop(FakeMachine *fake, const char *id, IoLoop *loop)
{
	fake_set_back_end(fake, "iothread", id, loop);
}

/* Set the properties of @device that @options names; false and @error at the first bad one. */
static bool fake_apply_options(Device *device, const char *options, GError **error)
{
	json_object *object =
		*options == '{' ? json_tokener_parse(options) : options_parse(options, NULL, error);

	if (!object)
		return false;
	json_object_object_foreach(object, name, value)
	{
		const Property *property = NULL;

		for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES && !property; i++) {
			if (device->type->properties[i])
				property = property_find(device->type->properties[i], name);
		}
		g_assert_nonnull(property);
		if (!property_set(property, device, value, error)) {
			json_object_put(object);
			return false;
		}
	}
	json_object_put(object);
	return true;
}

static void fake_free_device(Device *device)
{
	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		if (device->type->properties[i])
			properties_clear(device->type->properties[i], device);
	}
	g_mutex_clear(&device->lock);
	g_free(device->path);
	g_free(device);
}

Device *fake_machine_try_add(FakeMachine *fake, const DeviceType *type, const char *options,
			     GError **error)
{
	Device *device = g_malloc0(type->instance_size);

	device->type = type;
	device->services = &fake->services;
	device->path = g_strdup_printf("/machine/test/%s", type->name);
	g_mutex_init(&device->lock);
	for (unsigned i = 0; i < DEVICE_PROPERTY_TABLES; i++) {
		if (type->properties[i])
			properties_init(type->properties[i], device);
	}
	if ((options && !fake_apply_options(device, options, error)) ||
	    !type->realize(device, error)) {
		fake_free_device(device);
		return NULL;
	}
	device->realized = true;
	fake->devices = g_slist_prepend(fake->devices, device);
	return device;
}

Device *fake_machine_add(FakeMachine *fake, const DeviceType *type, const char *options)
{
	g_autoptr(GError) error = NULL;
	Device *device = fake_machine_try_add(fake, type, options, &error);

	g_assert_no_error(error);
	g_assert_nonnull(device);
	return device;
}

void fake_machine_remove(FakeMachine *fake, Device *device)
{
	fake->devices = g_slist_remove(fake->devices, device);
	device->type->unrealize(device);
	fake_free_device(device);
}

void fake_machine_check_state(Device *from, Device *to)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	g_autoptr(GByteArray) again = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	size_t used = 0;

	g_assert_true(from->type == to->type);
	g_assert_nonnull(from->type->state);
	state_save(from->type->state, from, saved);
	state_load(to->type->state, to, saved->data, saved->len, &used, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(used, ==, saved->len);
	state_save(to->type->state, to, again);
	g_assert_cmpmem(saved->data, saved->len, again->data, again->len);
}

uint8_t fake_inb(FakeMachine *fake, uint16_t port)
{
	return (uint8_t)address_space_read(fake->services.pio, port, 1);
}

uint16_t fake_inw(FakeMachine *fake, uint16_t port)
{
	return (uint16_t)address_space_read(fake->services.pio, port, 2);
}

uint32_t fake_inl(FakeMachine *fake, uint16_t port)
{
	return (uint32_t)address_space_read(fake->services.pio, port, 4);
}

void fake_outb(FakeMachine *fake, uint16_t port, uint8_t value)
{
	address_space_write(fake->services.pio, port, value, 1);
}

void fake_outw(FakeMachine *fake, uint16_t port, uint16_t value)
{
	address_space_write(fake->services.pio, port, value, 2);
}

void fake_outl(FakeMachine *fake, uint16_t port, uint32_t value)
{
	address_space_write(fake->services.pio, port, value, 4);
}

uint64_t fake_read(FakeMachine *fake, uint64_t address, unsigned size)
{
	return address_space_read(fake->services.mmio, address, size);
}

void fake_write(FakeMachine *fake, uint64_t address, uint64_t value, unsigned size)
{
	address_space_write(fake->services.mmio, address, value, size);
}

bool fake_machine_line(FakeMachine *fake, unsigned gsi)
{
	bool level;

	g_mutex_lock(&fake->interrupts.lock);
	level = fake->interrupts.level[gsi];
	g_mutex_unlock(&fake->interrupts.lock);
	return level;
}

unsigned fake_machine_take_edges(FakeMachine *fake, unsigned gsi)
{
	unsigned edges;

	g_mutex_lock(&fake->interrupts.lock);
	edges = fake->interrupts.edges[gsi];
	fake->interrupts.edges[gsi] = 0;
	g_mutex_unlock(&fake->interrupts.lock);
	return edges;
}

bool fake_machine_take_msi(FakeMachine *fake, MsiMessage *message)
{
	FakeInterrupts *interrupts = &fake->interrupts;
	bool found = false;

	g_mutex_lock(&interrupts->lock);
	for (guint i = 0; i < interrupts->routes->len; i++) {
		FakeRoute *route = &g_array_index(interrupts->routes, FakeRoute, i);

		if (route->eventfd >= 0 && fd_event_take(route->eventfd))
			g_array_append_val(interrupts->sent, route->message);
	}
	if (interrupts->sent->len > 0) {
		*message = g_array_index(interrupts->sent, MsiMessage, 0);
		g_array_remove_index(interrupts->sent, 0);
		found = true;
	}
	g_mutex_unlock(&interrupts->lock);
	return found;
}

int fake_machine_route_eventfd(FakeMachine *fake, uint32_t data)
{
	int eventfd = -1;

	g_mutex_lock(&fake->interrupts.lock);
	for (guint i = 0; i < fake->interrupts.routes->len && eventfd < 0; i++) {
		FakeRoute *route = &g_array_index(fake->interrupts.routes, FakeRoute, i);

		if (route->message.data == data)
			eventfd = route->eventfd;
	}
	g_mutex_unlock(&fake->interrupts.lock);
	return eventfd;
}

unsigned fake_machine_n_routes(FakeMachine *fake)
{
	unsigned n = 0;

	g_mutex_lock(&fake->interrupts.lock);
	for (guint i = 0; i < fake->interrupts.routes->len; i++)
		n += g_array_index(fake->interrupts.routes, FakeRoute, i).eventfd >= 0;
	g_mutex_unlock(&fake->interrupts.lock);
	return n;
}

bool fake_machine_take_request(FakeMachine *fake, FakeRequest *request)
{
	bool found;

	g_mutex_lock(&fake->lock);
	found = fake->requests->len > 0;
	if (found) {
		*request = g_array_index(fake->requests, FakeRequest, 0);
		g_array_remove_index(fake->requests, 0);
	}
	g_mutex_unlock(&fake->lock);
	return found;
}

void fake_machine_iterate(FakeMachine *fake)
{
	while (g_main_context_iteration(fake->services.main_context, FALSE))
		;
}

static gboolean fake_timed_out(gpointer data)
{
	*(bool *)data = true;
	return G_SOURCE_CONTINUE;
}

bool fake_machine_run_until(FakeMachine *fake, bool (*condition)(gpointer data), gpointer data,
			    unsigned timeout_ms)
{
	g_autoptr(GSource) timer = g_timeout_source_new(timeout_ms);
	bool timed_out = false;

	g_source_set_callback(timer, fake_timed_out, &timed_out, NULL);
	g_source_attach(timer, fake->services.main_context);
	while (!condition(data) && !timed_out)
		g_main_context_iteration(fake->services.main_context, TRUE);
	g_source_destroy(timer);
	return condition(data);
}
