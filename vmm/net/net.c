/*
 * net.c: the netdevs of a machine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/net/net_internal.h"
#include "vmm/base/error.h"
#include "vmm/base/iov.h"

#include <errno.h>
#include <string.h>

struct Netdevs {
	FdNameTaker fd_names;
	GHashTable *by_id; /* char * (the netdev's) -> Netdev * (owned) */
	GPtrArray *in_order;
};

Netdevs *netdevs_new(void)
{
	Netdevs *netdevs = g_new0(Netdevs, 1);

	netdevs->by_id = g_hash_table_new(g_str_hash, g_str_equal);
	netdevs->in_order = g_ptr_array_new();
	return netdevs;
}

static void netdev_free(Netdev *netdev)
{
	if (!netdev->removed)
		netdev->ops->close(netdev);
	g_free(netdev->user);
	g_free(netdev->id);
	g_free(netdev);
}

void netdevs_free(Netdevs *netdevs)
{
	if (!netdevs)
		return;
	g_hash_table_unref(netdevs->by_id);
	for (unsigned i = 0; i < netdevs->in_order->len; i++)
		netdev_free(g_ptr_array_index(netdevs->in_order, i));
	g_ptr_array_unref(netdevs->in_order);
	g_free(netdevs);
}

void netdevs_set_fd_names(Netdevs *netdevs, const FdNameTaker *taker)
{
	netdevs->fd_names = *taker;
}

int netdev_take_fd(Netdev *netdev, const char *text, GError **error)
{
	return fd_take(&netdev->owner->fd_names, text, error);
}

void netdev_refuse_fd(const char *text, int fd)
{
	/* A number may be wrong, and then be anybody's; what getfd was given is ours. */
	if (!g_ascii_isdigit(text[0]))
		fd_close(&fd);
}

bool netdevs_add(Netdevs *netdevs, const QapiNetdev *options, GError **error)
{
	static const NetdevOps *const kinds[] = {
		[QAPI_NET_CLIENT_DRIVER_TAP] = &netdev_tap_ops,
		[QAPI_NET_CLIENT_DRIVER_STREAM] = &netdev_stream_ops,
		[QAPI_NET_CLIENT_DRIVER_VHOST_USER] = &netdev_vhost_user_ops,
	};
	const NetdevOps *ops = kinds[options->type];
	Netdev *netdev;

	if (!options->id[0])
		return error_fail(error, "'id' is empty");
	if (netdevs_find(netdevs, options->id))
		return error_fail(error, "netdev '%s' exists already", options->id);
	netdev = g_malloc0(ops->object_size);
	netdev->ops = ops;
	netdev->owner = netdevs;
	netdev->id = g_strdup(options->id);
	netdev->n_queues = 1;
	if (!ops->open(netdev, options, error)) {
		g_prefix_error(error, "netdev '%s': ", options->id);
		netdev_free(netdev);
		return false;
	}
	g_hash_table_insert(netdevs->by_id, netdev->id, netdev);
	g_ptr_array_add(netdevs->in_order, netdev);
	return true;
}

static void netdev_start(gpointer data)
{
	Netdev *netdev = data;

	if (netdev->ops->start)
		netdev->ops->start(netdev);
}

static void netdev_stop(gpointer data)
{
	Netdev *netdev = data;

	netdev->ops->stop(netdev);
}

/* On the loop thread, so that the card is not in the middle of something. */
static void netdev_go(gpointer data)
{
	Netdev *netdev = data;

	netdev->ops->stop(netdev);
	netdev->removed = true;
}

bool netdevs_remove(Netdevs *netdevs, const char *id, GError **error)
{
	Netdev *netdev = netdevs_find(netdevs, id);

	if (!netdev)
		return error_fail(error, "netdev '%s' not found", id);
	g_hash_table_remove(netdevs->by_id, id);
	g_ptr_array_remove(netdevs->in_order, netdev);
	if (!netdev->user) {
		netdev_free(netdev);
		return true;
	}
	/* For the card the cable is out from now on. */
	netdev_set_link(netdev, false);
	io_loop_run_sync(netdev->loop, netdev_go, netdev);
	netdev->ops->close(netdev);
	return true;
}

