/*
 * display_image.c: pictures of screens in files
 *
 * PNG needs deflate, and that is had here without a library: rows are told by what differs from
 * the row above (filter Up), which on a screen is mostly nothing, and the runs of equal bytes that
 * this makes become matches at distance 1 of one block with the fixed codes (RFC 1951 §3.2.6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/display_image.h"

#include <string.h>

#define RGB_BYTES 3u

/* Row @y as red, green, blue. */
static void read_row(const DisplaySurface *surface, uint32_t y, uint8_t *rgb)
{
	const uint8_t *pixel = surface->pixels + (size_t)y * surface->stride;

	for (uint32_t x = 0; x < surface->width; x++, pixel += 4, rgb += RGB_BYTES) {
		rgb[0] = pixel[2];
		rgb[1] = pixel[1];
		rgb[2] = pixel[0];
	}
}

GByteArray *display_image_ppm(const DisplaySurface *surface)
{
	GByteArray *image = g_byte_array_new();
	g_autofree char *header =
		g_strdup_printf("P6\n%u %u\n255\n", surface->width, surface->height);
	g_autofree uint8_t *row = g_malloc(surface->width * RGB_BYTES);

	g_byte_array_append(image, (const guint8 *)header, (guint)strlen(header));
	for (uint32_t y = 0; y < surface->height; y++) {
		read_row(surface, y, row);
		g_byte_array_append(image, row, surface->width * RGB_BYTES);
	}
	return image;
}

/* RFC 1951: bits from the lowest on, but codes with their highest bit first. */
typedef struct Deflate {
	GByteArray *out;
	uint32_t bits;
	unsigned n_bits;
	uint32_t adler_a, adler_b; /* RFC 1950 §8 */
	int run_byte;		   /* -1: none */
	uint32_t run;
} Deflate;

static void put_bits(Deflate *deflate, uint32_t bits, unsigned n)
{
	deflate->bits |= bits << deflate->n_bits;
	deflate->n_bits += n;
	while (deflate->n_bits >= 8) {
		uint8_t byte = (uint8_t)deflate->bits;

		g_byte_array_append(deflate->out, &byte, 1);
		deflate->bits >>= 8;
		deflate->n_bits -= 8;
	}
}

static void put_code(Deflate *deflate, uint32_t code, unsigned n)
{
	uint32_t reversed = 0;

	for (unsigned i = 0; i < n; i++)
		reversed |= (code >> i & 1) << (n - 1 - i);
	put_bits(deflate, reversed, n);
}

/* A literal, the end of the block, or a length: §3.2.6. */
static void put_symbol(Deflate *deflate, unsigned symbol)
{
	if (symbol < 144)
		put_code(deflate, 0x30 + symbol, 8);
	else if (symbol < 256)
		put_code(deflate, 0x190 + symbol - 144, 9);
	else if (symbol < 280)
		put_code(deflate, symbol - 256, 7);
	else
		put_code(deflate, 0xc0 + symbol - 280, 8);
}

/* The last byte again, @length (3 to 258) times: §3.2.5. */
static void put_match(Deflate *deflate, unsigned length)
{
	unsigned symbol = 257, extra = 0, base = 3;

	if (length == 258) {
		put_symbol(deflate, 285);
	} else {
		/* Eight lengths of their own, then four of each width: 2, 4, 8, 16 and 32. */
		while (length >= base + (1u << extra)) {
			base += 1u << extra;
			symbol++;
			if (symbol >= 265 && (symbol - 261) % 4 == 0)
				extra++;
		}
		put_symbol(deflate, symbol);
		put_bits(deflate, length - base, extra);
	}
	put_code(deflate, 0, 5); /* distance 1 */
}

static void flush_run(Deflate *deflate)
{
	uint32_t left = deflate->run;

	if (!left)
		return;
	put_symbol(deflate, (unsigned)deflate->run_byte);
	left--;
	while (left >= 3) {
		uint32_t length = MIN(left, 258u);

		put_match(deflate, length);
		left -= length;
	}
	while (left--)
		put_symbol(deflate, (unsigned)deflate->run_byte);
	deflate->run = 0;
}

