# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest's memory as the host sees it and changes it."""

import pathlib
from contextlib import contextmanager
from typing import Iterator

import libvirt

from lib.console import Console
from lib.guest import Lab, domain_xml
from lib.harness import check, say, test, wait_for

BALLOON = "<memballoon model='virtio' autodeflate='on'><stats period='1'/></memballoon>"


@test(limit=120)
def balloon_and_its_statistics() -> None:
    """The guest's own numbers come as often as asked; its memory follows setMemory."""
    with Lab() as lab:
        domain = lab.connection.defineXML(domain_xml(lab.name(), BALLOON))
        domain.create()
        console = lab.console(domain)
        console.login()
        wait_for("the guest's statistics", lambda: domain.memoryStats().get("unused", 0) > 0, 20)
        stats = domain.memoryStats()
        check(stats["actual"] == 160 << 10, f"all of it is the guest's: {stats}")
        check(0 < stats["unused"] <= stats["available"] < 160 << 10, f"the guest's numbers make sense: {stats}")
        check(stats["rss"] > 0 and stats["last_update"] > 0, f"and the host's: {stats}")

        both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
        domain.setMemoryStatsPeriod(7, both)
        check("<stats period='7'/>" in domain.XMLDesc(), "the period of the running guest")
        check("<stats period='7'/>" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "and of the next start")

        domain.setMemory(128 << 10)
        wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 128 << 10, 30)
        domain.setMemory(160 << 10)
        wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 160 << 10, 30)
        domain.destroy()


def memory_of(domain: libvirt.virDomain) -> int:
    """MiB of the host that the domain's process has, huge pages among them."""
    pid = pathlib.Path(f"/run/libvirt/vireo/{domain.name()}.pid").read_text().strip()
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return (int(fields["VmRSS"].split()[0]) + int(fields["HugetlbPages"].split()[0])) >> 10


@contextmanager
def huge_pages(number: int) -> Iterator[None]:
    """The host has these, of 2 MiB."""
    setting = pathlib.Path("/proc/sys/vm/nr_hugepages")
    setting.write_text(str(number))
    try:
        check(int(setting.read_text()) == number, "the host has huge pages to give")
        yield
    finally:
        setting.write_text("0")


def gives_back(lab: Lab, domain: libvirt.virDomain, console: Console) -> None:
    """What the guest frees, and what its balloon takes, leaves the process."""
    console.shell("mount -t tmpfs -o size=90m none /mnt")
    console.shell("dd if=/dev/zero of=/mnt/filled bs=1M count=64 2>/dev/null", 60)
    full = memory_of(domain)
    console.shell("rm /mnt/filled; echo 3 >/proc/sys/vm/drop_caches")
    wait_for("memory by free page reporting", lambda: memory_of(domain) < full - 48, 40)
    say(f"{full} MiB with the file, {memory_of(domain)} without it")

    console.shell("dd if=/dev/zero of=/mnt/filled bs=1M count=32 2>/dev/null; rm /mnt/filled", 60)
    domain.setMemory(96 << 10)
    wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 96 << 10, 40)
    wait_for("memory by the balloon", lambda: memory_of(domain) < 96 + 32, 20)
    say(f"{memory_of(domain)} MiB with 64 in the balloon")
    domain.setMemory(160 << 10)
    wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 160 << 10, 40)
    console.shell("dd if=/dev/zero of=/mnt/filled bs=1M count=64 2>/dev/null", 60)
    check(memory_of(domain) > full - 48, "it is there again when it is used")


@test(limit=120)
def what_a_guest_frees_leaves_the_process() -> None:
    with Lab() as lab:
        gives_back(lab, *lab.boot("<memballoon model='virtio'/>"))


@test(limit=120)
def what_a_guest_frees_leaves_a_shared_memfd() -> None:
    with Lab() as lab:
        gives_back(lab, *lab.boot("<memballoon model='virtio'/>", body="""<memoryBacking>
            <source type='memfd'/><access mode='shared'/></memoryBacking>"""))


@test(limit=120)
def what_a_guest_frees_leaves_the_huge_pages() -> None:
    with huge_pages(82), Lab() as lab:
        gives_back(lab, *lab.boot("<memballoon model='virtio'/>", body="""<memoryBacking>
            <hugepages><page size='2' unit='M'/></hugepages></memoryBacking>"""))
