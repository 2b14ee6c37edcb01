/*
 * dsdt.asl: the machine as ACPI's language describes it
 *
 * What is known only at run time is read from the information page, which acpi.c fills in.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "acpi_layout.h"

DefinitionBlock ("dsdt.aml", "DSDT", 2, "VIREO ", "VIREOQ35", 1)
{
	/* The layout is struct AcpiInfo's, in acpi.c. */
	OperationRegion (INFO, SystemMemory, ACPI_INFO_BASE, ACPI_INFO_SIZE)
	Field (INFO, DWordAcc, NoLock, Preserve)
	{
		FLAG, 32,	/* ACPI_INFO_* */
		, 32,
		PVPP, 32,	/* pvpanic's port */
		W32B, 32,	/* window for 32-bit BARs */
		W32L, 32,
		W64B, 64,	/* window for 64-bit BARs */
		W64L, 64,
		ECMB, 32,	/* ECAM */
		ECML, 32
	}

	/* Soft off is sleep type 0, as firmware for this chipset has it. */
	Name (\_S5, Package () { 0, 0, 0, 0 })

	/* 0xF: present and working. */
	Method (STAF, 1, NotSerialized)
	{
		If (FLAG & Arg0)
		{
			Return (0x0F)
		}
		Return (0)
	}

	Scope (\_SB)
	{
		Device (VGEN)
		{
			Name (_HID, "VIRE0001")
			Name (_CID, "VM_Gen_Counter")
			Name (_DDN, "VM_Gen_Counter")
			Method (_STA, 0, NotSerialized)
			{
				Return (STAF (ACPI_INFO_VMGENID))
			}
			Method (ADDR, 0, NotSerialized)
			{
				Return (Package () { ACPI_GENERATION_BASE, 0 })
			}
		}

		Device (TPM)
		{
			Name (_HID, "MSFT0101")
			Name (_STR, Unicode ("TPM 2.0 Device"))
			Name (_UID, 1)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, ACPI_TPM_BASE, ACPI_TPM_SIZE)
			})
			Method (_STA, 0, NotSerialized)
			{
				Return (STAF (ACPI_INFO_TPM))
			}

			/*
			 * TCG PC Client Physical Presence Interface 1.3, over the memory that QEMU's
			 * docs/specs/tpm has: a byte for each operation, which firmware fills in, then
			 * what is asked of it and what it answers.
			 */
			OperationRegion (PPIM, SystemMemory, ACPI_TPM_PPI_BASE, ACPI_TPM_PPI_SIZE)
			Field (PPIM, ByteAcc, NoLock, Preserve)
			{
				Offset (0x105),
				RESP, 32,	/* the answer to the last operation carried out */
				RQST, 32,	/* the operation that is to be carried out next */
				RQPM, 32,	/* and its parameter */
				LAST, 32	/* the last operation carried out */
			}

			/* What firmware says of operation Arg0; 0: it has no such thing. */
			Method (OPER, 1, Serialized)
			{
				If (Arg0 >= 0x100)
				{
					Return (0)
				}
				OperationRegion (PPIO, SystemMemory, ACPI_TPM_PPI_BASE + Arg0, 1)
				Field (PPIO, ByteAcc, NoLock, Preserve)
				{
					FLGS, 8
				}
				Return (FLGS & 7)
			}

			/* Leave operation Arg0 with parameter Arg1 to the next boot; as functions 2 and 7. */
			Method (SUBM, 2, Serialized)
			{
				Local0 = OPER (Arg0)
				If (Local0 == 0)
				{
					Return (1)	/* not implemented */
				}
				If (Local0 == 2)
				{
					Return (3)	/* blocked by firmware's settings */
				}
				RQST = Arg0
				RQPM = Arg1
				Return (0)
			}

			Method (_DSM, 4, Serialized)
			{
				If (Arg0 != ToUUID ("3dddfaa6-361b-4eb4-a424-8d10089d1653"))
				{
					Return (Buffer () { 0 })
				}
				Switch (ToInteger (Arg2))
				{
					Case (0)	/* the functions that there are */
					{
						Return (Buffer () { 0xFF, 0x01 })
					}
					Case (1)
					{
						Return ("1.3")
					}
					Case (2)
					{
						Return (SUBM (DerefOf (Arg3 [0]), 0))
					}
					Case (3)
					{
						If (ToInteger (Arg1) == 1)
						{
							Local0 = Package () { 0, 0 }
							Local0 [1] = RQST
							Return (Local0)
						}
						Local0 = Package () { 0, 0, 0 }
						Local0 [1] = RQST
						Local0 [2] = RQPM
						Return (Local0)
					}
					Case (4)
					{
						Return (2)	/* reboot */
					}
					Case (5)
					{
						Local0 = Package () { 0, 0, 0 }
						Local0 [1] = LAST
						Local0 [2] = RESP
						Return (Local0)
					}
					Case (6)
					{
						Return (3)	/* no choice of languages */
					}
					Case (7)
					{
						Local0 = 0
						If (ToInteger (Arg1) >= 2)
						{
							Local0 = DerefOf (Arg3 [1])
						}
						Return (SUBM (DerefOf (Arg3 [0]), Local0))
					}
					Case (8)
					{
						Return (OPER (DerefOf (Arg3 [0])))
					}
				}
				Return (Buffer () { 0 })
			}
		}

		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_BBN, 0)
			Name (_UID, 0)
			Name (_SEG, 0)

			Name (WIN, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0xFF, 0, 0x100)
				IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, 0x0CF7, 0, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0D00, 0xFFFF, 0, 0xF300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
					ReadWrite, 0, 0xA0000, 0xBFFFF, 0, 0x20000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
					ReadWrite, 0, 0, 0, 0, 0, , , R32)
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
					ReadWrite, 0, 0, 0, 0, 0, , , R64)
			})

			Method (_CRS, 0, Serialized)
			{
				CreateDWordField (WIN, ^R32._MIN, MN32)
				CreateDWordField (WIN, ^R32._MAX, MX32)
				CreateDWordField (WIN, ^R32._LEN, LN32)
				CreateQWordField (WIN, ^R64._MIN, MN64)
				CreateQWordField (WIN, ^R64._MAX, MX64)
				CreateQWordField (WIN, ^R64._LEN, LN64)

				MN32 = W32B
				LN32 = W32L
				MX32 = W32B + W32L - 1
				MN64 = W64B
				LN64 = W64L
				MX64 = W64B + W64L - 1
				Return (WIN)
			}

			/*
			 * PCI Firmware Specification §4.5.1: the OS may have everything native but
			 * what this machine lacks (SHPC hotplug, LTR and beyond).
			 */
			Method (_OSC, 4, NotSerialized)
			{
				CreateDWordField (Arg3, 0, CDW1)

				If (Arg0 != ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
				{
					CDW1 |= 4	/* unknown UUID */
					Return (Arg3)
				}
				If (SizeOf (Arg3) < 12)
				{
					CDW1 |= 2	/* failure */
					Return (Arg3)
				}
				CreateDWordField (Arg3, 8, CDW3)
				If (Arg1 != 1)
				{
					CDW1 |= 8	/* unknown revision */
				}
				/* PCIe hotplug, PME, AER, capability structure */
				If ((CDW3 & 0x1D) != CDW3)
				{
					CDW1 |= 0x10	/* capabilities masked */
				}
				CDW3 &= 0x1D
				Return (Arg3)
			}

			/* Pin p (0: A) of slot n is wired to GSI 16 + (n + p) % 8. */
			Method (_PRT, 0, Serialized)
			{
				Local0 = Package (128) {}
				Local1 = 0
				While (Local1 < 128)
				{
					Local2 = Package (4) { 0, 0, 0, 0 }
					Local2 [0] = ((Local1 >> 2) << 16) | 0xFFFF
					Local2 [1] = Local1 & 3
					Local2 [3] = 16 + (((Local1 >> 2) + (Local1 & 3)) & 7)
					Local0 [Local1] = Local2
					Local1++
				}
				Return (Local0)
			}

			/* Fixed addresses that no device may be given. */
			Device (MRES)
			{
				Name (_HID, EisaId ("PNP0C02"))
				Name (_UID, 1)
				Name (RES, ResourceTemplate ()
				{
					IO (Decode16, 0x0092, 0x0092, 1, 1)
					IO (Decode16, ACPI_PM_BASE, ACPI_PM_BASE, 1, ACPI_PM_SIZE)
					Memory32Fixed (ReadWrite, 0, 0, ECAM)
				})

				Method (_CRS, 0, Serialized)
				{
					CreateDWordField (RES, ^ECAM._BAS, BASE)
					CreateDWordField (RES, ^ECAM._LEN, LENG)

					BASE = ECMB
					LENG = ECML
					Return (RES)
				}
			}

			/* The LPC bridge and what is behind it. */
			Device (ISA)
			{
				Name (_ADR, 0x001F0000)

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0070, 0x0070, 1, 2)
						IRQNoFlags () { 8 }
					})
				}

				/* Keyboard and mouse, of machines with a screen. */
				Device (KBD)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0060, 0x0060, 1, 1)
						IO (Decode16, 0x0064, 0x0064, 1, 1)
						IRQNoFlags () { 1 }
					})
					Method (_STA, 0, NotSerialized)
					{
						Return (STAF (ACPI_INFO_PS2))
					}
				}

				Device (MOU)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Name (_CRS, ResourceTemplate ()
					{
						IRQNoFlags () { 12 }
					})
					Method (_STA, 0, NotSerialized)
					{
						Return (STAF (ACPI_INFO_PS2))
					}
				}

				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03F8, 0x03F8, 1, 8)
						IRQNoFlags () { 4 }
					})
					Method (_STA, 0, NotSerialized)
					{
						Return (STAF (ACPI_INFO_COM1))
					}
				}

				Device (COM2)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 2)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x02F8, 0x02F8, 1, 8)
						IRQNoFlags () { 3 }
					})
					Method (_STA, 0, NotSerialized)
					{
						Return (STAF (ACPI_INFO_COM2))
					}
				}

				Device (COM3)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 3)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03E8, 0x03E8, 1, 8)
						IRQNoFlags () { 4 }
					})
					Method (_STA, 0, NotSerialized)
					{
						Return (STAF (ACPI_INFO_COM3))
					}
				}

				Device (COM4)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 4)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x02E8, 0x02E8, 1, 8)
						IRQNoFlags () { 3 }
					})
					Method (_STA, 0, NotSerialized)
					{
						Return (STAF (ACPI_INFO_COM4))
					}
				}

				Device (PEVT)
				{
					Name (_HID, "QEMU0001")
					Name (RES, ResourceTemplate ()
					{
						IO (Decode16, 0, 0, 1, 1, PORT)
					})
					Method (_STA, 0, NotSerialized)
					{
						Return (STAF (ACPI_INFO_PVPANIC))
					}
					Method (_CRS, 0, Serialized)
					{
						CreateWordField (RES, ^PORT._MIN, PMIN)
						CreateWordField (RES, ^PORT._MAX, PMAX)

						PMIN = PVPP
						PMAX = PVPP
						Return (RES)
					}
				}
			}
		}
	}
}
