/*
 * virtio_gpu_resource.c: pictures that a guest keeps in a graphics device
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_gpu_resource.h"

#include <linux/virtio_gpu.h>
#include <string.h>

#include "vmm/base/error.h"

#define PAGE_SIZE 4096u
#define NO_ALPHA  4u

/* Where in a pixel's four bytes the colours are (§5.7.6.8). */
typedef struct PixelFormat {
	uint32_t format;
	uint8_t blue, green, red, alpha;
} PixelFormat;

static const PixelFormat formats[] = {
	{ VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 0, 1, 2, 3 },
	{ VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 0, 1, 2, NO_ALPHA },
	{ VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, 3, 2, 1, 0 },
	{ VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, 3, 2, 1, NO_ALPHA },
	{ VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, 2, 1, 0, 3 },
	{ VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, 1, 2, 3, NO_ALPHA },
	{ VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, 1, 2, 3, 0 },
	{ VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, 2, 1, 0, NO_ALPHA },
};

static const PixelFormat *find_format(uint32_t format)
{
	for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
		if (formats[i].format == format)
			return &formats[i];
	}
	return NULL;
}

bool gpu_format_is_known(uint32_t format)
{
	return find_format(format) != NULL;
}

uint64_t gpu_resource_cost(uint32_t width, uint32_t height)
{
	uint64_t size = (uint64_t)width * height * 4;

	if (size == 0 || width > DISPLAY_SIZE_MAX || height > DISPLAY_SIZE_MAX)
		return UINT64_MAX;
	return (size + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
}

GpuResource *gpu_resource_new(uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
	DisplaySurface *surface = display_surface_new(width, height);
	GpuResource *resource;

	if (!surface)
		return NULL;
	resource = g_new0(GpuResource, 1);
	resource->id = id;
	resource->format = format;
	resource->surface = surface;
	return resource;
}

void gpu_resource_free(GpuResource *resource)
{
	display_surface_unref(resource->surface);
	g_free(resource->backing);
	g_free(resource);
}

void gpu_resource_set_backing(GpuResource *resource, GpuExtent *extents, uint32_t n)
{
	g_free(resource->backing);
	resource->backing = extents;
	resource->n_extents = n;
	resource->backing_size = 0;
	/* No overflow: lengths have 32 bits in the guest's list and in the state. */
	for (uint32_t i = 0; i < n; i++)
		resource->backing_size += extents[i].length;
}

bool gpu_rect_is_within(const DisplayRect *rect, const DisplaySurface *surface)
{
	return rect->width > 0 && rect->height > 0 &&
	       (uint64_t)rect->x + rect->width <= surface->width &&
	       (uint64_t)rect->y + rect->height <= surface->height;
}

/* A place in a backing; it only moves forward, so that many rows cost one walk over the pieces. */
typedef struct BackingReader {
	const GpuExtent *extent;
	uint64_t start; /* of the extent, bytes from the backing's first */
} BackingReader;

/* Read @size bytes at @offset, all of them within the backing and not before the last read's. */
static bool read_backing(BackingReader *reader, const GuestMemory *memory, uint64_t offset,
			 uint8_t *buffer, uint64_t size)
{
	while (size > 0) {
		uint64_t within, piece;

		while (offset - reader->start >= reader->extent->length)
			reader->start += (reader->extent++)->length;
		within = offset - reader->start;
		piece = MIN(size, reader->extent->length - within);
		if (!guest_memory_read(memory, reader->extent->gpa + within, buffer, piece))
			return false;
		buffer += piece;
		offset += piece;
		size -= piece;
	}
	return true;
}

/* Turn @n pixels of @format into the display's. */
static void convert_pixels(const PixelFormat *format, uint8_t *pixels, uint64_t n)
{
	if (format->blue == 0)
		return; /* they are in this order */
	for (; n > 0; n--, pixels += 4) {
		uint8_t pixel[NO_ALPHA + 1] = { pixels[0], pixels[1], pixels[2], pixels[3], 0 };

		pixels[0] = pixel[format->blue];
		pixels[1] = pixel[format->green];
		pixels[2] = pixel[format->red];
		pixels[3] = pixel[format->alpha];
	}
}

bool gpu_resource_transfer(GpuResource *resource, const GuestMemory *memory,
			   const DisplayRect *rect, uint64_t offset)
{
	const DisplaySurface *surface = resource->surface;
	const PixelFormat *format = find_format(resource->format);
	BackingReader reader = { .extent = resource->backing };
	uint64_t n_rows = rect->height, row = (uint64_t)rect->width * 4;
	uint8_t *to = surface->pixels + (size_t)rect->y * surface->stride + (size_t)rect->x * 4;

	/* In the backing rows are as far apart as in the resource (§5.7.6.8). */
	if (rect->width == surface->width) {
		row *= n_rows;
		n_rows = 1;
	}
	if (offset > resource->backing_size ||
	    (n_rows - 1) * surface->stride + row > resource->backing_size - offset)
		return false;
	for (uint64_t i = 0; i < n_rows; i++) {
		if (!read_backing(&reader, memory, offset, to, row))
			return false;
		convert_pixels(format, to, row / 4);
		offset += surface->stride;
		to += surface->stride;
	}
	return true;
}

DisplayCursor *gpu_resource_cursor(const GpuResource *resource, uint32_t hot_x, uint32_t hot_y)
{
	const DisplaySurface *surface = resource->surface;
	bool opaque = find_format(resource->format)->alpha == NO_ALPHA;
	DisplayCursor *cursor;
	size_t n_pixels;

	if (surface->width > DISPLAY_CURSOR_MAX || surface->height > DISPLAY_CURSOR_MAX)
		return NULL;
	cursor = display_cursor_new(surface->width, surface->height);
	cursor->hot_x = MIN(hot_x, surface->width - 1);
	cursor->hot_y = MIN(hot_y, surface->height - 1);
	n_pixels = (size_t)surface->width * surface->height;
	memcpy(cursor->pixels, surface->pixels, n_pixels * sizeof(cursor->pixels[0]));
	for (size_t i = 0; i < n_pixels; i++)
		cursor->pixels[i] = GUINT32_FROM_LE(cursor->pixels[i]) | (opaque ? 0xff000000u : 0);
	return cursor;
}

/* The state: these, then the extents as pairs of 64 bits, then the pixels; all little-endian. */
typedef struct GpuResourceHead {
	uint32_t id, format, width, height, n_extents;
	uint32_t has_backing;
} GpuResourceHead;

static size_t pixels_size(const DisplaySurface *surface)
{
	return (size_t)surface->stride * surface->height;
}

void gpu_resource_save(const GpuResource *resource, GByteArray *stream)
{
	const DisplaySurface *surface = resource->surface;
	const GpuResourceHead head = {
		.id = GUINT32_TO_LE(resource->id),
		.format = GUINT32_TO_LE(resource->format),
		.width = GUINT32_TO_LE(surface->width),
		.height = GUINT32_TO_LE(surface->height),
		.n_extents = GUINT32_TO_LE(resource->n_extents),
		.has_backing = GUINT32_TO_LE(resource->backing != NULL),
	};

	g_byte_array_append(stream, (const uint8_t *)&head, sizeof(head));
	for (uint32_t i = 0; i < resource->n_extents; i++) {
		const GpuExtent extent = {
			.gpa = GUINT64_TO_LE(resource->backing[i].gpa),
			.length = GUINT64_TO_LE(resource->backing[i].length),
		};

		g_byte_array_append(stream, (const uint8_t *)&extent, sizeof(extent));
	}
	g_byte_array_append(stream, surface->pixels, (guint)pixels_size(surface));
}

static bool take(const uint8_t **data, size_t *size, void *to, size_t n)
{
	if (*size < n)
		return false;
	memcpy(to, *data, n);
	*data += n;
	*size -= n;
	return true;
}

/* NULL where there are not @n, or one has more than 32 bits of length. */
static GpuExtent *take_extents(const uint8_t **data, size_t *size, uint32_t n)
{
	g_autofree GpuExtent *extents = NULL;

	if (n > GPU_EXTENTS_MAX)
		return NULL;
	/* One more, as none is not NULL. */
	extents = g_new0(GpuExtent, n + 1);
	if (!take(data, size, extents, n * sizeof(*extents)))
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		extents[i].gpa = GUINT64_FROM_LE(extents[i].gpa);
		extents[i].length = GUINT64_FROM_LE(extents[i].length);
		if (extents[i].length > UINT32_MAX)
			return NULL;
	}
	return g_steal_pointer(&extents);
}

