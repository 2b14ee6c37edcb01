# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPU models, from libvirt's XML to what the guest's kernel finds."""

import uuid
import xml.etree.ElementTree as ET

import libvirt
from lib.guest import Lab, URI, disk_xml, domain_xml
from lib.harness import check, command, test

NAMED = """<cpu mode='custom' match='exact' check='partial'>
  <model fallback='forbid'>kvm64</model>
  <feature policy='require' name='popcnt'/>
  <feature policy='optional' name='sse4a'/>
  <feature policy='disable' name='cx16'/>
</cpu>"""


HYPERV = """<features><acpi/><apic/><hyperv>
  <relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='8191'/><vpindex state='on'/>
  <runtime state='on'/><synic state='on'/><stimer state='on'/><reset state='on'/><frequencies state='on'/>
  <tlbflush state='on'/><ipi state='on'/>
</hyperv></features>"""


def with_cpu(lab: Lab, cpu: str, devices: str = "", **options: object) -> str:
    return domain_xml(lab.name(), devices, **options).replace("<cpu mode='host-passthrough'/>", cpu)


@test(limit=150)
def named_model() -> None:
    """A guest of a named model has that model's features, with those added and taken away."""
    with Lab() as lab:
        domain = lab.connection.createXML(with_cpu(lab, NAMED))
        console = lab.console(domain)
        console.login()
        info = dict(line.split(":", 1) for line in console.shell("cat /proc/cpuinfo").split("\n") if ":" in line)
        info = {key.strip(): value.strip() for key, value in info.items()}
        check(info["model name"] == "kvm64 virtual CPU", "the name of the model")
        flags = info["flags"].split()
        check("popcnt" in flags and "nx" in flags, "what was asked for, and what the model has")
        check("cx16" not in flags and "avx" not in flags and "aes" not in flags, "nothing else")

        live = ET.fromstring(domain.XMLDesc()).find("cpu")
        policies = {feature.get("name"): feature.get("policy") for feature in live.findall("feature")}
        check(live.get("check") == "full" and live.findtext("model") == "kvm64", "the live model is exact")
        check(policies["cx16"] == "disable" and policies["popcnt"] == "require", "as it was asked for")
        check(policies["sse4a"] in ("disable", "require"), "nothing is optional any more")
        check(policies["x2apic"] == "require", "and what the monitor adds is shown")


@test(limit=120)
def what_windows_asks_for() -> None:
    """Hyper-V's leaves are where a guest looks first, and Linux still finds KVM behind them; a generation"""
    generation = uuid.uuid4()
    with Lab() as lab:
        xml = with_cpu(lab, "<cpu mode='host-passthrough'/>", disk_xml(lab.root_disk()), root=True)
        xml = xml.replace("<features><acpi/><apic/></features>", HYPERV)
        xml = xml.replace("<memory", f"<genid>{generation}</genid><memory", 1)
        xml = xml.replace("</features>", "</features><clock offset='utc'><timer name='hypervclock'/></clock>", 1)
        domain = lab.connection.createXML(xml)
        console = lab.console(domain)
        console.login()
        console.shell("insmod $(grep /cpuid.ko /lib/modules/extra)")
        for leaf, name in ((0x40000000, "Microsoft Hv"), (0x40000100, "KVMKVMKVM")):
            said = console.shell(f"dd if=/dev/cpu/0/cpuid bs=16 skip={leaf // 16} count=1 2>/dev/null | tail -c 12")
            check(name in said, f"{name} at {leaf:#x}: {said!r}")
        check("KVM" in console.shell("dmesg | grep 'Hypervisor detected'"), "the kernel has found KVM")
        # The device of the generation, and what begins where its method ADDR says.
        check("VM_GEN_COUNTER" in console.shell("cat /sys/bus/acpi/devices/VIRE0001:00/modalias"), "its device")
        check(console.shell("devmem 0xfed50000 32").lower() == f"0x{str(generation)[:8]}", "the generation")


@test(limit=90)
def host_model() -> None:
    """host-model is what the domain capabilities say, and what they say can be had."""
    with Lab() as lab:
        capabilities = ET.fromstring(lab.connection.getDomainCapabilities())
        modes = {mode.get("name"): mode for mode in capabilities.findall("cpu/mode")}
        model = modes["host-model"].findtext("model")
        usable = {item.text: item.get("usable") for item in modes["custom"].findall("model")}
        check(model in usable and usable["kvm64"] == "yes", "a small model can be used")
        check(usable["Icelake-Server"] == "no", "not every model can")

        domain = lab.connection.createXML(with_cpu(lab, "<cpu mode='host-model'/>"), libvirt.VIR_DOMAIN_START_PAUSED)
        live = ET.fromstring(domain.XMLDesc()).find("cpu")
        check(live.get("mode") == "custom" and live.findtext("model") == model, "the live model is the host's")

        path = f"{lab.directory}/cpu.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write("<cpu mode='custom' match='exact'><model fallback='forbid'>kvm64</model></cpu>")
        said = command("virsh", "-c", URI, "hypervisor-cpu-compare", path)
        check("superset" in said, "the host has more than a small model")
        with open(path, "w", encoding="utf-8") as file:
            file.write("<cpu mode='custom'><model fallback='forbid'>Icelake-Server</model></cpu>")
        said = command("virsh", "-c", URI, "hypervisor-cpu-compare", "--error", path, fails=True)
        check("incompatible" in said, "and less than a large one")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"<domainCapabilities>{ET.tostring(capabilities.find('cpu'), 'unicode')}"
                       "</domainCapabilities>")
        said = command("virsh", "-c", URI, "hypervisor-cpu-baseline", path)
        check(model in said, "the baseline of one host is that host")


@test()
def impossible_models() -> None:
    """What this host cannot give is refused by name, and leaves nothing behind."""
    with Lab() as lab:
        for cpu, named in (
                ("<cpu mode='custom'><model fallback='forbid'>Icelake-Server</model></cpu>", "avx512f"),
                ("<cpu mode='host-passthrough'><feature policy='require' name='avx512-4fmaps'/></cpu>",
                 "avx512-4fmaps"),
                ("<cpu mode='custom'><model fallback='forbid'>Z80</model></cpu>", "Z80"),
                ("<cpu mode='custom'><model>kvm64</model><feature name='flux'/></cpu>", "flux")):
            try:
                lab.connection.createXML(with_cpu(lab, cpu))
            except libvirt.libvirtError as error:
                check(named in str(error), f"{named} is named: {error}")
            else:
                raise AssertionError(f"{named} was accepted")
        check(not [d for d in lab.connection.listAllDomains() if d.name() in lab.names], "no domain is left")