Netdev *netdevs_find(Netdevs *netdevs, const char *id)
{
	return g_hash_table_lookup(netdevs->by_id, id);
}

const char *netdev_id(const Netdev *netdev)
{
	return netdev->id;
}

bool netdev_attach(Netdev *netdev, const char *user, IoLoop *loop, const NetdevListener *listener,
		   void *opaque, GError **error)
{
	if (netdev->user)
		return error_fail(error, "netdev '%s' is in use by '%s'", netdev->id, netdev->user);
	netdev->user = g_strdup(user);
	netdev->loop = loop;
	netdev->listener = listener;
	netdev->opaque = opaque;
	io_loop_run_sync(loop, netdev_start, netdev);
	return true;
}

void netdev_detach(Netdev *netdev)
{
	if (!netdev->removed)
		io_loop_run_sync(netdev->loop, netdev_stop, netdev);
	g_clear_pointer(&netdev->user, g_free);
	netdev->loop = NULL;
	netdev->listener = NULL;
	netdev->opaque = NULL;
	if (netdev->removed)
		netdev_free(netdev);
}

bool netdev_has_vhost(const Netdev *netdev)
{
	NetdevVhost vhost;

	return netdev->ops->get_vhost && netdev->ops->get_vhost(netdev, 0, &vhost);
}

NetdevVhost netdev_get_vhost(const Netdev *netdev, unsigned queue)
{
	NetdevVhost vhost = { .vhost_fd = -1, .tap_fd = -1 };

	netdev->ops->get_vhost(netdev, queue, &vhost);
	return vhost;
}

const char *netdev_chardev(const Netdev *netdev)
{
	return netdev->ops->chardev && !netdev->removed ? netdev->ops->chardev(netdev) : NULL;
}

unsigned netdev_n_queues(const Netdev *netdev)
{
	return netdev->n_queues;
}

int netdev_use_queues(Netdev *netdev, unsigned n)
{
	if (netdev->removed || !netdev->ops->use_queues)
		return 0;
	return netdev->ops->use_queues(netdev, n);
}

unsigned netdev_offloads(const Netdev *netdev)
{
	return netdev->removed ? 0 : netdev->ops->offloads(netdev);
}

void netdev_set_offloads(Netdev *netdev, unsigned offloads)
{
	if (!netdev->removed)
		netdev->ops->set_offloads(netdev, offloads);
}

void netdev_watch_readable(Netdev *netdev, unsigned queue, bool enabled)
{
	if (!netdev->removed)
		netdev->ops->watch_readable(netdev, queue, enabled);
}

ssize_t netdev_receive(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov)
{
	return netdev->removed ? -ENODEV : netdev->ops->receive(netdev, queue, iov, n_iov);
}

int netdev_send(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov)
{
	if (netdev->removed)
		return -ENODEV;
	if (!netdev_link_up(netdev))
		return -ENETDOWN;
	return netdev->ops->send(netdev, queue, iov, n_iov);
}

bool netdev_link_up(const Netdev *netdev)
{
	return !g_atomic_int_get(&netdev->link_down);
}

void netdev_set_link(Netdev *netdev, bool up)
{
	if (netdev_link_up(netdev) == up)
		return;
	g_atomic_int_set(&netdev->link_down, !up);
	if (netdev->listener && netdev->listener->link_changed)
		netdev->listener->link_changed(netdev->opaque, up);
}

void netdev_zero_header(const struct iovec *iov, unsigned n_iov)
{
	static const uint8_t zeroes[NET_HEADER_SIZE];

	iov_copy_to(iov, n_iov, 0, zeroes, sizeof(zeroes));
}

int netdev_skip_header(const struct iovec *iov, unsigned n_iov, struct iovec *rest)
{
	size_t skip = NET_HEADER_SIZE;
	unsigned first = 0, count;

	while (first < n_iov && skip >= iov[first].iov_len)
		skip -= iov[first++].iov_len;
	count = n_iov - first;
	/* One entry is the caller's. */
	if ((count == 0 && skip > 0) || count >= NET_MAX_IOV)
		return -1;
	memcpy(rest, iov + first, count * sizeof(*iov));
	if (skip > 0) {
		rest[0].iov_base = (char *)rest[0].iov_base + skip;
		rest[0].iov_len -= skip;
	}
	return count;
}
