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

READ = 16 << 20  # bytes: less than the kernel and its initial file system have
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


def install(lab: Lab, arguments: "list[str]") -> libvirt.virDomain:
    """Runs a virt-install."""
    command(*arguments, "--noautoconsole", "--check", "all=off")
    return lab.connection.lookupByName(arguments[arguments.index("--name") + 1])


def boots(lab: Lab, arguments: "list[str]") -> libvirt.virDomain:
    """Runs a virt-install, and sees the system from its login prompt to its shutdown."""
    domain = install(lab, arguments)
    console = lab.console(domain)
    console.log_in("root", "vireo", 390)
    say(console.shell("systemd-analyze; systemd-analyze blame | head -n 8"))
    check(console.shell("systemctl is-system-running --wait", 120, status=None) == "running", "nothing failed")
    console.shell("test -e /sys/firmware/efi")
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
        arguments = readme_command()
        check(URI in arguments, f"README's words: {arguments}")
        for its, ours in (("debian", lab.name()), ("debian.qcow2,", f"{layer},"), ("default,", f"network={NETWORK},")):
            at = next(at for at, word in enumerate(arguments) if word.startswith(its))
            arguments[at] = arguments[at].replace(its, ours)
        # The TPM that virt-install adds to UEFI is another test's, and takes its time.
        domain = boots(lab, arguments + ["--channel", AGENT, "--tpm", "none"])
        tree = ET.fromstring(domain.XMLDesc())
        check([disk.get("type") for disk in tree.findall("./devices/disk/driver")] == ["qcow2"], "the image's format")
        check(command("stat", "-c", "%Y", base) == before, "the image below is as it was")
        check(json.loads(command("qemu-img", "info", "--output=json", layer))["actual-size"] > 1 << 20,
              "what the guest wrote is in the layer")


@test(limit=150)
def bios_starts_a_raw_image() -> None:
    """virt-install's own choices for QEMU: a BIOS starts Debian's GRUB, which reads what it boots from the disk"""
    # What a kernel then does with a BIOS is firmware/bios_boots_a_disk, and what Debian does is above.
    with Lab() as lab:
        domain = install(lab, ["virt-install", "--connect", QEMU_URI, "--name", lab.name(), "--osinfo", "debian11",
                               "--memory", "512", "--import", "--graphics", "vnc", "--disk", lab.stock_disk(),
                               "--network", f"network={NETWORK}"])
        wait_for("kernel and initial file system to be read", lambda: domain.blockStats("vda")[1] > READ, 100)
        tree = ET.fromstring(domain.XMLDesc())
        check("seabios" in (tree.findtext("./os/loader") or ""), "by the BIOS")
        for path, key, value in (("disk/driver", "type", "raw"), ("disk/target", "bus", "virtio"),
                                 ("interface/model", "type", "virtio"), ("video/model", "type", "virtio")):
            found = tree.find(f"./devices/{path}")
            check(found is not None and found.get(key) == value, f"{path} has {key} {value}")
