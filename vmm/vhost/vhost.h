/*
 * vhost.h: virtqueues that are served outside of the process
 *
 * A Vhost is the far side of some virtqueues. It is told where guest memory is and where the
 * vrings are in it; kicks and interrupts then pass between the guest and it by eventfds. There are
 * two carriers, which share these notions: the kernel (vhost_kernel.h, ioctls on a descriptor) and
 * another process (vhost_user.h, messages over a unix socket).
 *
 * Everything here belongs to the main thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct GuestMemory GuestMemory;
typedef struct Vhost Vhost;

/* What a machine may have at most; carriers may take fewer. */
#define VHOST_REGIONS_MAX 64u

/* Guest RAM as the far side is told of it. */
typedef struct VhostRegion {
	uint64_t gpa;	 /* bytes */
	uint64_t size;	 /* bytes */
	uint64_t hva;	 /* the address here: how vrings are named */
	int fd;		 /* its file; -1: none that could be passed on */
	uint64_t offset; /* in the file, bytes */
	uint64_t serial; /* two that differ in it alone are not the same memory */
} VhostRegion;

/* Where the far side marks the pages of guest memory that it writes, as dirty_log.h has it. */
typedef struct VhostLog {
	int fd;
	void *base;    /* where it is mapped here */
	uint64_t size; /* bytes; 0: it need not mark any */
} VhostLog;

typedef struct VhostMemory {
	VhostLog log;
	unsigned n_regions;
	VhostRegion regions[VHOST_REGIONS_MAX];
} VhostMemory;

typedef struct VhostVring {
	unsigned index;
	uint16_t size;	   /* descriptors */
	uint32_t base;	   /* where to go on, as the carriers' protocol has it */
	void *descriptors; /* the three areas in this process */
	void *driver_area;
	void *device_area;
	uint64_t written_gpa; /* guest-physical: what of the ring it writes, for the log */
	int kick_fd;
	int call_fd;  /* -1: nobody wants to be interrupted */
	int error_fd; /* -1: none */
} VhostVring;

typedef struct VhostOps {
	bool (*start)(Vhost *vhost, uint64_t features, const VhostMemory *memory,
		      const VhostVring *vrings, unsigned n_vrings, GError **error);
	bool (*stop)(Vhost *vhost, VhostVring *vrings, unsigned n_vrings, GError **error);
	bool (*set_memory)(Vhost *vhost, const VhostMemory *memory, GError **error);
	bool (*set_log)(Vhost *vhost, uint64_t features, const VhostLog *log,
			const VhostVring *vrings, unsigned n_vrings, GError **error);
	void (*reset)(Vhost *vhost);
	void (*free)(Vhost *vhost);
} VhostOps;

/* First member of both carriers. */
struct Vhost {
	const VhostOps *ops;
	uint64_t features; /* feature bits that it offers; known once it is ready */
	bool can_log;	   /* it can mark what it writes; known likewise */
	bool gone;	   /* it is not there now */
	bool misbehaved;   /* because it was cut off; else it may come back */
};

/*
 * Describe the RAM of @memory (ROM is left out) in @table, with no log. False and @error where that
 * is more than there is room for or, @shared, where RAM is not in a file that can be passed on.
 */
bool vhost_memory_describe(VhostMemory *table, const GuestMemory *memory, bool shared,
			   GError **error);

/*
 * Have @vhost serve @vrings, with the features that the driver accepted. False and @error: it
 * serves none of them.
 */
static inline bool vhost_start(Vhost *vhost, uint64_t features, const VhostMemory *memory,
			       const VhostVring *vrings, unsigned n_vrings, GError **error)
{
	return vhost->ops->start(vhost, features, memory, vrings, n_vrings, error);
}

/*
 * Take @vrings back; sets their base. False and @error when it does not say where it is: it has no
 * part in them any more then, either.
 */
static inline bool vhost_stop(Vhost *vhost, VhostVring *vrings, unsigned n_vrings, GError **error)
{
	return vhost->ops->stop(vhost, vrings, n_vrings, error);
}

/* Tell a started @vhost that memory is another now. False and @error: it does not know it. */
static inline bool vhost_set_memory(Vhost *vhost, const VhostMemory *memory, GError **error)
{
	return vhost->ops->set_memory(vhost, memory, error);
}

/*
 * Have a started @vhost, which can_log, mark what it writes in @log from now on, or, where its size
 * is 0, no longer. @features and @vrings are those of its start. False and @error: it may not.
 */
static inline bool vhost_set_log(Vhost *vhost, uint64_t features, const VhostLog *log,
				 const VhostVring *vrings, unsigned n_vrings, GError **error)
{
	return vhost->ops->set_log(vhost, features, log, vrings, n_vrings, error);
}

/* The driver reset the device; stopped. */
static inline void vhost_reset(Vhost *vhost)
{
	if (vhost->ops->reset)
		vhost->ops->reset(vhost);
}

/* Let go of it; stopped. @vhost may be NULL. */
static inline void vhost_free(Vhost *vhost)
{
	if (vhost)
		vhost->ops->free(vhost);
}
