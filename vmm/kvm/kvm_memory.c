/*
 * kvm_memory.c: the guest's RAM, and which of its pages the guest writes
 *
 * Who reads a dirty log wants the pages that it found protected again before reading them, but not
 * the whole slot at a time while vCPUs wait for KVM's lock: where KVM can, a log is read first and
 * cleared then in pieces (KVM API §4.117). It can also start with all pages dirty and none
 * protected, so that starting takes no time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/kvm/kvm_internal.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "vmm/base/error.h"
#include "vmm/base/rcu.h"
#include "vmm/memory/dirty_log.h"

/* Pages that one KVM_CLEAR_DIRTY_LOG is about: 256 MiB of RAM; a multiple of 64. */
#define CLEAR_PAGES (UINT64_C(1) << 16)

/* Slots */

static bool set_slot(Kvm *kvm, const KvmSlot *slot, bool logging, GError **error)
{
	const GuestMemoryRegion *region = &slot->region;
	struct kvm_userspace_memory_region memory = {
		.slot = slot->number,
		.flags = region->read_only ? KVM_MEM_READONLY
			 : logging	   ? KVM_MEM_LOG_DIRTY_PAGES
					   : 0,
		.guest_phys_addr = region->gpa,
		.memory_size = region->size,
		.userspace_addr = (uintptr_t)region->hva,
	};

	return KVM_CALL(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &memory, error);
}

/* The first slot that is not in use, or -1. */
static int find_free(const Kvm *kvm)
{
	for (uint32_t i = 0; i < KVM_SLOTS; i++) {
		if (!(kvm->used_slots[i / 64] & (UINT64_C(1) << (i % 64))))
			return (int)i;
	}
	return -1;
}

bool kvm_add_memory(Kvm *kvm, const GuestMemoryRegion *region, uint32_t *number, GError **error)
{
	int found = find_free(kvm);
	KvmSlot slot = { .number = (uint32_t)found, .region = *region };

	if (found < 0)
		return error_fail(error, "KVM has no slot left for more memory");
	if (!set_slot(kvm, &slot, kvm->logging, error))
		return false;
	*number = slot.number;
	kvm->used_slots[slot.number / 64] |= UINT64_C(1) << (slot.number % 64);
	g_mutex_lock(&kvm->slot_lock);
	g_array_append_val(kvm->slots, slot);
	g_mutex_unlock(&kvm->slot_lock);
	return true;
}

/* The place of the slot whose region starts at @gpa, or -1; lock held. */
static int find_slot(const Kvm *kvm, uint64_t gpa)
{
	for (unsigned i = 0; i < kvm->slots->len; i++) {
		if (g_array_index(kvm->slots, KvmSlot, i).region.gpa == gpa)
			return (int)i;
	}
	return -1;
}

void kvm_remove_memory(Kvm *kvm, uint32_t number)
{
	struct kvm_userspace_memory_region nothing = { .slot = number };

	g_mutex_lock(&kvm->slot_lock);
	for (unsigned i = 0; i < kvm->slots->len; i++) {
		if (g_array_index(kvm->slots, KvmSlot, i).number == number)
			g_array_remove_index_fast(kvm->slots, i--);
	}
	/* A slot without a size is gone (KVM API §4.35). */
	if (kvm_ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &nothing) < 0)
		g_warning("KVM keeps memory slot %u: %s", number, error_text(errno));
	else
		kvm->used_slots[number / 64] &= ~(UINT64_C(1) << (number % 64));
	g_mutex_unlock(&kvm->slot_lock);
}

/* Dirty logs */

void kvm_set_dirty_log_mode(Kvm *kvm, int offered)
{
	struct kvm_enable_cap enable = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 };

	if (offered <= 0)
		return;
	enable.args[0] = (uint64_t)offered &
			 (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	kvm->manual_clear = kvm_ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &enable) == 0;
}

static bool clear_piece(Kvm *kvm, uint32_t slot, uint64_t first, uint64_t n, uint64_t *words)
{
	struct kvm_clear_dirty_log clear = {
		.slot = slot,
		.num_pages = (uint32_t)n,
		.first_page = first,
		.dirty_bitmap = words,
	};
	bool any = false;

	for (uint64_t i = 0; i < (n + 63) / 64 && !any; i++)
		any = words[i] != 0;
	return !any || kvm_ioctl(kvm->vm_fd, KVM_CLEAR_DIRTY_LOG, &clear) == 0;
}

bool kvm_take_dirty_log(Kvm *kvm, uint32_t slot, uint64_t n_pages, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	if (kvm_ioctl(kvm->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
		return false;
	for (uint64_t at = 0; kvm->manual_clear && at < n_pages; at += CLEAR_PAGES) {
		if (!clear_piece(kvm, slot, at, MIN(CLEAR_PAGES, n_pages - at), bitmap + at / 64))
			return false;
	}
	return true;
}

static void stop_logging(void *opaque)
{
	Kvm *kvm = opaque;

	kvm->logging = false;
	for (unsigned i = 0; i < kvm->slots->len; i++)
		set_slot(kvm, &g_array_index(kvm->slots, KvmSlot, i), false, NULL);
}

static bool start_logging(void *opaque, GError **error)
{
	Kvm *kvm = opaque;

	kvm->logging = true;
	for (unsigned i = 0; i < kvm->slots->len; i++) {
		if (set_slot(kvm, &g_array_index(kvm->slots, KvmSlot, i), true, error))
			continue;
		stop_logging(kvm);
		return false;
	}
	return true;
}

static bool fetch_dirty(void *opaque, const GuestMemoryRegion *region, uint64_t *bitmap)
{
	Kvm *kvm = opaque;
	bool known = true;
	int index;

	g_mutex_lock(&kvm->slot_lock);
	index = find_slot(kvm, region->gpa);
	/* One that has been unplugged meanwhile has no pages. */
	if (index >= 0)
		known = kvm_take_dirty_log(kvm, g_array_index(kvm->slots, KvmSlot, index).number,
					   region->size >> DIRTY_PAGE_SHIFT, bitmap);
	g_mutex_unlock(&kvm->slot_lock);
	return known;
}

bool kvm_set_memory(Kvm *kvm, GuestMemory *memory, GError **error)
{
	static const DirtySource source = {
		.start = start_logging,
		.stop = stop_logging,
		.fetch = fetch_dirty,
	};
	const GuestMemoryRegion *regions;
	size_t n_regions;
	bool done = true;
	uint32_t number;

	dirty_log_set_source(memory, &source, kvm);
	rcu_read_lock();
	regions = guest_memory_regions(memory, &n_regions);
	for (size_t i = 0; done && i < n_regions; i++)
		done = kvm_add_memory(kvm, &regions[i], &number, error);
	rcu_read_unlock();
	return done;
}
