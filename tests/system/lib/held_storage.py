#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""As qemu-storage-daemon, a real one whose monitor falls silent at a chosen moment.

As a module: HeldStorage puts that in front of the real one for domains that are started meanwhile.
As a program: what is said to the daemon and what it says passes through, until it says a line that has a word in it,
or, for "after ", is told one. That and all that it would say later is never heard.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import threading
from typing import Iterator, Optional

REAL = "/usr/bin/qemu-storage-daemon"
PR_SET_PDEATHSIG = 1


class HeldStorage:
    """For the test: where the program is, and when its monitor is to fall silent."""

    def __init__(self, directory: str) -> None:
        self.directory = pathlib.Path(directory) / "held-storage"
        self.directory.mkdir()
        self.directory.chmod(0o777)
        program = self.directory / "qemu-storage-daemon"
        shutil.copy(__file__, program)
        program.chmod(0o755)

    def at(self, word: "Optional[str]") -> None:
        """Falls silent instead of saying this, for "after WORD" once it is told that; None: never."""
        (self.directory / "held").unlink(missing_ok=True)
        (self.directory / "hold").unlink(missing_ok=True)
        if word is not None:
            (self.directory / "hold").write_text(word, "ascii")

    def is_held(self) -> bool:
        return (self.directory / "held").exists()

    @contextlib.contextmanager
    def in_path(self) -> "Iterator[None]":
        """A libvirt daemon that is started meanwhile finds it."""
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{self.directory}:{path}"
        try:
            yield
        finally:
            os.environ["PATH"] = path


class Proxy:
    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.silent = False

    def word(self) -> str:
        try:
            return (self.directory / "hold").read_text("ascii")
        except FileNotFoundError:
            return ""

    def fall_silent(self) -> None:
        self.silent = True
        (self.directory / "held").touch()

    def told(self, libvirt: socket.socket, storage: socket.socket) -> None:
        with contextlib.suppress(OSError), libvirt.makefile("rb") as lines:
            for line in lines:
                word = self.word()
                if word.startswith("after ") and word[6:].encode() in line:
                    self.fall_silent()
                storage.sendall(line)
        with contextlib.suppress(OSError):
            storage.shutdown(socket.SHUT_RDWR)

    def said(self, libvirt: socket.socket, storage: socket.socket) -> None:
        with contextlib.suppress(OSError), storage.makefile("rb") as lines:
            for line in lines:
                word = self.word()
                if word and word.encode() in line:
                    self.fall_silent()
                if not self.silent:
                    libvirt.sendall(line)
        with contextlib.suppress(OSError):
            libvirt.shutdown(socket.SHUT_RDWR)

    def serve(self, listener: socket.socket, path: str) -> None:
        while True:
            libvirt, _ = listener.accept()
            self.silent = False
            storage = socket.socket(socket.AF_UNIX)
            storage.connect(path)
            listening = threading.Thread(target=self.told, args=(libvirt, storage), daemon=True)
            listening.start()
            self.said(libvirt, storage)
            listening.join()
            libvirt.close()
            storage.close()


def main() -> None:
    directory = pathlib.Path(sys.argv[0]).parent
    number = int(re.search(r"fd=(\d+)", " ".join(sys.argv))[1])  # type: ignore[index]
    listener = socket.socket(fileno=os.dup(number))
    listener.setblocking(True)
    # What waits in its queue is there before anybody asks.
    path = str(directory / f"monitor-{os.getpid()}")
    inner = socket.socket(socket.AF_UNIX)
    inner.bind(path)
    inner.listen(1)
    os.set_inheritable(inner.fileno(), True)
    parent = os.getpid()
    if os.fork() != 0:
        os.execv(REAL, [REAL] + [argument.replace(f"fd={number},", f"fd={inner.fileno()},") for argument in sys.argv[1:]])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    inner.close()
    if os.getppid() == parent:
        Proxy(directory).serve(listener, path)


if __name__ == "__main__":
    main()
