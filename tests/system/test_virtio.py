# SPDX-License-Identifier: LGPL-2.1-or-later
"""virtio devices with an unmodified kernel's drivers."""

import socket
import tempfile

from lib.harness import check, test, wait_for
from lib.monitor import Monitor


@test(limit=180)
def serial_ports_entropy_and_balloon() -> None:
    """What a guest agent, a second console, the entropy pool and the balloon need."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory, \
            Monitor("-object", "rng-random,id=rng0,filename=/dev/urandom",
                    "-device", "virtio-rng-pci,rng=rng0",
                    "-device", "virtio-serial-pci,id=serial1",
                    "-chardev", f"file,id=log,path={directory}/log",
                    "-device", "virtconsole,chardev=log,id=console1",
                    "-chardev", f"socket,id=agent,path={directory}/agent,server=on,wait=off",
                    "-device", "virtserialport,chardev=agent,id=agent1,name=org.example.agent.0",
                    "-device", "virtio-balloon-pci,id=balloon1,guest-stats-polling-interval=1") as monitor:
        shell, qmp = monitor.shell, monitor.qmp

        check(shell.shell("head -c 64 /dev/hwrng | wc -c") == "64", "entropy from the host")

        check(shell.shell("cat /sys/class/virtio-ports/vport*p1/name") == "org.example.agent.0", "the port's name")
        port = "/dev/" + shell.shell("cd /sys/class/virtio-ports; echo vport*p1")
        agent = socket.socket(socket.AF_UNIX)
        agent.settimeout(20)
        agent.connect(f"{directory}/agent")
        shell.shell(f"(read line <{port}; echo \"answer to $line\" >{port}) >/dev/null 2>&1 & true")
        while qmp.wait_event("VSERPORT_CHANGE")["data"] != {"id": "agent1", "open": True}:
            pass  # the console was opened before
        agent.sendall(b"question\n")
        check(agent.recv(100) == b"answer to question\n", "the guest answered")
        agent.close()

        shell.shell("echo from the guest >/dev/hvc0")
        wait_for("output on the console", lambda: "from the guest" in open(f"{directory}/log").read(), 20)

        whole = qmp.execute("query-balloon")["actual"]
        qmp.execute("balloon", value=whole - (16 << 20))
        wait_for("the balloon", lambda: qmp.execute("query-balloon")["actual"] == whole - (16 << 20), 30)
        qmp.wait_event("BALLOON_CHANGE")
        wait_for("the guest's statistics", lambda: qmp.execute(
            "qom-get", path="/machine/peripheral/balloon1", property="guest-stats")["last-update"] > 0, 20)
        qmp.execute("balloon", value=whole)
        wait_for("the balloon", lambda: qmp.execute("query-balloon")["actual"] == whole, 30)

        qmp.execute("device_del", id="agent1")
        event = qmp.wait_event("DEVICE_DELETED")
        check(event["data"]["device"] == "agent1", "the port is gone")
        wait_for("that in the guest", lambda: "p1" not in shell.shell("ls /sys/class/virtio-ports"), 20)
