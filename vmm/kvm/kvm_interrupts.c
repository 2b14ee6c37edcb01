/*
 * kvm_interrupts.c: interrupts by KVM's irqchip
 *
 * KVM's routing table is replaced as a whole by each KVM_SET_GSI_ROUTING. We keep our copy: the
 * pins of PIC and IOAPIC first, MSI routes after them, each with a GSI of its own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/kvm/kvm_internal.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <sys/ioctl.h>

static struct kvm_irq_routing_entry *kvm_add_entry(KvmInterrupts *interrupts, unsigned gsi,
						   unsigned type)
{
	struct kvm_irq_routing_entry *entry;

	if (interrupts->table->nr == interrupts->n_allocated) {
		interrupts->n_allocated += 64;
		interrupts->table = g_realloc(interrupts->table,
					      sizeof(*interrupts->table) +
						      interrupts->n_allocated * sizeof(*entry));
	}
	entry = &interrupts->table->entries[interrupts->table->nr++];
	*entry = (struct kvm_irq_routing_entry){ .gsi = gsi, .type = type };
	return entry;
}

static void kvm_add_pin(KvmInterrupts *interrupts, unsigned gsi, unsigned chip, unsigned pin)
{
	struct kvm_irq_routing_entry *entry =
		kvm_add_entry(interrupts, gsi, KVM_IRQ_ROUTING_IRQCHIP);

	entry->u.irqchip.irqchip = chip;
	entry->u.irqchip.pin = pin;
}

static void kvm_add_pins(KvmInterrupts *interrupts)
{
	for (unsigned gsi = 0; gsi < KVM_GSI_PINS; gsi++) {
		/* IRQ 2 is the cascade between the two PICs and interrupts nobody. */
		if (gsi == 2)
			continue;
		if (gsi < 16)
			kvm_add_pin(interrupts, gsi,
				    gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				    gsi & 7);
		kvm_add_pin(interrupts, gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
	}
}

static bool kvm_commit(KvmInterrupts *interrupts, GError **error)
{
	return KVM_CALL(interrupts->kvm->vm_fd, KVM_SET_GSI_ROUTING, interrupts->table, error);
}

static void kvm_set_line(InterruptController *controller, unsigned gsi, bool level)
{
	KvmInterrupts *interrupts = (KvmInterrupts *)controller;
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (gsi >= KVM_GSI_PINS || kvm_ioctl(interrupts->kvm->vm_fd, KVM_IRQ_LINE, &line) < 0)
		g_debug("interrupt line %u cannot be driven", gsi);
}

static bool kvm_send_msi(InterruptController *controller, const MsiMessage *message)
{
	KvmInterrupts *interrupts = (KvmInterrupts *)controller;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)message->address,
		.address_hi = (uint32_t)(message->address >> 32),
		.data = message->data,
	};

	return kvm_ioctl(interrupts->kvm->vm_fd, KVM_SIGNAL_MSI, &msi) > 0;
}

static void kvm_fill_msi(struct kvm_irq_routing_entry *entry, const MsiMessage *message)
{
	entry->u.msi.address_lo = (uint32_t)message->address;
	entry->u.msi.address_hi = (uint32_t)(message->address >> 32);
	entry->u.msi.data = message->data;
}

static struct kvm_irq_routing_entry *kvm_find_msi(KvmInterrupts *interrupts, unsigned gsi)
{
	for (unsigned i = 0; i < interrupts->table->nr; i++) {
		if (interrupts->table->entries[i].gsi == gsi &&
		    interrupts->table->entries[i].type == KVM_IRQ_ROUTING_MSI)
			return &interrupts->table->entries[i];
	}
	return NULL;
}

/* Take the lowest GSI that no MSI has; 0 when all are taken. Lock held. */
static unsigned kvm_claim_gsi(KvmInterrupts *interrupts)
{
	gboolean used = TRUE;

	for (unsigned i = 0; i < interrupts->routes_used->len; i++) {
		if (!g_array_index(interrupts->routes_used, gboolean, i)) {
			g_array_index(interrupts->routes_used, gboolean, i) = TRUE;
			return KVM_GSI_PINS + i;
		}
	}
	if (KVM_GSI_PINS + interrupts->routes_used->len >= interrupts->max_gsis)
		return 0;
	g_array_append_val(interrupts->routes_used, used);
	return KVM_GSI_PINS + interrupts->routes_used->len - 1;
}

