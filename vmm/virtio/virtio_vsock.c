/*
 * virtio_vsock.c: sockets between host and guest, over a unix socket of the host (virtio 1.2 §5.10)
 *
 * For hosts whose kernel does not do that (vhost_vsock.c). Who connects to the socket at "path" and
 * writes "CONNECT PORT\n" is connected with that port of the guest, and is told "OK PORT\n" with
 * one of the host. A guest that connects to PORT of the host gets who listens at "path_PORT". This
 * is how other monitors do it, too.
 *
 * Connections belong to the I/O loop. Only connecting to the host's sockets is the main thread's,
 * as the loop's may not.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/socket.h"
#include "vmm/virtio/virtio_pci.h"
#include "vmm/virtio/virtio_vsock_internal.h"

#define VIRTIO_ID_VSOCK		19
#define PCI_CLASS_COMMUNICATION 0x078000
#define QUEUE_SIZE		128
#define CID_MIN			3 /* those below are the host's, or have a meaning of their own */
#define CONNECTIONS_MAX		1024u
#define RESETS_MAX		64u
#define PORT_FIRST		0x40000000u /* of those that are given out here */
#define EVENT_TRANSPORT_RESET	0u	    /* §5.10.6.7 */

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, N_QUEUES };

/* A connection that there is not: the guest is told so. */
typedef struct Reset {
	uint32_t host_port, guest_port;
} Reset;

/* What the main thread is to connect. */
typedef struct ConnectRequest {
	VirtioVsock *vsock;
	gint64 key;
	uint64_t serial;
	uint32_t port;
	int fd; /* when it is done */
} ConnectRequest;

struct VirtioVsock {
	VirtioDevice virtio;

	/* Properties. */
	uint64_t guest_cid;
	char *path;

	int listen_fd, spare_fd;
	GSource *connect_source;
	GMutex connect_lock; /* a leaf */
	GQueue to_connect;   /* ConnectRequest, under it */

	/* Loop thread. */
	IoWatch *listen_watch;
	GHashTable *all;   /* VsockConnection, owned */
	GHashTable *named; /* by key: those that have ports */
	GQueue ready;	   /* those with something for the guest */
	Reset resets[RESETS_MAX];
	unsigned n_resets;
	bool guest_waits; /* for room in resets */
	IoDeferred output;
	uint64_t next_serial;
	uint32_t next_port;
	bool was_loaded; /* connections are lost, which the driver is to be told */
	uint8_t buffer[VSOCK_BUFFER_SIZE];
};

static VirtioVsock *virtio_vsock(VirtioDevice *device)
{
	return (VirtioVsock *)device;
}

IoLoop *virtio_vsock_loop(VirtioVsock *vsock)
{
	return virtio_device_is_active(&vsock->virtio) ? vsock->virtio.loop : NULL;
}

void virtio_vsock_wake(VirtioVsock *vsock, VsockConnection *connection)
{
	if (!connection->queued)
		g_queue_push_tail(&vsock->ready, connection);
	connection->queued = true;
	if (virtio_device_is_active(&vsock->virtio))
		io_loop_defer(vsock->virtio.loop, &vsock->output);
}

/* Connections */

static void name(VirtioVsock *vsock, VsockConnection *connection, uint32_t host_port,
		 uint32_t guest_port)
{
	connection->host_port = host_port;
	connection->guest_port = guest_port;
	connection->key = (gint64)((uint64_t)host_port << 32 | guest_port);
	g_hash_table_insert(vsock->named, &connection->key, connection);
}

static VsockConnection *find(VirtioVsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	gint64 key = (gint64)((uint64_t)host_port << 32 | guest_port);

	return g_hash_table_lookup(vsock->named, &key);
}

void virtio_vsock_name(VirtioVsock *vsock, VsockConnection *connection, uint32_t guest_port)
{
	do {
		if (++vsock->next_port < PORT_FIRST)
			vsock->next_port = PORT_FIRST;
	} while (find(vsock, vsock->next_port, guest_port));
	name(vsock, connection, vsock->next_port, guest_port);
}

