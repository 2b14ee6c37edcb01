# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks: what is written stays, and disks come and go while the guest runs."""

import contextlib
import hashlib
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import libvirt

from lib.console import Console
from lib.daemon import daemon
from lib.failing import FailingDevice
from lib.guest import URI, Lab, device_count, disk_xml, domstats, network_xml, refused, virsh, wait_for_state
from lib.harness import PATIENCE, check, command, test, wait_for
from lib.images import qcow2_xml


@test(limit=150)
def write_survives_reboot() -> None:
    """What a guest writes to its root disk is there in its next life."""
    with Lab() as lab:
        domain, console = lab.boot(disk_xml(lab.root_disk()), root=True)
        check("/dev/vda" in console.shell("mount | grep ' / '"), "the root is the disk")
        console.shell("dd if=/dev/urandom of=/root/data bs=64k count=16")
        digest = console.shell("sha256sum </root/data")
        console.shell("sync")
        console.send("reboot\n")
        console.expect("guest: up", 60)
        console.login()
        check(console.shell("sha256sum </root/data") == digest, "the file is the same after a reboot")
        domain.destroy()
        domain.create()
        again = lab.console(domain)
        again.login()
        check(again.shell("sha256sum </root/data") == digest, "and after a new start")


@test()
def bytes_reach_the_file() -> None:
    """The bytes that the guest wrote and flushed are in the image, where it put them."""
    with Lab() as lab:
        path = lab.empty_disk(8)
        domain, console = lab.boot(disk_xml(path))
        check(console.shell("cat /sys/block/vda/size") == str(8 << 11), "the size is the file's")
        console.shell("dd if=/dev/urandom of=/dev/vda bs=4k seek=100 count=10 conv=fsync")
        inside = console.shell("dd if=/dev/vda bs=4k skip=100 count=10 2>/dev/null | sha256sum").split()[0]
        domain.destroy()
        with open(path, "rb") as file:
            file.seek(100 * 4096)
            check(hashlib.sha256(file.read(40960)).hexdigest() == inside, "the file has what the guest wrote")


@test()
def read_only_and_serial() -> None:
    with Lab() as lab:
        path = lab.empty_disk(4)
        _, console = lab.boot(disk_xml(path, "vda", "<readonly/><serial>VRO-1</serial>"))
        check(console.shell("cat /sys/block/vda/ro") == "1", "read-only")
        check(console.shell("cat /sys/block/vda/serial") == "VRO-1", "the serial number")
        console.shell("dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null", status=1)


@test(limit=120)
def attach_and_detach() -> None:
    with Lab() as lab:
        domain, console = lab.boot(disk_xml(lab.empty_disk(4)))
        xml = disk_xml(lab.empty_disk(16), "vdb")
        domain.attachDevice(xml)
        check(device_count(domain, "disk") == 2, "two disks in the live XML")
        wait_for("the disk in the guest", lambda: console.shell("ls /sys/block").split().count("vdb"), 20)
        check(console.shell("cat /sys/block/vdb/size") == str(16 << 11), "its size")
        console.shell("echo hello >/dev/vdb; sync; head -c 5 /dev/vdb")
        refused(lambda: domain.detachDeviceAlias("virtio-disk7"), "virtio-disk7")
        alias = ET.fromstring(domain.XMLDesc()).find("./devices/disk[2]/alias")
        assert alias is not None
        domain.detachDeviceAlias(alias.get("name", ""))
        wait_for("the disk left the XML", lambda: device_count(domain, "disk") == 1, 30)
        wait_for("the disk left the guest", lambda: "vdb" not in console.shell("ls /sys/block").split(), 20)
        check("vdb" not in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "the definition is unchanged")
        # The slot is free again.
        domain.attachDevice(xml)
        wait_for("the disk is back", lambda: "vdb" in console.shell("ls /sys/block").split(), 20)


