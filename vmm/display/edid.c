/*
 * edid.c: what a display tells of itself (VESA E-EDID 1.4)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/edid.h"

#include <glib.h>
#include <string.h>

#define REFRESH_HZ	60u
#define DPI		96u
#define CLOCK_UNIT	10000u /* Hz */
#define DESCRIPTORS	54u    /* §3.10: four of them */
#define DESCRIPTOR_SIZE 18u

enum { DESCRIPTOR_NAME = 0xfc, DESCRIPTOR_RANGES = 0xfd, DESCRIPTOR_DUMMY = 0x10 };

/* §3.9: width and aspect ratio (1: 4:3, 2: 5:4, 3: 16:9, 0: 16:10) at 60 Hz. */
static const struct {
	uint16_t width;
	uint8_t aspect;
} standard_timings[8] = {
	{ 1920, 3 }, { 1920, 0 }, { 1680, 0 }, { 1600, 1 },
	{ 1440, 0 }, { 1280, 2 }, { 1280, 0 }, { 1024, 1 },
};

/* §3.10.2. Blanking is what it takes to look like a signal: nothing is ever sent. */
static void set_detailed_timing(uint8_t *at, uint32_t width, uint32_t height)
{
	uint32_t h_front = width / 16, h_sync = width / 32, h_blank = width / 5;
	uint32_t v_front = 3, v_sync = 5, v_blank = MAX(height / 24, 16u);
	uint64_t clock = (uint64_t)(width + h_blank) * (height + v_blank) * REFRESH_HZ / CLOCK_UNIT;
	uint32_t width_mm = width * 254 / DPI / 10, height_mm = height * 254 / DPI / 10;

	clock = MIN(clock, UINT16_MAX);
	h_front = MIN(h_front, 1023u);
	h_sync = MIN(h_sync, 1023u);
	at[0] = (uint8_t)clock;
	at[1] = (uint8_t)(clock >> 8);
	at[2] = (uint8_t)width;
	at[3] = (uint8_t)h_blank;
	at[4] = (uint8_t)((width >> 8) << 4 | h_blank >> 8);
	at[5] = (uint8_t)height;
	at[6] = (uint8_t)v_blank;
	at[7] = (uint8_t)((height >> 8) << 4 | v_blank >> 8);
	at[8] = (uint8_t)h_front;
	at[9] = (uint8_t)h_sync;
	at[10] = (uint8_t)(v_front << 4 | v_sync);
	at[11] = (uint8_t)((h_front >> 8) << 6 | (h_sync >> 8) << 4);
	at[12] = (uint8_t)width_mm;
	at[13] = (uint8_t)height_mm;
	at[14] = (uint8_t)((width_mm >> 8) << 4 | height_mm >> 8);
	at[17] = 0x18; /* digital, separate syncs */
}

static void set_descriptor(uint8_t *at, uint8_t kind, const void *data, size_t size)
{
	at[3] = kind;
	memcpy(at + 5, data, MIN(size, DESCRIPTOR_SIZE - 5));
}

void edid_generate(uint8_t edid[static EDID_SIZE], uint32_t width, uint32_t height)
{
	static const uint8_t magic[8] = { 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00 };
	/* §3.10.3.3.1: 50 to 125 Hz, 30 to 160 kHz, 2550 MHz at most. */
	static const uint8_t ranges[13] = { 50,	 125, 30,  160, 0xff, 0x01, '\n',
					    ' ', ' ', ' ', ' ', ' ',  ' ' };
	/* §3.7: sRGB. */
	static const uint8_t colours[10] = { 0xee, 0x91, 0xa3, 0x54, 0x4c,
					     0x99, 0x26, 0x0f, 0x50, 0x54 };
	uint8_t sum = 0;

	memset(edid, 0, EDID_SIZE);
	memcpy(edid, magic, sizeof(magic));
	/* "RHT", whose device ids all of these devices have, in five bits a letter. */
	edid[8] = 0x49;
	edid[9] = 0x14;
	edid[10] = 0x34;
	edid[11] = 0x12;
	edid[16] = 42; /* week and year of manufacture: not known */
	edid[17] = 0;
	edid[18] = 1; /* EDID 1.4 */
	edid[19] = 4;
	edid[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
	edid[21] = (uint8_t)MIN(width * 254 / DPI / 100, 255u); /* cm */
	edid[22] = (uint8_t)MIN(height * 254 / DPI / 100, 255u);
	edid[23] = 120;	 /* gamma 2.2 */
	edid[24] = 0x06; /* sRGB, the first timing is the native one */
	memcpy(edid + 25, colours, sizeof(colours));
	edid[35] = 0x21; /* 640x480 and 800x600 at 60 Hz */
	edid[36] = 0x08; /* 1024x768 at 60 Hz */
	for (size_t i = 0; i < G_N_ELEMENTS(standard_timings); i++) {
		edid[38 + i * 2] = (uint8_t)(standard_timings[i].width / 8 - 31);
		edid[39 + i * 2] = (uint8_t)(standard_timings[i].aspect << 6 | (REFRESH_HZ - 60));
	}
	set_detailed_timing(edid + DESCRIPTORS, width, height);
	set_descriptor(edid + DESCRIPTORS + DESCRIPTOR_SIZE, DESCRIPTOR_RANGES, ranges,
		       sizeof(ranges));
	set_descriptor(edid + DESCRIPTORS + 2 * DESCRIPTOR_SIZE, DESCRIPTOR_NAME, "Vireo\n       ",
		       13);
	set_descriptor(edid + DESCRIPTORS + 3 * DESCRIPTOR_SIZE, DESCRIPTOR_DUMMY, "", 0);
	for (unsigned i = 0; i < EDID_SIZE - 1; i++)
		sum += edid[i];
	edid[EDID_SIZE - 1] = (uint8_t)-sum;
}
