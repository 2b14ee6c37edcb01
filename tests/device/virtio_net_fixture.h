/*
 * virtio_net_fixture.h: a network card driven as a guest would, or would not
 *
 * The netdev is a fake: a list of frames to receive for each queue, and a list of those sent.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qmp/qmp_event.h"
#include "tests/device/virtio_driver.h"
#include "vmm/virtio/virtio_net.h"

#define F_MRG_RXBUF VIRTIO_FEATURE(15)
#define F_MQ	    VIRTIO_FEATURE(22)
#define F_ALL	    UINT64_MAX
#define MAC	    "\x52\x54\x00\x01\x02\x03"

enum { RX, TX, CTRL };
#define QUEUES 4

struct Netdev {
	IoLoop *loop;
	const NetdevListener *listener;
	void *opaque;
	unsigned supported;
	bool attached, link_up, has_vhost;

	GMutex lock;
	unsigned offloads;
	bool watched[QUEUES];	   /* loop thread */
	bool busy;		   /* sending gives -EAGAIN */
	bool gone;		   /* both directions give -EBADFD */
	GQueue to_receive[QUEUES]; /* GBytes, header first */
	GPtrArray *sent;	   /* GBytes */
	unsigned sent_by;	   /* the queue of the last */
	unsigned n_queues, n_used;
};

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	Netdev *netdev;
	Device *device;
	VirtioDriver driver;
	QmpEventSink sink;
	unsigned n_filter_events; /* atomic */
	unsigned control;	  /* the control queue, where it is not CTRL */
} Fixture;

/* For g_test_add(); @options are more properties of the card. */
void set_up(Fixture *fixture, gconstpointer options);
void tear_down(Fixture *fixture, gconstpointer data);

/*
 * Let a frame of @size bytes, header included, arrive at the netdev's @queue for @mac, with a
 * VLAN's
 * @tag where @type is that; the rest is a pattern.
 */
void arrive_at(Fixture *fixture, unsigned queue, const char *mac, uint16_t type, uint16_t tag,
	       size_t size);

/* The same of a frame that is @bytes, header first; takes them. */
void arrive_bytes(Fixture *fixture, unsigned queue, uint8_t *bytes, size_t size);

/* A frame as arrive_at() has it, at the first queue. */
void arrive(Fixture *fixture, const char *mac, uint16_t type, uint16_t tag, size_t size);

/* Offer @n buffers of @size bytes each at descriptors @first.. of @queue; returns where they are.
 */
uint64_t offer_buffers_to(Fixture *fixture, unsigned queue, unsigned first, unsigned n,
			  uint32_t size);

/* The same at the first receive queue. */
uint64_t offer_buffers(Fixture *fixture, unsigned first, unsigned n, uint32_t size);

/* What is at @gpa is the pattern of a frame of @size bytes. */
void assert_pattern(Fixture *fixture, uint64_t gpa, size_t size);

/* No frame comes that was not taken yet. */
void assert_nothing_received(Fixture *fixture);

/* Whether a small frame that arrives for @mac is handed on. */
bool receives(Fixture *fixture, const char *mac, uint16_t type, uint16_t tag);

/* How many frames the netdev was given. */
unsigned n_sent(Fixture *fixture);

/* Offer a frame of @size bytes, header included, at descriptors @head and the next. */
void send_frame(Fixture *fixture, unsigned head, uint32_t size);

/* The netdev @data takes no more frames. On its loop. */
void become_busy(gpointer data);

/* Run control command @class @code with @size bytes of @data; returns the answer. */
uint8_t control(Fixture *fixture, uint8_t class, uint8_t code, gconstpointer data, uint32_t size);

/* Register @func with a fixture whose card has @options. */
static inline void net_fixture_add(const char *path, void (*func)(Fixture *, gconstpointer),
				   const char *options)
{
	g_autofree char *full = g_strconcat("/virtio-net/", path, NULL);

	g_test_add(full, Fixture, options, set_up, func, tear_down);
}
