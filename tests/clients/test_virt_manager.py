# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-manager and virt-viewer in their windows."""

import json
import os
import pathlib
import re
import shutil
import sys
import xml.etree.ElementTree as ET

import libvirt

from desktop import Application, Widget, screenshot, type_text
from lib.console import Console
from lib.daemon import daemon
from lib.guest import KIT, NETWORK_HOST, Lab, disk_xml, network_xml, wait_for_state
from lib.harness import check, command, say, test, wait_for

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "cli"))
from vireo_pki import Certificates  # pylint: disable=import-error,wrong-import-position

URI = "vireo:///system"
# In QEMU's place virt-manager chooses virtio devices for a new guest by itself.
QEMU_URI = "qemu:///system?socket=/run/libvirt/virtvireod-sock"
SCREEN = "<graphics type='vnc'/><video><model type='virtio'/></video><input type='tablet' bus='virtio'/>"


def viewers(domain: libvirt.virDomain) -> int:
    """How many VNC clients the guest's screen has."""
    answer = command("virsh", "-q", "-c", URI, "qemu-monitor-command", domain.name(), '{"execute":"query-vnc"}')
    return len(json.loads(answer)["return"]["clients"])


def wait_for_viewer(domain: libvirt.virDomain) -> None:
    wait_for("a viewer of the screen", lambda: viewers(domain) == 1, 40, 1)


def check_typing(window: Widget, shell: Console, word: str) -> None:
    """What is typed into the window arrives at the guest's first terminal."""
    shell.shell("rm -f /tmp/typed; (read line </dev/tty1; echo $line >/tmp/typed) >/dev/null 2>&1 & true")
    window.click()
    type_text(word)
    wait_for(f"{word} to be read", lambda: shell.shell("cat /tmp/typed 2>/dev/null", status=None).endswith(word), 20, 1)


def cpu_usage(window: Widget) -> int:
    """What the page with the graphs says, percent; -1 if nothing yet."""
    label = window.look_for(" %", "label")
    return int(label.name().split()[0]) if label else -1


def rates(window: Widget, first: str, second: str) -> "tuple[int, int]":
    """What the page with the graphs says of a device, KiB/s, in both directions; (-1, -1) if nothing yet."""
    label = window.look_for(f"KiB/s {first}", "label")
    match = label and re.match(rf"(\d+) KiB/s {first} (\d+) KiB/s {second}", label.name())
    return (int(match[1]), int(match[2])) if match else (-1, -1)


def have_all_polled(app: Application, manager: Widget) -> None:
    """What virt-manager asks of guests only where it is told to."""
    manager.find("Edit", "menu").click()
    app.find("Preferences", "menu item").click()
    preferences = app.find("Preferences", "frame")
    preferences.find("Polling", "page tab").click()
    for name in ("Poll Disk I/O", "Poll Network I/O", "Poll Memory stats"):
        preferences.find(name, "check box").click()
    screenshot("1-preferences")
    preferences.find("Close", "push button").click()


def check_graphs(window: Widget, shell: Console) -> None:
    """The graphs follow what the guest does."""
    window.find("Details", "radio button").click()
    window.find("Performance", "cell").click()
    shell.shell("(while :; do :; done) & busy=$!")
    wait_for("a busy processor in the graph", lambda: cpu_usage(window) > 50, 30, 1)
    shell.shell("kill $busy")
    wait_for("an idle processor in the graph", lambda: 0 <= cpu_usage(window) < 30, 30, 1)
    wait_for("nothing of the disk and the network",
             lambda: rates(window, "read", "write") == (0, 0) and rates(window, "in", "out")[1] == 0, 30, 1)
    shell.shell("(while :; do dd if=/dev/zero of=/dev/vda bs=64k count=64 conv=fsync; echo 3 >/proc/sys/vm/drop_caches;"
                " dd if=/dev/vda of=/dev/null bs=64k count=64; done) >/dev/null 2>&1 & busy=$!;"
                f" ping -s 8000 {NETWORK_HOST} >/dev/null 2>&1 & ping=$!")
    wait_for("a busy disk in the graph", lambda: min(rates(window, "read", "write")) > 50, 40, 1)
    wait_for("a busy network in the graph", lambda: min(rates(window, "in", "out")) > 1, 40, 1)
    used = window.find(" MiB of 320 MiB", "label")
    wait_for("what the guest uses of its memory", lambda: int(used.name().split()[0]) > 0, 30, 1)
    screenshot("2-graphs")
    shell.shell("kill $busy $ping")
    window.find("Console", "radio button").click()


