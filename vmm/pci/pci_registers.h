/*
 * pci_registers.h: offsets and bits of configuration space that <linux/pci_regs.h> lacks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <linux/pci_regs.h>

#define PCI_DEVICE_ADDRESS(device, function) ((device) << 3 | (function))
#define PCI_ADDRESS_DEVICE(address)	     ((unsigned)(address) >> 3)
#define PCI_ADDRESS_FUNCTION(address)	     ((unsigned)(address) & 7)

/* The bit of PCI_HEADER_TYPE that says that other functions may exist. */
#define PCI_HEADER_MULTIFUNCTION 0x80

/* Sizes of capabilities, bytes: PCIe §7.5.3 (version 2, as all since PCIe 2.0) and §7.7.2. */
#define PCI_EXPRESS_CAPABILITY_SIZE 60
#define PCI_MSIX_CAPABILITY_SIZE    12

/* A slim link, of which nothing but its being active matters here: 2.5 GT/s, one lane. */
#define PCI_LINK_SPEED_AND_WIDTH (PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1)
