/*
 * net_tap.c: -netdev tap, an interface of the host
 *
 * With IFF_VNET_HDR the header goes through as it is, and checksums and segmentation are left to
 * whoever is best at it; without, headers are added and taken off here.
 *
 * A tap with several queues has a descriptor for each. The kernel spreads flows over those that are
 * attached, and has replies to what was sent by a queue arrive there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/net/net_internal.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

/* Frames thrown away in one go while the link is down. */
#define DROP_BATCH 64

/* Linux 6.2; the kernel says at run time whether it knows them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

typedef struct NetTap NetTap;

typedef struct TapQueue {
	NetTap *tap;
	int fd;
	int vhost_fd;			   /* -1: frames go through this process */
	bool detached;			   /* the kernel gives it no frames */
	IoWatch *read_watch, *write_watch; /* loop thread's */
} TapQueue;

struct NetTap {
	Netdev netdev;
	TapQueue *queues; /* netdev.n_queues */
	bool has_header;
	unsigned offloads; /* NetOffload bits that the host can do */
	char name[IFNAMSIZ];
};

static const struct {
	NetOffload offload;
	unsigned tun_flag;
} offload_flags[] = {
	{ NET_OFFLOAD_CHECKSUM, TUN_F_CSUM }, { NET_OFFLOAD_TSO4, TUN_F_TSO4 },
	{ NET_OFFLOAD_TSO6, TUN_F_TSO6 },     { NET_OFFLOAD_TSO_ECN, TUN_F_TSO_ECN },
	{ NET_OFFLOAD_UFO, TUN_F_UFO },	      { NET_OFFLOAD_USO4, TUN_F_USO4 },
	{ NET_OFFLOAD_USO6, TUN_F_USO6 },
};

static int apply_offloads(NetTap *tap, unsigned offloads)
{
	unsigned flags = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_flags); i++) {
		if (offloads & offload_flags[i].offload)
			flags |= offload_flags[i].tun_flag;
	}
	return ioctl(tap->queues[0].fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

static void add_queues(NetTap *tap, unsigned n)
{
	tap->netdev.n_queues = n;
	tap->queues = g_new0(TapQueue, n);
	for (unsigned i = 0; i < n; i++)
		tap->queues[i] = (TapQueue){ .tap = tap, .fd = -1, .vhost_fd = -1 };
}

static bool tap_open_named(NetTap *tap, const QapiNetdevTapOptions *options, GError **error)
{
	const char *name = options->ifname;
	uint32_t n = options->has_queues ? options->queues : 1;
	bool header = !options->has_vnet_hdr || options->vnet_hdr;
	struct ifreq request = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | (header ? IFF_VNET_HDR : 0) |
			     (n > 1 ? IFF_MULTI_QUEUE : 0),
	};

	if (n < 1 || n > NET_QUEUES_MAX)
		return error_fail(error, "'queues' is not between 1 and %u", NET_QUEUES_MAX);
	if (strlen(name) >= sizeof(request.ifr_name))
		return error_fail(error, "interface name '%s' is longer than %zu bytes", name,
				  sizeof(request.ifr_name) - 1);
	g_strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	add_queues(tap, n);
	for (unsigned i = 0; i < n; i++) {
		tap->queues[i].fd = fd_open("/dev/net/tun", O_RDWR | O_NONBLOCK, 0, NULL, error);
		if (tap->queues[i].fd < 0)
			return false;
		/* The kernel fills in the name of one that it makes, which the next ones join. */
		if (ioctl(tap->queues[i].fd, TUNSETIFF, &request) < 0)
			return error_fail_errno(error, errno, "cannot use tap '%s'", name);
	}
	tap->has_header = header;
	g_strlcpy(tap->name, request.ifr_name, sizeof(tap->name));
	return true;
}

/* Descriptor @text is to be queue @i, and like those before it. */
static bool tap_take_fd(NetTap *tap, unsigned i, const char *text,
			const QapiNetdevTapOptions *options, GError **error)
{
	struct ifreq request = {};
	int fd = netdev_take_fd(&tap->netdev, text, error);

	if (fd < 0)
		return false;
	if (ioctl(fd, TUNGETIFF, &request) < 0) {
		netdev_refuse_fd(text, fd);
		return error_fail(error, "descriptor '%s' is not a tap", text);
	}
	tap->queues[i].fd = fd;
	if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI))
		return error_fail(error, "descriptor '%s' is not a tap without packet information",
				  text);
	if (i == 0) {
		tap->has_header = request.ifr_flags & IFF_VNET_HDR;
		g_strlcpy(tap->name, request.ifr_name, sizeof(tap->name));
	} else if (strcmp(tap->name, request.ifr_name) != 0) {
		return error_fail(error, "descriptor '%s' is of tap '%s', not '%s'", text,
				  request.ifr_name, tap->name);
	}
	if (options->has_vnet_hdr && options->vnet_hdr != tap->has_header)
		return error_fail(error, "descriptor '%s' was opened %s headers ('vnet_hdr')", text,
				  tap->has_header ? "with" : "without");
	return fd_set_nonblocking(fd, true, error);
}

