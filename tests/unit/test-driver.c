/*
 * test-driver.c: domain XML through libvirt's parser to command lines and refusals
 *
 * Each driver-data/NAME.xml has the command line it becomes beside it, NAME.args, one argument a
 * line. With VIREO_TEST_REGENERATE set in the environment these are written instead.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include "viralloc.h"
#include "vircommand.h"
#include "virerror.h"
#include "virfile.h"
#include "virstring.h"

#include "vireo_address.h"
#include "vireo_alias.h"
#include "vireo_capabilities.h"
#include "vireo_command.h"
#include "vireo_domain.h"
#include "vireo_firmware.h"

static vireoDriver driver;

static virDomainDef *
testParse(const char *xml)
{
    virResetLastError();
    return virDomainDefParseString(xml, driver.xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);
}

static char *
testDataPath(const char *name,
             const char *suffix)
{
    return g_strdup_printf("%s/tests/unit/driver-data/%s.%s", g_getenv("top_srcdir"), name, suffix);
}

static char *
testReadData(const char *name,
             const char *suffix)
{
    g_autofree char *path = testDataPath(name, suffix);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static char *
testCommandLine(virDomainDef *def)
{
    vireoCommandInputs inputs = {
        .config = driver.config,
        .dir = "/run/libvirt/vireo/1-test",
        .monitorFD = -1,
        .vsockFD = -1,
        .tpmFD = -1,
    };
    g_autoptr(virCommand) cmd = NULL;
    g_auto(GStrv) args = NULL;
    g_autofree char *joined = NULL;

    if (vireoFirmwareFill(driver.config, def) < 0)
        g_error("%s", virGetLastErrorMessage());
    vireoAliasAssign(def);
    cmd = vireoCommandBuild(def, &inputs);
    g_assert_nonnull(cmd);
    g_assert_cmpint(virCommandGetArgList(cmd, &args), ==, 0);
    joined = g_strjoinv("\n", args);

    return g_strconcat(joined, "\n", NULL);
}

static void
testArgs(gconstpointer name)
{
    g_autofree char *xml = testReadData(name, "xml");
    g_autofree char *path = testDataPath(name, "args");
    g_autofree char *expected = NULL;
    g_autofree char *actual = NULL;
    g_autoptr(virDomainDef) def = testParse(xml);

    if (!def)
        g_error("%s.xml: %s", (const char *)name, virGetLastErrorMessage());
    actual = testCommandLine(def);

    if (g_getenv("VIREO_TEST_REGENERATE")) {
        g_assert_true(g_file_set_contents(path, actual, -1, NULL));
        g_test_skip("regenerated");
        return;
    }
    expected = testReadData(name, "args");
    g_assert_cmpstr(actual, ==, expected);
}

/* What was formatted and parsed again is the same machine: no address moves. */
static void
testStable(gconstpointer name)
{
    g_autofree char *xml = testReadData(name, "xml");
    g_autofree char *formatted = NULL;
    g_autofree char *again = NULL;
    g_autoptr(virDomainDef) first = testParse(xml);
    g_autoptr(virDomainDef) second = NULL;

    g_assert_nonnull(first);
    formatted = virDomainDefFormat(first, driver.xmlopt, VIR_DOMAIN_DEF_FORMAT_INACTIVE);
    if (!(second = testParse(formatted)))
        g_error("%s.xml: %s", (const char *)name, virGetLastErrorMessage());
    again = virDomainDefFormat(second, driver.xmlopt, VIR_DOMAIN_DEF_FORMAT_INACTIVE);
    g_assert_cmpstr(formatted, ==, again);
}

/* A domain with @os, @rest and @devices in the places of their own. */
static char *
testDomain(const char *os,
           const char *rest,
           const char *devices)
{
    return g_strdup_printf("<domain type='kvm'><name>t</name>"
                           "<uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"
                           "<memory unit='MiB'>64</memory>"
                           "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel>%s</os>"
                           "%s<devices>%s</devices></domain>", os, rest, devices);
}

typedef struct {
    const char *name;
    const char *os;
    const char *rest;
    const char *devices;
    const char *named;      /* what the error must name */
} testRefusal;

#define DISK(attrs, inner) \
    "<disk " attrs "><source file='/d'/>" inner "</disk>"
