# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-install and its kin as their users run them, to Vireo by its name and in QEMU's place."""

import contextlib
import os
import pathlib
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Optional

import libvirt

from lib.console import Console
from lib.guest import FAST_BOOT, KIT, NETWORK, Lab, network_xml, virsh, wait_for_state
from lib.harness import check, command, test, wait_for

URI = os.environ.get("VIREO_TEST_URI", "vireo:///system")
# A client that thinks it speaks to QEMU.
QEMU_URI = "qemu:///system?socket=/run/libvirt/virtvireod-sock"
# What spares emulated time.
ARGUMENTS = f"console=ttyS0 quiet root=/dev/vda rw {FAST_BOOT}"
MEDIUM = "./devices/disk[@device='cdrom']"


def install(lab: Lab, uri: str, *more: str) -> libvirt.virDomain:
    """virt-install with what is the same for all."""
    name = lab.name()
    command("virt-install", "--connect", uri, "--name", name, "--memory", "256", "--vcpus", "1", "--osinfo",
            "debian11", "--check", "all=off", "--noautoconsole", *more)
    return lab.connection.lookupByName(name)


@contextlib.contextmanager
def loop_device(path: str) -> "Iterator[str]":
    """The file as a block device."""
    device = command("losetup", "--find", "--show", path).strip()
    try:
        yield device
    finally:
        command("losetup", "--detach", device)


def seed(lab: Lab) -> str:
    """The value of --cloud-init: user data of this test's own."""
    path = pathlib.Path(lab.directory) / "user-data"
    path.write_text(f"#cloud-config\nhostname: {lab.prefix}\n", encoding="ascii")
    return f"user-data={path}"


def check_seed(lab: Lab, domain: libvirt.virDomain, console: Console) -> None:
    """The guest finds the data of --cloud-init where cloud-init's NoCloud looks for it."""
    check(models(domain, "disk[@device='cdrom']/target") == ["scsi"], "the CD is on the bus that there is")
    console.shell("while read -r module; do insmod $module; done </lib/modules/scsi")
    console.shell("tries=0; until [ -b /dev/sr0 ] || [ $((tries += 1)) = 600 ]; do sleep 0.1; done")
    # Compared there, for other messages come between: the volume identifier (ECMA-119 8.4.7).
    console.shell("dd if=/dev/sr0 bs=1 skip=32808 count=6 2>/dev/null | grep -qi cidata")
    console.shell("mount -t iso9660 /dev/sr0 /mnt")
    console.shell(f"grep -q {lab.prefix} /mnt/user-data")
    inactive = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    check(inactive.find(MEDIUM) is None or inactive.find(f"{MEDIUM}/source") is None, "another boot is without")


def installer_tree(lab: Lab) -> str:
    """What Debian's archive has for --location, with the test guest's kernel in it."""
    top = pathlib.Path(lab.directory) / "debian/dists/bookworm/main/installer-amd64"
    images = top / "current/images/netboot/debian-installer/amd64"
    images.mkdir(parents=True)
    (top / "current/images/MANIFEST").write_text("netboot/debian-installer/amd64/linux\n", encoding="ascii")
    shutil.copy(f"{KIT}/vmlinuz", images / "linux")
    shutil.copy(f"{KIT}/initrd", images / "initrd.gz")
    return str(top)


def models(domain: libvirt.virDomain, path: str) -> "list[str]":
    return [element.get("model") or element.get("bus") or "" for element in
            ET.fromstring(domain.XMLDesc()).findall(f"./devices/{path}")]


@test(limit=150)
def virt_install_for_qemu() -> None:
    """virt-install's own choices for QEMU, --cloud-init; virt-xml and virt-clone of the result"""
    # For a block device virt-install asks QEMU for Linux AIO.
    with Lab() as lab, loop_device(lab.root_disk()) as device:
        domain = install(lab, QEMU_URI, "--import", "--disk", device, "--network", f"network={NETWORK}",
                         "--graphics", "none", "--cloud-init", seed(lab), "--boot",
                         f"kernel={KIT}/vmlinux,initrd={KIT}/initrd,kernel_args={ARGUMENTS}")
        console = lab.console(domain)
        console.login()
        check("qemu-xhci" in models(domain, "controller"), "virt-install's USB controller")
        check(models(domain, "disk[@device='disk']/target") == ["virtio"], "a virtio disk")
        driver = ET.fromstring(domain.XMLDesc()).find("./devices/disk[@device='disk']/driver")
        check(driver is not None and driver.get("io") == "native" and driver.get("cache") == "none",
              "virt-install's own choice for a block device")
        console.shell("test $(cat /sys/block/vda/size) -gt 0")
        check_seed(lab, domain, console)
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
    """virt-install --location in Vireo's name, with VNC; virsh finds what was asked for"""
    with Lab() as lab:
        domain = install(lab, URI, "--location", installer_tree(lab), "--extra-args", ARGUMENTS, "--disk",
                         f"{lab.root_disk()},bus=virtio", "--network", f"network={NETWORK},model=virtio", "--graphics",
                         "vnc", "--video", "bochs", "--input", "tablet,bus=usb")
        check(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, "it runs")
        check("usb" in models(domain, "input"), "a tablet on USB")
        wait_for("a display", lambda: command("virsh", "-q", "-c", URI, "vncdisplay", domain.name()).strip(), 20)
        lab.console(domain).login()
        domain.shutdown()
        wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
        check("kernel" not in domain.XMLDesc(), "the installer's kernel was for one boot")


