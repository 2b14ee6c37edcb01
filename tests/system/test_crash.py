# SPDX-License-Identifier: LGPL-2.1-or-later
"""Watchdogs and panics: what clients are told, and what becomes of the domain."""

import os
import subprocess
import tempfile

import libvirt

from lib import tiny
from lib.console import Console
from lib.guest import URI, Lab, virsh, wait_for_state
from lib.harness import check, test, wait_for
from vireo_cli import HALT, out8, say, until_key  # pylint: disable=import-error
from vireo_watchdog import EXPIRE, POWER_OFF, SLOT, UNTIL_BUTTON, handle_nmi  # pylint: disable=import-error

PANIC = out8(0x505, 1)
READY = until_key("ready\n")  # what follows happens when the test presses a key


class Told:
    """What "virsh event" prints of a domain."""

    def __init__(self, name: str) -> None:
        self.file = tempfile.TemporaryFile("w+b")
        self.process = subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", URI, "event", "--domain", name, "--all", "--loop"],
                                        stdin=subprocess.DEVNULL, stdout=self.file, stderr=subprocess.STDOUT)
        self.offset = 0

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.file.close()

    def text(self) -> str:
        return os.pread(self.file.fileno(), 1 << 16, 0).decode()

    def expect(self, *words: str) -> None:
        """Waits for a line with all words."""
        wait_for(f"an event with {words}", lambda: any(all(word in line for word in words)
                                                       for line in self.text().splitlines()))


def start(lab: Lab, code: bytes, devices: str, **options: object) -> "tuple[libvirt.virDomain, Console]":
    """A domain that waits for a key, and its console; then it does what the code says."""
    domain = lab.start(devices, memory=64, boot=tiny.boot(lab, READY + code), **options)
    console = lab.console(domain)
    console.expect("ready")
    return domain, console


def watchdog(action: str) -> str:
    return (f"<watchdog model='i6300esb' action='{action}'>"
            f"<address type='pci' domain='0x0000' bus='0x00' slot='{SLOT:#04x}' function='0x0'/></watchdog>")


def subscribed(told: Told, domain: libvirt.virDomain) -> None:
    """Waits until events arrive: those of the domain's own metadata."""
    def heard() -> bool:
        virsh("desc", domain.name(), "--live", "--new-desc", "heard")
        return "metadata-change" in told.text()

    wait_for("virsh event", heard)


@test(paused=True, limit=150)
def watchdog_actions() -> None:
    """reset, shutdown, poweroff, none and inject-nmi: what happens, and what virsh event prints of it"""
    with Lab() as lab:
        for action, code, then in (
                ("reset", EXPIRE, lambda domain, console: console.expect("ready")),
                ("shutdown", EXPIRE + UNTIL_BUTTON + POWER_OFF + HALT,
                 lambda domain, console: wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)),
                ("poweroff", EXPIRE, lambda domain, console: wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)),
                ("none", EXPIRE + until_key("goes on\n"), lambda domain, console: console.expect("goes on")),
                ("inject-nmi", handle_nmi(say("handled") + HALT) + EXPIRE + HALT,
                 lambda domain, console: console.expect("handled"))):
            domain, console = start(lab, code, watchdog(action))
            with Told(domain.name()) as told:
                subscribed(told, domain)
                console.send("x")
                told.expect("'watchdog'", action)
                console.unread = ""
                then(domain, console)
                if action == "reset":
                    told.expect("'reboot'")
                elif action in ("shutdown", "poweroff"):
                    told.expect("'lifecycle'", "Stopped", "Shutdown")
                    check(domain.state()[1] == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, f"switched off: {domain.state()}")
                if action not in ("shutdown", "poweroff"):
                    check(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, "it runs on")
                    domain.destroy()


@test(paused=True, limit=120)
def panics() -> None:
    """A guest that panics is destroyed, restarted or preserved as its XML says; clients hear of the crash"""
    with Lab() as lab:
        for action in ("destroy", "restart", "preserve"):
            domain, console = start(lab, PANIC + HALT, "<panic model='isa'/>", body=f"<on_crash>{action}</on_crash>")
            with Told(domain.name()) as told:
                subscribed(told, domain)
                console.send("x")
                told.expect("'lifecycle'", "Crashed", "Panicked")
                console.unread = ""
                if action == "destroy":
                    reason = wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
                    check(reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, f"why it is off: {reason}")
                    told.expect("'lifecycle'", "Stopped", "Crashed")
                elif action == "restart":
                    wait_for_state(domain, libvirt.VIR_DOMAIN_RUNNING)
                    console.expect("ready")
                else:
                    check(domain.state() == [libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED],
                          f"preserved as it was: {domain.state()}")
                    check("crashed (panicked)" in virsh("domstate", "--reason", domain.name()), "domstate says so")
                    # A reset is the way on.
                    virsh("reset", domain.name())
                    check("paused (crashed)" in virsh("domstate", "--reason", domain.name()), "it waits")
                    virsh("resume", domain.name())
                    console.expect("ready")
                if domain.isActive():
                    domain.destroy()
