/* Jumps to where there is no memory: KVM has nothing to execute there. */
#include "guest.h"
	.code32
	.globl start
start:
	print 'j', 'u', 'm', 'p'
	mov $0xd0000000, %eax
	jmp *%eax
