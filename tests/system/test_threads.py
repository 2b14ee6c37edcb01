# SPDX-License-Identifier: LGPL-2.1-or-later
"""I/O threads, and memory before the guest's first instruction: virsh and what the host's kernel says."""

import json
import os
import pathlib
import re

from lib.daemon import daemon
from lib.guest import Lab, disk_xml, domain_xml, domstats, monitor_pid, virsh
from lib.harness import Skipped, check, say, test, wait_for

THREADS = """<iothreads>2</iothreads><iothreadids><iothread id='4'/><iothread id='7'/></iothreadids>
<cputune><iothreadpin iothread='4' cpuset='{last}'/></cputune>"""


def start_paused(lab: Lab, devices: str = "", **options: object) -> str:
    """A new domain that is paused before its first instruction; returns its name."""
    name = lab.name()
    path = os.path.join(lab.directory, "domain.xml")
    pathlib.Path(path).write_text(domain_xml(name, devices, **options), encoding="ascii")  # type: ignore[arg-type]
    virsh("define", path)
    virsh("start", "--paused", name)
    return name


def affinity(lab: Lab, name: str, iothread: int) -> str:
    """The processors that the kernel lets an I/O thread run on; "" if there is no such thread."""
    pid = monitor_pid(lab.connection.lookupByName(name))
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == f"IO iothread{iothread}":
            match = re.search(r"^Cpus_allowed_list:\s*(\S+)", (task / "status").read_text(), re.MULTILINE)
            return match[1] if match else "none"
    return ""


def polling(name: str) -> "dict[str, tuple[int, int, int]]":
    """{I/O thread: its parameters}, by domstats and by the monitor itself, which must agree."""
    stats = domstats(name, "--iothread")
    keys = ("poll-max-ns", "poll-grow", "poll-shrink")
    threads = {key.split(".")[1] for key in stats if key.startswith("iothread.") and key != "iothread.count"}
    found = {thread: tuple(int(stats[f"iothread.{thread}.{key}"]) for key in keys) for thread in threads}
    check(int(stats["iothread.count"]) == len(found), f"so many: {stats}")
    reply = json.loads(virsh("qemu-monitor-command", name, json.dumps({"execute": "query-iothreads"})))
    check(found == {entry["id"].removeprefix("iothread"): tuple(entry[key] for key in keys)
                    for entry in reply["return"]}, f"as the monitor has it: {found} {reply}")
    return found  # type: ignore[return-value]


def refused(mention: str, *arguments: str) -> None:
    said = virsh(*arguments, fails=True)
    check(mention in said, f"the error mentions {mention!r}: {said}")


@test(paused=True)
def iothreads_by_virsh() -> None:
    """iothreadadd, -pin, -set, -info and -del; what the kernel and domstats say of them."""
    last = max(os.sched_getaffinity(0))
    with Lab() as lab:
        disk = disk_xml(lab.empty_disk(4)).replace("<driver ", "<driver iothread='4' ")
        name = start_paused(lab, disk, body=THREADS.format(last=last))
        everywhere = affinity(lab, name, 7)
        check(affinity(lab, name, 4) == str(last), f"pinned from the start: {affinity(lab, name, 4)}")
        if os.cpu_count() == 1:
            say("there is one processor: whether a thread is pinned makes no difference")
        else:
            check(everywhere not in ("", str(last)), f"the other one is not: {everywhere}")
        check(set(polling(name)) == {"4", "7"}, "both are counted")

        virsh("iothreadadd", name, "9", "--live")
        check(affinity(lab, name, 9) == everywhere, "a new one runs anywhere")
        virsh("iothreadpin", name, "9", "0", "--live")
        check(affinity(lab, name, 9) == "0", "till it is pinned")
        listed = [line.split() for line in virsh("iothreadinfo", name).splitlines()]
        check(["4", str(last)] in listed and ["9", "0"] in listed and len(listed) == 3, f"iothreadinfo: {listed}")

        before = polling(name)
        check(len(set(before.values())) == 1 and before["9"][0] > 0, f"all by the defaults: {before}")
        virsh("iothreadset", name, "9", "--poll-max-ns", "50000", "--poll-grow", "3", "--poll-shrink", "4", "--live")
        check(polling(name) == {**before, "9": (50000, 3, 4)}, "that one's, and no other's")
        virsh("iothreadset", name, "9", "--poll-max-ns", "0")
        check(polling(name)["9"] == (0, 3, 4), "one of them")
        refused("3000000000", "iothreadset", name, "9", "--poll-max-ns", "3000000000")
        refused("no IOThread 5", "iothreadset", name, "5", "--poll-grow", "2")
        refused("thread_pool_min", "iothreadset", name, "9", "--thread-pool-min", "1")
        refused("definition", "iothreadset", name, "4", "--poll-grow", "2", "--config")
        check(polling(name)["9"] == (0, 3, 4), "nothing of that")

        refused("used by disk", "iothreaddel", name, "4")
        virsh("iothreaddel", name, "9")
        wait_for("the thread's end", lambda: not affinity(lab, name, 9))
        check(polling(name) == {"4": before["4"], "7": before["7"]}, "the others stay")


