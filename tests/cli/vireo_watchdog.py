# SPDX-License-Identifier: LGPL-2.1-or-later
"""Code of a guest, in 32-bit protected mode, that lets an i6300esb in slot 5 of the root bus expire."""

import struct

from vireo_cli import out8

SLOT = 5
BAR = 0xe0000000
PM1_STATUS, PM1_CONTROL = 0x600, 0x604
POWER_OFF = b'\x66\xba' + struct.pack('<H', PM1_CONTROL) + b'\x66\xb8\x00\x20\x66\xef'  # sleep, S5
# 1: in PM1_STATUS; test $0x100; jz 1b
UNTIL_BUTTON = b'\x66\xba' + struct.pack('<H', PM1_STATUS) + b'\x66\xed\x66\xa9\x00\x01\x74\xf8'


def out32(port, value):
    return b'\x66\xba' + struct.pack('<H', port) + b'\xb8' + struct.pack('<I', value) + b'\xef'


def out16(port, value):
    return b'\x66\xba' + struct.pack('<H', port) + b'\x66\xb8' + struct.pack('<H', value) + b'\x66\xef'


def configure(register, out, value):
    """Code that writes to the watchdog's configuration space."""
    return out32(0xcf8, 0x80000000 | SLOT << 11 | register & ~3) + out(0xcfc + (register & 3), value)


def store16(address, value):
    return b'\x66\xc7\x05' + struct.pack('<IH', address, value)


def store32(address, value):
    return b'\xc7\x05' + struct.pack('<II', address, value)


def unlocked(write):
    """A register takes a write after 0x80 and 0x86 in the reload register."""
    return store16(BAR + 0xc, 0x80) + store16(BAR + 0xc, 0x86) + write


# The fast clock, two stages of 4 ms, and off it goes.
EXPIRE = (configure(0x10, out32, BAR) + configure(0x04, out16, 2) + configure(0x60, out16, 0x04) +
          unlocked(store32(BAR, 0xfff)) + unlocked(store32(BAR + 4, 0xfff)) +
          unlocked(store16(BAR + 0xc, 0x100)) + configure(0x68, out8, 2))


def handle_nmi(body):
    """Code that has the instructions @body, which do not return, carried out upon an NMI."""
    # At 2 MiB: a table of segments whose first is the code's, one of interrupts with an entry for
    # the NMI, and what tells of the two; the handler at 3 MiB, its stack below 4.
    tables, handler = 0x200000, 0x300000
    code = (store32(tables + 8, 0x0000ffff) + store32(tables + 12, 0x00cf9b00) +
            store32(tables + 0x110, 8 << 16 | handler & 0xffff) +
            store32(tables + 0x114, handler & 0xffff0000 | 0x8e00) +
            store16(tables + 0x200, 15) + store32(tables + 0x202, tables) +
            store16(tables + 0x208, 23) + store32(tables + 0x20a, tables + 0x100))
    body += bytes(-len(body) % 4)
    for at in range(0, len(body), 4):
        code += store32(handler + at, struct.unpack('<I', body[at:at + 4])[0])
    return (code + b'\x0f\x01\x15' + struct.pack('<I', tables + 0x200) +      # lgdt
            b'\x0f\x01\x1d' + struct.pack('<I', tables + 0x208) +             # lidt
            b'\xbc' + struct.pack('<I', 0x400000))                            # mov $0x400000, %esp
