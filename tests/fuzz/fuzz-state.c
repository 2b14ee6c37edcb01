/*
 * fuzz-state.c: saved state from any bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "vmm/device/state.h"

typedef struct Part {
	uint16_t word;
	bool flag;
} Part;

typedef struct Target {
	uint8_t bytes[7];
	uint64_t large[3];
	Part part;
	Part *parts;
	uint32_t n_parts;
	uint8_t *none;
} Target;

static const StateTable part_state = {
	.name = "p",
	.version = 2,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(Part, word, STATE_UINT16),
			{ .name = "flag",
			  .kind = STATE_BOOL,
			  .offset = offsetof(Part, flag),
			  .since_version = 2 },
			STATE_END,
		},
};

static const StateTable target_state = {
	.name = "t",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_RAW(Target, bytes),
			STATE_ARRAY(Target, large, STATE_UINT64),
			STATE_PART(Target, part, &part_state),
			{ .name = "parts",
			  .kind = STATE_STRUCT,
			  .offset = offsetof(Target, parts),
			  .element_size = sizeof(Part),
			  .is_pointer = true,
			  .has_count_offset = true,
			  .count_offset = offsetof(Target, n_parts),
			  .sub_table = &part_state },
			{ .name = "none",
			  .kind = STATE_BYTES,
			  .offset = offsetof(Target, none),
			  .element_size = 4,
			  .is_pointer = true },
			STATE_END,
		},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GByteArray) again = g_byte_array_new();
	Part parts[2] = { 0 };
	Target target = { .parts = parts, .n_parts = G_N_ELEMENTS(parts) };
	size_t used;

	/* What loads saves as itself, unless it was of an older version. */
	if (state_load(&target_state, &target, data, size, &used, NULL)) {
		g_assert_cmpuint(used, <=, size);
		state_save(&target_state, &target, again);
		g_assert_cmpuint(again->len, >=, used);
	}
	return 0;
}
