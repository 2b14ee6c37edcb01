/*
 * kvm.c: one virtual machine of the kernel's KVM
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/kvm/kvm_internal.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/memory/address_space.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * Intel CPUs without unrestricted guests need a page for an identity map and three for a task
 * state in real mode; below the 16 MiB for firmware at the top of the first 4 GiB nothing is.
 */
#define KVM_IDENTITY_MAP_ADDRESS UINT64_C(0xfeffc000)
#define KVM_TSS_ADDRESS		 UINT64_C(0xfeffd000)

static const struct {
	int capability;
	const char *name;
} required_capabilities[] = {
#define REQUIRE(name)                                                                              \
	{                                                                                          \
		name, #name                                                                        \
	}
	REQUIRE(KVM_CAP_USER_MEMORY),	REQUIRE(KVM_CAP_SET_TSS_ADDR),
	REQUIRE(KVM_CAP_SET_IDENTITY_MAP_ADDR), REQUIRE(KVM_CAP_EXT_CPUID),
	REQUIRE(KVM_CAP_IRQCHIP),	REQUIRE(KVM_CAP_PIT2),
	REQUIRE(KVM_CAP_IRQ_ROUTING),	REQUIRE(KVM_CAP_IRQFD),
	REQUIRE(KVM_CAP_SIGNAL_MSI),	REQUIRE(KVM_CAP_IOEVENTFD),
	REQUIRE(KVM_CAP_IMMEDIATE_EXIT), REQUIRE(KVM_CAP_READONLY_MEM),
	REQUIRE(KVM_CAP_MP_STATE),	REQUIRE(KVM_CAP_VCPU_EVENTS),
	REQUIRE(KVM_CAP_DEBUGREGS),	REQUIRE(KVM_CAP_XSAVE),
	REQUIRE(KVM_CAP_XCRS),		REQUIRE(KVM_CAP_USER_NMI),
#undef REQUIRE
};

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
	int result;

	do {
		result = ioctl(fd, request, argument);
	} while (result < 0 && errno == EINTR);
	return result;
}

bool kvm_call(int fd, unsigned long request, const char *name, void *argument, GError **error)
{
	if (kvm_ioctl(fd, request, argument) < 0)
		return error_fail_errno(error, errno, "%s", name);
	return true;
}

static int kvm_check(const Kvm *kvm, int capability)
{
	return kvm_ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability);
}

