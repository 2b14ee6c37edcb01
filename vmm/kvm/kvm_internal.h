/*
 * kvm_internal.h: what the files of this directory share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/kvm/kvm.h"
#include "vmm/memory/address_space.h"
#include "vmm/memory/guest_memory.h"

#define KVM_ROMS     8u /* regions of ROM that can be mapped at once */
#define KVM_GSI_PINS 24u /* of the IOAPIC; MSI routes have the GSIs above */

typedef struct KvmInterrupts {
	InterruptController controller; /* first */
	Kvm *kvm;
	GMutex lock;			  /* the routing table */
	struct kvm_irq_routing *table;	  /* pins, then MSI routes */
	unsigned n_allocated;		  /* entries that fit in table */
	GArray *routes_used;		  /* gboolean per MSI route, by gsi - KVM_GSI_PINS */
	unsigned max_gsis;
} KvmInterrupts;

/* Slots of device memory, apart from RAM's: the last of those that every KVM on x86 has. */
#define KVM_DEVICE_SLOTS      8u
#define KVM_FIRST_DEVICE_SLOT (509u - KVM_DEVICE_SLOTS)

/* One of the two address spaces KVM listens to. */
typedef struct KvmListener {
	Kvm *kvm;
	AddressSpace *space;
	bool is_pio;
} KvmListener;

/* Memory slots; every KVM has as many (32764 since Linux 5.11). */
#define KVM_SLOTS 448u

/* One that is RAM. */
typedef struct KvmSlot {
	uint32_t number;
	GuestMemoryRegion region;
} KvmSlot;

struct Kvm {
	int fd;	   /* /dev/kvm */
	int vm_fd;
	int stats_fd;
	size_t vcpu_mmap_size;
	unsigned max_vcpus;
	uint64_t used_slots[KVM_SLOTS / 64]; /* a bit for each */
	GArray *slots;			     /* KvmSlot; slot_lock */
	bool logging;			     /* of RAM's slots; main thread */
	bool manual_clear;		     /* reading a dirty log leaves it as it is */
	bool any_length_ioeventfd, coalesced_pio;
	bool has_stats, has_xsave2, has_set_clock;
	struct kvm_cpuid2 *supported_cpuid;
	struct kvm_msr_list *msr_list; /* read when first needed */
	KvmInterrupts interrupts;
	KvmListener mmio_listener, pio_listener;
	const IoRegion *roms[KVM_ROMS]; /* by slot; under the MMIO space's lock */
	bool rom_warned;		/* there was no slot for one; likewise */

	/* The ring of batched writes lies in the pages of the first vCPU. */
	size_t coalesced_offset; /* bytes; 0: KVM has none */
	struct kvm_coalesced_mmio_ring *coalesced_ring;
	GMutex coalesced_lock; /* readers of the ring */

	GMutex slot_lock;
	uint32_t device_slots; /* bit per slot of device memory that is in use; slot_lock */

	struct kvm_clock_data clock; /* while it is paused */
	bool clock_paused;
	struct kvm_irqchip chips[3]; /* power-on state */
	struct kvm_pit_state2 pit;
};

/* Set up @interrupts of @kvm, whose chips exist: routes of the pins alone. False and @error. */
bool kvm_interrupts_init(KvmInterrupts *interrupts, Kvm *kvm, GError **error);
void kvm_interrupts_clear(KvmInterrupts *interrupts);

/* ioctl on @fd, again when a signal cut in. */
int kvm_ioctl(int fd, unsigned long request, void *argument);

/* As kvm_ioctl(); false and @error, "KVM_XXX: reason", on failure. */
bool kvm_call(int fd, unsigned long request, const char *name, void *argument, GError **error);
#define KVM_CALL(fd, request, argument, error)                                                     \
	kvm_call(fd, request, #request, (void *)(uintptr_t)(argument), error)

/*
 * kvm_device_memory.c: give the guest the ram of @region, take it away, follow region->log_dirty,
 * and read what was dirtied (as address_space_fetch_dirty()). Called under the address space's lock.
 */
void kvm_map_device_memory(Kvm *kvm, IoRegion *region);
void kvm_unmap_device_memory(Kvm *kvm, IoRegion *region);
void kvm_log_device_memory(Kvm *kvm, IoRegion *region);
bool kvm_fetch_device_memory_dirty(Kvm *kvm, IoRegion *region, uint64_t *bitmap);

/*
 * kvm_memory.c: have dirty logs work as KVM's KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, @offered, allows;
 * and take the dirty log of slot @slot, with @n_pages, into @bitmap, a bit for each, rounded up to
 * words. False where KVM refuses.
 */
void kvm_set_dirty_log_mode(Kvm *kvm, int offered);
bool kvm_take_dirty_log(Kvm *kvm, uint32_t slot, uint64_t n_pages, uint64_t *bitmap);

/* kvm_rom.c: give the guest the rom of @region, and take it away. Under that lock, too. */
void kvm_map_rom(Kvm *kvm, const IoRegion *region);
void kvm_unmap_rom(Kvm *kvm, const IoRegion *region);

/* The stats descriptor of VM or vCPU descriptor @fd; -1 where KVM has none. */
int kvm_open_stats(const Kvm *kvm, int fd);

/* The MSRs that make up a vCPU's state; NULL and @error. Borrowed. */
const struct kvm_msr_list *kvm_msr_list(Kvm *kvm, GError **error);
