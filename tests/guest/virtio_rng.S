/*
 * Asks a virtio-rng device at 00:05.0 for entropy three times, one request after the other, each
 * 16 bytes longer than the last, by descriptors 3, 4 and 5; without interrupts.
 */
#include "guest.h"
#define CONFIG	  0x80002800 /* 00:05.0, by ports 0xcf8 and 0xcfc */
#define COMMAND	  0x04
#define BAR4	  0x20
#define REGISTERS 0xe0000000 /* where BAR 4 is put */
#define NOTIFY	  0x3000     /* in it, as vmm/virtio/virtio_pci.c has it; common configuration is first */
#define RING	  0x200000
#define AVAILABLE (RING + 0x1000)
#define USED	  (RING + 0x2000)
#define BUFFER	  (RING + 0x3000)
#define FIRST	  3
#define N	  3

	.macro config register, value
	mov $0xcf8, %dx
	mov $(CONFIG + \register), %eax
	out %eax, %dx
	mov $0xcfc, %dx
	mov $\value, %eax
	out %eax, %dx
	.endm

	.code32
	.globl start
start:
	config BAR4, REGISTERS
	config (BAR4 + 4), 0
	config COMMAND, 6 /* memory, bus master */
	mov $REGISTERS, %esi
	/* virtio 1.2 §3.1.1: acknowledge, driver, VERSION_1 and nothing else, queue 0, go. */
	movb $0, 0x14(%esi)
	movb $1, 0x14(%esi)
	movb $3, 0x14(%esi)
	movl $1, 0x08(%esi)
	movl $1, 0x0c(%esi)
	movb $0xb, 0x14(%esi)
	movw $0, 0x16(%esi)
	movw $0xffff, 0x1a(%esi)
	movl $RING, 0x20(%esi)
	movl $0, 0x24(%esi)
	movl $AVAILABLE, 0x28(%esi)
	movl $0, 0x2c(%esi)
	movl $USED, 0x30(%esi)
	movl $0, 0x34(%esi)
	movw $1, 0x1c(%esi)
	movb $0xf, 0x14(%esi)

	xor %ecx, %ecx
1:	mov %ecx, %edi
	shl $4, %edi
	movl $BUFFER, (RING + FIRST * 16)(%edi)
	movl $0, (RING + FIRST * 16 + 4)(%edi)
	lea 16(%edi), %eax
	mov %eax, (RING + FIRST * 16 + 8)(%edi)
	movl $2, (RING + FIRST * 16 + 12)(%edi) /* for the device to write to */
	lea FIRST(%ecx), %eax
	mov %ax, (AVAILABLE + 4)(, %ecx, 2)
	inc %ecx
	mov %cx, AVAILABLE + 2
	movw $0, NOTIFY(%esi)
2:	pause
	cmp %cx, USED + 2
	jne 2b
	cmp $N, %ecx
	jne 1b
	print 'o', 'k'
3:	hlt
	jmp 3b
