# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest's memory as the host sees it and changes it."""

import hashlib
import json
import os
import pathlib
import re
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from typing import Iterator

import libvirt

from lib.console import Console
from lib.guest import Lab, disk_xml, domain_xml, domstats, virsh
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
        deflates_when_memory_is_used_up(domain, console)
        domain.setMemory(160 << 10)
        wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 160 << 10, 30)
        rates_of_writing(domain, console)
        domain.destroy()


def dirty_rate(domain: libvirt.virDomain, mode: str) -> int:
    """MiB that the guest writes in a second, measured for two."""
    virsh("domdirtyrate-calc", domain.name(), "--seconds", "2", "--mode", mode)
    stats = {}

    def measured() -> bool:
        stats.update(domstats(domain.name(), "--dirtyrate"))
        return stats["dirtyrate.calc_status"] == "2"

    wait_for("the dirty rate", measured, 20)
    check(stats["dirtyrate.calc_mode"] == mode and stats["dirtyrate.calc_period"] == "2", f"as asked: {stats}")
    rate = int(stats["dirtyrate.megabytes_per_second"])
    check(0 <= rate <= 160 / 2, f"no more than there is: {rate} MiB/s")
    return rate


def rates_of_writing(domain: libvirt.virDomain, console: Console) -> None:
    """A guest that writes its memory is seen to, by either way of measuring; an idle one is not."""
    modes = ("page-sampling", "dirty-bitmap")
    idle = {mode: dirty_rate(domain, mode) for mode in modes}
    console.shell("mount -t tmpfs -o size=40m none /mnt")
    # Other bytes each time: what is written with what it has is no change to who looks at samples.
    console.shell("(while :; do dd if=/dev/urandom bs=1M count=32 conv=notrunc of=/mnt/written; done) "
                  ">/dev/null 2>&1 & echo $! >/tmp/writer")
    wait_for("the writer", lambda: int(console.shell("stat -c %s /mnt/written").strip()) == 32 << 20, 30)
    say(f"idle: {idle} MiB/s")
    for mode in modes:
        # A guest on a busy host writes little in two seconds, and samples are few.
        wait_for(f"the guest to be seen to write by {mode}",
                 lambda: dirty_rate(domain, mode) > idle[mode], 40)  # pylint: disable=cell-var-from-loop
    console.shell("kill $(cat /tmp/writer)")
    said = virsh("domdirtyrate-calc", domain.name(), "--seconds", "1", "--mode", "dirty-ring", fails=True)
    check("mode dirty-ring" in said, f"refused by its name: {said}")


def deflates_when_memory_is_used_up(domain: libvirt.virDomain, console: Console) -> None:
    """The guest takes back what it needs, although nobody said that it may (autodeflate)."""
    console.shell("mount -t tmpfs -o size=150m none /mnt; dd if=/dev/zero of=/mnt/filled bs=1M count=16 2>/dev/null", 60)
    check(domain.memoryStats()["actual"] == 128 << 10, "while there is enough, it takes nothing")
    available = int(console.shell("grep MemAvailable /proc/meminfo").split()[1]) >> 10
    console.shell(f"dd if=/dev/zero of=/mnt/more bs=1M count={available + 12} 2>/dev/null", 90)
    say(f"{available} MiB were left; 12 MiB more than that, and the guest has {domain.memoryStats()['actual']} KiB")
    check(128 << 10 < domain.memoryStats()["actual"] <= 160 << 10, "it took some back")
    console.shell("umount /mnt")


def process_file(domain: libvirt.virDomain, name: str) -> str:
    """What is in a file of /proc of the domain's process."""
    pid = pathlib.Path(f"/run/libvirt/vireo/{domain.name()}.pid").read_text().strip()
    return pathlib.Path(f"/proc/{pid}/{name}").read_text()


def memory_of(domain: libvirt.virDomain) -> int:
    """MiB of the host that the domain's process has, huge pages among them."""
    fields = dict(line.split(":", 1) for line in process_file(domain, "status").splitlines())
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

    def left() -> bool:
        # A huge page goes when the last of its small ones is free or in the balloon: the guest has to move others.
        console.shell("echo 1 >/proc/sys/vm/compact_memory")
        return memory_of(domain) < 96 + 32

    wait_for("memory by the balloon", left, 20, 1)
    say(f"{memory_of(domain)} MiB with 64 in the balloon")
    domain.setMemory(160 << 10)
    wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 160 << 10, 40)
    console.shell("dd if=/dev/zero of=/mnt/filled bs=1M count=64 2>/dev/null", 60)
    check(memory_of(domain) > full - 48, "it is there again when it is used")


