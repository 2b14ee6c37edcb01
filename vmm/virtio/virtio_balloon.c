/*
 * virtio_balloon.c: memory balloon (virtio 1.2 §5.5)
 *
 * The driver hands us pages of 4 KiB (inflates) until as many are in the balloon as we ask for;
 * they go back to the host. Where the host's pages are larger, one goes when all of its parts are
 * in the balloon (virtio_balloon_parts.h). Taking pages back (deflating) needs nothing of us: the
 * host gives new ones at the first touch. Free page reporting is the same without the driver's
 * giving up the pages; it finds zeroes in them, which a driver that wants something else there
 * (poison) must be able to say. Memory that keeps its pages (guest_memory_keep()) does so whatever
 * the driver hands us; the balloon is then but a number.
 *
 * Free page hints (§5.5.6.5) have a file of their own, virtio_balloon_hints.c.
 *
 * Statistics: the driver's chain stays with us until we want fresh ones; giving it back is the
 * question, its next chain the answer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_balloon.h"

#include <string.h>

#include "qapi-events.h"
#include "vmm/base/error.h"
#include "vmm/virtio/virtio_balloon_hints.h"
#include "vmm/virtio/virtio_balloon_parts.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_BALLOON 5
#define PCI_CLASS_OTHER	  0x00ff00
#define QUEUE_SIZE	  128

/* §5.5.3 */
#define F_STATS_VQ	 1
#define F_DEFLATE_ON_OOM 2
#define F_PAGE_POISON	 4
#define F_PAGE_REPORTING 5

#define POLLING_INTERVAL "guest-stats-polling-interval"

#define PAGE_SHIFT   12
#define PAGE_SIZE    4096u
#define PFNS_AT_ONCE 256u

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS, QUEUE_HINTS, QUEUE_REPORTING };

/* §5.5.6.3: by tag; the names are QEMU's. */
static const char *const stat_names[] = {
	"stat-swap-in",	     "stat-swap-out",	  "stat-major-faults",	   "stat-minor-faults",
	"stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
	"stat-htlb-pgalloc", "stat-htlb-pgfail",
};
#define N_STATS		 G_N_ELEMENTS(stat_names)
#define STAT_ENTRY_SIZE	 10u /* 2 bytes tag, 8 bytes value, packed */
#define STAT_ENTRIES_MAX 64u

/* §5.5.4 */
typedef struct BalloonConfig {
	uint32_t num_pages; /* wanted in the balloon */
	uint32_t actual;    /* what the driver says is */
	uint32_t hint_id;   /* of free page hints: the command */
	uint32_t poison;    /* what the driver expects in pages that it reported */
} BalloonConfig;

typedef struct VirtioBalloon {
	VirtioDevice virtio;

	/* Properties. */
	bool deflate_on_oom, free_page_reporting, page_poison;
	uint32_t polling_interval; /* seconds; 0: off */

	uint32_t num_pages; /* device lock */
	uint32_t actual;    /* atomic */
	uint32_t poison;    /* atomic */
	GSource *timer;	    /* NULL without polling */
	BalloonHints hints;

	/* Loop thread. */
	BalloonParts *parts;
	VirtqueueElement *stats_element; /* the driver's, to be given back for fresh ones */
	bool stats_wanted;

	GMutex stats_lock;	 /* a leaf, for what follows */
	uint64_t stats[N_STATS]; /* UINT64_MAX: not known */
	int64_t stats_updated;	 /* seconds since the epoch; 0: never */
} VirtioBalloon;

static VirtioBalloon *virtio_balloon(VirtioDevice *device)
{
	return (VirtioBalloon *)device;
}

/* Pages */

/* Parts, from @hva to @hva + @size, of host pages of @page_size bytes are in the balloon or not. */
static void change_parts(VirtioBalloon *balloon, bool inflate, uint8_t *hva, uint64_t size,
			 uint64_t page_size)
{
	const GuestMemory *memory = virtio_device_services(&balloon->virtio)->memory;

	for (uint64_t at = 0; at < size; at += PAGE_SIZE) {
		uint8_t *page = (uint8_t *)((uintptr_t)(hva + at) & ~(uintptr_t)(page_size - 1));
		unsigned part = (unsigned)((hva + at - page) / PAGE_SIZE);

		if (!inflate)
			balloon_parts_remove(balloon->parts, page, part);
		else if (balloon_parts_add(balloon->parts, page, part,
					   (unsigned)(page_size / PAGE_SIZE)))
			guest_memory_discard(memory, page, page_size);
	}
}

