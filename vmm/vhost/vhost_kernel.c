/*
 * vhost_kernel.c: virtqueues that the kernel serves (/dev/vhost-net, /dev/vhost-vsock)
 *
 * The kernel reads guest memory through this process's mappings, on a thread of its own that counts
 * as one of ours.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/vhost/vhost_kernel.h"

#include <errno.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

#define LOG_ALL (UINT64_C(1) << VHOST_F_LOG_ALL)

typedef struct VhostKernel VhostKernel;

struct VhostKernel {
	Vhost vhost; /* first */
	int fd;
	bool owns_fd;
	int tap; /* -1: a socket device */
};

static VhostKernel *vhost_kernel(Vhost *vhost)
{
	return (VhostKernel *)vhost;
}

/* One ioctl; false and @error naming @what. */
static bool call(VhostKernel *self, unsigned long request, void *argument, const char *what,
		 GError **error)
{
	if (ioctl(self->fd, request, argument) == 0)
		return true;
	return error_fail_errno(error, errno, "vhost: cannot %s", what);
}

/* Start or stop working on the vrings. */
static bool set_running(VhostKernel *self, const VhostVring *vrings, unsigned n, bool running,
			GError **error)
{
	int on = running;

	if (self->tap < 0)
		return call(self, VHOST_VSOCK_SET_RUNNING, &on, "start or stop", error);
	for (unsigned i = 0; i < n; i++) {
		struct vhost_vring_file file = {
			.index = vrings[i].index,
			.fd = running ? self->tap : -1,
		};

		if (!call(self, VHOST_NET_SET_BACKEND, &file, "serve the tap", error))
			return false;
	}
	return true;
}

static bool set_file(VhostKernel *self, unsigned long request, const VhostVring *vring, int fd,
		     const char *what, GError **error)
{
	struct vhost_vring_file file = { .index = vring->index, .fd = fd };

	return call(self, request, &file, what, error);
}

static bool set_address(VhostKernel *self, const VhostVring *vring, bool logged, GError **error)
{
	struct vhost_vring_addr address = {
		.index = vring->index,
		.flags = logged ? 1u << VHOST_VRING_F_LOG : 0,
		.desc_user_addr = (uint64_t)(uintptr_t)vring->descriptors,
		.avail_user_addr = (uint64_t)(uintptr_t)vring->driver_area,
		.used_user_addr = (uint64_t)(uintptr_t)vring->device_area,
		.log_guest_addr = vring->written_gpa,
	};

	return call(self, VHOST_SET_VRING_ADDR, &address, "set a ring's address", error);
}

static bool start_vring(VhostKernel *self, const VhostVring *vring, bool logged, GError **error)
{
	struct vhost_vring_state state = { .index = vring->index, .num = vring->size };

	if (!call(self, VHOST_SET_VRING_NUM, &state, "set a ring's size", error))
		return false;
	state.num = vring->base;
	return call(self, VHOST_SET_VRING_BASE, &state, "set a ring's position", error) &&
	       set_address(self, vring, logged, error) &&
	       set_file(self, VHOST_SET_VRING_ERR, vring, vring->error_fd, "watch errors", error) &&
	       set_file(self, VHOST_SET_VRING_CALL, vring, vring->call_fd, "interrupt", error) &&
	       set_file(self, VHOST_SET_VRING_KICK, vring, vring->kick_fd, "be notified", error);
}

static bool kernel_set_memory(Vhost *vhost, const VhostMemory *memory, GError **error)
{
	g_autofree struct vhost_memory *table =
		g_malloc0(sizeof(*table) + memory->n_regions * sizeof(struct vhost_memory_region));

	table->nregions = memory->n_regions;
	for (unsigned i = 0; i < memory->n_regions; i++)
		table->regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = memory->regions[i].gpa,
			.memory_size = memory->regions[i].size,
			.userspace_addr = memory->regions[i].hva,
		};
	return call(vhost_kernel(vhost), VHOST_SET_MEM_TABLE, table, "take the memory table",
		    error);
}

/* The log, if there is one, goes before the feature: the kernel checks that it is there. */
static bool set_features(VhostKernel *self, uint64_t features, const VhostLog *log, GError **error)
{
	uint64_t base = (uint64_t)(uintptr_t)log->base;

	if (log->size)
		features |= LOG_ALL;
	return (!log->size || call(self, VHOST_SET_LOG_BASE, &base, "take the log", error)) &&
	       call(self, VHOST_SET_FEATURES, &features, "take the features", error);
}

