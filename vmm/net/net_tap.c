/*
 * net_tap.c: -netdev tap, an interface of the host
 *
 * With IFF_VNET_HDR the header goes through as it is, and checksums and segmentation are left to
 * whoever is best at it; without, headers are added and taken off here.
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
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

/* Frames thrown away in one go while the link is down. */
#define DROP_BATCH 64

typedef struct NetTap {
	Netdev netdev;
	int fd;
	bool has_header;
	unsigned offloads; /* NetOffload bits that the host can do */
	char name[IFNAMSIZ];
	IoWatch *read_watch, *write_watch; /* loop thread's */
} NetTap;

static const struct {
	NetOffload offload;
	unsigned tun_flag;
} offload_flags[] = {
	{ NET_OFFLOAD_CHECKSUM, TUN_F_CSUM }, { NET_OFFLOAD_TSO4, TUN_F_TSO4 },
	{ NET_OFFLOAD_TSO6, TUN_F_TSO6 },     { NET_OFFLOAD_TSO_ECN, TUN_F_TSO_ECN },
	{ NET_OFFLOAD_UFO, TUN_F_UFO },
};

static int apply_offloads(NetTap *tap, unsigned offloads)
{
	unsigned flags = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_flags); i++) {
		if (offloads & offload_flags[i].offload)
			flags |= offload_flags[i].tun_flag;
	}
	return ioctl(tap->fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

static bool tap_open_named(NetTap *tap, const char *name, bool header, GError **error)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | (header ? IFF_VNET_HDR : 0) };

	if (strlen(name) >= sizeof(request.ifr_name))
		return error_fail(error, "interface name '%s' is longer than %zu bytes", name,
				  sizeof(request.ifr_name) - 1);
	g_strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	tap->fd = fd_open("/dev/net/tun", O_RDWR | O_NONBLOCK, 0, NULL, error);
	if (tap->fd < 0)
		return false;
	if (ioctl(tap->fd, TUNSETIFF, &request) < 0)
		return error_fail_errno(error, errno, "cannot use tap '%s'", name);
	tap->has_header = header;
	g_strlcpy(tap->name, request.ifr_name, sizeof(tap->name));
	return true;
}

static bool tap_check_fd(NetTap *tap, const QapiNetdevTapOptions *options, GError **error)
{
	struct ifreq request = {};
	int fd = netdev_take_fd(&tap->netdev, options->fd, error);

	if (fd < 0)
		return false;
	if (ioctl(fd, TUNGETIFF, &request) < 0) {
		netdev_refuse_fd(options->fd, fd);
		return error_fail(error, "descriptor '%s' is not a tap", options->fd);
	}
	tap->fd = fd;
	if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI))
		return error_fail(error, "descriptor '%s' is not a tap without packet information",
				  options->fd);
	tap->has_header = request.ifr_flags & IFF_VNET_HDR;
	if (options->has_vnet_hdr && options->vnet_hdr != tap->has_header)
		return error_fail(error, "descriptor '%s' was opened %s headers ('vnet_hdr')",
				  options->fd, tap->has_header ? "with" : "without");
	g_strlcpy(tap->name, request.ifr_name, sizeof(tap->name));
	return fd_set_nonblocking(fd, true, error);
}

static bool check_script(const char *key, const char *value, GError **error)
{
	if (value && !g_str_equal(value, "no"))
		return error_fail(error, "'%s' can only be 'no': Vireo runs no scripts", key);
	return true;
}

