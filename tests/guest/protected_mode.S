/* 32-bit protected mode, as PVH starts a guest; nothing answers at an unused address. */
#include "guest.h"
	.code32
	.globl start
start:
	cmpl $0x336ec578, (%ebx) /* hvm_start_info's magic */
	jne fail
	cmpl $-1, 0xd0000000
	jne fail
	mov $0x5555, %dx
	in %dx, %al
	cmp $0xff, %al
	jne fail
	print 'o', 'k'
	exit 0
fail:
	print 'b', 'a', 'd'
	exit 1
