# SPDX-License-Identifier: LGPL-2.1-or-later
"""The generator that turns the QMP schema into C, introspection data and a manual page."""
