# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain's life, from definition to undefinition."""

import os
import time

import libvirt

from lib.daemon import daemon
from lib.guest import KIT, URI, Lab, domain_xml, virsh, wait_for_state
from lib.harness import PATIENCE, check, test, wait_for


@test()
def define_start_shell() -> None:
    """What a first-time user does, with virsh alone."""
    with Lab() as lab:
        name = lab.name()
        path = os.path.join(lab.directory, "domain.xml")
        with open(path, "w", encoding="ascii") as file:
            file.write(domain_xml(name, vcpus=2, fast=False))
        virsh("define", path)
        check(name in virsh("list", "--all", "--inactive"), "listed as shut off")
        virsh("start", name)
        check(name in virsh("list"), "listed as running")
        virsh("start", name, fails=True)
        with lab.console(lab.connection.lookupByName(name)) as console:
            console.login()
            check("Linux" in console.shell("uname -a"), "the kernel says that it is Linux")
            check(console.shell("nproc") == "2", "the guest has two processors")
            check("cloud-amd64" in console.shell("uname -r"), "the distribution's kernel")
        information = virsh("dominfo", name)
        check("running" in information and "163840 KiB" in information, f"dominfo is right: {information}")
        virsh("destroy", name)
        virsh("undefine", name)
        virsh("dominfo", name, fails=True)


@test(limit=120)
def example_domain() -> None:
    """The domain that README and the quick start show, with every device in it."""
    with Lab() as lab, open(os.path.join(os.path.dirname(__file__), "../../examples/direct-boot.xml"),
                            encoding="utf-8") as file:
        xml = file.read().replace("<name>direct-boot<", f"<name>{lab.name()}<")
        xml = xml.replace("/var/lib/libvirt/images/vireo/root.img", lab.root_disk())
        xml = xml.replace("/var/lib/libvirt/images/vireo", KIT)
        domain = lab.connection.defineXML(xml)
        domain.create()
        console = lab.console(domain)
        console.login(90)
        check("/dev/vda" in console.shell("mount | grep ' / '"), "the root is the disk")
        check(console.shell("cat /sys/class/misc/hw_random/rng_current").startswith("virtio"), "random numbers")
        console.shell("head -c 32 /dev/hwrng >/dev/null")
        check("org.qemu.guest_agent.0" in console.shell("cat /sys/class/virtio-ports/*/name"), "the agent's channel")
        domain.shutdown()
        reason = wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
        check(reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, f"shut off by a shutdown, not {reason}")


@test()
def boot_packed_kernel() -> None:
    """The kernel as the distribution packs it, a bzImage."""
    with Lab() as lab:
        xml = domain_xml(lab.name(), fast=False).replace("/vmlinux<", "/vmlinuz<")
        domain = lab.connection.defineXML(xml)
        domain.create()
        console = lab.console(domain)
        console.login()
        check("vmlinuz" in domain.XMLDesc(), "the XML is what was defined")


@test()
def suspend_and_resume() -> None:
    with Lab() as lab:
        domain, console = lab.boot()
        domain.suspend()
        check(domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER], "paused by the user")
        console.send("echo answer$((40+2))\n")
        console.drain(3)
        check("answer42" not in console.unread, "a paused guest does not answer")
        domain.resume()
        console.expect("answer42", 20)
        check(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, "running again")


@test()
def start_paused() -> None:
    with Lab() as lab:
        domain = lab.define()
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        check(domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED, "starts paused")
        domain.resume()
        lab.console(domain).login()


@test()
def shutdown_by_power_button() -> None:
    with Lab() as lab:
        domain, console = lab.boot()
        domain.shutdown()
        console.expect("power button pressed", 30)
        reason = wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
        check(reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, f"shut off by a shutdown, not {reason}")
        domain.create()
        check(domain.isActive(), "starts again")


@test()
def power_off_from_inside() -> None:
    with Lab() as lab:
        domain, console = lab.boot()
        console.send("poweroff\n")
        reason = wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
        check(reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, f"shut off by a shutdown, not {reason}")


@test(limit=120)
def reboot_keeps_domain() -> None:
    """Reboots asked for by the guest and a reset keep the domain, its id and its console."""
    with Lab() as lab:
        domain, console = lab.boot()
        number = domain.ID()
        for restart in (lambda: console.send("reboot -f\n"), domain.reset):
            boot = console.shell("cat /proc/sys/kernel/random/boot_id")
            restart()
            console.expect("guest: up", 60)
            console.login()
            check(console.shell("cat /proc/sys/kernel/random/boot_id") != boot, "another boot")
            check(domain.ID() == number, "the same running domain")


@test()
def on_reboot_destroy() -> None:
    with Lab() as lab:
        domain, console = lab.boot(body="<on_reboot>destroy</on_reboot>")
        console.send("reboot -f\n")
        wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)


@test()
def destroy_is_quick() -> None:
    with Lab() as lab:
        domain = lab.start()
        start = time.monotonic()
        domain.destroy()
        check(time.monotonic() - start < 15 * PATIENCE, "destroy does not wait for a time-out")
        check(domain.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED], "destroyed")
        try:
            domain.destroy()
        except libvirt.libvirtError as error:
            check(error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID, f"not running: {error}")
        else:
            raise AssertionError("a stopped domain was destroyed")


@test()
def transient_domain() -> None:
    with Lab() as lab:
        name = lab.name()
        domain = lab.connection.createXML(domain_xml(name))
        check(domain.isActive() and not domain.isPersistent(), "active, not persistent")
        domain.destroy()
        try:
            lab.connection.lookupByName(name)
        except libvirt.libvirtError as error:
            check(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN, f"gone: {error}")
        else:
            raise AssertionError("a transient domain outlived its end")


@test()
def events() -> None:
    """Each change of state is told to a client that asked."""
    with Lab() as lab:
        seen: list[tuple[int, int]] = []
        libvirt.virEventRegisterDefaultImpl()
        connection = libvirt.open(URI)
        domain = lab.define()
        connection.domainEventRegisterAny(
            connection.lookupByName(domain.name()), libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            lambda _connection, _domain, event, detail, _opaque: seen.append((event, detail)), None)

        def expect(event: int, detail: int) -> None:
            end = time.monotonic() + 20 * PATIENCE
            timer = libvirt.virEventAddTimeout(100, lambda *_: None, None)
            while (event, detail) not in seen:
                check(time.monotonic() < end, f"event {event}, {detail}; seen {seen}")
                libvirt.virEventRunDefaultImpl()
            libvirt.virEventRemoveTimeout(timer)

        domain.create()
        expect(libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED)
        domain.suspend()
        expect(libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
        domain.resume()
        expect(libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)
        domain.destroy()
        expect(libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)
        connection.close()


@test()
def metadata_and_rename() -> None:
    with Lab() as lab:
        domain = lab.define()
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "a title", None, None,
                           libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        title = domain.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        check(title == "a title", "the title is kept")
        name = lab.name("renamed")
        domain.rename(name)
        domain = lab.connection.lookupByName(name)
        check("a title" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "the title outlives a new name")


@test(limit=120, alone=True)
def autostart() -> None:
    with Lab() as lab:
        domain, other = lab.define(), lab.define()
        domain.setAutostart(True)
        check(domain.autostart() and not other.autostart(), "the flag is the domain's own")
        name, other_name = domain.name(), other.name()
        daemon.restart(host_rebooted=True)
        lab.reconnect()
        wait_for("the domain is running", lambda: lab.connection.lookupByName(name).isActive(), 30)
        check(not lab.connection.lookupByName(other_name).isActive(), "the other one is not")
        lab.connection.lookupByName(name).setAutostart(False)
