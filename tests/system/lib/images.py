# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images, what they hold, and the disks that the storage daemon makes of them."""

import hashlib
import pathlib
import xml.etree.ElementTree as ET

import libvirt

from .harness import command, wait_for

MIB = 1 << 20


def qcow2_xml(path: str, target: str = "vda", extra: str = "", kind: str = "qcow2") -> str:
    return (f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'/><source file='{path}'/>{extra}"
            f"<target dev='{target}' bus='virtio'/></disk>")


def create(path: str, size: str = "16M", *, kind: str = "qcow2", backing: str = "", backing_kind: str = "qcow2",
           pattern: int = 0) -> str:
    """An image; with a pattern its second MiB is filled with that byte."""
    options = ["-b", backing, "-F", backing_kind] if backing else []
    command("qemu-img", "create", "-q", "-f", kind, *options, path, *([] if backing else [size]))
    if pattern:
        command("qemu-io", "-f", kind, "-c", f"write -P {pattern} 1M 1M", path)
    return path


def holds(path: str, pattern: int, offset: str, kind: str = "qcow2") -> bool:
    return "verification failed" not in command("qemu-io", "-f", kind, "-c", f"read -P {pattern} {offset} 1M", path)


def guest_sum(console: object, skip: int) -> str:
    """The digest of one MiB of the guest's disk, read from the disk itself."""
    return console.shell(f"dd if=/dev/vda bs=1M skip={skip} count=1 iflag=direct 2>/dev/null "  # type: ignore
                         "| md5sum | cut -c1-32")


def guest_write(console: object, byte: int, seek: int) -> None:
    """Fills one MiB of the guest's disk, and flushes it: what is not flushed may go with a storage daemon."""
    console.shell(f"tr '\\0' '\\{byte:03o}' </dev/zero | dd of=/dev/vda bs=1M seek={seek} count=1 "  # type: ignore
                  "iflag=fullblock oflag=direct conv=fsync 2>/dev/null")


def pattern_sum(byte: int) -> str:
    return hashlib.md5(bytes([byte]) * MIB).hexdigest()


def storage_daemon(domain: libvirt.virDomain) -> int:
    """Its process; 0: there is none at the moment."""
    path = pathlib.Path(f"/run/libvirt/vireo/{domain.name()}.storage-pid")
    try:
        return int(path.read_text(encoding="ascii") or 0)
    except FileNotFoundError:
        return 0


def another_daemon(domain: libvirt.virDomain, pid: int) -> None:
    wait_for("another storage daemon", lambda: storage_daemon(domain) not in (0, pid), 20)


def chain(domain: libvirt.virDomain, target: str = "vda") -> "list[str]":
    """The files of a live disk, from the top."""
    disk = ET.fromstring(domain.XMLDesc()).find(f"./devices/disk/target[@dev='{target}']/..")
    files = []
    while disk is not None:
        source = disk.find("source")
        if source is not None:
            files.append(source.get("file") or "")
        disk = disk.find("backingStore")
    return files
