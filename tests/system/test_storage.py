# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks whose images are not raw: the storage daemon, backing chains, pools, and what may go wrong."""

import base64
import os
import pathlib
import signal
import subprocess

import libvirt

from lib.daemon import daemon
from lib.guest import Lab, device_count, refused, virsh
from lib.harness import check, command, say, test, wait_for
from lib.images import (MIB, another_daemon, chain, create, guest_sum, guest_write, holds, pattern_sum, qcow2_xml,
                        storage_daemon)
from lib.servers import https_server


@test(limit=240)
def backing_chain() -> None:
    """qcow2 on qcow2 on raw: what the guest reads and writes, and what the files then hold."""
    with Lab() as lab:
        raw = create(f"{lab.directory}/base.img", kind="raw", pattern=0x11)
        middle = create(f"{lab.directory}/middle.qcow2", backing=raw, backing_kind="raw")
        command("qemu-io", "-f", "qcow2", "-c", "write -P 0x22 3M 1M", middle)
        top = create(f"{lab.directory}/top.qcow2", backing=middle)
        # What the monitor's block layer has is there for every format.
        domain, console = lab.boot(qcow2_xml(top, extra="<serial>of-a-chain</serial><iotune><total_iops_sec>900"
                                             "</total_iops_sec></iotune>"))
        check(console.shell("cat /sys/block/vda/serial") == "of-a-chain", "the serial number")
        check(domain.blockIoTune("vda")["total_iops_sec"] == 900, "a limit")

        check(chain(domain) == [top, middle, raw], f"the chain in the XML: {chain(domain)}")
        check("<backingStore" not in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "not in the definition")
        check(guest_sum(console, 1) == pattern_sum(0x11), "what the raw image holds")
        check(guest_sum(console, 3) == pattern_sum(0x22), "what the middle holds")
        guest_write(console, 0x33, 5)
        check(domain.blockStats("vda")[3] == MIB, f"what was written is counted: {domain.blockStats('vda')}")
        info = domain.blockInfo("vda")
        check(info[0] == 16 * MIB and info[1] < 8 * MIB, f"sizes {info}")
        virsh("blockresize", domain.name(), "vda", "20M")
        check(domain.blockInfo("vda")[0] == 20 * MIB, "it is larger when virsh says so")
        wait_for("a larger disk", lambda: console.shell("cat /sys/block/vda/size") == str(20 << 11), 20)

        # The daemon of libvirt's comes back, that of the images stays.
        pid = storage_daemon(domain)
        group = pathlib.Path(f"/proc/{pid}/cgroup").read_text("ascii").strip().removeprefix("0::")
        check(group.endswith("/storage"), f"a cgroup of its own: {group}")
        name = domain.name()
        daemon.restart()
        lab.reconnect()
        domain = lab.connection.lookupByName(name)
        console = lab.console(domain)
        console.login()
        check(storage_daemon(domain) == pid, "the same process serves the disk")
        check(domain.blockInfo("vda")[0] == 20 * MIB, "and answers")
        check(guest_sum(console, 5) == pattern_sum(0x33), "what was written")

        # Killed: another serves the disk, and the guest goes on.
        os.kill(pid, signal.SIGKILL)
        another_daemon(domain, pid)
        check(guest_sum(console, 1) == pattern_sum(0x11), "the disk is back")
        guest_write(console, 0x44, 7)

        # Killed while nobody watches.
        pid = storage_daemon(domain)
        daemon.kill()
        os.kill(pid, signal.SIGKILL)
        daemon.start()
        lab.reconnect()
        domain = lab.connection.lookupByName(name)
        another_daemon(domain, pid)
        console = lab.console(domain)
        console.login()
        check(guest_sum(console, 7) == pattern_sum(0x44), "the disk is back again")

        pid = storage_daemon(domain)
        domain.destroy()
        check(not os.path.exists(f"/proc/{pid}"), "the storage daemon has ended")
        check(not os.path.exists(f"/sys/fs/cgroup{group}"), "and its cgroup is gone")
        check(domain.blockInfo("vda")[0] == 20 * MIB, "the size that the file tells")
        for path, byte, offset in ((top, 0x33, "5M"), (top, 0x44, "7M"), (top, 0x11, "1M"), (middle, 0x22, "3M")):
            check(holds(path, byte, offset), f"{byte} at {offset} of {path}")
        check(holds(middle, 0, "5M"), "nothing was written to what is behind")
        check("No errors" in command("qemu-img", "check", top), "the image is whole")