@test()
def attached_before_first_instruction() -> None:
    """What is attached to a guest that was started paused is there when its kernel looks."""
    with Lab() as lab:
        domain = lab.define(disk_xml(lab.empty_disk(4)))
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        domain.attachDevice(disk_xml(lab.empty_disk(8), "vdb"))
        domain.attachDevice(network_xml())
        domain.resume()
        console = lab.console(domain)
        console.login()
        check(console.shell("cat /sys/block/vdb/size") == str((8 << 20) // 512), "the disk, with its size")
        console.shell("dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync")
        check("eth0" in console.shell("ls /sys/class/net"), "the card")


@test()
def statistics() -> None:
    with Lab() as lab:
        disk = disk_xml(lab.empty_disk(8)).replace("<driver ", "<driver iothread='4' ")
        domain, console = lab.boot(disk, body="""<iothreads>1</iothreads>
            <iothreadids><iothread id='4'/></iothreadids>
            <cputune><iothreadpin iothread='4' cpuset='0'/></cputune>""")
        before = domain.blockStats("vda")
        console.shell("dd if=/dev/zero of=/dev/vda bs=64k count=16 conv=fsync")
        after = domain.blockStats("vda")
        check(after[3] - before[3] >= 1 << 20, f"a mebibyte written: {before} {after}")
        check(domain.blockInfo("vda")[0] == 8 << 20, "the capacity")
        [(_, stats)] = lab.connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_BLOCK)
        queue = {name: stats[f"block.0.queue.0.{name}"] for name in ("requests", "bytes", "batches", "interrupts")}
        check(stats["block.0.queue.count"] >= 1 and 1 << 20 <= queue["bytes"],
              f"what the queue did: {queue}")
        check(0 < queue["interrupts"] <= queue["batches"] <= queue["requests"], f"in batches: {queue}")
        check(stats["block.0.queue.0.kicks"] + stats["block.0.queue.0.polls"] > 0, f"of which it heard: {stats}")


READ = "dd if=/dev/%s of=/dev/null bs=4k count=%d iflag=direct 2>/dev/null"


def seconds(console, disk: str, count: int) -> float:
    """How long @count reads of the guest take, by the host's clock."""
    start = time.monotonic()
    console.shell(READ % (disk, count))
    return time.monotonic() - start


@test(limit=120)
def limited_speed() -> None:
    """Limits from the XML hold from the start; blkdeviotune changes them while the guest reads."""
    with Lab() as lab:
        tune = "<iotune><read_iops_sec>10</read_iops_sec></iotune>"
        domain, console = lab.boot(disk_xml(lab.empty_disk(8), "vda", tune))
        check(domain.blockIoTune("vda")["read_iops_sec"] == 10, "what the XML has")
        check(seconds(console, "vda", 31) >= 2, "31 reads at 10 a second take 2 seconds")
        domain.setBlockIoTune("vda", {"read_iops_sec": 0}, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        check(domain.blockIoTune("vda")["read_iops_sec"] == 0, "no limit")
        check("<iotune>" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "the definition keeps it")
        console.shell(READ % ("vda", 200))
        # A burst of 5 seconds at 40 a second; live and in the definition.
        for flags in (libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG):
            domain.setBlockIoTune("vda", {"total_iops_sec": 10, "total_iops_sec_max": 40,
                                          "total_iops_sec_max_length": 5, "group_name": "slow"}, flags)
            shown = domain.blockIoTune("vda", flags)
            check(shown["total_iops_sec_max_length"] == 5 and shown["group_name"] == "slow" and
                  shown["read_iops_sec"] == 0, f"both have it: {shown}")
        check(seconds(console, "vda", 85) >= 2, "85 reads at 40 a second take 2 seconds")
        # A disk that comes into the group shares what it has.
        xml = disk_xml(lab.empty_disk(8), "vdb", "<iotune><total_iops_sec>10</total_iops_sec>"
                       "<group_name>slow</group_name></iotune>")
        domain.attachDevice(xml)
        wait_for("the disk in the guest", lambda: "vdb" in console.shell("ls /sys/block").split(), 20)
        domain.setBlockIoTune("vdb", {"total_iops_sec": 20}, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        check(domain.blockIoTune("vda", libvirt.VIR_DOMAIN_AFFECT_LIVE)["total_iops_sec"] == 20,
              "a limit of the group is everybody's")


@contextlib.contextmanager
def events_of(name: str) -> "Iterator[subprocess.Popen[str]]":
    """virsh, which writes down what I/O errors it hears of until it is interrupted."""
    with subprocess.Popen(["virsh", "-c", URI, "event", name, "--event", "io-error-reason", "--loop"],
                          stdout=subprocess.PIPE, text=True) as events:
        try:
            yield events
        finally:
            events.kill()


def stops_for_error(lab: Lab, domain: libvirt.virDomain, console: Console, target: str, bus: str,
                    seen: str) -> None:
    """A logical volume, as virt-install describes it, fails: the guest waits until the host is mended. There the
    disk is called @seen."""
    name = domain.name()
    path = f"{lab.directory}/{target}.xml"

    def stopped() -> bool:
        return virsh("domstate", name, "--reason").strip() == "paused (I/O error)"

    with FailingDevice(lab.directory, f"{lab.prefix}-{target}", 4) as device, events_of(name) as events:
        with open(path, "w", encoding="ascii") as file:
            file.write("<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native' "
                       f"discard='unmap' error_policy='stop'/><source dev='{device.path}'/>"
                       f"<target dev='{target}' bus='{bus}'/></disk>")
        virsh("attach-device", name, path)
        console.shell(f"until [ -b /dev/{seen} ]; do sleep 0.1; done; head -c 1048576 /dev/urandom >/sent")
        alias = ET.fromstring(domain.XMLDesc()).find(f"./devices/disk/target[@dev='{target}']/../alias")
        assert alias is not None
        for what in (f"dd if=/sent of=/dev/{seen} bs=64k oflag=direct",
                     f"dd if=/dev/{seen} of=/got bs=64k count=16 iflag=direct"):
            device.fail(True)
            console.shell("rm -f /status")
            console.send(f"{what} 2>/dev/null; echo $? >/status\n")
            wait_for("the guest to be stopped", stopped)
            check(virsh("domblkerror", name).split(":")[0] == target, "for which disk")
            # It does not help to go on yet.
            virsh("resume", name)
            wait_for("another stop", stopped)
            device.fail(False)
            virsh("resume", name)
            console.shell("[ $(cat /status) = 0 ]")
            check("No errors" in virsh("domblkerror", name), "no error is left")
        console.shell("cmp /sent /got")
        events.send_signal(signal.SIGINT)
        told = events.communicate(timeout=30 * PATIENCE)[0]
        check(told.count(f"{device.path} ({alias.get('name')}) pause") >= 4, f"the events say which: {told}")
        virsh("detach-device", name, path)
        wait_for("the disk to go", lambda: device.path not in domain.XMLDesc())


def medium_xml(path: str, kind: str = "raw") -> str:
    source = f"<driver name='qemu' type='{kind}'/><source file='{path}'/>" if path else ""
    return f"<disk type='file' device='cdrom'>{source}<target dev='sdb' bus='scsi'/></disk>"


@test(limit=240)
def scsi() -> None:
    """Disks on a SCSI controller come and go; a CD is changed, ejected by either side, and locked by the guest;
    a disk whose host fails."""
    with Lab() as lab:
        paths = [lab.empty_disk(2), lab.empty_disk(1), lab.empty_disk(4), lab.empty_disk(8)]
        for number, path in enumerate(paths):
            with open(path, "r+b") as file:
                file.write(b"medium %d\n" % number)
        disk = paths[3]
        domain, console = lab.boot(disk_xml(lab.root_disk()) + medium_xml(paths[0]) +
                                   disk_xml(disk, "sda").replace("bus='virtio'", "bus='scsi'"), root=True)
        console.shell("while read -r m; do insmod $m; done </lib/modules/scsi")
        wait_for("disk and drive", lambda: console.shell("ls /sys/block | grep -c '^s[dr]'", status=None) == "2")

        console.shell("dd if=/dev/urandom of=/dev/sda bs=64k seek=1 count=32 conv=fsync")
        inside = console.shell("dd if=/dev/sda bs=64k skip=1 count=32 2>/dev/null | sha256sum").split()[0]
        with open(disk, "rb") as file:
            file.seek(65536)
            check(hashlib.sha256(file.read(32 * 65536)).hexdigest() == inside, "the file has what the guest wrote")
        check(domain.blockStats("sda")[3] >= 32 * 65536, "and it was counted")
        stats = domstats(domain.name(), "--block")
        check(int(stats["scsi.0.queue.2.bytes"]) >= 2 * 32 * 65536 and int(stats["scsi.0.queue.2.kicks"]) > 0,
              f"by the queue of its controller, too: {stats}")
        check("block.1.queue.count" not in stats and "block.2.queue.count" not in stats, f"it has none itself: {stats}")

        def first_line() -> str:
            return console.shell("head -n 1 /dev/sr0", status=None)

        check(first_line() == "medium 0", "the medium it started with")
        # Of whatever format, by whoever reads that.
        command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", paths[2], f"{paths[2]}.qcow2")
        paths[2] += ".qcow2"
        for number, kind in ((2, "qcow2"), (1, "raw"), (2, "qcow2")):
            domain.updateDeviceFlags(medium_xml(paths[number], kind), libvirt.VIR_DOMAIN_AFFECT_LIVE)
            wait_for("the next medium", lambda n=number: first_line() == f"medium {n}")
        check(int(console.shell("cat /sys/block/sr0/size")) == 8192, "and its size")
        refused(lambda: domain.updateDeviceFlags(medium_xml(paths[1], "qcow2")), paths[1])
        refused(lambda: domain.updateDeviceFlags(medium_xml("/nonexistent")), "/nonexistent")
        wait_for("the medium that was there", lambda: first_line() == "medium 2")

        # A file system that is mounted locks the tray.
        console.shell("exec 9</dev/sr0")
        refused(lambda: domain.updateDeviceFlags(medium_xml("")), "locked")
        domain.updateDeviceFlags(medium_xml(""), libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE)
        console.shell("exec 9<&-; true")
        wait_for("an open tray", lambda: "tray='open'" in domain.XMLDesc())
        name = domain.name()
        daemon.restart()
        lab.reconnect()
        domain = lab.connection.lookupByName(name)
        wait_for_state(domain, libvirt.VIR_DOMAIN_RUNNING)
        check("tray='open'" in domain.XMLDesc(), "still open to another daemon")
        console = lab.console(domain)
        console.login()
        check("No medium" in first_line() and paths[2] not in domain.XMLDesc(), "no medium")
        domain.updateDeviceFlags(medium_xml(paths[0]))
        wait_for("a medium again", lambda: first_line() == "medium 0")

        extra = qcow2_xml(paths[2], "sdc").replace("bus='virtio'", "bus='scsi'")
        domain.attachDevice(extra)
        wait_for("another disk", lambda: console.shell("ls /sys/block | grep -c '^sd'") == "2")
        check(console.shell("head -n 1 /dev/sdb") == "medium 2", "what is on it")
        domain.detachDevice(extra)
        wait_for("one disk", lambda: console.shell("ls /sys/block | grep -c '^sd'") == "1")
        stops_for_error(lab, domain, console, "sdd", "scsi", "sdb")
        stops_for_error(lab, domain, console, "vdb", "virtio", "vdb")
