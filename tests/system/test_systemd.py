# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units as systemd runs them: sockets that start the daemon, a restart, machined."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

from lib.console import Console
from lib.guest import URI, disk_xml, domain_xml
from lib.harness import PATIENCE, Skipped, check, command, say, test, wait_for

TARGET = """
[Unit]
Requires=dbus.socket virtlogd.socket libvirtd.socket virtvireod.socket virtvireod-ro.socket virtvireod-admin.socket
After=dbus.socket virtlogd.socket libvirtd.socket virtvireod.socket virtvireod-ro.socket virtvireod-admin.socket
"""
# Of a whole host's boot what is slow here, or would change the host below.
MASKED = ["systemd-sysctl.service", "systemd-modules-load.service", "systemd-remount-fs.service",
          "systemd-binfmt.service", "systemd-timesyncd.service", "systemd-journal-flush.service",
          "kmod-static-nodes.service", "proc-sys-fs-binfmt_misc.automount", "systemd-sysusers.service",
          "systemd-tmpfiles-setup-dev.service", "systemd-tmpfiles-setup.service", "apparmor.service"]


class Host:
    """A host of its own in namespaces, with systemd as its first process and nothing in /run."""

    def __enter__(self) -> "Host":
        self.consoles: "list[Console]" = []
        self.cgroup = pathlib.Path(f"/sys/fs/cgroup/test-systemd-{os.getpid()}")
        self.cgroup.mkdir()
        top = self.cgroup.parent
        (top / "cgroup.subtree_control").write_text(
            " ".join(f"+{name}" for name in (top / "cgroup.controllers").read_text("ascii").split()), "ascii")
        units = "/run/systemd/system"
        masks = "; ".join(f"ln -s /dev/null {units}/{unit}" for unit in MASKED)
        script = (f"mount -t tmpfs -o mode=755 tmpfs /run && umount /sys/fs/cgroup && "
                  f"mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir -p {units} /run/lock /run/libvirt && "
                  f"cat >{units}/test.target && {{ {masks}; }} && "
                  "exec env -i container=other PATH=\"$PATH\" /lib/systemd/systemd --system --unit=test.target "
                  "--log-target=console --show-status=0 </dev/null")
        self.outer = subprocess.Popen(
            ["sh", "-c", f"echo $$ >{self.cgroup}/cgroup.procs && exec unshare --pid --fork --kill-child --mount "
                         f"--mount-proc --cgroup sh -c '{script}'"],
            stdin=subprocess.PIPE, start_new_session=True)
        assert self.outer.stdin is not None
        self.outer.stdin.write(TARGET.encode())
        self.outer.stdin.close()
        children = pathlib.Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children")
        wait_for("the first process", lambda: children.read_text("ascii"), 10)
        first = children.read_text("ascii").split()[0]
        self.prefix = ["nsenter", "--target", first, "--pid", "--mount", "--cgroup", "--"]
        wait_for("the boot", lambda: self.state("test.target") == "active", 60, 1)
        say("systemd has started the sockets")
        return self

    def __exit__(self, *_: object) -> None:
        for console in self.consoles:
            console.close()
        os.kill(self.outer.pid, signal.SIGKILL)
        self.outer.wait()

        def remove() -> bool:
            try:
                for directory, _, _ in os.walk(self.cgroup, topdown=False):
                    os.rmdir(directory)
                return True
            except OSError:
                return False  # a process has not ended yet

        wait_for("the end of its processes", remove, 20)

    def run(self, *arguments: str, fails: bool = False) -> str:
        return command(*self.prefix, *arguments, fails=fails)

    def virsh(self, *arguments: str) -> str:
        return self.run("virsh", "-q", "-c", "vireo:///system", *arguments)

    def state(self, unit: str) -> str:
        result = subprocess.run([*self.prefix, "systemctl", "is-active", unit], stdout=subprocess.PIPE, check=False,
                                stderr=subprocess.DEVNULL, text=True, timeout=30 * PATIENCE)
        return result.stdout.strip()

    def console(self, name: str) -> Console:
        console = Console([*self.prefix, "virsh", "-q", "-c", "vireo:///system", "console", "--force", name], name)
        self.consoles.append(console)
        return console


@test(limit=180, alone=True)
def units() -> None:
    """A connection starts the daemon; guests outlive its restart; machined knows them."""
    if URI != "vireo:///system" or os.environ.get("VIREO_KVM_HOST") != "emulated":
        raise Skipped("starts a systemd of its own, which is for the emulated host")
    directory = pathlib.Path("/var/lib/libvirt/images") / f"systemd-{os.getpid()}"
    directory.mkdir()
    try:
        disk, definition = directory / "disk.img", directory / "guest.xml"
        with disk.open("wb") as file:
            file.truncate(8 << 20)
        definition.write_text(domain_xml("unit", disk_xml(str(disk))), "utf-8")
        with Host() as host:
            check(host.state("virtvireod.service") == "inactive", "not started before it is needed")
            check("Vireo" in host.virsh("version"), "a connection starts it")
            check(host.state("virtvireod.service") == "active", "it told systemd that it is ready")
            host.virsh("create", str(definition))
            check(re.search(r"\bunit\b", host.run("machinectl", "--no-legend", "list")), "machined knows the guest")
            console = host.console("unit")
            console.login()
            boot = console.shell("cat /proc/sys/kernel/random/boot_id")
            main = host.run("systemctl", "show", "--value", "-p", "MainPID", "virtvireod.service")
            host.run("systemctl", "restart", "virtvireod.service")
            check(host.run("systemctl", "show", "--value", "-p", "MainPID", "virtvireod.service") != main, "restarted")
            check(host.virsh("domstate", "unit").strip() == "running", "the guest is found again")
            console = host.console("unit")
            console.login()
            check(console.shell("cat /proc/sys/kernel/random/boot_id") == boot, "the same boot")
            host.virsh("destroy", "unit")
            check("unit" not in host.run("machinectl", "--no-legend", "list"), "machined has let it go")
            check(host.state("virtvireod.service") == "active", "the daemon is well")
            host.run("systemctl", "stop", "virtvireod.service", "virtvireod.socket", "virtvireod-ro.socket",
                     "virtvireod-admin.socket")
            check(host.state("virtvireod.service") == "inactive", "stopped, not failed")
    finally:
        shutil.rmtree(directory)
