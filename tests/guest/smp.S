/* INIT and SIPI start the other CPUs, which count themselves; CPUS is how many there are. */
#include "guest.h"
#ifndef CPUS
#define CPUS 4
#endif
	.code32
	.globl start
start:
	movl $0, 0x9000
	mov $trampoline, %esi
	mov $0x8000, %edi
	mov $(trampoline_end - trampoline), %ecx
	rep movsb
	/* All but self: INIT, then SIPI to 0x8000 (SDM volume 3, §8.4.4). */
	movl $0x000c4500, 0xfee00300
	movl $0x000c4608, 0xfee00300
1:	pause
	cmpl $(CPUS - 1), 0x9000
	jne 1b
	print 'o', 'k'
	exit 0
	.code16
trampoline:
	xor %ax, %ax
	mov %ax, %ds
	lock incl 0x9000
2:	hlt
	jmp 2b
trampoline_end:
