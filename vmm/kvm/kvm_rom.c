/*
 * kvm_rom.c: memory that the guest may read and run, whose writes exit
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/kvm/kvm_internal.h"

#include <errno.h>

#include "vmm/base/error.h"

/* Its slots: above any number that RAM's regions reach, and below the 509 that KVM has at least. */
#define KVM_ROM_SLOT 400u

static bool kvm_set_rom_slot(Kvm *kvm, unsigned index, const IoRegion *region, bool mapped)
{
	struct kvm_userspace_memory_region slot = {
		.slot = KVM_ROM_SLOT + index,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = region->base,
		.memory_size = mapped ? region->size : 0,
		.userspace_addr = (uintptr_t)region->rom,
	};

	return kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) == 0;
}

/*
 * Without a slot reads exit, and code there cannot run: worth a word, but only one, as a guest can
 * put an expansion ROM onto its RAM as often as it likes.
 */
void kvm_map_rom(Kvm *kvm, const IoRegion *region)
{
	unsigned index = 0;

	while (index < KVM_ROMS && kvm->roms[index])
		index++;
	if (index < KVM_ROMS && kvm_set_rom_slot(kvm, index, region, true)) {
		kvm->roms[index] = region;
		return;
	}
	if (!kvm->rom_warned)
		g_warning("%s: KVM has no memory slot for it: %s", region->name,
			  index < KVM_ROMS ? error_text(errno) : "too many");
	kvm->rom_warned = true;
}

void kvm_unmap_rom(Kvm *kvm, const IoRegion *region)
{
	for (unsigned i = 0; i < KVM_ROMS; i++) {
		if (kvm->roms[i] != region)
			continue;
		kvm_set_rom_slot(kvm, i, region, false);
		kvm->roms[i] = NULL;
	}
}
