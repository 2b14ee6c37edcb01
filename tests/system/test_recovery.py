# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ends that nobody asked for: the daemon's and the monitor's."""

import os
import re
import signal
import subprocess
import time

import libvirt

from lib.daemon import daemon
from lib.guest import NETWORK, URI, Lab, disk_xml, monitor_pid, network_xml, virsh, wait_for_state
from lib.harness import PATIENCE, check, command, test, wait_for
from lib.images import create, qcow2_xml


@test(limit=150, alone=True)
def daemon_killed() -> None:
    """A daemon that comes back finds the guests that went on without it."""
    with Lab() as lab:
        domain, console = lab.boot(disk_xml(lab.empty_disk(8)) + network_xml())
        stopped = lab.define()
        names = domain.name(), stopped.name()
        boot = console.shell("cat /proc/sys/kernel/random/boot_id")
        number, pid = domain.ID(), monitor_pid(domain)
        daemon.kill()
        os.kill(pid, 0)
        daemon.start()
        lab.reconnect()
        domain, stopped = (lab.connection.lookupByName(name) for name in names)
        check(domain.isActive() and domain.ID() == number, "still running, with its id")
        check(not stopped.isActive(), "the other definition is there")
        check(monitor_pid(domain) == pid, "the same process")
        again = lab.console(domain)
        again.login()
        check(again.shell("cat /proc/sys/kernel/random/boot_id") == boot, "the same boot, on its console")
        written = domain.blockStats("vda")[3]
        again.shell("dd if=/dev/zero of=/dev/vda bs=64k count=16 conv=fsync")
        check(domain.blockStats("vda")[3] - written >= 1 << 20, "statistics work")
        domain.suspend()
        domain.resume()
        domain.shutdown()
        wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)


@test(limit=120, alone=True)
def guest_ends_without_daemon() -> None:
    """A guest that ended while there was no daemon is shut off for the next one."""
    with Lab() as lab:
        domain = lab.start()
        name, pid = domain.name(), monitor_pid(domain)
        daemon.kill()
        os.kill(pid, signal.SIGKILL)
        daemon.start()
        lab.reconnect()
        wait_for_state(lab.connection.lookupByName(name), libvirt.VIR_DOMAIN_SHUTOFF)


def leftovers(name: str) -> "list[str]":
    """What there is of a domain that does not run."""
    found = []
    for top in ("/run/libvirt", "/sys/fs/cgroup"):
        for directory, directories, files in os.walk(top):
            found += [os.path.join(directory, entry) for entry in directories + files
                      if name in entry and not entry.endswith(".log")]
    return found


@test(paused=True, alone=True)
def daemon_killed_in_a_start() -> None:
    """Of a guest that was being started nothing is left, and it can be started."""
    with Lab() as lab:
        program, started = f"{lab.directory}/monitor", f"{lab.directory}/log/started"
        os.mkdir(os.path.dirname(started), 0o777)
        os.chmod(os.path.dirname(started), 0o777)
        with open(program, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\necho $$ >{started}\nexec sleep 1000\n")
        os.chmod(program, 0o755)
        disks = qcow2_xml(create(f"{lab.directory}/disk.qcow2")) + network_xml()
        name = lab.define(disks + f"<emulator>{program}</emulator>").name()
        before = command("ip", "-o", "link").count("vnet"), virsh("net-port-list", NETWORK)
        starting = subprocess.Popen(["virsh", "-c", URI, "start", name], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        wait_for("a monitor that does not answer", lambda: os.path.exists(started) and os.path.getsize(started))
        daemon.kill()
        starting.wait()
        daemon.start()
        lab.reconnect()
        domain = lab.connection.lookupByName(name)
        wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
        with open(started, encoding="ascii") as file:
            check(not os.path.exists(f"/proc/{int(file.read())}/exe"), "the monitor is ended")
        check(not leftovers(name), f"left: {leftovers(name)}")
        check((command("ip", "-o", "link").count("vnet"), virsh("net-port-list", NETWORK)) == before, "no tap, no port")
        text = domain.XMLDesc()
        domain = lab.connection.defineXML(re.sub("<emulator>.*</emulator>", "", text))
        virsh("start", "--paused", name)
        check(domain.isActive(), "it can be started")


@test(limit=120)
def monitor_killed() -> None:
    """A monitor that dies shows as crashed at once and leaves nothing behind."""
    with Lab() as lab:
        domain, _ = lab.boot(disk_xml(lab.empty_disk(8)) + network_xml())
        device = re.search(r"<target dev='(vnet\d+)'", domain.XMLDesc())
        check(device is not None, "the live XML names the tap")
        pid = monitor_pid(domain)
        start = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        reason = wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF, 10)
        check(time.monotonic() - start < 5 * PATIENCE, "noticed at once")
        check(reason in (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_FAILED),
              f"crashed, not {reason}")
        name = domain.name()
        wait_for("no tap is left", lambda: device[1] not in command("ip", "link"), 10)
        wait_for(f"nothing of {name} is left in /run and in the control groups", lambda: not leftovers(name), 10)
        domain.create()
        lab.console(domain).login()