#define VDA "<target dev='vda' bus='virtio'/>"
#define NETWORK_DISK(attrs, inner) \
    "<disk type='network'><driver type='raw'/><source " attrs ">" inner "</source>" VDA "</disk>"

#define SHARED "<memoryBacking><access mode='shared'/></memoryBacking>"
#define VHOSTUSER(inner) \
    "<interface type='vhostuser'><source type='unix' path='/s' mode='client'/>" \
    "<model type='virtio'/>" inner "</interface>"

static const testRefusal testRefusals[] = {
    { "loader-secure", "<loader readonly='yes' secure='yes' type='pflash'>/f</loader>", "", "",
      "<loader secure='yes'>" },
    { "loader-rom-kernel", "<loader type='rom'>/f</loader>", "", "", "<kernel> beside a BIOS" },
    { "nvram-network", "<loader readonly='yes' type='pflash'>/f</loader><nvram type='network'>"
      "<source protocol='iscsi' name='n'><host name='h'/></source></nvram>", "", "", "<nvram>" },
    { "boot-floppy", "<boot dev='fd'/>", "", "", "<boot dev='fd'>" },
    { "bootmenu-direct", "<bootmenu enable='yes'/>", "", "", "<bootmenu>" },
    { "useserial-direct", "<bios useserial='yes'/>", "", "", "useserial" },
    { "machine", "", "", "", NULL },
    { "smbios-sysinfo", "<smbios mode='sysinfo'/>", "", "", "sysinfo" },
    { "fwcfg-direct", "", "<sysinfo type='fwcfg'><entry name='opt/a'>b</entry></sysinfo>", "", "fwcfg" },
    { "cpu-model", "", "<cpu mode='custom'><model fallback='forbid'>Z80</model></cpu>", "", "'Z80'" },
    { "cpu-feature", "", "<cpu mode='host-passthrough'><feature policy='disable' name='flux'/></cpu>",
      "", "flux" },
    { "numa-caches", "", "<cpu mode='host-passthrough'><numa><cell id='0' cpus='0' memory='65536'>"
      "<cache level='1' associativity='direct' policy='writeback'><size value='8' unit='KiB'/>"
      "<line value='5' unit='B'/></cache></cell></numa></cpu>", "", "<cpu><numa><cell><cache>" },
    { "vcpus-300", "", "<vcpu>300</vcpu>", "", "<vcpu>300" },
    { "vcpu-0-offline", "",
      "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='no'/><vcpu id='1' enabled='yes'/></vcpus>", "",
      "vCPU 0" },
    { "vcpu-0-hotpluggable", "",
      "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='yes'/></vcpus>", "", "vCPU 0" },
    { "vcpu-fixed-after-offline", "",
      "<vcpu>3</vcpu><vcpus><vcpu id='0' enabled='yes'/><vcpu id='2' enabled='yes'/></vcpus>", "",
      "id='2'" },
    { "vcpu-order", "",
      "<vcpu>3</vcpu><vcpus><vcpu id='0' enabled='yes' order='2'/>"
      "<vcpu id='1' enabled='yes' order='1'/></vcpus>", "",
      "order='1'" },
    { "scheduler", "", "<cputune><vcpusched vcpus='0' scheduler='fifo' priority='1'/></cputune>", "",
      "<cputune>" },
    { "cpu-cache", "", "<cpu mode='host-passthrough'><cache mode='emulate' level='3'/></cpu>", "",
      "<cpu><cache>" },
    { "cpu-maxphysaddr", "", "<cpu mode='host-passthrough'><maxphysaddr mode='emulate'/></cpu>", "",
      "<maxphysaddr" },
    { "acpi-index", "", "", DISK("type='file'", "<driver type='raw'/><acpi index='3'/>" VDA), "<acpi index>" },
    { "rom-file", "", "", "<interface type='ethernet'><model type='virtio'/><rom file='/r'/></interface>",
      "<rom file>" },
    { "root-port-model", "", "", "<controller type='pci' index='1' model='pcie-root-port'>"
      "<model name='ioh3420'/></controller>", "'ioh3420'" },
    { "hyperv-evmcs", "", "<features><hyperv><evmcs state='on'/></hyperv></features>", "", "<evmcs>" },
    { "smm", "", "<features><smm state='on'/></features>", "", "<smm>" },
    { "kvm-hidden", "", "<features><kvm><hidden state='on'/></kvm></features>", "", "<kvm>" },
    { "timer-rtc", "", "<clock offset='utc'><timer name='rtc' track='guest'/></clock>", "", "rtc" },
    { "timer-hpet", "", "<clock offset='utc'><timer name='hpet' present='yes'/></clock>", "", "hpet" },
    { "crash-dump", "", "<on_crash>coredump-destroy</on_crash>", "", "<on_crash>" },
    { "suspend-to-mem", "", "<pm><suspend-to-mem enabled='yes'/></pm>", "", "<suspend-to-mem" },
    { "sev", "", "<launchSecurity type='sev'><policy>0x1</policy><cbitpos>47</cbitpos>"
      "<reducedPhysBits>1</reducedPhysBits></launchSecurity>", "", "<launchSecurity>" },
    { "disk-format", "", "", DISK("type='file'", "<driver name='qemu' type='dmg'/>" VDA), "dmg" },
    { "disk-backing-format", "", "", DISK("type='file'", "<driver type='qcow2'/>"
                                          "<backingStore type='file'><format type='cloop'/><source file='/b'/>"
                                          "<backingStore/></backingStore>" VDA), "cloop" },
    { "disk-raw-backing", "", "", DISK("type='file'", "<driver type='raw'/>"
                                       "<backingStore type='file'><format type='raw'/><source file='/b'/>"
                                       "<backingStore/></backingStore>" VDA), "<backingStore>" },
    { "disk-sata", "", "", DISK("type='file'", "<target dev='sda' bus='sata'/>"), "virtio" },
    { "disk-cdrom", "", "", DISK("type='file' device='cdrom'", "<target dev='sda' bus='ide'/>"),
      "device='cdrom'" },
    { "disk-qcow2-enospace", "", "", DISK("type='file'", "<driver type='qcow2' error_policy='enospace'/>" VDA),
      "error_policy='enospace'" },
    { "disk-scsi-vhostuser", "", "", "<disk type='vhostuser' device='disk'><driver name='qemu' type='raw'/>"
      "<source type='unix' path='/s'/><target dev='sda' bus='scsi'/></disk>", "" },
    { "disk-scsi-enospace", "", "", "<disk type='file'><driver name='qemu' type='qcow2' error_policy='enospace'/>"
      "<source file='/d'/><target dev='sda' bus='scsi'/></disk>", "error_policy='enospace'" },
    { "controller-scsi", "", "", "<controller type='scsi' model='lsilogic'/>", "virtio-scsi" },
    { "disk-ssh", "", "", NETWORK_DISK("protocol='ssh' name='x'", "<host name='h'/>"), "protocol='ssh'" },
    { "disk-sheepdog", "", "", NETWORK_DISK("protocol='sheepdog' name='x'", "<host name='h'/>"), "sheepdog" },
    { "disk-iscsi-unit", "", "", NETWORK_DISK("protocol='iscsi' name='iqn.2020-01.a:b/c'", "<host name='h'/>"),
      "iscsi" },
    { "disk-nbd-hosts", "", "", NETWORK_DISK("protocol='nbd'", "<host name='h'/><host name='i'/>"), "not 2" },
    { "disk-rbd-tls", "", "", NETWORK_DISK("protocol='rbd' name='p/i' tls='yes'", "<host name='h'/>"),
      "tls='yes'" },
    { "disk-rbd-snapshot", "", "", NETWORK_DISK("protocol='rbd' name='p/i'", "<snapshot name='s'/>"),
      "<readonly>" },
    { "disk-iotune", "", "", DISK("type='file'", VDA "<iotune><total_iops_sec>9</total_iops_sec>"
                                  "<total_iops_sec_max>8</total_iops_sec_max></iotune>"),
      "'total_iops_sec_max' must not be less" },
    { "disk-aio", "", "", DISK("type='file'", "<driver io='native' type='raw' cache='writeback'/>" VDA),
      "io='native'" },
    { "disk-aio-default", "", "", DISK("type='file'", "<driver io='native' type='raw'/>" VDA), "io='native'" },
    { "disk-encryption", "", "", DISK("type='file'", VDA "<encryption format='qcow'>"
                                      "<secret type='passphrase' uuid='c7a5fdbd-edaf-9455-926a-d65c16db1800'/>"
                                      "</encryption>"), "<encryption>" },
    { "disk-serial", "", "", DISK("type='file'", VDA "<serial>123456789012345678901</serial>"),
      "<serial>" },
    { "disk-iothread", "", "", DISK("type='file'", "<driver iothread='3' type='raw'/>" VDA), "iothread" },
    { "net-e1000", "", "", "<interface type='user'><model type='e1000'/></interface>", "e1000" },
    { "net-user-queues", "", "", "<interface type='user'><model type='virtio'/>"
      "<driver queues='2'/></interface>", "of an interface of type 'user'" },
    { "net-queues", "", "", "<interface type='ethernet'><model type='virtio'/><driver queues='257'/>"
      "</interface>", "queues" },
    { "net-sndbuf", "", "", "<interface type='user'><model type='virtio'/><tune><sndbuf>1</sndbuf></tune>"
      "</interface>", "no tap" },
    { "net-backend", "", "", "<interface type='direct'><source dev='e'/><backend tap='/dev/net/tun'/>"
      "<model type='virtio'/></interface>", "<backend tap> of a macvtap" },
    { "net-rss", "", "", "<interface type='ethernet'><model type='virtio'/><driver queues='2' rss='on'/>"
      "</interface>", "rss='on'> without" },
    { "net-rss-vhost", "", "", "<interface type='ethernet'><model type='virtio'/>"
      "<driver name='vhost' rss='on'/></interface>", "rss='on'> without" },
    { "net-hash", "", "", "<interface type='ethernet'><model type='virtio'/>"
      "<driver rss='off' rss_hash_report='on'/></interface>", "rss_hash_report='on'> without" },
    { "net-rx-filters", "", "", "<interface type='ethernet' trustGuestRxFilters='yes'>"
      "<model type='virtio'/></interface>", "trustGuestRxFilters" },
    { "serial-vdagent", "", "", "<serial type='qemu-vdagent'><source><clipboard copypaste='yes'/></source></serial>",
      "<serial> of type 'qemu-vdagent'" },
    { "vdagent-nothing", "", "", "<channel type='qemu-vdagent'><target type='virtio'/></channel>", "copypaste" },
    { "vdagent-mouse", "", "", "<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='client'/>"
      "</source><target type='virtio'/></channel>", "<mouse mode='client'/>" },
    { "serial-usb", "", "", "<serial type='pty'><target type='usb-serial'/></serial>", "<serial>" },
    { "serial-udp", "", "", "<serial type='udp'><source mode='connect' host='h' service='1'/></serial>",
      "'udp'" },
    { "parallel", "", "", "<parallel type='pty'/>", "<parallel>" },
    { "graphics-spice", "", "", "<graphics type='spice'/>", "<graphics type='spice'>" },
    { "graphics-two", "", "", "<graphics type='vnc'/><graphics type='vnc'/>",
      "more than one <graphics>" },
    { "graphics-websocket", "", "", "<graphics type='vnc' websocket='5700'/>", "websocket" },
    { "graphics-keymap", "", "", "<graphics type='vnc' keymap='de'/>", "keymap" },
    { "graphics-listens", "", "",
      "<graphics type='vnc'><listen type='address'/><listen type='socket' socket='/s'/></graphics>",
      "more than one <graphics><listen>" },
    { "graphics-port", "", "", "<graphics type='vnc' port='80'/>", "port='80'" },
    { "graphics-disconnect", "", "", "<graphics type='vnc' passwd='x' connected='disconnect'/>",
      "connected" },
    { "graphics-no-video", "", "", "<graphics type='vnc'/><video><model type='none'/></video>",
      "without <video>" },
    { "video-vga", "", "", "<video><model type='vga'/></video>", "'vga'" },
    { "video-qxl", "", "", "<video><model type='qxl'/></video>", "ram" },
    { "video-two", "", "", "<video><model type='bochs'/></video><video><model type='bochs'/></video>",
      "more than one <video>" },
    { "video-memory", "", "", "<video><model type='bochs' vram='1024'/></video>", "vram" },
    { "video-virtio-memory", "", "", "<video><model type='virtio' vram='16384'/></video>", "vram" },
    { "video-heads", "", "", "<video><model type='virtio' heads='2'/></video>", "heads" },
    { "video-accelerated", "", "", "<video><model type='bochs'><acceleration accel3d='yes'/></model>"
      "</video>", "acceleration" },
    { "usb", "", "", "<controller type='usb' model='piix3-uhci'/>", "only 'qemu-xhci' and 'none'" },
    { "usb-ports", "", "", "<controller type='usb' model='qemu-xhci' ports='16'/>", "more than 15 ports" },
    { "usb-hub", "", "", "<controller type='usb'/><hub type='usb'/>", "<hub>" },
    { "input-evdev", "", "", "<input type='evdev'><source dev='/dev/input/event0'/></input>",
      "<input>" },
    { "input-ps2-alone", "", "", "<input type='keyboard' bus='ps2'/>", "without <video>" },
    { "sound", "", "", "<sound model='ich9'/>", "<sound>" },
    { "watchdog-model", "", "", "<watchdog model='ib700'/>", "i6300esb" },
    { "tpm-tis", "", "", "<tpm model='tpm-tis'><backend type='emulator'/></tpm>", "tpm-tis" },
    { "tpm-1.2", "", "", "<tpm><backend type='emulator' version='1.2'/></tpm>", "version='1.2'" },
    { "tpm-passthrough", "", "", "<tpm><backend type='passthrough'/></tpm>", "passthrough" },
    { "tpm-two", "", "",
      "<tpm><backend type='emulator'/></tpm><tpm><backend type='emulator'/></tpm>",
      "more than one <tpm>" },
    { "watchdog-dump", "", "", "<watchdog model='i6300esb' action='dump'/>", "action='dump'" },
    { "hostdev", "", "", "<hostdev mode='subsystem' type='pci'><source>"
      "<address domain='0' bus='1' slot='0' function='0'/></source></hostdev>", "<hostdev>" },
    { "filesystem", "", "", "<filesystem><source dir='/s'/><target dir='t'/></filesystem>",
      "<filesystem>" },
    { "net-vhostuser-memory", "", "", VHOSTUSER(""), "mode='shared'" },
    { "net-vhostuser-driver", "", SHARED, VHOSTUSER("<driver name='qemu'/>"), "<driver name>" },
    { "net-vhostuser-bandwidth", "", SHARED,
      VHOSTUSER("<bandwidth><inbound average='1'/></bandwidth>"), "<bandwidth>" },
    { "filesystem-iommu", "", "", "<filesystem type='mount'><driver type='virtiofs' iommu='on'/>"
      "<source dir='/s'/><target dir='t'/></filesystem>", "iommu='on'" },
    { "vsock-transitional", "", "", "<vsock model='virtio-transitional'/>", "<vsock model" },
    { "vsock-no-cid", "", "", "<vsock><cid auto='no'/></vsock>", "<cid auto='yes'>" },
    { "vsock-any-cid", "", "", "<vsock><cid address='4294967295'/></vsock>", "<cid address>" },
    { "iommu", "", "", "<iommu model='intel'/>", "<iommu>" },
    { "rng-egd", "", "", "<rng model='virtio'><backend model='egd' type='unix'>"
      "<source mode='connect' path='/s'/></backend></rng>", "egd" },
    { "balloon-transitional", "", "", "<memballoon model='virtio-transitional'/>",
      "<memballoon model>" },
    { "panic-hyperv", "", "", "<panic model='hyperv'/>", "<panic model>" },
    { "virtio-iommu-platform", "", "", DISK("type='file'", "<driver type='raw' iommu='on'/>" VDA),
      "iommu='on'" },
    { "pci-bridge", "", "", "<controller type='pci' index='1' model='pcie-to-pci-bridge'/>",
      "pcie-to-pci-bridge" },
};

