# SPDX-License-Identifier: LGPL-2.1-or-later
"""The distribution's own system on a disk, as a user's: booted by either firmware, its agent, its shutdown."""

import json
import os
import pathlib
import re
import shlex
import xml.etree.ElementTree as ET

import libvirt

from lib.guest import NETWORK, Lab, wait_for_state
from lib.harness import check, command, say, test, wait_for

AGENT = "unix,target.type=virtio,target.name=org.qemu.guest_agent.0"
URI = os.environ.get("VIREO_TEST_URI", "vireo:///system")
# A client that thinks it speaks to QEMU.
QEMU_URI = "qemu:///system?socket=/run/libvirt/virtvireod-sock"
README = pathlib.Path(__file__).parents[2] / "README"


def readme_command() -> "list[str]":
    """The virt-install that README shows."""
    text = README.read_text(encoding="utf-8")
    match = re.search(r"^ +(virt-install (?:.*\\\n)*.*)$", text, re.M)
    assert match is not None
    return shlex.split(match[1].replace("\\\n", " "))


def boots(lab: Lab, install: "list[str]", efi: bool) -> libvirt.virDomain:
    """Runs a virt-install, and sees the system from its login prompt to its shutdown."""
    command(*install, "--noautoconsole", "--check", "all=off")
    domain = lab.connection.lookupByName(install[install.index("--name") + 1])
    console = lab.console(domain)
    console.log_in("root", "vireo", 390)
    say(console.shell("systemd-analyze; systemd-analyze blame | head -n 8"))
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
    return domain


@test(limit=420)
def efi_boots_a_layered_image() -> None:
    """README's virt-install: UEFI boots Debian from qcow2 over a raw image, and the agent shuts it down"""
    with Lab() as lab:
        base = lab.stock_disk()
        layer = f"{lab.directory}/layer.qcow2"
        command("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", layer)
        before = command("stat", "-c", "%Y", base)
        install = readme_command()
        check(URI in install, f"README's words: {install}")
        for its, ours in (("debian", lab.name()), ("debian.qcow2,", f"{layer},"), ("default,", f"network={NETWORK},")):
            at = next(at for at, word in enumerate(install) if word.startswith(its))
            install[at] = install[at].replace(its, ours)
        # The TPM that virt-install adds to UEFI is another test's, and takes its time.
        domain = boots(lab, install + ["--channel", AGENT, "--tpm", "none"], True)
        tree = ET.fromstring(domain.XMLDesc())
        check([disk.get("type") for disk in tree.findall("./devices/disk/driver")] == ["qcow2"], "the image's format")
        check(command("stat", "-c", "%Y", base) == before, "the image below is as it was")
        check(json.loads(command("qemu-img", "info", "--output=json", layer))["actual-size"] > 1 << 20,
              "what the guest wrote is in the layer")


@test(limit=420)
def bios_boots_a_raw_image() -> None:
    """virt-install's own choices for QEMU: a BIOS boots Debian's disk, and the agent shuts it down"""
    with Lab() as lab:
        domain = boots(lab, ["virt-install", "--connect", QEMU_URI, "--name", lab.name(), "--osinfo", "debian11",
                             "--memory", "512", "--import", "--graphics", "vnc", "--disk", lab.stock_disk(),
                             "--network", f"network={NETWORK}"], False)
        tree = ET.fromstring(domain.XMLDesc())
        for path, key, value in (("disk/driver", "type", "raw"), ("disk/target", "bus", "virtio"),
                                 ("interface/model", "type", "virtio"), ("video/model", "type", "virtio")):
            found = tree.find(f"./devices/{path}")
            check(found is not None and found.get(key) == value, f"{path} has {key} {value}")
