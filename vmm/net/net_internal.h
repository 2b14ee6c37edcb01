/*
 * net_internal.h: what the kinds of netdev share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/net/net.h"

#include "qapi-types.h"

/* A frame's header and its buffers; what virtqueues allow. */
#define NET_MAX_IOV 1024u

typedef struct NetdevOps {
	size_t object_size; /* of the kind's structure, which starts with its Netdev */

	/* Main thread. */
	bool (*open)(Netdev *netdev, const QapiNetdev *options, GError **error);
	/* Main thread, after stop() where it was attached. Also after a failed open. */
	void (*close)(Netdev *netdev);

	/* Loop thread: the card came, is about to go. stop() ends all watches. May be NULL. */
	void (*start)(Netdev *netdev);
	void (*stop)(Netdev *netdev);

	/* As the netdev_*() functions. use_queues is NULL where there is only one pair. */
	int (*use_queues)(Netdev *netdev, unsigned n);
	/* NULL: it never has one; else false: this one has none. */
	bool (*get_vhost)(const Netdev *netdev, unsigned queue, NetdevVhost *vhost);
	/* Of the process that has the queues, instead of what follows. NULL: there is none. */
	const char *(*chardev)(const Netdev *netdev);
	unsigned (*offloads)(const Netdev *netdev);
	void (*set_offloads)(Netdev *netdev, unsigned offloads);
	void (*watch_readable)(Netdev *netdev, unsigned queue, bool enabled);
	ssize_t (*receive)(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov);
	int (*send)(Netdev *netdev, unsigned queue, const struct iovec *iov, unsigned n_iov);
} NetdevOps;

struct Netdev {
	const NetdevOps *ops;
	Netdevs *owner;
	char *id;
	unsigned n_queues; /* pairs; 1 unless open() says otherwise */
	char *user;	   /* NULL: no card */
	IoLoop *loop;
	const NetdevListener *listener;
	void *opaque;
	/* netdev_del came before the card went, with which it is freed. Set on the loop thread. */
	bool removed;
	gint link_down; /* atomic */
};

extern const NetdevOps netdev_stream_ops;
extern const NetdevOps netdev_tap_ops;
extern const NetdevOps netdev_vhost_user_ops;

/*
 * The descriptor that @text is about: a number as inherited, or a name given with getfd. Now the
 * caller's; -1 and @error if there is none such.
 */
int netdev_take_fd(Netdev *netdev, const char *text, GError **error);

/* Give up @fd, which netdev_take_fd(@text) returned and which turned out not to fit. */
void netdev_refuse_fd(const char *text, int fd);

/* Zero the header, or as much of it as @iov has room for. */
void netdev_zero_header(const struct iovec *iov, unsigned n_iov);

/*
 * Fill in @rest (NET_MAX_IOV entries) with @iov after its first NET_HEADER_SIZE bytes; returns how
 * many entries, or -1 where it is shorter or has too many.
 */
int netdev_skip_header(const struct iovec *iov, unsigned n_iov, struct iovec *rest);
