/*
 * test-driver-settings.c: new settings for a domain's devices, and for its share of the host
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virtypedparam.h"

#include "vireo_bandwidth.h"
#include "vireo_domain.h"
#include "vireo_iotune.h"
#include "vireo_tune.h"
#include "vireo_update.h"
#include "vireo_update_net.h"

#define MAC "<mac address='52:54:00:11:22:33'/>"
#define DISK(source, more) \
    "<disk type='file'><driver type='raw'/><source file='" source "'/>" \
    "<target dev='vda' bus='virtio'/>" more "</disk>"

static vireoDriver driver;

static virDomainDef *
testDomain(void)
{
    const char *xml = "<domain type='kvm'><name>t</name><memory unit='MiB'>64</memory>"
        "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os><devices>"
        DISK("/d", "")
        "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
        "</interface></devices></domain>";
    virDomainDef *def = virDomainDefParseString(xml, driver.xmlopt, NULL,
                                                VIR_DOMAIN_DEF_PARSE_INACTIVE);

    g_assert_nonnull(def);
    return def;
}

static int
testCheckNet(virDomainDef *def,
              const char *xml)
{
    g_autoptr(virDomainDeviceDef) dev = vireoUpdateParse(def, driver.xmlopt, xml);

    g_assert_nonnull(dev);
    virResetLastError();
    return vireoUpdateNetCheck(def, driver.xmlopt, def->nets[0], dev->data.net);
}

/* The interface as defined, and as shown while it runs; with and without what libvirt assigns. */
static void
testNetChanges(void)
{
    g_autoptr(virDomainDef) def = testDomain();
    virDomainNetDef *net = def->nets[0];
    static const char *const same[] = {
        "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
        "<link state='down'/></interface>",
        "<interface type='network'>" MAC "<source network='default' bridge='virbr0'/>"
        "<target dev='vnet7'/><model type='virtio'/><alias name='net0'/><link state='down'/></interface>",
        "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/></interface>",
    };
    static const char *const hosts[] = {
        "<interface type='network'>" MAC "<source network='other'/><model type='virtio'/></interface>",
        "<interface type='bridge'>" MAC "<source bridge='br0'/><model type='virtio'/></interface>",
        "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
        "<bandwidth><inbound average='1000'/></bandwidth><link state='down'/></interface>",
        "<interface type='network'>" MAC "<source network='default' bridge='virbr0'/><target dev='vnet7'/>"
        "<model type='virtio'/><filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.1'/>"
        "</filterref></interface>",
        "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
        "<port isolated='yes'/><coalesce><rx><frames max='7'/></rx></coalesce></interface>",
    };
    static const struct {
        const char *xml, *named;
    } refused[] = {
        { "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
          "<mtu size='1400'/><link state='down'/></interface>", "<mtu size='1400'/>" },
        { "<interface type='network'>" MAC "<source network='default'/><target dev='mine'/>"
          "<model type='virtio'/><link state='down'/></interface>", "<target dev='mine'/>" },
        { "<interface type='network'>" MAC "<source network='other'/><model type='virtio'/>"
          "<driver queues='2'/></interface>", "<driver queues='2'/>" },
        { "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
          "<driver><host csum='off'/></driver></interface>", "<host csum='off'/>" },
        { "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
          "<virtualport type='openvswitch'/></interface>", "<virtualport type='openvswitch'>" },
        { "<interface type='ethernet'>" MAC "<model type='virtio'/></interface>",
          "<interface type='ethernet'>" },
        { "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
          "<address type='pci' bus='0x01' slot='0x00' function='0x5'/></interface>", "<address type='pci'" },
        { "<interface type='network'>" MAC "<source network='default'/><model type='virtio'/>"
          "<boot order='3'/></interface>", "<boot order='3'/>" },
    };
    size_t i;

    net->ifname = g_strdup("vnet7");
    net->info.alias = g_strdup("net0");
    for (i = 0; i < G_N_ELEMENTS(same); i++)
        g_assert_cmpint(testCheckNet(def, same[i]), ==, 0);
    for (i = 0; i < G_N_ELEMENTS(hosts); i++)
        g_assert_cmpint(testCheckNet(def, hosts[i]), ==, 1);
    for (i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_assert_cmpint(testCheckNet(def, refused[i].xml), ==, -1);
        g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_OPERATION_UNSUPPORTED);
        g_test_message("%s", virGetLastErrorMessage());
        g_assert_nonnull(strstr(virGetLastErrorMessage(), refused[i].named));
    }
    /* What was there and is left out is taken away. */
    def->nets[0]->mtu = 1400;
    g_assert_cmpint(testCheckNet(def, same[0]), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "<mtu size='1400'/>"));
}