static void
testRefused(gconstpointer opaque)
{
    const testRefusal *refusal = opaque;
    g_autofree char *xml = testDomain(refusal->os, refusal->rest, refusal->devices);
    g_autoptr(virDomainDef) def = NULL;

    if (!refusal->named) {
        g_autofree char *other = virStringReplace(xml, "arch='x86_64'", "machine='pc'");

        def = testParse(other);
        g_assert_null(def);
        g_assert_nonnull(strstr(virGetLastErrorMessage(), "'pc'"));
        g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_CONFIG_UNSUPPORTED);
        return;
    }

    def = testParse(xml);
    g_assert_null(def);
    g_test_message("%s", virGetLastErrorMessage());
    g_assert_nonnull(strstr(virGetLastErrorMessage(), refusal->named));
    g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_CONFIG_UNSUPPORTED);
}

/* Two devices in one slot, or in one that is taken by the machine. */
static void
testCollision(void)
{
    static const char *const addresses[] = {
        "bus='0x00' slot='0x1f'", "bus='0x00' slot='0x05'",
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_autofree char *devices =
            g_strdup_printf("<memballoon model='virtio'><address type='pci' %s/></memballoon>"
                            "<controller type='virtio-serial' index='0'>"
                            "<address type='pci' bus='0x00' slot='0x05'/></controller>",
                            addresses[i]);
        g_autofree char *xml = testDomain("", "", devices);
        g_autoptr(virDomainDef) def = testParse(xml);

        g_assert_null(def);
    }
}

