# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rings and I/O threads with an unmodified kernel."""

import os
import tempfile

from lib.guest import Lab, disk_xml
from lib.harness import check, command, test, wait_for
from lib.monitor import Monitor, QmpError, root_disk

RING_PACKED = 34  # virtio 1.2 §6


@test(limit=150)
def packed_rings_on_a_polling_iothread() -> None:
    """Disk and card over packed rings; the disk with a queue for each processor."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o777)
        passt = f"{directory}/passt"
        command("passt", "--stderr", "--one-off", "--runas", "0:0", "--socket", passt)
        with Monitor("-object", "iothread,id=io0,poll-max-ns=1000000,poll-grow=4",
                     "-blockdev", f"driver=file,filename={root_disk(directory)},node-name=disk0",
                     "-device", "virtio-blk-pci,drive=disk0,iothread=io0,packed=on",
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
            shell.shell("ping -c 2 -W 5 192.0.2.3")

            info = qmp.execute("query-iothreads")
            check([(entry["id"], entry["poll-max-ns"], entry["poll-grow"]) for entry in info] ==
                  [("io0", 1000000, 4)], f"the I/O thread as it was made: {info}")
            qmp.execute("qom-set", path="/objects/io0", property="poll-max-ns", value=0)
            check(qmp.execute("query-iothreads")[0]["poll-max-ns"] == 0, "it polls no more")
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