static bool tap_take_fds(NetTap *tap, const QapiNetdevTapOptions *options, GError **error)
{
	const char *text = options->fd ? options->fd : options->fds;
	/* A single name may have any character. */
	g_auto(GStrv) names = g_strsplit(text, ":", options->fd ? 1 : 0);
	unsigned n = g_strv_length(names);

	if (options->has_queues)
		return error_fail(error, "'queues' is for 'ifname'; descriptors are counted");
	if (n < 1 || n > NET_QUEUES_MAX)
		return error_fail(error, "'fds' are not between 1 and %u", NET_QUEUES_MAX);
	add_queues(tap, n);
	for (unsigned i = 0; i < n; i++) {
		if (!tap_take_fd(tap, i, names[i], options, error))
			return false;
	}
	return true;
}

static bool check_script(const char *key, const char *value, GError **error)
{
	if (value && !g_str_equal(value, "no"))
		return error_fail(error, "'%s' can only be 'no': Vireo runs no scripts", key);
	return true;
}

/* Whether what @options say of vhost makes sense. */
static bool check_vhost(const QapiNetdevTapOptions *options, GError **error)
{
	bool on = options->has_vhost && options->vhost;
	const char *alone = options->vhostfd				     ? "vhostfd"
			    : options->vhostfds				     ? "vhostfds"
			    : options->has_vhostforce && options->vhostforce ? "vhostforce"
									     : NULL;

	if (alone && options->has_vhost && !on)
		return error_fail(error, "'%s' contradicts vhost=off", alone);
	if (options->vhostfd && options->vhostfds)
		return error_fail(error, "'vhostfd' and 'vhostfds' are alternatives");
	return true;
}

/* Descriptors that were passed: one for each queue. */
static bool take_vhost_fds(NetTap *tap, const QapiNetdevTapOptions *options, GError **error)
{
	const char *text = options->vhostfd ? options->vhostfd : options->vhostfds;
	g_auto(GStrv) names = g_strsplit(text, ":", options->vhostfd ? 1 : 0);
	unsigned n = g_strv_length(names);

	if (n != tap->netdev.n_queues)
		return error_fail(error, "there are %u descriptors of vhost for %u queues", n,
				  tap->netdev.n_queues);
	for (unsigned i = 0; i < n; i++) {
		uint64_t features;
		int fd = netdev_take_fd(&tap->netdev, names[i], error);

		if (fd < 0)
			return false;
		if (ioctl(fd, VHOST_GET_FEATURES, &features) < 0) {
			netdev_refuse_fd(names[i], fd);
			return error_fail(error, "descriptor '%s' is not vhost", names[i]);
		}
		tap->queues[i].vhost_fd = fd;
	}
	return true;
}

static bool open_vhost(NetTap *tap, GError **error)
{
	for (unsigned i = 0; i < tap->netdev.n_queues; i++) {
		tap->queues[i].vhost_fd = fd_open("/dev/vhost-net", O_RDWR, 0, NULL, error);
		if (tap->queues[i].vhost_fd < 0)
			return false;
	}
	return true;
}

static void close_vhost(NetTap *tap)
{
	for (unsigned i = 0; i < tap->netdev.n_queues; i++)
		fd_close(&tap->queues[i].vhost_fd);
}

/* Where vhost was not insisted on, its absence is no error: frames then go through here. */
static bool tap_find_vhost(NetTap *tap, const QapiNetdevTapOptions *options, GError **error)
{
	bool passed = options->vhostfd || options->vhostfds;
	bool forced = passed || (options->has_vhostforce && options->vhostforce);
	GError *failure = NULL;

	if (!forced && !(options->has_vhost && options->vhost))
		return true;
	if (!tap->has_header)
		error_fail(&failure, "vhost needs a tap with headers ('vnet_hdr')");
	else if (passed ? take_vhost_fds(tap, options, &failure) : open_vhost(tap, &failure))
		return true;
	close_vhost(tap);
	if (forced) {
		g_propagate_error(error, failure);
		return false;
	}
	g_message("netdev '%s' does without vhost: %s", tap->netdev.id, failure->message);
	g_error_free(failure);
	return true;
}

