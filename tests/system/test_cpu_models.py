# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPU models, from libvirt's XML to what the guest's kernel finds."""

import pathlib
import struct
import uuid
import xml.etree.ElementTree as ET

import libvirt
from lib import smbios, tiny
from lib.guest import Lab, URI, disk_xml, domain_xml, refused, wait_for_state
from lib.harness import Skipped, check, command, test, wait_for

FEATURES = 1  # leaves of CPUID
EXTENDED_FEATURES = 7
SIZES = 0x80000008
HYPERVISOR = 0x40000000
POWER = 0x80000007
LEAVES = (0, FEATURES, EXTENDED_FEATURES, HYPERVISOR, POWER, SIZES)

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
        tables = smbios.read(console)
        # By itself there is nothing of a board.
        kinds = [structure.kind for structure in tables]
        check(kinds == [0, 1, 3, 4, 16, 17, 19, 32, 127], f"SMBIOS structures: {kinds}")
        check(tables[1].text(4) == "Vireo" and tables[1].text(5) == "q35", f"the system: {tables[1]}")
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
    """Hyper-V's leaves are where a guest looks first, Linux still finds KVM behind them; a generation, a panic"""
    generation = uuid.uuid4()
    with Lab() as lab:
        xml = with_cpu(lab, "<cpu mode='host-passthrough'/>", disk_xml(lab.root_disk()) + "<panic model='isa'/>",
                       root=True)
        xml = xml.replace("<features><acpi/><apic/></features>", HYPERV)
        xml = xml.replace("</os>", "<smbios mode='host'/></os><on_crash>preserve</on_crash>")
        xml = xml.replace("<memory", f"<genid>{generation}</genid><memory", 1)
        xml = xml.replace("</features>", "</features><clock offset='utc'><timer name='hypervclock'/></clock>", 1)
        domain = lab.connection.createXML(xml)
        console = lab.console(domain)
        console.login()
        check(console.shell("cat /sys/class/dmi/id/product_name") ==
              pathlib.Path("/sys/class/dmi/id/product_name").read_text("ascii").strip(), "the host's name in SMBIOS")
        check(console.shell("cat /sys/class/dmi/id/product_uuid") == domain.UUIDString(), "not its UUID")
        console.shell("insmod $(grep /cpuid.ko /lib/modules/extra)")
        for leaf, name in ((0x40000000, "Microsoft Hv"), (0x40000100, "KVMKVMKVM")):
            said = console.shell(f"dd if=/dev/cpu/0/cpuid bs=16 skip={leaf // 16} count=1 2>/dev/null | tail -c 12")
            check(name in said, f"{name} at {leaf:#x}: {said!r}")
        check("KVM" in console.shell("dmesg | grep 'Hypervisor detected'"), "the kernel has found KVM")
        # The device of the generation, and what begins where its method ADDR says.
        check("VM_GEN_COUNTER" in console.shell("cat /sys/bus/acpi/devices/VIRE0001:00/modalias"), "its device")
        check(console.shell("devmem 0xfed50000 32").lower() == f"0x{str(generation)[:8]}", "the generation")

        # The kernel's own panic reaches libvirt.
        console.shell("for module in $(grep /pvpanic /lib/modules/extra); do insmod $module; done")
        console.send("echo c >/proc/sysrq-trigger\n")
        console.expect("sysrq triggered crash")
        check(wait_for_state(domain, libvirt.VIR_DOMAIN_CRASHED) == libvirt.VIR_DOMAIN_CRASHED_PANICKED, "it has panicked")


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
        said = cpuid(lab, "<cpu mode='host-passthrough'/>", "<hyperv mode='passthrough'/>")
        check(struct.pack("<3I", *said[HYPERVISOR][1:]) == b"Microsoft Hv", "<hyperv mode='passthrough'>")

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


