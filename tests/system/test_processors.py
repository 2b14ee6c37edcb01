# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual processors as an unmodified kernel finds them."""

from lib.harness import check, test
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
