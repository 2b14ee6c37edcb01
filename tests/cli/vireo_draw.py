# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of a few bytes that draw on a bochs-display."""

import struct

from vireo_cli import HALT, Vireo, kernel

WIDTH, HEIGHT = 256, 128
DEVICE = ('-device', 'bochs-display,id=video0')
VBE = 0x500
ENABLE = 4


def store16(address, value):
    return b'\x66\xc7\x05' + struct.pack('<IH', address, value)     # mov word [address], value


def fill(address, colour, pixels):
    """mov edi, address; mov eax, colour; mov ecx, pixels; rep stosd"""
    return (b'\xbf' + struct.pack('<I', address) + b'\xb8' + struct.pack('<I', colour) +
            b'\xb9' + struct.pack('<I', pixels) + b'\xf3\xab')


def bars(directory):
    """Where framebuffer and registers are put: always at the same place."""
    image = kernel(directory / 'probe', HALT)
    vireo, monitor = Vireo.monitored(directory, '-m', '64', '-kernel', image, '-S', *DEVICE)
    for device in monitor.command('query-pci')[0]['devices']:
        if (device['id']['vendor'], device['id']['device']) == (0x1234, 0x1111):
            regions = {region['bar']: region['address'] for region in device['regions']}
    vireo.quit(monitor)
    return regions[0], regions[2]


def drawing(directory, before=b''):
    """A guest that (after some code) sets a mode and makes the upper half red, the lower blue."""
    frame, registers = bars(directory)
    code = before + b''.join(store16(registers + VBE + index * 2, value) for index, value in
                    ((1, WIDTH), (2, HEIGHT), (3, 32), (6, WIDTH), (ENABLE, 0x41)))
    half = WIDTH * HEIGHT // 2
    code += fill(frame, 0xff0000, half) + fill(frame + half * 4, 0x0000ff, half)
    image = kernel(directory / 'drawing', code + HALT)
    return ('-m', '64', '-kernel', image, *DEVICE)