SCSI = """<controller type='scsi' index='1' model='virtio-scsi'><driver queues='2'/></controller>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>
  <target dev='sda' bus='scsi'/><address type='drive' controller='1' bus='0' target='0' unit='0'/></disk>"""


@test(paused=True)
def counters_of_queues() -> None:
    """virsh domstats has a line for each counter of each queue, of SCSI disks under their controller."""
    counters = ("requests", "bytes", "batches", "kicks", "interrupts", "polls")
    with Lab() as lab:
        disk = disk_xml(lab.empty_disk(4)).replace("<driver ", "<driver queues='3' ")
        name = start_paused(lab, disk + SCSI.format(path=lab.empty_disk(4)))
        stats = domstats(name, "--block")
        check(stats["block.0.queue.count"] == "3" and "block.1.queue.count" not in stats, f"the disks' own: {stats}")
        check(stats["scsi.count"] == "2" and stats["scsi.1.queue.count"] == "4", f"the controller's: {stats}")
        for prefix in ("block.0.queue.2", "scsi.1.queue.3"):
            check({key: stats.get(f"{prefix}.{key}") for key in counters} == {key: "0" for key in counters},
                  f"{prefix}, nothing done: {stats}")


MEMORY = 160  # MiB


def ram_of(lab: Lab, name: str) -> "tuple[int, list[str], str]":
    """Of the mapping that the guest's memory is in: KiB present, the kernel's flags, and the file."""
    pid = monitor_pid(lab.connection.lookupByName(name))
    text = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.MULTILINE):
        size = re.search(r"^Size:\s+(\d+)", mapping, re.MULTILINE)
        # Adjacent mappings of the same kind are one for the kernel.
        if size and MEMORY << 10 <= int(size[1]) < (MEMORY << 10) * 2 and "VmFlags:" in mapping:
            present = re.search(r"^Rss:\s+(\d+)", mapping, re.MULTILINE)
            flags = re.search(r"^VmFlags:(.*)", mapping, re.MULTILINE)
            assert present and flags
            return int(present[1]), flags[1].split(), " ".join(mapping.splitlines()[0].split()[5:])
    raise AssertionError("no mapping of the guest's memory")


def backing(lab: Lab, elements: str) -> "tuple[int, list[str], str]":
    name = start_paused(lab, memory=MEMORY, body=f"<memoryBacking>{elements}</memoryBacking>" if elements else "")
    found = ram_of(lab, name)
    say(f"{elements or 'by default'}: {found}")
    virsh("destroy", name)
    return found


