# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon under test."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

from .guest import URI, Lab
from .harness import PATIENCE, say, wait_for


class Daemon:
    """The daemon that serves the tested URI; it runs on its own, whoever started it."""

    def __init__(self) -> None:
        qemu = URI.startswith("qemu")
        self.program = "libvirtd" if qemu else "virtvireod"
        self.pid_file = f"/run/{self.program}.pid"
        self.autostarted = f"/run/libvirt/{'qemu' if qemu else 'vireo'}/autostarted"

    def pid(self) -> int:
        with open(self.pid_file, encoding="ascii") as file:
            return int(file.read())

    def kill(self) -> None:
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(f"the end of {self.program}", lambda: not os.path.exists(f"/proc/{pid}/exe"), 10, 0.05)
        say(f"killed {self.program}")

    def start(self) -> None:
        def started() -> bool:
            with open(f"/var/log/{self.program}.log", "ab") as log:
                return subprocess.run([self.program, "-d", "-p", self.pid_file], stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log, timeout=30 * PATIENCE, check=False).returncode == 0

        # One that was killed may hold its locks a little longer than it can be seen to run.
        wait_for(f"{self.program} to start", started, 10)
        say(f"started {self.program}")

    def restart(self, host_rebooted: bool = False) -> None:
        """Kills and starts; with host_rebooted forgets what only this boot of the host knows."""
        self.kill()
        if host_rebooted and os.path.exists(self.autostarted):
            os.unlink(self.autostarted)
        time.sleep(0.2)
        self.start()


    @contextlib.contextmanager
    def settings(self, lab: Lab, text: str) -> "Iterator[None]":
        """Has these lines in vireo.conf meanwhile, and the daemon heed them."""
        path = "/etc/libvirt/vireo.conf"
        with open(path, encoding="utf-8") as file:
            kept = file.read()
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)
            self.restart()
            lab.reconnect()
            yield
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(kept)
            self.restart()


daemon = Daemon()