/* Lock held. The kernel forgets the entry with the next commit; nothing can raise it until then. */
static void kvm_drop_route(KvmInterrupts *interrupts, unsigned gsi)
{
	struct kvm_irq_routing_entry *entry = kvm_find_msi(interrupts, gsi);

	if (entry)
		*entry = interrupts->table->entries[--interrupts->table->nr];
	g_array_index(interrupts->routes_used, gboolean, gsi - KVM_GSI_PINS) = FALSE;
}

static bool kvm_set_irqfd(KvmInterrupts *interrupts, unsigned gsi, int eventfd, bool assign,
			  GError **error)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = gsi,
		.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return KVM_CALL(interrupts->kvm->vm_fd, KVM_IRQFD, &irqfd, error);
}

static int kvm_add_msi_route(InterruptController *controller, const MsiMessage *message,
			     int eventfd, GError **error)
{
	KvmInterrupts *interrupts = (KvmInterrupts *)controller;
	unsigned gsi;
	bool added = false;

	g_mutex_lock(&interrupts->lock);
	gsi = kvm_claim_gsi(interrupts);
	if (gsi == 0) {
		error_fail(error, "all %u interrupt routes of KVM are taken", interrupts->max_gsis);
	} else {
		kvm_fill_msi(kvm_add_entry(interrupts, gsi, KVM_IRQ_ROUTING_MSI), message);
		added = kvm_commit(interrupts, error) &&
			kvm_set_irqfd(interrupts, gsi, eventfd, true, error);
		if (!added)
			kvm_drop_route(interrupts, gsi);
	}
	g_mutex_unlock(&interrupts->lock);
	return added ? (int)gsi : -1;
}

static bool kvm_update_msi_route(InterruptController *controller, int route,
				 const MsiMessage *message)
{
	KvmInterrupts *interrupts = (KvmInterrupts *)controller;
	struct kvm_irq_routing_entry *entry;
	bool updated = false;

	g_mutex_lock(&interrupts->lock);
	entry = route > 0 ? kvm_find_msi(interrupts, (unsigned)route) : NULL;
	if (entry) {
		kvm_fill_msi(entry, message);
		updated = kvm_commit(interrupts, NULL);
	}
	g_mutex_unlock(&interrupts->lock);
	return updated;
}

static void kvm_remove_msi_route(InterruptController *controller, int route, int eventfd)
{
	KvmInterrupts *interrupts = (KvmInterrupts *)controller;
	g_autoptr(GError) error = NULL;

	g_mutex_lock(&interrupts->lock);
	if (route > 0 && kvm_find_msi(interrupts, (unsigned)route)) {
		if (!kvm_set_irqfd(interrupts, (unsigned)route, eventfd, false, &error))
			g_warning("cannot release an interrupt route: %s", error->message);
		kvm_drop_route(interrupts, (unsigned)route);
	}
	g_mutex_unlock(&interrupts->lock);
}

bool kvm_interrupts_init(KvmInterrupts *interrupts, Kvm *kvm, GError **error)
{
	static const InterruptControllerOps ops = {
		.set_line = kvm_set_line,
		.send_msi = kvm_send_msi,
		.add_msi_route = kvm_add_msi_route,
		.update_msi_route = kvm_update_msi_route,
		.remove_msi_route = kvm_remove_msi_route,
	};
	int max_gsis = kvm_ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION,
				 (void *)(uintptr_t)KVM_CAP_IRQ_ROUTING);

	interrupts->controller.ops = &ops;
	interrupts->kvm = kvm;
	interrupts->max_gsis = (unsigned)MAX(max_gsis, (int)KVM_GSI_PINS);
	interrupts->routes_used = g_array_new(FALSE, FALSE, sizeof(gboolean));
	interrupts->n_allocated = 64;
	interrupts->table = g_malloc0(sizeof(*interrupts->table) +
				      interrupts->n_allocated *
					      sizeof(interrupts->table->entries[0]));
	kvm_add_pins(interrupts);
	return kvm_commit(interrupts, error);
}

void kvm_interrupts_clear(KvmInterrupts *interrupts)
{
	if (interrupts->routes_used)
		g_array_unref(interrupts->routes_used);
	g_free(interrupts->table);
	g_mutex_clear(&interrupts->lock);
}
