/*
 * fuzz-scsi.c: any commands with any parameters to a disk and to a CD drive
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qapi-types.h"
#include "tests/device/fake_machine.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/config/options.h"
#include "vmm/scsi/scsi.h"

#define MEDIUM_SIZE (1 << 20)

enum { STEP_SIZE = 1 + SCSI_CDB_SIZE + 32 };

/* Of all runs: nothing is read from it nor written to it. */
static BlockNode *medium(void)
{
	static BlockNode *node;
	g_autoptr(QapiBlockdevOptions) options = NULL;
	g_autofree char *text = NULL;
	json_object *parsed;
	BlockNodes *nodes;
	int fd;

	if (node)
		return node;
	nodes = block_nodes_new();
	fd = memfd_create("medium", MFD_CLOEXEC);
	g_assert_cmpint(ftruncate(fd, MEDIUM_SIZE), ==, 0);
	text = g_strdup_printf("file,node-name=medium,locking=off,filename=/proc/self/fd/%d", fd);
	parsed = options_parse(text, "driver", NULL);
	options = qapi_parse_BlockdevOptions(parsed, QAPI_PARSE_KEYVAL, NULL);
	json_object_put(parsed);
	g_assert_true(block_nodes_add(nodes, options, NULL));
	node = block_nodes_find(nodes, "medium");
	return node;
}

static void check(const ScsiDisk *disk, const ScsiOutcome *outcome)
{
	g_assert_cmpuint(outcome->reply_size, <=, SCSI_REPLY_MAX);
	g_assert_true(!outcome->on_medium || outcome->reply_size == 0);
	if (outcome->on_medium) {
		g_assert_cmpuint(outcome->offset, <=, disk->size);
		g_assert_cmpuint(outcome->size, <=, disk->size - outcome->offset);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char serial[] = "serial", vendor[] = "VIREO", version[] = "1";
	FakeMachine *fake = fake_machine_new(0);
	ScsiBus bus = { .units = g_ptr_array_new() };
	ScsiDisk disks[2] = {};
	ScsiOutcome *outcome = g_new0(ScsiOutcome, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(disks); i++) {
		disks[i] = (ScsiDisk){ .device = { .type = i ? &scsi_cd_type : &scsi_hd_type,
						   .services = &fake->services,
						   .bus = &bus.bus },
				       .is_cd = i,
				       .target = i,
				       .serial = serial,
				       .vendor = vendor,
				       .version = version,
				       .logical_block_size = i ? 2048 : 512,
				       .physical_block_size = 4096,
				       .limits = { .discard_granularity = 512 },
				       .node = medium(),
				       .size = MEDIUM_SIZE };
		disks[i].device.path = serial;
		g_ptr_array_add(bus.units, &disks[i]);
	}
	for (; size >= STEP_SIZE; data += STEP_SIZE, size -= STEP_SIZE) {
		ScsiDisk *disk = &disks[data[0] & 1];
		uint8_t parameters[SCSI_PARAMETER_MAX] = {};

		memcpy(parameters, data + 1 + SCSI_CDB_SIZE, 32);
		if (data[0] & 2)
			disk->attention = (ScsiSense){ 6, 0x29, 0 };
		scsi_disk_execute(disk, data + 1, parameters, data[0] >> 2, outcome);
		check(disk, outcome);
		scsi_bus_execute_without_unit(&bus, data[0] & 3, data + 1, outcome);
		check(disk, outcome);
	}
	g_free(outcome);
	g_ptr_array_unref(bus.units);
	fake_machine_free(fake);
	return 0;
}
