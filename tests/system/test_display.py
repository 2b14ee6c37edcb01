# SPDX-License-Identifier: LGPL-2.1-or-later
"""Screens and keyboards of an unmodified kernel: its console seen and typed into through libvirt."""

import os
import re
import socket
import struct
import sys
import xml.etree.ElementTree as ET
import zlib

import libvirt

from lib.console import Console
from lib.guest import Lab
from lib.harness import check, command, say, test, wait_for

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "cli"))
from vireo_rfb import Client, Refused  # pylint: disable=import-error,wrong-import-position

URI = os.environ.get("VIREO_TEST_URI", "vireo:///system")
# The console's colour 1.
RED = (0xaa, 0, 0)


def read_png(data: bytes) -> "tuple[int, int, bytes]":
    """Width, height and pixels of a picture as Vireo writes them: RGB, filter Up."""
    check(data[:8] == b"\x89PNG\r\n\x1a\n", "a PNG")
    width, height = struct.unpack(">II", data[16:24])
    length = struct.unpack(">I", data[33:37])[0]
    rows, above, pixels = zlib.decompress(data[41:41 + length]), bytes(width * 3), []
    for start in range(0, len(rows), width * 3 + 1):
        check(rows[start] == 2, "the filter")
        row = rows[start + 1:start + 1 + width * 3]
        if any(row):
            above = bytes((a + b) & 0xff for a, b in zip(above, row))
        pixels.append(above)
    return width, height, b"".join(pixels)


def picture(domain: libvirt.virDomain, directory: str) -> "tuple[int, int, bytes]":
    path = f"{directory}/screen.png"
    command("virsh", "-q", "-c", URI, "screenshot", domain.name(), path)
    with open(path, "rb") as file:
        return read_png(file.read())


def share_of(colour: "tuple[int, int, int]", pixels: bytes) -> float:
    return sum(pixels[at:at + 3] == bytes(colour) for at in range(0, len(pixels), 300)) / (len(pixels) / 300)


