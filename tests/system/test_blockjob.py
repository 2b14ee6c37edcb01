# SPDX-License-Identifier: LGPL-2.1-or-later
"""Block jobs of disks that the storage daemon serves: what they do to chain, data and files, and their events."""

import hashlib
import os
import queue
import signal
import threading
import time
import xml.etree.ElementTree as ET
from typing import Callable, Optional

import libvirt

from lib.console import Console
from lib.daemon import daemon
from lib.guest import URI, Lab, disk_xml, refused
from lib.harness import PATIENCE, check, command, test, wait_for
from lib.images import (another_daemon, chain, create, guest_sum, guest_write, holds, pattern_sum, qcow2_xml,
                        storage_daemon)


class Events:
    """Block job events of disk vda, as (type, status); the process may have one."""

    def __init__(self) -> None:
        self.queue: "queue.Queue[tuple[int, int]]" = queue.Queue()
        libvirt.virEventRegisterDefaultImpl()
        self.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def listen(self) -> None:
        """Also once the daemon is another one."""
        self.connection = libvirt.open(URI)
        self.connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
            lambda _c, _d, disk, kind, status, _o: disk == "vda" and self.queue.put((kind, status)), None)

    def run(self) -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    def expect(self, kind: int, status: int, after: "Optional[tuple[int, int]]" = None) -> None:
        """The next event is this; or it is the one after @after, which may have come before anybody listened."""
        event = self.queue.get(timeout=60 * PATIENCE)
        if event == after:
            event = self.queue.get(timeout=60 * PATIENCE)
        check(event == (kind, status), f"event {event}, not {(kind, status)}")


def layers(lab: Lab, count: int) -> "list[str]":
    """A chain, from the top: each image has its own MiB, filled with 0x11 at the bottom, 0x22 above it, ..."""
    paths: list[str] = []
    for i in range(count):
        path = f"{lab.directory}/{i}.qcow2"
        create(path, backing=paths[0] if paths else "")
        command("qemu-io", "-f", "qcow2", "-c", f"write -P {0x11 * (i + 1)} {i + 1}M 1M", path)
        paths.insert(0, path)
    return paths


def check_layers(console: object, count: int) -> None:
    for i in range(count):
        check(guest_sum(console, i + 1) == pattern_sum(0x11 * (i + 1)), f"what image {i} held")


def until_ready(domain: libvirt.virDomain) -> None:
    def ready() -> bool:
        mirror = ET.fromstring(domain.XMLDesc()).find("./devices/disk/mirror")
        return mirror is not None and mirror.get("ready") == "yes"

    wait_for("a job that is ready", ready, 30)


def job(domain: libvirt.virDomain, start: "Callable[[], int]") -> None:
    """Starts a job that ends by itself."""
    check(start() == 0, "the job has begun")
    wait_for("the end of the job", lambda: not domain.blockJobInfo("vda"), 30)


COMPLETED = libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED
READY = libvirt.VIR_DOMAIN_BLOCK_JOB_READY
FAILED = libvirt.VIR_DOMAIN_BLOCK_JOB_FAILED
CANCELED = libvirt.VIR_DOMAIN_BLOCK_JOB_CANCELED
PULL = libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_PULL
COPY = libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY
COMMIT = libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT
ACTIVE = libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT
PIVOT = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
# Bytes a second: a copy is not ready before the daemon is restarted, however slow the host.
SLOW = 1 << 17