static void change_range(VirtioBalloon *balloon, bool inflate, uint8_t *hva, uint64_t size)
{
	const GuestMemory *memory = virtio_device_services(&balloon->virtio)->memory;
	uint64_t page_size = size ? guest_memory_page_size(memory, hva) : 0;

	if (page_size > PAGE_SIZE && page_size <= (uint64_t)BALLOON_PARTS_MAX * PAGE_SIZE)
		change_parts(balloon, inflate, hva, size, page_size);
	else if (page_size == PAGE_SIZE && inflate)
		guest_memory_discard(memory, hva, size);
}

/* Act on @n page numbers, neighbours (up or down) together. What is not RAM is left out. */
static void change_pages(VirtioBalloon *balloon, bool inflate, const uint32_t *pfns, size_t n)
{
	const GuestMemory *memory = virtio_device_services(&balloon->virtio)->memory;
	uint8_t *start = NULL;
	uint64_t size = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t *hva =
			guest_memory_hva(memory, (uint64_t)pfns[i] << PAGE_SHIFT, PAGE_SIZE, true);

		if (!hva)
			continue;
		if (size && hva == start + size) {
			size += PAGE_SIZE;
		} else if (size && hva + PAGE_SIZE == start) {
			start = hva;
			size += PAGE_SIZE;
		} else {
			change_range(balloon, inflate, start, size);
			start = hva;
			size = PAGE_SIZE;
		}
	}
	change_range(balloon, inflate, start, size);
}

