/*
 * virtio_gpu_resource.h: pictures that a guest keeps in a graphics device (virtio 1.2 §5.7.6.1)
 *
 * A resource has pixels in the host's memory and, while it is attached, a backing: pieces of guest
 * memory that the guest draws into and has copied from there. Addresses of the backing are looked
 * up at each copy, so that a guest may do with its memory what it likes.
 *
 * A resource belongs to one thread at a time; its surface may be read by any.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/display/display.h"
#include "vmm/memory/guest_memory.h"

/* Pieces of one backing at most. */
#define GPU_EXTENTS_MAX 16384u

/* A piece of guest memory. */
typedef struct GpuExtent {
	uint64_t gpa, length; /* bytes */
} GpuExtent;

typedef struct GpuResource {
	uint32_t id;
	uint32_t format; /* enum virtio_gpu_formats */
	DisplaySurface *surface;
	GpuExtent *backing; /* NULL: none is attached */
	uint32_t n_extents;
	uint64_t backing_size; /* bytes in all of it */
} GpuResource;

/* Whether there is such a pixel format. */
bool gpu_format_is_known(uint32_t format);

/*
 * Bytes of the host's memory that a resource of such a size takes, which is never 0; UINT64_MAX
 * where it has no pixels or more than a surface may have.
 */
uint64_t gpu_resource_cost(uint32_t width, uint32_t height);

/* A black one, of a known format and a size that a surface may have. NULL: the host has no memory.
 */
GpuResource *gpu_resource_new(uint32_t id, uint32_t format, uint32_t width, uint32_t height);
void gpu_resource_free(GpuResource *resource);

/* Attach the @n pieces @extents (taken over, from g_malloc()) where nothing is, or NULL and 0. */
void gpu_resource_set_backing(GpuResource *resource, GpuExtent *extents, uint32_t n);

/* Whether @rect, which may be anything, has pixels and all of them are in @surface. */
bool gpu_rect_is_within(const DisplayRect *rect, const DisplaySurface *surface);

/*
 * Copy @rect, which is within the resource, from its backing, where the first pixel is @offset
 * bytes from the start. False if not all of it is there, or not all in RAM.
 */
bool gpu_resource_transfer(GpuResource *resource, const GuestMemory *memory,
			   const DisplayRect *rect, uint64_t offset);

/*
 * A pointer's picture: the resource's pixels, opaque where its format has no alpha. One reference;
 * NULL where it is larger than pointers may be.
 */
DisplayCursor *gpu_resource_cursor(const GpuResource *resource, uint32_t hot_x, uint32_t hot_y);

/* Append all that there is to know of @resource to @stream. */
void gpu_resource_save(const GpuResource *resource, GByteArray *stream);

/*
 * The resource that starts at *@data, of which *@size bytes are left; both are moved behind it.
 * NULL and @error where what is there is none.
 */
GpuResource *gpu_resource_load(const uint8_t **data, size_t *size, GError **error);