@test(limit=120)
def what_a_guest_frees_leaves_the_process() -> None:
    with Lab() as lab:
        gives_back(lab, *lab.boot("<memballoon model='virtio'/>"))


SHARED_MEMFD = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
# What a kernel of Linux 4.20 to 5.6 has of it, which libvirt has no word for.
HINTING_BALLOON = """<vireo:commandline xmlns:vireo='http://libvirt.org/schemas/domain/vireo/1.0'>
  <vireo:arg value='-device'/>
  <vireo:arg value='virtio-balloon-pci,id=hinting,addr=0x1e,free-page-reporting=off,free-page-hint=on,\
x-vireo-free-page-hint-interval=3000'/>
</vireo:commandline>"""


def hint_counters(domain: libvirt.virDomain) -> "dict[str, int]":
    query = {"execute": "qom-get",
             "arguments": {"path": "/machine/peripheral/hinting", "property": "x-vireo-free-page-hints"}}
    counters: "dict[str, int]" = json.loads(virsh("qemu-monitor-command", domain.name(), json.dumps(query)))["return"]
    return counters


def wait_for_rounds(domain: libvirt.virDomain, number: int) -> None:
    wanted = hint_counters(domain)["rounds"] + number
    wait_for(f"{number} rounds of hints", lambda: hint_counters(domain)["rounds"] >= wanted, 60)


@test(limit=120)
def what_a_guest_hints_leaves_a_shared_memfd() -> None:
    """Free page hints: what was freed leaves the process, and what was written stays as it was."""
    with Lab() as lab:
        domain, console = lab.boot("<memballoon model='none'/>", body=SHARED_MEMFD + HINTING_BALLOON)
        console.shell("mount -t tmpfs -o size=90m none /mnt")
        console.shell("dd if=/dev/urandom of=/mnt/kept bs=1M count=8 2>/dev/null", 60)
        kept = console.shell("md5sum </mnt/kept")
        console.shell("dd if=/dev/zero of=/mnt/filled bs=1M count=64 2>/dev/null", 60)
        full = memory_of(domain)
        console.shell("rm /mnt/filled; echo 3 >/proc/sys/vm/drop_caches")
        wait_for("memory by hints", lambda: memory_of(domain) < full - 40, 60)
        say(f"{full} MiB with the file, {memory_of(domain)} without it; {hint_counters(domain)}")

        # Written and freed while rounds go on.
        for _ in range(2):
            console.shell("cat /mnt/kept /mnt/kept /mnt/kept >/mnt/copy", 60)
            wait_for_rounds(domain, 1)
            check(console.shell("dd if=/mnt/copy bs=8M skip=2 2>/dev/null | md5sum", 60) == kept, "the copy is right")
            console.shell("rm /mnt/copy")
        check(console.shell("md5sum </mnt/kept") == kept, "what the guest wrote is as it was")
        counters = hint_counters(domain)
        say(f"{counters}")
        check(40 << 20 <= counters["discarded-bytes"] <= counters["hinted-bytes"], "and the counters say so")


@test(limit=120)
def what_a_guest_frees_leaves_the_huge_pages() -> None:
    with huge_pages(82), Lab() as lab:
        gives_back(lab, *lab.boot("<memballoon model='virtio'/>", body="""<memoryBacking>
            <hugepages><page size='2' unit='M'/></hugepages></memoryBacking>"""))


NODES = """
<numatune><memory mode='strict' nodeset='0'/><memnode cellid='1' mode='interleave' nodeset='0'/></numatune>
<memoryBacking><nosharepages/><locked/><source type='file'/><access mode='private'/><discard/></memoryBacking>
"""
CELLS = """<cpu mode='host-passthrough'><numa>
  <cell id='0' cpus='0' memory='128' unit='MiB'>
    <distances><sibling id='0' value='10'/><sibling id='1' value='23'/></distances>
  </cell>
  <cell id='1' cpus='1' memory='96' unit='MiB'/>
</numa></cpu>"""


