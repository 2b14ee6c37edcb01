/* Prints and waits for ever. */
#include "guest.h"
	.code32
	.globl start
start:
	print 'o', 'k'
1:	hlt
	jmp 1b
