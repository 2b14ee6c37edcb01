/*
 * pci_msix.c: MSI-X (PCIe §6.1.4 and §7.7.2)
 *
 * Each vector has an eventfd, and a signal of it is the interrupt. While the vector may interrupt,
 * the eventfd is bound to a route of the interrupt controller, which takes the signal without this
 * process. While it may not (masked, or not set up yet), nobody reads the eventfd, so that a
 * signalled one is the pending bit; binding it again delivers that. So senders, in this process,
 * in the kernel (vhost) or in another process, write to the eventfd whatever the mask is.
 *
 * The BAR holds the table from 0 on and the pending bits at half of its size.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/base/fd.h"
#include "vmm/pci/pci_private.h"
#include "vmm/pci/pci_registers.h"

#include <poll.h>
#include <string.h>

#define MINIMUM_BAR_SIZE 4096u

typedef struct PciMsixVector {
	int eventfd;
	bool shared;	    /* atomic: somebody outside has it, too */
	int route;	    /* -1: not bound */
	MsiMessage message; /* of the route */
} PciMsixVector;

struct PciMsix {
	PciDevice *pci;
	uint32_t n_vectors;
	unsigned capability; /* its offset */
	bool enabled;	     /* atomic: read without the lock */
	bool route_failed;   /* and has been reported */
	uint8_t *table;	     /* PCI_MSIX_ENTRY_SIZE bytes for each vector */
	PciMsixVector *vectors;
	IoRegion region;
	uint32_t n_pending_bytes;
	uint8_t *saved_pending; /* while saving and loading */
};

static const uint8_t *entry_of(const PciMsix *msix, unsigned vector)
{
	return msix->table + vector * PCI_MSIX_ENTRY_SIZE;
}

