#!/bin/sh
# Makes configure from configure.ac in a fresh checkout.
set -eu
cd "$(dirname "$0")"
exec autoreconf --install --force
