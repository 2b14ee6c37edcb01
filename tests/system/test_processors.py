# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual processors as an unmodified kernel finds them, and as they come and go."""

import os

import libvirt

from lib.guest import Lab, refused
from lib.harness import check, test, wait_for
from lib.monitor import Monitor

TOPOLOGY = "/sys/devices/system/cpu/cpu*/topology"


@test(limit=240)
def sixteen_processors() -> None:
    """Two sockets of four cores with two threads: all online, and seen like that."""
    with Monitor(memory=256, cpus="16,sockets=2,cores=4,threads=2") as monitor:
        shell, qmp = monitor.shell, monitor.qmp
        check(shell.shell("cat /sys/devices/system/cpu/online") == "0-15", "all are online")

        def values(name: str) -> "list[str]":
            return shell.shell(f"cat {TOPOLOGY}/{name} | sort | uniq -c").split()

        check(values("physical_package_id") == ["8", "0", "8", "1"], "two sockets of eight")
        # What an AMD processor has of threads the kernel learns from this feature's leaves alone;
        # the emulated host's does not have it.
        flags = shell.shell("sort -u /proc/cpuinfo | grep -E '^(flags|vendor_id)'")
        threads = 2 if "topoext" in flags or "GenuineIntel" in flags else 1
        cores = 8 // threads
        check(values("core_id") == [word for core in range(cores) for word in (str(16 // cores), str(core))],
              f"{cores} cores in each")
        siblings = shell.shell(f"cat {TOPOLOGY}/thread_siblings_list | sort -nu").split()
        check(siblings == [f"{first}-{first + 1}" if threads == 2 else str(first)
                           for first in range(0, 16, threads)], f"{threads} threads in each")
        check(len(qmp.execute("query-cpus-fast")) == 16, "sixteen in the monitor")
        # The kernel moves work around by interrupts between processors.
        for cpu in (0, 7, 15):
            check(shell.shell(f"taskset -c {cpu} sh -c 'echo ran'") == "ran", f"work on processor {cpu}")


ONLINE = "cat /sys/devices/system/cpu/online"


@test(limit=150)
def come_and_go() -> None:
    """virsh setvcpus, up and down; what the guest will not give stays, and a daemon restart forgets nothing."""
    with Lab() as lab:
        domain, console = lab.boot(body="<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/>"
                                        "<vcpu id='1' enabled='yes' hotpluggable='yes'/></vcpus>", vcpus=4)
        check(console.shell(ONLINE) == "0-1" and domain.vcpusFlags() == 2, "two of four are there from the start")
        domain.setVcpus(4)
        check([vcpu[0] for vcpu in domain.vcpus()[0]] == [0, 1, 2, 3], "four in the domain")
        wait_for("four processors", lambda: console.shell("ls -d /sys/devices/system/cpu/cpu[0-9] | wc -l") == "4", 20)
        console.shell("for cpu in 2 3; do echo 1 >/sys/devices/system/cpu/cpu$cpu/online; done")
        check(console.shell(ONLINE) == "0-3", "four that the guest can use")
        check(console.shell("taskset -c 3 sh -c 'echo ran'") == "ran", "work on the last")

        pin = tuple(i == 0 for i in range(os.cpu_count() or 1))
        domain.pinVcpu(3, pin)
        domain.setVcpus(3)
        check(console.shell(ONLINE) == "0-2" and domain.vcpusFlags() == 3, "the last is gone")
        domain.setVcpus(1)
        check(console.shell(ONLINE) == "0" and domain.vcpusFlags() == 1, "and all but the first")
        refused(lambda: domain.setVcpu("0", 0), "vCPU 0 is not hotpluggable")
        domain.setVcpu("3", 1)
        check([vcpu[0] for vcpu in domain.vcpus()[0]] == [0, 3], "one with a gap before it")
        wait_for("the processor", lambda: "cpu3" in console.shell("ls /sys/devices/system/cpu").split(), 20)
        console.shell("echo 1 >/sys/devices/system/cpu/cpu3/online")
        check(console.shell(ONLINE) == "0,3", "which the guest can use")
        domain.reset()
        console.expect("guest: up", 60)
        console.login()
        check(console.shell(ONLINE) == "0-1", "and finds again after a reset, by another number")
        domain.setVcpusFlags(3, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        check(domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_CONFIG) == 3, "of the next life")
