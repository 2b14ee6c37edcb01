/*
 * vhost_user.c: virtqueues that another process serves (the front end of vhost-user)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/vhost/vhost_user.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/vhost/vhost_user_internal.h"

#define BIT(number) (1ULL << (number))

static const uint64_t common_protocol =
	BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |
	BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |
	BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_F_STATUS);

/* SET_STATUS: ACKNOWLEDGE, DRIVER, FEATURES_OK, and with DRIVER_OK (virtio 1.2 §2.1). */
#define STATUS_FEATURES_OK 0x0bu
#define STATUS_DRIVER_OK   0x0fu

static VhostUser *vhost_user(Vhost *vhost)
{
	return (VhostUser *)vhost;
}

bool vhost_user_has(const VhostUser *user, unsigned bit)
{
	return user->protocol & BIT(bit);
}

unsigned vhost_user_queues(const VhostUser *user)
{
	return user->n_queues;
}

bool vhost_user_is_connected(const VhostUser *user)
{
	return user->socket >= 0;
}

static void begin(VhostUser *user)
{
	user->deadline = g_get_monotonic_time() + user->options.time_limit_ms * INT64_C(1000);
}

static bool peer_is_gone(const VhostUser *user)
{
	struct pollfd polled = { .fd = user->socket, .events = POLLRDHUP };

	return poll(&polled, 1, 0) > 0 && (polled.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* No more of this back end: it does not keep to the protocol, or is gone. Returns false. */
static bool cut_off(VhostUser *user, const GError *error)
{
	if (user->socket < 0)
		return false;
	user->vhost.gone = true;
	if (!peer_is_gone(user)) {
		user->vhost.misbehaved = true;
		g_warning("vhost-user back end at chardev '%s' is cut off: %s",
			  chardev_id(user->chardev), error ? error->message : "it misbehaves");
	}
	user->socket = -1;
	chardev_disconnect(user->chardev);
	return false;
}

void vhost_user_cut_off(VhostUser *user, const char *reason)
{
	g_autoptr(GError) error = NULL;

	error_fail(&error, "%s", reason);
	cut_off(user, error);
}

/* Ask @message, and receive the answer into it: of @reply_size bytes, with a descriptor if @fd. */
static bool ask(VhostUser *user, VhostUserMessage *message, uint32_t reply_size, int *fd,
		GError **error)
{
	VhostUserRequest request = message->header.request;
	GError *failure = NULL;

	if (user->socket < 0)
		return error_fail(error, "there is no back end");
	message->header.flags = VHOST_USER_VERSION;
	if (vhost_user_send(user->socket, message, NULL, 0, user->deadline, &failure) &&
	    vhost_user_receive(user->socket, request, reply_size, message, fd, user->deadline,
			       &failure))
		return true;
	cut_off(user, failure);
	g_propagate_error(error, failure);
	return false;
}

/* Tell @message, with @fds; where the back end can, it says that it has done that. */
static bool tell(VhostUser *user, VhostUserMessage *message, const int *fds, unsigned n_fds,
		 GError **error)
{
	bool acknowledged = vhost_user_has(user, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	VhostUserRequest request = message->header.request;
	VhostUserMessage reply;
	GError *failure = NULL;

	if (user->socket < 0)
		return error_fail(error, "there is no back end");
	message->header.flags = VHOST_USER_VERSION | (acknowledged ? VHOST_USER_NEED_REPLY : 0);
	if (vhost_user_send(user->socket, message, fds, n_fds, user->deadline, &failure) &&
	    (!acknowledged || vhost_user_receive(user->socket, request, sizeof(reply.u64), &reply,
						 NULL, user->deadline, &failure))) {
		if (!acknowledged || reply.u64 == 0)
			return true;
		error_fail(&failure, "the back end refuses request %u", request);
	}
	cut_off(user, failure);
	g_propagate_error(error, failure);
	return false;
}

bool vhost_user_tell_fd(VhostUser *user, VhostUserRequest request, int fd, GError **error)
{
	VhostUserMessage message = { .header = { .request = request } };

	return tell(user, &message, &fd, 1, error);
}

static bool ask_u64(VhostUser *user, VhostUserRequest request, uint64_t *value, GError **error)
{
	VhostUserMessage message = { .header = { .request = request } };

	if (!ask(user, &message, sizeof(message.u64), NULL, error))
		return false;
	*value = message.u64;
	return true;
}

static bool tell_u64(VhostUser *user, VhostUserRequest request, uint64_t value, GError **error)
{
	VhostUserMessage message = {
		.header = { .request = request, .size = sizeof(value) },
		.u64 = value,
	};

	return tell(user, &message, NULL, 0, error);
}

static bool tell_state(VhostUser *user, VhostUserRequest request, uint32_t index, uint32_t value,
		       GError **error)
{
	VhostUserMessage message = {
		.header = { .request = request, .size = sizeof(message.state) },
		.state = { .index = index, .value = value },
	};

	return tell(user, &message, NULL, 0, error);
}

/* Negotiation */

static bool negotiate_protocol(VhostUser *user, GError **error)
{
	uint64_t offered, wanted = common_protocol | user->options.protocol;

	if (!(user->vhost.features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
		return true;
	if (!ask_u64(user, VHOST_USER_GET_PROTOCOL_FEATURES, &offered, error) ||
	    !tell_u64(user, VHOST_USER_SET_PROTOCOL_FEATURES, offered & wanted, error))
		return false;
	user->protocol = offered & wanted;
	return true;
}

static bool ask_limits(VhostUser *user, GError **error)
{
	uint64_t value;

	user->n_queues = 1;
	user->n_slots_max = VHOST_USER_TABLE_REGIONS;
	if (vhost_user_has(user, VHOST_USER_PROTOCOL_F_MQ)) {
		if (!ask_u64(user, VHOST_USER_GET_QUEUE_NUM, &value, error))
			return false;
		user->n_queues = (unsigned)MIN(value, UINT16_MAX);
	}
	if (vhost_user_has(user, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
		if (!ask_u64(user, VHOST_USER_GET_MAX_MEM_SLOTS, &value, error))
			return false;
		user->n_slots_max = (unsigned)MIN(value, VHOST_REGIONS_MAX);
	}
	return true;
}

static bool check_enough(VhostUser *user, GError **error)
{
	uint64_t missing = user->options.needed & ~user->protocol;
	unsigned per_unit = user->options.vrings_in_unit;
	unsigned units = per_unit ? user->options.n_vrings / per_unit : 0;

	if (missing)
		return error_fail(error, "the back end lacks protocol feature %d",
				  __builtin_ctzll(missing));
	if (user->n_queues < units)
		return error_fail(error, "the back end has %u queues, fewer than the device's %u",
				  user->n_queues, units);
	return true;
}

/* The feature that says so is not one that a driver could have. */
static bool settle_log(VhostUser *user)
{
	user->vhost.can_log = (user->vhost.features & BIT(VHOST_USER_F_LOG_ALL)) &&
			      vhost_user_has(user, VHOST_USER_PROTOCOL_F_LOG_SHMFD);
	user->vhost.features &= ~BIT(VHOST_USER_F_LOG_ALL);
	return true;
}

/* Talk to the back end that just connected. */
static bool negotiate(VhostUser *user, GError **error)
{
	VhostUserMessage owner = { .header = { .request = VHOST_USER_SET_OWNER } };

	user->socket = chardev_socket(user->chardev);
	user->vhost.misbehaved = user->vhost.gone = false;
	user->protocol = 0;
	user->known.n_regions = 0;
	begin(user);
	return ask_u64(user, VHOST_USER_GET_FEATURES, &user->vhost.features, error) &&
	       negotiate_protocol(user, error) && settle_log(user) && ask_limits(user, error) &&
	       check_enough(user, error) && vhost_user_open_channel(user, error) &&
	       tell(user, &owner, NULL, 0, error);
}

/* Memory */

static bool same_region(const VhostRegion *one, const VhostRegion *other)
{
	/* Numbers of descriptors, and addresses, come again. */
	return one->serial == other->serial && one->gpa == other->gpa && one->size == other->size &&
	       one->hva == other->hva && one->offset == other->offset && one->fd == other->fd;
}

static bool has_region(const VhostMemory *memory, const VhostRegion *region)
{
	for (unsigned i = 0; i < memory->n_regions; i++) {
		if (same_region(&memory->regions[i], region))
			return true;
	}
	return false;
}

static VhostUserRegion wire_region(const VhostRegion *region)
{
	return (VhostUserRegion){
		.gpa = region->gpa,
		.size = region->size,
		.hva = region->hva,
		.offset = region->offset,
	};
}

static bool tell_slot(VhostUser *user, VhostUserRequest request, const VhostRegion *region,
		      GError **error)
{
	VhostUserMessage message = {
		.header = { .request = request, .size = sizeof(message.slot) },
		.slot = { .region = wire_region(region) },
	};

	return tell(user, &message, &region->fd, request == VHOST_USER_ADD_MEM_REG ? 1 : 0, error);
}

/* One by one: what has gone before what has come, so that nothing overlaps. */
static bool tell_slots(VhostUser *user, const VhostMemory *memory, GError **error)
{
	for (unsigned i = 0; i < user->known.n_regions; i++) {
		if (!has_region(memory, &user->known.regions[i]) &&
		    !tell_slot(user, VHOST_USER_REM_MEM_REG, &user->known.regions[i], error))
			return false;
	}
	for (unsigned i = 0; i < memory->n_regions; i++) {
		if (!has_region(&user->known, &memory->regions[i]) &&
		    !tell_slot(user, VHOST_USER_ADD_MEM_REG, &memory->regions[i], error))
			return false;
	}
	return true;
}

static bool tell_table(VhostUser *user, const VhostMemory *memory, GError **error)
{
	VhostUserMessage message = { .header = { .request = VHOST_USER_SET_MEM_TABLE } };
	int fds[VHOST_USER_TABLE_REGIONS];

	message.memory.n_regions = memory->n_regions;
	for (unsigned i = 0; i < memory->n_regions; i++) {
		message.memory.regions[i] = wire_region(&memory->regions[i]);
		fds[i] = memory->regions[i].fd;
	}
	message.header.size =
		offsetof(VhostUserMemory, regions) + memory->n_regions * sizeof(VhostUserRegion);
	return tell(user, &message, fds, memory->n_regions, error);
}

static bool user_set_memory(Vhost *vhost, const VhostMemory *memory, GError **error)
{
	VhostUser *user = vhost_user(vhost);
	bool slots = vhost_user_has(user, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	bool same = memory->n_regions == user->known.n_regions;

	for (unsigned i = 0; i < memory->n_regions && same; i++)
		same = same_region(&memory->regions[i], &user->known.regions[i]);
	if (same)
		return true;
	if (memory->n_regions > user->n_slots_max)
		return error_fail(error, "RAM has %u parts, more than the back end's %u",
				  memory->n_regions, user->n_slots_max);
	begin(user);
	if (!(slots ? tell_slots : tell_table)(user, memory, error))
		return false;
	user->known = *memory;
	return true;
}

/* Vrings */

static bool tell_fd(VhostUser *user, VhostUserRequest request, unsigned index, int fd,
		    GError **error)
{
	VhostUserMessage message = {
		.header = { .request = request, .size = sizeof(message.u64) },
		.u64 = index | (fd < 0 ? VHOST_USER_VRING_NO_FD : 0),
	};

	return tell(user, &message, &fd, fd < 0 ? 0 : 1, error);
}

static bool set_address(VhostUser *user, const VhostVring *vring, bool logged, GError **error)
{
	VhostUserMessage address = {
		.header = { .request = VHOST_USER_SET_VRING_ADDR, .size = sizeof(address.address) },
		.address = {
			.index = vring->index,
			.flags = logged ? VHOST_USER_VRING_F_LOG : 0,
			.log = vring->written_gpa,
			.descriptors = (uint64_t)(uintptr_t)vring->descriptors,
			.available = (uint64_t)(uintptr_t)vring->driver_area,
			.used = (uint64_t)(uintptr_t)vring->device_area,
		},
	};

	return tell(user, &address, NULL, 0, error);
}

static bool start_vring(VhostUser *user, const VhostVring *vring, bool logged, GError **error)
{
	unsigned index = vring->index;

	return tell_state(user, VHOST_USER_SET_VRING_NUM, index, vring->size, error) &&
	       tell_state(user, VHOST_USER_SET_VRING_BASE, index, vring->base, error) &&
	       set_address(user, vring, logged, error) &&
	       tell_fd(user, VHOST_USER_SET_VRING_ERR, index, vring->error_fd, error) &&
	       tell_fd(user, VHOST_USER_SET_VRING_CALL, index, vring->call_fd, error) &&
	       tell_fd(user, VHOST_USER_SET_VRING_KICK, index, vring->kick_fd, error);
}

static bool enable_vring(VhostUser *user, unsigned index, bool enable, GError **error)
{
	return !(user->vhost.features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)) ||
	       tell_state(user, VHOST_USER_SET_VRING_ENABLE, index, enable, error);
}

/*
 * Have a record of requests in flight that outlives the back end. It has room for the largest queue
 * that there can be: a driver may give one of them another size without a reset of the device.
 */
static bool share_inflight(VhostUser *user, GError **error)
{
	unsigned queue_size = user->options.queue_size;
	VhostUserMessage message = {
		.header = { .request = VHOST_USER_GET_INFLIGHT_FD,
			    .size = sizeof(message.inflight) },
		.inflight = { .n_queues = user->options.n_vrings, .queue_size = queue_size },
	};

	if (!vhost_user_has(user, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return true;
	if (user->inflight_fd < 0) {
		if (!ask(user, &message, sizeof(message.inflight), &user->inflight_fd, error))
			return false;
		if (user->inflight_fd < 0 || message.inflight.size == 0) {
			fd_close(&user->inflight_fd);
			vhost_user_cut_off(user, "it has no record of what is in flight");
			return error_fail(error, "the back end has no record of what is in flight");
		}
		user->inflight = message.inflight;
		user->inflight.n_queues = user->options.n_vrings;
		user->inflight.queue_size = queue_size;
	}
	message.header.request = VHOST_USER_SET_INFLIGHT_FD;
	message.header.size = sizeof(message.inflight);
	message.inflight = user->inflight;
	return tell(user, &message, &user->inflight_fd, 1, error);
}

static bool tell_status(VhostUser *user, uint64_t status, GError **error)
{
	return !vhost_user_has(user, VHOST_USER_PROTOCOL_F_STATUS) ||
	       tell_u64(user, VHOST_USER_SET_STATUS, status, error);
}

/*
 * Hand @log over. Unlike other things told it has an answer in any case, whose number says nothing:
 * that of libvhost-user's back ends is what happened to be there.
 */
static bool share_log(VhostUser *user, const VhostLog *log, GError **error)
{
	VhostUserMessage message = {
		.header = { .request = VHOST_USER_SET_LOG_BASE,
			    .flags = VHOST_USER_VERSION,
			    .size = sizeof(message.log) },
		.log = { .size = log->size },
	};
	VhostUserMessage reply;
	GError *failure = NULL;

	if (user->socket < 0)
		return error_fail(error, "there is no back end");
	if (vhost_user_send(user->socket, &message, &log->fd, 1, user->deadline, &failure) &&
	    vhost_user_receive(user->socket, VHOST_USER_SET_LOG_BASE, sizeof(reply.u64), &reply,
			       NULL, user->deadline, &failure))
		return true;
	cut_off(user, failure);
	g_propagate_error(error, failure);
	return false;
}

/* Features, after the log that one of them is about. */
static bool set_features(VhostUser *user, uint64_t features, const VhostLog *log, GError **error)
{
	features |= user->vhost.features & BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	if (log->size)
		features |= BIT(VHOST_USER_F_LOG_ALL);
	return (!log->size || share_log(user, log, error)) &&
	       tell_u64(user, VHOST_USER_SET_FEATURES, features, error);
}

static bool user_set_log(Vhost *vhost, uint64_t features, const VhostLog *log,
			 const VhostVring *vrings, unsigned n_vrings, GError **error)
{
	VhostUser *user = vhost_user(vhost);
	bool good;

	begin(user);
	good = set_features(user, features, log, error);
	for (unsigned i = 0; i < n_vrings && good; i++)
		good = set_address(user, &vrings[i], log->size > 0, error);
	return good;
}

static bool user_start(Vhost *vhost, uint64_t features, const VhostMemory *memory,
		       const VhostVring *vrings, unsigned n_vrings, GError **error)
{
	VhostUser *user = vhost_user(vhost);

	begin(user);
	if (!set_features(user, features, &memory->log, error) ||
	    !tell_status(user, STATUS_FEATURES_OK, error) ||
	    !share_inflight(user, error) || !user_set_memory(vhost, memory, error))
		return false;
	for (unsigned i = 0; i < n_vrings; i++) {
		if (!start_vring(user, &vrings[i], memory->log.size > 0, error))
			return false;
	}
	for (unsigned i = 0; i < n_vrings; i++) {
		if (!enable_vring(user, vrings[i].index, true, error))
			return false;
	}
	return tell_status(user, STATUS_DRIVER_OK, error);
}

static bool stop_vring(VhostUser *user, VhostVring *vring, GError **error)
{
	VhostUserMessage message = {
		.header = { .request = VHOST_USER_GET_VRING_BASE, .size = sizeof(message.state) },
		.state = { .index = vring->index },
	};

	if (!enable_vring(user, vring->index, false, error) ||
	    !ask(user, &message, sizeof(message.state), NULL, error))
		return false;
	if (message.state.index != vring->index) {
		error_fail(error, "the back end stops vring %u in place of %u", message.state.index,
			   vring->index);
		return cut_off(user, error ? *error : NULL);
	}
	vring->base = message.state.value;
	return true;
}

static bool user_stop(Vhost *vhost, VhostVring *vrings, unsigned n_vrings, GError **error)
{
	VhostUser *user = vhost_user(vhost);

	begin(user);
	for (unsigned i = 0; i < n_vrings; i++) {
		if (!stop_vring(user, &vrings[i], error))
			return false;
	}
	return true;
}

static void user_reset(Vhost *vhost)
{
	VhostUser *user = vhost_user(vhost);
	VhostUserMessage reset = { .header = { .request = VHOST_USER_RESET_DEVICE } };

	fd_close(&user->inflight_fd);
	if (user->socket < 0)
		return;
	begin(user);
	if (vhost_user_has(user, VHOST_USER_PROTOCOL_F_STATUS))
		tell_u64(user, VHOST_USER_SET_STATUS, 0, NULL);
	else if (vhost_user_has(user, VHOST_USER_PROTOCOL_F_RESET_DEVICE))
		tell(user, &reset, NULL, 0, NULL);
}

/* Requests apart from vrings */

static bool check_config(const VhostUserConfig *config, unsigned size, GError **error)
{
	return (config->offset == 0 && config->size == size) ||
	       error_fail(error, "the back end gives other configuration than it was asked for");
}

bool vhost_user_get_config(VhostUser *user, void *config, unsigned size, GError **error)
{
	VhostUserMessage message = {
		.header = { .request = VHOST_USER_GET_CONFIG,
			    .size = VHOST_USER_CONFIG_HEADER + size },
		.config = { .size = size },
	};
	GError *failure = NULL;

	g_return_val_if_fail(size <= VHOST_USER_CONFIG_MAX, false);
	begin(user);
	if (!ask(user, &message, message.header.size, NULL, error))
		return false;
	if (!check_config(&message.config, size, &failure)) {
		cut_off(user, failure);
		g_propagate_error(error, failure);
		return false;
	}
	memcpy(config, message.config.data, size);
	return true;
}

bool vhost_user_set_config(VhostUser *user, unsigned offset, const void *data, unsigned size,
			   GError **error)
{
	VhostUserMessage message = {
		.header = { .request = VHOST_USER_SET_CONFIG,
			    .size = VHOST_USER_CONFIG_HEADER + size },
		.config = { .offset = offset, .size = size },
	};

	g_return_val_if_fail(size <= VHOST_USER_CONFIG_MAX, false);
	memcpy(message.config.data, data, size);
	begin(user);
	return tell(user, &message, NULL, 0, error);
}

bool vhost_user_set_mtu(VhostUser *user, uint16_t mtu, GError **error)
{
	begin(user);
	return !vhost_user_has(user, VHOST_USER_PROTOCOL_F_NET_MTU) ||
	       tell_u64(user, VHOST_USER_NET_SET_MTU, mtu, error);
}

bool vhost_user_announce(VhostUser *user, const uint8_t mac[6], GError **error)
{
	uint64_t value = 0;

	memcpy(&value, mac, 6);
	begin(user);
	return !vhost_user_has(user, VHOST_USER_PROTOCOL_F_RARP) ||
	       tell_u64(user, VHOST_USER_SEND_RARP, value, error);
}

/* Life */

static void on_closed(VhostUser *user)
{
	bool misbehaved = user->vhost.misbehaved;

	user->socket = -1;
	user->vhost.gone = true;
	user->known.n_regions = 0;
	vhost_user_close_channel(user);
	user->listener->lost(user->opaque, chardev_reconnects(user->chardev),
			     misbehaved ? "the back end does not keep to the protocol" : NULL);
}

static void on_opened(VhostUser *user)
{
	g_autoptr(GError) error = NULL;

	if (negotiate(user, &error))
		user->listener->connected(user->opaque);
	else
		cut_off(user, error);
}

static void on_event(void *opaque, ChardevEvent event)
{
	VhostUser *user = opaque;

	if (!user->listening)
		return;
	if (event == CHARDEV_OPENED)
		on_opened(user);
	else if (event == CHARDEV_CLOSED)
		on_closed(user);
}

static const ChardevFrontEnd front_end = { .event = on_event, .reads_itself = true };

static void user_free(Vhost *vhost)
{
	VhostUser *user = vhost_user(vhost);

	user->listening = false;
	vhost_user_close_channel(user);
	fd_close(&user->inflight_fd);
	/* It still has our memory mapped; with the connection it lets go of that, too. */
	chardev_disconnect(user->chardev);
	chardev_detach(user->chardev);
	g_free(user);
}

static const VhostOps user_ops = {
	.start = user_start,
	.stop = user_stop,
	.set_memory = user_set_memory,
	.set_log = user_set_log,
	.reset = user_reset,
	.free = user_free,
};

VhostUser *vhost_user_new(Chardev *chardev, const char *user_name, const VhostUserOptions *options,
			  const VhostUserListener *listener, void *opaque, GError **error)
{
	VhostUser *user = g_new0(VhostUser, 1);

	user->vhost.ops = &user_ops;
	user->chardev = chardev;
	user->options = *options;
	if (!user->options.time_limit_ms)
		user->options.time_limit_ms = VHOST_USER_TIME_LIMIT_MS;
	user->listener = listener;
	user->opaque = opaque;
	user->socket = user->inflight_fd = user->channel_fd = -1;
	if (!chardev_attach(chardev, user_name, &front_end, user, error)) {
		g_free(user);
		return NULL;
	}
	if (!chardev_connect(chardev, error) || !negotiate(user, error)) {
		user_free(&user->vhost);
		return NULL;
	}
	user->listening = true;
	return user;
}
