# SPDX-License-Identifier: LGPL-2.1-or-later
"""Firmware: UEFI with its variables, a BIOS, and what is wrong with their files."""

import os
import uuid
import xml.etree.ElementTree as ET

import libvirt

from lib import smbios
from lib.guest import Lab, disk_xml, virsh
from lib.harness import check, test, wait_for
from lib.tiny import master_boot_record
from test_tpm import TPM

OVMF = "/usr/share/OVMF/OVMF"
SEABIOS = "/usr/share/seabios/bios-256k.bin"
NVRAM = "/var/lib/libvirt/vireo/nvram"
TYPE = "<type arch='x86_64' machine='q35'>hvm</type>"
EFI = f"<os firmware='efi'>{TYPE}<boot dev='hd'/></os>"
SYSINFO = """<sysinfo type='smbios'>
  <bios><entry name='vendor'>Maker, Inc.</entry><entry name='date'>01/02/2003</entry><entry name='release'>1.2</entry></bios>
  <system><entry name='manufacturer'>Us &amp; Co.</entry><entry name='serial'>S-1</entry></system>
  <baseBoard><entry name='product'>Board</entry></baseBoard><baseBoard><entry name='product'>Riser</entry></baseBoard>
  <chassis><entry name='asset'>Tag</entry></chassis>
  <oemStrings><entry>first</entry><entry>second, with a comma</entry></oemStrings>
</sysinfo>"""
VARIABLE = "/sys/firmware/efi/efivars/VireoTest-5b1c2f9e-6d3a-4c1f-9a52-3c1e0f7d8b64"


def refused(domain: libvirt.virDomain, *words: str, flags: int = 0) -> None:
    try:
        domain.createWithFlags(flags)
    except libvirt.libvirtError as error:
        for word in words:
            check(word in str(error), f"'{error}' names {word}")
        return
    raise AssertionError("it starts")


@test(limit=240)
def efi_boots_a_disk() -> None:
    """UEFI boots a disk, measures into the TPM, keeps a variable, and a processor that comes while it runs."""
    with Lab() as lab:
        path = os.path.join(lab.directory, "variables.fd")
        domain = lab.start(disk_xml(lab.boot_disk()) + TPM, memory=512, vcpus=2,
                           boot=f"<os>{TYPE}<loader readonly='yes' type='pflash'>{OVMF}_CODE_4M.fd</loader>"
                                f"<nvram template='{OVMF}_VARS_4M.fd'>{path}</nvram></os>",
                           body="<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/></vcpus>")
        console = lab.console(domain)
        console.expect("GRUB for efi", 120)
        console.login()
        measured = console.shell("cat /sys/class/tpm/tpm0/pcr-sha256/0")
        check(len(measured) == 64 and set(measured) != {"0"}, f"the firmware measured itself: {measured}")
        console.shell("mount -t efivarfs none /sys/firmware/efi/efivars")
        console.shell(f"printf '\\007\\000\\000\\000lasting' >{VARIABLE}")
        with open(path, "rb") as file:
            check("VireoTest".encode("utf-16-le") in file.read(), "the variable is in the file at once")
        domain.setVcpus(2)
        wait_for("another processor", lambda: console.shell("ls -d /sys/devices/system/cpu/cpu[0-9] | wc -l") == "2")
        console.shell("echo 1 >/sys/devices/system/cpu/cpu1/online")
        check(console.shell("taskset -c 1 sh -c 'echo ran'") == "ran", "work on the new processor")
        console.send("reboot\n")
        console.expect("GRUB for efi", 120)
        console.login()
        check(console.shell("cat /sys/devices/system/cpu/online") == "0-1", "the firmware passes on both")
        console.shell("mount -t efivarfs none /sys/firmware/efi/efivars")
        check(console.shell(f"tail -c 7 {VARIABLE}") == "lasting", "the variable is there after a reboot")


@test(paused=True)
def efi_is_chosen() -> None:
    """Who asks for UEFI gets firmware and variables of the domain's own, which stay or go with it as they are told."""
    with Lab() as lab:
        domain = lab.define(boot=EFI)
        virsh("start", "--paused", domain.name())
        live = ET.fromstring(virsh("dumpxml", domain.name()))
        path = f"{NVRAM}/{domain.name()}_VARS.fd"
        check(live.findtext("./os/nvram") == path, "the variables have a file of the domain's own")
        check(live.find("./os/loader").get("type") == "pflash", "the live XML says what boots")  # type: ignore[union-attr]
        # The definition still asks for a kind of firmware and names no files.
        inactive = ET.fromstring(virsh("dumpxml", "--inactive", domain.name()))
        check(inactive.find("./os").get("firmware") == "efi", "the definition is unchanged")  # type: ignore[union-attr]
        check(inactive.find("./os/loader") is None, "nor does it say which file")
        virsh("destroy", domain.name())
        said = virsh("undefine", domain.name(), fails=True)
        check("nvram" in said, f"undefine asks what to do with the variables: {said}")
        virsh("undefine", "--keep-nvram", domain.name())
        check(os.path.exists(path), "they are kept when asked")
        os.unlink(path)


