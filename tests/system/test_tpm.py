# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TPM 2.0 by swtpm, as an unmodified kernel uses it."""

import os
import pathlib
import shutil
import signal
import xml.etree.ElementTree as ET
from typing import Optional

import libvirt

from lib.console import Console
from lib.daemon import daemon
from lib.guest import Lab, monitor_pid, wait_for_state
from lib.harness import Skipped, check, test, wait_for

STATES = pathlib.Path("/var/lib/libvirt/swtpm")
PIDS = pathlib.Path("/run/libvirt/vireo/swtpm")
LOGS = pathlib.Path("/var/log/libvirt/vireo")
TPM = "<tpm><backend type='emulator'/></tpm>"
GET_RANDOM = "80 01 00 00 00 0c 00 00 01 7b 00 10"
# TPM2_ReadPublic of the endorsement key, which swtpm_setup made and keeps
READ_PUBLIC = "80 01 00 00 00 0e 00 00 01 73 81 01 00 01"



def tpm_command(console: Console, text: str) -> str:
    """Has the guest's TPM carry out a command; the response in hexadecimal digits."""
    octal = "".join(f"\\{int(byte, 16):03o}" for byte in text.split())
    return console.shell(f"exec 3<>/dev/tpm0; printf '{octal}' >&3; "
                         "dd bs=4096 count=1 <&3 2>/dev/null | hexdump -v -e '1/1 \"%02x\"'; exec 3>&-", 60)


def swtpm_pid(domain: libvirt.virDomain) -> Optional[int]:
    path = PIDS / f"{domain.name()}.pid"
    return int(path.read_text("ascii")) if path.exists() else None


def gone(pid: int) -> bool:
    return not pathlib.Path(f"/proc/{pid}").exists()


@test(limit=240, alone=True)
def tpm_answers_and_remembers() -> None:
    """It has random numbers, keeps its keys over a crash and the daemon's restart, and goes when it should."""
    if not shutil.which("swtpm_setup"):
        raise Skipped("there is no swtpm")
    with Lab() as lab:
        capabilities = ET.fromstring(lab.connection.getDomainCapabilities())
        models = [value.text for value in capabilities.findall("./devices/tpm/enum[@name='model']/value")]
        check(models == ["tpm-crb"], "domain capabilities tell of it")
        domain, console = lab.boot(TPM)
        name = domain.name()
        state = STATES / domain.UUIDString()
        check(console.shell("cat /sys/class/tpm/tpm0/tpm_version_major") == "2", "a TPM 2.0")
        check(console.shell("cat /sys/class/tpm/tpm0/pcr-sha256/0") == "0" * 64, "nobody has measured")
        first, second = (tpm_command(console, GET_RANDOM) for _ in range(2))
        check(first.startswith("80010000001c000000000010") and len(first) == 56, f"random numbers: {first}")
        check(first != second, "not the same ones again")
        key = tpm_command(console, READ_PUBLIC)
        check(key[12:20] == "00000000", f"the endorsement key: {key}")

        pid = swtpm_pid(domain)
        assert pid
        daemon.restart()
        lab.reconnect()
        domain = lab.connection.lookupByName(name)
        again = lab.console(domain)
        again.login()
        check(tpm_command(again, READ_PUBLIC) == key, "it is there for another daemon")
        os.kill(monitor_pid(domain), signal.SIGKILL)
        wait_for_state(domain, libvirt.VIR_DOMAIN_SHUTOFF)
        wait_for("the end of swtpm", lambda: gone(pid), 10)
        check(not swtpm_pid(domain) and (state / "tpm2").is_dir(), "only its state stays")

        domain.create()
        console = lab.console(domain)
        console.login()
        check(tpm_command(console, READ_PUBLIC) == key, "the same key after another start")
        pid = swtpm_pid(domain)
        assert pid and pid > 1
        os.kill(pid, signal.SIGKILL)
        console.shell("! cat /sys/class/tpm/tpm0/pcr-sha256/0 >/dev/null 2>&1", 60)
        wait_for("a word about it", lambda: "has failed: swtpm is gone" in (LOGS / f"{name}.log").read_text(), 10)
        check(domain.isActive(), "the guest goes on")
        domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM)
        check((state / "tpm2").is_dir(), "kept when asked")
        shutil.rmtree(state)
