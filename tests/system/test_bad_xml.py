# SPDX-License-Identifier: LGPL-2.1-or-later
"""What cannot work is refused with an error that names it, and leaves nothing behind."""

from typing import Callable, Optional

import libvirt

from lib.guest import KIT, URI, Lab, disk_xml, domain_xml, network_xml, refused
from lib.harness import check, test

Change = Callable[[str], str]


def replaced(old: str, new: str) -> Change:
    def change(xml: str) -> str:
        check(old in xml, f"{old} is in the template")
        return xml.replace(old, new)

    return change


def device(xml: str) -> Change:
    return replaced("</devices>", xml + "</devices>")


# Name, change to a good domain, what the error has to mention.
REFUSED_BY_DEFINITION: "list[tuple[str, Change, str]]" = [
    ("not_xml", lambda xml: xml[:200], "expected '>'"),
    ("no_name", lambda xml: xml.replace("<name>", "<title>").replace("</name>", "</title>"), "name"),
    ("unknown_domain_type", replaced("type='kvm'", "type='abacus'"), "abacus"),
    ("unknown_architecture", replaced("arch='x86_64'", "arch='vax'"), "vax"),
    ("unknown_machine", replaced("machine='q35'", "machine='amiga'"), "amiga"),
    ("no_memory", replaced("<memory unit='MiB'>160</memory>", ""), "memory"),
    ("no_processors", replaced("<vcpu>1</vcpu>", "<vcpu>0</vcpu>"), "vcpu"),
    ("same_target_twice", device(disk_xml("/dev/null") * 2), "vda"),
    ("unknown_disk_bus", device(disk_xml("/dev/null").replace("bus='virtio'", "bus='punchcard'")), "bus"),
    ("two_devices_in_one_slot",
     device("".join(disk_xml("/dev/null", target, "<address type='pci' domain='0' bus='0' slot='9' function='0'/>")
                    for target in ("vda", "vdb"))), "0000:00:09.0"),
    ("bad_mac_address", device(network_xml("52:54:00:xx:00:01")), "52:54:00:xx:00:01"),
    ("bad_uuid", replaced("<vcpu>", "<uuid>not-a-uuid</uuid><vcpu>"), "uuid"),
]
# Real features of libvirt that Vireo does not have; QEMU has them.
REFUSED_BY_VIREO: "list[tuple[str, Change, str]]" = [
    ("too_many_processors", replaced("<vcpu>1</vcpu>", "<vcpu>4096</vcpu>"), "<vcpu>"),
    ("floppy_disk", device("<disk type='file' device='floppy'><source file='/dev/null'/><target dev='fda'/></disk>"),
     "disk device"),
    ("ide_disk", device(disk_xml("/dev/null", "hda").replace("bus='virtio'", "bus='ide'")), "target bus"),
    ("usb_hub", device("<controller type='usb'/><hub type='usb'/>"), "<hub>"),
    ("sound", device("<sound model='ich9'/>"), "sound"),
    ("e1000_card", device(network_xml().replace("type='virtio'", "type='e1000'")), "interface <model type='e1000'"),
    ("smm", replaced("<acpi/>", "<acpi/><smm state='on'/>"), "smm"),
]
REFUSED_BY_START: "list[tuple[str, Change, str]]" = [
    ("missing_kernel", replaced(f"{KIT}/vmlinux<", "/nonexistent/kernel<"), "/nonexistent/kernel"),
    ("kernel_that_is_none", replaced(f"{KIT}/vmlinux<", f"{KIT}/initrd<"), "kernel"),
    ("missing_disk", device(disk_xml("/nonexistent/disk.img")), "/nonexistent/disk.img"),
    ("missing_network", device(network_xml().replace("network='vireo-test'", "network='nowhere'")), "nowhere"),
    ("more_memory_than_the_host_has", replaced("<memory unit='MiB'>160</memory>", "<memory unit='TiB'>200</memory>"),
     "memory"),
]


def register(name: str, change: Change, mention: str, by_start: bool, code: Optional[int] = None) -> None:
    def run() -> None:
        with Lab() as lab:
            xml = change(domain_xml(lab.name()))
            if not by_start:
                refused(lambda: lab.connection.defineXML(xml), mention, code)
                return
            domain = lab.connection.defineXML(xml)
            refused(domain.create, mention)
            check(not domain.isActive(), "it does not run")
            refused(domain.create, mention)

    run.__name__ = name
    run.__module__ = __name__
    test(limit=60, paused=True)(run)


for entry in REFUSED_BY_DEFINITION:
    register(*entry, by_start=False)
if not URI.startswith("qemu"):
    for entry in REFUSED_BY_VIREO:
        register(*entry, by_start=False, code=libvirt.VIR_ERR_CONFIG_UNSUPPORTED)
for entry in REFUSED_BY_START:
    register(*entry, by_start=True)
