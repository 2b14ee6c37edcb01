# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots of disks: virsh's, and as OpenStack takes them."""

import json
import os
import pathlib
import xml.etree.ElementTree as ET

import libvirt
import libvirt_qemu

from lib.agent import boot_with_agent
from lib.console import Console
from lib.daemon import daemon
from lib.guest import Lab, disk_xml, refused, virsh, wait_for_state
from lib.harness import check, test, wait_for
from lib.images import MIB, chain, create, holds, qcow2_xml

TAKE = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
FORGET = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY


def refusals(lab: Lab, domain: libvirt.virDomain, top: str) -> None:
    def take(body: str, flags: int = TAKE) -> None:
        refused_xml = f"<domainsnapshot><name>no</name>{body}</domainsnapshot>"
        domain.snapshotCreateXML(refused_xml, flags)

    refused(lambda: take("", 0), "disks only")
    others = "<disk name='vdb' snapshot='no'/><disk name='vdc' snapshot='no'/>"
    memory = f"<memory snapshot='external' file='{lab.directory}/m'/>"
    refused(lambda: take(f"{memory}<disks>{others}</disks>"), "memory")
    refused(lambda: take(f"<disks><disk name='vda' snapshot='internal'/>{others}</disks>"), "internal")
    refused(lambda: take(f"<disks><disk name='vda'><source file='{top}'/></disk>{others}</disks>"), "exists")
    refused(lambda: take(f"<disks><disk name='vda'><driver type='raw'/></disk>{others}</disks>"), "")
    refused(lambda: domain.snapshotCreateXML("<domainsnapshot><name>../no</name></domainsnapshot>", TAKE), "name")
    # The second disk's image cannot be made: the first one's is removed again.
    first = f"{lab.directory}/first.qcow2"
    refused(lambda: take(f"<disks><disk name='vda'><source file='{first}'/></disk><disk name='vdb'>"
                         f"<source file='{lab.directory}/none/second'/></disk>"
                         "<disk name='vdc' snapshot='no'/></disks>"),
            "second")
    check(not os.path.exists(first), "no image is left")
    check(chain(domain)[0] == top and domain.snapshotNum() == 0, "nothing has changed")


def offline(lab: Lab, domain: libvirt.virDomain, top: str, data: str, raw: str) -> None:
    """A domain that does not run goes on in new images, of whatever format its own are."""
    name = domain.name()
    first = f"{lab.directory}/first.qcow2"
    refused(lambda: domain.snapshotCreateXML("<domainsnapshot/>", TAKE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE),
            "not running")
    refused(lambda: domain.snapshotCreateXML("<domainsnapshot/>", 0), "disks only")
    refused(lambda: domain.snapshotCreateXML(
        f"<domainsnapshot><disks><disk name='vda'><source file='{first}'/></disk><disk name='vdb'>"
        f"<source file='{lab.directory}/none/second'/></disk></disks></domainsnapshot>", TAKE), "second")
    refused(lambda: domain.snapshotCreateXML(
        f"<domainsnapshot><disks><disk name='vda'><source file='{first}'/></disk></disks></domainsnapshot>",
        TAKE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT), "first")
    check(not os.path.exists(first) and chain(domain) == [top], "nothing has changed")

    virsh("snapshot-create-as", name, "off", "--disk-only", "--diskspec", "vdb,snapshot=no")
    root = os.path.splitext(top)[0]
    check(chain(domain) == [f"{root}.off"], f"vda: {chain(domain)}")
    check(chain(domain, "vdb") == [data], "vdb stays")
    check(chain(domain, "vdc") == [f"{lab.directory}/raw.off"], f"vdc: {chain(domain, 'vdc')}")
    check(domain.blockInfo("vdc")[0] == os.path.getsize(raw), "as large as the raw image")
    check("<state>shutoff</state>" in domain.snapshotCurrent().getXMLDesc(), "what it was like")


