# SPDX-License-Identifier: LGPL-2.1-or-later
"""Benchmarks that need libvirt's daemons: the script again, on a host for it."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.insert(0, str(TOP / "tests" / "system"))


def measure_within(host: "list[str]", script: str, stage: str, arguments: "list[str]",
                   limit: int) -> "list[dict[str, object]]":
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([str(TOP / "tests/kvm-host/guest-kit"), f"{directory}/kit"], check=True)
        subprocess.run(["timeout", str(limit + 10), *host, "--results", f"{directory}/results",
                        "--", str(TOP / "tests/system/inside"), os.path.realpath(stage), f"{directory}/kit", "--",
                        str(HERE / script), "--on-host", f"{directory}/results/rows", *arguments], check=True)
        return list(json.loads(pathlib.Path(f"{directory}/results/rows").read_text(encoding="ascii")))


def measure_on_host(script: str, stage: str, arguments: "list[str]", limit: int) -> "list[dict[str, object]]":
    """Runs tests/bench/SCRIPT --on-host FILE ARGUMENTS on an emulated KVM host, the staged build
    installed, within limit seconds; returns the rows that it left in FILE by leave_rows()."""
    return measure_within([str(TOP / "tests/kvm-host/run"), "--timeout", str(limit)], script, stage, arguments, limit)


def measure_alone(script: str, stage: str, arguments: "list[str]", limit: int) -> "list[dict[str, object]]":
    """The same on this machine, in namespaces of its own."""
    return measure_within([str(TOP / "tests/kvm-host/alone")], script, stage, arguments, limit)


def leave_rows(path: str, rows: "list[dict[str, object]]") -> None:
    pathlib.Path(path).write_text(json.dumps(rows), encoding="ascii")
