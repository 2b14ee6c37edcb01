# SPDX-License-Identifier: LGPL-2.1-or-later
"""The monitor by itself: started with arguments, driven through QMP."""

import json
import os
import shutil
import socket
import tempfile
import time
from typing import Any, Optional

from .console import Console
from .guest import FAST_BOOT, KIT
from .harness import PATIENCE, check, command, say, wait_for

BINARY = os.environ.get("VIREO_TEST_BINARY", "vireo")


class QmpError(Exception):
    def __init__(self, error: "dict[str, str]") -> None:
        super().__init__(f"{error['class']}: {error['desc']}")
        self.kind = error["class"]


class Qmp:
    """A QMP client on a unix socket."""

    def __init__(self, path: str, negotiate: bool = True) -> None:
        self.events: "list[dict[str, Any]]" = []
        self.unread = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20 * PATIENCE)

        def connect() -> bool:
            try:
                self.socket.connect(path)
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        wait_for(f"a monitor on {path}", connect, 20, 0.05)
        self.greeting = self.receive()
        if negotiate:
            self.execute("qmp_capabilities")

    def close(self) -> None:
        self.socket.close()

    def receive(self) -> "dict[str, Any]":
        while b"\n" not in self.unread:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("the monitor closed its socket")
            self.unread += data
        line, self.unread = self.unread.split(b"\n", 1)
        message = json.loads(line)
        say(f"qmp: {line.decode()[:300]}")
        return message  # type: ignore[no-any-return]

    def execute(self, name: str, **arguments: Any) -> Any:
        """Runs a command and returns what it returned; underscores in argument names are dashes."""
        text = json.dumps({"execute": name, "arguments": {key.replace("_", "-"): value
                                                          for key, value in arguments.items()}})
        say(f"qmp: {text}")
        self.socket.sendall(text.encode() + b"\n")
        while True:
            message = self.receive()
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise QmpError(message["error"])
            else:
                return message["return"]

    def wait_event(self, name: str, limit: float = 30) -> "dict[str, Any]":
        end = time.monotonic() + limit * PATIENCE
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            check(time.monotonic() < end, f"no event {name} within {limit:.0f} s")
            self.socket.settimeout(max(0.1, end - time.monotonic()))
            message = self.receive()
            self.socket.settimeout(20 * PATIENCE)
            check("event" in message, f"an event, not {message}")
            self.events.append(message)


class Monitor:
    """One monitor process with the test guest, its serial console and its QMP socket."""

    def __init__(self, *arguments: str, memory: int = 160, cpus: "int | str" = 1, root: bool = False,
                 kernel: str = "vmlinux", wait: bool = True, binary: str = BINARY,
                 initrd: str = f"{KIT}/initrd") -> None:
        self.directory = tempfile.mkdtemp(prefix="monitor-", dir="/var/tmp")
        self.console: Optional[Console] = None
        self.qmp: Qmp = None  # type: ignore[assignment]
        self.extra = arguments
        self.memory, self.cpus, self.root, self.kernel, self.wait = memory, cpus, root, kernel, wait
        self.binary, self.initrd = binary, initrd

    def __enter__(self) -> "Monitor":
        path = f"{self.directory}/qmp"
        argv = [self.binary] + (["-nodefaults", "-display", "none", "-accel", "kvm", "-no-user-config"]
                                if "qemu" in self.binary else [])
        argv += ["-machine", "q35", "-cpu", "host", "-smp", str(self.cpus), "-m", str(self.memory),
                 "-kernel", f"{KIT}/{self.kernel}", "-initrd", self.initrd,
                 "-append", f"console=ttyS0 quiet {FAST_BOOT} {'root=/dev/vda rw' if self.root else ''}",
                 "-chardev", "stdio,id=serial0,signal=off", "-device", "isa-serial,chardev=serial0",
                 "-chardev", f"socket,id=qmp0,path={path},server=on,wait=off", "-mon", "chardev=qmp0,mode=control",
                 *self.extra]
        say(" ".join(argv))
        with open(f"{self.directory}/errors", "wb") as errors:
            self.console = Console(argv, "serial", errors.fileno())
        try:
            self.qmp = Qmp(path)
            if self.wait:
                self.console.login()
        except BaseException:
            self.console.drain(0.5)
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.console:
            self.console.close()
        if self.qmp:
            self.qmp.close()
        with open(f"{self.directory}/errors", errors="replace", encoding="utf-8") as errors:
            for line in errors:
                say(line.rstrip())
        shutil.rmtree(self.directory)

    @property
    def shell(self) -> Console:
        assert self.console is not None
        return self.console

    def ended(self, limit: float = 30) -> int:
        """Waits for the process to end and returns its exit status."""
        process = self.shell.process
        self.shell.drain(limit * PATIENCE)
        return int(process.wait(limit * PATIENCE))


def root_disk(directory: str) -> str:
    path = f"{directory}/root.img"
    command("cp", "--sparse=always", f"{KIT}/root.img", path)
    return path
