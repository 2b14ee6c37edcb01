# SPDX-License-Identifier: LGPL-2.1-or-later
"""The distribution's guest agent in a test guest."""

import xml.etree.ElementTree as ET

import libvirt

from .console import Console
from .guest import Lab, disk_xml
from .harness import wait_for

CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"


def start_agent(console: Console) -> None:
    console.shell("port=$(grep -l org.qemu.guest_agent.0 /sys/class/virtio-ports/*/name | cut -d/ -f5); "
                  "qemu-ga -d -m virtio-serial -p /dev/$port -t /run -f /run/qga.pid")


def channel_state(domain: libvirt.virDomain) -> "str | None":
    target = ET.fromstring(domain.XMLDesc()).find("./devices/channel/target")
    assert target is not None
    return target.get("state")


def wait_for_channel(domain: libvirt.virDomain, state: str) -> None:
    wait_for(f"a channel that is {state}", lambda: channel_state(domain) == state, 20)


def boot_with_agent(lab: Lab, extra: str = "", root: str = "",
                    **options: object) -> "tuple[libvirt.virDomain, Console]":
    """root: the XML of a disk with the test guest's system, if not a raw one."""
    domain, console = lab.boot((root or disk_xml(lab.root_disk())) + CHANNEL + extra, root=True,
                               **options)
    start_agent(console)
    wait_for_channel(domain, "connected")
    return domain, console
