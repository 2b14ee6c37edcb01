# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images, chains and jobs by the stock virsh program; the guests are there and never run."""

import base64
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

import libvirt

from lib.daemon import daemon
from lib.guest import URI, Lab, disk_xml, domain_xml, monitor_pid, refused, virsh, wait_for_state
from lib.harness import check, command, test, wait_for
from lib.held_storage import HeldStorage
from lib.images import MIB, another_daemon, chain, create, holds, qcow2_xml, storage_daemon
from lib.servers import https_server

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "cli"))
from vireo_pki import Certificates  # pylint: disable=import-error,wrong-import-position


def start_paused(lab: Lab, devices: str) -> libvirt.virDomain:
    """A domain whose guest has not begun to run."""
    name = lab.name()
    path = pathlib.Path(lab.directory) / f"{name}.xml"
    path.write_text(domain_xml(name, devices), encoding="ascii")
    virsh("define", str(path))
    virsh("start", "--paused", name)
    return lab.connection.lookupByName(name)


def restarted(lab: Lab, domain: libvirt.virDomain) -> libvirt.virDomain:
    """The domain as another daemon finds it."""
    name = domain.name()
    daemon.restart()
    lab.reconnect()
    domain = lab.connection.lookupByName(name)
    wait_for("the domain to be found", lambda: domain.isActive() and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED)
    return domain


@test(limit=60, alone=True, paused=True)
def volumes_and_jobs() -> None:
    """vol-create-as --backing-vol, a disk of it; blockcommit, blockpull, blockcopy, blockjob, blockresize as typed."""
    with Lab() as lab:
        virsh("pool-create-as", lab.prefix, "dir", "--target", lab.directory)
        try:
            paths: "list[str]" = []
            for number in range(4):
                volume = f"{number}.qcow2"
                behind = ["--backing-vol", f"{number - 1}.qcow2", "--backing-vol-format", "qcow2"] if number else []
                virsh("vol-create-as", lab.prefix, volume, "16M", "--format", "qcow2", *behind)
                paths.insert(0, virsh("vol-path", "--pool", lab.prefix, volume).strip())
                command("qemu-io", "-f", "qcow2", "-c", f"write -P {0x11 * (number + 1)} {number + 1}M 1M", paths[0])
            domain = start_paused(lab, f"<disk type='volume'><driver type='qcow2'/><source pool='{lab.prefix}' "
                                  "volume='3.qcow2'/><target dev='vda' bus='virtio'/></disk>")
            name = domain.name()
            check(chain(domain)[1:] == paths[1:], f"what is behind the volume: {chain(domain)}")

            virsh("blockcommit", name, "vda", "--top", paths[1], "--base", paths[2], "--delete", "--wait")
            check(chain(domain)[1:] == paths[2:], f"after the commit in the middle: {chain(domain)}")
            check(not os.path.exists(paths[1]), "what was committed is removed")

            # Slowly, so that the daemon is another one before it is ready.
            virsh("blockcommit", name, "vda", "--base", paths[2], "--active", "--bandwidth", "65536", "--bytes")
            domain = restarted(lab, domain)
            check("Active Block Commit" in virsh("blockjob", name, "vda", "--info"), "the job that was begun")
            virsh("blockjob", name, "vda", "--bandwidth", "0")
            wait_for("a commit that is ready", lambda: "ready='yes'" in domain.XMLDesc())
            virsh("blockjob", name, "vda", "--pivot")
            check(chain(domain) == paths[2:], f"after the active commit: {chain(domain)}")

            virsh("blockpull", name, "vda", "--wait")
            check(chain(domain) == [paths[2]], f"after the pull: {chain(domain)}")
            copy = f"{lab.directory}/copy.qcow2"
            virsh("blockcopy", name, "vda", copy, "--format", "qcow2", "--wait", "--pivot")
            check(chain(domain) == [copy], f"after the copy: {chain(domain)}")
            virsh("blockresize", name, "vda", "20M")
            check(str(20 * MIB) in virsh("domblkinfo", name, "vda"), "its new size, as soon as virsh has said so")
            check(not virsh("blockjob", name, "vda").strip(), "nothing is left to do")
            check(copy in virsh("domblklist", name, "--inactive"), "the definition follows")
            virsh("destroy", name)
            check(all(holds(copy, 0x11 * (number + 1), f"{number + 1}M") for number in range(4)), "all data is there")
        finally:
            virsh("pool-destroy", lab.prefix)


