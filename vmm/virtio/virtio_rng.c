/*
 * virtio_rng.c: entropy device (virtio 1.2 §5.4)
 *
 * One chain is served at a time: what the back end gave is copied to it and it is given back, with
 * as much as there was. With "max-bytes" a quota for each "period" applies; once it is used up the
 * chain waits for a timer of the main loop to begin a new one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_rng.h"

#include "vmm/base/error.h"
#include "vmm/chardev/rng_backend.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_ENTROPY 4
#define PCI_CLASS_OTHER	  0x00ff00
#define QUEUE_SIZE	  8
#define REQUEST_SIZE	  1024u /* bytes asked of the back end at once */
#define NO_QUOTA	  ((uint64_t)INT64_MAX)
#define DEFAULT_PERIOD	  65536 /* ms */

typedef struct VirtioRng {
	VirtioDevice virtio;

	/* Properties. */
	char *rng;
	uint64_t max_bytes;
	uint32_t period; /* ms */

	RngBackend *backend;
	GSource *timer; /* NULL without a quota */

	/* Loop thread. */
	VirtqueueElement *element; /* being served; NULL: none */
	RngRequest request;
	uint64_t quota; /* bytes left in this period */
	bool timer_set;
	uint8_t buffer[REQUEST_SIZE];
} VirtioRng;

static VirtioRng *virtio_rng(VirtioDevice *device)
{
	return (VirtioRng *)device;
}

static void serve(VirtioRng *rng);

static void request_complete(RngRequest *request, int result)
{
	VirtioRng *rng = (VirtioRng *)((uint8_t *)request - offsetof(VirtioRng, request));
	VirtioQueue *queue = &rng->virtio.queues[0];
	VirtqueueElement *element = g_steal_pointer(&rng->element);

	if (result > 0) {
		size_t size = MIN((size_t)result, sizeof(rng->buffer));

		rng->quota -= MIN(size, rng->quota);
		size = iov_copy_to(element->iov + element->n_out, element->n_in, 0, rng->buffer,
				   size);
		virtqueue_push(&queue->ring, element, size);
		virtio_queue_publish(queue);
	} else {
		/* Stopped, or the source failed: then the next notification tries again. */
		virtqueue_unpop(&queue->ring, element);
	}
	if (result > 0 && virtio_device_is_active(&rng->virtio))
		serve(rng);
	virtio_queue_end_request(&rng->virtio.queues[0]);
}

static void new_period(gpointer data)
{
	VirtioRng *rng = data;

	rng->timer_set = false;
	rng->quota = rng->max_bytes;
	if (virtio_device_is_active(&rng->virtio))
		serve(rng);
}

static gboolean timer_fired(gpointer data)
{
	VirtioRng *rng = data;

	g_source_set_ready_time(rng->timer, -1);
	io_loop_post(rng->virtio.loop, new_period, rng);
	return G_SOURCE_CONTINUE;
}

static gboolean timer_dispatch(GSource *source, GSourceFunc func, gpointer data)
{
	(void)source;
	return func(data);
}

static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

/* A period begins with the first byte taken in it. */
static void set_timer(VirtioRng *rng)
{
	if (rng->timer && !rng->timer_set)
		g_source_set_ready_time(rng->timer, g_get_monotonic_time() +
							    rng->period * G_GINT64_CONSTANT(1000));
	rng->timer_set = true;
}

/* Take a chain and ask for what it wants, if there is one and none is being served. */
static void serve(VirtioRng *rng)
{
	VirtioQueue *queue = &rng->virtio.queues[0];

	if (rng->element || !queue->ring.ops || rng->quota == 0)
		return;
	virtqueue_set_notification(&queue->ring, false);
	do
		rng->element = virtqueue_pop(&queue->ring);
	while (!rng->element && virtqueue_set_notification(&queue->ring, true));
	if (!rng->element)
		return;
	if (rng->element->in_size == 0) {
		virtio_queue_set_broken(queue, "an entropy request has nothing to fill");
		virtqueue_push(&queue->ring, g_steal_pointer(&rng->element), 0);
		return;
	}
	set_timer(rng);
	rng->request = (RngRequest){
		.buffer = rng->buffer,
		.size = MIN(MIN(rng->element->in_size, rng->quota), sizeof(rng->buffer)),
		.complete = request_complete,
	};
	virtio_queue_begin_request(&rng->virtio.queues[0]);
	rng_backend_request(rng->backend, rng->virtio.loop, &rng->request);
}

static void rng_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	(void)queue;
	serve(virtio_rng(device));
}

static void rng_stop(VirtioDevice *device)
{
	VirtioRng *rng = virtio_rng(device);

	if (rng->element)
		rng_request_cancel(&rng->request);
}

static bool rng_setup(VirtioDevice *device, GError **error)
{
	VirtioRng *rng = virtio_rng(device);
	DeviceServices *services = virtio_device_services(device);

	rng->backend = services->find_rng(services, rng->rng);
	if (!rng->backend)
		return error_fail(error, "there is no source of entropy '%s'", rng->rng);
	if (!virtio_device_add_queues(device, 1, QUEUE_SIZE, error))
		return false;
	rng->quota = rng->max_bytes;
	if (rng->max_bytes < NO_QUOTA) {
		rng->timer = g_source_new(&timer_funcs, sizeof(GSource));
		g_source_set_callback(rng->timer, timer_fired, rng, NULL);
		g_source_attach(rng->timer, services->main_context);
	}
	return true;
}

static void rng_teardown(VirtioDevice *device)
{
	VirtioRng *rng = virtio_rng(device);

	if (rng->timer) {
		g_source_destroy(rng->timer);
		g_clear_pointer(&rng->timer, g_source_unref);
	}
}

static const StateField rng_fields[] = {
	STATE_PART(VirtioRng, virtio, &virtio_device_state),
	STATE_END,
};

static const StateTable rng_state = {
	.name = "virtio-rng",
	.version = 1,
	.minimum_version = 1,
	.fields = rng_fields,
};

static const Property rng_properties[] = {
	{ .name = "rng",
	  .kind = PROPERTY_OBJECT,
	  .offset = offsetof(VirtioRng, rng),
	  .required = true,
	  .description = "source of entropy (-object rng-random or rng-builtin)" },
	{ .name = "max-bytes",
	  .kind = PROPERTY_UINT64,
	  .offset = offsetof(VirtioRng, max_bytes),
	  .initial = NO_QUOTA,
	  .minimum = 1,
	  .maximum = NO_QUOTA,
	  .description = "bytes in one period (default: any number)" },
	{ .name = "period",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VirtioRng, period),
	  .initial = DEFAULT_PERIOD,
	  .minimum = 1,
	  .maximum = UINT32_MAX,
	  .description = "milliseconds that max-bytes is for" },
	PROPERTY_END,
};

const VirtioDeviceType virtio_rng_type = {
	.pci = {
		.device = {
			.name = "virtio-rng-pci",
			.description = "virtio entropy device",
			.category = "Misc",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioRng),
			.properties = { rng_properties, virtio_device_properties,
					pci_device_properties },
			.state = &rng_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_ENTROPY, PCI_CLASS_OTHER),
	},
	.setup = rng_setup,
	.teardown = rng_teardown,
	.stop = rng_stop,
	.queue_ready = rng_queue_ready,
};