static VsockConnection *add(VirtioVsock *vsock, VsockState state, int fd)
{
	VsockConnection *connection = vsock_connection_new(vsock, state, fd);

	connection->serial = ++vsock->next_serial;
	g_hash_table_add(vsock->all, connection);
	return connection;
}

static void drop(VirtioVsock *vsock, VsockConnection *connection)
{
	if (connection->queued)
		g_queue_remove(&vsock->ready, connection);
	if (connection->key)
		g_hash_table_remove(vsock->named, &connection->key);
	g_hash_table_remove(vsock->all, connection);
}

static void drop_all(gpointer data)
{
	VirtioVsock *vsock = data;

	g_queue_clear(&vsock->ready);
	g_hash_table_remove_all(vsock->named);
	g_hash_table_remove_all(vsock->all);
	vsock->n_resets = 0;
	vsock->guest_waits = false;
}

static void host_connects(gpointer data)
{
	VirtioVsock *vsock = data;
	int fd = socket_accept(vsock->listen_fd, &vsock->spare_fd);

	if (fd < 0)
		return;
	if (g_hash_table_size(vsock->all) >= CONNECTIONS_MAX) {
		fd_close(&fd);
		return;
	}
	vsock_connection_start(add(vsock, VSOCK_GREETING, fd));
}

/* Connecting to the host */

/* Loop thread. */
static void host_connected(gpointer data)
{
	g_autofree ConnectRequest *request = data;
	VsockConnection *connection = g_hash_table_lookup(request->vsock->named, &request->key);

	/* It may be gone by now, and another in its place. */
	if (connection && connection->serial == request->serial &&
	    connection->state == VSOCK_CONNECTING)
		vsock_connection_connected(connection, request->fd);
	else
		fd_close(&request->fd);
}

static void connect_host(ConnectRequest *request)
{
	VirtioVsock *vsock = request->vsock;
	g_autofree char *path = g_strdup_printf("%s_%u", vsock->path, request->port);

	request->fd = socket_open_unix(path, false, false, NULL);
	if (request->fd >= 0 && !fd_set_nonblocking(request->fd, true, NULL))
		fd_close(&request->fd);
	io_loop_post(vsock->virtio.loop, host_connected, request);
}

static ConnectRequest *next_request(VirtioVsock *vsock)
{
	ConnectRequest *request;

	g_mutex_lock(&vsock->connect_lock);
	request = g_queue_pop_head(&vsock->to_connect);
	g_mutex_unlock(&vsock->connect_lock);
	return request;
}

static unsigned n_to_connect(VirtioVsock *vsock)
{
	unsigned n;

	g_mutex_lock(&vsock->connect_lock);
	n = vsock->to_connect.length;
	g_mutex_unlock(&vsock->connect_lock);
	return n;
}

/* Main thread. */
static gboolean connect_hosts(gpointer data)
{
	VirtioVsock *vsock = data;

	g_source_set_ready_time(vsock->connect_source, -1);
	/* Those that come meanwhile have it dispatched again: a guest may ask faster than this. */
	for (unsigned n = n_to_connect(vsock); n > 0; n--)
		connect_host(next_request(vsock));
	return G_SOURCE_CONTINUE;
}

static gboolean dispatch_connect(GSource *source, GSourceFunc func, gpointer data)
{
	(void)source;
	return func(data);
}

static GSourceFuncs connect_source_funcs = { .dispatch = dispatch_connect };

static void ask_to_connect(VirtioVsock *vsock, VsockConnection *connection)
{
	ConnectRequest *request = g_new(ConnectRequest, 1);

	*request = (ConnectRequest){
		.vsock = vsock,
		.key = connection->key,
		.serial = connection->serial,
		.port = connection->host_port,
		.fd = -1,
	};
	g_mutex_lock(&vsock->connect_lock);
	g_queue_push_tail(&vsock->to_connect, request);
	g_mutex_unlock(&vsock->connect_lock);
	g_source_set_ready_time(vsock->connect_source, 0);
}

/* To the guest */

static bool take_reset(VirtioVsock *vsock, VsockHeader *header)
{
	const Reset *reset = &vsock->resets[0];

	if (vsock->n_resets == 0)
		return false;
	*header = (VsockHeader){
		.source_cid = VSOCK_CID_HOST,
		.source_port = reset->host_port,
		.destination_port = reset->guest_port,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_RST,
	};
	memmove(vsock->resets, vsock->resets + 1, --vsock->n_resets * sizeof(Reset));
	return true;
}

