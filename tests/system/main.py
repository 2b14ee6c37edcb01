#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the system tests whose names contain one of the arguments, or all of them.

An argument =NAME means just the test of that name; --list prints names, those of tests that need two processors
as 2:NAME, of those whose guests never run as 0:NAME, and runs nothing.
"""

import importlib
import os
import pathlib
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import harness  # pylint: disable=wrong-import-position


def main() -> int:
    here = pathlib.Path(__file__).parent
    for path in sorted(here.glob("test_*.py")):
        importlib.import_module(path.stem)
    words = [word for word in sys.argv[1:] if word != "--list"]
    chosen = [test for test in harness.registry
              if not words or any(word[1:] == test.name if word.startswith("=") else word in test.name
                                  for word in words)]
    if "--list" in sys.argv:
        for test in chosen:
            print(f"{'2:' if test.wide else '0:' if test.paused else ''}{test.name}")
        return 0
    return 0 if harness.run(chosen, workers=int(os.environ.get("VIREO_TEST_WORKERS", "2"))) else 1


sys.exit(main())
