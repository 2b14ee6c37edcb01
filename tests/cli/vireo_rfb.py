# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small RFB client (RFC 6143)."""

import ctypes
import socket
import struct
import zlib

RAW, DESKTOP_SIZE, EXTENDED_KEY, LAST_RECT, EXTENDED_SIZE = 0, -223, -258, -224, -308
EXTENDED_CLIPBOARD = 0xc0a1e5ce - (1 << 32)
TEXT, CAPABILITIES, PROVIDE = 1 << 0, 1 << 24, 1 << 28
NONE, VNC, VENCRYPT = 1, 2, 19
X509_NONE, X509_VNC = 260, 261


class Refused(Exception):
    """The server turned the client away."""


def encrypt(challenge, password):
    """What a client answers to a challenge, by libvncserver."""
    buffer = ctypes.create_string_buffer(challenge, 16)
    ctypes.CDLL('libvncserver.so.1').rfbEncryptBytes(buffer, password.encode())
    return buffer.raw


class Client:
    """Connected by @sock; with @tls, an SSLContext, encrypted. @minor is that of the version it speaks."""

    def __init__(self, sock, password=None, shared=True, limit=60, initialize=True, tls=None, minor=8):
        self.socket = sock
        sock.settimeout(limit)
        self.take(12)
        sock.sendall(b'RFB 003.%03d\n' % minor)
        kind = VENCRYPT if tls else VNC if password is not None else NONE
        if minor < 7:
            self.kinds = [self.number('>I')]
            if self.kinds == [0]:
                raise Refused(self.reason())
        else:
            self.kinds = list(self.take(self.number('B')))
            if not self.kinds:
                raise Refused(self.reason())
            self.socket.sendall(bytes([kind]))
        if tls:
            self.secure(tls, X509_VNC if password is not None else X509_NONE)
        if password is not None:
            self.socket.sendall(encrypt(self.take(16), password))
        if (password is not None or minor >= 8) and self.number('>I') != 0:
            raise Refused(self.reason() if minor >= 8 else 'without a reason')
        if initialize:
            self.initialize(shared)

    def secure(self, tls, kind):
        """VeNCrypt 0.2, and TLS."""
        self.version = tuple(self.take(2))
        self.socket.sendall(bytes([0, 2]))
        if self.number('B') != 0:
            raise Refused('the version of VeNCrypt')
        self.kinds = [self.number('>I') for _ in range(self.number('B'))]
        self.socket.sendall(struct.pack('>I', kind))
        if self.number('B') != 1:
            raise Refused('the type of VeNCrypt')
        self.socket = tls.wrap_socket(self.socket)

    def initialize(self, shared=True):
        self.socket.sendall(bytes([shared]))
        self.width, self.height = struct.unpack('>HH', self.take(4))
        self.format = self.take(16)
        self.name = self.take(self.number('>I')).decode()
        self.pixels = bytearray(self.width * self.height * 4)
        self.extended_key = False
        self.socket.sendall(struct.pack('>BxH4i', 2, 4, RAW, DESKTOP_SIZE, EXTENDED_KEY, LAST_RECT))

    def take(self, size):
        data = b''
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise Refused('closed')
            data += piece
        return data

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def reason(self):
        return self.take(self.number('>I')).decode()

    def request(self, incremental=True):
        self.socket.sendall(struct.pack('>BBHHHH', 3, incremental, 0, 0, self.width, self.height))

    def update(self):
        """Takes one update; returns the rectangles of pixels in it."""
        kind = self.number('B')
        assert kind == 0, f'message {kind}'
        self.take(1)
        seen = []
        for _ in range(self.number('>H')):
            x, y, width, height, encoding = struct.unpack('>HHHHi', self.take(12))
            if encoding == DESKTOP_SIZE:
                self.width, self.height = width, height
                self.pixels = bytearray(width * height * 4)
            elif encoding == EXTENDED_SIZE:
                # Who asked for it, and what became of that.
                self.sizes.append((x, y, width, height))
                self.take(3 + 16 * self.number('B'))
                if y == 0 and (width, height) != (self.width, self.height):
                    self.width, self.height = width, height
                    self.pixels = bytearray(width * height * 4)
            elif encoding == EXTENDED_KEY:
                self.extended_key = True
            elif encoding == LAST_RECT:
                break
            else:
                assert encoding == RAW, f'encoding {encoding}'
                data = self.take(width * height * 4)
                for row in range(height):
                    at = ((y + row) * self.width + x) * 4
                    self.pixels[at:at + width * 4] = data[row * width * 4:(row + 1) * width * 4]
                seen.append((x, y, width, height))
        return seen

    def pixel(self, x, y):
        at = (y * self.width + x) * 4
        return struct.unpack('<I', self.pixels[at:at + 4])[0] & 0xffffff

    def take_sizes(self):
        """From now on hears of sizes in full, and may ask for one."""
        self.sizes = []
        self.socket.sendall(struct.pack('>BxH5i', 2, 5, RAW, DESKTOP_SIZE, EXTENDED_SIZE, EXTENDED_KEY, LAST_RECT))

    def resize(self, width, height, screens=1):
        self.socket.sendall(struct.pack('>BxHHBx', 251, width, height, screens) +
                            struct.pack('>IHHHHI', 1, 0, 0, width, height, 0) * screens)

    def key(self, keysym, down=True):
        self.socket.sendall(struct.pack('>BBxxI', 4, down, keysym))

    def scan(self, scan, down=True):
        self.socket.sendall(struct.pack('>BBHII', 255, 0, down, 0, scan))

    def cut_text(self, text):
        """Copies text, as old clients do: Latin-1."""
        self.socket.sendall(struct.pack('>BxxxI', 6, len(text)) + text.encode('latin-1'))

    def take_cut_text(self):
        assert self.number('B') == 3, 'not a cut text'
        self.take(3)
        return self.take(self.number('>I')).decode('latin-1')

    def extend_clipboard(self):
        """From now on texts are in UTF-8 ("Extended Clipboard")."""
        self.socket.sendall(struct.pack('>BxH4i', 2, 4, RAW, DESKTOP_SIZE, LAST_RECT, EXTENDED_CLIPBOARD))
        flags, _ = self.extended_cut_text()
        assert flags & PROVIDE and flags & TEXT, hex(flags)
        self.send_extended(CAPABILITIES | PROVIDE | TEXT, struct.pack('>I', 1 << 20))

    def send_extended(self, flags, data):
        self.socket.sendall(struct.pack('>BxxxiI', 6, -4 - len(data), flags) + data)

    def extended_cut_text(self):
        assert self.number('B') == 3, 'not a cut text'
        self.take(3)
        data = self.take(-self.number('>i'))
        return struct.unpack('>I', data[:4])[0], data[4:]

    def copy(self, text, size=None):
        """Copies text; size: what it says that it has, bytes."""
        data = text.encode() + b'\0'
        self.send_extended(PROVIDE | TEXT, zlib.compress(struct.pack('>I', size or len(data)) + data))

    def take_copied(self):
        flags, data = self.extended_cut_text()
        assert flags == PROVIDE | TEXT, hex(flags)
        data = zlib.decompress(data)
        assert len(data) == 4 + struct.unpack('>I', data[:4])[0]
        return data[4:-1].decode()

    def pointer(self, x, y, buttons=0):
        self.socket.sendall(struct.pack('>BBHH', 5, buttons, x, y))

    def close(self):
        self.socket.close()