@test(paused=True)
def virt_xml_changes_a_running_guest() -> None:
    """virt-xml --update: a disk more, another medium, a new password and a link that goes down, at once and for good"""
    with Lab() as lab:
        cd, medium = (f"{lab.directory}/{name}.iso" for name in ("cd", "medium"))
        for path in (cd, medium):
            shutil.copy(f"{KIT}/boot.iso", path)
        domain = lab.define(f"""{network_xml()}<graphics type='vnc' passwd='first'/>
            <disk type='file' device='cdrom'><source file='{cd}'/><target dev='sda' bus='scsi'/></disk>""")
        virsh("start", "--paused", domain.name())

        def update(*what: str) -> None:
            command("virt-xml", "--connect", URI, domain.name(), "--update", *what)

        def both(path: str, key: str) -> "list[Optional[str]]":
            """An attribute of an element, of the running guest and of its definition."""
            return [None if found is None else found.get(key) for found in
                    (ET.fromstring(virsh("dumpxml", "--security-info", *which, domain.name())).find(f"./devices/{path}")
                     for which in ((), ("--inactive",)))]

        disk = lab.empty_disk(4)
        update("--add-device", "--disk", f"{disk},bus=virtio")
        check(both("disk[@device='disk']/source", "file") == [disk] * 2, "the disk")
        check(disk in virsh("domblklist", domain.name()), "the monitor's disk")
        update("--edit", "target.dev=sda", "--disk", f"path={medium}")
        check(both("disk[@device='cdrom']/source", "file") == [medium] * 2, "the medium")
        update("--edit", "--graphics", "passwd=second")
        check(both("graphics", "passwd") == ["second"] * 2, "the password")
        update("--edit", "--network", "link.state=down")
        check(both("interface/link", "state") == ["down"] * 2, "the link")
        address = both("interface/mac", "address")[0]
        check(address and "down" in virsh("domif-getlink", domain.name(), address), "as virsh says")


def installs_from_a_cd(uri: str, disk: str, grub: str, *more: str, to_the_end: bool = True) -> None:
    with Lab() as lab:
        cd = os.path.join(lab.directory, "installer.iso")
        shutil.copy(f"{KIT}/boot.iso", cd)
        domain = install(lab, uri, "--cdrom", cd, "--disk", disk.format(lab.empty_disk(16)), "--network", "none",
                         "--graphics", "none", *more)
        console = lab.console(domain)
        console.expect(f"boot-cd: GRUB for {grub}", 120)
        if to_the_end:
            console.login()
            console.send("poweroff\n")
            wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF, 60)
        else:
            domain.destroy()
        definition = ET.fromstring(domain.XMLDesc())
        check(definition.find(MEDIUM) is not None, "the drive stays")
        check(definition.find(f"{MEDIUM}/source") is None, "the installed system starts without the CD")
        check([boot.get("dev") for boot in definition.findall("./os/boot")] == ["hd"], "it boots its disk")


@test(limit=150)
def a_bios_boots_an_installer() -> None:
    """virt-install --cdrom in Vireo's name: SeaBIOS boots the CD before an empty disk"""
    installs_from_a_cd(URI, "{},bus=virtio", "pc")


@test(limit=240)
def uefi_boots_an_installer() -> None:
    """virt-install --cdrom for QEMU, --boot uefi: OVMF boots the CD before an empty disk"""
    # A kernel that UEFI's GRUB starts is another test's (firmware/efi_boots_a_disk).
    installs_from_a_cd(QEMU_URI, "{}", "efi", "--boot", "uefi", to_the_end=False)