static bool kvm_check_capabilities(Kvm *kvm, GError **error)
{
	int max_vcpus, coalesced_page;

	for (unsigned i = 0; i < G_N_ELEMENTS(required_capabilities); i++) {
		if (kvm_check(kvm, required_capabilities[i].capability) <= 0)
			return error_fail(error, "this host's KVM lacks %s",
					  required_capabilities[i].name);
	}
	max_vcpus = kvm_check(kvm, KVM_CAP_MAX_VCPUS);
	kvm->max_vcpus = max_vcpus > 0 ? (unsigned)max_vcpus : 4; /* KVM API §4.7 */
	kvm->any_length_ioeventfd = kvm_check(kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
	coalesced_page = kvm_check(kvm, KVM_CAP_COALESCED_MMIO);
	if (coalesced_page > 0)
		kvm->coalesced_offset = (size_t)coalesced_page * (size_t)sysconf(_SC_PAGESIZE);
	kvm->coalesced_pio = coalesced_page > 0 && kvm_check(kvm, KVM_CAP_COALESCED_PIO) > 0;
	kvm->has_stats = kvm_check(kvm, KVM_CAP_BINARY_STATS_FD) > 0;
	kvm->has_xsave2 = kvm_check(kvm, KVM_CAP_XSAVE2) > 0;
	kvm->has_set_clock = kvm_check(kvm, KVM_CAP_ADJUST_CLOCK) > 0;
	kvm_set_dirty_log_mode(kvm, kvm_check(kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	return true;
}

static bool kvm_open(Kvm *kvm, GError **error)
{
	int version, mmap_size;

	kvm->fd = open(KVM_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	if (kvm->fd < 0)
		return error_fail_errno(error, errno, "cannot open %s", KVM_DEVICE_PATH);
	version = kvm_ioctl(kvm->fd, KVM_GET_API_VERSION, NULL);
	if (version != KVM_API_VERSION)
		return error_fail(error, "%s is no KVM of API version %d", KVM_DEVICE_PATH,
				  KVM_API_VERSION);
	kvm->vm_fd = kvm_ioctl(kvm->fd, KVM_CREATE_VM, NULL);
	if (kvm->vm_fd < 0)
		return error_fail_errno(error, errno, "KVM_CREATE_VM");
	mmap_size = kvm_ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (mmap_size < (int)sizeof(struct kvm_run))
		return error_fail(error, "KVM_GET_VCPU_MMAP_SIZE gives too little");
	kvm->vcpu_mmap_size = (size_t)mmap_size;
	return kvm_check_capabilities(kvm, error);
}

/* The chips' state before anything ran is what a reset goes back to. */
static bool kvm_save_chips(Kvm *kvm, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(kvm->chips); i++) {
		kvm->chips[i].chip_id = i;
		if (!KVM_CALL(kvm->vm_fd, KVM_GET_IRQCHIP, &kvm->chips[i], error))
			return false;
	}
	return KVM_CALL(kvm->vm_fd, KVM_GET_PIT2, &kvm->pit, error);
}

bool kvm_reset_chips(Kvm *kvm, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(kvm->chips); i++) {
		if (!KVM_CALL(kvm->vm_fd, KVM_SET_IRQCHIP, &kvm->chips[i], error))
			return false;
	}
	return KVM_CALL(kvm->vm_fd, KVM_SET_PIT2, &kvm->pit, error);
}

bool kvm_create_chips(Kvm *kvm, GError **error)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity_map = KVM_IDENTITY_MAP_ADDRESS;

	return KVM_CALL(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, error) &&
	       KVM_CALL(kvm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS, error) &&
	       KVM_CALL(kvm->vm_fd, KVM_CREATE_IRQCHIP, NULL, error) &&
	       KVM_CALL(kvm->vm_fd, KVM_CREATE_PIT2, &pit, error) && kvm_save_chips(kvm, error) &&
	       kvm_interrupts_init(&kvm->interrupts, kvm, error);
}

Kvm *kvm_new(GError **error)
{
	g_autoptr(Kvm) kvm = g_new0(Kvm, 1);

	kvm->fd = kvm->vm_fd = kvm->stats_fd = -1;
	g_mutex_init(&kvm->coalesced_lock);
	g_mutex_init(&kvm->interrupts.lock);
	g_mutex_init(&kvm->slot_lock);
	kvm->slots = g_array_new(FALSE, FALSE, sizeof(KvmSlot));
	if (!kvm_open(kvm, error))
		return NULL;
	return g_steal_pointer(&kvm);
}

void kvm_free(Kvm *kvm)
{
	if (!kvm)
		return;
	kvm_interrupts_clear(&kvm->interrupts);
	g_mutex_clear(&kvm->coalesced_lock);
	g_mutex_clear(&kvm->slot_lock);
	g_array_unref(kvm->slots);
	fd_close(&kvm->stats_fd);
	fd_close(&kvm->vm_fd);
	fd_close(&kvm->fd);
	g_free(kvm->supported_cpuid);
	g_free(kvm->msr_list);
	g_free(kvm);
}

/*
 * What KVM's list leaves out: that there is a hypervisor, and the TSC deadline timer, which it
 * offers by a capability (KVM API §4.46).
 */
static void kvm_complete_cpuid(Kvm *kvm)
{
	for (uint32_t i = 0; i < kvm->supported_cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &kvm->supported_cpuid->entries[i];

		if (entry->function != 1)
			continue;
		entry->ecx |= 1u << 31;
		if (kvm_check(kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			entry->ecx |= 1u << 24;
	}
}

/* The list of leaves that @command gives; to be freed. */
static struct kvm_cpuid2 *get_cpuid(const Kvm *kvm, unsigned long command, const char *name,
				    GError **error)
{
	/* E2BIG until there is room; no CPU has more leaves than this. */
	for (unsigned room = 128; room <= 1024; room *= 2) {
		g_autofree struct kvm_cpuid2 *cpuid =
			g_malloc0(sizeof(*cpuid) + room * sizeof(cpuid->entries[0]));

		cpuid->nent = room;
		if (kvm_ioctl(kvm->fd, command, cpuid) == 0)
			return g_steal_pointer(&cpuid);
		if (errno != E2BIG)
			break;
	}
	error_fail_errno(error, errno, "%s", name);
	return NULL;
}

const struct kvm_cpuid2 *kvm_supported_cpuid(Kvm *kvm, GError **error)
{
	if (!kvm->supported_cpuid) {
		kvm->supported_cpuid = get_cpuid(kvm, KVM_GET_SUPPORTED_CPUID,
						 "KVM_GET_SUPPORTED_CPUID", error);
		if (kvm->supported_cpuid)
			kvm_complete_cpuid(kvm);
	}
	return kvm->supported_cpuid;
}

struct kvm_cpuid2 *kvm_supported_hyperv_cpuid(const Kvm *kvm, GError **error)
{
	if (kvm_check(kvm, KVM_CAP_SYS_HYPERV_CPUID) <= 0) {
		error_fail(error, "this host's KVM has no Hyper-V enlightenments");
		return NULL;
	}
	return get_cpuid(kvm, KVM_GET_SUPPORTED_HV_CPUID, "KVM_GET_SUPPORTED_HV_CPUID", error);
}

uint64_t kvm_feature_msr(const Kvm *kvm, uint32_t index)
{
	g_autofree struct kvm_msrs *msrs =
		g_malloc0(sizeof(*msrs) + sizeof(struct kvm_msr_entry));

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	if (kvm_check(kvm, KVM_CAP_GET_MSR_FEATURES) <= 0 ||
	    kvm_ioctl(kvm->fd, KVM_GET_MSRS, msrs) != 1)
		return 0;
	return msrs->entries[0].data;
}

const struct kvm_msr_list *kvm_msr_list(Kvm *kvm, GError **error)
{
	struct kvm_msr_list probe = { .nmsrs = 0 };
	g_autofree struct kvm_msr_list *list = NULL;

	if (kvm->msr_list)
		return kvm->msr_list;
	/* The first call fails with E2BIG and says how many there are (KVM API §4.3). */
	if (kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, &probe) < 0 && errno != E2BIG) {
		error_fail_errno(error, errno, "KVM_GET_MSR_INDEX_LIST");
		return NULL;
	}
	list = g_malloc0(sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	list->nmsrs = probe.nmsrs;
	if (!KVM_CALL(kvm->fd, KVM_GET_MSR_INDEX_LIST, list, error))
		return NULL;
	kvm->msr_list = g_steal_pointer(&list);
	return kvm->msr_list;
}

unsigned kvm_max_vcpus(const Kvm *kvm)
{
	return kvm->max_vcpus;
}

static bool kvm_set_ioeventfd(KvmListener *listener, uint64_t address, unsigned size, bool match,
			      uint64_t value, int fd, bool assign)
{
	struct kvm_ioeventfd ioeventfd = {
		.datamatch = match ? value : 0,
		.addr = address,
		.len = size,
		.fd = fd,
		.flags = (listener->is_pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
			 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	if (size == 0 && !listener->kvm->any_length_ioeventfd)
		return false;
	return kvm_ioctl(listener->kvm->vm_fd, KVM_IOEVENTFD, &ioeventfd) == 0;
}

static bool kvm_eventfd_added(void *opaque, uint64_t address, unsigned size, bool match,
			      uint64_t value, int fd)
{
	return kvm_set_ioeventfd(opaque, address, size, match, value, fd, true);
}

static void kvm_eventfd_removed(void *opaque, uint64_t address, unsigned size, bool match,
				uint64_t value, int fd)
{
	kvm_set_ioeventfd(opaque, address, size, match, value, fd, false);
}

/* Without a zone each write simply exits, so failure costs speed alone. */
static void kvm_set_coalesced(KvmListener *listener, const IoRegion *region, unsigned long request)
{
	struct kvm_coalesced_mmio_zone zone = {
		.addr = region->base,
		.size = (uint32_t)region->size,
		.pio = listener->is_pio,
	};
	Kvm *kvm = listener->kvm;

	if (!region->coalesced || kvm->coalesced_offset == 0 || region->size > UINT32_MAX ||
	    (listener->is_pio && !kvm->coalesced_pio))
		return;
	if (kvm_ioctl(kvm->vm_fd, request, &zone) < 0)
		g_debug("%s: no coalesced zone: %s", region->name, error_text(errno));
}

static void kvm_region_mapped(void *opaque, IoRegion *region)
{
	KvmListener *listener = opaque;

	kvm_set_coalesced(listener, region, KVM_REGISTER_COALESCED_MMIO);
	if (region->ram)
		kvm_map_device_memory(listener->kvm, region);
	if (region->rom)
		kvm_map_rom(listener->kvm, region);
}

static void kvm_region_unmapped(void *opaque, IoRegion *region)
{
	KvmListener *listener = opaque;

	kvm_set_coalesced(listener, region, KVM_UNREGISTER_COALESCED_MMIO);
	if (region->ram)
		kvm_unmap_device_memory(listener->kvm, region);
	if (region->rom)
		kvm_unmap_rom(listener->kvm, region);
}

static void kvm_region_log_changed(void *opaque, IoRegion *region)
{
	KvmListener *listener = opaque;

	kvm_log_device_memory(listener->kvm, region);
}

static bool kvm_region_fetch_dirty(void *opaque, IoRegion *region, uint64_t *bitmap)
{
	KvmListener *listener = opaque;

	return kvm_fetch_device_memory_dirty(listener->kvm, region, bitmap);
}

void kvm_listen(Kvm *kvm, AddressSpace *space, bool is_pio)
{
	static const AddressSpaceListener callbacks = {
		.add_eventfd = kvm_eventfd_added,
		.remove_eventfd = kvm_eventfd_removed,
		.region_mapped = kvm_region_mapped,
		.region_unmapped = kvm_region_unmapped,
		.region_log_changed = kvm_region_log_changed,
		.fetch_dirty = kvm_region_fetch_dirty,
	};
	KvmListener *listener = is_pio ? &kvm->pio_listener : &kvm->mmio_listener;

	*listener = (KvmListener){ kvm, space, is_pio };
	address_space_set_listener(space, &callbacks, listener);
}

/* The number of entries that fit in the ring's page (KVM API §4.116). */
static uint32_t coalesced_ring_entries(void)
{
	size_t room = (size_t)sysconf(_SC_PAGESIZE) - sizeof(struct kvm_coalesced_mmio_ring);

	return (uint32_t)(room / sizeof(struct kvm_coalesced_mmio));
}

void kvm_drain_coalesced(Kvm *kvm)
{
	struct kvm_coalesced_mmio_ring *ring = kvm->coalesced_ring;
	uint32_t entries;

	/*
	 * first moves on after the write has been performed, so that an empty ring means that
	 * nothing is under way in another thread either.
	 */
	if (!ring || __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) ==
			     __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return;
	entries = coalesced_ring_entries();
	g_mutex_lock(&kvm->coalesced_lock);
	while (ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		struct kvm_coalesced_mmio *write = &ring->coalesced_mmio[ring->first % entries];
		AddressSpace *space = write->pio ? kvm->pio_listener.space
						 : kvm->mmio_listener.space;
		uint64_t value = 0;

		memcpy(&value, write->data, MIN(write->len, sizeof(value)));
		address_space_write(space, write->phys_addr, value, write->len);
		__atomic_store_n(&ring->first, (ring->first + 1) % entries, __ATOMIC_RELEASE);
	}
	g_mutex_unlock(&kvm->coalesced_lock);
}

InterruptController *kvm_interrupts(Kvm *kvm)
{
	return &kvm->interrupts.controller;
}

void kvm_pause_clock(Kvm *kvm)
{
	if (!kvm->has_set_clock || kvm->clock_paused)
		return;
	kvm->clock_paused = kvm_ioctl(kvm->vm_fd, KVM_GET_CLOCK, &kvm->clock) == 0;
}

void kvm_resume_clock(Kvm *kvm)
{
	/* KVM takes the value alone, not the flags that came with it. */
	struct kvm_clock_data clock = { .clock = kvm->clock.clock };

	if (kvm->clock_paused && kvm_ioctl(kvm->vm_fd, KVM_SET_CLOCK, &clock) < 0)
		g_debug("KVM_SET_CLOCK: %s", error_text(errno));
	kvm->clock_paused = false;
}

int kvm_open_stats(const Kvm *kvm, int fd)
{
	return kvm->has_stats ? kvm_ioctl(fd, KVM_GET_STATS_FD, NULL) : -1;
}

int kvm_stats_fd(Kvm *kvm)
{
	if (kvm->stats_fd < 0)
		kvm->stats_fd = kvm_open_stats(kvm, kvm->vm_fd);
	return kvm->stats_fd;
}
