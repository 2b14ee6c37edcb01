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

The time limits are of a wall clock, the machine is other people's, too: where a few tests alone
failed, each has a second attempt, when nothing else runs. Who passes only then is said to be
unsteady, with what the first attempt printed.
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
# More than these are no accident.
SECOND_ATTEMPTS = 3
# Longer than a host takes to boot, shorter than anyone wants to wait.
SILENCE_SECONDS = 120
DURATION = re.compile(r"# [0-9.]+ s")
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
    """The results of all hosts, numbered as they come; those of tests that failed wait for a second attempt."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.number = 0
        self.good = True
        self.failed: "dict[str, list[str]]" = {}

    def result(self, verdict: str, name: str, rest: str, lines: "list[str]") -> None:
        """@lines are what the test had to say, kept together."""
        with self.lock:
            if verdict == "not ok" and name not in self.failed:
                self.failed[name] = lines
                print("\n".join([f"# failed: {name}", *lines]), flush=True)
                return
            if name in self.failed:
                lines = ["#   the first attempt:", *self.failed.pop(name), "#   the second attempt:", *lines]
                rest += " # unsteady" if verdict == "ok" else ""
            self._print(verdict, name, rest, lines)

    def settle(self) -> None:
        """Those that have no second attempt have failed."""
        with self.lock:
            for name, lines in self.failed.items():
                self._print("not ok", name, "", lines)
            self.failed.clear()

    def _print(self, verdict: str, name: str, rest: str, lines: "list[str]") -> None:
        self.number += 1
        self.good &= verdict == "ok"
        print("\n".join([f"{verdict} {self.number} - {name}{rest}", *lines]), flush=True)

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
        self.heard: "Optional[tuple[re.Match[str], list[str]]]" = None
        self.report = report

    def hear(self, line: str) -> None:
        match = RESULT.fullmatch(line)
        if self.heard and (line.startswith("#   ") or DURATION.fullmatch(line)):
            self.heard[1].append(line)
            return
        self.pass_on()
        if match and match[2] in self.claimed:
            self.heard = (match, [])
        elif line.startswith("# claims "):
            self.claimed.add(line.split()[2])
        elif line.startswith("# ") and line != "# alive":
            self.report.say(line)

    def pass_on(self) -> None:
        """What was heard of a test is whole."""
        if self.heard:
            match, lines = self.heard
            self.heard = None
            self.claimed.remove(match[2])
            self.remaining.remove(match[2])
            self.report.result(*match.groups(), lines)

    def on_one_host(self) -> bool:
        """Whether the host got to the end of the tests."""
        process = subprocess.Popen(self.command + [f"={name}" for name in list(self.remaining)],
                                   env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True, errors="replace")
        try:
            for line in lines_of(process, self.report):
                self.hear(line)
            self.pass_on()
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


class Hosts:
    """What all tests can be run on."""

    def __init__(self, command: "list[str]", results: str) -> None:
        self.command, self.results = command, results
        self.alone = on_this_machine(command)

    def run(self, names: "list[str]", count: int, report: Report, place: str = "") -> None:
        """Runs the tests on @count hosts side by side, whose directories begin with @place."""
        wide = [name[2:] for name in names if name.startswith("2:")]
        paused = [name[2:] for name in names if name.startswith("0:")]
        names = [name for name in names if name[:2] not in ("0:", "2:")]
        if not self.alone:
            names, paused = names + paused, []
        shutil.rmtree(f"{self.results}/claims", ignore_errors=True)
        os.makedirs(f"{self.results}/claims")

        def share(directory: str, processors: int, some: "list[str]", command: "list[str]") -> Share:
            return Share(command, f"{self.results}/{place}{directory}", processors, some, report)

        turns = [[share(f"host-{number + 1}", 1, names, self.command)] for number in range(min(count, len(names)))]
        if paused and self.alone:
            turns.append([share("machine", 0, paused, self.alone)])
        if wide:
            turns = turns or [[]]
            turns[0].insert(0, share("host-wide", 2, wide, self.command))
        threads = [threading.Thread(target=run_in_turn, args=(turn,)) for turn in turns]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in names + paused + wide:
            report.result("not ok", name, "", [f"#   {HOSTS_IN_A_ROW} hosts ended or fell silent before this had a result"])
        shutil.rmtree(f"{self.results}/claims")


def main() -> int:
    results, count = sys.argv[1], int(sys.argv[2])
    split = len(sys.argv) - 1 - sys.argv[::-1].index("--")
    names = sys.argv[split + 1:]
    report = Report()
    hosts = Hosts(sys.argv[3:split], results)
    print(f"1..{len(names)}", flush=True)
    hosts.run(names, count, report)
    if 0 < len(report.failed) <= SECOND_ATTEMPTS:
        for name in [name for name in names if name.removeprefix("0:").removeprefix("2:") in report.failed]:
            hosts.run([name], 1, report, "again-")
    report.settle()
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