static void deflate_bytes(Deflate *deflate, const uint8_t *data, size_t size)
{
	enum { ADLER_MODULUS = 65521 };

	for (size_t i = 0; i < size; i++) {
		deflate->adler_a = (deflate->adler_a + data[i]) % ADLER_MODULUS;
		deflate->adler_b = (deflate->adler_b + deflate->adler_a) % ADLER_MODULUS;
		if (data[i] != deflate->run_byte) {
			flush_run(deflate);
			deflate->run_byte = data[i];
		}
		deflate->run++;
	}
}

static void put_long(uint8_t *at, uint32_t value)
{
	value = GUINT32_TO_BE(value);
	memcpy(at, &value, sizeof(value));
}

static uint32_t crc_of(const uint8_t *data, size_t size)
{
	uint32_t table[256], crc = UINT32_MAX;

	for (uint32_t i = 0; i < G_N_ELEMENTS(table); i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
	}
	for (size_t i = 0; i < size; i++)
		crc = table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

/* RFC 2083 §3.2: length, type, data, check. */
static void append_chunk(GByteArray *image, const char *type, const uint8_t *data, size_t size)
{
	guint start = image->len;
	uint8_t number[4];

	put_long(number, (uint32_t)size);
	g_byte_array_append(image, number, sizeof(number));
	g_byte_array_append(image, (const guint8 *)type, 4);
	g_byte_array_append(image, data, (guint)size);
	put_long(number, crc_of(image->data + start + 4, size + 4));
	g_byte_array_append(image, number, sizeof(number));
}

/* The rows, filtered and packed: a zlib stream. */
static GByteArray *pack_rows(const DisplaySurface *surface)
{
	static const uint8_t zlib_header[2] = { 0x78, 0x01 };
	enum { FILTER_UP = 2 };
	size_t size = (size_t)surface->width * RGB_BYTES;
	g_autofree uint8_t *above = g_malloc0(size), *row = g_malloc(size);
	g_autofree uint8_t *filtered = g_malloc(size + 1);
	Deflate deflate = { .out = g_byte_array_new(), .adler_a = 1, .run_byte = -1 };
	uint8_t check[4];

	g_byte_array_append(deflate.out, zlib_header, sizeof(zlib_header));
	put_bits(&deflate, 1, 1); /* the last block */
	put_bits(&deflate, 1, 2); /* fixed codes */
	filtered[0] = FILTER_UP;
	for (uint32_t y = 0; y < surface->height; y++) {
		uint8_t *swap = above;

		read_row(surface, y, row);
		for (size_t i = 0; i < size; i++)
			filtered[i + 1] = (uint8_t)(row[i] - above[i]);
		deflate_bytes(&deflate, filtered, size + 1);
		above = row;
		row = swap;
	}
	flush_run(&deflate);
	put_symbol(&deflate, 256);
	put_bits(&deflate, 0, 7); /* to the next byte */
	put_long(check, deflate.adler_b << 16 | deflate.adler_a);
	g_byte_array_append(deflate.out, check, sizeof(check));
	return deflate.out;
}

GByteArray *display_image_png(const DisplaySurface *surface)
{
	static const uint8_t magic[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
	uint8_t header[13] = { [8] = 8 /* bits a colour */, [9] = 2 /* red, green, blue */ };
	GByteArray *image = g_byte_array_new();
	g_autoptr(GByteArray) rows = pack_rows(surface);

	put_long(header, surface->width);
	put_long(header + 4, surface->height);
	g_byte_array_append(image, magic, sizeof(magic));
	append_chunk(image, "IHDR", header, sizeof(header));
	append_chunk(image, "IDAT", rows->data, rows->len);
	append_chunk(image, "IEND", NULL, 0);
	return image;
}
