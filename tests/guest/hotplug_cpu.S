/* Powers off once INIT and SIPI, sent to APIC id 1 by its number, have started that CPU. */
#include "guest.h"
	.code32
	.globl start
start:
	movl $0, 0x9000
	mov $trampoline, %esi
	mov $0x8000, %edi
	mov $(trampoline_end - trampoline), %ecx
	rep movsb
	movl $(1 << 24), 0xfee00310
1:	movl $0x00004500, 0xfee00300
	movl $0x00004608, 0xfee00300
	mov $100000, %ecx
2:	pause
	cmpl $0, 0x9000
	jne 3f
	loop 2b
	jmp 1b
3:	mov $0x604, %dx
	mov $0x2000, %ax
	out %ax, %dx
5:	hlt
	jmp 5b
	.code16
trampoline:
	xor %ax, %ax
	mov %ax, %ds
	movl $1, 0x9000
4:	hlt
	jmp 4b
trampoline_end:
