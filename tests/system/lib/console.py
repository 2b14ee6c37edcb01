# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest's console as a person sees it: a program on a pseudo-terminal that leads to its shell."""

import os
import pty
import re
import select
import subprocess
import time
from typing import Optional, Sequence

from .harness import PATIENCE, say

PROMPT = "guest# "
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[c78]")


class Console:
    """Drives the shell of the test guest (tests/kvm-host/guest-kit) through the program argv.

    errors: a descriptor for what the program itself has to say, which is on the terminal otherwise.
    """

    def __init__(self, argv: Sequence[str], name: str = "console", errors: Optional[int] = None) -> None:
        self.name = name
        self.unread = ""
        self.unlogged = ""
        self.serial = 0
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave,
                                        stderr=slave if errors is None else errors, start_new_session=True, close_fds=True)
        os.close(slave)

    def close(self) -> None:
        if self.master < 0:
            return
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        self.master = -1
        if self.unlogged:
            say(f"{self.name}: {self.unlogged}")

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def _read(self, limit: float) -> bool:
        """Reads what comes within limit seconds; false at the end of the program's output."""
        readable, _, _ = select.select([self.master], [], [], max(0.0, limit))
        if readable:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            if not data:
                return False
            text = ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r", "")
            self.unread += text
            *lines, self.unlogged = (self.unlogged + text).split("\n")
            for line in lines:
                say(f"{self.name}: {line}")
        return True

    def expect(self, pattern: str, limit: float = 30, nudge: Optional[str] = None) -> "re.Match[str]":
        """Waits for output that matches, sending nudge every two seconds; what is before it is dropped."""
        limit *= PATIENCE
        end = time.monotonic() + limit
        next_nudge = time.monotonic()
        while True:
            match = re.search(pattern, self.unread)
            if match:
                self.unread = self.unread[match.end():]
                return match
            if time.monotonic() > end:
                raise AssertionError(f"{self.name}: no {pattern!r} within {limit:.0f} s")
            if nudge and time.monotonic() > next_nudge:
                self.send(nudge)
                next_nudge += 2
            if not self._read(min(0.5, end - time.monotonic())):
                raise AssertionError(f"{self.name}: ended while waiting for {pattern!r}")

    def drain(self, limit: float) -> None:
        """Reads until the program's output ends, so that it does not wait for a reader."""
        end = time.monotonic() + limit
        while time.monotonic() < end and self._read(end - time.monotonic()):
            pass

    def login(self, limit: float = 60) -> None:
        """Waits until the guest's shell answers, and has it be quiet. Output before this may be lost."""
        self.expect(re.escape(PROMPT), limit, nudge="\n")
        # Else the shell edits lines and shows each letter by itself, which takes most of a command's time.
        # Without echo busybox's shell takes a read that the end of a background job interrupts for the
        # end of its input.
        self.shell("set -o ignoreeof; stty -echo")

    def log_in(self, user: str, password: str, limit: float) -> None:
        """Logs in where a system asks for that, and has its shell prompt as the test guest's."""
        self.expect("login: ", limit)
        self.send(f"{user}\n")
        self.expect("Password: ")
        self.send(f"{password}\n")
        self.expect("[#$] $")
        self.send(f"PS1='{PROMPT}' TERM=dumb\n")
        self.login()

    def shell(self, line: str, limit: float = 30, status: Optional[int] = 0) -> str:
        """Runs a command line in the guest and returns its output; fails on another exit status."""
        self.serial += 1
        # The markers are computed by the guest, so that the terminal's echo does not match them.
        self.send(f"echo B$(({self.serial}+0)); {line}; echo E{self.serial}:$?:$((1))\n")
        self.expect(rf"B{self.serial}\n", limit)
        match = self.expect(rf"(?s)^(.*?)E{self.serial}:(\d+):1\n", limit)
        if status is not None and int(match[2]) != status:
            raise AssertionError(f"{self.name}: {line!r} ended with {match[2]}: {match[1]}")
        return match[1].strip()