/* The next of what is for the guest; false: there is nothing (left). */
static bool next_output(VirtioVsock *vsock, VsockHeader *header, size_t room)
{
	VsockConnection *connection;

	if (take_reset(vsock, header))
		return true;
	while ((connection = g_queue_pop_head(&vsock->ready))) {
		bool any = false;

		connection->queued = false;
		if (connection->owed || connection->state != VSOCK_CLOSED)
			any = vsock_connection_output(connection, header, vsock->buffer, room);
		if (connection->state == VSOCK_CLOSED && !connection->owed)
			drop(vsock, connection);
		else if (!connection->queued && vsock_connection_has_output(connection))
			virtio_vsock_wake(vsock, connection);
		if (any)
			return true;
	}
	return false;
}

static VirtqueueElement *next_buffer(VirtioQueue *queue)
{
	VirtqueueElement *element;

	virtqueue_set_notification(&queue->ring, false);
	do
		element = virtqueue_pop(&queue->ring);
	while (!element && virtqueue_set_notification(&queue->ring, true));
	return element;
}

/* As much as there are buffers for; more comes after others had their turn. */
static void send_output(VirtioVsock *vsock)
{
	VirtioQueue *queue = &vsock->virtio.queues[QUEUE_RX];

	for (unsigned i = 0; i < queue->ring.size && (vsock->n_resets || vsock->ready.length);
	     i++) {
		VirtqueueElement *element = next_buffer(queue);
		VsockHeader header;

		if (!element)
			break;
		if (element->in_size <= sizeof(header)) {
			virtio_queue_set_broken(queue, "a buffer for packets is too small for one");
			virtqueue_push(&queue->ring, element, 0);
			break;
		}
		if (!next_output(vsock, &header,
				 MIN(element->in_size - sizeof(header), VSOCK_BUFFER_SIZE))) {
			virtqueue_unpop(&queue->ring, element);
			break;
		}
		header.destination_cid = vsock->guest_cid;
		iov_copy_to(element->iov + element->n_out, element->n_in, 0, &header,
			    sizeof(header));
		iov_copy_to(element->iov + element->n_out, element->n_in, sizeof(header),
			    vsock->buffer, header.length);
		virtqueue_push(&queue->ring, element, (uint32_t)sizeof(header) + header.length);
	}
	virtio_queue_publish(queue);
}

static bool handle_packet(VirtioQueue *queue, VirtqueueElement *element);

static void output(IoDeferred *deferred)
{
	VirtioVsock *vsock = (VirtioVsock *)((uint8_t *)deferred - offsetof(VirtioVsock, output));

	if (!virtio_device_is_active(&vsock->virtio) || !vsock->virtio.queues[QUEUE_RX].ring.ops)
		return;
	send_output(vsock);
	if (vsock->guest_waits && vsock->n_resets < RESETS_MAX) {
		vsock->guest_waits = false;
		virtio_queue_process(&vsock->virtio.queues[QUEUE_TX], handle_packet);
	}
}

/* From the guest */

static void refuse(VirtioVsock *vsock, const VsockHeader *header)
{
	if (header->op == VSOCK_OP_RST)
		return;
	vsock->resets[vsock->n_resets++] = (Reset){
		.host_port = header->destination_port,
		.guest_port = header->source_port,
	};
	io_loop_defer(vsock->virtio.loop, &vsock->output);
}

static void guest_connects(VirtioVsock *vsock, const VsockHeader *header)
{
	VsockConnection *connection;

	/* One that was given up may still wait for the main thread. */
	if (g_hash_table_size(vsock->all) >= CONNECTIONS_MAX ||
	    n_to_connect(vsock) >= CONNECTIONS_MAX) {
		refuse(vsock, header);
		return;
	}
	connection = add(vsock, VSOCK_CONNECTING, -1);
	connection->peer_buffer_size = header->buffer_size;
	connection->peer_forwarded = header->forwarded;
	name(vsock, connection, header->destination_port, header->source_port);
	ask_to_connect(vsock, connection);
}