@test(limit=240)
def pull_and_commit() -> None:
    """A chain of five becomes one image, a step at a time, while the guest writes."""
    with Lab() as lab:
        paths = layers(lab, 5)
        domain, console = lab.boot(qcow2_xml(paths[0]))
        events = Events()

        # Middle images: [4 3 2 1 0] -> [4 3 1 0]
        job(domain, lambda: domain.blockCommit("vda", paths[3], paths[2], 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_DELETE))
        events.expect(COMMIT, COMPLETED)
        check(chain(domain) == [paths[0], paths[1], paths[3], paths[4]], f"after the commit: {chain(domain)}")
        check(not os.path.exists(paths[2]), "what was committed is removed")
        check_layers(console, 5)

        # Data of the one in between moves up: -> [4 1 0]
        job(domain, lambda: domain.blockRebase("vda", paths[3], 0, 0))
        events.expect(PULL, COMPLETED)
        check(chain(domain) == [paths[0], paths[3], paths[4]], f"after the rebase: {chain(domain)}")
        check(os.path.exists(paths[1]), "what was pulled stays")

        # The top, as the guest goes on with it: -> [1 0]
        domain.blockCommit("vda", paths[3], None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        events.expect(ACTIVE, READY)
        until_ready(domain)
        guest_write(console, 0x66, 6)
        domain.blockJobAbort("vda", PIVOT)
        events.expect(ACTIVE, COMPLETED)
        check(chain(domain) == [paths[3], paths[4]], f"after the active commit: {chain(domain)}")
        definition = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        check(paths[3] in definition and paths[0] not in definition, "the definition follows")
        guest_write(console, 0x77, 7)

        # Everything: -> [1]
        job(domain, lambda: domain.blockPull("vda", 0, 0))
        events.expect(PULL, COMPLETED)
        check(chain(domain) == [paths[3]], f"after the pull: {chain(domain)}")
        check_layers(console, 7)

        domain.destroy()
        check("backing file" not in command("qemu-img", "info", paths[3]), "the image needs no other")
        for i in range(7):
            check(holds(paths[3], 0x11 * (i + 1), f"{i + 1}M"), f"{i + 1} MiB of the image")
        check("No errors" in command("qemu-img", "check", paths[3]), "it is whole")
        domain.create()
        console = lab.console(domain)
        console.login()
        check_layers(console, 7)


def copy_xml(path: str) -> str:
    return f"<disk type='file'><driver type='qcow2'/><source file='{path}'/></disk>"


def copy_of_raw(lab: Lab, domain: libvirt.virDomain, console: Console, raw: str) -> None:
    """The monitor's own image is the storage daemon's for as long as it is copied."""
    refused(lambda: domain.blockPull("vdb", 0, 0), "nothing behind it")
    refused(lambda: domain.blockCommit("vdb", None, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE), "no backing")
    for pivot in (False, True):
        path = f"{lab.directory}/vdb.{pivot}"
        domain.blockCopy("vdb", copy_xml(path), {}, 0)
        wait_for("a copy that is ready", lambda: "ready='yes'" in domain.XMLDesc(), 30)
        console.shell("head -c 65536 /dev/urandom >/part; dd if=/part of=/dev/vdb oflag=direct bs=64k 2>/dev/null")
        domain.blockJobAbort("vdb", PIVOT if pivot else 0)
        check(chain(domain, "vdb") == [path if pivot else raw], f"vdb: {chain(domain, 'vdb')}")
        console.shell("dd if=/dev/vdb iflag=direct bs=64k count=1 2>/dev/null | cmp - /part")
    with open(raw, "rb") as file:
        digest = hashlib.md5(file.read(65536)).hexdigest()
    check(digest == console.shell("md5sum </part | cut -c1-32"), "the raw image has had what came before the pivot")


@test(limit=240)
def copy_and_restarts() -> None:
    """Copies, given up and gone on with; the daemon away meanwhile; the storage daemon killed."""
    with Lab() as lab:
        paths = layers(lab, 3)
        raw = create(f"{lab.directory}/raw.img", "1M", kind="raw")
        domain, console = lab.boot(qcow2_xml(paths[0]) + disk_xml(raw, "vdb"))
        events = Events()
        slow = {libvirt.VIR_DOMAIN_BLOCK_COPY_BANDWIDTH: SLOW}
        copy_of_raw(lab, domain, console, raw)
        refused(lambda: domain.blockCopy("vda", copy_xml(paths[2]), {}, 0), "exists already")
        refused(lambda: domain.blockJobAbort("vda", 0), "no block job")

        # A copy of everything, slowly; the daemon is restarted in the middle of it.
        full = f"{lab.directory}/full.qcow2"
        domain.blockCopy("vda", copy_xml(full), slow, 0)
        info = domain.blockJobInfo("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES)
        check(info["type"] == COPY and info["bandwidth"] == SLOW, f"a copy {info}")
        refused(lambda: domain.blockPull("vda", 0, 0), "block job already")
        refused(lambda: domain.blockJobAbort("vda", PIVOT), "not ready")
        name = domain.name()
        daemon.restart()
        lab.reconnect()
        events.listen()
        domain = lab.connection.lookupByName(name)
        console = lab.console(domain)
        console.login()
        check(domain.blockJobInfo("vda")["type"] == COPY, "the copy is known again")
        domain.blockJobSetSpeed("vda", 0)
        until_ready(domain)
        domain.blockJobAbort("vda", 0)
        events.expect(COPY, CANCELED, (COPY, READY))
        check(not domain.blockJobInfo("vda") and chain(domain) == paths, "as it was before")
        check("<mirror" not in domain.XMLDesc(), "no copy any more")

        # A copy of the top, which the guest goes on with.
        shallow = f"{lab.directory}/shallow.qcow2"
        domain.blockRebase("vda", shallow, 0,
                           libvirt.VIR_DOMAIN_BLOCK_REBASE_COPY | libvirt.VIR_DOMAIN_BLOCK_REBASE_SHALLOW)
        events.expect(COPY, READY)
        until_ready(domain)
        guest_write(console, 0x44, 4)
        domain.blockJobAbort("vda", PIVOT)
        events.expect(COPY, COMPLETED)
        check(chain(domain) == [shallow, *paths[1:]], f"after the pivot: {chain(domain)}")
        check_layers(console, 4)
        guest_write(console, 0x55, 5)

        # The storage daemon is killed with a job under way: that has failed, the guest goes on.
        domain.blockCopy("vda", copy_xml(f"{lab.directory}/lost.qcow2"), slow, 0)
        pid = storage_daemon(domain)
        os.kill(pid, signal.SIGKILL)
        another_daemon(domain, pid)
        events.expect(COPY, FAILED)
        check_layers(console, 5)
        check(chain(domain) == [shallow, *paths[1:]], "as it was before")

        # A job ends while nobody watches.
        domain.blockPull("vda", 1 << 20, libvirt.VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES)
        daemon.kill()
        time.sleep(4)
        daemon.start()
        lab.reconnect()
        domain = lab.connection.lookupByName(name)
        wait_for("the end of the pull", lambda: not domain.blockJobInfo("vda"), 60)
        check(chain(domain) == [shallow], f"after the pull: {chain(domain)}")
        domain.destroy()
        for i in range(5):
            check(holds(shallow, 0x11 * (i + 1), f"{i + 1}M"), f"{i + 1} MiB of the image")
