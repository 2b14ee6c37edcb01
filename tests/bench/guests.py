# SPDX-License-Identifier: LGPL-2.1-or-later
"""Single guests side by side with libvirt's QEMU driver: how long they boot, what a screen takes."""

import os
import pathlib
import re
import socket
import sys
import time
import xml.etree.ElementTree as ET

from report import Row, at_most

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cli"))

URIS = ("vireo:///system", "qemu:///system")
TYPE = "<type arch='x86_64' machine='q35'>hvm</type>"
SCREEN_MEMORY = 320  # MiB
CONSOLE_LIMIT = 400  # s


def columns(row: Row) -> "dict[str, list[float]]":
    return {"vireo:///system": row.ours, "qemu:///system": row.peer}


def boot_time(uri: str, xml: str, prompt: str) -> float:
    """Seconds from a domain's start to the prompt on its console."""
    import libvirt  # pylint: disable=import-outside-toplevel
    from lib.console import Console  # pylint: disable=import-outside-toplevel

    connection = libvirt.open(uri)
    domain = connection.defineXML(xml)
    started = time.monotonic()
    try:
        domain.create()
        with Console(["virsh", "-q", "-c", uri, "console", "--force", domain.name()]) as console:
            console.expect(prompt, CONSOLE_LIMIT)
            return time.monotonic() - started
    finally:
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        connection.close()


def firmware_xml(directory: str) -> str:
    """A stock disk that UEFI boots, both of them new."""
    from lib.guest import IMAGES, disk_xml, domain_xml  # pylint: disable=import-outside-toplevel
    from lib.harness import command  # pylint: disable=import-outside-toplevel

    disk, variables = f"{directory}/stock.img", f"{directory}/variables.fd"
    command("cp", "--sparse=always", f"{IMAGES}/stock.img", disk, limit=300)
    if os.path.exists(variables):
        os.unlink(variables)
    boot = (f"<os>{TYPE}<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
            f"<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>{variables}</nvram></os>")
    return domain_xml("bench-firmware", disk_xml(disk), boot=boot, memory=512)


def measure_boots(runs: int, directory: str) -> "list[Row]":
    from lib.guest import domain_xml  # pylint: disable=import-outside-toplevel

    rows = [at_most("firmware-boot", "s", 1), at_most("direct-boot", "s", 0.9)]
    for _ in range(runs):
        for uri in URIS:
            columns(rows[0])[uri].append(boot_time(uri, firmware_xml(directory), "login: "))
            columns(rows[1])[uri].append(boot_time(uri, domain_xml("bench-direct"), "guest# "))
    return rows


def process_memory(pid: int, guest_memory: int) -> float:
    """MiB of a process, its share of what it shares; without its guest's memory (bytes)."""
    total, counted = 0, True
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="ascii", errors="replace").splitlines():
        place = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if place:
            counted = int(place[2], 16) - int(place[1], 16) < guest_memory
        elif line.startswith("Pss:") and counted:
            total += int(line.split()[1])
    return total / 1024


def process_of(name: str) -> int:
    """The process of the domain, of either driver."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if any(argument.startswith(f"guest={name},".encode()) for argument in arguments):
            return int(path.parent.name)
    sys.exit(f"scale: {name} has no process")


def screen_memory(uri: str) -> float:
    """MiB of the process of a guest that shows its console to a VNC client."""
    import libvirt  # pylint: disable=import-outside-toplevel
    from lib.console import Console  # pylint: disable=import-outside-toplevel
    from lib.guest import domain_xml  # pylint: disable=import-outside-toplevel
    from vireo_rfb import Client  # type: ignore[import-not-found]  # pylint: disable=import-error,import-outside-toplevel

    name = "bench-screen"
    devices = ("<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>"
               "<video><model type='virtio'><resolution x='1920' y='1080'/></model></video>")
    connection = libvirt.open(uri)
    domain = connection.createXML(domain_xml(name, devices, screen=True, memory=SCREEN_MEMORY))
    try:
        with Console(["virsh", "-q", "-c", uri, "console", "--force", name]) as console:
            console.login(CONSOLE_LIMIT)
            graphics = ET.fromstring(domain.XMLDesc()).find("./devices/graphics")
            assert graphics is not None
            client = Client(socket.create_connection(("127.0.0.1", int(graphics.get("port", "0")))))
            # The first update may bring the screen's size alone.
            while (client.width, client.height) != (1920, 1080) or not client.update():
                client.request(incremental=False)
            # All of the screen once more, by what the guest draws.
            console.shell("printf '\\033[41m\\033[2J' >/dev/tty1")
            client.request()
            client.update()
            return process_memory(process_of(name), SCREEN_MEMORY << 20)
    finally:
        domain.destroy()
        connection.close()


def measure_screens(runs: int) -> "list[Row]":
    row = at_most("vnc-memory", "MiB", 0.5)
    for _ in range(runs):
        for uri in URIS:
            columns(row)[uri].append(screen_memory(uri))
    return [row]