# One MiB of a disk, filled by the guest with a byte.
FILL = ("tr '\\0' '{}' </dev/zero | dd of=/dev/{} bs=1M seek=1 count=1 iflag=fullblock oflag=direct conv=fsync "
        "2>/dev/null")


def second_mib(path: str) -> bytes:
    """Of an image that somebody has locked."""
    with open(path, "rb") as file:
        file.seek(MIB)
        return file.read(MIB)


def node(domain: libvirt.virDomain, target: str) -> str:
    """What the monitor has behind the disk's device."""
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-block"}', 0))["return"]
    names = [entry["inserted"]["node-name"] for entry in answer if "inserted" in entry]
    return next(name for name in names if name.endswith(f"-{target}"))


def after_crash(lab: Lab, name: str, status: pathlib.Path, before: str) -> "tuple[libvirt.virDomain, Console]":
    """The daemon ends before it has written down what it has done, and another finds that out."""
    daemon.kill()
    status.write_text(before, "utf-8")
    daemon.start()
    lab.reconnect()
    domain = lab.connection.lookupByName(name)
    wait_for_state(domain, libvirt.VIR_DOMAIN_RUNNING)
    console = lab.console(domain)
    console.login()
    return domain, console


def raw_again(lab: Lab, domain: libvirt.virDomain, raw: str) -> None:
    """What was written since is merged into the raw image, which is the monitor's own then."""
    name = domain.name()
    domain.blockCommit("vdc", None, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE |
                       libvirt.VIR_DOMAIN_BLOCK_COMMIT_DELETE)
    wait_for("a commit that is ready", lambda: "ready='yes'" in domain.XMLDesc(), 30)
    domain.blockJobAbort("vdc", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
    check(chain(domain, "vdc") == [raw], f"vdc after the commit: {chain(domain, 'vdc')}")
    check(not os.path.exists(f"{lab.directory}/vdc.s1"), "what is merged is gone")
    check(node(domain, "vdc") == "drive-vdc", "the raw disk is the monitor's own again")
    check(second_mib(raw) == bytes([0x33]) * MIB, "what it holds")
    check(raw in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "in the definition, too")
    daemon.restart()
    lab.reconnect()
    check(chain(lab.connection.lookupByName(name), "vdc") == [raw], "as it was")


@test(limit=240)
def snapshots() -> None:
    """Two disks at one moment, of file systems at rest; a tree of them; what a restart and the end leave."""
    with Lab() as lab:
        base = lab.root_disk()
        top = create(f"{lab.directory}/top.qcow2", backing=base, backing_kind="raw")
        data = create(f"{lab.directory}/data.qcow2")
        raw = create(f"{lab.directory}/raw.img", "8M", kind="raw")
        domain, console = boot_with_agent(lab, qcow2_xml(data, "vdb") + disk_xml(raw, "vdc"), qcow2_xml(top))
        name = domain.name()
        refusals(lab, domain, top)

        console.shell("echo before >/state; sync")
        console.shell(FILL.format("\\042", "vdc"))
        check(node(domain, "vdc") == "drive-vdc", "a raw disk is the monitor's own")
        status = pathlib.Path(f"/run/libvirt/vireo/{name}.xml")
        before = status.read_text("utf-8")
        virsh("snapshot-create-as", name, "s1", "--disk-only", "--quiesce", "--atomic", "--diskspec",
              f"vda,file={lab.directory}/vda.s1", "--diskspec", f"vdb,file={lab.directory}/vdb.s1",
              "--diskspec", f"vdc,file={lab.directory}/vdc.s1")
        domain, console = after_crash(lab, name, status, before)
        check(chain(domain) == [f"{lab.directory}/vda.s1", top, base], f"vda: {chain(domain)}")
        check(chain(domain, "vdb") == [f"{lab.directory}/vdb.s1", data], f"vdb: {chain(domain, 'vdb')}")
        check(chain(domain, "vdc") == [f"{lab.directory}/vdc.s1", raw], f"vdc: {chain(domain, 'vdc')}")
        check(node(domain, "vdc") == "served-vdc", "the storage daemon has the raw disk, too")
        console.shell(FILL.format("\\063", "vdc"))
        check(second_mib(raw) == bytes([0x22]) * MIB, "nobody writes to the image behind it")
        raw_again(lab, domain, raw)
        domain = lab.connection.lookupByName(name)
        console = lab.console(domain)
        console.login()
        check(f"{lab.directory}/vda.s1" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "the definition follows")
        # Thawed, and written to the new images.
        console.shell("echo after >/state; sync; tr '\\0' '\\021' </dev/zero | dd of=/dev/vdb bs=1M seek=1 count=1 "
                      "iflag=fullblock oflag=direct conv=fsync 2>/dev/null")

        # With names of libvirt's own.
        domain.snapshotCreateXML("<domainsnapshot><name>s2</name><disks><disk name='vdc' snapshot='no'/></disks>"
                                 "</domainsnapshot>", TAKE)
        check(chain(domain)[0] == f"{lab.directory}/vda.s2", f"vda: {chain(domain)}")

        check(sorted(domain.snapshotListNames()) == ["s1", "s2"], "both are known")
        check(domain.snapshotCurrent().getName() == "s2", "the second is current")
        second = domain.snapshotLookupByName("s2")
        check(second.getParent().getName() == "s1", "it comes after the first")
        check(domain.snapshotLookupByName("s1").listAllChildren()[0].getName() == "s2", "which knows it")
        described = ET.fromstring(second.getXMLDesc())
        check(described.findtext("state") == "disk-snapshot" and described.find("./domain/name") is not None,
              "what the domain was like")
        refused(lambda: second.delete(), "--metadata")

        # The first is forgotten, its images merged into the oldest.
        virsh("snapshot-delete", name, "s1", "--metadata")
        check(domain.snapshotListNames() == ["s2"], "one is left")
        refused(second.getParent, "does not have a parent")
        virsh("blockcommit", name, "vda", "--active", "--pivot", "--base", top, "--delete", "--timeout", "60")
        check(chain(domain) == [top, base], f"vda after the commit: {chain(domain)}")
        check(not os.path.exists(f"{lab.directory}/vda.s1"), "what is merged is gone")

        # As OpenStack does: an image made beforehand, and nothing remembered.
        nova = create(f"{lab.directory}/nova.qcow2", backing=top)
        domain.snapshotCreateXML(
            f"<domainsnapshot><disks><disk name='vda' snapshot='external'><source file='{nova}'/></disk>"
            "<disk name='vdb' snapshot='no'/><disk name='vdc' snapshot='no'/></disks></domainsnapshot>",
            TAKE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT |
            libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE)
        check(chain(domain) == [nova, top, base], f"vda: {chain(domain)}")
        check(domain.snapshotNum() == 1, "it is not remembered")
        console = lab.console(domain)
        console.login()
        check(console.shell("cat /state") == "after", "the file system goes on")
        console.shell("echo last >/state; sync")

        domain.destroy()
        check(holds(data, 0, "1M") and holds(f"{lab.directory}/vdb.s1", 0x11, "1M"), "what is in which image")
        refused(domain.undefine, "1 snapshots")
        offline(lab, domain, nova, f"{lab.directory}/vdb.s2", raw)
        domain.create()
        console = lab.console(domain)
        console.login()
        check(console.shell("cat /state") == "last", "from the definition")
        check(chain(domain) == [f"{lab.directory}/nova.off", nova, top, base], f"vda: {chain(domain)}")
        check(chain(domain, "vdc") == [f"{lab.directory}/raw.off", raw], f"vdc: {chain(domain, 'vdc')}")
        domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
        check(not os.path.exists(f"/var/lib/libvirt/vireo/snapshot/{name}"), "nothing is left")
