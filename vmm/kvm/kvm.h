/*
 * kvm.h: one virtual machine of the kernel's KVM
 *
 * Only the files of this directory call ioctl(KVM_*). "KVM API" in comments is the kernel's
 * Documentation/virt/kvm/api.rst. The machine's parts in the kernel are PIC, IOAPIC, LAPICs and
 * PIT (with the speaker's port 0x61).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/device/interrupt.h"

typedef struct AddressSpace AddressSpace;
typedef struct GuestMemory GuestMemory;
typedef struct GuestMemoryRegion GuestMemoryRegion;
typedef struct Kvm Kvm;

#define KVM_DEVICE_PATH "/dev/kvm"

/*
 * Open /dev/kvm, check that it has all that Vireo needs, and create a VM with nothing in it. NULL
 * and @error that says what is missing. Main thread.
 */
Kvm *kvm_new(GError **error);

/*
 * Give the VM its interrupt controllers and timer: before there are vCPUs, and after
 * kvm_set_memory(). Registering the chips starts an SRCU grace period that nobody hurries, and the
 * first change of memory slots after it waits for its end, 6 ms with Linux 6.18. False and @error
 * if KVM refuses. Main thread.
 */
bool kvm_create_chips(Kvm *kvm, GError **error);

/* Free the VM; vCPUs, listeners and routes are gone before. */
void kvm_free(Kvm *kvm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Kvm, kvm_free)

/* What KVM can offer a guest's CPUID (KVM_GET_SUPPORTED_CPUID). NULL and @error. Borrowed. */
const struct kvm_cpuid2 *kvm_supported_cpuid(Kvm *kvm, GError **error);

/*
 * The leaves of Hyper-V that KVM has (KVM_GET_SUPPORTED_HV_CPUID, KVM API §4.118), to be freed. NULL
 * and @error where it has none. Main thread.
 */
struct kvm_cpuid2 *kvm_supported_hyperv_cpuid(const Kvm *kvm, GError **error);

/*
 * What KVM can give of the MSR @index, which lists features (KVM API §4.126); 0 where it does not
 * say. Any thread.
 */
uint64_t kvm_feature_msr(const Kvm *kvm, uint32_t index);

/* The most vCPUs this host's KVM runs in a VM. */
unsigned kvm_max_vcpus(const Kvm *kvm);

/*
 * Give the guest the RAM of @memory, each region a slot, and become the source of its dirty log. To
 * be called once. Main thread.
 */
bool kvm_set_memory(Kvm *kvm, GuestMemory *memory, GError **error);

/*
 * Give the guest @region as well, and take it away again by the *@slot that it was given. False and
 * @error where KVM has no slot left. Main thread.
 */
bool kvm_add_memory(Kvm *kvm, const GuestMemoryRegion *region, uint32_t *slot, GError **error);
void kvm_remove_memory(Kvm *kvm, uint32_t slot);

/*
 * From now on eventfds of @space are KVM's ioeventfds, and its coalesced regions coalesced zones.
 * Before anything is mapped there. Main thread.
 */
void kvm_listen(Kvm *kvm, AddressSpace *space, bool is_pio);

/*
 * Perform the writes that KVM has batched. Done before each exit is handled, so that a vCPU's
 * accesses stay in order, and when the machine pauses. Any thread.
 */
void kvm_drain_coalesced(Kvm *kvm);

/*
 * The interrupt controllers: GSIs 0 to 15 reach PIC and IOAPIC, 16 to 23 IOAPIC alone, each at
 * the pin of its number but for GSI 0, the timer, which is on IOAPIC pin 2 as on every PC (the
 * MADT has to say so).
 */
InterruptController *kvm_interrupts(Kvm *kvm);

/*
 * Stop and restart the guest's kvmclock, so that a pause is no time to it. Main thread, vCPUs
 * stopped. Hosts that refuse let it run on.
 */
void kvm_pause_clock(Kvm *kvm);
void kvm_resume_clock(Kvm *kvm);

/* Bring PIC, IOAPIC and PIT back to power-on state. Main thread, vCPUs stopped. */
bool kvm_reset_chips(Kvm *kvm, GError **error);

/* KVM_GET_STATS_FD of the VM, for kvm_stats_read(); borrowed, -1 where KVM has none. */
int kvm_stats_fd(Kvm *kvm);
