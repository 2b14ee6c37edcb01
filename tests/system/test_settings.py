# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a running domain is given, and what clients ask of host and guest."""

import re
import time

import libvirt

from lib.guest import URI, Lab, disk_xml, network_xml
from lib.harness import PATIENCE, check, command, test, wait_for

BOTH = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG


def refused(code: int, call: object, *arguments: object) -> None:
    try:
        call(*arguments)  # type: ignore[operator]
    except libvirt.libvirtError as error:
        check(error.get_error_code() == code, f"the right kind of error: {error}")
        return
    check(False, f"{call} should have failed")


@test(limit=150)
def link_addresses_and_size() -> None:
    """The link of a card, the addresses its guest got, and a disk that grows."""
    with Lab() as lab:
        mac = "52:54:00:aa:bb:11"
        domain, console = lab.boot(disk_xml(lab.empty_disk(4)) + network_xml(mac))

        def leases() -> "list[str]":
            found = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE).values()
            return [a["addr"] for card in found if card["hwaddr"] == mac for a in card["addrs"] or []]

        wait_for("a lease", leases, 40, 1)
        check(leases()[0] in console.shell("ip -4 address show dev eth0"), "the lease is the guest's address")
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, domain.interfaceAddresses,
                libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)

        def set_link(state: str, *where: str) -> None:
            command("virsh", "-c", lab.connection.getURI(), "domif-setlink", domain.name(), mac, state, *where)

        set_link("down")
        wait_for("the carrier to go", lambda: console.shell("cat /sys/class/net/eth0/carrier", status=None) == "0", 20)
        check("<link state='down'/>" in domain.XMLDesc(), "down in the live XML")
        check("<link state" not in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "not in the definition")
        set_link("up")
        wait_for("the carrier", lambda: console.shell("cat /sys/class/net/eth0/carrier", status=None) == "1", 20)
        set_link("down", "--config")
        check("<link state='down'/>" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "down in the definition")

        domain.setInterfaceParameters(mac, {"inbound.average": 1000, "inbound.peak": 2000, "outbound.average": 500},
                                      libvirt.VIR_DOMAIN_AFFECT_LIVE)
        tap = domain.XMLDesc().split("<target dev='vnet")[1].split("'")[0]
        check("rate 8Mbit" in command("tc", "class", "show", "dev", f"vnet{tap}"), "the host limits what goes in")
        check("rate 4Mbit" in command("tc", "filter", "show", "dev", f"vnet{tap}", "parent", "ffff:"), "and out")
        check(domain.interfaceParameters(mac)["inbound.peak"] == 2000, "the limits are known")
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, domain.setInterfaceParameters, mac, {"inbound.floor": 10})
        domain.setInterfaceParameters(mac, {"inbound.average": 0, "outbound.average": 0},
                                      libvirt.VIR_DOMAIN_AFFECT_LIVE)
        check("htb" not in command("tc", "qdisc", "show", "dev", f"vnet{tap}"), "no limit again")

        domain.blockResize("vda", 8 << 20, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        wait_for("the new size", lambda: console.shell("cat /sys/block/vda/size") == str(8 << 11), 20)
        check(domain.blockInfo("vda")[0] == 8 << 20, "and the image's")
        check(domain.diskErrors() == {}, "no errors")


@test(limit=120, wide=True)
def threads_and_limits() -> None:
    """Threads move and come and go; limits reach the kernel and outlive the daemon."""
    with Lab() as lab:
        domain, console = lab.boot(vcpus=2, body="<iothreads>1</iothreads>")
        domain.pinVcpuFlags(1, (True, False), BOTH)
        check(domain.vcpus()[1][1][:2] == (True, False), "the vCPU's thread has moved")
        check(domain.vcpuPinInfo(libvirt.VIR_DOMAIN_AFFECT_CONFIG)[1][:2] == (True, False), "so it is defined")
        refused(libvirt.VIR_ERR_INVALID_ARG, domain.pinVcpu, 7, (True, False))
        domain.pinEmulator((False, True), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        check(domain.emulatorPinInfo()[:2] == (False, True), "the main thread has moved")

        domain.addIOThread(4, BOTH)
        domain.pinIOThread(4, (False, True), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        threads = {number: cpus[:2] for number, cpus in domain.ioThreadInfo()}
        check(threads[4] == [False, True] and sorted(threads) == [1, 4], f"I/O threads: {threads}")
        domain.delIOThread(4, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        check([number for number, _ in domain.ioThreadInfo()] == [1], "gone from the running domain")
        refused(libvirt.VIR_ERR_INVALID_ARG, domain.delIOThread, 4, libvirt.VIR_DOMAIN_AFFECT_LIVE)

        domain.setSchedulerParametersFlags({"cpu_shares": 512, "vcpu_quota": 50000}, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        scheduler = domain.schedulerParameters()
        check(scheduler["cpu_shares"] == 512 and scheduler["vcpu_quota"] == 50000, f"limits: {scheduler}")
        refused(libvirt.VIR_ERR_INVALID_ARG, domain.setSchedulerParameters, {"vcpu_period": 1})
        domain.setMemoryParameters({"hard_limit": 1 << 20}, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        check(domain.memoryParameters()["hard_limit"] == 1 << 20, "the memory limit")
        check(domain.getCPUStats(True)[0]["cpu_time"] > 0, "CPU time")
        check(console.shell("nproc") == "2", "the guest still runs")

        refused(libvirt.VIR_ERR_INVALID_ARG, domain.setVcpus, 3)
        domain.setVcpusFlags(3, libvirt.VIR_DOMAIN_AFFECT_CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
        config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        check(domain.vcpusFlags(config | libvirt.VIR_DOMAIN_VCPU_MAXIMUM) == 3, "the most vCPUs of the next life")
        domain.setVcpusFlags(3, config)
        check(domain.vcpusFlags(config) == 3, "vCPUs of the next life")
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, domain.setMaxMemory, 1 << 20)
        check(domain.jobInfo()[0] == libvirt.VIR_DOMAIN_JOB_NONE, "no job")
        refused(libvirt.VIR_ERR_OPERATION_INVALID, domain.abortJob)


@test()
def host_and_personas() -> None:
    """What nova and others ask of the host, and the connection that is called QEMU's."""
    with Lab() as lab:
        connection = lab.connection
        names = connection.getCPUModelNames("x86_64")
        check("Haswell" in names, "names of CPU models")
        capabilities = connection.getCapabilities()
        host = capabilities[capabilities.index("<cpu>"):capabilities.index("</cpu>") + len("</cpu>")]
        check(connection.compareCPU(host) == libvirt.VIR_CPU_COMPARE_IDENTICAL, "the host is like itself")
        check("<model" in connection.baselineCPU([host]), "a baseline")
        check(connection.getCellsFreeMemory(0, 1)[0] > 0, "free memory of a NUMA node")
        check(connection.getFreePages([4], 0, 1)[0][4] > 0, "free pages")

        if connection.getType() == "QEMU":
            return
        domain = lab.define()
        scope = connection.getURI().rsplit("/", 1)[1]
        other = libvirt.open(f"qemu:///{scope}?socket=/run/libvirt/virtvireod-sock")
        try:
            check(other.getType() == "QEMU" and other.getVersion() == 7002000, "it looks like QEMU")
            check(other.lookupByName(domain.name()).UUIDString() == domain.UUIDString(), "with the same domains")
        finally:
            other.close()


@test()
def clock() -> None:
    """A clock that is ahead of the host's, and what the guest makes of it is remembered."""
    with Lab() as lab:
        domain, console = lab.boot(body="<clock offset='variable' adjustment='86400'>"
                                        "<timer name='rtc' tickpolicy='catchup'/><timer name='hpet' present='no'/></clock>")

        def ahead() -> int:
            return int(console.shell("cat /sys/class/rtc/rtc0/since_epoch")) - int(time.time())

        check(abs(ahead() - 86400) < 30, f"a day ahead, not {ahead()} s")
        # Another day, set by the guest.
        console.shell("date -u -s @$(($(cat /sys/class/rtc/rtc0/since_epoch) + 86400)) && hwclock -u -w")
        check(abs(ahead() - 2 * 86400) < 30, f"two days ahead, not {ahead()} s")

        def adjustment() -> int:
            found = re.search(r"<clock offset='variable' adjustment='(\d+)'", domain.XMLDesc())
            return int(found[1]) if found else 0

        wait_for("the new adjustment in the live XML", lambda: abs(adjustment() - 2 * 86400) < 30)


@test(limit=240)
def watchdog() -> None:
    """A guest that feeds its watchdog runs; one that stops that is paused as its XML says, and clients are told."""
    with Lab() as lab:
        told: list[int] = []
        domain, console = lab.boot("<watchdog model='i6300esb' action='pause'/>", screen=True, memory=320)
        # A client that does not listen for half a minute is cut off.
        libvirt.virEventRegisterDefaultImpl()
        connection = libvirt.open(URI)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG,
                                          lambda _connection, _domain, action, _opaque: told.append(action), None)

        def listen(seconds: float) -> None:
            timer = libvirt.virEventAddTimeout(100, lambda *_: None, None)
            end = time.monotonic() + seconds
            while not told and time.monotonic() < end:
                libvirt.virEventRunDefaultImpl()
            libvirt.virEventRemoveTimeout(timer)

        console.shell("watchdog -T 16 -t 1 /dev/watchdog")
        listen(20)
        check(domain.isActive() and not told, "a guest that feeds it runs")
        console.shell("killall -KILL watchdog")
        listen(60 * PATIENCE)
        check(told == [libvirt.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE], f"told {told}")
        wait_for("the domain to be paused", lambda: domain.state() ==
                 [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_WATCHDOG])
        domain.resume()
        check(console.shell("echo on") == "on", "and it goes on")
        connection.close()
