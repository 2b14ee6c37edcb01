#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the tests of programs with windows whose names contain one of the arguments, or all of them."""

import importlib
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

from lib import harness  # pylint: disable=wrong-import-position


def main() -> int:
    for path in sorted(HERE.glob("test_*.py")):
        importlib.import_module(path.stem)
    words = sys.argv[1:]
    chosen = [test for test in harness.registry if not words or any(word in test.name for word in words)]
    return 0 if harness.run(chosen, workers=int(os.environ.get("VIREO_TEST_WORKERS", "1"))) else 1


sys.exit(main())