static void
testConfigDisk(void)
{
    g_autoptr(virDomainDef) def = testDomain();

    g_assert_cmpint(vireoUpdateConfig(def, driver.xmlopt, DISK("/other", "<serial>S1</serial>")),
                    ==, 0);
    g_assert_cmpint(def->ndisks, ==, 1);
    g_assert_cmpstr(virDomainDiskGetSource(def->disks[0]), ==, "/other");
    g_assert_cmpstr(def->disks[0]->serial, ==, "S1");
    g_assert_cmpint(def->disks[0]->info.type, ==, VIR_DOMAIN_DEVICE_ADDRESS_TYPE_PCI);
}

static void
testConfigNet(void)
{
    g_autoptr(virDomainDef) def = testDomain();

    g_assert_cmpint(vireoUpdateConfig(def, driver.xmlopt,
                                      "<interface type='bridge'>" MAC "<source bridge='br0'/>"
                                      "<model type='virtio'/><link state='down'/></interface>"),
                    ==, 0);
    g_assert_cmpint(def->nnets, ==, 1);
    g_assert_cmpint(def->nets[0]->type, ==, VIR_DOMAIN_NET_TYPE_BRIDGE);
    g_assert_cmpint(def->nets[0]->linkstate, ==, VIR_DOMAIN_NET_INTERFACE_LINK_STATE_DOWN);
}

/* What is not there, cannot be updated or is refused: the definition stays. */
static void
testConfigRefused(void)
{
    static const char *const refused[] = {
        "<disk type='file'><driver type='raw'/><source file='/d'/><target dev='vdb' bus='virtio'/></disk>",
        "<disk type='file'><driver type='dmg'/><source file='/d'/><target dev='vda' bus='virtio'/></disk>",
        "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/>"
        "<model type='virtio'/></interface>",
        "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    };
    g_autoptr(virDomainDef) def = testDomain();
    g_autofree char *before = virDomainDefFormat(def, driver.xmlopt, VIR_DOMAIN_DEF_FORMAT_INACTIVE);
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *after = NULL;

        virResetLastError();
        g_assert_cmpint(vireoUpdateConfig(def, driver.xmlopt, refused[i]), ==, -1);
        g_assert_cmpint(virGetLastErrorCode(), !=, VIR_ERR_OK);
        after = virDomainDefFormat(def, driver.xmlopt, VIR_DOMAIN_DEF_FORMAT_INACTIVE);
        g_assert_cmpstr(after, ==, before);
    }
}