static bool tap_get_vhost(const Netdev *netdev, unsigned number, NetdevVhost *vhost)
{
	const TapQueue *queue = &((const NetTap *)netdev)->queues[number];

	*vhost = (NetdevVhost){ .vhost_fd = queue->vhost_fd, .tap_fd = queue->fd };
	return queue->vhost_fd >= 0;
}

/* A tap has one of each for all its queues, a macvtap one for each of them. */
static bool set_of_queues(NetTap *tap, unsigned long request, int *value, const char *what,
			  GError **error)
{
	for (unsigned i = 0; i < tap->netdev.n_queues; i++) {
		if (ioctl(tap->queues[i].fd, request, value) < 0)
			return error_fail_errno(error, errno, "cannot set %s of tap '%s'", what,
						tap->name);
	}
	return true;
}

/* What was sent and not taken yet counts. */
static bool limit_sending(NetTap *tap, const QapiNetdevTapOptions *options, GError **error)
{
	int limit = INT_MAX;

	if (!options->has_sndbuf)
		return true;
	if (options->sndbuf > 0 && options->sndbuf < INT_MAX)
		limit = (int)options->sndbuf;
	return set_of_queues(tap, TUNSETSNDBUF, &limit, "'sndbuf'", error);
}

static bool tap_open(Netdev *netdev, const QapiNetdev *options, GError **error)
{
	NetTap *tap = (NetTap *)netdev;
	const QapiNetdevTapOptions *own = &options->u.tap;
	int header_size = NET_HEADER_SIZE;
	bool opened;

	if (!check_script("script", own->script, error) ||
	    !check_script("downscript", own->downscript, error) || !check_vhost(own, error))
		return false;
	if (!!own->fd + !!own->fds + !!own->ifname != 1)
		return error_fail(error, "a tap needs one of 'ifname', 'fd' and 'fds'");
	opened = own->ifname ? tap_open_named(tap, own, error) : tap_take_fds(tap, own, error);
	if (!opened || !limit_sending(tap, own, error) || !tap_find_vhost(tap, own, error))
		return false;
	if (!tap->has_header)
		return true;

	if (!set_of_queues(tap, TUNSETVNETHDRSZ, &header_size, "the header size", error))
		return false;
	tap->offloads =
		NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_TSO_ECN;
	if (apply_offloads(tap, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_UFO) == 0)
		tap->offloads |= NET_OFFLOAD_UFO;
	if (apply_offloads(tap, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6) == 0)
		tap->offloads |= NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6;
	/* Until the guest says what it can take. */
	if (apply_offloads(tap, 0) < 0)
		tap->offloads = 0;
	return true;
}

static void tap_close(Netdev *netdev)
{
	NetTap *tap = (NetTap *)netdev;

	for (unsigned i = 0; tap->queues && i < netdev->n_queues; i++)
		fd_close(&tap->queues[i].fd);
	if (tap->queues)
		close_vhost(tap);
	g_clear_pointer(&tap->queues, g_free);
}

static unsigned tap_offloads(const Netdev *netdev)
{
	return ((const NetTap *)netdev)->offloads;
}

static void tap_set_offloads(Netdev *netdev, unsigned offloads)
{
	NetTap *tap = (NetTap *)netdev;
	int result;

	if (!tap->has_header)
		return;
	result = apply_offloads(tap, offloads & tap->offloads);
	if (result < 0)
		g_warning("netdev '%s': cannot set offloads: %s", netdev->id, error_text(-result));
}

static int set_detached(TapQueue *queue, bool detached)
{
	struct ifreq request = {
		.ifr_flags = detached ? IFF_DETACH_QUEUE : IFF_ATTACH_QUEUE,
	};

	if (queue->detached == detached)
		return 0;
	if (ioctl(queue->fd, TUNSETQUEUE, &request) < 0)
		return -errno;
	queue->detached = detached;
	return 0;
}

static int tap_use_queues(Netdev *netdev, unsigned n)
{
	NetTap *tap = (NetTap *)netdev;
	int result = 0;

	for (unsigned i = 0; i < netdev->n_queues && result == 0; i++)
		result = set_detached(&tap->queues[i], i >= n);
	return result;
}