@test(limit=180)
def formats_volumes_and_hotplug() -> None:
    """Volumes and what is behind them by virsh; images of each format that a guest reads and writes."""
    with Lab() as lab:
        virsh("pool-create-as", lab.prefix, "dir", "--target", lab.directory)
        try:
            virsh("vol-create-as", lab.prefix, "base.qcow2", "16M", "--format", "qcow2")
            base = virsh("vol-path", "--pool", lab.prefix, "base.qcow2").strip()
            command("qemu-io", "-f", "qcow2", "-c", "write -P 0x55 1M 1M", base)
            virsh("vol-create-as", lab.prefix, "top.qcow2", "16M", "--format", "qcow2", "--backing-vol", "base.qcow2",
                  "--backing-vol-format", "qcow2")
            domain, console = lab.boot(
                f"<disk type='volume'><driver type='qcow2'/><source pool='{lab.prefix}' volume='top.qcow2'/>"
                "<target dev='vda' bus='virtio'/></disk>")
            check(guest_sum(console, 1) == pattern_sum(0x55), "a volume with what is behind it")
            check("16777216" in virsh("domblkinfo", domain.name(), "vda"), "its size")

            for kind in ("vmdk", "vdi", "vpc", "qcow2"):
                image = create(f"{lab.directory}/disk.{kind}", kind=kind, pattern=0x66)
                virsh("attach-disk", domain.name(), image, "vdb", "--targetbus", "virtio", "--driver", "qemu",
                      "--subdriver", kind)
                console.shell("until [ -b /dev/vdb ]; do sleep 0.1; done")
                digest = console.shell("dd if=/dev/vdb bs=1M skip=1 count=1 2>/dev/null | md5sum | cut -c1-32")
                check(digest == pattern_sum(0x66), f"what a {kind} image holds")
                console.shell("tr '\\0' '\\167' </dev/zero | dd of=/dev/vdb bs=1M seek=3 count=1 iflag=fullblock "
                              "oflag=direct conv=fsync 2>/dev/null")
                virsh("detach-disk", domain.name(), "vdb")
                wait_for("the disk to go", lambda: device_count(domain, "disk") == 1, 30)
                command("qemu-img", "check", image) if kind != "vpc" else say("vpc has no check")
                check(holds(image, 0x77, "3M", kind) and holds(image, 0x66, "1M", kind), f"the guest's, in {kind}")
            domain.destroy()
        finally:
            virsh("pool-destroy", lab.prefix)