static void
testScheduler(void)
{
    g_autoptr(virDomainDef) def = testDomain();
    g_autoptr(virTypedParamList) list = g_new0(virTypedParamList, 1);
    virTypedParameter shown[VIREO_TUNE_SCHEDULER_PARAMS] = { 0 };
    vireoChange change = { .config = def };
    int nshown = 0;
    unsigned long long shares = 0;
    long long quota = 0;

    g_assert_cmpint(virTypedParamListAddULLong(list, 2048, VIR_DOMAIN_SCHEDULER_CPU_SHARES), ==, 0);
    g_assert_cmpint(virTypedParamListAddULLong(list, 50000, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD), ==, 0);
    g_assert_cmpint(virTypedParamListAddLLong(list, -1, VIR_DOMAIN_SCHEDULER_EMULATOR_QUOTA), ==, 0);
    g_assert_cmpint(virTypedParamListAddLLong(list, 7000, VIR_DOMAIN_SCHEDULER_IOTHREAD_QUOTA), ==, 0);
    g_assert_cmpint(vireoTuneCheckScheduler(list->par, list->npar), ==, 0);
    /* The domain is not running, so only its definition is looked at. */
    change.vm = virDomainObjNew(driver.xmlopt);
    g_assert_nonnull(change.vm);
    g_assert_cmpint(vireoTuneSetScheduler(&change, list->par, list->npar), ==, 0);
    virDomainObjEndAPI(&change.vm);

    g_assert_true(def->cputune.sharesSpecified);
    g_assert_cmpint(def->cputune.shares, ==, 2048);
    g_assert_cmpint(def->cputune.period, ==, 50000);
    g_assert_cmpint(def->cputune.emulator_quota, ==, -1);
    g_assert_cmpint(def->cputune.iothread_quota, ==, 7000);

    g_assert_cmpint(vireoTuneFormatScheduler(&def->cputune, shown, &nshown), ==, 0);
    g_assert_cmpint(nshown, ==, VIREO_TUNE_SCHEDULER_PARAMS);
    g_assert_cmpint(vireoTuneFormatScheduler(&def->cputune, shown, &nshown), ==, 0);
    g_assert_cmpint(nshown, ==, VIREO_TUNE_SCHEDULER_PARAMS);
    g_assert_cmpint(virTypedParamsGetULLong(shown, nshown, VIR_DOMAIN_SCHEDULER_CPU_SHARES, &shares),
                    ==, 1);
    g_assert_cmpint(shares, ==, 2048);
    g_assert_cmpint(virTypedParamsGetLLong(shown, nshown, VIR_DOMAIN_SCHEDULER_IOTHREAD_QUOTA, &quota),
                    ==, 1);
    g_assert_cmpint(quota, ==, 7000);

    nshown = 1;
    g_assert_cmpint(vireoTuneFormatScheduler(&def->cputune, shown, &nshown), ==, 0);
    g_assert_cmpint(nshown, ==, 1);
}

static void
testSchedulerRefused(void)
{
    static const struct {
        const char *name;
        int type;
        long long value;
    } refused[] = {
        { VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, VIR_TYPED_PARAM_ULLONG, 999 },
        { VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD, VIR_TYPED_PARAM_ULLONG, 1000001 },
        { VIR_DOMAIN_SCHEDULER_EMULATOR_QUOTA, VIR_TYPED_PARAM_LLONG, 999 },
        { VIR_DOMAIN_SCHEDULER_IOTHREAD_QUOTA, VIR_TYPED_PARAM_LLONG, LLONG_MAX },
        { VIR_DOMAIN_SCHEDULER_CPU_SHARES, VIR_TYPED_PARAM_UINT, 1 },
        { "weight", VIR_TYPED_PARAM_ULLONG, 1 },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(refused); i++) {
        virTypedParameter param = { .type = refused[i].type };

        g_strlcpy(param.field, refused[i].name, sizeof(param.field));
        param.value.l = refused[i].value;
        virResetLastError();
        g_assert_cmpint(vireoTuneCheckScheduler(&param, 1), ==, -1);
        g_assert_nonnull(strstr(virGetLastErrorMessage(), refused[i].name));
    }
}

