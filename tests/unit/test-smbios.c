/*
 * test-smbios.c: -smbios, and the SMBIOS tables as a guest finds and reads them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "tests/unit/boot_images.h"
#include "vmm/x86/smbios.h"

#define RAM_SIZE (4u << 20)

static const uint8_t uuid[16] = { 0xc7, 0xa5, 0xfd, 0xbd, 0xed, 0xaf, 0x94, 0x55,
				  0x92, 0x6a, 0xd6, 0x5c, 0x16, 0xdb, 0x18, 0x09 };

static SmbiosMachine make_machine(const SmbiosConfig *config, const CpuTopology *cpus,
				  const MemoryMap *map)
{
	return (SmbiosMachine){ .config = config, .cpus = cpus, .map = map, .uuid = uuid };
}

/* The structure behind the one at *@at, whose type is *@type; NULL after the last. */
static const uint8_t *next(const uint8_t **at, const uint8_t *end, uint8_t *type)
{
	const uint8_t *structure = *at, *strings;

	if (structure == end)
		return NULL;
	g_assert_cmpint(end - structure, >=, 6);
	*type = structure[0];
	strings = structure + structure[1];
	while (strings[0] || strings[1]) {
		strings++;
		g_assert_true(strings + 1 < end);
	}
	*at = strings + 2;
	return structure;
}

/* The string that the byte at @offset of @structure names. */
static const char *string_of(const uint8_t *structure, unsigned offset)
{
	const char *text = (const char *)structure + structure[1];

	g_assert_cmpuint(offset, <, structure[1]);
	if (structure[offset] == 0)
		return NULL;
	for (unsigned i = 1; i < structure[offset]; i++)
		text += strlen(text) + 1;
	return text;
}

static const uint8_t *find(const GByteArray *tables, uint8_t wanted)
{
	const uint8_t *at = tables->data, *structure;
	uint8_t type;

	while ((structure = next(&at, tables->data + tables->len, &type))) {
		if (type == wanted)
			return structure;
	}
	return NULL;
}

static unsigned count(const GByteArray *tables, uint8_t wanted)
{
	const uint8_t *at = tables->data;
	uint8_t type;
	unsigned n = 0;

	while (next(&at, tables->data + tables->len, &type))
		n += type == wanted;
	return n;
}

static void parse(SmbiosConfig *config, const char *text)
{
	g_autoptr(GError) error = NULL;

	smbios_config_parse(config, text, &error);
	g_assert_no_error(error);
}

static void test_structures(void)
{
	SmbiosConfig config = { 0 };
	const CpuTopology cpus = { .cpus = 8, .max_cpus = 8, .sockets = 2, .dies = 1, .cores = 2,
				   .threads = 2 };
	g_autoptr(GByteArray) tables = NULL;
	g_autoptr(GError) error = NULL;
	MemoryMap map;
	SmbiosMachine machine;
	const uint8_t *structure;

	g_assert_true(memory_map_init(&map, UINT64_C(20) << 30, 0, 40, &error));
	machine = make_machine(&config, &cpus, &map);
	parse(&config, "type=0,vendor=Maker,version=1.2,date=01/02/2003,release=4.5,uefi=on");
	parse(&config, "type=1,manufacturer=A,,B,serial=123");
	parse(&config, "type=2,product=Board");
	parse(&config, "type=2,product=Riser");
	parse(&config, "type=3,asset=Tag");
	parse(&config, "type=11,value=one");
	parse(&config, "type=11,value=");
	parse(&config, "type=11,value=three");
	parse(&config, "type=17,speed=3200,loc_pfx=Slot");
	tables = smbios_build(&machine);

	structure = find(tables, 0);
	g_assert_cmpstr(string_of(structure, 4), ==, "Maker");
	g_assert_cmpstr(string_of(structure, 8), ==, "01/02/2003");
	g_assert_cmpuint(structure[0x14], ==, 4);
	g_assert_cmpuint(structure[0x15], ==, 5);
	g_assert_cmphex(structure[0x13], ==, 0x18);
	structure = find(tables, 1);
	g_assert_cmpuint(structure[1], ==, 0x1b);
	g_assert_cmpstr(string_of(structure, 4), ==, "A,B");
	g_assert_cmpstr(string_of(structure, 5), ==, "q35");
	g_assert_cmpstr(string_of(structure, 7), ==, "123");
	g_assert_null(string_of(structure, 0x19));
	g_assert_cmpmem(structure + 8, 8, "\xbd\xfd\xa5\xc7\xaf\xed\x55\x94", 8);
	g_assert_cmpmem(structure + 16, 8, uuid + 8, 8);
	g_assert_cmpuint(count(tables, 2), ==, 2);
	g_assert_cmpstr(string_of(find(tables, 2), 5), ==, "Board");
	g_assert_cmpstr(string_of(find(tables, 3), 8), ==, "Tag");
	g_assert_cmpuint(count(tables, 4), ==, 2);
	structure = find(tables, 4);
	g_assert_cmpuint(structure[1], ==, 0x30);
	g_assert_cmpuint(structure[0x23], ==, 2);
	g_assert_cmpuint(structure[0x25], ==, 4);
	structure = find(tables, 11);
	g_assert_cmpuint(structure[4], ==, 3);
	g_assert_cmpmem(structure + 5, 12, "one\0 \0three", 12);
	g_assert_cmpuint(count(tables, 16), ==, 1);
	g_assert_cmpuint(count(tables, 17), ==, 2);
	structure = find(tables, 17);
	g_assert_cmpuint(structure[1], ==, 0x28);
	g_assert_cmpstr(string_of(structure, 0x10), ==, "Slot 0");
	g_assert_cmpuint(structure[0x0c] | structure[0x0d] << 8, ==, 16384);
	g_assert_cmpuint(structure[0x15] | structure[0x16] << 8, ==, 3200);
	g_assert_cmpuint(count(tables, 19), ==, 2);
	g_assert_cmpuint(count(tables, 32), ==, 1);
	g_assert_cmpuint(count(tables, 127), ==, 1);
	smbios_config_clear(&config);
}