/* Only so many free root ports as the definition has can take a device live. */
static void
testHotplugAddress(void)
{
    g_autofree char *xml = testDomain("", "", "<controller type='pci' index='1' model='pcie-root-port'/>");
    g_autoptr(virDomainDef) def = testParse(xml);
    const char *disk = DISK("type='file'", "<driver type='raw'/><target dev='vdb' bus='virtio'/>");
    g_autoptr(virDomainDeviceDef) dev = NULL;
    g_autoptr(virDomainDeviceDef) second = NULL;

    g_assert_nonnull(def);
    dev = virDomainDeviceDefParse(disk, def, driver.xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);
    g_assert_nonnull(dev);
    g_assert_cmpint(vireoAddressAssignDevice(def, dev), ==, 0);
    g_assert_cmpint(dev->data.disk->info.addr.pci.bus, ==, 1);

    virDomainDiskInsert(def, g_steal_pointer(&dev->data.disk));
    second = virDomainDeviceDefParse(disk, def, driver.xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);
    g_assert_nonnull(second);
    g_assert_cmpint(vireoAddressAssignDevice(def, second), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "root port"));
}

/* Functions of one slot come with the domain and stay: one by one they cannot go. */
static void
testHotplugFunctions(void)
{
    g_autofree char *xml = testDomain("", "", "<interface type='ethernet'><mac address='52:54:00:00:00:01'/>"
                                      "<address type='pci' bus='0x01' slot='0x00' function='0x0'/></interface>"
                                      "<interface type='ethernet'><mac address='52:54:00:00:00:02'/>"
                                      "<address type='pci' bus='0x01' slot='0x00' function='0x1'/></interface>"
                                      "<rng model='virtio'><backend model='random'/></rng>");
    g_autoptr(virDomainDef) def = testParse(xml);
    const char *third = "<interface type='ethernet'>"
        "<address type='pci' bus='0x01' slot='0x00' function='0x2'/></interface>";
    g_autoptr(virDomainDeviceDef) dev = NULL;

    g_assert_nonnull(def);
    g_assert_cmpint(def->nets[0]->info.addr.pci.multi, ==, VIR_TRISTATE_SWITCH_ON);
    g_assert_cmpint(def->nets[1]->info.addr.pci.multi, ==, VIR_TRISTATE_SWITCH_ABSENT);
    g_assert_cmpint(vireoAddressCheckDetach(def, &def->nets[0]->info), ==, -1);
    g_assert_cmpint(vireoAddressCheckDetach(def, &def->nets[1]->info), ==, -1);
    g_assert_cmpint(vireoAddressCheckDetach(def, &def->rngs[0]->info), ==, 0);
    dev = virDomainDeviceDefParse(third, def, driver.xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);
    g_assert_nonnull(dev);
    g_assert_cmpint(vireoAddressAssignDevice(def, dev), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "only function 0"));
}