@test(paused=True)
def memory_before_the_guest_runs() -> None:
    """What <memoryBacking> says is what the kernel was told: when pages are there, of what size, whether merged."""
    huge, merge = (pathlib.Path(f"/sys/kernel/mm/{name}").exists() for name in ("transparent_hugepage", "ksm"))
    with Lab() as lab:
        present, flags, _ = backing(lab, "")
        check(present < MEMORY << 9, f"pages come when they are used: {present} KiB")
        check(not huge or "hg" in flags, f"huge pages where the host has them: {flags}")
        check(not merge or "mg" in flags, f"merged where the host does that: {flags}")
        check("mg" not in backing(lab, "<nosharepages/>")[1], "not where that is not wanted")
        present, _, _ = backing(lab, "<allocation mode='immediate' threads='3'/>")
        check(present >= MEMORY << 10, f"all of it from the start: {present} KiB")
        present, _, path = backing(lab, "<source type='memfd'/><access mode='shared'/>"
                                        "<allocation mode='immediate' threads='2'/>")
        check(present >= MEMORY << 10 and "memfd:" in path, f"that of a memfd, too: {present} KiB of {path}")
        present, _, path = backing(lab, "<source type='file'/><access mode='shared'/><discard/>")
        check(path.startswith("/run/libvirt/vireo/"), f"a file, in the domain's directory: {path}")
        check(not os.path.exists(path), "which goes with it")
        if not huge:
            say("the host's kernel has no transparent huge pages")
        if not merge:
            say("the host's kernel merges no pages (KSM)")


AUTO = "<numatune><memory mode='strict' placement='auto'/></numatune>"
NUMAD = pathlib.Path("/usr/bin/numad")


@test(paused=True, alone=True)
def placement_by_numad() -> None:
    """What numad advises is where memory is bound, and where the threads run, for a daemon that starts again, too.

    Without numad that is refused.
    """
    if "VIREO_KVM_HOST" not in os.environ:
        raise Skipped("numad's place is taken by a program of the test's, which a machine that is used should not have")
    asked = pathlib.Path("/run/numad-was-asked")
    with Lab() as lab:
        domain = lab.define(body=AUTO)
        name = domain.name()
        NUMAD.unlink(missing_ok=True)
        refused("numad", "start", name)
        NUMAD.write_text(f'#!/bin/sh\necho "$@" >{asked}\necho 0\n', encoding="ascii")
        NUMAD.chmod(0o755)
        virsh("start", "--paused", name)
        check(asked.read_text() == "-w 1:160\n", f"asked for a place for so much: {asked.read_text()}")
        pid = monitor_pid(domain)
        policies = {line.split()[1] for line in pathlib.Path(f"/proc/{pid}/numa_maps").read_text().splitlines()}
        check("bind:0" in policies, f"memory is bound: {policies}")
        NUMAD.unlink()

        def shown() -> None:
            check(re.search(r"numa_nodeset\s*: 0", virsh("numatune", name, "--live")), "numatune says where")
            cpus = set(pathlib.Path("/sys/devices/system/node/node0/cpulist").read_text().split())
            lines = (virsh("vcpupin", name) + virsh("emulatorpin", name)).splitlines()
            pinned = {line.split()[-1] for line in lines if line.strip()}
            check(pinned == cpus, f"and the pinnings: {pinned}, {cpus}")

        shown()
        daemon.restart()
        lab.reconnect()
        shown()
        polled = start_paused(lab, body=THREADS.format(last=0))
        virsh("iothreadset", polled, "7", "--poll-max-ns", "77")
        daemon.restart()
        lab.reconnect()
        check(polling(polled)["7"][0] == 77, "how threads poll is the monitor's to know")


@test(paused=True)
def period_of_the_balloon() -> None:
    """virsh dommemstat --period is what the monitor has."""
    with Lab() as lab:
        name = start_paused(lab, "<memballoon model='virtio'><stats period='3'/></memballoon>")

        def period() -> int:
            query = {"execute": "qom-get", "arguments": {"path": "/machine/peripheral/balloon0",
                                                         "property": "guest-stats-polling-interval"}}
            return int(json.loads(virsh("qemu-monitor-command", name, json.dumps(query)))["return"])

        check(period() == 3, f"from the start: {period()}")
        virsh("dommemstat", name, "--period", "8", "--live")
        check(period() == 8 and "<stats period='8'/>" in virsh("dumpxml", name), f"changed: {period()}")
        check("<stats period='3'/>" in virsh("dumpxml", "--inactive", name), "not the next start's")
        virsh("dommemstat", name, "--period", "0", "--live", "--config")
        check(period() == 0 and "<stats" not in virsh("dumpxml", "--inactive", name), "and turned off")
