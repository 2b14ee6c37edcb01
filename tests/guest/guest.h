/*
 * guest.h: what all freestanding guests have
 *
 * PVH enters at start in 32-bit protected mode with flat segments and without paging. A guest
 * prints on COM1 and ends by isa-debug-exit at port 0xf4: status (code << 1) | 1.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define COM1	   0x3f8
#define DEBUG_EXIT 0xf4

	.section .note.pvh, "a", @note
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start
	.text

/* Print characters ('a', 'b'); works in any mode, uses al and dx. */
	.macro print text:vararg
	mov $COM1, %dx
	.irp character, \text
	mov $\character, %al
	out %al, %dx
	.endr
	.endm

	.macro exit code
	mov $DEBUG_EXIT, %dx
	mov $\code, %al
	out %al, %dx
9:	hlt
	jmp 9b
	.endm