/* One direction is replaced, the other stays; no average and no floor: no limit. */
static void
testBandwidth(void)
{
    virNetDevBandwidthRate rate = { .average = 9, .peak = 10 };
    virNetDevBandwidth old = { .in = &rate };
    virTypedParameter params[] = {
        { .field = VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, .type = VIR_TYPED_PARAM_UINT, .value.ui = 100 },
        { .field = VIR_DOMAIN_BANDWIDTH_OUT_BURST, .type = VIR_TYPED_PARAM_UINT, .value.ui = 7 },
    };
    virTypedParameter off = { .field = VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, .type = VIR_TYPED_PARAM_UINT };
    virTypedParameter shown[VIREO_BANDWIDTH_PARAMS] = { 0 };
    g_autoptr(virNetDevBandwidth) merged = NULL;
    g_autoptr(virNetDevBandwidth) none = NULL;
    g_autoptr(virNetDevBandwidth) refused = NULL;
    int nshown = VIREO_BANDWIDTH_PARAMS;
    unsigned int value = 0;

    g_assert_cmpint(vireoBandwidthMerge(&old, params, 2, &merged), ==, 0);
    g_assert_cmpint(merged->in->average, ==, 9);
    g_assert_cmpint(merged->in->peak, ==, 10);
    g_assert_cmpint(merged->out->average, ==, 100);
    g_assert_cmpint(merged->out->burst, ==, 7);

    g_assert_cmpint(vireoBandwidthFormat(merged, shown, &nshown), ==, 0);
    g_assert_cmpint(nshown, ==, VIREO_BANDWIDTH_PARAMS);
    g_assert_cmpint(virTypedParamsGetUInt(shown, nshown, VIR_DOMAIN_BANDWIDTH_OUT_BURST, &value), ==, 1);
    g_assert_cmpint(value, ==, 7);

    g_assert_cmpint(vireoBandwidthMerge(&old, &off, 1, &none), ==, 0);
    g_assert_null(none);
    g_assert_cmpint(vireoBandwidthMerge(NULL, &params[1], 1, &refused), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "average"));
}

static void
testSilence(void *opaque G_GNUC_UNUSED,
            virErrorPtr error G_GNUC_UNUSED)
{
}

static int
testMerge(virDomainBlockIoTuneInfo *tune,
          const char *changes)
{
    g_auto(GStrv) words = g_strsplit(changes, " ", 0);
    virTypedParameterPtr params = NULL;
    virDomainBlockIoTuneInfo merged;
    int nparams = 0;
    int max = 0;
    int ret = -1;
    size_t i;

    for (i = 0; words[i]; i++) {
        char *value = strchr(words[i], '=');

        *value++ = '\0';
        if (STREQ(words[i], "group_name"))
            g_assert_cmpint(virTypedParamsAddString(&params, &nparams, &max, words[i], value), ==, 0);
        else
            g_assert_cmpint(virTypedParamsAddULLong(&params, &nparams, &max, words[i],
                                                    g_ascii_strtoull(value, NULL, 10)), ==, 0);
    }
    virResetLastError();
    if (vireoIoTuneCheckParams(params, nparams) == 0 &&
        (ret = vireoIoTuneMerge(tune, params, nparams, &merged)) == 0) {
        g_free(tune->group_name);
        *tune = merged;
    }
    g_assert_true((ret == 0) == (virGetLastErrorCode() == VIR_ERR_OK));
    virTypedParamsFree(params, nparams);
    return ret;
}

/* A total takes the place of its parts and the other way round; other kinds of limits stay. */
static void
testIoTune(void)
{
    virDomainBlockIoTuneInfo tune = { 0 };

    g_assert_cmpint(testMerge(&tune, "total_iops_sec=100 group_name=g"), ==, 0);
    g_assert_cmpint(testMerge(&tune, "read_bytes_sec=5 write_bytes_sec=6"), ==, 0);
    g_assert_cmpuint(tune.total_iops_sec, ==, 100);
    g_assert_cmpuint(tune.write_bytes_sec, ==, 6);
    g_assert_cmpstr(tune.group_name, ==, "g");
    g_assert_cmpint(testMerge(&tune, "total_bytes_sec=9"), ==, 0);
    g_assert_cmpuint(tune.read_bytes_sec, ==, 0);
    g_assert_cmpuint(tune.total_bytes_sec, ==, 9);
    g_assert_cmpint(testMerge(&tune, "total_iops_sec_max=200 total_iops_sec_max_length=10"), ==, 0);
    g_assert_cmpint(testMerge(&tune, "total_iops_sec_max=300"), ==, 0);
    g_assert_cmpuint(tune.total_iops_sec_max_length, ==, 10);
    g_assert_cmpint(testMerge(&tune, "size_iops_sec=4096"), ==, 0);
    g_assert_cmpuint(tune.total_iops_sec, ==, 100);
    g_assert_cmpint(testMerge(&tune, "total_iops_sec_max=0"), ==, 0);
    g_assert_cmpuint(tune.total_iops_sec_max_length, ==, 0);
    /* Without any limit there is no group. */
    g_assert_cmpint(testMerge(&tune, "total_bytes_sec=0 total_iops_sec=0 size_iops_sec=0"), ==, 0);
    g_assert_null(tune.group_name);
}

