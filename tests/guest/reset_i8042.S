/* Resets itself once, and knows by a word in RAM that it did. */
#include "guest.h"
	.code32
	.globl start
start:
	cmpl $0x600dcafe, 0x300000
	je again
	movl $0x600dcafe, 0x300000
	print 'f', 'i', 'r', 's', 't'
	mov $0xfe, %al; out %al, $0x64
1:	hlt
	jmp 1b
again:
	print 'a', 'g', 'a', 'i', 'n'
	exit 0
	.balign 8
nothing:
	.word 0
	.long 0
