/* From protected mode down to real mode, as boot loaders do. */
#include "guest.h"
	.code32
	.globl start
start:
	/* The real mode part has to lie in the first megabyte. */
	mov $real, %esi
	mov $0x8000, %edi
	mov $(real_end - real), %ecx
	rep movsb
	lgdt gdt_pointer
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	ljmp $0x08, $0x8000
	.code16
real:
	mov %cr0, %eax
	and $~1, %eax
	mov %eax, %cr0
	ljmp $0, $(0x8000 + in_real - real)
in_real:
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %ss
	mov $0x7000, %sp
	/* A call through the stack and a software interrupt through the vector table. */
	movw $(0x8000 + handler - real), 0x21 * 4
	movw $0, 0x21 * 4 + 2
	int $0x21
	exit 0
handler:
	print 'o', 'k'
	iret
real_end:
	.balign 8
gdt:	.quad 0
	.quad 0x00009b000000ffff
	.quad 0x000093000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt
