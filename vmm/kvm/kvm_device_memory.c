/*
 * kvm_device_memory.c: memory of devices that the guest accesses without an exit
 *
 * A region of MMIO space with memory behind it is a slot of KVM's while it is mapped. Where the
 * guest puts it on top of something else that has a slot, KVM refuses, and accesses go on to exit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/kvm/kvm_internal.h"

#include <errno.h>

#include "vmm/base/error.h"
#include "vmm/memory/dirty_log.h"

#define NO_SLOT (-1)

static bool set_slot(Kvm *kvm, const IoRegion *region, int slot, uint64_t size)
{
	struct kvm_userspace_memory_region memory = {
		.slot = KVM_FIRST_DEVICE_SLOT + (uint32_t)slot,
		.flags = region->log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = region->base,
		.memory_size = size,
		.userspace_addr = (uintptr_t)region->ram,
	};

	if (kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &memory) == 0)
		return true;
	g_debug("%s: no slot: %s", region->name, error_text(errno));
	return false;
}

void kvm_map_device_memory(Kvm *kvm, IoRegion *region)
{
	region->slot = NO_SLOT;
	g_mutex_lock(&kvm->slot_lock);
	for (int slot = 0; slot < (int)KVM_DEVICE_SLOTS && region->slot == NO_SLOT; slot++) {
		if (kvm->device_slots & 1u << slot)
			continue;
		if (!set_slot(kvm, region, slot, region->size))
			break;
		region->slot = slot;
		kvm->device_slots |= 1u << slot;
	}
	g_mutex_unlock(&kvm->slot_lock);
}

void kvm_unmap_device_memory(Kvm *kvm, IoRegion *region)
{
	if (region->slot == NO_SLOT)
		return;
	g_mutex_lock(&kvm->slot_lock);
	if (set_slot(kvm, region, region->slot, 0))
		kvm->device_slots &= ~(1u << region->slot);
	region->slot = NO_SLOT;
	g_mutex_unlock(&kvm->slot_lock);
}

static bool take_log(Kvm *kvm, const IoRegion *region, uint64_t *bitmap)
{
	return kvm_take_dirty_log(kvm, KVM_FIRST_DEVICE_SLOT + (uint32_t)region->slot,
				  region->size >> DIRTY_PAGE_SHIFT, bitmap);
}

void kvm_log_device_memory(Kvm *kvm, IoRegion *region)
{
	g_autofree uint64_t *bitmap = NULL;

	if (region->slot == NO_SLOT || !set_slot(kvm, region, region->slot, region->size) ||
	    !region->log_dirty)
		return;
	/* A log may begin with all pages in it (KVM_DIRTY_LOG_INITIALLY_SET). */
	bitmap = g_new0(uint64_t, ((region->size >> DIRTY_PAGE_SHIFT) + 63) / 64);
	take_log(kvm, region, bitmap);
}

bool kvm_fetch_device_memory_dirty(Kvm *kvm, IoRegion *region, uint64_t *bitmap)
{
	return region->slot != NO_SLOT && take_log(kvm, region, bitmap);
}