static void
testDomainCapabilities(void)
{
    g_autoptr(virDomainCaps) caps = vireoDomainCapabilitiesBuild(&driver, NULL, NULL, NULL, NULL);
    g_autofree char *text = NULL;
    static const char *const wrong[][4] = {
        { "aarch64", NULL, NULL }, { NULL, "pc", NULL }, { NULL, NULL, "qemu" },
    };
    size_t i;

    g_assert_nonnull(caps);
    text = virDomainCapsFormat(caps);
    g_assert_nonnull(strstr(text, VIREO_MACHINE_CANONICAL));
    g_assert_nonnull(strstr(text, "<value>virtiofs</value>"));
    for (i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_null(vireoDomainCapabilitiesBuild(&driver, NULL, wrong[i][0], wrong[i][1], wrong[i][2]));
}

static void
testSilence(void *opaque G_GNUC_UNUSED,
            virErrorPtr error G_GNUC_UNUSED)
{
}

static void
testAddData(void)
{
    g_autofree char *path = g_strdup_printf("%s/tests/unit/driver-data", g_getenv("top_srcdir"));
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *file;

    g_assert_nonnull(dir);
    while ((file = g_dir_read_name(dir))) {
        char *name = g_strndup(file, strlen(file) - 4);
        g_autofree char *args = g_strdup_printf("/driver/args/%s", name);
        g_autofree char *stable = g_strdup_printf("/driver/stable/%s", name);

        if (!g_str_has_suffix(file, ".xml")) {
            g_free(name);
            continue;
        }
        g_test_add_data_func_full(args, g_strdup(name), testArgs, g_free);
        g_test_add_data_func_full(stable, name, testStable, g_free);
    }
}

/* Variables are made from their template, kept, made anew when asked, and removed when told so. */
/* What vireo.conf says of screens. */
static void
testGraphicsSettings(void)
{
    static const char settings[] = "vnc_listen = \"::\"\nvnc_tls = 1\nvnc_tls_x509_verify = 1\n"
        "vnc_password = \"common\"\n";
    g_autofree char *dir = g_dir_make_tmp("vireo-test-XXXXXX", NULL);
    g_autofree char *path = g_strdup_printf("%s/vireo.conf", dir);
    g_autofree char *xml = testReadData("graphics", "xml");
    g_autoptr(vireoConfig) config = vireoConfigNew(false);
    g_autoptr(virDomainDef) def = NULL;
    g_autofree char *line = NULL;
    vireoConfig *kept = driver.config;

    g_assert_true(g_file_set_contents(path, "vnc_tls_x509_cert_dir = \"pki\"\n", -1, NULL));
    g_assert_cmpint(vireoConfigLoadFile(config, path, false), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "vnc_tls_x509_cert_dir 'pki'"));
    g_assert_true(g_file_set_contents(path, settings, -1, NULL));
    g_assert_cmpint(vireoConfigLoadFile(config, path, false), ==, 0);
    g_assert_cmpstr(config->vncListen, ==, "::");
    g_assert_cmpint(virFileDeleteTree(dir), ==, 0);

    def = virDomainDefParseString(xml, driver.xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);
    g_assert_nonnull(def);
    g_clear_pointer(&def->graphics[0]->listens[0].address, g_free);
    g_clear_pointer(&def->graphics[0]->data.vnc.auth.passwd, g_free);
    driver.config = config;
    line = testCommandLine(def);
    driver.config = kept;
    g_assert_nonnull(strstr(line, "-object\n{\"qom-type\":\"tls-creds-x509\",\"id\":\"vnc-tls-creds0\","
                            "\"dir\":\"/etc/pki/libvirt-vnc\",\"endpoint\":\"server\","
                            "\"verify-peer\":true}\n"
                            "-vnc\n[::]:7,password=on,tls-creds=vnc-tls-creds0,share="));
}