@test(limit=60, alone=True, paused=True)
def interrupted_snapshots() -> None:
    """What a daemon leaves that ends in the middle of a snapshot is put right by the next, with and without the
    storage daemon that knew how far it was."""
    with Lab() as lab:
        raw = create(f"{lab.directory}/raw.img", "4M", kind="raw", pattern=0x11)
        data = create(f"{lab.directory}/data.qcow2", pattern=0x22)
        domain = start_paused(lab, disk_xml(raw) + qcow2_xml(data, "vdb"))
        name = domain.name()
        status = pathlib.Path(f"/run/libvirt/vireo/{name}.xml")
        new = {disk: f"{lab.directory}/{disk}.new" for disk in ("vda", "vdb")}
        left = create(f"{lab.directory}/left.qcow2")
        before = status.read_text("utf-8")

        def interrupted(switching: bool, storage_too: bool, *images: "tuple[str, str]") -> libvirt.virDomain:
            """The daemon has ended when all that the status said of these images was this."""
            overlays = "".join(f"<overlay disk='{disk}' path='{path}' made='yes'/>" for disk, path in images)
            daemon.kill()
            if storage_too:
                os.kill(storage_daemon(domain), signal.SIGKILL)
            how = " switching='yes'" if switching else ""
            status.write_text(before.replace("<images ", f"<overlays{how}>{overlays}</overlays><images ", 1), "utf-8")
            daemon.start()
            lab.reconnect()
            found = lab.connection.lookupByName(name)
            wait_for("nothing to be under way", lambda: "<overlays" not in status.read_text("utf-8"))
            return found

        # It was making the first image.
        domain = interrupted(False, False, ("vda", left))
        check(not os.path.exists(left) and chain(domain) == [raw], "what it had made is removed, and nothing else")

        # Both disks were in new images, but nobody had written that down; and it had made a third.
        virsh("snapshot-create-as", name, "s", "--disk-only", "--atomic", "--diskspec", f"vda,file={new['vda']}",
              "--diskspec", f"vdb,file={new['vdb']}")
        create(left)
        for storage_too in (False, True):
            domain = interrupted(True, storage_too, *new.items(), ("vdb", left))
            check(chain(domain) == [new["vda"], raw], f"vda: {chain(domain)}")
            check(chain(domain, "vdb") == [new["vdb"], data], f"vdb: {chain(domain, 'vdb')}")
            check(not os.path.exists(left), "the third is removed")
            refused(lambda: domain.blockCommit("vdb", None, None, 0, 0), "active")
        for disk in new:
            virsh("blockcommit", name, disk, "--active", "--pivot")
        check(chain(domain) == [raw] and chain(domain, "vdb") == [data], "jobs find the images")

        # Neither had passed to the storage daemon, which is gone; it serves the second disk.
        before = status.read_text("utf-8")
        for path in new.values():
            create(path)
        domain = interrupted(True, True, *new.items())
        check(chain(domain) == [raw] and chain(domain, "vdb") == [data], f"as before: {chain(domain)}")
        check(not any(os.path.exists(path) for path in new.values()), "and the images are removed")
        virsh("destroy", name)
        check(holds(raw, 0x11, "1M", "raw") and holds(data, 0x22, "1M"), "nothing is lost")
        virsh("undefine", name, "--snapshots-metadata")
        lab.names.remove(name)


