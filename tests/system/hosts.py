#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs system tests on emulated KVM hosts: hosts.py RESULTS HOSTS HOST-COMMAND... -- NAME...

HOST-COMMAND boots a host and runs main.py there with the arguments that are appended; @RESULTS@ in
it stands for a directory of that host's own below RESULTS, which all can write to. HOSTS of them
run side by side. Which tests a host runs is not settled before: it claims one after the other, by a
directory that only one of them can make (lib/harness.py). They have one processor each, since more
would take turns on one thread. A test whose NAME is written 2:NAME needs two all the same; such run on a host by
themselves, in whose place one of the others follows. @PROCESSORS@ stands for the number. The guests of 0:NAME never run: where this machine has a KVM, whatever
it can do, such are tested on the machine itself (tests/kvm-host/alone), in a fraction of the time.

A running main.py is heard of every few seconds, so a host that falls silent, or ends before its
tests have, is given up and another is booted in its place, which gets what it left undone. Three in
a row are the limit; what has no result at the end has failed. Prints TAP.
"""

import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from typing import Iterator, Optional

ALONE = pathlib.Path(__file__).parent.parent / "kvm-host/alone"
HOSTS_IN_A_ROW = 3
# Longer than a host takes to boot, shorter than anyone wants to wait.
SILENCE_SECONDS = 120
RESULT = re.compile(r"(ok|not ok) \d+ - (\S+)(.*)")


def lines_of(process: "subprocess.Popen[str]", report: "Report") -> "Iterator[str]":
    """The lines that @process prints, until it ends or is silent for too long."""
    lines: "queue.Queue[Optional[str]]" = queue.Queue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=SILENCE_SECONDS)
        except queue.Empty:
            report.say(f"# the host has been silent for {SILENCE_SECONDS} s")
            return
        if line is None:
            return
        yield line


class Report:
    """The results of all hosts, numbered as they come."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.number = 0
        self.good = True

    def result(self, verdict: str, name: str, rest: str) -> None:
        with self.lock:
            self.number += 1
            self.good &= verdict == "ok"
            print(f"{verdict} {self.number} - {name}{rest}", flush=True)

    def say(self, text: str) -> None:
        with self.lock:
            print(text, flush=True)


class Share:
    """One host after another that takes its share of the tests."""

    def __init__(self, command: "list[str]", results: str, processors: int, names: "list[str]",
                 report: Report) -> None:
        os.makedirs(results, exist_ok=True)
        self.claims = os.path.join(os.path.dirname(results), "claims")
        self.command = [word.replace("@RESULTS@", results).replace("@PROCESSORS@", str(processors))
                        for word in command]
        self.environment = {**os.environ, "VIREO_RESULTS": results, "VIREO_TEST_CLAIMS": self.claims}
        # Those that have no result yet. All shares know them; each removes its own.
        self.remaining = names
        self.claimed: "set[str]" = set()
        self.report = report

    def hear(self, line: str) -> None:
        match = RESULT.fullmatch(line)
        if match and match[2] in self.claimed:
            self.claimed.remove(match[2])
            self.remaining.remove(match[2])
            self.report.result(*match.groups())
        elif line.startswith("# claims "):
            self.claimed.add(line.split()[2])
        elif line.startswith("# ") and line != "# alive":
            self.report.say(line)

    def on_one_host(self) -> bool:
        """Whether the host got to the end of the tests."""
        process = subprocess.Popen(self.command + [f"={name}" for name in list(self.remaining)],
                                   env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True, errors="replace")
        try:
            for line in lines_of(process, self.report):
                self.hear(line)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return process.returncode in (0, 1) and not self.claimed

    def run(self) -> None:
        for attempt in range(HOSTS_IN_A_ROW):
            if attempt:
                self.report.say(f"# booting another host; this one left {', '.join(self.claimed) or 'nothing'} undone")
            for name in self.claimed:
                os.rmdir(os.path.join(self.claims, name.replace("/", ":")))
            self.claimed.clear()
            if self.on_one_host():
                return


def run_in_turn(shares: "list[Share]") -> None:
    for share in shares:
        share.run()


def on_this_machine(command: "list[str]") -> "Optional[list[str]]":
    """The same as @command, without an emulated host; None where there is no KVM, or the kernel does not let us."""
    if os.geteuid() != 0 or not os.access("/dev/kvm", os.R_OK | os.W_OK) or \
            subprocess.run([ALONE, "--", "true"], stdin=subprocess.DEVNULL, check=False).returncode != 0:
        return None
    results = command.index("--results")
    return [str(ALONE), *command[results:results + 2], *command[command.index("--"):]]


def main() -> int:
    results, count = sys.argv[1], int(sys.argv[2])
    split = len(sys.argv) - 1 - sys.argv[::-1].index("--")
    command, names = sys.argv[3:split], sys.argv[split + 1:]
    report = Report()
    print(f"1..{len(names)}", flush=True)
    wide = [name[2:] for name in names if name.startswith("2:")]
    paused = [name[2:] for name in names if name.startswith("0:")]
    names = [name for name in names if name[:2] not in ("0:", "2:")]
    alone = on_this_machine(command)
    if not alone:
        names, paused = names + paused, []
    shutil.rmtree(f"{results}/claims", ignore_errors=True)
    os.makedirs(f"{results}/claims")
    shares = [Share(command, f"{results}/host-{number + 1}", 1, names, report)
              for number in range(min(count, len(names)))]
    if paused and alone:
        shares.append(Share(alone, f"{results}/machine", 0, paused, report))
    turns = [[share] for share in shares] or [[]]
    if wide:
        turns[0].insert(0, Share(command, f"{results}/host-wide", 2, wide, report))
    threads = [threading.Thread(target=run_in_turn, args=(turn,)) for turn in turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names + paused + wide:
        report.result("not ok", name, "")
        report.say(f"#   {HOSTS_IN_A_ROW} hosts ended or fell silent before this had a result")
    shutil.rmtree(f"{results}/claims")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