static bool handle_pages(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioBalloon *balloon = virtio_balloon(queue->device);
	uint32_t pfns[PFNS_AT_ONCE];
	uint64_t offset = 0;
	size_t size;

	do {
		size = iov_copy_from(element->iov, element->n_out, offset, pfns, sizeof(pfns));
		change_pages(balloon, queue->ring.index == QUEUE_INFLATE, pfns,
			     size / sizeof(*pfns));
		offset += size;
		/* A page number each for 4 GiB is more than any driver has at once. */
	} while (size == sizeof(pfns) && offset < (1u << 20));
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

/*
 * §5.5.6.7: the buffers are the pages. What the host gives later is zeroes (§5.5.6.7.2: only where
 * the driver expects those).
 */
static bool handle_reported(VirtioQueue *queue, VirtqueueElement *element)
{
	const GuestMemory *memory = virtio_device_services(queue->device)->memory;
	VirtioBalloon *balloon = virtio_balloon(queue->device);
	bool poisoned = __atomic_load_n(&balloon->poison, __ATOMIC_RELAXED) != 0;

	for (unsigned i = 0; !poisoned && i < element->n_in; i++) {
		const struct iovec *range = &element->iov[element->n_out + i];

		guest_memory_discard(memory, range->iov_base, range->iov_len);
	}
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

static bool handle_hints(VirtioQueue *queue, VirtqueueElement *element)
{
	balloon_hints_take(&virtio_balloon(queue->device)->hints, element);
	/* The pages are only named: to push them as buffers would mark them as written. */
	element->n_in = 0;
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

/*
 * Hints are of no use to a driver that reports free pages anyway, or that wants something else in
 * them than zeroes (§5.5.6.6), nor where RAM keeps its pages.
 */
static bool wants_hints(VirtioDevice *device)
{
	return !guest_memory_keeps(virtio_device_services(device)->memory) &&
	       !virtio_device_has_feature(device, F_PAGE_REPORTING) &&
	       __atomic_load_n(&virtio_balloon(device)->poison, __ATOMIC_RELAXED) == 0;
}

/* Statistics */

static void store_stats(VirtioBalloon *balloon, const VirtqueueElement *element)
{
	uint8_t entry[STAT_ENTRY_SIZE];

	g_mutex_lock(&balloon->stats_lock);
	for (unsigned i = 0; i < STAT_ENTRIES_MAX; i++) {
		uint16_t tag;
		uint64_t value;

		if (iov_copy_from(element->iov, element->n_out, (uint64_t)i * sizeof(entry), entry,
				  sizeof(entry)) != sizeof(entry))
			break;
		memcpy(&tag, entry, sizeof(tag));
		memcpy(&value, entry + sizeof(tag), sizeof(value));
		if (tag < N_STATS)
			balloon->stats[tag] = value;
	}
	balloon->stats_updated = g_get_real_time() / G_USEC_PER_SEC;
	g_mutex_unlock(&balloon->stats_lock);
}

static void ask_for_stats(VirtioBalloon *balloon)
{
	VirtioQueue *queue = &balloon->virtio.queues[QUEUE_STATS];

	balloon->stats_wanted = !balloon->stats_element;
	if (!balloon->stats_element)
		return;
	virtqueue_push(&queue->ring, g_steal_pointer(&balloon->stats_element), 0);
	virtio_queue_publish(queue);
}

static bool handle_stats(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioBalloon *balloon = virtio_balloon(queue->device);

	/* One is all that a driver has (§5.5.6.3). Of more the last stays, which stop can unpop. */
	if (balloon->stats_element)
		virtqueue_push(&queue->ring, balloon->stats_element, 0);
	store_stats(balloon, element);
	balloon->stats_element = element;
	if (balloon->stats_wanted)
		ask_for_stats(balloon);
	return true;
}

static void poll_on_loop(gpointer data)
{
	VirtioBalloon *balloon = data;

	if (virtio_device_is_active(&balloon->virtio))
		ask_for_stats(balloon);
}

static gboolean poll_stats(gpointer data)
{
	io_loop_post(((VirtioBalloon *)data)->virtio.loop, poll_on_loop, data);
	return G_SOURCE_CONTINUE;
}

static void stop_polling(VirtioBalloon *balloon)
{
	if (balloon->timer) {
		g_source_destroy(balloon->timer);
		g_clear_pointer(&balloon->timer, g_source_unref);
	}
}

/* As often as the property says. */
static void start_polling(VirtioBalloon *balloon)
{
	stop_polling(balloon);
	if (!balloon->polling_interval)
		return;
	balloon->timer = g_timeout_source_new_seconds(balloon->polling_interval);
	g_source_set_callback(balloon->timer, poll_stats, balloon, NULL);
	g_source_attach(balloon->timer, virtio_device_services(&balloon->virtio)->main_context);
}

static json_object *get_guest_stats(Device *device)
{
	VirtioBalloon *balloon = (VirtioBalloon *)device;
	json_object *value = json_object_new_object();
	json_object *stats = json_object_new_object();

	g_mutex_lock(&balloon->stats_lock);
	for (unsigned i = 0; i < N_STATS; i++)
		json_object_object_add(stats, stat_names[i],
				       json_object_new_uint64(balloon->stats[i]));
	json_object_object_add(value, "stats", stats);
	json_object_object_add(value, "last-update", json_object_new_int64(balloon->stats_updated));
	g_mutex_unlock(&balloon->stats_lock);
	return value;
}

static json_object *get_hint_counters(Device *device)
{
	BalloonHintCounters counters = balloon_hints_counters(&((VirtioBalloon *)device)->hints);
	json_object *value = json_object_new_object();

	json_object_object_add(value, "rounds", json_object_new_uint64(counters.rounds));
	json_object_object_add(value, "given-up", json_object_new_uint64(counters.given_up));
	json_object_object_add(value, "hinted-bytes", json_object_new_uint64(counters.hinted));
	json_object_object_add(value, "discarded-bytes",
			       json_object_new_uint64(counters.discarded));
	return value;
}

/* Life */

/* Drivers number the queues of what they negotiated; without a feature its queue is missing. */
static unsigned queue_role(const VirtioDevice *device, unsigned index)
{
	if (index >= QUEUE_STATS && !virtio_device_has_feature(device, F_STATS_VQ))
		index++;
	if (index >= QUEUE_HINTS &&
	    !virtio_device_has_feature(device, VIRTIO_BALLOON_F_FREE_PAGE_HINT))
		index++;
	return index;
}

static void balloon_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	switch (queue_role(device, queue->ring.index)) {
	case QUEUE_INFLATE:
	case QUEUE_DEFLATE:
		virtio_queue_process(queue, handle_pages);
		break;
	case QUEUE_STATS:
		virtio_queue_process(queue, handle_stats);
		break;
	case QUEUE_HINTS:
		virtio_queue_process(queue, handle_hints);
		break;
	case QUEUE_REPORTING:
		if (virtio_device_has_feature(device, F_PAGE_REPORTING))
			virtio_queue_process(queue, handle_reported);
		break;
	}
}

static void balloon_stop(VirtioDevice *device)
{
	VirtioBalloon *balloon = virtio_balloon(device);

	/* Nothing was popped after it that was not given back, so it can go back to the ring. */
	if (balloon->stats_element)
		virtqueue_unpop(&device->queues[QUEUE_STATS].ring,
				g_steal_pointer(&balloon->stats_element));
}

static void forget_stats(VirtioBalloon *balloon)
{
	g_mutex_lock(&balloon->stats_lock);
	memset(balloon->stats, 0xff, sizeof(balloon->stats));
	balloon->stats_updated = 0;
	g_mutex_unlock(&balloon->stats_lock);
}

/* A driver that starts anew has all its memory; the target stays. */
static void balloon_reset(VirtioDevice *device)
{
	VirtioBalloon *balloon = virtio_balloon(device);

	__atomic_store_n(&balloon->actual, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&balloon->poison, 0, __ATOMIC_RELAXED);
	balloon_parts_clear(balloon->parts);
	balloon->stats_wanted = false;
	balloon_hints_reset(&balloon->hints);
	forget_stats(balloon);
}

static void balloon_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VirtioBalloon *balloon = virtio_balloon(device);
	BalloonConfig config = {
		.num_pages = balloon->num_pages,
		.actual = __atomic_load_n(&balloon->actual, __ATOMIC_RELAXED),
		.hint_id = balloon->hints.command,
		.poison = __atomic_load_n(&balloon->poison, __ATOMIC_RELAXED),
	};

	memcpy(bytes, &config, sizeof(config));
}

uint64_t virtio_balloon_actual(Device *device)
{
	VirtioBalloon *balloon = (VirtioBalloon *)device;
	uint64_t ram = guest_memory_size(device->services->memory);
	uint64_t in_balloon = (uint64_t)__atomic_load_n(&balloon->actual, __ATOMIC_RELAXED)
			      << PAGE_SHIFT;

	/* The number is the guest's: what it has cannot be less than nothing. */
	return in_balloon < ram ? ram - in_balloon : 0;
}

static void balloon_write_config(VirtioDevice *device, unsigned offset, uint32_t value,
				 unsigned size)
{
	VirtioBalloon *balloon = virtio_balloon(device);
	Device *base = &device->pci.device;

	if (offset == offsetof(BalloonConfig, poison) && size == 4 &&
	    virtio_device_has_feature(device, F_PAGE_POISON))
		__atomic_store_n(&balloon->poison, value, __ATOMIC_RELAXED);
	if (offset != offsetof(BalloonConfig, actual) || size != 4 || value == balloon->actual)
		return;
	__atomic_store_n(&balloon->actual, value, __ATOMIC_RELAXED);
	qapi_event_balloon_change(base->services->events, (int64_t)virtio_balloon_actual(base));
}

void virtio_balloon_set_target(Device *device, uint64_t bytes)
{
	VirtioBalloon *balloon = (VirtioBalloon *)device;
	uint64_t ram = guest_memory_size(device->services->memory);

	g_mutex_lock(&device->lock);
	balloon->num_pages = (uint32_t)MIN((ram - MIN(bytes, ram)) >> PAGE_SHIFT, UINT32_MAX);
	virtio_device_config_changed(&balloon->virtio);
	g_mutex_unlock(&device->lock);
}

static bool balloon_setup(VirtioDevice *device, GError **error)
{
	VirtioBalloon *balloon = virtio_balloon(device);

	if (!virtio_device_add_queues(device,
				      3 + balloon->hints.enabled + balloon->free_page_reporting,
				      QUEUE_SIZE, error))
		return false;
	device->offered |= VIRTIO_FEATURE(F_STATS_VQ);
	if (balloon->deflate_on_oom)
		device->offered |= VIRTIO_FEATURE(F_DEFLATE_ON_OOM);
	if (balloon->hints.enabled)
		device->offered |= VIRTIO_FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	if (balloon->page_poison)
		device->offered |= VIRTIO_FEATURE(F_PAGE_POISON);
	if (balloon->free_page_reporting)
		device->offered |= VIRTIO_FEATURE(F_PAGE_REPORTING);
	balloon->parts = balloon_parts_new();
	g_mutex_init(&balloon->stats_lock);
	forget_stats(balloon);
	start_polling(balloon);
	balloon_hints_init(&balloon->hints, device, wants_hints);
	return true;
}

static void balloon_teardown(VirtioDevice *device)
{
	VirtioBalloon *balloon = virtio_balloon(device);

	stop_polling(balloon);
	balloon_hints_finish(&balloon->hints);
	g_mutex_clear(&balloon->stats_lock);
	g_clear_pointer(&balloon->parts, balloon_parts_free);
}

static const StateField balloon_fields[] = {
	STATE_PART(VirtioBalloon, virtio, &virtio_device_state),
	STATE_FIELD(VirtioBalloon, num_pages, STATE_UINT32),
	STATE_FIELD(VirtioBalloon, actual, STATE_UINT32),
	STATE_FIELD(VirtioBalloon, poison, STATE_UINT32),
	STATE_FIELD(VirtioBalloon, hints.command, STATE_UINT32),
	STATE_FIELD(VirtioBalloon, hints.last_id, STATE_UINT32),
	STATE_END,
};

static const StateTable balloon_state = {
	.name = "virtio-balloon",
	.version = 1,
	.minimum_version = 1,
	.fields = balloon_fields,
};

static const Property balloon_properties[] = {
	{ .name = "deflate-on-oom",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioBalloon, deflate_on_oom),
	  .description = "let the guest take pages back before it runs out of memory" },
	{ .name = "free-page-hint",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(VirtioBalloon, hints.enabled),
	  .description = "now and then ask a guest without free page reporting for what is free" },
	{ .name = "x-vireo-free-page-hint-interval",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioBalloon, hints.interval),
	  .initial = 60000,
	  .minimum = 1,
	  .maximum = G_MAXUINT32,
	  .description = "milliseconds between such rounds" },
	{ .name = "x-vireo-free-page-hint-timeout",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioBalloon, hints.timeout),
	  .initial = 10000,
	  .minimum = 1,
	  .maximum = G_MAXUINT32,
	  .description = "milliseconds that the guest has for its answer" },
	{ .name = "free-page-reporting",
	  .kind = PROPERTY_BOOL,
	  .initial = true,
	  .offset = offsetof(VirtioBalloon, free_page_reporting),
	  .description = "give memory that the guest reports as free back to the host" },
	{ .name = "page-poison",
	  .kind = PROPERTY_BOOL,
	  .initial = true,
	  .offset = offsetof(VirtioBalloon, page_poison),
	  .description = "let the guest say that its free pages are not zero" },
	{ .name = POLLING_INTERVAL,
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioBalloon, polling_interval),
	  .maximum = G_MAXUINT32 / 1000,
	  .description = "seconds between updates of the guest's statistics; 0 for none" },
	PROPERTY_END,
};

