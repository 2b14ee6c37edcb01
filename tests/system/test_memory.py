# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest's memory as the host sees it and changes it."""

import libvirt

from lib.guest import Lab, domain_xml
from lib.harness import check, test, wait_for

BALLOON = "<memballoon model='virtio' autodeflate='on'><stats period='1'/></memballoon>"


@test(limit=120)
def balloon_and_its_statistics() -> None:
    """The guest's own numbers come as often as asked; its memory follows setMemory."""
    with Lab() as lab:
        domain = lab.connection.defineXML(domain_xml(lab.name(), BALLOON))
        domain.create()
        console = lab.console(domain)
        console.login()
        wait_for("the guest's statistics", lambda: domain.memoryStats().get("unused", 0) > 0, 20)
        stats = domain.memoryStats()
        check(stats["actual"] == 160 << 10, f"all of it is the guest's: {stats}")
        check(0 < stats["unused"] <= stats["available"] < 160 << 10, f"the guest's numbers make sense: {stats}")
        check(stats["rss"] > 0 and stats["last_update"] > 0, f"and the host's: {stats}")

        both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
        domain.setMemoryStatsPeriod(7, both)
        check("<stats period='7'/>" in domain.XMLDesc(), "the period of the running guest")
        check("<stats period='7'/>" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), "and of the next start")

        domain.setMemory(128 << 10)
        wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 128 << 10, 30)
        domain.setMemory(160 << 10)
        wait_for("the balloon", lambda: domain.memoryStats()["actual"] == 160 << 10, 30)
        domain.destroy()