static void take_packet(VirtioVsock *vsock, const VsockHeader *header)
{
	VsockConnection *connection = find(vsock, header->destination_port, header->source_port);

	/* Neither to somebody else nor from: there is one guest, and it has one address. */
	if (header->source_cid != vsock->guest_cid || header->destination_cid != VSOCK_CID_HOST)
		return;
	if (header->type != VSOCK_TYPE_STREAM)
		refuse(vsock, header);
	else if (connection)
		vsock_connection_handle(connection, header, vsock->buffer);
	else if (header->op == VSOCK_OP_REQUEST)
		guest_connects(vsock, header);
	else
		refuse(vsock, header);
}

static bool handle_packet(VirtioQueue *queue, VirtqueueElement *element)
{
	VirtioVsock *vsock = virtio_vsock(queue->device);
	VsockHeader header;

	/* The guest does not take answers: it has to, before it may send more. */
	if (vsock->n_resets == RESETS_MAX) {
		virtqueue_unpop(&queue->ring, element);
		vsock->guest_waits = true;
		return false;
	}
	if (iov_copy_from(element->iov, element->n_out, 0, &header, sizeof(header)) <
		    sizeof(header) ||
	    header.length > sizeof(vsock->buffer) ||
	    iov_copy_from(element->iov, element->n_out, sizeof(header), vsock->buffer,
			  header.length) < header.length) {
		virtio_queue_set_broken(queue, "a packet is shorter than it says, or too long");
		virtqueue_push(&queue->ring, element, 0);
		return false;
	}
	take_packet(vsock, &header);
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

/* §5.10.6.7: what the driver knows of connections is from before it was moved here. */
static void send_event(VirtioVsock *vsock)
{
	VirtioQueue *queue = &vsock->virtio.queues[QUEUE_EVENT];
	const uint32_t event = EVENT_TRANSPORT_RESET;
	VirtqueueElement *element = vsock->was_loaded ? next_buffer(queue) : NULL;
	size_t size;

	if (!element)
		return;
	size = iov_copy_to(element->iov + element->n_out, element->n_in, 0, &event, sizeof(event));
	virtqueue_push(&queue->ring, element, (uint32_t)size);
	virtio_queue_publish(queue);
	vsock->was_loaded = false;
}

static void vsock_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	VirtioVsock *vsock = virtio_vsock(device);

	if (queue->ring.index == QUEUE_RX)
		io_loop_defer(device->loop, &vsock->output);
	else if (queue->ring.index == QUEUE_TX)
		virtio_queue_process(queue, handle_packet);
	else
		send_event(vsock);
}

/* Life */

static void vsock_start(VirtioDevice *device)
{
	VirtioVsock *vsock = virtio_vsock(device);
	GHashTableIter iter;
	gpointer connection;

	vsock->listen_watch =
		io_loop_watch_fd(device->loop, vsock->listen_fd, false, host_connects, vsock);
	g_hash_table_iter_init(&iter, vsock->all);
	while (g_hash_table_iter_next(&iter, &connection, NULL))
		vsock_connection_start(connection);
	io_loop_defer(device->loop, &vsock->output);
}

static void vsock_stop(VirtioDevice *device)
{
	VirtioVsock *vsock = virtio_vsock(device);
	GHashTableIter iter;
	gpointer connection;

	g_clear_pointer(&vsock->listen_watch, io_watch_remove);
	io_deferred_cancel(&vsock->output);
	g_hash_table_iter_init(&iter, vsock->all);
	while (g_hash_table_iter_next(&iter, &connection, NULL))
		vsock_connection_stop(connection);
}

static void vsock_reset(VirtioDevice *device)
{
	VirtioVsock *vsock = virtio_vsock(device);

	/* The loop may be told of a connection just now. */
	io_loop_run_sync(device->loop, drop_all, vsock);
	vsock->was_loaded = false;
}

static void vsock_read_config(VirtioDevice *device, uint8_t *bytes)
{
	memcpy(bytes, &virtio_vsock(device)->guest_cid, sizeof(uint64_t));
}

static void free_connection(gpointer data)
{
	vsock_connection_free(data);
}

