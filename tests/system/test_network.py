# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network cards: libvirt's networks, passt, and cards that come and go."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Iterator

import libvirt

from lib.console import Console
from lib.daemon import daemon
from lib.guest import (NETWORK, NETWORK_HOST, URI, Lab, device_count, disk_xml, monitor_pid, network_xml, passt_xml,
                       refused, vhost_threads, virsh)
from lib.harness import PATIENCE, check, command, test, wait_for
from test_memory import dirty_rate

OUTSIDE = "192.0.2.3"  # lives in a network name space of its own; see tests/system/inside


def address(console: Console, card: str = "eth0") -> str:
    """The address that a card of the guest got by DHCP."""

    def find() -> str:
        match = re.search(r"inet ([0-9.]+)/", console.shell(f"ip -4 address show dev {card}", status=None))
        return match[1] if match else ""

    return str(wait_for(f"an address on {card}", find, 40, 1))


@contextlib.contextmanager
def bridge(name: str, host: str) -> Iterator[None]:
    """A bridge of the host, with an address of the host on it."""
    command("ip", "link", "add", name, "type", "bridge")
    try:
        command("ip", "address", "add", host, "dev", name)
        command("ip", "link", "set", name, "up")
        yield
    finally:
        command("ip", "link", "delete", name)


@contextlib.contextmanager
def no_kernel_vhost() -> Iterator[None]:
    """As on a host whose kernel passes no frames on."""
    away = pathlib.Path("/dev/vhost-net").rename("/dev/vhost-net-away")
    try:
        yield
    finally:
        away.rename("/dev/vhost-net")


@test(limit=120)
def libvirt_network() -> None:
    with Lab() as lab:
        domain, console = lab.boot(network_xml("52:54:00:aa:bb:01"))
        check(console.shell("cat /sys/class/net/eth0/address") == "52:54:00:aa:bb:01", "the MAC address")
        guest = address(console)
        check(guest.startswith("192.168.150."), f"an address of the network: {guest}")
        console.shell(f"ping -A -c 3 -W 5 {NETWORK_HOST}")
        command("busybox", "ping", "-c", "3", "-W", "5", guest)
        console.shell(f"ping -A -s 8000 -c 2 -W 5 {NETWORK_HOST}")
        device = re.search(r"<target dev='(\S+)'", domain.XMLDesc())
        check(device is not None, "the live XML names the tap")
        received = domain.interfaceStats(device[1])[0]
        console.shell(f"ping -A -s 1000 -c 5 -W 5 {NETWORK_HOST}")
        # A tap's statistics are the host's view; libvirt's are the guest's.
        check(domain.interfaceStats(device[1])[0] >= received + 5000, "what came in is counted")
        domain.destroy()
        check(device[1] not in command("ip", "link"), "the tap is gone")


@test(limit=150)
def two_guests() -> None:
    with Lab() as lab:
        _, one = lab.boot(network_xml())
        _, two = lab.boot(network_xml())
        first, second = address(one), address(two)
        check(first != second, "two addresses")
        one.shell(f"ping -A -c 3 -W 5 {second}")
        # Some real traffic: a file over TCP.
        one.shell("dd if=/dev/urandom of=/tmp/data bs=64k count=32; cd /tmp && httpd -p 80")
        two.shell(f"wget -q -O /tmp/data http://{first}/data", 60)
        check(one.shell("sha256sum </tmp/data") == two.shell("sha256sum </tmp/data"), "the file came over whole")