/* Without firmware: an anchor at a multiple of 16 in the last 64 KiB of the first MiB. */
static void test_place(void)
{
	SmbiosConfig config = { 0 };
	const CpuTopology cpus = { 1, 1, 1, 1, 1, 1 };
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	SmbiosMachine machine;
	const uint8_t *anchor = NULL;
	uint64_t start, address = 0;
	uint8_t sum = 0;

	boot_guest_init(&guest, RAM_SIZE, 0);
	machine = make_machine(&config, &cpus, &guest.map);
	g_assert_true(smbios_place(&machine, guest.memory, &start, &error));
	for (uint64_t at = 0xf0000; at < 0x100000 && !anchor; at += 16) {
		if (memcmp(guest.ram + at, "_SM3_", 5) == 0)
			anchor = guest.ram + at;
	}
	g_assert_nonnull(anchor);
	g_assert_cmphex((uint64_t)(anchor - guest.ram), ==, start);
	for (unsigned i = 0; i < anchor[6]; i++)
		sum = (uint8_t)(sum + anchor[i]);
	g_assert_cmpuint(sum, ==, 0);
	memcpy(&address, anchor + 16, sizeof(address));
	/* No firmware describes itself, so the monitor does. */
	g_assert_cmpuint(guest.ram[address], ==, 0);
	g_assert_cmpuint(guest.ram[address + 1], ==, 0x18);
	g_assert_cmpstr(string_of(guest.ram + address, 4), ==, "Vireo");
}

static void test_too_much(void)
{
	SmbiosConfig config = { 0 };
	const CpuTopology cpus = { 1, 1, 1, 1, 1, 1 };
	g_auto(BootGuest) guest = { 0 };
	g_autoptr(GError) error = NULL;
	g_autofree char *filler = g_strnfill(1000, 'x');
	g_autofree char *option = g_strdup_printf("type=11,value=%s", filler);
	SmbiosMachine machine;
	uint64_t start;

	boot_guest_init(&guest, RAM_SIZE, 0);
	for (unsigned i = 0; i < 100; i++)
		parse(&config, option);
	machine = make_machine(&config, &cpus, &guest.map);
	g_assert_false(smbios_place(&machine, guest.memory, &start, &error));
	g_assert_nonnull(strstr(error->message, "do not fit"));
	smbios_config_clear(&config);
}

static void test_refused(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "vendor=x", "needs a type" },
		{ "type=5", "no type 5" },
		{ "type=0,serial=1", "no 'serial'" },
		{ "type=0,release=1", "release=1" },
		{ "type=0,release=1.256", "release=1.256" },
		{ "type=0,uefi=maybe", "uefi" },
		{ "type=1,uuid=1234", "no UUID" },
		{ "type=11,path=/x", "takes a value" },
		{ "type=17,speed=70000", "speed" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		SmbiosConfig config = { 0 };
		g_autoptr(GError) error = NULL;

		g_assert_false(smbios_config_parse(&config, cases[i].text, &error));
		g_assert_nonnull(strstr(error->message, cases[i].message));
		smbios_config_clear(&config);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/smbios/structures", test_structures);
	g_test_add_func("/smbios/place", test_place);
	g_test_add_func("/smbios/too-much", test_too_much);
	g_test_add_func("/smbios/refused", test_refused);
	return g_test_run();
}
