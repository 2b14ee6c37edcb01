# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices whose queues another process or the kernel serves."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import xml.etree.ElementTree as ET
from typing import Any, Iterator

import libvirt

from lib.console import Console
from lib.guest import NETWORK_HOST, Lab, device_count, disk_xml, domstats, monitor_pid, network_xml, vhost_threads
from lib.harness import PATIENCE, Skipped, check, command, say, test, wait_for
from test_memory import dirty_rate
from test_network import address

SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


class StorageDaemon:
    """A qemu-storage-daemon that serves an image of 32 MiB at a socket."""

    def __init__(self, lab: Lab, image_format: str = "qcow2") -> None:
        self.image = os.path.join(lab.directory, f"disk.{image_format}")
        self.socket = os.path.join(lab.directory, "disk.sock")
        self.format = image_format
        command("qemu-img", "create", "-q", "-f", image_format, self.image, "32M")
        self.start()

    def start(self) -> None:
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([
            "qemu-storage-daemon",
            "--blockdev", f"driver={self.format},node-name=disk,file.driver=file,file.filename={self.image}",
            "--export", "type=vhost-user-blk,id=export,node-name=disk,writable=on,num-queues=1,"
                        f"addr.type=unix,addr.path={self.socket}"])
        wait_for("the back end's socket", lambda: os.path.exists(self.socket), 20, 0.05)
        os.chmod(self.socket, 0o666)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> "StorageDaemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def xml(self, target: str = "vda", reconnect: bool = False) -> str:
        again = "<reconnect enabled='yes' timeout='1'/>" if reconnect else ""
        return (f"<disk type='vhostuser' device='disk'><driver name='qemu' type='raw'/>"
                f"<source type='unix' path='{self.socket}'>{again}</source>"
                f"<target dev='{target}' bus='virtio'/></disk>")


@test(limit=150)
def disk_of_another_process() -> None:
    """A qcow2 image behind qemu-storage-daemon: data, pause, unplug and plug, what the image then has."""
    with Lab() as lab, StorageDaemon(lab) as daemon:
        domain, console = lab.boot(daemon.xml(), body=SHARED)
        check(console.shell("cat /sys/block/vda/size") == str(32 << 11), "the image's size")
        console.shell("dd if=/dev/urandom of=/root/data bs=64k count=16")
        console.shell("dd if=/root/data of=/dev/vda bs=64k seek=8 conv=fsync")
        domain.suspend()
        domain.resume()
        check(console.shell("dd if=/dev/vda bs=64k skip=8 count=16 2>/dev/null | sha256sum") ==
              console.shell("sha256sum </root/data"), "what was written is read after a pause")
        descriptors = len(os.listdir(f"/proc/{monitor_pid(domain)}/fd"))
        domain.detachDevice(daemon.xml())
        wait_for("the disk left the XML", lambda: device_count(domain, "disk") == 0, 30)
        wait_for("the disk left the guest", lambda: "vda" not in console.shell("ls /sys/block").split(), 20)
        domain.attachDevice(daemon.xml())
        wait_for("the disk is back", lambda: "vda" in console.shell("ls /sys/block").split(), 20)
        check(len(os.listdir(f"/proc/{monitor_pid(domain)}/fd")) == descriptors, "no descriptor was lost")
        digest = console.shell("dd if=/dev/vda bs=64k skip=8 count=16 2>/dev/null | sha256sum").split()[0]
        check(console.shell("sha256sum </root/data").split()[0] == digest, "the data is there")
        domain.destroy()
        daemon.kill()
        outside = subprocess.run(f"qemu-img convert -O raw {daemon.image} {daemon.image}.raw && "
                                 f"dd if={daemon.image}.raw bs=64k skip=8 count=16 status=none | sha256sum",
                                 shell=True, check=True, capture_output=True, text=True).stdout
        check(outside.split()[0] == digest, "the image has what the guest wrote")


