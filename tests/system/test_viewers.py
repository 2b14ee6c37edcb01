# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who sees a screen, and how, by what XML and vireo.conf say: viewers of guests that are never run."""

import os
import pathlib
import shutil
import socket
import ssl
import sys
import xml.etree.ElementTree as ET

import libvirt

from lib.daemon import daemon
from lib.guest import NETWORK, NETWORK_HOST, Lab, monitor_pid, virsh
from lib.harness import check, test, wait_for

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "cli"))
from vireo_pki import Certificates, issue  # pylint: disable=import-error,wrong-import-position
from vireo_rfb import Client, Refused  # pylint: disable=import-error,wrong-import-position

URI = os.environ.get("VIREO_TEST_URI", "vireo:///system")


def start(lab: Lab, devices: str = "") -> libvirt.virDomain:
    domain = lab.define(devices)
    virsh("start", "--paused", domain.name())
    return domain


def graphics(domain: libvirt.virDomain) -> ET.Element:
    found = ET.fromstring(domain.XMLDesc()).find("./devices/graphics")
    assert found is not None
    return found


def address(domain: libvirt.virDomain) -> "tuple[str, int]":
    return graphics(domain).get("listen", ""), int(graphics(domain).get("port", "0"))


def see(client: Client) -> None:
    """Takes a picture, which is black."""
    client.request(incremental=False)
    while (0, 0, client.width, client.height) not in client.update():
        pass
    check(set(client.pixels) == {0}, "a black screen")


def gets_in(domain: libvirt.virDomain, password: str) -> bool:
    """Whether a viewer does, with that password."""
    try:
        Client(socket.create_connection(address(domain)), password=password).close()
        return True
    except Refused:
        return False


@test(paused=True)
def passwords_change_and_expire() -> None:
    """virsh update-device: passwords of a running domain, as viewers find; those who are in stay"""
    with Lab() as lab:
        domain = start(lab, "<graphics type='vnc' passwd='first' passwdValidTo='2090-04-09T15:51:00'/>")
        path = pathlib.Path(lab.directory) / "graphics.xml"
        check(gets_in(domain, "first") and not gets_in(domain, ""), "the password of the XML")
        early = Client(socket.create_connection(address(domain)), password="first")

        def update(more: str, fails: bool = False) -> str:
            path.write_text(f"<graphics type='vnc' port='-1' autoport='yes' {more}/>", encoding="ascii")
            return virsh("update-device", domain.name(), str(path), "--live", fails=fails)

        update("passwd='second' connected='keep'")
        check(gets_in(domain, "second") and not gets_in(domain, "first"), "the second password")
        update("passwd='second' passwdValidTo='2020-04-09T15:51:00'")
        check(not gets_in(domain, "second"), "it has expired")
        check("passwdValidTo='2020-04-09T15:51:00'" in virsh("dumpxml", "--security-info", domain.name()), "in the XML")
        update("passwd='third' passwdValidTo='2090-04-09T15:51:00'")
        check(gets_in(domain, "third") and not gets_in(domain, "second"), "the third one is good for years")
        for connected in ("disconnect", "fail"):
            check("keep" in update(f"passwd='fourth' connected='{connected}'", fails=True), "what VNC does not have")
        check(gets_in(domain, "third"), "what was refused has changed nothing")
        see(early)
        early.close()
        # As it expired is as it starts.
        virsh("destroy", domain.name())
        path.write_text("<graphics type='vnc' passwd='old' passwdValidTo='2020-04-09T15:51:00'/>", encoding="ascii")
        virsh("update-device", domain.name(), str(path), "--config")
        virsh("start", "--paused", domain.name())
        check(not gets_in(domain, "old"), "it had expired before")


@test(paused=True)
def viewers_are_handed_over() -> None:
    """virDomainOpenGraphics and virDomainOpenGraphicsFD, with and without the password"""
    with Lab() as lab:
        domain = start(lab, "<graphics type='vnc' passwd='secret'/>")
        for flags, password in ((0, "secret"), (libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, None)):
            ours, theirs = socket.socketpair()
            domain.openGraphics(0, theirs.fileno(), flags)
            theirs.close()
            for given in (ours, socket.socket(fileno=domain.openGraphicsFD(0, flags))):
                viewer = Client(given, password=password)
                see(viewer)
                viewer.close()
        ours, theirs = socket.socketpair()
        for call in (lambda: domain.openGraphics(1, theirs.fileno(), 0), lambda: domain.openGraphicsFD(1, 0)):
            try:
                call()
                raise AssertionError("a second screen")
            except libvirt.libvirtError as error:
                check("index 1" in str(error), str(error))
        ours.close()
        theirs.close()


def hung_up_on(client: Client) -> bool:
    """Whether the server ends that connection; what comes before is dropped."""
    try:
        while client.socket.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