GpuResource *gpu_resource_load(const uint8_t **data, size_t *size, GError **error)
{
	GpuResourceHead head;
	GpuResource *resource;
	uint32_t width, height, n_extents;

	if (!take(data, size, &head, sizeof(head)) ||
	    !gpu_format_is_known(GUINT32_FROM_LE(head.format))) {
		error_fail(error, "what is saved of a resource is none");
		return NULL;
	}
	width = GUINT32_FROM_LE(head.width);
	height = GUINT32_FROM_LE(head.height);
	n_extents = GUINT32_FROM_LE(head.n_extents);
	if (gpu_resource_cost(width, height) > *size + PAGE_SIZE) {
		error_fail(error, "a saved resource has no pixels, or less than it should");
		return NULL;
	}
	resource = gpu_resource_new(GUINT32_FROM_LE(head.id), GUINT32_FROM_LE(head.format), width,
				    height);
	if (!resource) {
		error_fail(error, "no memory for a saved resource");
		return NULL;
	}
	if (head.has_backing) {
		GpuExtent *extents = take_extents(data, size, n_extents);

		if (extents)
			gpu_resource_set_backing(resource, extents, n_extents);
	}
	if ((head.has_backing && !resource->backing) ||
	    !take(data, size, resource->surface->pixels, pixels_size(resource->surface))) {
		error_fail(error, "a saved resource is cut off, or its backing is odd");
		gpu_resource_free(resource);
		return NULL;
	}
	return resource;
}