@test(limit=150)
def back_end_dies_and_returns() -> None:
    """qemu-storage-daemon is killed under load and started again: the guest sees a pause.

    The image is raw: what is in a qcow2 one before a flush goes with its daemon.
    """
    with Lab() as lab, StorageDaemon(lab, "raw") as daemon:
        _, console = lab.boot(daemon.xml(reconnect=True), body=SHARED)
        console.shell("dd if=/dev/urandom of=/root/data bs=64k count=64")
        console.send("dd if=/root/data of=/dev/vda bs=4k oflag=direct 2>/root/result; echo wrote-$?\n")
        for _ in range(2):
            wait_for("some of it is written", lambda: os.stat(daemon.image).st_blocks > 1000, 20, 0.02)
            daemon.kill()
            say("killed the back end")
            daemon.start()
        console.expect("wrote-0", 90)
        check(console.shell("dd if=/dev/vda bs=64k count=64 2>/dev/null | sha256sum") ==
              console.shell("sha256sum </root/data"), "every byte is where it belongs")
        check("error" not in console.shell("dmesg | grep -i vda; true"), "the guest saw no error")


def arguments_xml(*arguments: str) -> str:
    """Arguments of the monitor that the XML has no other words for."""
    return ("<vireo:commandline xmlns:vireo='http://libvirt.org/schemas/domain/vireo/1.0'>" +
            "".join(f"<vireo:arg value='{argument}'/>" for argument in arguments) + "</vireo:commandline>")


@test()
def device_of_any_type() -> None:
    """A back end that the monitor knows by its number alone: the guest finds a disk."""
    with Lab() as lab, StorageDaemon(lab, "raw") as daemon:
        namespace = arguments_xml(
            "-chardev", f"socket,id=c0,path={daemon.socket}", "-device",
            "vhost-user-device-pci,chardev=c0,virtio-id=2,config_size=60,vq_size=128,bus=pcie.0,addr=0x1e")
        domain, console = lab.boot(body=SHARED + namespace)
        check(console.shell("cat /sys/block/vda/size") == str(32 << 11), "the image's size")
        console.shell("dd if=/dev/urandom of=/root/data bs=64k count=16; dd if=/root/data of=/dev/vda bs=64k conv=fsync")
        domain.suspend()
        domain.resume()
        console.shell("echo 3 >/proc/sys/vm/drop_caches")
        check(console.shell("dd if=/dev/vda bs=64k count=16 2>/dev/null | sha256sum") ==
              console.shell("sha256sum </root/data"), "what was written is read")


@test()
def what_cannot_be() -> None:
    """Memory that cannot be shared, a back end that is not there: errors, and nothing is left."""
    with Lab() as lab, StorageDaemon(lab) as daemon:
        for body, what in (("", "mode='shared'"), (SHARED, "missing.sock")):
            xml = daemon.xml().replace(daemon.socket, f"{lab.directory}/missing.sock") if body else daemon.xml()
            try:
                lab.start(xml, body=body)
            except libvirt.libvirtError as error:
                check(what in str(error), f"the error names {what}: {error}")
            else:
                raise AssertionError("it started")


@test()
def kernel_marks_what_it_writes() -> None:
    """The real vhost's dirty log, compared with what it wrote to memory: without a guest."""
    program = "/usr/lib/vireo-test/test-virtio-net-kernel"
    if not os.path.exists(program):
        raise Skipped("tests/run alone installs that program")
    output = command(program)
    check(output.count("\nok ") == 3 and "SKIP" not in output, f"all that it wrote is marked: {output}")


