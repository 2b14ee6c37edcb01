# SPDX-License-Identifier: LGPL-2.1-or-later
"""Block devices of the host that fail when they are told to."""

import os

from .harness import command


class FailingDevice:
    """A device-mapper device over a file in a directory; gone at the end of the with statement."""

    def __init__(self, directory: str, name: str, mebibytes: int) -> None:
        self.name, self.sectors = name, mebibytes << 11
        self.path = f"/dev/mapper/{name}"
        self.file = f"{directory}/{name}.img"
        # There is no udev where the tests run, and the tool makes the device's file itself.
        os.environ["DM_DISABLE_UDEV"] = "1"

    def __enter__(self) -> "FailingDevice":
        command("modprobe", "dm_mod")
        with open(self.file, "wb") as file:
            file.truncate(self.sectors << 9)
        self.loop = command("losetup", "--find", "--show", self.file).strip()
        command("dmsetup", "create", self.name, "--table", self._linear())
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever has it open still, because the test failed, is let go of with the domain.
        command("dmsetup", "remove", "--deferred", self.name)
        command("losetup", "--detach", self.loop)

    def _linear(self) -> str:
        return f"0 {self.sectors} linear {self.loop} 0"

    def fail(self, failing: bool) -> None:
        """From now on every request fails, or none."""
        table = f"0 {self.sectors} error" if failing else self._linear()
        command("dmsetup", "load", self.name, "--table", table)
        command("dmsetup", "suspend", "--noflush", self.name)
        command("dmsetup", "resume", self.name)
