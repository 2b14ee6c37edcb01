# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rings and I/O threads with an unmodified kernel."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from lib.guest import Lab, disk_xml
from lib.harness import check, command, say, test, wait_for
from lib.monitor import BINARY, Monitor, QmpError, root_disk

RING_PACKED = 34  # virtio 1.2 §6


READS = 200


def reads_on(cpu: int, monitor: Monitor, threads: "dict[str, int]") -> "tuple[list[dict[str, int]], list[int]]":
    """Has the guest read on one of its processors: what each queue of the disk did, and how often each thread slept."""

    def counters() -> "list[dict[str, int]]":
        found = {queue["qom-path"]: {stat["name"]: stat["value"] for stat in queue["stats"]}
                 for queue in monitor.qmp.execute("query-stats", target="x-vireo-queue")}
        return [found[f"/machine/peripheral/disk/queue[{number}]"] for number in range(2)]

    def sleeps() -> "list[int]":
        status = [pathlib.Path(f"/proc/{threads[name]}/status").read_text() for name in ("io0", "io1")]
        return [int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in status]

    before, slept = counters(), sleeps()
    monitor.shell.shell(f"busybox taskset {1 << cpu} dd if=/dev/vda of=/dev/null bs=4k count={READS} iflag=direct 2>/dev/null", 60)
    return ([{name: after[name] - was[name] for name in was} for was, after in zip(before, counters())],
            [after - was for was, after in zip(slept, sleeps())])


