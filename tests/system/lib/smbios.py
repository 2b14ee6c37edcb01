# SPDX-License-Identifier: LGPL-2.1-or-later
"""SMBIOS as a guest's kernel found it (DMTF DSP0134)."""

from typing import NamedTuple

from .console import Console


class Structure(NamedTuple):
    kind: int
    data: bytes  # the formatted part, header included
    strings: "list[str]"

    def text(self, offset: int) -> str:
        """The string that the byte at an offset names; "" for none."""
        number = self.data[offset]
        return self.strings[number - 1] if number else ""


def parse(tables: bytes) -> "list[Structure]":
    """All structures up to the end-of-table one, which must be there."""
    found = []
    while True:
        kind, length = tables[0], tables[1]
        end = tables.index(b"\0\0", length)
        text = tables[length:end].decode("ascii")
        found.append(Structure(kind, tables[:length], text.split("\0") if text else []))
        tables = tables[end + 2:]
        if kind == 127:
            return found


def read(console: Console) -> "list[Structure]":
    """What the kernel of a guest shows of them."""
    return parse(bytes.fromhex(console.shell("hexdump -v -e '1/1 \"%02x\"' /sys/firmware/dmi/tables/DMI")))