/*
 * Of a socket device the kernel marks the rings alone, and not what it puts into buffers: nobody
 * misses it, as connections do not outlive a move.
 */
static bool kernel_set_log(Vhost *vhost, uint64_t features, const VhostLog *log,
			   const VhostVring *vrings, unsigned n_vrings, GError **error)
{
	VhostKernel *self = vhost_kernel(vhost);
	bool good = set_features(self, features, log, error);

	for (unsigned i = 0; i < n_vrings && good; i++)
		good = set_address(self, &vrings[i], log->size > 0, error);
	return good;
}

static bool kernel_start(Vhost *vhost, uint64_t features, const VhostMemory *memory,
			 const VhostVring *vrings, unsigned n_vrings, GError **error)
{
	VhostKernel *self = vhost_kernel(vhost);

	/* The log is checked against the memory, whichever comes last. */
	if (!kernel_set_memory(vhost, memory, error) ||
	    !set_features(self, features, &memory->log, error))
		return false;
	for (unsigned i = 0; i < n_vrings; i++) {
		if (!start_vring(self, &vrings[i], memory->log.size > 0, error))
			return false;
	}
	if (set_running(self, vrings, n_vrings, true, error))
		return true;
	set_running(self, vrings, n_vrings, false, NULL);
	return false;
}

static bool kernel_stop(Vhost *vhost, VhostVring *vrings, unsigned n_vrings, GError **error)
{
	VhostKernel *self = vhost_kernel(vhost);

	/* From here on it touches neither ring nor buffers. */
	if (!set_running(self, vrings, n_vrings, false, error))
		return false;
	for (unsigned i = 0; i < n_vrings; i++) {
		struct vhost_vring_state state = { .index = vrings[i].index };

		if (!call(self, VHOST_GET_VRING_BASE, &state, "tell a ring's position", error))
			return false;
		vrings[i].base = state.num;
		/* It keeps no descriptor of a device that may be unplugged. */
		set_file(self, VHOST_SET_VRING_KICK, &vrings[i], VHOST_FILE_UNBIND, "forget", NULL);
		set_file(self, VHOST_SET_VRING_CALL, &vrings[i], VHOST_FILE_UNBIND, "forget", NULL);
		set_file(self, VHOST_SET_VRING_ERR, &vrings[i], VHOST_FILE_UNBIND, "forget", NULL);
	}
	return true;
}

static void kernel_free(Vhost *vhost)
{
	VhostKernel *self = vhost_kernel(vhost);

	/* Whoever has the descriptor next starts anew. */
	if (self->owns_fd)
		fd_close(&self->fd);
	else
		ioctl(self->fd, VHOST_RESET_OWNER);
	g_free(self);
}

static const VhostOps kernel_ops = {
	.start = kernel_start,
	.stop = kernel_stop,
	.set_memory = kernel_set_memory,
	.set_log = kernel_set_log,
	.free = kernel_free,
};

static VhostKernel *new_kernel(int fd, GError **error)
{
	VhostKernel *self = g_new0(VhostKernel, 1);
	uint64_t features = 0;

	self->vhost.ops = &kernel_ops;
	self->fd = fd;
	self->tap = -1;
	if (call(self, VHOST_SET_OWNER, NULL, "own the descriptor", error) &&
	    call(self, VHOST_GET_FEATURES, &features, "tell its features", error)) {
		self->vhost.features = features & ~LOG_ALL;
		self->vhost.can_log = features & LOG_ALL;
		return self;
	}
	g_free(self);
	return NULL;
}

Vhost *vhost_kernel_new_net(int fd, int tap, GError **error)
{
	VhostKernel *self = new_kernel(fd, error);

	if (!self)
		return NULL;
	self->tap = tap;
	return &self->vhost;
}

Vhost *vhost_kernel_new_vsock(int fd, uint64_t cid, GError **error)
{
	VhostKernel *self = new_kernel(fd, error);

	if (!self)
		return NULL;
	if (!call(self, VHOST_VSOCK_SET_GUEST_CID, &cid, "have that context id", error)) {
		kernel_free(&self->vhost);
		return NULL;
	}
	self->owns_fd = true;
	return &self->vhost;
}