@test(limit=120)
def bad_images() -> None:
    """Chains that are broken, and headers that lie: refused by name, nothing left behind."""
    with Lab() as lab:
        directory = lab.directory
        missing = create(f"{directory}/missing.qcow2", backing=create(f"{directory}/gone.qcow2"))
        os.unlink(f"{directory}/gone.qcow2")
        refused(lambda: lab.start(qcow2_xml(missing)), "gone.qcow2")

        behind = create(f"{directory}/behind-loop.qcow2")
        loop = create(f"{directory}/loop.qcow2", backing=behind)
        command("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", loop, behind)
        refused(lambda: lab.start(qcow2_xml(loop)), "self-referential")

        corrupt = create(f"{directory}/corrupt.qcow2")
        with open(corrupt, "r+b") as file:
            file.seek(40)
            file.write(b"\xff" * 16)  # where the table of clusters is said to be
        refused(lambda: lab.start(qcow2_xml(corrupt)), "corrupt.qcow2")

        # An image without the format of what is behind it, which is not guessed.
        unsaid = create(f"{directory}/unsaid.qcow2", backing=create(f"{directory}/behind.qcow2",
                                                                    backing=create(f"{directory}/last.qcow2")))
        with open(unsaid, "r+b") as file:
            data = file.read(65536)
            at = data.index(b"\xe2\x79\x2a\xca")  # the header extension with the format
            file.seek(at)
            file.write(b"\x12\x34\x56\x78")
        refused(lambda: lab.start(qcow2_xml(unsaid)), "format of backing image")

        # What is called raw is raw, whatever a guest wrote to its beginning.
        secret = create(f"{directory}/secret.img", kind="raw", pattern=0x77)
        liar = create(f"{directory}/liar.img", backing=secret, backing_kind="raw")
        os.truncate(liar, MIB)
        domain, console = lab.boot(qcow2_xml(liar, kind="raw"))
        check(console.shell("cat /sys/block/vda/size") == str(MIB // 512), "the file, not what its header says")
        check(console.shell("dd if=/dev/vda bs=3 count=1 2>/dev/null") == "QFI", "the header is data")
        check(chain(domain) == [liar], "nothing behind it")
        check(not os.path.exists(f"/run/libvirt/vireo/{domain.name()}.storage-pid"), "no storage daemon for that")


@test(limit=240)
def killed_under_load() -> None:
    """The guest sees a pause and no error, and all that it wrote is there. What XML says of chains holds."""
    with Lab() as lab:
        directory = lab.directory
        image = create(f"{directory}/load.qcow2", "64M", backing=create(f"{directory}/base.qcow2", "64M"))
        secret = create(f"{directory}/secret.img", kind="raw", pattern=0x77)
        ends = create(f"{directory}/ends.qcow2", backing=secret, backing_kind="raw")
        liar = create(f"{directory}/liar.img", backing=secret, backing_kind="raw")
        os.truncate(liar, 16 * MIB)
        above = create(f"{directory}/above.qcow2", backing=liar, backing_kind="raw")
        domain, console = lab.boot(qcow2_xml(image) + qcow2_xml(ends, "vdb", "<backingStore/>") + qcow2_xml(above, "vdc"))

        check(chain(domain, "vdb") == [ends], "the chain that the XML ends")
        check(console.shell("dd if=/dev/vdb bs=1M skip=1 count=1 2>/dev/null | md5sum | cut -c1-32") == pattern_sum(0),
              "what the header names is not read")
        check(chain(domain, "vdc") == [above, liar], f"raw is the end: {chain(domain, 'vdc')}")
        check(console.shell("dd if=/dev/vdc bs=3 count=1 2>/dev/null") == "QFI", "its header is data")

        # Four writers, each with a quarter of the disk, which they fill again and again, each time with
        # another byte: many requests are under way.
        console.shell("cat >/load <<'END'\n"
                      "p=0; while [ ! -e /stop ]; do p=$((p+1)); i=$(($1*16)); while [ $i -lt $(($1*16+16)) ]; do\n"
                      "dd if=/pattern$((p%4)) of=/dev/vda bs=1M seek=$i count=1 oflag=direct 2>>/dd || echo $i >>/failed\n"
                      "echo $i >>/done; i=$((i+1)); done; echo $((p%4)) >/last$1; done\nEND\n"
                      "set +m; for b in 0 1 2 3; do tr '\\0' \"\\12$b\" </dev/zero | dd of=/pattern$b bs=1M count=1 "
                      "iflag=fullblock 2>/dev/null; done; for w in 0 1 2 3; do sh /load $w & done; true")

        def done() -> int:
            return int(console.shell("grep -c . /done || true", status=None) or 0)

        for _ in range(3):
            before = done()
            wait_for("the load", lambda: done() > before, 30)
            pid = storage_daemon(domain)
            os.kill(pid, signal.SIGKILL)
            another_daemon(domain, pid)
        wait_for("the disk to be filled", lambda: done() >= 80, 60)
        console.shell("touch /stop; wait", limit=60)
        console.shell("[ ! -e /failed ]")
        check("error" not in console.shell("dmesg | grep vda || true").lower(), "no error is seen")
        last = [0x50 + int(console.shell(f"cat /last{writer}")) for writer in range(4)]
        # Until here nobody has flushed anything.
        console.shell("dd if=/dev/null of=/dev/vda conv=fsync,notrunc 2>/dev/null")
        os.kill(storage_daemon(domain), signal.SIGKILL)
        domain.destroy()
        check(all(holds(image, last[i // 16], f"{i}M") for i in range(64)), "all of it is there")
        # A daemon that is killed may leave clusters that nothing refers to (status 3).
        check(subprocess.run(["qemu-img", "check", "-q", image], check=False).returncode in (0, 3), "the image is whole")


@test(limit=240)
def secrets_and_networks() -> None:
    """LUKS with a secret of libvirt's, and images on other machines: by nbd, https and http."""
    with Lab() as lab:
        directory = lab.directory
        phrase = f"data={base64.b64encode(b'open sesame').decode()},format=base64"
        luks, inside = f"{directory}/luks.img", f"{directory}/inside.qcow2"
        for path, kind, prefix in ((luks, "luks", ""), (inside, "qcow2", "encrypt.")):
            encrypted = ["-o", "encrypt.format=luks"] if prefix else []
            command("qemu-img", "create", "-q", "-f", kind, "--object", f"secret,id=s,{phrase}", *encrypted, "-o",
                    f"{prefix}key-secret=s,{prefix}iter-time=10", path, "16M")
        plain = create(f"{directory}/plain.qcow2", pattern=0x31)
        raw = create(f"{directory}/raw.img", kind="raw", pattern=0x32)
        server = https_server(directory, raw)
        socket = f"{directory}/nbd.sock"
        nbd = subprocess.Popen(["qemu-nbd", "-t", "-x", "export", "-f", "qcow2", "-k", socket, plain])
        secret = lab.connection.secretDefineXML("<secret ephemeral='yes' private='yes'/>")
        try:
            encryption = f"<encryption format='luks'><secret type='passphrase' uuid='{secret.UUIDString()}'/></encryption>"

            def luks_xml(path: str, target: str, kind: str) -> str:
                return (f"<disk type='file'><driver type='{kind}'/><source file='{path}'>{encryption}</source>"
                        f"<target dev='{target}' bus='virtio'/></disk>")

            wait_for("the nbd server", lambda: os.path.exists(socket), 10)
            os.chmod(socket, 0o777)
            devices = (luks_xml(luks, "vda", "raw") + luks_xml(inside, "vdb", "qcow2") +
                       "<disk type='network'><driver type='raw'/><source protocol='nbd' name='export'>"
                       f"<host transport='unix' socket='{socket}'/></source><target dev='vdc' bus='virtio'/></disk>"
                       "<disk type='network'><driver type='raw'/><source protocol='https' name='/raw.img'>"
                       f"<host name='localhost' port='{server.server_port}'/><timeout seconds='60'/></source>"
                       "<target dev='vdd' bus='virtio'/><readonly/></disk>")
            domain = lab.define(devices)
            refused(domain.create, "secret")
            secret.setValue(b"wrong")
            refused(domain.create, "password")
            secret.setValue(b"open sesame")
            domain.create()
            console = lab.console(domain)
            console.login()
            check("open sesame" not in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE), "no secret in the XML")
            for target, byte in (("vdc", 0x31), ("vdd", 0x32)):
                digest = console.shell(f"dd if=/dev/{target} bs=1M skip=1 count=1 2>/dev/null | md5sum | cut -c1-32")
                check(digest == pattern_sum(byte), f"what {target} holds")
            check(console.shell("cat /sys/block/vdd/ro") == "1", "what cannot be written is read-only")
            for target in ("vda", "vdb", "vdc"):
                console.shell(f"tr '\\0' '\\063' </dev/zero | dd of=/dev/{target} bs=1M seek=2 count=1 "
                              "iflag=fullblock oflag=direct conv=fsync 2>/dev/null")
            # The daemon asks for the secret again, for nobody.
            pid = storage_daemon(domain)
            os.kill(pid, signal.SIGKILL)
            another_daemon(domain, pid)
            for target in ("vda", "vdb", "vdc"):
                digest = console.shell(f"dd if=/dev/{target} bs=1M skip=2 count=1 iflag=direct 2>/dev/null | md5sum "
                                       "| cut -c1-32")
                check(digest == pattern_sum(0x33), f"{target} again")
            domain.destroy()
            for path, kind, name in ((luks, "luks", "key-secret"), (inside, "qcow2", "encrypt.key-secret")):
                said = command("qemu-io", "--object", f"secret,id=s,{phrase}", "-c", "read -P 0x33 2M 1M", "--image-opts",
                               f"driver={kind},file.filename={path},{name}=s")
                check("verification failed" not in said, f"what {path} holds")
                with open(path, "rb") as file:
                    check(b"\x33" * 4096 not in file.read(), f"{path} is encrypted")
        finally:
            secret.undefine()
            nbd.terminate()
            nbd.wait()
            server.shutdown()
        check(holds(plain, 0x33, "2M"), "what came by nbd")
