# SPDX-License-Identifier: LGPL-2.1-or-later
"""Domains of the test guest, made through libvirt and gone when their test ends."""

import os
import pathlib
import shutil
import tempfile
import uuid
import xml.etree.ElementTree as ET
from typing import Callable, Optional

import libvirt

from .console import Console
from .harness import check, command, say, wait_for

URI = os.environ.get("VIREO_TEST_URI", "vireo:///system")
KIT = os.environ.get("VIREO_TEST_KIT", "/var/lib/vireo-test-kit")
IMAGES = os.environ.get("VIREO_TEST_IMAGES", "/var/lib/vireo-test-kit")
NETWORK = "vireo-test"
NETWORK_HOST = "192.168.150.1"

# What a kernel does at boot that takes seconds on an emulated processor and shows nothing here.
# The tests that say fast=False leave it all in.
FAST_BOOT = "cryptomgr.notests pci=lastbus=0 mitigations=off"

# Errors are expected by some tests and shown by the harness in the others.
libvirt.registerErrorHandler(lambda _context, _error: None, None)


def virsh(*arguments: str, fails: bool = False) -> str:
    """What a user would type."""
    return command("virsh", "-q", "-c", URI, *arguments, fails=fails)


def domstats(name: str, *groups: str) -> "dict[str, str]":
    """What virsh domstats prints."""
    lines = virsh("domstats", name, *groups).splitlines()
    return dict(line.strip().split("=", 1) for line in lines if "=" in line)


def disk_xml(path: str, target: str = "vda", extra: str = "") -> str:
    return (f"<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            f"<source file='{path}'/><target dev='{target}' bus='virtio'/>{extra}</disk>")


def network_xml(mac: str = "") -> str:
    address = f"<mac address='{mac}'/>" if mac else ""
    return f"<interface type='network'>{address}<source network='{NETWORK}'/><model type='virtio'/></interface>"


def passt_xml() -> str:
    return "<interface type='user'><model type='virtio'/></interface>"


def domain_xml(name: str, devices: str = "", *, root: bool = False, memory: int = 160, vcpus: int = 1,
               fast: bool = True, body: str = "", head: str = "", boot: str = "", screen: bool = False) -> str:
    """A domain that boots the distribution's kernel directly; root: its system is on /dev/vda.

    boot: an <os> of the caller's own instead; screen: the kernel is the one with graphics.
    """
    variant = "-screen" if screen else ""
    arguments = f"console=ttyS0 quiet {'root=/dev/vda rw ' if root else ''}{FAST_BOOT if fast else ''}".strip()
    direct = f"""<os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{KIT}/vmlinux{variant}</kernel>
    <initrd>{KIT}/initrd{variant}</initrd>
    <cmdline>{arguments}</cmdline>
  </os>"""
    return f"""
<domain type='kvm'>
  <name>{name}</name>
  {head}
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  {boot or direct}
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'/>
  {body}
  <devices>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    {devices}
  </devices>
</domain>"""


class Lab:
    """What one test makes: a connection, a directory, domains; all of it gone at the end."""

    def __init__(self) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:6]}"
        self.names: list[str] = []
        self.consoles: list[Console] = []

    def __enter__(self) -> "Lab":
        self.connection = libvirt.open(URI)
        self.directory = tempfile.mkdtemp(prefix=f"{self.prefix}-", dir="/var/lib/libvirt/images")
        os.chmod(self.directory, 0o755)
        return self

    def __exit__(self, *_: object) -> None:
        for console in self.consoles:
            console.close()
        # The test may have ended the daemon that the connection was to.
        if not self.connection.isAlive():
            self.reconnect()
        for name in self.names:
            try:
                domain = self.connection.lookupByName(name)
            except libvirt.libvirtError:
                continue
            persistent = domain.isPersistent()
            if domain.isActive():
                domain.destroy()
            if persistent:
                domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        self.connection.close()
        shutil.rmtree(self.directory)

    def reconnect(self) -> None:
        """A new connection, as soon as there is a daemon again."""

        def connect() -> Optional[libvirt.virConnect]:
            try:
                return libvirt.open(URI)
            except libvirt.libvirtError:
                return None

        self.connection = wait_for("a connection to the daemon", connect, 30)

    def name(self, suffix: str = "") -> str:
        """A new domain name; a domain of that name goes when the test ends."""
        name = f"{self.prefix}{suffix or len(self.names)}"
        self.names.append(name)
        return name

    def define(self, devices: str = "", **options: object) -> libvirt.virDomain:
        domain = self.connection.defineXML(domain_xml(self.name(), devices, **options))  # type: ignore[arg-type]
        check(not domain.isActive(), "a new definition is not active")
        return domain

    def start(self, devices: str = "", **options: object) -> libvirt.virDomain:
        domain = self.define(devices, **options)
        domain.create()
        say(f"started {domain.name()}")
        return domain

    def boot(self, devices: str = "", **options: object) -> "tuple[libvirt.virDomain, Console]":
        """A domain that has been started, and its console, whose shell answers."""
        domain = self.start(devices, **options)
        console = self.console(domain)
        console.login()
        return domain, console

    def console(self, domain: libvirt.virDomain) -> Console:
        name = domain.name()
        console = Console(["virsh", "-q", "-c", URI, "console", "--force", name], name)
        self.consoles.append(console)
        return console

    def root_disk(self) -> str:
        """A copy of the guest's root disk."""
        path = os.path.join(self.directory, f"root{len(os.listdir(self.directory))}.img")
        command("cp", "--sparse=always", f"{KIT}/root.img", path)
        return path

    def boot_disk(self) -> str:
        """A copy of the disk that firmware boots (tests/kvm-host/boot-disk)."""
        path = os.path.join(self.directory, f"boot{len(os.listdir(self.directory))}.img")
        command("cp", "--sparse=always", f"{KIT}/boot.img", path)
        return path

    def stock_disk(self) -> str:
        """A copy of the distribution's system (tests/kvm-host/stock-image)."""
        path = os.path.join(self.directory, f"stock{len(os.listdir(self.directory))}.img")
        command("cp", "--sparse=always", f"{IMAGES}/stock.img", path)
        return path

    def empty_disk(self, mebibytes: int) -> str:
        path = os.path.join(self.directory, f"disk{len(os.listdir(self.directory))}.img")
        with open(path, "wb") as file:
            file.truncate(mebibytes << 20)
        return path