static unsigned number_of(const TapQueue *queue)
{
	return queue - queue->tap->queues;
}

static void tap_readable(gpointer data)
{
	TapQueue *queue = data;
	Netdev *netdev = &queue->tap->netdev;

	netdev->listener->readable(netdev->opaque, number_of(queue));
}

static void tap_watch_readable(Netdev *netdev, unsigned number, bool enabled)
{
	TapQueue *queue = &((NetTap *)netdev)->queues[number];

	if (enabled && !queue->read_watch)
		queue->read_watch =
			io_loop_watch_fd(netdev->loop, queue->fd, false, tap_readable, queue);
	else if (!enabled && queue->read_watch)
		io_watch_remove(g_steal_pointer(&queue->read_watch));
}

static void tap_writable(gpointer data)
{
	TapQueue *queue = data;
	Netdev *netdev = &queue->tap->netdev;

	io_watch_remove(g_steal_pointer(&queue->write_watch));
	netdev->listener->writable(netdev->opaque, number_of(queue));
}

static void tap_start(Netdev *netdev)
{
	int result = tap_use_queues(netdev, 1);

	if (result < 0)
		g_warning("netdev '%s': cannot do with one queue: %s", netdev->id,
			  error_text(-result));
}

static void tap_stop(Netdev *netdev)
{
	NetTap *tap = (NetTap *)netdev;

	for (unsigned i = 0; i < netdev->n_queues; i++) {
		tap_watch_readable(netdev, i, false);
		if (tap->queues[i].write_watch)
			io_watch_remove(g_steal_pointer(&tap->queues[i].write_watch));
	}
}

static ssize_t drop_frames(int fd)
{
	char byte;

	for (int i = 0; i < DROP_BATCH; i++) {
		/* A frame is consumed whole, however little of it is asked for. */
		if (read(fd, &byte, 1) < 0 && errno != EINTR && errno != EINVAL)
			return errno == EAGAIN ? -EAGAIN : -errno;
	}
	return -EAGAIN;
}

static ssize_t tap_receive(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov)
{
	NetTap *tap = (NetTap *)netdev;
	int fd = tap->queues[queue].fd;
	struct iovec buffers[NET_MAX_IOV];
	size_t added = tap->has_header ? 0 : NET_HEADER_SIZE;
	char excess;
	ssize_t got;
	int count;

	if (!netdev_link_up(netdev))
		return drop_frames(fd);
	if (tap->has_header) {
		count = n_iov < NET_MAX_IOV ? (int)n_iov : -1;
		if (count >= 0)
			memcpy(buffers, iov, n_iov * sizeof(*iov));
	} else {
		count = netdev_skip_header(iov, n_iov, buffers);
	}
	if (count < 0)
		return -EINVAL;
	/* Some kernels (6.1) leave the number of buffers in the header as it is. */
	netdev_zero_header(iov, n_iov);
	/* The kernel cuts off what does not fit without saying so: a byte more tells. */
	buffers[count].iov_base = &excess;
	buffers[count].iov_len = 1;
	do {
		got = readv(fd, buffers, count + 1);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	return (size_t)got > iov_size(buffers, count) ? -EMSGSIZE : got + (ssize_t)added;
}

static int tap_send(Netdev *netdev, unsigned number, const struct iovec *iov, unsigned n_iov)
{
	NetTap *tap = (NetTap *)netdev;
	TapQueue *queue = &tap->queues[number];
	struct iovec rest[NET_MAX_IOV];
	ssize_t sent;
	int count = n_iov;

	if (!tap->has_header) {
		count = netdev_skip_header(iov, n_iov, rest);
		iov = rest;
	}
	if (count <= 0 || count > (int)NET_MAX_IOV)
		return -EINVAL;
	do {
		sent = writev(queue->fd, iov, count);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	if (errno != EAGAIN)
		return -errno;
	if (!queue->write_watch)
		queue->write_watch =
			io_loop_watch_fd(netdev->loop, queue->fd, true, tap_writable, queue);
	return -EAGAIN;
}

const NetdevOps netdev_tap_ops = {
	.object_size = sizeof(NetTap),
	.open = tap_open,
	.close = tap_close,
	.start = tap_start,
	.stop = tap_stop,
	.use_queues = tap_use_queues,
	.get_vhost = tap_get_vhost,
	.offloads = tap_offloads,
	.set_offloads = tap_set_offloads,
	.watch_readable = tap_watch_readable,
	.receive = tap_receive,
	.send = tap_send,
};
