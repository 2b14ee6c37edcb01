# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many domains at once."""

import libvirt

from lib.guest import Lab
from lib.harness import check, test


@test(limit=240, alone=True)
def twenty_defined_four_running() -> None:
    with Lab() as lab:
        domains = [lab.define() for _ in range(20)]
        names = {domain.name() for domain in domains}
        listed = {domain.name() for domain in lab.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE)}
        check(names <= listed, "all are listed")
        for domain in domains[:4]:
            domain.create()
        check(len({domain.ID() for domain in domains[:4]}) == 4, "each has an id of its own")
        for domain in domains[:4]:
            console = lab.console(domain)
            console.login(150)
            console.close()
            lab.consoles.remove(console)
        running = {domain.name() for domain in lab.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}
        check({domain.name() for domain in domains[:4]} <= running, "four run")
        statistics = lab.connection.getAllDomainStats()
        check(len([name for name in (domain.name() for domain, _ in statistics) if name in names]) == 20,
              "statistics of all of them")
