# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of an ordinary user: vireo:///session, with nothing of root's but /dev/kvm."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from lib.console import Console
from lib.guest import URI, disk_xml, domain_xml, passt_xml
from lib.harness import PATIENCE, Skipped, check, command, say, test, wait_for

SESSION = "vireo:///session"


class Session:
    """A new user of the host and the daemon that serves it; both gone at the end."""

    def __enter__(self) -> "Session":
        self.user = f"ts{os.getpid()}"
        command("useradd", "--create-home", "--groups", "kvm", self.user)
        entry = pwd.getpwnam(self.user)
        self.uid, self.home = entry.pw_uid, pathlib.Path(entry.pw_dir)
        # What logging in makes.
        self.runtime = pathlib.Path(f"/run/user/{self.uid}")
        self.runtime.mkdir(mode=0o700, parents=True)
        os.chown(self.runtime, entry.pw_uid, entry.pw_gid)
        self.prefix = ["runuser", "-u", self.user, "--", "env", "-i", f"HOME={self.home}",
                       f"XDG_RUNTIME_DIR={self.runtime}", f"PATH={os.environ['PATH']}"]
        self.consoles: "list[Console]" = []
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for console in self.consoles:
            console.close()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        wait_for("the end of the user's processes", lambda: not self.processes(), 10)
        command("userdel", "--remove", self.user)
        shutil.rmtree(self.runtime)

    def processes(self) -> "list[int]":
        def owner(pid: str) -> int:
            try:
                return os.stat(f"/proc/{pid}").st_uid
            except FileNotFoundError:
                return -1

        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and owner(pid) == self.uid]

    def programs(self) -> "set[str]":
        """Names of the programs that the user runs, without what passt appends for its processor."""
        return {pathlib.Path(f"/proc/{pid}/comm").read_text("utf-8").strip().removesuffix(".avx2")
                for pid in self.processes()}

    def start(self) -> None:
        """The daemon, as its unit starts it."""
        with tempfile.TemporaryFile() as log:
            subprocess.run([*self.prefix, "virtvireod", "-d"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           timeout=60 * PATIENCE, check=True)
        say("the user's daemon is there")

    def daemon(self) -> int:
        return int((self.runtime / "libvirt/virtvireod.pid").read_text("ascii"))

    def virsh(self, *arguments: str, fails: bool = False) -> str:
        return command(*self.prefix, "virsh", "-q", "-c", SESSION, *arguments, fails=fails)

    def console(self, name: str) -> Console:
        console = Console([*self.prefix, "virsh", "-q", "-c", SESSION, "console", "--force", name], name)
        self.consoles.append(console)
        return console


@test(limit=150)
def users_own_guest() -> None:
    """A user's guest runs as that user, outlives the user's daemon, and nobody else sees it."""
    if URI != "vireo:///system":
        raise Skipped("about Vireo's own session daemon")
    with Session() as session:
        disk = session.home / "disk.img"
        command(*session.prefix, "truncate", "-s", "8M", str(disk))
        definition = session.home / "guest.xml"
        definition.write_text(domain_xml("mine", disk_xml(str(disk)) + passt_xml()), "utf-8")
        os.chmod(definition, 0o644)
        session.virsh("define", str(definition))
        session.virsh("start", "mine")
        check("mine" not in command("virsh", "-q", "-c", URI, "list", "--all"), "not among the system's guests")
        console = session.console("mine")
        console.login()
        boot = console.shell("cat /proc/sys/kernel/random/boot_id")
        console.shell("dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync")
        console.shell("ping -A -c 2 -W 10 192.0.2.1", 60)

        check({"vireo", "passt"} <= session.programs(), "the monitor and passt are the user's")
        daemon = session.daemon()
        os.kill(daemon, signal.SIGKILL)
        wait_for("the end of the daemon", lambda: not os.path.exists(f"/proc/{daemon}"), 10)
        session.start()
        check(session.virsh("domstate", "mine").strip() == "running", "found again")
        console = session.console("mine")
        console.login()
        check(console.shell("cat /proc/sys/kernel/random/boot_id") == boot, "the same boot")
        check("vda" in session.virsh("domblklist", "mine"), "its disk is listed")
        check("control groups" in session.virsh("schedinfo", "mine", "--set", "cpu_shares=10", fails=True),
              "what needs root is refused")
        session.virsh("shutdown", "mine")
        wait_for("the guest's end", lambda: session.virsh("domstate", "mine").strip() == "shut off", 60)
        wait_for("the end of its processes", lambda: not {"vireo", "passt"} & session.programs(), 10)
        session.virsh("undefine", "mine")
        check(disk.stat().st_uid == session.uid, "the disk is still the user's")
        left = [path for path in (session.runtime / "libvirt").rglob("*mine*")]
        check(not left, f"left behind: {left}")
