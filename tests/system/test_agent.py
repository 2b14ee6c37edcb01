# SPDX-License-Identifier: LGPL-2.1-or-later
"""The distribution's guest agent in a guest, and what virsh and libvirt's clients do with it."""

import hashlib
import json
import queue
import threading
import time

import libvirt
import libvirt_qemu

from lib.agent import CHANNEL, boot_with_agent, channel_state, start_agent, wait_for_channel
from lib.daemon import daemon
from lib.guest import Lab, disk_xml, network_xml, refused, wait_for_state
from lib.harness import PATIENCE, check, test, wait_for


class Events:
    """The agent's comings and goings, as a client of libvirt's event loop gets them."""

    def __init__(self, uri: str) -> None:
        self.states: "queue.Queue[int]" = queue.Queue()
        libvirt.virEventRegisterDefaultImpl()
        self.connection = libvirt.open(uri)
        self.connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
            lambda _c, _d, state, _reason, _o: self.states.put(state), None)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            libvirt.virEventRunDefaultImpl()


@test(limit=240)
def agent() -> None:
    with Lab() as lab:
        domain, console = lab.boot(disk_xml(lab.root_disk()) + CHANNEL + network_xml(), root=True, vcpus=2)
        check(channel_state(domain) == "disconnected", "no agent yet")
        refused(domain.fsInfo, "the guest agent is not connected")
        start_agent(console)
        wait_for_channel(domain, "connected")

        check(domain.hostname() == "guest", "the name of the guest")
        seconds = domain.getTime()["seconds"]
        check(abs(seconds - time.time()) < 600, f"the guest's time {seconds}")
        domain.setTime({"seconds": 1700000000, "nseconds": 0})
        check(0 <= int(console.shell("date +%s")) - 1700000000 < 120, "a new time")

        file_systems = domain.fsInfo()
        check([fs[0] for fs in file_systems if fs[3] == ["vda"]] == ["/"], f"the root is on vda: {file_systems}")
        check(domain.fsFreeze() == 1, "one file system is frozen")
        check(domain.fsThaw() == 1, "and thawed")
        console.shell("echo writable >/root/file")
        domain.fSTrim(None, 0)

        ip = wait_for("an address", lambda: console.shell(
            "ip -4 address show eth0 | sed -n 's,.*inet \\([0-9.]*\\)/.*,\\1,p'"), 30)
        addresses = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
        check(ip in [address["addr"] for address in addresses["eth0"]["addrs"]], f"{ip} in {addresses}")

        info = domain.guestInfo()
        check(info["hostname"] == "guest" and info["if.count"] == 2 and info["fs.0.mountpoint"] == "/",
              f"guest information {info}")
        check(info["os.kernel-release"] == console.shell("uname -r"), "the guest's kernel")
        check(info["fs.0.disk.0.alias"] == "vda", "the disk of its file system")

        domain.setUserPassword("root", "secret")
        check(console.shell("grep ^root /etc/shadow").startswith(f"root:{hashlib.md5(b'secret').hexdigest()}:"),
              "a password is set")
        key = "ssh-ed25519 AAAA somebody@somewhere"
        domain.authorizedSSHKeysSet("root", [key])
        check(domain.authorizedSSHKeysGet("root") == [key], "the key")
        domain.authorizedSSHKeysSet("root", [key], libvirt.VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE)
        check(domain.authorizedSSHKeysGet("root") == [], "no key")

        check(domain.guestVcpus() == {"vcpus": "0-1", "online": "0-1", "offlinable": "1"},
              f"the guest's processors {domain.guestVcpus()}")
        domain.setGuestVcpus("1", 0)
        check(console.shell("cat /sys/devices/system/cpu/online") == "0", "one is left")
        domain.setGuestVcpus("1", 1)
        refused(lambda: domain.setGuestVcpus("7", 1), "the guest has no vCPU 7")

        reply = json.loads(libvirt_qemu.qemuAgentCommand(domain, '{"execute": "guest-info"}', 20, 0))
        check(reply["return"]["version"].startswith("7."), "a command of the user's own")
        reply = json.loads(libvirt_qemu.qemuAgentCommand(domain, '{"execute": "nonsense"}', 20, 0))
        check(reply["error"]["class"] == "CommandNotFound", "its error, as it is")
        refused(lambda: domain.pMSuspendForDuration(libvirt.VIR_NODE_SUSPEND_TARGET_MEM, 0),
                "does not suspend to memory")

        # The daemon finds out whether the agent is there.
        name = domain.name()
        daemon.restart()
        lab.reconnect()
        domain = lab.connection.lookupByName(name)
        check(channel_state(domain) == "connected", "the agent outlives the daemon")
        check(domain.hostname() == "guest", "and answers the new one")
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF, 60)


@test(limit=240)
def agent_that_hangs() -> None:
    """An agent that is stopped, late, killed, or not an agent; and a guest that reboots by it."""
    with Lab() as lab:
        domain, console = boot_with_agent(lab)
        events = Events(lab.connection.getURI())

        # Stopped: a command fails in time; its late answer is not taken for the next one's.
        console.shell("kill -STOP $(cat /run/qga.pid)")
        domain.agentSetResponseTimeout(2, 0)
        refused(domain.hostname, "does not answer in time")
        check(domain.isActive() and domain.info()[0] == libvirt.VIR_DOMAIN_RUNNING, "the domain is well")
        console.shell("kill -CONT $(cat /run/qga.pid)")
        check(abs(domain.getTime()["seconds"] - time.time()) < 600, "a number, not a name")

        # Gone while somebody waits for ever: told at once.
        domain.agentSetResponseTimeout(libvirt.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0)
        console.shell("rm /bin/hwclock; printf '#!/bin/sh\\nexec sleep 1000\\n' >/bin/hwclock; chmod +x /bin/hwclock")
        sleeper = threading.Thread(target=lambda: refused(
            lambda: domain.setTime(flags=libvirt.VIR_DOMAIN_TIME_SYNC), "not there any more"))
        sleeper.start()
        time.sleep(2)
        console.shell("kill -KILL $(cat /run/qga.pid); rm -f /run/qga.pid")
        sleeper.join(20 * PATIENCE)
        check(not sleeper.is_alive(), "the command has ended")
        wait_for_channel(domain, "disconnected")
        check(events.states.get(timeout=20 * PATIENCE) == libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED,
              "clients are told")

        # Something else that talks: an endless line, and then answers nobody asked for.
        console.shell("port=/dev/$(grep -l guest_agent /sys/class/virtio-ports/*/name | cut -d/ -f5); "
                      "(tr '\\0' x </dev/zero | head -c 40000000; yes '{\"return\": 1}') >$port 2>/dev/null & "
                      "echo $! >/run/yes.pid")
        wait_for_channel(domain, "connected")
        domain.agentSetResponseTimeout(5, 0)
        refused(domain.hostname, "the guest agent")
        console.shell("kill $(cat /run/yes.pid); killall yes tr head 2>/dev/null; true")
        wait_for_channel(domain, "disconnected")

        start_agent(console)
        wait_for_channel(domain, "connected")
        check(domain.hostname() == "guest", "the agent is back")
        domain.reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT)
        wait_for_channel(domain, "disconnected")
        console.expect("guest: up after", 60)
        console.login()
        check(domain.isActive(), "it runs again")