def queues_on_threads(monitor: Monitor) -> None:
    """Each queue is served by its own thread, which finds requests by polling only if it polls."""
    qmp = monitor.qmp
    info = qmp.execute("query-iothreads")
    check([(entry["id"], entry["poll-max-ns"], entry["poll-grow"]) for entry in info] ==
          [("io0", 1000000, 4), ("io1", 32768, 0)], f"the I/O threads as they were made: {info}")
    threads = {entry["id"]: entry["thread-id"] for entry in info}
    for thread in threads:
        qmp.execute("qom-set", path=f"/objects/{thread}", property="poll-max-ns", value=0)
    check([entry["poll-max-ns"] for entry in qmp.execute("query-iothreads")] == [0, 0], "they poll no more")
    for cpu in range(2):
        queues, sleeps = reads_on(cpu, monitor, threads)
        say(f"on processor {cpu}: queues {queues}, threads slept {sleeps}")
        check(queues[cpu]["requests"] >= READS and queues[cpu]["bytes"] >= READS * 4096 and
              queues[cpu]["kicks"] >= READS // 2 and queues[cpu]["interrupts"] >= READS // 2, "its queue, by notifications")
        check(queues[1 - cpu]["requests"] < READS // 4, "not the other")
        check(sleeps[cpu] >= READS // 2 > sleeps[1 - cpu], "its thread, and not the other")
        check(queues[0]["polls"] == queues[1]["polls"] == 0, "nothing by polling")
    # As long as it takes an emulated guest, on the same processor, to have the next request.
    qmp.execute("qom-set", path="/objects/io0", property="poll-max-ns", value=200_000_000)
    queues, sleeps = reads_on(0, monitor, threads)
    say(f"polling: queues {queues}, threads slept {sleeps}")
    check(0 < queues[0]["polls"] <= queues[0]["requests"] and queues[0]["kicks"] < READS,
          "some of a busy queue's requests are found, for which nobody notifies")
    qmp.execute("qom-set", path="/objects/io0", property="poll-max-ns", value=0)


PROBES = ("qmp_command", "virtio_kick", "virtio_request", "virtio_completion", "virtio_interrupt")
REQUEST_BYTES = 16 + 4096 + 1  # virtio 1.2 §5.2.6: header, data, status


def seen_by_perf(monitor: Monitor, directory: str) -> None:
    """The distribution's perf finds the static probes of the binary as it is, and what they are about."""
    binary = shutil.which(BINARY)
    assert binary
    if not os.path.exists("/sys/kernel/tracing/uprobe_events"):
        command("mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing")
    with contextlib.ExitStack() as stack:
        command("perf", "buildid-cache", "--add", binary)
        stack.callback(command, "perf", "buildid-cache", "--remove", binary)
        for probe in PROBES:
            command("perf", "probe", "-q", f"sdt_vireo:{probe}")
            stack.callback(command, "perf", "probe", "-q", "--del", f"sdt_vireo:{probe}")
        events = [word for probe in PROBES for word in ("-e", f"sdt_vireo:{probe}")]
        started, done = pathlib.Path(f"{directory}/started"), pathlib.Path(f"{directory}/done")
        record = stack.enter_context(subprocess.Popen(
            ["perf", "record", "-q", "-o", f"{directory}/perf.data", *events, "-p", str(monitor.shell.process.pid), "--",
             "sh", "-c", f"touch {started}; while [ ! -e {done} ]; do sleep 0.1; done"]))
        stack.callback(done.touch)
        wait_for("perf", started.exists, 30)
        monitor.shell.shell("dd if=/dev/vda of=/dev/null bs=4k count=50 iflag=direct 2>/dev/null", 60)
        monitor.qmp.execute("query-status")
        done.touch()
        check(record.wait(60) == 0, "perf recorded")
        lines = command("perf", "script", "-i", f"{directory}/perf.data", "-F", "event,trace").splitlines()
    counts = {probe: sum(f"sdt_vireo:{probe}:" in line for line in lines) for probe in PROBES}
    reads = sum("virtio_request:" in line and f"arg4={REQUEST_BYTES}" in line for line in lines)
    say(f"perf counted {counts}, {reads} of them reads of a page")
    check(reads >= 50 <= counts["virtio_completion"] and counts["virtio_kick"] >= 25 <= counts["virtio_interrupt"],
          f"the guest's reads: {counts}")
    check(counts["qmp_command"] >= 1, f"the command: {counts}")


@test(limit=150)
def packed_rings_on_a_polling_iothread() -> None:
    """Disk and card over packed rings; the disk with a queue for each processor."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o777)
        passt = f"{directory}/passt"
        command("passt", "--stderr", "--one-off", "--runas", "0:0", "--socket", passt)
        disk = {"driver": "virtio-blk-pci", "id": "disk", "drive": "disk0", "packed": True,
                "iothread-vq-mapping": [{"iothread": "io0"}, {"iothread": "io1"}]}
        with Monitor("-object", "iothread,id=io0,poll-max-ns=1000000,poll-grow=4", "-object", "iothread,id=io1",
                     "-blockdev", f"driver=file,filename={root_disk(directory)},node-name=disk0",
                     "-device", json.dumps(disk),
                     "-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={passt}",
                     "-device", "virtio-net-pci,netdev=net0,mac=52:54:00:00:00:05,packed=on",
                     root=True, cpus=2) as monitor:
            shell, qmp = monitor.shell, monitor.qmp
            check(shell.shell("ls /sys/block/vda/mq | wc -l") == "2", "a queue for each processor")
            features = shell.shell("cat /sys/bus/virtio/devices/*/features").split()
            check(len(features) == 2 and all(bits[RING_PACKED] == "1" for bits in features), "packed rings")
            copy = "cp /root/a /root/b && sync && echo 3 >/proc/sys/vm/drop_caches && cmp /root/a /root/b"
            shell.shell(f"dd if=/dev/urandom of=/root/a bs=64k count=40 && {copy}")
            wait_for("an address", lambda: "inet 192.0.2.2" in shell.shell("ip -4 address show eth0"), 40)
            shell.shell("ping -A -c 2 -W 5 192.0.2.3")

            queues_on_threads(monitor)
            seen_by_perf(monitor, directory)
            shell.shell(f"rm /root/b && {copy}")
            try:
                qmp.execute("qom-set", path="/objects/io0", property="poll-max-ns", value=-1)
            except QmpError as error:
                check(error.kind == "GenericError", f"a negative time: {error}")
            else:
                raise AssertionError("a negative time was taken")


@test()
def packed_rings_by_xml() -> None:
    """<driver packed='on'/> is what the guest's drivers get, and no other device."""
    with Lab() as lab:
        packed = disk_xml(lab.empty_disk(4)).replace("<driver ", "<driver packed='on' ")
        check("packed='on'" in packed, "the XML asks for it")
        rng = "<rng model='virtio'><backend model='random'/><driver packed='on'/></rng>"
        _, console = lab.boot(f"{packed}{disk_xml(lab.empty_disk(4), 'vdb')}{rng}")
        for device, expected in (("/sys/block/vda/device", "1"), ("/sys/block/vdb/device", "0"),
                                 ("/sys/bus/virtio/drivers/virtio_rng/virtio*", "1")):
            features = console.shell(f"cat {device}/features")
            check(features[RING_PACKED] == expected, f"{device}: {features}")
        console.shell("dd if=/dev/urandom of=/dev/vda bs=4k count=100 conv=fsync && "
                      "dd if=/dev/hwrng of=/dev/null bs=64 count=1")


KVM_STATISTICS = pathlib.Path("/sys/kernel/debug/kvm")
EXITS_PER_REQUEST = 0.01
EXITS_PER_SECOND = 10  # the guest's own business: its clock, its processor's idle states


def user_space_exits(pid: int) -> int:
    """Each exit to user space is one of port I/O or of MMIO."""
    return sum(int((vm / name).read_text()) for vm in KVM_STATISTICS.glob(f"{pid}-*") for name in ("io_exits", "mmio_exits"))


@test(limit=150)
def no_exits_for_requests() -> None:
    """By KVM's own count, block requests and frames cause no exits to user space."""
    if not KVM_STATISTICS.exists():
        command("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")
    taps = {"exits0": "off", "exits1": "on"}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp"))
        with open(f"{directory}/disk", "wb") as disk:
            disk.truncate(64 << 20)
        for number, tap in enumerate(taps):
            command("ip", "tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr")
            stack.callback(command, "ip", "link", "delete", tap)
            command("ip", "address", "add", f"10.7.{number}.1/24", "dev", tap)
            command("ip", "link", "set", tap, "up")
        monitor = stack.enter_context(Monitor(
            "-blockdev", f"driver=file,filename={directory}/disk,node-name=disk0",
            "-device", "virtio-blk-pci,drive=disk0", *(argument for number, (tap, vhost) in enumerate(taps.items())
                                                       for argument in (
                "-netdev", f"tap,id=net{number},ifname={tap},script=no,downscript=no,vhost={vhost}",
                "-device", f"virtio-net-pci,netdev=net{number},mac=52:54:00:00:07:{number:02x}"))))
        shell, qmp = monitor.shell, monitor.qmp
        pid = shell.process.pid
        shell.shell("killall udhcpc")
        for number in range(2):
            shell.shell(f"ip address add 10.7.{number}.2/24 dev eth{number}; ip link set eth{number} up")

        def n_reads() -> int:
            return int(qmp.execute("query-blockstats")[0]["stats"]["rd_operations"])

        # The console is the guest's, and quiet, while exits are counted: its shell has no job that ends.
        shell.shell("((sleep 1; dd if=/dev/vda of=/dev/null bs=4k count=4000 iflag=direct 2>/dev/null) &)")
        wait_for("the first reads", lambda: n_reads() > 100, 20, 0.05)
        reads, exits, start = n_reads(), user_space_exits(pid), time.monotonic()
        wait_for("a thousand more", lambda: n_reads() >= reads + 1000, 60, 0.05)
        exits, reads = user_space_exits(pid) - exits, n_reads() - reads
        seconds = time.monotonic() - start
        check(exits <= reads * EXITS_PER_REQUEST + seconds * EXITS_PER_SECOND,
              f"{exits} exits for {reads} requests in {seconds:.1f} s")

        for number, tap in enumerate(taps):
            counters = pathlib.Path(f"/sys/class/net/{tap}/statistics")
            frames = lambda: sum(int((counters / name).read_text()) for name in ("rx_packets", "tx_packets"))
            command("busybox", "ping", "-c", "1", "-W", "5", f"10.7.{number}.2")
            before, exits, start = frames(), user_space_exits(pid), time.monotonic()
            subprocess.run(["busybox", "ping", "-A", "-q", "-c", "500", f"10.7.{number}.2"], check=True, stdout=subprocess.DEVNULL)
            exits, before = user_space_exits(pid) - exits, frames() - before
            seconds = time.monotonic() - start
            check(before >= 1000 and exits <= before * EXITS_PER_REQUEST + seconds * EXITS_PER_SECOND,
                  f"{exits} exits for {before} frames in {seconds:.1f} s, vhost={taps[tap]}")


BAD_SECTOR = 0x1234  # of scsi_debug's disks, with opts=2


@test()
def a_disk_of_the_host_fails() -> None:
    """Sectors that cannot be read are the guest's I/O errors; a disk that is pulled out takes no other with it."""
    command("modprobe", "sd_mod")
    command("modprobe", "scsi_debug", "dev_size_mb=8", "max_luns=2", "opts=2", "delay=0")
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["modprobe", "-r", "scsi_debug"], check=False)
        wait_for("the disks", lambda: len(list(pathlib.Path("/sys/bus/scsi/devices").glob("*/block/*"))) == 2, 20)
        disks = sorted(path.name for path in pathlib.Path("/sys/bus/scsi/devices").glob("*/block/*"))
        monitor = stack.enter_context(Monitor(*(argument for chassis, disk in enumerate(disks, 1) for argument in (
            "-device", f"pcie-root-port,id=port-{disk},chassis={chassis}",
            "-blockdev", f"driver=host_device,filename=/dev/{disk},node-name={disk},cache.direct=on",
            "-device", f"virtio-blk-pci,bus=port-{disk},drive={disk},id=disk-{disk}"))))
        shell, qmp = monitor.shell, monitor.qmp
        read = "dd if=/dev/{} of=/dev/null bs=4k skip={} count=1 iflag=direct 2>&1"
        bad = BAD_SECTOR * 512 // 4096
        shell.shell(read.format("vda", bad - 1))
        check("I/O error" in shell.shell(read.format("vda", bad), status=1), "a bad sector")
        event = qmp.wait_event("BLOCK_IO_ERROR")["data"]
        check(event["action"] == "report" and event["operation"] == "read", f"{event}")

        shell.shell(f"(while {read.format('vdb', 5)}; do :; done) >/dev/null & echo 3 >/proc/sys/vm/drop_caches")
        pathlib.Path(f"/sys/block/{disks[0]}/device/delete").write_text("1", encoding="ascii")
        check("I/O error" in shell.shell(read.format("vda", 7), status=1), "a disk that is gone")
        check(qmp.execute("query-status")["running"], "the machine runs")
        shell.shell(read.format("vdb", 7))
        shell.shell("jobs | grep -q Running")
        qmp.execute("device_del", id=f"disk-{disks[0]}")
        qmp.wait_event("DEVICE_DELETED")
        shell.shell(read.format("vdb", 8))
