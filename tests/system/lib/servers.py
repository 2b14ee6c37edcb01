# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers of images, in the process of the test."""

import http.server
import os
import re
import ssl
import threading

from .harness import command


class Ranges(http.server.BaseHTTPRequestHandler):
    """Parts of one file, over HTTP."""

    file = ""
    needed: "dict[str, str]" = {}  # headers

    def allowed(self) -> bool:
        if all(self.headers.get(name) == value for name, value in self.needed.items()):
            return True
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_HEAD(self) -> None:
        if self.allowed():
            self.answer(200, b"", os.path.getsize(self.file))

    def do_GET(self) -> None:
        if not self.allowed():
            return
        with open(self.file, "rb") as file:
            data = file.read()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = data[int(match[1]):int(match[2]) + 1] if match else data
        self.answer(206 if match else 200, part, len(part))

    def answer(self, status: int, data: bytes, size: int) -> None:
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def https_server(directory: str, file: str, **needed: str) -> http.server.ThreadingHTTPServer:
    """One that this host trusts, on a port of its own; who asks must send these headers."""
    key, certificate = f"{directory}/key.pem", f"{directory}/certificate.pem"
    command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate)
    with open("/etc/ssl/certs/ca-certificates.crt", "a", encoding="ascii") as trusted, \
            open(certificate, encoding="ascii") as own:
        trusted.write(own.read())
    Ranges.file, Ranges.needed = file, needed
    server = http.server.ThreadingHTTPServer(("localhost", 0), Ranges)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
