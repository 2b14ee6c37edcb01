#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the system tests whose names contain one of the arguments, or all of them."""

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
    chosen = [test for test in harness.registry
              if len(sys.argv) == 1 or any(word in test.name for word in sys.argv[1:])]
    return 0 if harness.run(chosen, workers=int(os.environ.get("VIREO_TEST_WORKERS", "2"))) else 1


sys.exit(main())
