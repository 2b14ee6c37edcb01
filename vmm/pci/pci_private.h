/*
 * pci_private.h: what the files of this directory need of each other
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/pci/pci.h"

/* Saved state of a PciMsix. */
extern const StateTable pci_msix_state;

/*
 * Unmap the BARs of @pci, which is visible on its bus no more, for good. When this returns, no vCPU
 * is in any of its callbacks, nor can one get there. Main thread.
 */
void pci_device_disconnect(PciDevice *pci);

/* After a configuration write of @size bytes at @offset. Device lock held. */
void pci_msix_config_written(PciDevice *pci, unsigned offset, unsigned size);

/* Power-on state: all vectors masked, none pending. Device lock held. */
void pci_msix_reset(PciDevice *pci);

/* Act on a loaded table, pending bits and configuration space. Device lock held. */
void pci_msix_loaded(PciDevice *pci);

/* Remove all routes and close the eventfds; the BAR is unmapped and RCU has synchronized. */
void pci_msix_free(PciDevice *pci);
