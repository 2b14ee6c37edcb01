# SPDX-License-Identifier: LGPL-2.1-or-later
"""The monitor with an unmodified kernel, without libvirt: arguments and QMP as QEMU has them."""

import os
import tempfile

from lib.harness import check, command, test, wait_for
from lib.monitor import Monitor, Qmp, QmpError, root_disk


def block(shell_output: str) -> "list[str]":
    return [name for name in shell_output.split() if name.startswith("vd")]


@test()
def boot_packed_kernel() -> None:
    with Monitor(kernel="vmlinuz", cpus=2) as monitor:
        check(monitor.shell.shell("nproc") == "2", "two processors")
        check(monitor.qmp.execute("query-status")["status"] == "running", "running")
        check(len(monitor.qmp.execute("query-cpus-fast")) == 2, "two processors in QMP")


@test()
def stop_cont_reset_powerdown() -> None:
    with Monitor() as monitor:
        qmp = monitor.qmp
        qmp.execute("stop")
        qmp.wait_event("STOP")
        check(qmp.execute("query-status")["status"] == "paused", "paused")
        qmp.execute("cont")
        qmp.wait_event("RESUME")
        monitor.shell.shell("true")
        qmp.execute("system_reset")
        qmp.wait_event("RESET")
        monitor.shell.expect("guest: up", 60)
        monitor.shell.login()
        qmp.execute("system_powerdown")
        qmp.wait_event("POWERDOWN")
        event = qmp.wait_event("SHUTDOWN")
        check(event["data"]["guest"] is True, "the guest shut down")
        check(monitor.ended() == 0, "exit status 0")


@test()
def quit_ends_at_once() -> None:
    with Monitor() as monitor:
        monitor.qmp.execute("quit")
        check(monitor.ended(10) == 0, "exit status 0")


@test(limit=120)
def root_disk_and_passt() -> None:
    """A root disk, and a card whose packets passt takes."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o777)
        passt = f"{directory}/passt"
        command("passt", "--stderr", "--one-off", "--runas", "0:0", "--socket", passt)
        with Monitor("-blockdev", f"driver=file,filename={root_disk(directory)},node-name=file0",
                     "-blockdev", "driver=raw,file=file0,node-name=disk0",
                     "-device", "virtio-blk-pci,drive=disk0",
                     "-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={passt}",
                     "-device", "virtio-net-pci,netdev=net0,mac=52:54:00:00:00:05", root=True) as monitor:
            shell = monitor.shell
            check("/dev/vda" in shell.shell("mount | grep ' / '"), "the root is the disk")
            shell.shell("echo kept >/root/file; sync")
            wait_for("an address", lambda: "inet 192.0.2.2" in shell.shell("ip -4 address show eth0"), 40)
            shell.shell("ping -A -c 2 -W 5 192.0.2.3")


@test(limit=120)
def device_add_and_del() -> None:
    with Monitor("-device", "pcie-root-port,id=port0,bus=pcie.0,addr=0x5,chassis=1",
                 "-device", "pcie-root-port,id=port1,bus=pcie.0,addr=0x6,chassis=2") as monitor, \
            tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.truncate(4 << 20)
        qmp, shell = monitor.qmp, monitor.shell
        qmp.execute("blockdev-add", driver="file", filename=file.name, node_name="disk0")
        for _ in range(2):
            qmp.execute("device_add", driver="virtio-blk-pci", id="blk0", bus="port0", drive="disk0", serial="HOT1")
            wait_for("the disk in the guest", lambda: block(shell.shell("ls /sys/block")) == ["vda"], 20)
            check(shell.shell("cat /sys/block/vda/serial") == "HOT1", "its serial number")
            shell.shell("dd if=/dev/zero of=/dev/vda bs=64k count=16 conv=fsync")
            qmp.execute("device_del", id="blk0")
            event = qmp.wait_event("DEVICE_DELETED")
            if "device" not in event["data"]:  # the device's own part goes first
                event = qmp.wait_event("DEVICE_DELETED")
            check(event["data"]["device"] == "blk0", "the event names it")
            check(block(shell.shell("ls /sys/block")) == [], "it left the guest")
        qmp.execute("blockdev-del", node_name="disk0")


@test()
def two_clients_and_errors() -> None:
    with Monitor("-chardev", "socket,id=qmp1,path=/var/tmp/second-qmp,server=on,wait=off",
                 "-mon", "chardev=qmp1,mode=control", wait=False) as monitor:
        other = Qmp("/var/tmp/second-qmp", negotiate=False)
        try:
            for name, arguments, kind in (("query-status", {}, "CommandNotFound"),):
                try:
                    other.execute(name, **arguments)
                except QmpError as error:
                    check(error.kind == kind, f"{name} before negotiation: {error}")
                else:
                    raise AssertionError("a command ran before the negotiation")
            other.execute("qmp_capabilities")
            for name, arguments, kind in (("no-such-command", {}, "CommandNotFound"),
                                          ("device_del", {"id": "nothing"}, "DeviceNotFound"),
                                          ("query-status", {"unknown": 1}, "GenericError"),
                                          ("balloon", {"value": "text"}, "GenericError")):
                try:
                    other.execute(name, **arguments)
                except QmpError as error:
                    check(error.kind == kind, f"{name}: {error}")
                else:
                    raise AssertionError(f"{name} succeeded")
            check(monitor.qmp.execute("query-status")["running"] is True, "the first client is served")
        finally:
            other.close()