static bool set_polling_interval(Device *device, json_object *value, GError **error)
{
	if (!json_object_is_type(value, json_type_int))
		return error_fail(error, "property '" POLLING_INTERVAL "' expects an integer");
	if (!property_set(property_find(balloon_properties, POLLING_INTERVAL), device, value,
			  error))
		return false;
	start_polling((VirtioBalloon *)device);
	return true;
}

static const DeviceAttribute balloon_attributes[] = {
	{ .name = "guest-stats", .type = "guest statistics", .get = get_guest_stats },
	{ .name = "x-vireo-free-page-hints",
	  .type = "free page hint counters",
	  .get = get_hint_counters },
	{ .name = POLLING_INTERVAL, .type = "int", .set = set_polling_interval },
	{ .name = NULL },
};

const VirtioDeviceType virtio_balloon_type = {
	.pci = {
		.device = {
			.name = "virtio-balloon-pci",
			.description = "virtio memory balloon",
			.category = "Misc",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioBalloon),
			.properties = { balloon_properties, virtio_device_properties,
					pci_device_properties },
			.attributes = balloon_attributes,
			.state = &balloon_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_BALLOON, PCI_CLASS_OTHER),
	},
	.config_size = sizeof(BalloonConfig),
	.setup = balloon_setup,
	.teardown = balloon_teardown,
	.reset = balloon_reset,
	.read_config = balloon_read_config,
	.write_config = balloon_write_config,
	.stop = balloon_stop,
	.queue_ready = balloon_queue_ready,
};