@test(paused=True)
def viewers_share_or_do_not() -> None:
    """sharePolicy: who wants a screen alone drives out others, does not get it, or has to share it"""
    with Lab() as lab:
        def viewers(policy: str) -> "tuple[libvirt.virDomain, Client, Client]":
            domain = start(lab, f"<graphics type='vnc' {policy}/>")
            first = Client(socket.create_connection(address(domain)))
            see(first)
            return domain, first, Client(socket.create_connection(address(domain)), shared=False)

        for policy in ("", "sharePolicy='allow-exclusive'"):
            domain, first, alone = viewers(policy)
            see(alone)
            check(hung_up_on(first), "the other is gone")
            check(hung_up_on(Client(socket.create_connection(address(domain)))), "nobody joins")
            see(alone)
        _, first, alone = viewers("sharePolicy='force-shared'")
        check(hung_up_on(alone), "nobody gets it alone")
        see(first)
        _, first, alone = viewers("sharePolicy='ignore'")
        see(alone)
        see(first)


@test(paused=True)
def screen_is_free_until_seen() -> None:
    """Without a screen there is no VNC in the process; with a socket it is where the XML says"""
    with Lab() as lab:
        domain = start(lab)
        with open(f"/proc/{monitor_pid(domain)}/maps", encoding="ascii") as file:
            check("vnc" not in file.read(), "nothing of VNC")
        other = start(lab, "<graphics type='vnc'><listen type='socket'/></graphics>")
        listen = graphics(other).find("listen")
        assert listen is not None
        path = listen.get("socket", "")
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        viewer = Client(client)
        see(viewer)
        viewer.close()
        # Where the host is in a network.
        third = start(lab, f"<graphics type='vnc'><listen type='network' network='{NETWORK}'/></graphics>")
        listen = graphics(third).find("listen")
        assert listen is not None
        check(listen.get("address") == NETWORK_HOST, "the network's address")
        Client(socket.create_connection((NETWORK_HOST, address(third)[1]))).close()
        video = ET.fromstring(other.XMLDesc()).find("./devices/video/model")
        check(video is not None and video.get("type") == "bochs", "a screen of its own accord")
        other.destroy()
        check(not os.path.exists(path), "the socket is gone")


@test(paused=True, limit=120, alone=True)
def screens_with_tls() -> None:
    """What vireo.conf says: missing and unreadable files are named, viewers need a certificate and the password"""
    libvirt.virEventRegisterDefaultImpl()
    with Lab() as lab:
        creds = Certificates(pathlib.Path(lab.directory))
        key = creds.path / "server-key.pem"
        certificate = (creds.path / "server-cert.pem").rename(f"{lab.directory}/kept.pem")
        with daemon.settings(lab, f'vnc_tls = 1\nvnc_tls_x509_verify = 1\nvnc_tls_x509_cert_dir = "{creds.path}"\n'
                                  'vnc_password = "common"\n'):
            name = lab.define("<graphics type='vnc'/>").name()
            start_again = ("start", "--paused", name)
            check(f"{creds.path}/server-cert.pem" in virsh(*start_again, fails=True), "the file is named")
            certificate.rename(creds.path / "server-cert.pem")
            os.chmod(key, 0o600)
            said = virsh(*start_again, fails=True)
            check(f"{key}': Permission denied" in said, f"the file is named: {said}")
            give(key)
            virsh(*start_again)
            check_tls(lab.connection.lookupByName(name), creds)


def give(key: pathlib.Path) -> None:
    """Lets the monitor read it."""
    shutil.chown(key, group="vireo")
    os.chmod(key, 0o640)


def check_tls(domain: libvirt.virDomain, creds: Certificates) -> None:
    for context, password in ((None, "common"), (creds.context(), "common"), (creds.context(creds.stranger), "common"),
                              (creds.context(creds.client), "other")):
        try:
            Client(socket.create_connection(address(domain)), tls=context, password=password)
            raise AssertionError("a viewer without a certificate, or with the wrong password, gets in")
        except (Refused, ConnectionError, ssl.SSLError):
            pass
    seen: "list[tuple[str, object]]" = []
    connection = libvirt.open(URI)
    connection.domainEventRegisterAny(
        connection.lookupByName(domain.name()), libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS,
        lambda _connection, _domain, _phase, _us, _them, auth, subject, _opaque: seen.append((auth, subject)), None)
    viewer = Client(socket.create_connection(address(domain)), tls=creds.context(creds.client), password="common")
    viewer.request(incremental=False)
    viewer.update()
    viewer.close()

    def told() -> bool:
        libvirt.virEventRunDefaultImpl()
        return any(auth == "vencrypt+x509+vnc" and "CN=viewer" in str(subject) for auth, subject in seen)

    timer = libvirt.virEventAddTimeout(500, lambda *_: None, None)
    wait_for("an event that says how, and who", told, 20, 0)
    libvirt.virEventRemoveTimeout(timer)
    connection.close()
    check_reload(domain, creds)


def check_reload(domain: libvirt.virDomain, creds: Certificates) -> None:
    """New certificates are read when the monitor is told, which runs on as who it is."""
    def certificate() -> bytes:
        viewer = Client(socket.create_connection(address(domain)), tls=creds.context(creds.client), password="common")
        shown = viewer.socket.getpeercert(binary_form=True)
        viewer.close()
        return shown

    before = certificate()
    issue(creds.path, "server", "/O=New/CN=localhost", creds.authority)
    give(creds.path / "server-key.pem")
    virsh("qemu-monitor-command", domain.name(),
          '{"execute":"display-reload","arguments":{"type":"vnc","tls-certs":true}}')
    check(certificate() != before, "the new certificate")