RESTRICTIVE = """<numatune><memory mode='restrictive' nodeset='0'/></numatune>
<iothreads>1</iothreads>"""


def memory_nodes(domain: libvirt.virDomain) -> "dict[str, str]":
    """{thread: where its cgroup lets it take memory from}, of the domain's threads."""
    pid = int(pathlib.Path(f"/run/libvirt/vireo/{domain.name()}.pid").read_text())
    nodes = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        cgroup = (task / "cgroup").read_text().split("::")[1].strip()
        nodes[(task / "comm").read_text().strip()] = \
            pathlib.Path(f"/sys/fs/cgroup{cgroup}/cpuset.mems").read_text().strip()
    return nodes


def restrictive(lab: Lab) -> None:
    """In this mode it is the threads' cgroups that say where memory is from, and that can change."""
    domain = lab.define(body=RESTRICTIVE)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    nodes = memory_nodes(domain)
    say(f"threads by cgroup: {nodes}")
    check({"CPU 0/KVM", "IO iothread1"} <= set(nodes) and set(nodes.values()) == {"0"}, f"every thread's: {nodes}")
    check("bind" not in process_file(domain, "numa_maps"), "nothing is bound by itself")
    virsh("numatune", domain.name(), "--nodeset", "0", "--live")
    shown = virsh("numatune", domain.name(), "--live")
    check("restrictive" in shown and re.search(r"numa_nodeset\s*: 0", shown), f"as it was set: {shown}")
    check("mode" in virsh("numatune", domain.name(), "--mode", "strict", "--live", fails=True), "the mode stays")
    virsh("numatune", domain.name(), "--nodeset", "63", "--live", fails=True)
    check(memory_nodes(domain) == nodes, "and nothing changed by what is not possible")
    domain.destroy()


def registered(domain: libvirt.virDomain) -> int:
    """How many requests of its disk went by memory that is registered with the kernel."""
    stats = domstats(domain.name(), "--block")
    return sum(int(stats[f"block.0.queue.{i}.registered"]) for i in range(int(stats["block.0.queue.count"])))


def locked_memory_stays(domain: libvirt.virDomain, console: Console, disk: str) -> None:
    """What is in the balloon stays with the process, whose disk reads into the same pages as ever."""
    before, size = memory_of(domain), domain.info()[1] >> 10
    for target in (size - 48, size):
        virsh("setmem", domain.name(), f"{target}M", "--live")
        wait_for("the balloon", lambda mib=target: domain.memoryStats()["actual"] == mib << 10, 40)  # type: ignore[misc]
        check(memory_of(domain) > before - 16, f"of {before} MiB {memory_of(domain)} with {target} out of the balloon")
    with open(disk, "rb") as file:
        expected = hashlib.md5(file.read()).hexdigest()
    check(console.shell("md5sum /dev/vda", 60).split()[0] == expected, "the disk, read into all of these pages")
    count = registered(domain)
    console.shell("dd if=/dev/vda of=/dev/null bs=4k count=64 iflag=direct 2>/dev/null")
    check(registered(domain) >= count + 64, f"by registered memory: {count}, then {registered(domain)}")


@test(limit=120)
def guest_nodes_on_host_nodes() -> None:
    """The guest sees its nodes, and each one's memory, of files, is where the host was told to have it."""
    with Lab() as lab:
        restrictive(lab)
        disk = lab.empty_disk(32)
        pathlib.Path(disk).write_bytes(os.urandom(32 << 20))
        xml = domain_xml(lab.name(), "<memballoon model='virtio'/>" + disk_xml(disk), memory=224, vcpus=2, body=NODES)
        domain = lab.connection.defineXML(xml.replace("<cpu mode='host-passthrough'/>", CELLS))
        domain.create()
        policies = [line.split()[1] for line in process_file(domain, "numa_maps").splitlines()]
        check("bind:0" in policies and "interleave:0" in policies, f"the host was told where: {set(policies)}")
        check("VmLck:\t       0 kB" not in process_file(domain, "status"), "memory is locked")
        smaps = process_file(domain, "smaps")
        check(not any(" mg" in line for line in smaps.splitlines() if line.startswith("VmFlags")),
              "none of it is merged")
        check(len(set(re.findall(r"/run/libvirt/vireo/\S+/ram-node[01]\b", smaps))) == 2, "each node has a file")

        console = lab.console(domain)
        console.login()
        nodes = "/sys/devices/system/node"
        for node, (cpus, distance, size) in enumerate((("0", "10 23", 128), ("1", "23 10", 96))):
            check(console.shell(f"cat {nodes}/node{node}/cpulist").strip() == cpus, f"CPU {cpus} is in node {node}")
            check(console.shell(f"cat {nodes}/node{node}/distance").strip() == distance, f"it is {distance} away")
            total = int(console.shell(f"grep MemTotal {nodes}/node{node}/meminfo").split()[3])
            check(size * 1024 * 0.6 < total <= size * 1024, f"node {node} has {total} KiB of {size} MiB")
        locked_memory_stays(domain, console, disk)