@test(limit=240)
def a_guest_is_seen_and_used() -> None:
    """virt-manager lists a guest, shows its screen and graphs, types into it, pauses it and shuts it down"""
    with Lab() as lab:
        domain, shell = lab.boot(SCREEN + disk_xml(lab.empty_disk(16)) + network_xml(), screen=True, memory=320)
        name = domain.name()
        shell.shell("printf '\\033[44m\\033[2Ja screen of Vireo' >/dev/tty1")
        with Application("virt-manager", ["virt-manager", "--connect", URI, "--no-fork"]) as app:
            manager = app.find("Virtual Machine Manager", "frame", 60)
            guest = manager.find(f"{name}\nRunning", "cell")
            screenshot("1-guests")
            have_all_polled(app, manager)
            guest.click()
            manager.find("Open", "push button").click()
            window = app.find(f"{name} on", "frame")
            wait_for_viewer(domain)
            check_typing(window, shell, "hello")
            screenshot("2-console")
            check_graphs(window, shell)
            window.find("Pause", "toggle button").click()
            wait_for_state(domain, libvirt.VIR_DOMAIN_PAUSED)
            manager.find(f"{name}\nPaused", "cell")
            window.find("Pause", "toggle button").click()
            wait_for_state(domain, libvirt.VIR_DOMAIN_RUNNING)
            window.find("Shut Down", "push button").click()
            check(wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF, 60) == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN,
                  "the guest shut itself down")
            manager.find(f"{name}\nShutoff", "cell")
            screenshot("3-shut-down")


def network_is_active() -> bool:
    """Whether the first network of the list, the distribution's, has been started."""
    return bool(re.search(r"Active: +yes", command("virsh", "-c", URI, "net-info", "default")))


def read_ahead() -> None:
    """What the wizard reads before its window shows: longer than 20 s, and virt-manager takes its connection for lost."""
    command("sh", "-c", "find /usr/share/osinfo -type f -exec cat {} + >/dev/null", limit=120)


def create_by_wizard(app: Application, name: str, disk: str, customize: bool = False) -> None:
    active = network_is_active()
    app.find("New", "push button", 60).click()
    wizard = app.find("New VM", "frame")
    wizard.find("Import existing disk image", "radio button").click()
    wizard.find("Forward", "push button").click()
    wizard.find("import-entry").set_text(disk)
    system = wizard.find("oslist-entry")
    system.click()
    system.set_text("debian11")
    app.find("(debian11)", "cell").click()
    wizard.find("Forward", "push button").click()
    wizard.find("cpus", "spin button")
    wizard.find_unnamed("spin button").set_value(384)
    screenshot("4-wizard-memory")
    wizard.find("Forward", "push button").click()
    wizard.find("Ready to begin")
    wizard.find("Name:", "text").set_text(name)
    screenshot("5-wizard-end")
    if customize:
        wizard.find("Customize configuration before install", "check box").click()
    wizard.find("Finish", "push button").click()
    if not active:
        app.find("Virtual Network 'default' is not active", "label")
        app.find("Yes", "push button").click()


def choose_virtio(app: Application, name: str) -> None:
    """What virt-manager chooses by itself where it thinks that it speaks to QEMU."""
    window = app.find(f"{name} on", "frame", 60)
    window.find("Disk 1", "cell").click()
    window.find("Disk bus:", "text").set_text("virtio")
    window.find("config-apply").click()
    screenshot("11-disk")
    window.find("NIC", "cell").click()
    window.find("e1000", "combo box").find_unnamed("text").set_text("virtio")
    window.find("config-apply").click()
    screenshot("11-card")
    window.find("Begin Installation", "push button").click()


def change_hardware(app: Application, window: Widget, domain: libvirt.virDomain) -> None:
    """Memory of a guest that is off, and a device more."""
    window.find("Details", "radio button").click()
    window.find("Memory", "cell").click()
    window.find("Max Memory Select", "spin button").set_value(400)
    window.find("config-apply").click()
    wait_for("the new memory", lambda: domain.maxMemory() == 400 << 10, 20)
    screenshot("8-memory")
    window.find("CPUs", "cell").click()
    window.find("Virtual CPU Select", "spin button").set_value(2)
    window.find("config-apply").click()
    wait_for("a second processor", lambda: domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_CONFIG) == 2, 20)
    screenshot("8-processors")
    window.find("add-hardware").click()
    more = app.find("Add New Virtual Hardware", "frame")
    more.find("VirtIO VSOCK", "cell").click()
    screenshot("9-add-hardware")
    more.find("Finish", "push button").click()
    wait_for("a vsock device", lambda: ET.fromstring(domain.XMLDesc()).find("./devices/vsock") is not None, 20)


