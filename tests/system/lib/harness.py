# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the system tests: each in a process of its own, with a time limit, results in TAP."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from typing import Callable, Iterable, Optional


# Limits are for an emulated host with two idle processors below it; others multiply them.
PATIENCE = float(os.environ.get("VIREO_TEST_PATIENCE", "1"))


class Skipped(Exception):
    """Raised by a test that cannot run here; the text says why."""


@dataclass(frozen=True)
class Test:
    name: str
    run: Callable[[], None]
    limit: float  # seconds
    alone: bool  # nothing else may run meanwhile
    wide: bool  # the host must have two processors
    paused: bool  # its guests never run, so that any KVM will do


registry: list[Test] = []


def test(limit: float = 90, alone: bool = False, wide: bool = False,
         paused: bool = False) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers a test: a function without arguments that raises when something is not right."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        module = function.__module__.removeprefix("test_")
        registry.append(Test(f"{module}/{function.__name__}", function, limit * PATIENCE, alone, wide, paused))
        return function

    return register


def say(text: str) -> None:
    """A line for the log of the running test."""
    print(f"{time.monotonic() - say.started:7.1f} s  {text}", flush=True)


say.started = time.monotonic()  # type: ignore[attr-defined]


def wait_for(what: str, condition: Callable[[], object], limit: float = 20, pause: float = 0.2) -> object:
    """Waits until condition() is true and returns what it returned; fails after limit seconds."""
    end = time.monotonic() + limit * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit * PATIENCE:.0f} s: {what}")
        time.sleep(pause)


def check(condition: object, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def command(*arguments: str, limit: float = 60, fails: bool = False) -> str:
    """Runs a program and returns its output; fails unless it succeeds (or, with fails, fails)."""
    result = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=limit * PATIENCE, check=False)
    say(f"$ {' '.join(arguments)} -> {result.returncode}")
    if (result.returncode != 0) != fails:
        raise AssertionError(f"{' '.join(arguments)} ended with {result.returncode}: {result.stdout}")
    return result.stdout


class Running:
    """A test on its way, in a process group of its own."""

    def __init__(self, test: Test) -> None:
        self.test = test
        self.started = time.monotonic()
        self.log = tempfile.TemporaryFile("w+")
        self.process = multiprocessing.get_context("fork").Process(target=self._child)
        self.process.start()

    def _child(self) -> None:
        os.setpgid(0, 0)
        os.dup2(self.log.fileno(), 1)
        os.dup2(self.log.fileno(), 2)
        say.started = time.monotonic()  # type: ignore[attr-defined]
        # The time limit asks first, so that the test's own clean-up runs.
        signal.signal(signal.SIGTERM, self._out_of_time)
        status = 0
        try:
            self.test.run()
        except Skipped as reason:
            print(f"SKIP {reason}", flush=True)
            status = 77
        except BaseException:  # pylint: disable=broad-except
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def _out_of_time(self, _signal: int, _frame: object) -> None:
        raise AssertionError(f"the test's time limit of {self.test.limit:.0f} s is over")

    def poll(self) -> Optional[int]:
        """The exit status once the test has ended."""
        late = time.monotonic() - self.started - self.test.limit
        if self.process.exitcode is None and late > 0:
            os.kill(self.process.pid, signal.SIGTERM if late < 30 else signal.SIGKILL)
            self.process.join(5)
        return self.process.exitcode

    def report(self, number: int) -> bool:
        status = self.process.exitcode
        # What a test left in its process group ends with it.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.log.seek(0)
        lines = self.log.read().splitlines()
        duration = time.monotonic() - self.started
        if status == 77:
            reason = next(line[5:] for line in lines if line.startswith("SKIP "))
            print(f"ok {number} - {self.test.name} # SKIP {reason}", flush=True)
            return True
        print(f"{'ok' if status == 0 else 'not ok'} {number} - {self.test.name}")
        print(f"# {duration:.1f} s")
        if status != 0:
            for line in lines:
                print(f"#   {line}")
        sys.stdout.flush()
        return status == 0


def claim(test: Test) -> bool:
    """Whether the test is this host's: of several with the same tests, the first that asks gets it."""
    claims = os.environ.get("VIREO_TEST_CLAIMS")
    if claims:
        try:
            os.mkdir(os.path.join(claims, test.name.replace("/", ":")))
        except FileExistsError:
            return False
        print(f"# claims {test.name}", flush=True)
    return True


def run(tests: Iterable[Test], workers: int) -> bool:
    """Runs the tests, those that must be alone after the others; true if all passed."""
    # What may take long comes first, so that no host is left with it when the others are done.
    tests = sorted(tests, key=lambda test: -test.limit)
    shared = [test for test in tests if not test.alone]
    alone = [test for test in tests if test.alone]
    print(f"1..{len(shared) + len(alone)}", flush=True)
    good = True
    number = 0
    heard = time.monotonic()
    for queue, width in ((shared, workers), (alone, 1)):
        running: list[Running] = []
        while queue or running:
            while queue and len(running) < width:
                first = queue.pop(0)
                if claim(first):
                    running.append(Running(first))
            time.sleep(0.1)
            # Whoever watches can tell a long test from a host that has come to a standstill.
            if time.monotonic() - heard > 10:
                heard = time.monotonic()
                print("# alive", flush=True)
            for item in [item for item in running if item.poll() is not None]:
                running.remove(item)
                number += 1
                good &= item.report(number)
    return good