static void
testFirmwareVariables(void)
{
    g_autofree char *dir = g_dir_make_tmp("vireo-nvram-XXXXXX", NULL);
    g_autofree char *code = g_build_filename(dir, "code.fd", NULL);
    g_autofree char *template = g_build_filename(dir, "template.fd", NULL);
    g_autofree char *nvramDir = g_build_filename(dir, "nvram", NULL);
    g_autofree char *nvram = g_build_filename(nvramDir, "t_VARS.fd", NULL);
    g_autofree char *os = g_strdup_printf("<loader readonly='yes' type='pflash'>%s</loader>"
                                          "<nvram template='%s'/>", code, template);
    g_autofree char *xml = testDomain(os, "", "");
    vireoConfig config = { .user = -1, .group = -1, .nvramDir = nvramDir };
    char *noDirs[] = { NULL };
    g_autoptr(virDomainDef) def = NULL;
    g_autofree char *content = NULL;

    config.firmwareDirs = noDirs;
    g_assert_true(g_file_set_contents(template, "fresh", -1, NULL));
    def = testParse(xml);
    g_assert_nonnull(def);
    g_assert_cmpint(vireoFirmwareFill(&config, def), ==, 0);
    g_assert_cmpstr(def->os.loader->nvram->path, ==, nvram);
    g_assert_cmpint(vireoFirmwarePrepare(&config, def, false), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "code.fd"));
    g_assert_true(g_file_set_contents(code, "code", -1, NULL));
    g_assert_cmpint(vireoFirmwarePrepare(&config, def, false), ==, 0);
    g_assert_true(g_file_get_contents(nvram, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "fresh");

    g_assert_true(g_file_set_contents(nvram, "older", -1, NULL));
    g_assert_cmpint(vireoFirmwarePrepare(&config, def, false), ==, 0);
    g_clear_pointer(&content, g_free);
    g_assert_true(g_file_get_contents(nvram, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "older");
    g_assert_true(g_file_set_contents(nvram, "of another size", -1, NULL));
    g_assert_cmpint(vireoFirmwarePrepare(&config, def, false), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "have 15 bytes"));
    g_assert_cmpint(vireoFirmwarePrepare(&config, def, true), ==, 0);

    g_assert_cmpint(vireoFirmwareUndefine(&config, def, 0), ==, -1);
    g_assert_cmpint(vireoFirmwareUndefine(&config, def, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM), ==, 0);
    g_assert_true(g_file_test(nvram, G_FILE_TEST_EXISTS));
    g_assert_cmpint(vireoFirmwareUndefine(&config, def, VIR_DOMAIN_UNDEFINE_NVRAM), ==, 0);
    g_assert_false(g_file_test(nvram, G_FILE_TEST_EXISTS));
    g_assert_cmpint(vireoFirmwareUndefine(&config, def, 0), ==, 0);

    g_assert_cmpint(unlink(template), ==, 0);
    g_assert_cmpint(vireoFirmwarePrepare(&config, def, false), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "template.fd"));
    g_assert_cmpint(virFileDeleteTree(dir), ==, 0);
}

