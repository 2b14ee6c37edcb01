/*
 * test-state.c: saved state by field tables
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/device/state.h"
#include "vmm/base/error.h"

#include <string.h>

typedef struct Part {
	uint16_t a;
	bool b;
} Part;

typedef struct Thing {
	bool flag;
	uint8_t small;
	uint16_t words[3];
	uint32_t medium;
	uint64_t large;
	int64_t negative;
	uint8_t bytes[5];
	Part parts[2];
	Part *more;
	uint32_t n_more;
	uint8_t *nothing;
	uint32_t newer;
	unsigned n_saves, n_loads; /* no state: how often the hooks ran */
	bool refuse;
} Thing;

static const StateTable part_table = {
	.name = "part",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			STATE_FIELD(Part, a, STATE_UINT16),
			STATE_FIELD(Part, b, STATE_BOOL),
			STATE_END,
		},
};

static void thing_before_save(void *object)
{
	((Thing *)object)->n_saves++;
}

static bool thing_after_load(void *object, GError **error)
{
	Thing *thing = object;

	thing->n_loads++;
	return thing->refuse ? error_fail(error, "thing does not like it") : true;
}

static const StateField thing_fields[] = {
	STATE_FIELD(Thing, flag, STATE_BOOL),
	STATE_FIELD(Thing, small, STATE_UINT8),
	STATE_ARRAY(Thing, words, STATE_UINT16),
	STATE_FIELD(Thing, medium, STATE_UINT32),
	STATE_FIELD(Thing, large, STATE_UINT64),
	STATE_FIELD(Thing, negative, STATE_INT64),
	STATE_RAW(Thing, bytes),
	{ .name = "parts",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(Thing, parts),
	  .element_size = sizeof(Part),
	  .count = 2,
	  .sub_table = &part_table },
	{ .name = "more",
	  .kind = STATE_STRUCT,
	  .offset = offsetof(Thing, more),
	  .element_size = sizeof(Part),
	  .is_pointer = true,
	  .has_count_offset = true,
	  .count_offset = offsetof(Thing, n_more),
	  .sub_table = &part_table },
	{ .name = "nothing",
	  .kind = STATE_BYTES,
	  .offset = offsetof(Thing, nothing),
	  .element_size = 8,
	  .is_pointer = true },
	{ .name = "newer",
	  .kind = STATE_UINT32,
	  .offset = offsetof(Thing, newer),
	  .since_version = 3 },
	STATE_END,
};

static const StateTable thing_table = {
	.name = "thing",
	.version = 3,
	.minimum_version = 2,
	.fields = thing_fields,
	.before_save = thing_before_save,
	.after_load = thing_after_load,
};

/* What an older release, which did not know "newer", would have written. */
static const StateTable old_table = {
	.name = "thing",
	.version = 2,
	.fields = thing_fields + G_N_ELEMENTS(thing_fields) - 1,
};

static void thing_fill(Thing *thing, Part *more)
{
	*thing = (Thing){
		.flag = true,
		.small = 0x12,
		.words = { 1, 0x1234, 0xffff },
		.medium = 0x12345678,
		.large = 0x123456789abcdef0,
		.negative = -2,
		.bytes = { 1, 2, 3, 4, 5 },
		.parts = { { 7, true }, { 8, false } },
		.more = more,
		.n_more = 2,
		.newer = 99,
	};
	more[0] = (Part){ 0xa, true };
	more[1] = (Part){ 0xb, true };
}

