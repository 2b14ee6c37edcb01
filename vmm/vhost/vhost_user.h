/*
 * vhost_user.h: virtqueues that another process serves (the front end of vhost-user)
 *
 * The control socket is a chardev's. Everything is asked and answered on the main thread, each
 * operation within a time limit, so that a silent back end costs that much and no more. A back end
 * that breaks the protocol is cut off; one that dies may come back (VhostUserListener).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/chardev/chardev.h"
#include "vmm/vhost/vhost.h"

typedef struct VhostUser VhostUser;

/* How long one operation (a handshake, a start, a stop) may take. */
#define VHOST_USER_TIME_LIMIT_MS 5000u

typedef struct VhostUserOptions {
	unsigned n_vrings;   /* that the device has */
	unsigned queue_size; /* descriptors of one at most: with INFLIGHT_SHMFD */
	/* What a back end counts as one queue: 1, or 2 for network cards; 0: it is not asked. */
	unsigned vrings_in_unit;
	uint64_t protocol;	/* protocol features that are made use of, beside the common ones */
	uint64_t needed;	/* protocol features without which it cannot be */
	unsigned time_limit_ms; /* 0: VHOST_USER_TIME_LIMIT_MS */
} VhostUserOptions;

/* All on the main thread; none before vhost_user_new() has returned. */
typedef struct VhostUserListener {
	/* A back end is there again, and has been asked what it offers. */
	void (*connected)(void *opaque);
	/*
	 * It is gone; where it was cut off because of a @fault of its own, that (static text), else
	 * NULL. @returns: another may come.
	 */
	void (*lost)(void *opaque, bool returns, const char *fault);
	/* Device configuration changed. May be NULL. */
	void (*config_changed)(void *opaque);
} VhostUserListener;

/*
 * Claim @chardev for the device called @user, connect, and negotiate. NULL and @error when there is
 * no back end or it lacks what is needed. vhost_free() lets go of it.
 */
VhostUser *vhost_user_new(Chardev *chardev, const char *user, const VhostUserOptions *options,
			  const VhostUserListener *listener, void *opaque, GError **error);

/* The carrier. */
static inline Vhost *vhost_user_carrier(VhostUser *user)
{
	return (Vhost *)user;
}

/* Whether protocol feature @bit was negotiated. */
bool vhost_user_has(const VhostUser *user, unsigned bit);

/* How many queues (in units) the back end has; 1 unless it said otherwise. */
unsigned vhost_user_queues(const VhostUser *user);

/* Whether there is a back end now. */
bool vhost_user_is_connected(const VhostUser *user);

/* Read @size bytes of device configuration from the back end. False and @error. */
bool vhost_user_get_config(VhostUser *user, void *config, unsigned size, GError **error);
/* Have the back end change @size bytes of it at @offset, as the driver wrote them. */
bool vhost_user_set_config(VhostUser *user, unsigned offset, const void *data, unsigned size,
			   GError **error);

/* Tell a network back end the guest's MTU, or to announce @mac; where it negotiated that. */
bool vhost_user_set_mtu(VhostUser *user, uint16_t mtu, GError **error);
bool vhost_user_announce(VhostUser *user, const uint8_t mac[6], GError **error);

/* End the connection because of @reason, a fault of the back end's; lost() follows. */
void vhost_user_cut_off(VhostUser *user, const char *reason);