@test(limit=60, alone=True, paused=True)
def interrupted_pivots() -> None:
    """Daemons that are killed while a disk goes on in another image: it is the one that the guest could write to last."""
    with Lab() as lab:
        storage = HeldStorage(lab.directory)
        with storage.in_path():
            daemon.restart()
        try:
            lab.reconnect()
            base = create(f"{lab.directory}/base.qcow2", pattern=0x11)
            top = create(f"{lab.directory}/top.qcow2", backing=base)
            domain = start_paused(lab, qcow2_xml(top))
            name = domain.name()

            def killed(at: str, both: bool, *job: str, how: str = "") -> libvirt.virDomain:
                """The daemon, or both, are killed when the storage daemon's monitor has fallen silent."""
                virsh(*job)
                wait_for("a job that is ready", lambda: "ready='yes'" in domain.XMLDesc())
                storage.at(at)
                pivot = subprocess.Popen(["virsh", "-c", URI, "blockjob", name, "vda", "--pivot", *how.split()],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                wait_for("that moment", storage.is_held)
                if how == "--async":
                    pivot.wait()
                    refused(lambda: domain.blockJobAbort("vda", 0), "about to end")
                daemon.kill()
                pivot.wait()
                if both:
                    os.kill(storage_daemon(domain), signal.SIGKILL)
                storage.at(None)
                with storage.in_path():
                    daemon.start()
                lab.reconnect()
                found = lab.connection.lookupByName(name)
                wait_for("the end of the job", lambda: "<mirror" not in found.XMLDesc() and not found.blockJobInfo("vda"))
                return found

            def copy(path: str, *options: str) -> "list[str]":
                return ["blockcopy", name, "vda", f"{lab.directory}/{path}", "--format", "qcow2", *options]

            # Nobody heard that the copy is what the guest writes to now; nor that the job was dismissed.
            domain = killed("concluded", True, *copy("1"))
            check(chain(domain) == [f"{lab.directory}/1"], f"a copy: {chain(domain)}")
            check(f"{lab.directory}/1" in virsh("domblklist", name, "--inactive"), "the definition follows")
            domain = killed("after job-dismiss", False, *copy("2"))
            check(chain(domain) == [f"{lab.directory}/2"], f"a copy, the job of which is dismissed: {chain(domain)}")

            # The guest could not write to it yet: that goes on when the storage daemon lives, and else is over.
            domain = killed("pending", False, *copy("3"), how="--async")
            check(chain(domain) == [f"{lab.directory}/3"], f"a copy in the end: {chain(domain)}")
            domain = killed("pending", True, *copy("4"))
            check(chain(domain) == [f"{lab.directory}/3"], f"no copy: {chain(domain)}")

            virsh("snapshot-create-as", name, "--disk-only", "--no-metadata", "--diskspec",
                  f"vda,file={lab.directory}/5")
            domain = killed("concluded", True, "blockcommit", name, "vda", "--active")
            check(chain(domain) == [f"{lab.directory}/3"], f"after the commit: {chain(domain)}")
            virsh(*copy("6", "--wait", "--pivot"))
            check(chain(domain) == [f"{lab.directory}/6"], f"jobs go on as ever: {chain(domain)}")

            # The storage daemon alone, when it has put an image on top and not said so.
            storage.at("after \"transaction\"")
            snapshot = subprocess.Popen(["virsh", "-c", URI, "snapshot-create-as", name, "--disk-only", "--no-metadata",
                                         "--diskspec", f"vda,file={lab.directory}/8"])
            wait_for("that moment", storage.is_held)
            pid = storage_daemon(domain)
            os.kill(pid, signal.SIGKILL)
            storage.at(None)
            check(snapshot.wait() == 0, "a snapshot")
            another_daemon(domain, pid)
            check(chain(domain) == [f"{lab.directory}/{image}" for image in (8, 6)], f"it is there: {chain(domain)}")

            # The guest ends with both, in the middle of a copy.
            virsh(*copy("7"))
            check("block job already" in virsh("detach-disk", name, "vda", "--live", fails=True), "the job needs its disk")
            pids = storage_daemon(domain), monitor_pid(domain)
            daemon.kill()
            os.kill(pids[1], signal.SIGKILL)
            daemon.start()
            lab.reconnect()
            domain = lab.connection.lookupByName(name)
            wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
            check(not os.path.exists(f"/proc/{pids[0]}/exe"), "the storage daemon does not outlive its guest")
            check(not any(os.stat(f"{lab.directory}/{image}").st_uid for image in (3, 7, 8)), "images are given back")
            check(holds(f"{lab.directory}/6", 0x11, "1M"), "nothing is lost")
        finally:
            daemon.restart()


NBD_PKI = "/etc/pki/libvirt-nbd"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except ConnectionRefusedError:
        return False


def install_certificates(creds: Certificates) -> None:
    os.makedirs(NBD_PKI)
    shutil.copy(creds.path / "ca-cert.pem", NBD_PKI)
    for kind, path in zip(("cert", "key"), creds.client):
        shutil.copy(path, f"{NBD_PKI}/client-{kind}.pem")
        shutil.chown(f"{NBD_PKI}/client-{kind}.pem", "vireo")


def copied(lab: Lab, domain: libvirt.virDomain, target: str) -> bytes:
    """The second MiB of a disk."""
    path = f"{lab.directory}/{target}.copy"
    virsh("blockcopy", domain.name(), target, path, "--format", "raw", "--wait", "--finish")
    with open(path, "rb") as file:
        file.seek(MIB)
        return file.read(MIB)


@test(limit=60, alone=True, paused=True)
def servers() -> None:
    """An image by nbd over TCP, with TLS; one by https, with cookies and a password that libvirt keeps."""
    with Lab() as lab:
        plain = create(f"{lab.directory}/plain.qcow2", "4M", pattern=0x31)
        raw = create(f"{lab.directory}/raw.img", "4M", kind="raw", pattern=0x32)
        creds = Certificates(pathlib.Path(lab.directory))
        port = free_port()
        word = base64.b64encode(b"reader:open sesame").decode()
        web = https_server(lab.directory, raw, Cookie="id=7; of=vireo", Authorization=f"Basic {word}")
        nbd = subprocess.Popen(["qemu-nbd", "-t", "-x", "export", "-f", "qcow2", "-b", "127.0.0.1", "-p", str(port),
                                "--object", creds.object(",verify-peer=on"), "--tls-creds", "tls", plain])
        password = lab.connection.secretDefineXML("<secret ephemeral='yes' private='yes'><usage type='iscsi'>"
                                                  f"<target>{lab.prefix}</target></usage></secret>")
        try:
            wait_for("the nbd server", lambda: listens(port), 10)
            domain = lab.define(
                "<disk type='network'><driver type='raw'/><source protocol='nbd' name='export' tls='yes'>"
                f"<host name='localhost' port='{port}'/></source><target dev='vda' bus='virtio'/></disk>"
                "<disk type='network'><driver type='raw'/>"
                f"<auth username='reader'><secret type='iscsi' usage='{lab.prefix}'/></auth>"
                f"<source protocol='https' name='/raw.img'><host name='localhost' port='{web.server_port}'/>"
                "<cookies><cookie name='id'>7</cookie><cookie name='of'>vireo</cookie></cookies></source>"
                "<target dev='vdb' bus='virtio'/><readonly/></disk>")

            def start() -> None:
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

            refused(start, NBD_PKI)
            install_certificates(creds)
            refused(start, "secret")
            password.setValue(b"sesame")
            refused(start, "401")
            password.setValue(b"open sesame")
            start()
            check(copied(lab, domain, "vda") == bytes([0x31]) * MIB, "what came by nbd")
            check(str(4 * MIB) in virsh("domblkinfo", domain.name(), "vdb"), "what came by https")
            text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
            check("open sesame" not in text and word not in text, "no secret in the XML")
        finally:
            password.undefine()
            nbd.terminate()
            nbd.wait()
            web.shutdown()
            shutil.rmtree(NBD_PKI, ignore_errors=True)