MEMORY_DEVICE = """<memory model='virtio-mem'>
  {source}
  <target><size unit='MiB'>1024</size><node>0</node><block unit='MiB'>2</block>
    <requested unit='MiB'>{requested}</requested></target>
  {address}
</memory>"""


def memory_devices(domain: libvirt.virDomain) -> "list[ET.Element]":
    return ET.fromstring(domain.XMLDesc()).findall("devices/memory")


def current(domain: libvirt.virDomain, index: int = 0) -> int:
    """MiB that the guest has of a memory device."""
    return int(memory_devices(domain)[index].findtext("target/current", "0")) >> 10


def update_memory(domain: libvirt.virDomain, requested: int, index: int = 0) -> None:
    device = memory_devices(domain)[index]
    target = device.find("target/requested")
    check(target is not None, "the device has a requested size")
    target.text = str(requested << 10)  # type: ignore[union-attr]
    domain.updateDeviceFlags(ET.tostring(device, "unicode"))


@test(limit=100)
def memory_that_grows_and_shrinks() -> None:
    """virtio-mem at start, changed, attached and detached; the guest has what it was given and uses it."""
    with Lab() as lab:
        xml = domain_xml(lab.name(), MEMORY_DEVICE.format(requested=0, source="", address=""), memory=256,
                         head="<maxMemory slots='2' unit='MiB'>4096</maxMemory>")
        xml = xml.replace("<cpu mode='host-passthrough'/>", """<cpu mode='host-passthrough'><numa>
            <cell id='0' cpus='0' memory='256' unit='MiB'/></numa></cpu>""")
        domain = lab.connection.defineXML(xml.replace("console=", "memhp_default_state=online_movable console="))
        domain.create()
        console = lab.console(domain)
        console.login()
        before = total_memory(console)
        check(current(domain) == 0, "the guest has none of it at first")

        update_memory(domain, 256)
        wait_for("the guest to take 256 MiB", lambda: current(domain) == 256, 40)
        check(total_memory(console) > before + 220, "they are the guest's")
        console.shell("mount -t tmpfs -o size=200m none /mnt; dd if=/dev/zero of=/mnt/filled bs=1M count=150 2>/dev/null",
                      60)
        check(memory_of(domain) > 150, "and it can use them")
        console.shell("umount /mnt; echo 3 >/proc/sys/vm/drop_caches")

        update_memory(domain, 0)
        wait_for("the guest to give them back", lambda: current(domain) == 0, 60)
        check(total_memory(console) <= before + 16, "they are gone")

        domain.attachDeviceFlags(MEMORY_DEVICE.format(requested=128, source="", address=""))
        wait_for("the guest to take 128 MiB of the new one", lambda: current(domain, 1) == 128, 40)
        check(total_memory(console) > before + 100, "they are the guest's, too")
        try:
            domain.detachDeviceFlags(ET.tostring(memory_devices(domain)[1], "unicode"))
            raise AssertionError("a device that the guest uses was detached")
        except libvirt.libvirtError as error:
            check("the guest uses its memory" in str(error), f"the reason is named: {error}")
        update_memory(domain, 0, 1)
        wait_for("the guest to give them back", lambda: current(domain, 1) == 0, 60)
        domain.detachDeviceFlags(ET.tostring(memory_devices(domain)[1], "unicode"))
        wait_for("the device to go", lambda: len(memory_devices(domain)) == 1, 20)
        console.shell("true")


def total_memory(console: Console) -> int:
    """MiB that the guest's kernel counts."""
    return int(console.shell("grep MemTotal /proc/meminfo").split()[1]) >> 10