@test(limit=120)
def passt() -> None:
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/data", "wb") as file:
            file.write(b"0123456789abcdef" * 65536)
        server = subprocess.Popen(
            ["ip", "netns", "exec", "outside", sys.executable, "-m", "http.server", "-d", directory, "8000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            forward = "<portForward proto='tcp'><range start='2222' to='80'/></portForward></interface>"
            domain, console = lab.boot(passt_xml().replace("</interface>", forward))
            address(console)
            console.shell(f"ping -A -c 3 -W 5 {OUTSIDE}")
            console.shell(f"wget -q -O /tmp/data http://{OUTSIDE}:8000/data", 60)
            check(console.shell("wc -c </tmp/data") == "1048576", "the file came over whole")
            console.shell("cd /tmp && httpd -p 80")
            check(len(subprocess.run(["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:2222/data"], check=True,
                                     stdout=subprocess.PIPE, timeout=60 * PATIENCE).stdout) == 1048576, "and back by a port of the host")
            check(subprocess.run(["pgrep", "passt"], check=False, stdout=subprocess.DEVNULL).returncode == 0, "passt runs")
            domain.destroy()
            wait_for("passt ended with its domain",
                     lambda: subprocess.run(["pgrep", "-f", domain.name()], check=False,
                                            stdout=subprocess.DEVNULL).returncode != 0, 10)
        finally:
            server.kill()
            server.wait()


@test(limit=120)
def attach_and_detach() -> None:
    with Lab() as lab:
        domain, console = lab.boot()
        check("eth0" not in console.shell("ls /sys/class/net"), "no card at first")
        xml = network_xml("52:54:00:aa:bb:02")
        domain.attachDevice(xml)
        wait_for("the card in the guest", lambda: "eth0" in console.shell("ls /sys/class/net"), 20)
        console.shell("ip link set eth0 up; udhcpc -n -q -t 10 -i eth0 -s /etc/udhcpc.sh", 60)
        console.shell(f"ping -A -c 3 -W 5 {NETWORK_HOST}")
        domain.detachDevice(xml)
        wait_for("the card left the XML", lambda: device_count(domain, "interface") == 0, 30)
        wait_for("the card left the guest", lambda: "eth0" not in console.shell("ls /sys/class/net"), 20)
        with bridge("vbr0", "198.51.100.1/24"):
            cards_of_the_host(domain, console)


def cards_of_the_host(domain: "libvirt.virDomain", console: Console) -> None:
    """At a bridge of the host, with the kernel's vhost; and a tap of its own where there is no vhost."""
    pid = monitor_pid(domain)
    domain.attachDevice("<interface type='bridge'><mac address='52:54:00:aa:bb:07'/><source bridge='vbr0'/>"
                        "<model type='virtio'/></interface>")
    wait_for("the card in the guest", lambda: "eth0" in console.shell("ls /sys/class/net"), 20)
    check(vhost_threads(pid) == 1, "the kernel passes its frames on")
    console.shell("ip address add 198.51.100.2/24 dev eth0; ip link set eth0 up")
    console.shell("ping -A -s 1000 -c 5 -W 5 198.51.100.1")
    seen = dict(line.split() for line in (line.split(" ", 1)[1] for line in virsh(
        "domifstat", domain.name(), tap_of(domain)).splitlines()))
    check(int(seen["rx_bytes"]) >= 5000 and int(seen["tx_bytes"]) >= 5000, f"what vhost passes on is counted: {seen}")
    statistics = dict(line.strip().split("=", 1) for line in virsh("domstats", "--interface", domain.name()).splitlines()
                      if "=" in line)
    check(int(statistics["net.0.rx.bytes"]) >= 5000 and int(statistics["net.0.tx.pkts"]) >= 5,
          f"and so by domstats: {statistics}")
    with no_kernel_vhost():
        domain.attachDevice("<interface type='ethernet'><mac address='52:54:00:aa:bb:08'/><target dev='mytap0'/>"
                            "<model type='virtio'/></interface>")
    wait_for("the other card", lambda: "eth1" in console.shell("ls /sys/class/net"), 20)
    check(vhost_threads(pid) == 1, "not by the kernel")
    command("ip", "address", "add", "198.51.101.1/24", "dev", "mytap0")
    console.shell("ip address add 198.51.101.2/24 dev eth1; ip link set eth1 up")
    console.shell("ping -A -c 3 -W 5 198.51.101.1")
    command("busybox", "ping", "-c", "2", "-W", "5", "198.51.101.2")


@test(limit=150)
def multiqueue() -> None:
    """Several queues, from the start and attached; the guest uses one for each of its processors."""
    queues = "<driver queues='4' rx_queue_size='512'/></interface>"
    with Lab() as lab:
        domain, console = lab.boot(disk_xml(lab.root_disk()) + network_xml("52:54:00:aa:bb:03").replace(
            "</interface>", queues), root=True, vcpus=2)
        device = re.search(r"<target dev='(vnet\d+)'", domain.XMLDesc())
        check(device is not None, "the live XML names the tap")
        check(len(list(pathlib.Path(f"/sys/class/net/{device[1]}/queues").glob("rx-*"))) >= 2, "the tap has several queues")
        check(console.shell("ls -d /sys/class/net/eth0/queues/rx-* | wc -l") == "2", "a queue for each processor")
        address(console)
        console.shell(f"ping -A -c 3 -W 5 {NETWORK_HOST}")
        console.shell("ip link set eth0 down; ip link set eth0 up")
        hashes = ("<driver name='qemu' queues='4' rss='on' rss_hash_report='on'><host tso6='off'/></driver>"
                  "</interface>")
        domain.attachDevice(network_xml("52:54:00:aa:bb:04").replace("</interface>", hashes))
        wait_for("the card in the guest", lambda: "eth1" in console.shell("ls /sys/class/net"), 20)
        check(console.shell("ls -d /sys/class/net/eth1/queues/rx-* | wc -l") == "2", "and of the attached one")
        console.shell("ip link set eth0 down; ip link set eth1 up; udhcpc -n -q -t 10 -i eth1 -s /etc/udhcpc.sh", 60)
        queues_by_hashes(console)


def queues_by_hashes(console: Console) -> None:
    """The guest chooses into which queues frames come, and sees them there."""
    features = console.shell("cat /sys/class/net/eth1/device/features")
    check(features[57] == "1" and features[60] == "1", f"the guest uses hashes: {features}")
    check(features[11] == "1" and features[12] == "0", "and segmentation as the XML has it")

    def received() -> "list[int]":
        return [int(count) for count in re.findall(r"rx_queue_[01]_packets: (\d+)", console.shell("ethtool -S eth1"))]

    for queue in (1, 0):
        console.shell(f"ethtool -X eth1 start {queue} equal 1")
        check(set(re.findall(r"^ *\d+: +(.*)", console.shell("ethtool -x eth1"), re.M)) == {
            " ".join([f"    {queue}"] * 8).strip()}, "the table")
        before = received()
        console.shell(f"ping -A -c 30 -W 5 {NETWORK_HOST}")
        after = received()
        check(after[queue] - before[queue] >= 30 and after[1 - queue] - before[1 - queue] < 20,
              f"frames came into queue {queue}: {before}, {after}")


@test(limit=120)
def direct() -> None:
    """A macvtap on a device of the host: seen from the other end, and gone with the domain."""
    with Lab() as lab:
        command("ip", "link", "add", "parent0", "type", "veth", "peer", "name", "parent1")
        try:
            command("ip", "address", "add", "198.51.100.1/24", "dev", "parent1")
            for device in ("parent0", "parent1"):
                command("ip", "link", "set", device, "up")
            domain, console = lab.boot("<interface type='direct' trustGuestRxFilters='yes'><mac address='52:54:00:aa:bb:05'/>"
                                       "<source dev='parent0' mode='bridge'/><model type='virtio'/>"
                                       "<driver name='vhost' queues='2'/></interface>", vcpus=2)
            check(vhost_threads(monitor_pid(domain)) == 2, "the kernel has a thread for each pair of queues")
            device = re.search(r"<target dev='(macvtap\d+)'", domain.XMLDesc())
            check(device is not None, "the live XML names the macvtap")
            console.shell("killall udhcpc; ip address add 198.51.100.2/24 dev eth0")
            # The macvtap follows what the guest makes of its card.
            console.shell("ip link set eth0 down; ip link set eth0 address 52:54:00:aa:bb:15; ip link set eth0 up")
            wait_for("the guest's address on the macvtap", lambda: "52:54:00:aa:bb:15" in command(
                "ip", "link", "show", device[1]), 20)
            console.shell("ip -6 address add fd00::12:3456/64 dev eth0")
            wait_for("the guest's group on the macvtap", lambda: "33:33:ff:12:34:56" in command(
                "ip", "maddress", "show", "dev", device[1]), 20)
            console.shell("ip link set eth0 down; ip link set eth0 address 52:54:00:aa:bb:05; ip link set eth0 up")
            console.shell("ping -A -c 3 -W 5 198.51.100.1")
            console.shell("ping -A -s 4000 -c 2 -W 5 198.51.100.1")
            # An entry that is in use is being asked about for some seconds, and not counted then.
            wait_for("the address in the host's ARP table", lambda: "198.51.100.2" in [
                address["addr"] for entry in domain.interfaceAddresses(
                    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP).values() for address in entry["addrs"]], 20)
            domain.destroy()
            check(device[1] not in command("ip", "link"), "the macvtap is gone")
        finally:
            command("ip", "link", "delete", "parent0")


def tap_of(domain: "libvirt.virDomain", number: int = 0) -> str:
    """The host's end of one of the domain's cards."""
    return re.findall(r"<target dev='(\S+)'", domain.XMLDesc().split("<interface", number + 1)[-1])[0]


@test(limit=150)
def limits_filter_and_mtu() -> None:
    """What libvirt's XML says of a card reaches the host's network, and the guest."""
    with Lab() as lab:
        mac = "52:54:00:aa:bb:06"
        domain, console = lab.boot(network_xml(mac).replace("</interface>", (
            "<bandwidth><inbound average='1000' peak='2000'/><outbound average='500'/></bandwidth>"
            "<filterref filter='no-mac-spoofing'/><mtu size='1400'/></interface>")))
        tap = tap_of(domain)
        check("rate 8Mbit" in command("tc", "class", "show", "dev", tap), "the host limits what goes in")
        check("rate 4Mbit" in command("tc", "filter", "show", "dev", tap, "parent", "ffff:"), "and out")
        check(domain.interfaceParameters(mac)["outbound.average"] == 500, "the limits are known")
        check(console.shell("cat /sys/class/net/eth0/mtu") == "1400", "the guest's MTU")
        check("mtu 1400" in command("ip", "link", "show", tap), "and the host's")
        guest = address(console)
        check(tap in command("ebtables", "-t", "nat", "-L"), "the filter is there")
        console.shell(f"ping -A -c 2 -W 5 {NETWORK_HOST}")

        def take_address(which: str) -> None:
            console.shell(f"ip link set eth0 down; ip link set eth0 address {which}; ip link set eth0 up; "
                          f"ip address replace {guest}/24 dev eth0")

        def answers() -> bool:
            return "bytes from" in console.shell(f"ping -c 1 -W 2 {NETWORK_HOST}", status=None)

        take_address("52:54:00:aa:bb:77")
        check(not answers() and not answers(), "what is not of the card's address stays out")
        take_address(mac)
        wait_for("the network to answer", answers, 20)

        def update(what: str, fails: bool = False) -> str:
            with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
                file.write(what)
                file.flush()
                return virsh("update-device", domain.name(), file.name, "--live", fails=fails)

        slower = network_xml(mac).replace("</interface>", "<bandwidth><inbound average='2000'/></bandwidth>"
                                          "<mtu size='1400'/></interface>")
        update(slower)
        check("rate 16Mbit" in command("tc", "class", "show", "dev", tap), "another limit to what goes in")
        check("ingress" not in command("tc", "qdisc", "show", "dev", tap), "and none out")
        check(tap not in command("ebtables", "-t", "nat", "-L"), "the filter is gone")
        take_address("52:54:00:aa:bb:77")
        wait_for("what it kept out to come in", answers, 20)
        take_address(mac)
        check("<mtu size='1300'/>" in update(slower.replace("1400", "1300"), fails=True), "the MTU is the guest's for good")
        with bridge("vbr1", "198.51.100.1/24"):
            update(slower.replace("type='network'", "type='bridge'").replace(f"network='{NETWORK}'", "bridge='vbr1'"))
            check("vbr1" in command("ip", "link", "show", tap), "the tap is at the other bridge")
            console.shell("ip address add 198.51.100.2/24 dev eth0; ping -A -c 3 -W 5 198.51.100.1")
            check("<source bridge='vbr1'/>" in domain.XMLDesc(), "the live XML says so")
            update(network_xml(mac).replace("</interface>", (
                "<filterref filter='no-mac-spoofing'/><mtu size='1400'/><link state='down'/></interface>")))
        check(console.shell("cat /sys/class/net/eth0/carrier") == "0", "the link is down")
        virsh("domif-setlink", domain.name(), tap, "up")
        wait_for("the network to answer again", answers, 20)
        check(tap in command("ebtables", "-t", "nat", "-L"), "the filter is back")
        domain.destroy()
        check(tap not in command("ebtables", "-t", "nat", "-L"), "the filter went with the domain")


@test(limit=60, alone=True, paused=True)
def filter_changes_without_a_gap() -> None:
    """While one filter takes another's place nothing passes, also if the daemon ends in that moment."""
    with Lab() as lab:
        name = lab.define(network_xml().replace("</interface>", "<filterref filter='no-mac-spoofing'/></interface>")).name()
        tools = pathlib.Path(lab.directory) / "tools"
        tools.mkdir()
        log, hold = tools / "log", tools / "hold"
        # The daemon's; it leaves a note of what is there before each of its changes. libvirtd, which has the filters,
        # uses the real one.
        (tools / "ebtables").write_text(f"#!/bin/sh\n{{ echo \"= $*\"; {shutil.which('ebtables')} -t nat -L; }} >>{log}\n"
                                        f"{shutil.which('ebtables')} \"$@\" || exit\n"
                                        f"while [ -e {hold} ]; do touch {hold}.there; sleep 0.1; done\n", "ascii")
        (tools / "ebtables").chmod(0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{tools}:{path}"
        try:
            daemon.restart()
            lab.reconnect()
            virsh("start", "--paused", name)
            domain = lab.connection.lookupByName(name)
            tap = tap_of(domain)
            card = pathlib.Path(lab.directory) / "card.xml"

            def update(filtered: str) -> "list[str]":
                xml = re.findall(r"<interface.*</interface>", domain.XMLDesc(), re.DOTALL)[0]
                card.write_text(re.sub("filter='[^']*'", f"filter='{filtered}'", xml), "ascii")
                return ["virsh", "-c", URI, "update-device", name, str(card), "--live"]

            check(f"libvirt-I-{tap}" in command("ebtables", "-t", "nat", "-L"), "a filter")
            log.unlink()
            command(*update("no-arp-mac-spoofing"))
            # What failed for somebody else's change was tried again.
            tries = {note.splitlines()[0]: note for note in log.read_text("ascii").split("= ")[1:]}
            notes = list(tries.values())
            check([note.split()[3] for note in notes] == ["-I", "-I", "-D", "-D"], f"closed, then opened: {notes}")
            check(all(f"-j libvirt-I-{tap}" in note for note in notes), f"one filter is there before, one after: {notes}")
            check(f"-i {tap} -j DROP" in notes[2] and f"-o {tap} -j DROP" in notes[2], f"closed in between: {notes[2]}")
            check(tap + " -j DROP" not in command("ebtables", "-t", "nat", "-L"), "open again")

            refused(lambda: domain.updateDeviceFlags(card.read_text("ascii").replace("no-arp-mac-spoofing", "none-such")),
                    "none-such")
            rules = command("ebtables", "-t", "nat", "-L")
            check(tap + " -j DROP" not in rules and f"-j libvirt-I-{tap}" in rules, "the filter is as before, and open")

            hold.touch()
            updating = subprocess.Popen(update("no-mac-spoofing"))
            wait_for("that moment", (tools / "hold.there").exists)
            daemon.kill()
            hold.unlink()
            updating.wait()
            check(f"-i {tap} -j DROP" in command("ebtables", "-t", "nat", "-L"), "nothing passes")
            daemon.start()
            lab.reconnect()
            domain = lab.connection.lookupByName(name)
            status = pathlib.Path(f"/run/libvirt/vireo/{name}.xml")
            # ebtables cannot even list what changes at that moment.
            wait_for("the interface to be open", lambda: "<barrier" not in status.read_text("utf-8"))
            rules = command("ebtables", "-t", "nat", "-L")
            check(tap + " -j DROP" not in rules and f"-j libvirt-I-{tap}" in rules, f"it passes frames by the filter: {rules}")
            check("no-arp-mac-spoofing" in domain.XMLDesc(), "that the XML names")
        finally:
            os.environ["PATH"] = path
            daemon.restart()


def busy_share(pid: int, seconds: float = 1) -> float:
    """How much of a processor a process uses."""

    def used() -> int:
        return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))

    start = used()
    time.sleep(seconds)
    return (used() - start) / seconds / 1e9


@test(limit=180)
def the_host_side_goes() -> None:
    """A tap in process, one with vhost and passt, which go: the guest, and its other card, live on."""
    with Lab() as lab:
        cards = [network_xml(f"52:54:00:aa:bb:2{number}").replace("</interface>", f"<driver name='{name}'/></interface>")
                 for number, name in enumerate(("qemu", "vhost", "qemu"))]
        passt_card = passt_xml().replace("<model", "<mac address='52:54:00:aa:bb:23'/><model")
        domain, console = lab.boot("".join(cards) + passt_card)
        pid = monitor_pid(domain)
        address(console, "eth2")
        address(console, "eth3")
        address(console, "eth1")
        # The kernel is given the dirty log, and gives it back, while it has frames to deliver.
        console.shell(f"ping -A -q -I eth1 -w 5 {NETWORK_HOST} >/tmp/pings 2>&1 & true")
        dirty_rate(domain, "dirty-bitmap")
        wait_for("the pings' end", lambda: "packet loss" in console.shell("cat /tmp/pings"), 20)
        sent, got = (int(word) for word in re.findall(r"(\d+) packets", console.shell("cat /tmp/pings")))
        check(sent > 1 and sent - got <= 1, f"all but one that was on its way at the end: {got} of {sent}")
        console.shell("ip link set eth0 up; ip link set eth1 up; ip address add 198.51.100.1/24 dev eth0; "
                      "ip address add 198.51.101.1/24 dev eth1")
        for number in range(2):
            command("ip", "link", "delete", tap_of(domain, number))
        command("pkill", "passt")
        for target in ("198.51.100.2", "198.51.101.2", OUTSIDE):
            console.shell(f"ping -c 1 -W 1 {target}", status=1)
        console.shell(f"ping -A -I eth2 -c 3 -W 5 {NETWORK_HOST}")
        wait_for("it to rest: nothing turns in circles", lambda: busy_share(pid) < 0.5)
        for number, xml in ((0, cards[0]), (1, cards[1]), (3, passt_card)):
            domain.detachDevice(xml)
            wait_for("the card left the guest",
                     lambda gone=f"eth{number}": gone not in console.shell("ls /sys/class/net"), 20)
        console.shell(f"ping -A -c 3 -W 5 {NETWORK_HOST}")
        check(domain.isActive() == 1 and monitor_pid(domain) == pid, "the process is the same")