@test(limit=180)
def kernel_serves_a_card() -> None:
    """vhost-net: traffic both ways, pause, link, unplug and plug; and without it the process does it."""
    with Lab() as lab:
        vhost = network_xml("52:54:00:aa:cc:01").replace("</interface>", "<driver name='vhost'/></interface>")
        domain, console = lab.boot(vhost)
        pid = monitor_pid(domain)
        check(vhost_threads(pid) == 1, "the kernel has a thread for it")
        guest = address(console)
        console.shell(f"ping -A -c 3 -W 5 {NETWORK_HOST}")
        console.shell("dd if=/dev/urandom of=/tmp/data bs=64k count=32; cd /tmp && httpd -p 80")
        data = subprocess.run(["busybox", "wget", "-q", "-O", "-", f"http://{guest}/data"], check=True,
                              stdout=subprocess.PIPE, timeout=60 * PATIENCE).stdout
        check(console.shell("sha256sum </tmp/data").split()[0] == hashlib.sha256(data).hexdigest(),
              "a file came over TCP whole")
        stats = domstats(domain.name(), "--interface")
        check(int(stats["net.0.tx.bytes"]) >= 32 * 65536 and not any(
            name.startswith(("net.0.queue.0.", "net.0.queue.1.")) for name in stats),
            f"what the kernel does is counted by the card's device on the host alone: {stats}")
        domain.suspend()
        domain.resume()
        console.shell(f"ping -A -c 2 -W 5 {NETWORK_HOST}")
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        domain.detachDevice(vhost)
        wait_for("the card left the XML", lambda: device_count(domain, "interface") == 0, 30)
        wait_for("the card left the guest", lambda: "eth0" not in console.shell("ls /sys/class/net"), 20)
        check(vhost_threads(pid) == 0, "the kernel's thread went with it")
        domain.attachDevice(vhost)
        wait_for("the card is back", lambda: "eth0" in console.shell("ls /sys/class/net"), 20)
        check(len(os.listdir(f"/proc/{pid}/fd")) == descriptors, "no descriptor was lost")
        console.shell(f"ip address add {guest}/24 dev eth0; ip link set eth0 up")
        wait_for("the network answers", lambda: "bytes from" in console.shell(
            f"ping -c 1 -W 2 {NETWORK_HOST}", status=None), 30, 1)
        plain = network_xml("52:54:00:aa:cc:02").replace("</interface>", "<driver name='qemu'/></interface>")
        domain.attachDevice(plain)
        wait_for("the other card", lambda: "eth1" in console.shell("ls /sys/class/net"), 20)
        check(vhost_threads(pid) == 1, "not by the kernel")


def load_extra_drivers(console: Console) -> None:
    """Loads the guest's drivers of devices that few tests have; its root is the disk."""
    console.shell("while read -r m; do insmod $m; done </lib/modules/extra")


@test(limit=150)
def directory_of_the_host() -> None:
    """virtiofsd, which the driver starts and ends: files both ways, unplug and plug."""
    with Lab() as lab:
        directory = os.path.join(lab.directory, "shared")
        os.mkdir(directory)
        pathlib.Path(directory, "from-host").write_text("hello\n", encoding="ascii")
        xml = (f"<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/>"
               f"<source dir='{directory}'/><target dir='shared'/></filesystem>")
        domain, console = lab.boot(disk_xml(lab.root_disk()) + xml, root=True, body=SHARED)
        load_extra_drivers(console)
        console.shell("mkdir -p /mnt/shared && mount -t virtiofs shared /mnt/shared")
        check(console.shell("cat /mnt/shared/from-host") == "hello", "the host's file")
        console.shell("dd if=/dev/urandom of=/mnt/shared/from-guest bs=64k count=32 conv=fsync")
        digest = console.shell("sha256sum </mnt/shared/from-guest").split()[0]
        check(hashlib.sha256(pathlib.Path(directory, "from-guest").read_bytes()).hexdigest() == digest,
              "the guest's file")
        domain.suspend()
        domain.resume()
        console.shell("cat /mnt/shared/from-host")
        console.shell("umount /mnt/shared")
        running = lambda: subprocess.run(["pgrep", "-f", f"source={directory}"], check=False,
                                         stdout=subprocess.DEVNULL).returncode == 0
        check(running(), "virtiofsd runs")
        domain.detachDevice(xml)
        wait_for("it left the XML", lambda: device_count(domain, "filesystem") == 0, 30)
        wait_for("virtiofsd ended", lambda: not running(), 10)
        domain.attachDevice(xml)
        wait_for("it is back", lambda: console.shell("mount -t virtiofs shared /mnt/shared", status=None) == "", 20, 1)
        check(console.shell("cat /mnt/shared/from-host") == "hello", "the host's file again")
        dirty_rate(domain, "dirty-bitmap")      # virtiofsd is given the log, and gives it back
        console.shell("echo on >/mnt/shared/served-on; sync")
        check(pathlib.Path(directory, "served-on").read_text(encoding="ascii") == "on\n", "and serves on")
        command("pkill", "-KILL", "-f", f"source={directory}")
        wait_for("virtiofsd ended", lambda: not running(), 10)
        log = pathlib.Path("/var/log/libvirt/vireo", f"{domain.name()}.log")
        wait_for("the log tells", lambda: "the back end is gone" in log.read_text(), 10)
        # Nobody can take over its open files: what the guest asks now waits, or fails, and all else goes on.
        console.shell("(ls /mnt/shared/new >/dev/null 2>&1; cat /mnt/shared/from-guest >/dev/null 2>&1 && "
                      "touch /tmp/answered) & sleep 2; test ! -e /tmp/answered")
        console.shell("dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct")
        check(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, "the guest lives, but for its directory")
        domain.destroy()


