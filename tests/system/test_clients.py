# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-install and its kin as their users run them, to Vireo by its name and in QEMU's place."""

import os
import xml.etree.ElementTree as ET

import libvirt

from lib.guest import FAST_BOOT, KIT, NETWORK, Lab, wait_for_state
from lib.harness import check, command, test, wait_for

URI = os.environ.get("VIREO_TEST_URI", "vireo:///system")
# A client that thinks it speaks to QEMU.
QEMU_URI = "qemu:///system?socket=/run/libvirt/virtvireod-sock"


def install(lab: Lab, uri: str, disk: str, network: str, *more: str) -> libvirt.virDomain:
    """virt-install of an image; kernel and console arguments spare emulated time."""
    name = lab.name()
    command("virt-install", "--connect", uri, "--name", name, "--memory", "256", "--vcpus", "1", "--import",
            "--osinfo", "debian11", "--check", "all=off", "--noautoconsole", "--disk", disk, "--network", network,
            "--boot", f"kernel={KIT}/vmlinux,initrd={KIT}/initrd,kernel_args=console=ttyS0 quiet root=/dev/vda rw "
            f"{FAST_BOOT}", *more)
    return lab.connection.lookupByName(name)


def models(domain: libvirt.virDomain, path: str) -> "list[str]":
    return [element.get("model") or element.get("bus") or "" for element in
            ET.fromstring(domain.XMLDesc()).findall(f"./devices/{path}")]


@test(limit=150)
def virt_install_for_qemu() -> None:
    """virt-install's own choices for QEMU: processor, clock, USB; virt-xml and virt-clone of the result"""
    with Lab() as lab:
        domain = install(lab, QEMU_URI, lab.root_disk(), f"network={NETWORK}", "--graphics", "none")
        console = lab.console(domain)
        console.login()
        check("qemu-xhci" in models(domain, "controller"), "virt-install's USB controller")
        check(models(domain, "disk/target") == ["virtio"], "a virtio disk")
        console.shell("test $(cat /sys/block/vda/size) -gt 0")
        # Inactive from here on: clones are made of domains that are off.
        domain.destroy()
        command("virt-xml", "--connect", QEMU_URI, domain.name(), "--edit", "--memory", "300,maxmemory=300")
        check(domain.maxMemory() == 300 * 1024, "the memory that virt-xml gave it")
        command("virt-xml", "--connect", QEMU_URI, domain.name(), "--add-device", "--rng", "/dev/urandom")
        clone = lab.name("clone")
        command("virt-clone", "--connect", QEMU_URI, "--original", domain.name(), "--name", clone, "--file",
                os.path.join(lab.directory, "clone.img"))
        copy = lab.connection.lookupByName(clone)
        check(copy.UUIDString() != domain.UUIDString(), "a UUID of its own")
        copy.create()
        lab.console(copy).login()


@test(limit=100)
def virt_install_with_a_screen() -> None:
    """virt-install in Vireo's name, with VNC; what the guest lists is what was asked for"""
    with Lab() as lab:
        domain = install(lab, URI, f"{lab.root_disk()},bus=virtio", f"network={NETWORK},model=virtio", "--graphics",
                         "vnc", "--video", "bochs", "--input", "tablet,bus=usb")
        check(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, "it runs")
        check("usb" in models(domain, "input"), "a tablet on USB")
        wait_for("a display", lambda: command("virsh", "-q", "-c", URI, "vncdisplay", domain.name()).strip(), 20)
        lab.console(domain).login()
        domain.shutdown()
        wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