@test(limit=150)
def bios_boots_a_disk() -> None:
    """A domain that names neither kernel nor firmware boots its disk's master boot record."""
    with Lab() as lab:
        domain = lab.start(disk_xml(lab.boot_disk()), boot=f"<os>{TYPE}<smbios mode='sysinfo'/></os>", head=SYSINFO)
        console = lab.console(domain)
        console.expect("GRUB for pc", 60)
        console.login()
        console.shell("test -e /sys/firmware/efi", status=1)
        tables = smbios.read(console)
        boards = [structure.text(5) for structure in tables if structure.kind == 2]
        check(boards == ["Board", "Riser"], f"each board: {boards}")
        said = {structure.kind: structure for structure in tables if structure.kind != 2}
        check({0, 1, 3, 4, 11, 16, 17, 19, 32, 127} <= set(said), f"structures: {sorted(said)}")
        check((said[0].text(4), said[0].text(8), said[0].data[0x14:0x16]) == ("Maker, Inc.", "01/02/2003", b"\1\2"),
              f"the firmware: {said[0]}")
        check((said[1].text(4), said[1].text(7)) == ("Us & Co.", "S-1"), f"the system: {said[1]}")
        check(said[1].data[8:24] == uuid.UUID(domain.UUIDString()).bytes_le, f"its UUID: {said[1]}")
        check(said[3].text(8) == "Tag", f"the chassis: {said[3]}")
        check(said[11].strings == ["first", "second, with a comma"], f"the maker's own: {said[11]}")
        check(int.from_bytes(said[17].data[12:14], "little") == 160, f"the memory's size: {said[17]}")
        check(console.shell("cat /sys/class/dmi/id/board_name") == "Board", "as the kernel shows it")
        check("seabios" in (ET.fromstring(domain.XMLDesc()).findtext("./os/loader") or ""),
              "the live XML says what boots")


@test(paused=True, limit=120)
def bios_obeys_the_boot_order() -> None:
    """A BIOS by <loader type='rom'> offers its menu on the serial port, then starts the disk that is to be the first."""
    with Lab() as lab:
        for name in ("one", "two"):
            master_boot_record(f"{lab.directory}/{name}.img", f"\nstarted {name}\n")
        domain = lab.start(disk_xml(f"{lab.directory}/one.img", "vda", "<boot order='2'/>") +
                           disk_xml(f"{lab.directory}/two.img", "vdb", "<boot order='1'/>"), memory=64,
                           boot=f"<os>{TYPE}<loader type='rom'>{SEABIOS}</loader>"
                                "<bootmenu enable='yes' timeout='4000'/><bios useserial='yes'/></os>")
        console = lab.console(domain)
        console.expect("Press ESC for boot menu")
        check(console.expect("started (one|two)")[1] == "two", "the second disk is the first")


@test(paused=True)
def firmware_files_are_checked() -> None:
    """Missing, empty and odd files are errors that name them, before anything starts."""
    with Lab() as lab:
        def file(name: str, size: int) -> str:
            path = os.path.join(lab.directory, name)
            with open(path, "wb") as made:
                made.truncate(size)
            return path

        def pflash(code: str, nvram: str, template: str = "") -> str:
            return (f"<os>{TYPE}<loader readonly='yes' type='pflash'>{code}</loader>"
                    f"<nvram{f' template={template!r}' if template else ''}>{nvram}</nvram></os>")

        code, variables = file("code.fd", 0x1000), file("vars.fd", 0x1000)
        nowhere = os.path.join(lab.directory, "nowhere.fd")
        refused(lab.define(boot=pflash(nowhere, variables)), nowhere)
        refused(lab.define(boot=pflash(code, nowhere)), nowhere, "no template")
        refused(lab.define(boot=pflash(code, nowhere, nowhere)), nowhere)
        refused(lab.define(boot=pflash(lab.directory, variables)), lab.directory, "not a regular file")
        refused(lab.define(boot=pflash(file("small.fd", 100), variables)), "pflash0", "has 100 bytes")
        refused(lab.define(boot=pflash(file("large.fd", 17 << 20), variables)), "pflash0", "at most 16 MiB")
        refused(lab.define(boot=pflash(code, file("empty.fd", 0))), "pflash1", "has 0 bytes")
        hidden = file("hidden.bin", 0x10000)
        os.chmod(hidden, 0)
        for boot in (f"<os>{TYPE}<loader type='rom'>{hidden}</loader></os>", pflash(hidden, variables)):
            refused(lab.define(boot=boot), hidden, "Permission denied")
        refused(lab.define(boot=f"<os>{TYPE}<loader type='rom'>{file('odd.bin', 1000)}</loader></os>"),
                "odd.bin", "has 1000 bytes")
        other = lab.define(boot=pflash(code, variables, file("template.fd", 0x2000)))
        refused(other, variables, "have 4096 bytes")
        # Made anew they fit.
        other.createWithFlags(libvirt.VIR_DOMAIN_START_RESET_NVRAM | libvirt.VIR_DOMAIN_START_PAUSED)
        check(os.path.getsize(variables) == 0x2000, "the variables are the template's")
