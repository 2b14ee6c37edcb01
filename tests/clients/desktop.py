# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program with windows, used as a person does: what is on them is found by assistive technology's names.

The environment has a display and a session bus (tests/clients/run starts both).
"""

import os
import subprocess
import time
from typing import Iterator, Optional, Sequence

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # pylint: disable=wrong-import-position

from lib.harness import PATIENCE, command, say, wait_for  # pylint: disable=wrong-import-position

RESULTS = os.environ.get("VIREO_RESULTS", "/tmp")


def screenshot(name: str) -> None:
    """The whole screen, as a file in the results."""
    command("import", "-window", "root", os.path.join(RESULTS, f"{name}.png"))


def type_text(text: str, enter: bool = True) -> None:
    """Keys to the window that has the focus."""
    command("xdotool", "type", "--delay", "150", text)
    if enter:
        command("xdotool", "key", "Return")


class Widget:
    """Something on a window."""

    def __init__(self, node: Atspi.Accessible) -> None:
        self.node = node

    def _shows(self) -> bool:
        return self.node.get_state_set().contains(Atspi.StateType.SHOWING)

    def _walk(self) -> "Iterator[Widget]":
        """This and what shows in it. Windows change meanwhile: what is gone is left out."""
        yield self
        try:
            children = [Widget(child) for child in
                        (self.node.get_child_at_index(i) for i in range(self.node.get_child_count())) if child]
            children = [child for child in children if child._shows()]
        except GLib.Error:
            return
        for child in children:
            yield from child._walk()

    def name(self) -> str:
        """Its own, or its label's."""
        if self.node.get_name():
            return self.node.get_name()
        for relation in self.node.get_relation_set():
            if relation.get_relation_type() == Atspi.RelationType.LABELLED_BY:
                return relation.get_target(0).get_name() or ""
        return ""

    def _is(self, name: str, role: str) -> bool:
        try:
            return role in self.node.get_role_name() and name in self.name()
        except GLib.Error:
            return False

    def look_for(self, name: str, role: str = "") -> "Optional[Widget]":
        """What is showing in this whose name and role contain these, if anything."""
        return next((widget for widget in self._walk() if widget._is(name, role)), None)

    def find(self, name: str, role: str = "", limit: float = 30) -> "Widget":
        """The same, when it is there."""
        widget = wait_for(f"{role or 'something'} called {name!r}", lambda: self.look_for(name, role), limit, 0.5)
        assert isinstance(widget, Widget)
        return widget

    def find_unnamed(self, role: str) -> "Widget":
        """What has the role and neither a name nor a label."""
        return next(widget for widget in self._walk() if widget._is("", role) and not widget.name())

    def click(self) -> None:
        """Puts the pointer on its middle and presses, as an action would wait for a dialog to be answered."""
        at = Atspi.Component.get_extents(self.node.get_component_iface(), Atspi.CoordType.SCREEN)
        say(f"click {self.name()!r}")
        command("xdotool", "mousemove", str(at.x + at.width // 2), str(at.y + at.height // 2), "sleep", "0.2",
                "click", "1")
        time.sleep(0.5)

    def focus(self) -> None:
        Atspi.Component.grab_focus(self.node.get_component_iface())

    def set_text(self, text: str) -> None:
        say(f"set {self.name()!r} to {text!r}")
        Atspi.EditableText.set_text_contents(self.node.get_editable_text_iface(), text)

    def set_value(self, value: float) -> None:
        say(f"set {self.name()!r} to {value}")
        Atspi.Value.set_current_value(self.node.get_value_iface(), value)

    def text(self) -> str:
        return Atspi.Text.get_text(self.node.get_text_iface(), 0, -1)

    def tree(self) -> str:
        """What there is, for the log of a test that does not find something."""
        return "\n".join(f"{widget.node.get_role_name()} {widget.name()!r}" for widget in self._walk())


# An application that is busy answers late.
Atspi.set_timeout(int(5000 * PATIENCE), int(15000 * PATIENCE))


class Application(Widget):
    """A running program; ended at the end of the with statement."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        log = open(os.path.join(RESULTS, f"{name}.log"), "ab")  # pylint: disable=consider-using-with
        with log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def appeared() -> Optional[Atspi.Accessible]:
            desktop = Atspi.get_desktop(0)
            for i in range(desktop.get_child_count()):
                child = desktop.get_child_at_index(i)
                if child is not None and child.get_name() == name and child.get_child_count() > 0:
                    return child
            return None

        super().__init__(wait_for(f"a window of {name}", appeared, 60, 0.5))

    def __enter__(self) -> "Application":
        return self

    def __exit__(self, kind: Optional[type], *_: object) -> None:
        if kind is not None:
            screenshot("failure")
            say(self.tree())
        self.process.terminate()
        try:
            self.process.wait(10 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