static bool vector_is_masked(const PciMsix *msix, unsigned vector)
{
	uint16_t control = pci_get_word(msix->pci->config + msix->capability + PCI_MSIX_FLAGS);

	return !(control & PCI_MSIX_FLAGS_ENABLE) || (control & PCI_MSIX_FLAGS_MASKALL) ||
	       (entry_of(msix, vector)[PCI_MSIX_ENTRY_VECTOR_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static InterruptController *interrupts_of(const PciMsix *msix)
{
	return msix->pci->device.services->interrupts;
}

static void unbind_vector(PciMsix *msix, unsigned vector)
{
	PciMsixVector *self = &msix->vectors[vector];

	if (self->route >= 0)
		interrupt_remove_msi_route(interrupts_of(msix), self->route, self->eventfd);
	self->route = -1;
}

static void bind_vector(PciMsix *msix, unsigned vector, const MsiMessage *message)
{
	PciMsixVector *self = &msix->vectors[vector];
	g_autoptr(GError) error = NULL;
	/* A controller may leave what was signalled before unread; a signal after it counts once.
	 */
	bool pending = fd_event_take(self->eventfd);

	self->message = *message;
	self->route = interrupt_add_msi_route(interrupts_of(msix), message, self->eventfd, &error);
	if (pending)
		fd_event_signal_shared(self->eventfd);
	if (self->route < 0 && !msix->route_failed) {
		msix->route_failed = true;
		g_warning("%s: no interrupt route for vector %u: %s", msix->pci->device.path,
			  vector, error->message);
	}
}

/* Make the binding of @vector follow its table entry and the masks; lock held. */
static void update_vector(PciMsix *msix, unsigned vector)
{
	const uint8_t *entry = entry_of(msix, vector);
	PciMsixVector *self = &msix->vectors[vector];
	MsiMessage message = {
		.address = pci_get_long(entry + PCI_MSIX_ENTRY_LOWER_ADDR) |
			   (uint64_t)pci_get_long(entry + PCI_MSIX_ENTRY_UPPER_ADDR) << 32,
		.data = pci_get_long(entry + PCI_MSIX_ENTRY_DATA),
	};

	if (vector_is_masked(msix, vector)) {
		unbind_vector(msix, vector);
	} else if (self->route < 0) {
		bind_vector(msix, vector, &message);
	} else if (message.address != self->message.address || message.data != self->message.data) {
		self->message = message;
		interrupt_update_msi_route(interrupts_of(msix), self->route, &message);
	}
}

static void update_all(PciMsix *msix)
{
	for (unsigned vector = 0; vector < msix->n_vectors; vector++)
		update_vector(msix, vector);
}

static void drain_all(PciMsix *msix)
{
	for (unsigned vector = 0; vector < msix->n_vectors; vector++)
		fd_event_take(msix->vectors[vector].eventfd);
}

/* Set the enabled flag from the capability; what was signalled while it was off is void. */
static void update_enabled(PciMsix *msix)
{
	bool enabled = pci_get_word(msix->pci->config + msix->capability + PCI_MSIX_FLAGS) &
		       PCI_MSIX_FLAGS_ENABLE;

	if (enabled && !msix->enabled)
		drain_all(msix);
	__atomic_store_n(&msix->enabled, enabled, __ATOMIC_RELAXED);
}

void pci_msix_config_written(PciDevice *pci, unsigned offset, unsigned size)
{
	unsigned control = pci->msix->capability + PCI_MSIX_FLAGS;

	if (offset + size <= control || offset >= control + 2)
		return;
	update_enabled(pci->msix);
	update_all(pci->msix);
}

/* Bit i of the result: whether vector @first + i is pending; @n is at most 32. */
static uint32_t pending_bits(PciMsix *msix, unsigned first, unsigned n)
{
	struct pollfd polled[32];
	uint32_t bits = 0;

	for (unsigned i = 0; i < n; i++) {
		const PciMsixVector *vector = &msix->vectors[first + i];

		/* What is bound is the controller's to read. */
		polled[i] = (struct pollfd){
			.fd = vector->route < 0 ? vector->eventfd : -1,
			.events = POLLIN,
		};
	}
	if (n == 0 || poll(polled, n, 0) <= 0)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		if (polled[i].revents & POLLIN)
			bits |= UINT32_C(1) << i;
	}
	return bits;
}

/* The pending bits from vector @first on, up to 32 of them. */
static uint32_t pending_word(PciMsix *msix, uint64_t first)
{
	if (!msix->enabled || first >= msix->n_vectors)
		return 0;
	return pending_bits(msix, (unsigned)first, MIN(msix->n_vectors - (unsigned)first, 32));
}

static uint32_t read_dword(PciMsix *msix, uint64_t offset)
{
	uint64_t pending_at = msix->region.size / 2;

	if (offset < msix->n_vectors * (uint64_t)PCI_MSIX_ENTRY_SIZE)
		return pci_get_long(msix->table + offset);
	if (offset >= pending_at)
		return pending_word(msix, (offset - pending_at) * 8);
	return 0;
}

/* PCIe §6.1.4.2 gives a meaning to aligned accesses of 4 and 8 bytes only. */
static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	PciMsix *msix = opaque;
	uint64_t value;

	if (size < 4)
		return UINT64_MAX;
	g_mutex_lock(&msix->pci->device.lock);
	value = read_dword(msix, offset);
	if (size == 8)
		value |= (uint64_t)read_dword(msix, offset + 4) << 32;
	g_mutex_unlock(&msix->pci->device.lock);
	return value;
}

static void write_dword(PciMsix *msix, uint64_t offset, uint32_t value)
{
	if (offset >= msix->n_vectors * (uint64_t)PCI_MSIX_ENTRY_SIZE)
		return;
	if (offset % PCI_MSIX_ENTRY_SIZE == PCI_MSIX_ENTRY_VECTOR_CTRL)
		value &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	else if (offset % PCI_MSIX_ENTRY_SIZE == PCI_MSIX_ENTRY_LOWER_ADDR)
		value &= ~UINT32_C(3);
	pci_set_long(msix->table + offset, value);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	PciMsix *msix = opaque;
	uint64_t vector = offset / PCI_MSIX_ENTRY_SIZE;

	if (size < 4)
		return;
	g_mutex_lock(&msix->pci->device.lock);
	write_dword(msix, offset, (uint32_t)value);
	if (size == 8)
		write_dword(msix, offset + 4, (uint32_t)(value >> 32));
	if (vector < msix->n_vectors)
		update_vector(msix, (unsigned)vector);
	g_mutex_unlock(&msix->pci->device.lock);
}

static const IoRegionOps bar_ops = {
	.read = bar_read,
	.write = bar_write,
	.maximum_size = 8,
	.aligned_only = true,
};

static void reset_table(PciMsix *msix)
{
	memset(msix->table, 0, msix->n_vectors * (size_t)PCI_MSIX_ENTRY_SIZE);
	for (unsigned vector = 0; vector < msix->n_vectors; vector++)
		msix->table[vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] =
			PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static bool open_eventfds(PciMsix *msix, GError **error)
{
	for (unsigned vector = 0; vector < msix->n_vectors; vector++) {
		msix->vectors[vector].eventfd = fd_new_event(error);
		if (msix->vectors[vector].eventfd < 0)
			return false;
	}
	return true;
}

bool pci_msix_init(PciDevice *pci, unsigned n_vectors, unsigned bar_index, GError **error)
{
	PciMsix *msix = g_new0(PciMsix, 1);
	unsigned half = MINIMUM_BAR_SIZE / 2;
	uint8_t *config;

	g_return_val_if_fail(n_vectors > 0 && n_vectors <= PCI_MSIX_FLAGS_QSIZE + 1u, false);
	while (half < n_vectors * PCI_MSIX_ENTRY_SIZE)
		half *= 2;
	pci->msix = msix;
	msix->pci = pci;
	msix->n_vectors = n_vectors;
	msix->n_pending_bytes = (n_vectors + 7) / 8;
	msix->table = g_malloc(n_vectors * (size_t)PCI_MSIX_ENTRY_SIZE);
	msix->vectors = g_new(PciMsixVector, n_vectors);
	for (unsigned vector = 0; vector < n_vectors; vector++)
		msix->vectors[vector] = (PciMsixVector){ .eventfd = -1, .route = -1 };
	reset_table(msix);
	if (!open_eventfds(msix, error)) {
		pci_msix_free(pci);
		return false;
	}
	msix->region =
		(IoRegion){ .name = "MSI-X", .size = half * 2, .ops = &bar_ops, .opaque = msix };
	pci_device_add_bar(pci, bar_index, &msix->region, false, false, false);
	msix->capability =
		pci_device_add_capability(pci, PCI_CAP_ID_MSIX, PCI_MSIX_CAPABILITY_SIZE);
	config = pci->config + msix->capability;
	pci_set_word(config + PCI_MSIX_FLAGS, (uint16_t)(n_vectors - 1));
	pci_set_long(config + PCI_MSIX_TABLE, bar_index);
	pci_set_long(config + PCI_MSIX_PBA, half | bar_index);
	pci_set_word(pci->write_mask + msix->capability + PCI_MSIX_FLAGS,
		     PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	return true;
}

void pci_msix_free(PciDevice *pci)
{
	PciMsix *msix = g_steal_pointer(&pci->msix);

	for (unsigned vector = 0; vector < msix->n_vectors; vector++) {
		unbind_vector(msix, vector);
		fd_close(&msix->vectors[vector].eventfd);
	}
	g_free(msix->saved_pending);
	g_free(msix->vectors);
	g_free(msix->table);
	g_free(msix);
}

void pci_msix_reset(PciDevice *pci)
{
	PciMsix *msix = pci->msix;

	reset_table(msix);
	update_enabled(msix);
	update_all(msix);
	drain_all(msix);
}

void pci_msix_notify(PciDevice *pci, unsigned vector)
{
	const PciMsix *msix = pci->msix;
	const PciMsixVector *self;

	if (!msix || vector >= msix->n_vectors || !__atomic_load_n(&msix->enabled, __ATOMIC_RELAXED))
		return;
	self = &msix->vectors[vector];
	if (__atomic_load_n(&self->shared, __ATOMIC_RELAXED))
		fd_event_signal_shared(self->eventfd);
	else
		fd_event_signal(self->eventfd);
}

bool pci_msix_is_enabled(const PciDevice *pci)
{
	return pci->msix && __atomic_load_n(&pci->msix->enabled, __ATOMIC_RELAXED);
}

unsigned pci_msix_n_vectors(const PciDevice *pci)
{
	return pci->msix ? pci->msix->n_vectors : 0;
}

int pci_msix_eventfd(PciDevice *pci, unsigned vector)
{
	PciMsix *msix = pci->msix;

	if (!msix || vector >= msix->n_vectors)
		return -1;
	__atomic_store_n(&msix->vectors[vector].shared, true, __ATOMIC_RELAXED);
	return msix->vectors[vector].eventfd;
}

static void state_before_load(void *object)
{
	PciMsix *msix = object;

	if (!msix->saved_pending)
		msix->saved_pending = g_malloc0(msix->n_pending_bytes);
}

static void state_before_save(void *object)
{
	PciMsix *msix = object;

	state_before_load(msix);
	g_mutex_lock(&msix->pci->device.lock);
	for (unsigned i = 0; i < msix->n_pending_bytes; i++)
		msix->saved_pending[i] = (uint8_t)pending_word(msix, i * 8);
	g_mutex_unlock(&msix->pci->device.lock);
}

void pci_msix_loaded(PciDevice *pci)
{
	PciMsix *msix = pci->msix;

	for (unsigned vector = 0; vector < msix->n_vectors; vector++) {
		uint8_t *control =
			msix->table + vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;

		/* The bits that the guest could not have set. */
		pci_set_long(control, pci_get_long(control) & PCI_MSIX_ENTRY_CTRL_MASKBIT);
		unbind_vector(msix, vector);
	}
	drain_all(msix);
	update_enabled(msix);
	for (unsigned vector = 0; vector < msix->n_vectors; vector++) {
		if (msix->enabled && (msix->saved_pending[vector / 8] >> (vector % 8) & 1))
			fd_event_signal_shared(msix->vectors[vector].eventfd);
	}
	g_clear_pointer(&msix->saved_pending, g_free);
	update_all(msix);
}

const StateTable pci_msix_state = {
	.name = "msix",
	.version = 1,
	.minimum_version = 1,
	.fields =
		(const StateField[]){
			{ .name = "table",
			  .kind = STATE_BYTES,
			  .offset = offsetof(PciMsix, table),
			  .element_size = PCI_MSIX_ENTRY_SIZE,
			  .is_pointer = true,
			  .has_count_offset = true,
			  .count_offset = offsetof(PciMsix, n_vectors) },
			{ .name = "pending",
			  .kind = STATE_BYTES,
			  .offset = offsetof(PciMsix, saved_pending),
			  .element_size = 1,
			  .is_pointer = true,
			  .has_count_offset = true,
			  .count_offset = offsetof(PciMsix, n_pending_bytes) },
			STATE_END,
		},
	.before_save = state_before_save,
	.before_load = state_before_load,
};