static void
testIoTuneRefused(void)
{
    static const char *const bad[] = {
        "total_iops_sec=1 read_iops_sec=1",
        "total_iops_sec_max=1",
        "total_iops_sec=5 total_iops_sec_max=4",
        "total_iops_sec=5 total_iops_sec_max_length=4",
        "size_iops_sec=512",
        "total_bytes_sec=1000000000000001",
        "total_bytes_sec=1 total_bytes_sec_max=1000000000000 total_bytes_sec_max_length=1001",
        "total_bytes_sec=1 total_bytes_sec=2",
        "bytes_sec=1",
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        virDomainBlockIoTuneInfo tune = { 0 };

        g_assert_cmpint(testMerge(&tune, bad[i]), ==, -1);
    }
}

/* Disks of a group have the same limits. */
static void
testIoTuneGroup(void)
{
    g_autoptr(virDomainDef) def = testDomain();
    virDomainDiskDef *other = virDomainDiskDefNew(driver.xmlopt);
    virDomainBlockIoTuneInfo tune = { .total_iops_sec = 7, .group_name = (char *)"g" };
    virTypedParameter params[VIREO_IOTUNE_PARAMS];
    int nparams = 0;

    other->dst = g_strdup("vdb");
    other->blkdeviotune.group_name = g_strdup("g");
    virDomainDiskInsert(def, other);
    vireoIoTuneSet(def, def->disks[0], &tune);
    g_assert_cmpuint(other->blkdeviotune.total_iops_sec, ==, 7);
    g_assert_cmpint(vireoIoTuneFormat(NULL, NULL, &nparams), ==, 0);
    g_assert_cmpint(nparams, ==, VIREO_IOTUNE_PARAMS);
    g_assert_cmpint(vireoIoTuneFormat(&other->blkdeviotune, params, &nparams), ==, 0);
    g_assert_cmpstr(virTypedParamsGet(params, nparams, "group_name")->value.s, ==, "g");
    g_assert_cmpuint(virTypedParamsGet(params, nparams, "total_iops_sec")->value.ul, ==, 7);
    virTypedParamsClear(params, nparams);
}

int
main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (virErrorInitialize() < 0)
        return EXIT_FAILURE;
    virSetErrorFunc(NULL, testSilence);

    driver.config = vireoConfigNew(true);
    driver.xmlopt = vireoDomainXMLOptionNew(&driver);

    g_test_add_func("/driver-settings/net-changes", testNetChanges);
    g_test_add_func("/driver-settings/config/disk", testConfigDisk);
    g_test_add_func("/driver-settings/config/net", testConfigNet);
    g_test_add_func("/driver-settings/config/refused", testConfigRefused);
    g_test_add_func("/driver-settings/scheduler", testScheduler);
    g_test_add_func("/driver-settings/scheduler/refused", testSchedulerRefused);
    g_test_add_func("/driver-settings/bandwidth", testBandwidth);
    g_test_add_func("/driver-settings/iotune", testIoTune);
    g_test_add_func("/driver-settings/iotune/refused", testIoTuneRefused);
    g_test_add_func("/driver-settings/iotune/group", testIoTuneGroup);
    ret = g_test_run();

    virObjectUnref(driver.xmlopt);
    vireoConfigFree(driver.config);
    return ret;
}
