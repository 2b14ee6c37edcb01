/*
 * vmgenid.c: the generation of the guest, which changes when it is set back in time
 *
 * Microsoft's "Virtual Machine Generation ID": 16 bytes in a page that is nobody's RAM, which the
 * ACPI device's method ADDR names.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/chipset/chipset.h"
#include "vmm/memory/address_space.h"
#include "vmm/x86/acpi_layout.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

typedef struct Vmgenid {
	Device device;
	char *guid; /* property, as text */
	IoRegion region;
	uint8_t *page;
} Vmgenid;

/* As a GUID is stored: its first three groups of digits are little-endian numbers. */
static void store_guid(uint8_t *bytes, const char *text)
{
	static const uint8_t places[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	unsigned digits = 0;

	memset(bytes, 0, sizeof(places));
	for (; *text; text++) {
		uint8_t *byte = &bytes[places[digits / 2]];

		if (*text == '-')
			continue;
		*byte = (uint8_t)(*byte << 4 | g_ascii_xdigit_value(*text));
		digits++;
	}
}

static bool vmgenid_realize(Device *device, GError **error)
{
	Vmgenid *vmgenid = (Vmgenid *)device;
	void *page;

	if (address_space_find_overlap(device->services->mmio, ACPI_GENERATION_BASE,
				       ACPI_GENERATION_SIZE))
		return error_fail(error, "vmgenid: there can be one");
	if (strcmp(vmgenid->guid, "auto") == 0) {
		g_free(vmgenid->guid);
		vmgenid->guid = g_uuid_string_random();
	}
	if (!g_uuid_string_is_valid(vmgenid->guid))
		return error_fail(error, "guid=%s is neither a UUID nor 'auto'", vmgenid->guid);
	page = mmap(NULL, ACPI_GENERATION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (page == MAP_FAILED)
		return error_fail_errno(error, errno, "no memory for the generation");
	vmgenid->page = page;
	store_guid(vmgenid->page, vmgenid->guid);
	vmgenid->region =
		(IoRegion){ .name = "vmgenid", .size = ACPI_GENERATION_SIZE, .rom = vmgenid->page };
	/* It is below 4 GiB, where there always are addresses. */
	address_space_map(device->services->mmio, &vmgenid->region, ACPI_GENERATION_BASE);
	return true;
}

static void vmgenid_unrealize(Device *device)
{
	Vmgenid *vmgenid = (Vmgenid *)device;

	address_space_unmap(device->services->mmio, &vmgenid->region);
	rcu_synchronize();
	munmap(vmgenid->page, ACPI_GENERATION_SIZE);
}

const char *vmgenid_guid(const Device *device)
{
	return ((const Vmgenid *)device)->guid;
}

static const Property vmgenid_properties[] = {
	{
		.name = "guid",
		.kind = PROPERTY_STRING,
		.offset = offsetof(Vmgenid, guid),
		.required = true,
		.description = "the generation, a UUID, or 'auto' for a new one",
	},
	PROPERTY_END,
};

const DeviceType vmgenid_type = {
	.name = "vmgenid",
	.description = "tells the guest when it was set back in time",
	.category = "Misc",
	.bus_kind = "ISA",
	.instance_size = sizeof(Vmgenid),
	.properties = { vmgenid_properties },
	.user_creatable = true,
	.realize = vmgenid_realize,
	.unrealize = vmgenid_unrealize,
};