static bool tap_open(Netdev *netdev, const QapiNetdev *options, GError **error)
{
	NetTap *tap = (NetTap *)netdev;
	const QapiNetdevTapOptions *own = &options->u.tap;
	int header_size = NET_HEADER_SIZE;
	bool opened;

	tap->fd = -1;
	if (!check_script("script", own->script, error) ||
	    !check_script("downscript", own->downscript, error))
		return false;
	if (!own->fd == !own->ifname)
		return error_fail(error, "a tap needs either 'ifname' or 'fd'");
	if (own->fd)
		opened = tap_check_fd(tap, own, error);
	else
		opened = tap_open_named(tap, own->ifname, !own->has_vnet_hdr || own->vnet_hdr,
					error);
	if (!opened || !tap->has_header)
		return opened;

	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header_size) < 0)
		return error_fail_errno(error, errno, "cannot set the header size of tap '%s'",
					tap->name);
	tap->offloads =
		NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_TSO_ECN;
	if (apply_offloads(tap, NET_OFFLOAD_CHECKSUM | NET_OFFLOAD_UFO) == 0)
		tap->offloads |= NET_OFFLOAD_UFO;
	/* Until the guest says what it can take. */
	if (apply_offloads(tap, 0) < 0)
		tap->offloads = 0;
	return true;
}

static void tap_close(Netdev *netdev)
{
	fd_close(&((NetTap *)netdev)->fd);
}

static char *tap_describe(Netdev *netdev)
{
	NetTap *tap = (NetTap *)netdev;

	return g_strdup_printf("type=tap,ifname=%s,fd=%d,vnet_hdr=%s", tap->name, tap->fd,
			       tap->has_header ? "on" : "off");
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
		g_warning("netdev '%s': cannot set offloads: %s", netdev->id, g_strerror(-result));
}

static void tap_readable(gpointer data)
{
	Netdev *netdev = data;

	netdev->listener->readable(netdev->opaque);
}

static void tap_watch_readable(Netdev *netdev, bool enabled)
{
	NetTap *tap = (NetTap *)netdev;

	if (enabled && !tap->read_watch)
		tap->read_watch =
			io_loop_watch_fd(netdev->loop, tap->fd, false, tap_readable, netdev);
	else if (!enabled && tap->read_watch)
		io_watch_remove(g_steal_pointer(&tap->read_watch));
}

static void tap_writable(gpointer data)
{
	NetTap *tap = data;

	io_watch_remove(g_steal_pointer(&tap->write_watch));
	tap->netdev.listener->writable(tap->netdev.opaque);
}

static void tap_stop(Netdev *netdev)
{
	NetTap *tap = (NetTap *)netdev;

	tap_watch_readable(netdev, false);
	if (tap->write_watch)
		io_watch_remove(g_steal_pointer(&tap->write_watch));
}

static ssize_t drop_frames(NetTap *tap)
{
	char byte;

	for (int i = 0; i < DROP_BATCH; i++) {
		/* A frame is consumed whole, however little of it is asked for. */
		if (read(tap->fd, &byte, 1) < 0 && errno != EINTR && errno != EINVAL)
			return errno == EAGAIN ? -EAGAIN : -errno;
	}
	return -EAGAIN;
}

static ssize_t tap_receive(Netdev *netdev, const struct iovec *iov, unsigned n_iov)
{
	NetTap *tap = (NetTap *)netdev;
	struct iovec buffers[NET_MAX_IOV];
	size_t added = tap->has_header ? 0 : NET_HEADER_SIZE;
	char excess;
	ssize_t got;
	int count;

	if (!netdev_link_up(netdev))
		return drop_frames(tap);
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
		got = readv(tap->fd, buffers, count + 1);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	return (size_t)got > iov_size(buffers, count) ? -EMSGSIZE : got + (ssize_t)added;
}

static int tap_send(Netdev *netdev, const struct iovec *iov, unsigned n_iov)
{
	NetTap *tap = (NetTap *)netdev;
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
		sent = writev(tap->fd, iov, count);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	if (errno != EAGAIN)
		return -errno;
	if (!tap->write_watch)
		tap->write_watch = io_loop_watch_fd(netdev->loop, tap->fd, true, tap_writable, tap);
	return -EAGAIN;
}

const NetdevOps netdev_tap_ops = {
	.object_size = sizeof(NetTap),
	.open = tap_open,
	.close = tap_close,
	.describe = tap_describe,
	.stop = tap_stop,
	.offloads = tap_offloads,
	.set_offloads = tap_set_offloads,
	.watch_readable = tap_watch_readable,
	.receive = tap_receive,
	.send = tap_send,
};