def wait_for_state(domain: libvirt.virDomain, state: int, limit: float = 30) -> int:
    """Waits for a virDomainState and returns its reason."""
    wait_for(f"state {state} of {domain.name()}", lambda: domain.state()[0] == state, limit)
    return domain.state()[1]


def device_count(domain: libvirt.virDomain, kind: str) -> int:
    """How many devices of an XML element's name the live domain has."""
    return len(ET.fromstring(domain.XMLDesc()).findall(f"./devices/{kind}"))


def monitor_pid(domain: libvirt.virDomain) -> int:
    """The process id of the domain's monitor process."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if any(argument.startswith(f"guest={domain.name()},".encode()) for argument in arguments):
            return int(path.parent.name)
    raise AssertionError(f"{domain.name()} has no process")


def vhost_threads(pid: int) -> int:
    """How many threads of the kernel serve queues of a process."""
    names = (path.read_text().strip() for path in pathlib.Path("/proc").glob("[0-9]*/comm"))
    return sum(name == f"vhost-{pid}" for name in names)


def refused(action: Callable[[], object], mention: str, code: Optional[int] = None) -> None:
    """Checks that libvirt refuses, with an error that mentions something."""
    try:
        action()
    except libvirt.libvirtError as error:
        say(f"refused: {error}")
        check(mention.lower() in str(error).lower(), f"the error mentions {mention!r}: {error}")
        check(code in (None, error.get_error_code()), f"error code {code}, not {error.get_error_code()}")
    else:
        raise AssertionError("not refused")
