# SPDX-License-Identifier: LGPL-2.1-or-later
"""The distribution's own system on a disk, as a user's: booted by either firmware, its agent, its shutdown."""

import json
import xml.etree.ElementTree as ET

import libvirt

from lib.guest import Lab, disk_xml, network_xml, wait_for_state
from lib.harness import check, command, test, wait_for

TYPE = "<type arch='x86_64' machine='q35'>hvm</type>"
AGENT = ("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>")
SCREEN = "<graphics type='vnc' port='-1'/><video><model type='bochs'/></video>"


def boots(lab: Lab, disk: str, boot: str, grub: str, efi: bool) -> None:
    domain = lab.start(disk + network_xml() + AGENT + SCREEN, boot=boot, memory=512)
    console = lab.console(domain)
    console.expect(f"stock: GRUB for {grub}", 150)
    console.log_in("root", "vireo", 240)
    check(console.shell("systemctl is-system-running --wait", 120, status=None) == "running", "nothing failed")
    console.shell("test -e /sys/firmware/efi", status=0 if efi else 1)
    check(console.shell("findmnt -no SOURCE /") == "/dev/vda2", "its root is the disk")
    # The agent is started by the channel's appearance alone.
    wait_for("the agent", lambda: "connected" == ET.fromstring(domain.XMLDesc()).find(
        "./devices/channel/target").get("state"), 60)  # type: ignore[union-attr]
    check(domain.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT) == "stock", "domhostname")
    check("Debian" in domain.guestInfo(libvirt.VIR_DOMAIN_GUEST_INFO_OS, 0)["os.name"], "guestinfo")
    domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
    wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF, 120)


@test(limit=420)
def efi_boots_a_layered_image() -> None:
    """UEFI boots Debian from qcow2 over a raw image to its login prompt, and the agent shuts it down"""
    with Lab() as lab:
        base = lab.stock_disk()
        layer = f"{lab.directory}/layer.qcow2"
        command("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", layer)
        before = command("stat", "-c", "%Y", base)
        boots(lab, disk_xml(layer).replace("type='raw'", "type='qcow2'"),
              f"<os firmware='efi'>{TYPE}<boot dev='hd'/></os>", "efi", True)
        check(command("stat", "-c", "%Y", base) == before, "the image below is as it was")
        check(json.loads(command("qemu-img", "info", "--output=json", layer))["actual-size"] > 1 << 20,
              "what the guest wrote is in the layer")


@test(limit=420)
def bios_boots_a_raw_image() -> None:
    """A BIOS boots Debian's disk to its login prompt, and the agent shuts it down"""
    with Lab() as lab:
        boots(lab, disk_xml(lab.stock_disk()), f"<os>{TYPE}<boot dev='hd'/></os>", "pc", False)