def wait_for_pixel(client: Client, colour: int) -> None:
    """Takes updates until the middle of the client's screen has that colour."""
    def seen() -> bool:
        client.request(incremental=False)
        if not client.update():
            # The screen's size alone: pixels follow.
            client.request()
            client.update()
        return client.pixel(client.width // 2, client.height // 2) == colour

    wait_for("the colour on the client's screen", seen)


def check_typing(domain: libvirt.virDomain, shell: Console, word: str) -> None:
    """A word typed by send-key is read from the guest's first terminal."""
    shell.shell("rm -f /tmp/typed; (read line </dev/tty1; echo $line >/tmp/typed) >/dev/null 2>&1 & true")
    for key in [f"KEY_{letter.upper()}" for letter in word] + ["KEY_ENTER"]:
        command("virsh", "-q", "-c", URI, "send-key", domain.name(), key)
    wait_for(f"{word} to be read", lambda: shell.shell("cat /tmp/typed 2>/dev/null", status=None).endswith(word), 20, 1)


def check_pointer(shell: Console, viewer: Client, name: str) -> None:
    """Motion, clicks and the wheel of a viewer are events of that device of the guest."""
    shell.shell("for d in /sys/class/input/event*; do case $(cat $d/device/name) in *'" + name + "'*)"
                " exec 4</dev/input/$(basename $d);; esac; done")
    right, bottom = viewer.width - 1, viewer.height - 1
    for x, y, buttons in ((0, 0, 0), (right, bottom, 0), (right, bottom, 1), (right, bottom, 0), (right, bottom, 4),
                          (right, bottom, 8), (right, bottom, 0)):
        viewer.pointer(x, y, buttons)
    # struct input_event: the time, 16 bytes; type, code, value. Those of type 0 end what is at one time.
    form = "16/1 \"%02x\" \" \" 2/2 \"%d \" \" \" 1/4 \"%d\\n\""
    wanted = {(3, 0, 0x7fff), (3, 1, 0x7fff), (1, 0x110, 1), (1, 0x110, 0), (1, 0x111, 1), (1, 0x111, 0), (2, 8, 1)}
    seen = set()

    def arrived() -> bool:
        text = shell.shell(f"dd bs=2400 count=1 <&4 2>/dev/null | hexdump -v -e '{form}'")
        seen.update(tuple(map(int, match.groups())) for match in
                    re.finditer(r"^[0-9a-f]{32} (\d+) (\d+) (-?\d+)$", text, re.M))
        say(f"{name}: {sorted(seen)}")
        return wanted <= seen

    wait_for(f"events of {name}", arrived, 20, 0)
    shell.shell("exec 4<&-")


@test(limit=150)
def console_on_the_screen() -> None:
    """The framebuffer console in a screenshot and in a VNC client, keys to it, and passwords"""
    devices = """
        <graphics type='vnc' autoport='yes' passwd='first'/>
        <video><model type='bochs'/></video>
        <input type='keyboard' bus='usb'/>
        <input type='keyboard' bus='virtio'/>
        <input type='tablet' bus='usb'/>
        <input type='tablet' bus='virtio'/>"""
    with Lab() as lab:
        domain, shell = lab.boot(devices, screen=True, memory=320)
        shell.shell("printf '\\033[41m\\033[2J\\033[?25l' >/dev/tty1")
        wait_for("a red screen", lambda: share_of(RED, picture(domain, lab.directory)[2]) > 0.95, 30, 1)
        width, height, _ = picture(domain, lab.directory)
        say(f"{width}x{height}")

        graphics = ET.fromstring(domain.XMLDesc()).find("./devices/graphics")
        assert graphics is not None
        port = int(graphics.get("port", "0"))
        check(port >= 5900 and graphics.get("passwd") is None, "a port, and no password in what anybody may read")
        check(command("virsh", "-q", "-c", URI, "vncdisplay", domain.name()).strip() == f"127.0.0.1:{port - 5900}",
              "vncdisplay")
        check(f"vnc://127.0.0.1:{port - 5900}" in command("virsh", "-q", "-c", URI, "domdisplay", domain.name()),
              "domdisplay")

        try:
            Client(socket.create_connection(("127.0.0.1", port)), password="wrong")
            raise AssertionError("the wrong password is good")
        except Refused:
            pass
        client = Client(socket.create_connection(("127.0.0.1", port)), password="first")
        check((client.width, client.height) == (width, height), "the client's screen has the picture's size")
        wait_for_pixel(client, 0xaa0000)
        client.close()

        viewer = Client(socket.socket(fileno=domain.openGraphicsFD(0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)))
        wait_for_pixel(viewer, 0xaa0000)
        # Keys and pointer: by virtio, by USB when the guest lets go of that, and then keys by PS/2.
        check_typing(domain, shell, "virtio")
        check_pointer(shell, viewer, "QEMU Virtio Tablet")
        shell.shell("for d in /sys/bus/virtio/drivers/virtio_input/virtio*; do"
                    " basename $d >/sys/bus/virtio/drivers/virtio_input/unbind; done")
        check_typing(domain, shell, "usb")
        check_pointer(shell, viewer, "Tablet")
        shell.shell("for d in /sys/bus/usb/drivers/usb/*-*; do basename $d >/sys/bus/usb/drivers/usb/unbind; done")
        check_typing(domain, shell, "ps")
        viewer.close()


class Agent:
    """SPICE's agent in the guest, by hand: what it writes and reads at its port."""

    ANNOUNCE, CLIPBOARD, GRAB, REQUEST = 6, 4, 7, 8
    BY_DEMAND_AND_SELECTION = 1 << 5 | 1 << 6

    def __init__(self, shell: Console) -> None:
        self.shell = shell
        shell.shell("for p in /sys/class/virtio-ports/*; do [ $(cat $p/name) != com.redhat.spice.0 ] ||"
                    " exec 3<>/dev/$(basename $p); done")
        check(self.read() == (self.ANNOUNCE, struct.pack("<II", 1, self.BY_DEMAND_AND_SELECTION)), "a greeting")
        self.write(self.ANNOUNCE, struct.pack("<II", 0, self.BY_DEMAND_AND_SELECTION))

    def write(self, kind: int, body: bytes) -> None:
        message = struct.pack("<IIQI", 1, kind, 0, len(body)) + body
        data = struct.pack("<II", 1, len(message)) + message
        self.shell.shell("printf '" + "".join(f"\\{byte:03o}" for byte in data) + "' >&3")

    def read(self) -> "tuple[int, bytes]":
        data = bytes.fromhex(self.shell.shell("dd bs=4096 count=1 <&3 2>/dev/null | hexdump -v -e '/1 \"%02x\"'"))
        check(len(data) == 28 + struct.unpack("<I", data[24:28])[0], f"one message: {data.hex()}")
        return struct.unpack("<I", data[12:16])[0], data[28:]

    def copy(self, text: str) -> None:
        self.write(self.GRAB, struct.pack("<II", 0, 1))
        check(self.read() == (self.REQUEST, struct.pack("<II", 0, 1)), "text is asked for")
        self.write(self.CLIPBOARD, struct.pack("<II", 0, 1) + text.encode())

    def paste(self) -> str:
        check(self.read() == (self.GRAB, struct.pack("<II", 0, 1)), "text is offered")
        self.write(self.REQUEST, struct.pack("<II", 0, 1))
        kind, body = self.read()
        check(kind == self.CLIPBOARD and body[:8] == struct.pack("<II", 0, 1), "text comes")
        return body[8:].decode()


def check_clipboard(shell: Console, viewer: Client, other: Client) -> None:
    """The guest, a viewer that is old and one that knows UTF-8 copy and paste."""
    agent = Agent(shell)
    other.update()  # says that extended keys are known
    other.extend_clipboard()
    agent.copy("gr\u00fcn \u2192 rot\nzwei")
    check(viewer.take_cut_text() == "gr\u00fcn ? rot\nzwei", "what a viewer gets in Latin-1")
    check(other.take_copied() == "gr\u00fcn \u2192 rot\r\nzwei", "what a viewer gets in UTF-8")
    viewer.cut_text("\u00e4hnlich")
    check(agent.paste() == "\u00e4hnlich", "what the guest gets in Latin-1")
    check(other.take_copied() == "\u00e4hnlich", "what one viewer gets of the other")
    other.copy("\u65e5\u672c\r\n")
    check(agent.paste() == "\u65e5\u672c\n", "what the guest gets in UTF-8")
    check(viewer.take_cut_text() == "??\n", "what the old viewer gets of that")
    # More than there is: not what was in memory before.
    other.copy("short", 4096)
    try:
        other.number("B")
        raise AssertionError("a viewer that lies is still there")
    except (Refused, ConnectionError):
        pass


@test(limit=120)
def console_on_virtio_graphics() -> None:
    """The kernel's driver for virtio graphics draws its console, and says what changed; a clipboard"""
    devices = """
        <channel type='qemu-vdagent'>
          <source><clipboard copypaste='yes'/></source>
          <target type='virtio' name='com.redhat.spice.0'/>
        </channel>
        <graphics type='vnc'/>
        <video><model type='virtio'><resolution x='1024' y='768'/></model></video>"""
    with Lab() as lab:
        domain, shell = lab.boot(devices, screen=True, memory=320)
        shell.shell("printf '\\033[41m\\033[2J\\033[?25l' >/dev/tty1")
        wait_for("a red screen", lambda: share_of(RED, picture(domain, lab.directory)[2]) > 0.95, 30, 1)
        viewer = Client(socket.socket(fileno=domain.openGraphicsFD(0, 0)))
        wait_for_pixel(viewer, 0xaa0000)
        check((viewer.width, viewer.height) == (1024, 768), "the screen has the size that the XML says")
        shell.shell("printf '\\033[42m\\033[2J' >/dev/tty1")
        viewer.request()
        check(viewer.update() != [], "what changed comes by itself")
        wait_for_pixel(viewer, 0x00aa00)
        check_clipboard(shell, viewer, Client(socket.socket(fileno=domain.openGraphicsFD(0, 0))))

        # The viewer's window becomes smaller, and the guest follows.
        viewer.take_sizes()
        viewer.resize(800, 600)

        def followed() -> bool:
            viewer.request(incremental=False)
            viewer.update()
            return (viewer.width, viewer.height) == (800, 600)

        wait_for("a screen of that size", followed)
        say(shell.shell("head -n 1 /sys/class/drm/card*-Virtual-1/modes"))
        wait_for_pixel(viewer, 0x00aa00)
        viewer.close()
