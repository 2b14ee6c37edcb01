# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks of other processes as block nodes (-blockdev virtio-blk-vhost-user)."""

import os
import subprocess

from lib.guest import Lab
from lib.harness import check, command, test, wait_for
from lib.monitor import Monitor, QmpError
from test_vhost import StorageDaemon

REGIONS = 4  # of 4 MiB


def digests(monitor: Monitor, where: str) -> "list[str]":
    """Of each region of the disk, or of what it should be."""
    text = monitor.shell.shell("echo 3 >/proc/sys/vm/drop_caches; " + "; ".join(
        f"dd if={where} bs=64k skip={64 * region} count=64 2>/dev/null | sha256sum" for region in range(REGIONS)))
    return text.split()[::2]


def replaces(monitor: Monitor, node: str) -> bool:
    """Whether the disk has the node now."""
    try:
        monitor.qmp.execute("x-vireo-blockdev-replace", id="d", node_name=node)
    except QmpError:
        return False
    return True


@test(limit=170)
def node_of_another_process() -> None:
    """A qcow2 image behind a daemon that is killed under load, and a disk that changes its node."""
    with Lab() as lab, StorageDaemon(lab) as daemon:
        raw = os.path.join(lab.directory, "disk.raw")
        with Monitor("-object", "memory-backend-memfd,id=ram0,size=160M,share=on", "-machine", "memory-backend=ram0",
                     "-blockdev", f"driver=virtio-blk-vhost-user,node-name=v,path={daemon.socket}",
                     "-device", "pcie-root-port,id=port,chassis=1", "-device", "virtio-blk-pci,id=d,drive=v,bus=port",
                     ) as monitor:
            shell, qmp = monitor.shell, monitor.qmp
            shell.shell("dd if=/dev/urandom of=/tmp/data bs=64k count=256 2>/dev/null")
            # Nothing is flushed but at the end, and new clusters are written all the time.
            for region in range(REGIONS):
                shell.shell(f"(dd if=/tmp/data of=/dev/vda bs=8k skip={512 * region} seek={512 * region} count=512 "
                            f"oflag=direct 2>/tmp/result{region}; echo $? >/tmp/done{region}) & true")
            for _ in range(3):
                allocated = os.stat(daemon.image).st_blocks
                wait_for("some of it is written", lambda: os.stat(daemon.image).st_blocks > allocated + 1000 or
                         shell.shell("ls /tmp/done* 2>/dev/null | wc -l").strip() != "0", 20, 0.02)
                daemon.kill()
                # A guest that is stopped meanwhile waits for nobody.
                qmp.execute("stop")
                qmp.execute("cont")
                daemon.start()
            wait_for("all is written", lambda: shell.shell("cat /tmp/done* 2>/dev/null | wc -l").strip() == "4", 60)
            check(shell.shell("cat /tmp/done*").split() == ["0"] * REGIONS, "nothing failed")
            data = digests(monitor, "/tmp/data")
            check(digests(monitor, "/dev/vda") == data, "every byte is where it belongs")
            check("error" not in shell.shell("dmesg | grep -i vda; true"), "the guest saw no error")
            check(not [event for event in qmp.events if event["event"] == "BLOCK_IO_ERROR"], "there was none")

            # The same disk from a raw image, while its daemon is not there: also what that lost is in it.
            daemon.kill()
            command("qemu-img", "convert", "-O", "raw", daemon.image, raw)
            qmp.execute("blockdev-add", driver="file", node_name="f", filename=raw)
            qmp.execute("x-vireo-blockdev-replace", id="d", node_name="f")
            check(digests(monitor, "/dev/vda") == data, "the other image has it, too")
            shell.shell("dd if=/dev/zero of=/dev/vda bs=64k count=64 conv=fsync")
            daemon.start()
            wait_for("the node is connected", lambda: replaces(monitor, "v"), 20)
            shell.shell("dd if=/tmp/data of=/dev/vda bs=64k count=64 conv=fsync")
            check(digests(monitor, "/dev/vda")[0] == data[0], "the first one goes on")

            # Nobody waits for one that is not there at the end.
            shell.shell("dd if=/dev/vda of=/dev/null bs=64k count=512 iflag=direct 2>/dev/null & true")
            daemon.kill()
            qmp.execute("quit")
            check(monitor.ended() == 0, "the monitor ends")
        check(subprocess.run(["cmp", "-n", "4194304", raw, "/dev/zero"], check=False).returncode == 0,
              "the raw image has what was written to it")
