# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-install --cloud-init of a stock image, whose cloud-init does what it says."""

import pathlib

from lib.guest import NETWORK, Lab
from lib.harness import check, command, test

URI = "vireo:///system"
# Not all that cloud-init does by default: its modules take minutes on an emulated processor.
USER_DATA = """#cloud-config
hostname: {name}
locale: false
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
write_files:
- path: /root/{name}
  content: by cloud-init
runcmd:
- [touch, /root/ran]
"""


@test(limit=600)
def cloud_init_does_as_it_is_told() -> None:
    """virt-install --cloud-init: a stock image on qcow2 gets its name, a file and a command from the seed"""
    with Lab() as lab:
        name = lab.name()
        layer, data = f"{lab.directory}/layer.qcow2", pathlib.Path(lab.directory) / "user-data"
        command("qemu-img", "create", "-q", "-f", "qcow2", "-b", lab.stock_disk(), "-F", "raw", layer)
        data.write_text(USER_DATA.format(name=name), encoding="ascii")
        command("virt-install", "--connect", URI, "--name", name, "--osinfo", "debian11", "--memory", "640", "--import",
                "--disk", f"{layer},driver.type=qcow2,bus=virtio", "--network", f"network={NETWORK},model=virtio", "--graphics", "none",
                "--cloud-init", f"user-data={data}", "--noautoconsole", "--check", "all=off")
        console = lab.console(lab.connection.lookupByName(name))
        console.log_in("root", "vireo", 400)
        said = console.shell("cloud-init status --wait --long", 300, status=None)
        check("status: done" in said and "NoCloud" in said, said)
        check(console.shell("hostname") == name, "its name")
        check(console.shell(f"cat /root/{name}") == "by cloud-init", "the file")
        console.shell("test -e /root/ran")