int
main(int argc, char **argv)
{
    size_t i;
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (virErrorInitialize() < 0)
        return EXIT_FAILURE;
    virSetErrorFunc(NULL, testSilence);

    driver.config = vireoConfigNew(true);
    g_free(driver.config->vireoBinary);
    driver.config->vireoBinary = g_strdup("/usr/bin/vireo");
    g_strfreev(driver.config->firmwareDirs);
    driver.config->firmwareDirs = g_new0(char *, 2);
    driver.config->firmwareDirs[0] = g_strdup_printf("%s/tests/unit/driver-data/firmware",
                                                     g_getenv("top_srcdir"));
    driver.xmlopt = vireoDomainXMLOptionNew(&driver);

    testAddData();
    for (i = 0; i < G_N_ELEMENTS(testRefusals); i++) {
        g_autofree char *path = g_strdup_printf("/driver/refused/%s", testRefusals[i].name);

        g_test_add_data_func(path, &testRefusals[i], testRefused);
    }
    g_test_add_func("/driver/address/collision", testCollision);
    g_test_add_func("/driver/address/hotplug", testHotplugAddress);
    g_test_add_func("/driver/address/hotplug-functions", testHotplugFunctions);
    g_test_add_func("/driver/domcapabilities", testDomainCapabilities);
    g_test_add_func("/driver/graphics/settings", testGraphicsSettings);
    g_test_add_func("/driver/firmware/variables", testFirmwareVariables);
    ret = g_test_run();

    virObjectUnref(driver.xmlopt);
    vireoConfigFree(driver.config);
    return ret;
}