static bool vsock_setup(VirtioDevice *device, GError **error)
{
	VirtioVsock *vsock = virtio_vsock(device);

	if (!vsock->path[0])
		return error_fail(error, "'path' is empty");
	if (!virtio_device_add_queues(device, N_QUEUES, QUEUE_SIZE, error))
		return false;
	vsock->listen_fd = socket_open_unix(vsock->path, false, true, error);
	if (vsock->listen_fd < 0)
		return false;
	if (!fd_set_nonblocking(vsock->listen_fd, true, error)) {
		fd_close(&vsock->listen_fd);
		return false;
	}
	vsock->spare_fd = socket_new_spare();
	vsock->all = g_hash_table_new_full(g_direct_hash, g_direct_equal, free_connection, NULL);
	vsock->named = g_hash_table_new(g_int64_hash, g_int64_equal);
	vsock->output.func = output;
	g_mutex_init(&vsock->connect_lock);
	vsock->connect_source = g_source_new(&connect_source_funcs, sizeof(GSource));
	g_source_set_callback(vsock->connect_source, connect_hosts, vsock, NULL);
	g_source_attach(vsock->connect_source, virtio_device_services(device)->main_context);
	return true;
}

static void vsock_teardown(VirtioDevice *device)
{
	VirtioVsock *vsock = virtio_vsock(device);
	ConnectRequest *request;

	g_source_destroy(vsock->connect_source);
	g_clear_pointer(&vsock->connect_source, g_source_unref);
	while ((request = next_request(vsock)))
		g_free(request);
	g_mutex_clear(&vsock->connect_lock);
	drop_all(vsock);
	g_clear_pointer(&vsock->named, g_hash_table_unref);
	g_clear_pointer(&vsock->all, g_hash_table_unref);
	socket_unlink(vsock->listen_fd);
	fd_close(&vsock->listen_fd);
	fd_close(&vsock->spare_fd);
}

static const StateField vsock_fields[] = {
	STATE_PART(VirtioVsock, virtio, &virtio_device_state),
	STATE_END,
};

static bool vsock_after_load(void *object, GError **error)
{
	VirtioVsock *vsock = object;

	(void)error;
	vsock->was_loaded = true;
	return true;
}

static const StateTable vsock_state = {
	.name = "virtio-vsock",
	.version = 1,
	.minimum_version = 1,
	.fields = vsock_fields,
	.after_load = vsock_after_load,
};

static const Property vsock_properties[] = {
	{ .name = "guest-cid",
	  .kind = PROPERTY_UINT64,
	  .offset = offsetof(VirtioVsock, guest_cid),
	  .minimum = CID_MIN,
	  .maximum = UINT32_MAX - 1,
	  .required = true,
	  .description = "context id of the guest, its address" },
	{ .name = "path",
	  .kind = PROPERTY_STRING,
	  .offset = offsetof(VirtioVsock, path),
	  .required = true,
	  .description =
		  "unix socket to connect to the guest by; PATH_PORT is what it connects to" },
	PROPERTY_END,
};

const VirtioDeviceType virtio_vsock_type = {
	.pci = {
		.device = {
			.name = "virtio-vsock-pci",
			.description = "sockets between host and guest, over a unix socket",
			.category = "Misc",
			.bus_kind = "PCI",
			.instance_size = sizeof(VirtioVsock),
			.properties = { vsock_properties, virtio_device_properties,
					pci_device_properties },
			.state = &vsock_state,
			.hotpluggable = true,
			.user_creatable = true,
			.realize = virtio_device_realize,
			.unrealize = virtio_device_unrealize,
			.reset = virtio_device_reset,
			.pause = virtio_device_pause,
			.resume = virtio_device_resume,
		},
		VIRTIO_PCI_TYPE(VIRTIO_ID_VSOCK, PCI_CLASS_COMMUNICATION),
	},
	.config_size = sizeof(uint64_t),
	.setup = vsock_setup,
	.teardown = vsock_teardown,
	.reset = vsock_reset,
	.read_config = vsock_read_config,
	.start = vsock_start,
	.stop = vsock_stop,
	.queue_ready = vsock_queue_ready,
};
