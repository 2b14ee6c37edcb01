# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon under test."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator

from .guest import URI, Lab
from .harness import PATIENCE, check, command, say


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
        process = os.pidfd_open(self.pid())
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            # Its locks are released by then, which does not hold as soon as it cannot be seen to run.
            check(select.select([process], [], [], 10 * PATIENCE)[0], f"the end of {self.program}")
        finally:
            os.close(process)
        say(f"killed {self.program}")

    def start(self) -> None:
        command(self.program, "-d", "-p", self.pid_file, limit=30)
        say(f"started {self.program}")

    def restart(self, host_rebooted: bool = False) -> None:
        """Kills and starts; with host_rebooted forgets what only this boot of the host knows."""
        self.kill()
        if host_rebooted and os.path.exists(self.autostarted):
            os.unlink(self.autostarted)
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