def connect_guest(address: "int | str", port: int) -> socket.socket:
    """A connection to a port of a guest: by its address, or by the unix socket that leads to it."""
    if isinstance(address, int):
        connection = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        connection.settimeout(20 * PATIENCE)
        connection.connect((address, port))
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20 * PATIENCE)
    connection.connect(address)
    connection.sendall(f"CONNECT {port}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            connection.close()
            raise ConnectionRefusedError("the guest does not listen")
        answer += byte
    check(answer.startswith(b"OK "), f"it is greeted: {answer!r}")
    return connection


def ask_agent(address: "int | str", port: int, command: str, **arguments: object) -> Any:
    """What QEMU's guest agent answers over a vsock connection of its own."""
    with connect_guest(address, port) as connection:
        request = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
        connection.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(connection.makefile("rb").readline())
    check("return" in reply, f"{command} succeeds: {reply}")
    return reply["return"]


def answers(address: "int | str") -> bool:
    """Whether the guest agent can be reached."""
    try:
        ask_agent(address, 1024, "guest-ping")
    except OSError:
        return False
    return True


def start_agent(console: Console) -> None:
    """QEMU's guest agent, at port 1024 of the guest."""
    load_extra_drivers(console)
    console.shell("qemu-ga -d -m vsock-listen -p 4294967295:1024 -f /tmp/agent.pid -t /tmp >/dev/null")


def exchange(address: "int | str", console: Console, domain: libvirt.virDomain) -> None:
    """A bulk of data to the guest and, after a pause, back."""
    wait_for("the agent answers", lambda: answers(address), 10)
    data = os.urandom(256 << 10)
    handle = ask_agent(address, 1024, "guest-file-open", path="/root/data", mode="w+")
    ask_agent(address, 1024, "guest-file-write", handle=handle, **{"buf-b64": base64.b64encode(data).decode()})
    ask_agent(address, 1024, "guest-file-flush", handle=handle)
    check(console.shell("sha256sum </root/data").split()[0] == hashlib.sha256(data).hexdigest(),
          "what was sent arrived")
    domain.suspend()
    domain.resume()
    ask_agent(address, 1024, "guest-file-seek", handle=handle, offset=0, whence="set")
    back = ask_agent(address, 1024, "guest-file-read", handle=handle, count=len(data))
    check(base64.b64decode(back["buf-b64"]) == data, "and came back after a pause")


@contextlib.contextmanager
def no_kernel_vsock() -> Iterator[None]:
    """As on a host whose kernel has no vsock for guests."""
    device = pathlib.Path("/dev/vhost-vsock")
    away = device.rename("/dev/vhost-vsock-away")
    try:
        yield
    finally:
        away.rename(device)


@test(limit=150)
def sockets_without_the_kernel() -> None:
    """<vsock> over a unix socket: a bulk of data both ways, pause, a port that is not there, plug."""
    with no_kernel_vsock(), Lab() as lab:
        xml = "<vsock><cid auto='yes'/></vsock>"
        domain, console = lab.boot(disk_xml(lab.root_disk()) + xml, root=True)
        path, = (str(path) for path in pathlib.Path("/run/libvirt/vireo").glob(f"*-{domain.name()}/vsock.sock"))
        start_agent(console)
        exchange(path, console, domain)
        try:
            connect_guest(path, 1025).close()
        except ConnectionRefusedError:
            pass
        else:
            raise AssertionError("there is nobody at that port")
        domain.detachDevice(xml)
        wait_for("it left the XML", lambda: device_count(domain, "vsock") == 0, 30)
        check(not os.path.exists(path), "the socket went with it")
        domain.attachDevice(xml)
        wait_for("the agent answers again", lambda: answers(path), 20, 1)


@test(limit=180)
def sockets_to_the_guest() -> None:
    """<vsock> with an address and with none, a bulk of data both ways, pause, plug, an address that is taken."""
    with Lab() as lab:
        domain, console = lab.boot(disk_xml(lab.root_disk()) + "<vsock><cid address='42'/></vsock>", root=True)
        start_agent(console)
        exchange(42, console, domain)

        other = lab.define("<vsock model='virtio'><cid auto='no' address='42'/></vsock>")
        try:
            other.create()
        except libvirt.libvirtError as error:
            check("guest cid" in str(error), f"the error says what is taken: {error}")
        else:
            raise AssertionError("two guests have one address")

        descriptors = len(os.listdir(f"/proc/{monitor_pid(domain)}/fd"))
        domain.detachDevice("<vsock><cid address='42'/></vsock>")
        wait_for("it left the XML", lambda: device_count(domain, "vsock") == 0, 30)
        domain.attachDevice("<vsock><cid auto='yes'/></vsock>")
        cid = ET.fromstring(domain.XMLDesc()).find("devices/vsock/cid")
        check(cid is not None and cid.get("auto") == "yes" and int(cid.get("address", "0")) >= 3,
              "an address was found and is shown")
        check(len(os.listdir(f"/proc/{monitor_pid(domain)}/fd")) == descriptors, "no descriptor was lost")
        assert cid is not None
        wait_for("the agent at the new address", lambda: answers(int(cid.get("address", "0"))), 20, 1)


class Switch:
    """A dpdk-testpmd that passes frames between two sockets: at one it listens, to the other it connects."""

    def __init__(self, directory: str) -> None:
        self.sockets = [os.path.join(directory, "port0.sock"), os.path.join(directory, "port1.sock")]
        # The monitor, which is not root, makes the second.
        os.chmod(directory, 0o777)
        self.start()

    def start(self) -> None:
        ports = [argument for number, path in enumerate(self.sockets)
                 for argument in ("--vdev", f"net_vhost{number},iface={path},client={number}")]
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(
            # It polls; whatever else there is to do comes first.
            ["nice", "-n", "19", "dpdk-testpmd", "--no-pci", "--no-huge", "-m", "128", "--lcores", "0@0,1@0", "--no-telemetry",
             *ports, "--", "--total-num-mbufs=4096", "--no-mlockall", "--nb-cores=1", "--forward-mode=io",
             "--auto-start"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the switch's socket", lambda: os.path.exists(self.sockets[0]), 30, 0.05)
        os.chmod(self.sockets[0], 0o666)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        os.unlink(self.sockets[0])

    def __enter__(self) -> "Switch":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def xml(self, number: int) -> str:
        mode = "<source type='unix' path='{}' mode='server'/>" if number else (
            "<source type='unix' path='{}' mode='client'><reconnect enabled='yes' timeout='1'/></source>")
        return (f"<interface type='vhostuser'><mac address='52:54:00:aa:dd:0{number}'/>"
                f"{mode.format(self.sockets[number])}<model type='virtio'/></interface>")


@test(limit=200)
def cards_at_a_switch() -> None:
    """Two cards of a guest at DPDK's ports: frames between them, pause, a switch that dies, plug."""
    with Lab() as lab, Switch(lab.directory) as switch:
        domain, console = lab.boot(switch.xml(0) + switch.xml(1), body=SHARED)
        # Each card in a network of its own, so that what goes from one to the other takes the switch.
        console.shell("ip link set eth0 up; ip link set eth1 up; sleep 1; true")

        def received(card: int) -> int:
            return int(console.shell(f"cat /sys/class/net/eth{card}/statistics/rx_packets"))

        def passes(sender: int) -> bool:
            before = received(1 - sender)
            console.shell(f"arping -c 3 -f -w 1 -I eth{sender} 10.9.9.9 >/dev/null 2>&1; true")
            return received(1 - sender) > before

        for card in 0, 1:
            console.shell(f"ip address add 10.9.{card}.1/24 dev eth{card}")
            wait_for(f"frames from card {card}", lambda: passes(card), 20, 0.5)  # pylint: disable=cell-var-from-loop
        domain.suspend()
        domain.resume()
        wait_for("frames after a pause", lambda: passes(0), 20, 0.5)
        switch.kill()
        wait_for("the cable is out", lambda: console.shell("cat /sys/class/net/eth0/carrier") == "0", 20, 0.5)
        switch.start()
        wait_for("the cable is in", lambda: console.shell("cat /sys/class/net/eth0/carrier") == "1", 20, 0.5)
        wait_for("frames by the new switch", lambda: passes(0) and passes(1), 30, 0.5)
        domain.detachDevice(switch.xml(0))
        wait_for("the card left the XML", lambda: device_count(domain, "interface") == 1, 30)
        domain.attachDevice(switch.xml(0))
        wait_for("the card is back", lambda: "eth0" in console.shell("ls /sys/class/net").split(), 20)