def cpuid(lab: Lab, cpu: str, features: str = "") -> "dict[int, tuple[int, int, int, int]]":
    """{leaf: eax, ebx, ecx, edx} of the processor that a guest with @cpu gets."""
    path = lab.empty_disk(0)
    xml = with_cpu(lab, cpu, f"<serial type='file'><source path='{path}'/><target port='1'/></serial>", memory=64,
                   boot=tiny.boot(lab, tiny.cpuid(*LEAVES)))
    domain = lab.connection.createXML(xml.replace("<apic/>", "<apic/>" + features))
    said = wait_for("the guest's CPUID", lambda: data if len(data := pathlib.Path(path).read_bytes()) == 16 * len(LEAVES)
                    else None)
    domain.destroy()
    return {leaf: struct.unpack_from("<4I", said, 16 * index) for index, leaf in enumerate(LEAVES)}  # type: ignore


def subset(some: "tuple[int, int, int, int]", more: "tuple[int, int, int, int]", *registers: int) -> bool:
    return all(some[register] & ~more[register] == 0 for register in registers)


@test(paused=True)
def modes_and_matches() -> None:
    """maximum, match='minimum' and 'strict', check='none', and details: by what CPUID says to the guest"""
    with Lab() as lab:
        host = cpuid(lab, "<cpu mode='host-passthrough' migratable='on'><cache mode='passthrough'/>"
                          "<maxphysaddr mode='passthrough'/></cpu>")
        check(host[POWER][3] & 1 << 8 == 0, "no invtsc where migratable='on'")
        maximum = cpuid(lab, "<cpu mode='maximum'/>")
        check((maximum[0], maximum[EXTENDED_FEATURES]) == (host[0], host[EXTENDED_FEATURES]), "all that the host has")
        check(maximum[FEATURES][2:] == host[FEATURES][2:], f"all that the host has: {maximum} {host}")

        exact = cpuid(lab, "<cpu mode='custom' match='exact'><model fallback='forbid'>486</model></cpu>")
        minimum = cpuid(lab, "<cpu mode='custom' match='minimum'><model fallback='forbid'>486</model></cpu>")
        check(subset(exact[FEATURES], minimum[FEATURES], 2, 3) and subset(minimum[FEATURES], host[FEATURES], 2, 3),
              f"at least the model, at most the host: {exact} {minimum} {host}")
        check(minimum[FEATURES][2] != exact[FEATURES][2], "the host has more than 486, and so has the guest")
        refused(lambda: cpuid(lab, "<cpu mode='custom' match='strict'><model fallback='forbid'>486</model></cpu>"),
                "strict", libvirt.VIR_ERR_CPU_INCOMPATIBLE)

        details = cpuid(lab, "<cpu mode='custom'><model fallback='forbid' vendor_id='MadeOfBricks'>486</model>"
                             "<maxphysaddr mode='emulate' bits='35'/></cpu>")
        vendor = struct.pack("<3I", *(details[0][register] for register in (1, 3, 2)))
        check(vendor == b"MadeOfBricks", f"the vendor: {vendor!r}")
        check(details[SIZES][0] & 0xff == 35 < host[SIZES][0] & 0xff, f"bits of an address: {details[SIZES]}")

        capabilities = ET.fromstring(lab.connection.getDomainCapabilities())
        models = [item.text for item in capabilities.findall("cpu/mode[@name='custom']/model")
                  if item.get("usable") == "no"]
        if not models:
            raise Skipped("there is no model that this host cannot give")
        unchecked = "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{}</model></cpu>"
        refused(lambda: cpuid(lab, unchecked.format(models[0]).replace("none", "partial")), "CPU",
                libvirt.VIR_ERR_CPU_INCOMPATIBLE)
        given = cpuid(lab, unchecked.format(models[0]))
        check(subset(given[FEATURES], host[FEATURES], 2) and subset(given[EXTENDED_FEATURES], host[EXTENDED_FEATURES], 1),
              f"what there is of {models[0]}: {given} {host}")
