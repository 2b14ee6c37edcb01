/* 64-bit mode with paging. */
#include "guest.h"
	.code32
	.globl start
start:
	/* One 1 GiB stretch in 2 MiB pages. */
	movl $(0x201000 + 7), 0x200000
	movl $0, 0x200004
	movl $(0x202000 + 7), 0x201000
	movl $0, 0x201004
	mov $0x202000, %edi
	mov $0x83, %eax
1:	mov %eax, (%edi)
	movl $0, 4(%edi)
	add $8, %edi
	add $0x200000, %eax
	cmp $0x203000, %edi
	jb 1b
	mov %cr4, %eax
	or $0x20, %eax /* PAE */
	mov %eax, %cr4
	mov $0x200000, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx /* EFER.LME */
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $long
	.code64
long:
	mov $0x123456789abcdef0, %rax
	rol $32, %rax
	mov $0x9abcdef012345678, %rcx
	cmp %rcx, %rax
	jne fail
	print 'o', 'k'
	exit 0
fail:
	print 'b', 'a', 'd'
	exit 1
	.balign 8
gdt:	.quad 0
	.quad 0x00209b0000000000
gdt_pointer:
	.word . - gdt - 1
	.long gdt