def check_made(lab: Lab, app: Application, name: str, disk: str) -> "tuple[libvirt.virDomain, Widget]":
    """The guest that the wizard was told of runs, and its screen and keyboard work."""
    wait_for("the new guest", lambda: name in [domain.name() for domain in lab.connection.listAllDomains()], 90, 1)
    domain = lab.connection.lookupByName(name)
    wait_for_state(domain, libvirt.VIR_DOMAIN_RUNNING)
    tree = ET.fromstring(domain.XMLDesc())
    say(ET.tostring(tree, encoding="unicode"))
    check(domain.maxMemory() == 384 << 10, "the memory that was asked for")
    for path, key, value in (("disk/target", "bus", "virtio"), ("disk/source", "file", disk),
                             ("interface/source", "network", "default"), ("interface/model", "type", "virtio"),
                             ("video/model", "type", "virtio"), ("graphics", "type", "vnc")):
        found = tree.find(f"./devices/{path}")
        check(found is not None and found.get(key) == value, f"{path} has {key} {value}")
    wait_for_viewer(domain)
    shell = lab.console(domain)
    shell.login(120)
    # By now: the window in which it was customized, with the same title, has closed.
    wait_for("the other window to close", lambda: not app.look_for("Begin Installation", "push button"), 30, 1)
    window = app.find(f"{name} on", "frame", 30)
    check_typing(window, shell, "made")
    return domain, window


@test(limit=300)
def a_guest_is_made_by_the_wizard() -> None:
    """A new guest from a disk image by the wizard, in QEMU's place: it boots by firmware onto its screen"""
    with Lab() as lab:
        disk, name = f"{lab.directory}/disk.img", lab.name()
        command("cp", "--sparse=always", f"{KIT}/screen.img", disk)
        read_ahead()
        with Application("virt-manager", ["virt-manager", "--connect", QEMU_URI, "--no-fork"]) as app:
            create_by_wizard(app, name, disk)
            domain, window = check_made(lab, app, name, disk)
            screenshot("6-made")
            window.find("Shut Down", "push button").click()
            wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF, 60)
            change_hardware(app, window, domain)


@test(limit=300)
def a_guest_is_made_in_vireos_name() -> None:
    """The wizard at vireo:///system: its own choices of disk and card are changed to virtio before the guest is made"""
    with Lab() as lab:
        disk, name = f"{lab.directory}/disk.img", lab.name()
        command("cp", "--sparse=always", f"{KIT}/screen.img", disk)
        read_ahead()
        with Application("virt-manager", ["virt-manager", "--connect", URI, "--no-fork"]) as app:
            create_by_wizard(app, name, disk, customize=True)
            choose_virtio(app, name)
            domain, _ = check_made(lab, app, name, disk)
            screenshot("11-made")
            domain.destroy()


def preferred_mode(shell: Console) -> str:
    return shell.shell("head -n 1 /sys/class/drm/card*-Virtual-1/modes")


@test(limit=200)
def virt_viewer_shows_a_guest() -> None:
    """virt-viewer finds a guest's screen, keys go through it, and the screen follows its window"""
    with Lab() as lab:
        domain, shell = lab.boot(SCREEN, screen=True, memory=320)
        with Application("virt-viewer", ["virt-viewer", "--connect", URI, "--attach", domain.name()]) as app:
            window = app.find(domain.name(), "frame", 60)
            wait_for_viewer(domain)
            check_typing(window, shell, "viewer")
            screenshot("7-virt-viewer")
            before = preferred_mode(shell)
            command("xdotool", "search", "--onlyvisible", "--limit", "1", "--name", domain.name(),
                    "windowsize", "900", "700")
            wait_for("another mode", lambda: preferred_mode(shell) != before, 30, 1)
            say(f"{before}, then {preferred_mode(shell)}")
            check_typing(window, shell, "smaller")
            screenshot("7-virt-viewer-smaller")
            domain.destroy()
            wait_for("the viewer to end", lambda: app.process.poll() is not None, 30)


@test(limit=200, alone=True)
def virt_viewer_uses_tls() -> None:
    """virt-viewer by TLS, to a server whose certificate it checks"""
    with Lab() as lab:
        creds = Certificates(pathlib.Path(lab.directory))
        shutil.chown(creds.path / "server-key.pem", group="vireo")
        os.chmod(creds.path / "server-key.pem", 0o640)
        # Where GTK-VNC looks for whom to trust.
        authority = pathlib.Path("/etc/pki/CA/cacert.pem")
        authority.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(creds.path / "ca-cert.pem", authority)
        with daemon.settings(lab, f'vnc_tls = 1\nvnc_tls_x509_cert_dir = "{creds.path}"\n'):
            domain, shell = lab.boot(SCREEN, screen=True, memory=320)
            with Application("virt-viewer", ["virt-viewer", "--connect", URI, domain.name()]) as app:
                window = app.find(domain.name(), "frame", 60)
                wait_for_viewer(domain)
                check_typing(window, shell, "secret")
                screenshot("10-virt-viewer-tls")
        authority.unlink()
