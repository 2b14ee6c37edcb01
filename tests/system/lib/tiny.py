# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of a few instructions, which any KVM can run: their code is that of the tests in tests/cli."""

import os
import struct
import sys

from .guest import Lab

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "cli"))
from vireo_cli import HALT, kernel, master_boot_record  # pylint: disable=import-error,wrong-import-position,unused-import

SCRATCH = 0x200000


def boot(lab: Lab, code: bytes) -> str:
    """An <os> whose kernel is the code, 32-bit protected mode; it ends in a halt."""
    path = kernel(f"{lab.directory}/kernel{len(os.listdir(lab.directory))}", code + HALT)
    return f"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{path}</kernel></os>"


def cpuid(*leaves: int) -> bytes:
    """Code that writes eax, ebx, ecx and edx of CPUID leaves (subleaf 0) to the second serial port, as bytes."""
    code = b""
    for leaf in leaves:
        code += b"\xb8" + struct.pack("<I", leaf) + b"\x31\xc9\x0f\xa2"  # mov leaf, %eax; xor %ecx, %ecx; cpuid
        for index, store in enumerate((b"\xa3", b"\x89\x1d", b"\x89\x0d", b"\x89\x15")):
            code += store + struct.pack("<I", SCRATCH + 4 * index)
        code += b"\x66\xba\xf8\x02"  # mov $0x2f8, %dx
        for at in range(16):
            code += b"\xa0" + struct.pack("<I", SCRATCH + at) + b"\xee"  # mov (at), %al; out %al, %dx
    return code