static void test_round_trip(void)
{
	g_autoptr(GByteArray) stream = g_byte_array_new(), again = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	Part more_from[2], more_to[2] = { 0 };
	Thing from, to = { .more = more_to, .n_more = 2 };
	size_t used;

	thing_fill(&from, more_from);
	state_save(&thing_table, &from, stream);
	g_assert_cmpuint(from.n_saves, ==, 1);
	/* What follows belongs to somebody else. */
	g_byte_array_append(stream, (const uint8_t *)"x", 1);
	state_load(&thing_table, &to, stream->data, stream->len, &used, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(used, ==, stream->len - 1);
	g_assert_cmpuint(to.n_loads, ==, 1);
	g_assert_cmpint(to.negative, ==, -2);
	g_assert_cmpuint(to.words[1], ==, 0x1234);
	g_assert_cmpuint(to.more[1].a, ==, 0xb);
	g_assert_cmpuint(to.newer, ==, 99);
	state_save(&thing_table, &to, again);
	g_assert_cmpmem(stream->data, stream->len - 1, again->data, again->len);
}

/* The stream's layout is fixed: big-endian, names and lengths where state.h says. */
static void test_layout(void)
{
	static const uint8_t expected[] = { 4, 'p', 'a', 'r', 't', 0,	 0,    0,
					    1, 0,   0,	 0,   3,   0x12, 0x34, 1 };
	g_autoptr(GByteArray) stream = g_byte_array_new();
	Part part = { 0x1234, true };

	state_save(&part_table, &part, stream);
	g_assert_cmpmem(stream->data, stream->len, expected, sizeof(expected));
}

/* Whatever is cut off, or whichever byte is wrong, the object stays as it was or is loaded. */
static void test_damage(void)
{
	g_autoptr(GByteArray) stream = g_byte_array_new();
	Part more_from[2], more_to[2] = { 0 };
	Thing from;
	size_t used;

	thing_fill(&from, more_from);
	state_save(&thing_table, &from, stream);
	for (guint length = 0; length < stream->len; length++) {
		g_autoptr(GError) error = NULL;
		g_autofree uint8_t *copy = g_memdup2(stream->data, length);
		Thing to = { .more = more_to, .n_more = 2 }, before = to;

		g_assert_false(state_load(&thing_table, &to, copy, length, &used, &error));
		g_assert_nonnull(error);
		g_assert_cmpmem(&to, sizeof(to), &before, sizeof(before));
	}
	for (guint i = 0; i < stream->len; i++) {
		g_autoptr(GError) error = NULL;
		g_autofree uint8_t *copy = g_memdup2(stream->data, stream->len);
		Thing to = { .more = more_to, .n_more = 2 };

		copy[i] ^= 0x80;
		if (!state_load(&thing_table, &to, copy, stream->len, &used, &error)) {
			g_assert_nonnull(error);
			g_assert_cmpuint(to.n_loads, ==, 0);
		}
	}
}

static void assert_load_fails(const GByteArray *stream, Thing *to, const char *reason)
{
	g_autoptr(GError) error = NULL;
	size_t used;

	g_assert_false(state_load(&thing_table, to, stream->data, stream->len, &used, &error));
	g_assert_nonnull(strstr(error->message, reason));
}

static void test_refused(void)
{
	g_autoptr(GByteArray) stream = g_byte_array_new();
	Part more_from[2], more_to[3] = { 0 };
	Thing from, to = { .more = more_to, .n_more = 3 };

	thing_fill(&from, more_from);
	state_save(&thing_table, &from, stream);
	assert_load_fails(stream, &to, "field 'more' has 2 elements, this device has 3");
	to.n_more = 2;
	to.nothing = (uint8_t *)more_to;
	assert_load_fails(stream, &to, "field 'nothing' has 0 elements, this device has 1");
	to.nothing = NULL;
	to.refuse = true;
	assert_load_fails(stream, &to, "does not like it");
	stream->data[6 + 3] = 4;
	assert_load_fails(stream, &to, "'thing' has version 4, known are 2 to 3");
	stream->data[6 + 3] = 1;
	assert_load_fails(stream, &to, "'thing' has version 1, known are 2 to 3");
	stream->data[6 + 3] = 3;
	stream->data[1] = 'T';
	assert_load_fails(stream, &to, "'thing' is not where it should be");
	g_byte_array_set_size(stream, 0);
	state_save(&old_table, &from, stream);
	assert_load_fails(stream, &to, "'thing' ends in field 'flag'");
}

/* A stream of version 2 lacks "newer", which then keeps its value. */
static void test_older_version(void)
{
	g_autoptr(GByteArray) stream = g_byte_array_new();
	g_autoptr(GError) error = NULL;
	Part more_from[2], more_to[2] = { 0 };
	Thing from, to = { .more = more_to, .n_more = 2, .newer = 5 };
	size_t used;

	thing_fill(&from, more_from);
	state_save(&thing_table, &from, stream);
	g_byte_array_set_size(stream, stream->len - 4);
	stream->data[6 + 3] = 2;
	stream->data[6 + 7] -= 4;
	state_load(&thing_table, &to, stream->data, stream->len, &used, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(to.newer, ==, 5);
	g_assert_cmpuint(to.large, ==, from.large);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/state/round-trip", test_round_trip);
	g_test_add_func("/state/layout", test_layout);
	g_test_add_func("/state/damage", test_damage);
	g_test_add_func("/state/refused", test_refused);
	g_test_add_func("/state/older-version", test_older_version);
	return g_test_run();
}
