# SPDX-License-Identifier: LGPL-2.1-or-later
"""AppArmor as Debian's libvirt has it: each guest's process under a profile of its own."""

import json
import os
import pathlib

import libvirt_qemu

from lib.daemon import daemon
from lib.guest import Lab, disk_xml, monitor_pid, network_xml, passt_xml
from lib.harness import Skipped, check, command, test, wait_for
from lib.images import create, qcow2_xml
from test_tpm import TPM, gone, swtpm_pid
from test_vhost import SHARED, answers, no_kernel_vsock, start_agent

SECURITY = pathlib.Path("/sys/kernel/security")
PROFILES = SECURITY / "apparmor/profiles"
SHIPPED = ["/etc/apparmor.d/usr.sbin.libvirtd", "/etc/apparmor.d/usr.lib.libvirt.virt-aa-helper",
           "/etc/apparmor.d/usr.bin.passt"]
LOCAL = pathlib.Path("/etc/apparmor.d/local/abstractions/libvirt-qemu")
OURS = pathlib.Path("/usr/share/vireo/apparmor-libvirt-qemu")


class Confinement:
    """What a Debian host has when it has booted with AppArmor, and README's step for Vireo."""

    def __enter__(self) -> "Confinement":
        if os.environ.get("VIREO_KVM_HOST") != "emulated":
            raise Skipped("loads AppArmor profiles, which is for the emulated host")
        command("mount", "-t", "securityfs", "securityfs", str(SECURITY))
        command("apparmor_parser", "--replace", *SHIPPED)
        self.local = LOCAL.read_text("utf-8") if LOCAL.exists() else ""
        LOCAL.parent.mkdir(parents=True, exist_ok=True)
        LOCAL.write_text(self.local + OURS.read_text("utf-8"), "utf-8")
        # It looks for security drivers when it starts.
        daemon.restart()
        return self

    def __exit__(self, *_: object) -> None:
        LOCAL.write_text(self.local, "utf-8")
        command("apparmor_parser", "--remove", *SHIPPED)
        command("umount", str(SECURITY))
        daemon.restart()


def confinement(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/attr/current").read_text("ascii").strip("\n\0")


@test(limit=150, alone=True)
def guest_confined() -> None:
    """A guest's process may use what its XML names, also what is attached later, and nothing else."""
    with Confinement(), Lab() as lab:
        lab.reconnect()
        domain, console = lab.boot(disk_xml(lab.empty_disk(8)) + network_xml() + passt_xml() + TPM)
        profile = f"libvirt-{domain.UUIDString()}"
        check(confinement(monitor_pid(domain)) == f"{profile} (enforce)", "the process is confined")
        check(domain.securityLabel()[0] == profile, "libvirt tells its label")
        swtpm = swtpm_pid(domain)
        assert swtpm
        check(confinement(swtpm) == f"{profile} (enforce)", "so is its TPM")
        check(console.shell("cat /sys/class/tpm/tpm0/tpm_version_major") == "2", "which works")
        console.shell("dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync")
        console.shell("ping -c 1 -W 10 192.168.150.1", 60)

        later = disk_xml(lab.empty_disk(16), "vdb")
        domain.attachDevice(later)
        wait_for("the second disk", lambda: "vdb" in console.shell("ls /dev"))
        console.shell("dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync")

        # World-readable, so that only the profile is in the way.
        other = lab.empty_disk(1)
        os.chmod(other, 0o644)
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps({
            "execute": "blockdev-add",
            "arguments": {"driver": "file", "node-name": "other", "filename": other, "read-only": True}}), 0))
        check("Permission denied" in answer.get("error", {}).get("desc", ""), f"refused: {answer}")

        domain.detachDevice(later)
        wait_for("the second disk's end", lambda: "vdb" not in console.shell("ls /dev"), 30)
        domain.destroy()
        wait_for("the end of swtpm", lambda: gone(swtpm), 10)
        wait_for("the profile's end", lambda: profile not in PROFILES.read_text("ascii"), 10)


@test(limit=200, alone=True)
def helpers_confined() -> None:
    """What reaches the guest through sockets: a storage daemon, virtiofsd, vsock; also after an unplug."""
    with Confinement(), no_kernel_vsock(), Lab() as lab:
        lab.reconnect()
        shared = pathlib.Path(lab.directory, "shared")
        shared.mkdir()
        pathlib.Path(shared, "file").write_text("hello\n", encoding="ascii")
        filesystem = (f"<filesystem type='mount'><driver type='virtiofs'/><source dir='{shared}'/>"
                      "<target dir='shared'/></filesystem>")
        served = qcow2_xml(create(f"{lab.directory}/served.qcow2"), "vdb")
        domain, console = lab.boot(disk_xml(lab.root_disk()) + served + filesystem + "<vsock/>", root=True, body=SHARED)
        check("enforce" in confinement(monitor_pid(domain)), "the process is confined")
        start_agent(console)
        socket, = pathlib.Path("/run/libvirt/vireo").glob(f"*-{domain.name()}/vsock.sock")
        wait_for("the agent answers", lambda: answers(str(socket)), 10)
        console.shell("dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync")
        console.shell("mkdir -p /mnt && mount -t virtiofs shared /mnt")
        check(console.shell("cat /mnt/file") == "hello", "the host's file")
        console.shell("umount /mnt")
        domain.detachDevice(served)
        wait_for("the disk's end", lambda: "vdb" not in console.shell("ls /dev"), 30)
        domain.detachDevice(filesystem)
        wait_for("the file system's end", lambda: "virtiofs" not in domain.XMLDesc(), 30)
        domain.attachDevice(filesystem)
        wait_for("it is back", lambda: console.shell("mount -t virtiofs shared /mnt", status=None) == "", 20, 1)
        domain.attachDevice(served)
        wait_for("the disk is back", lambda: "vdb" in console.shell("ls /dev"), 20)
        console.shell("dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync")
