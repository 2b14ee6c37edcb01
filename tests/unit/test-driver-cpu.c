/*
 * test-driver-cpu.c: guests' CPUs compared with hosts that have more and less than they ask for
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include "cpu/cpu_x86.h"
#include "virerror.h"

#include "vireo_cpu.h"

static bool
testKeepFeature(const char *name,
                virCPUFeaturePolicy policy G_GNUC_UNUSED,
                void *opaque)
{
    return !g_strv_contains((const char *const *)opaque, name);
}

/* A host that is an EPYC-Rome of libvirt's cpu_map, but for the named features. */
static vireoCPUHost *
testHost(const char *const *without)
{
    g_autoptr(virCPUDef) cpu = virCPUDefNew();
    g_autoptr(virCPUData) data = NULL;
    virCPUx86DataItem signature = {
        .type = VIR_CPU_X86_DATA_CPUID,
        .data.cpuid = { .eax_in = 1, .eax = 0x00830f10 },
    };
    vireoCPUHost *host;

    cpu->arch = VIR_ARCH_X86_64;
    cpu->type = VIR_CPU_TYPE_GUEST;
    cpu->model = g_strdup("EPYC-Rome");
    g_assert_cmpint(virCPUExpandFeatures(VIR_ARCH_X86_64, cpu), ==, 0);
    g_assert_cmpint(virCPUDefFilterFeatures(cpu, testKeepFeature, (void *)without), ==, 0);
    /* Next to nothing, and the features that are left. */
    g_free(cpu->model);
    cpu->model = g_strdup("486");
    g_assert_cmpint(cpuEncode(VIR_ARCH_X86_64, cpu, NULL, &data, NULL, NULL, NULL, NULL), ==, 0);
    g_assert_cmpint(virCPUx86DataSetVendor(data, "AuthenticAMD"), ==, 0);
    g_assert_cmpint(virCPUx86DataAdd(data, &signature), ==, 0);
    host = vireoCPUHostFromData(data);
    g_assert_nonnull(host);
    return host;
}

static virCPUDef *
testParse(const char *xml)
{
    virCPUDef *cpu = NULL;

    g_assert_cmpint(virCPUDefParseXMLString(xml, VIR_CPU_TYPE_GUEST, &cpu, false), ==, 0);
    if (cpu->check == VIR_CPU_CHECK_DEFAULT)
        cpu->check = VIR_CPU_CHECK_PARTIAL;
    return cpu;
}

static const char *const all[] = { NULL };
static const char *const lesser[] = { "avx2", "svm", "npt", "nrip-save", NULL };

static void
testHostModel(void)
{
    g_autoptr(vireoCPUHost) host = testHost(lesser);
    g_autoptr(virCPUDef) cpu = testParse("<cpu mode='host-model'/>");
    g_autofree char *text = NULL;

    g_assert_cmpint(vireoCPUPrepare(host, cpu), ==, 0);
    text = vireoCPUFormat(cpu);
    g_test_message("%s", text);
    g_assert_cmpint(cpu->mode, ==, VIR_CPU_MODE_CUSTOM);
    g_assert_true(g_str_has_prefix(text, "EPYC-Rome,"));
    g_assert_nonnull(strstr(text, "avx2=off"));
}

static void
testPolicies(void)
{
    g_autoptr(vireoCPUHost) host = testHost(lesser);
    g_autoptr(virCPUDef) cpu =
        testParse("<cpu mode='custom' match='exact'><model>EPYC-Rome</model>"
                  "<feature policy='disable' name='svm'/><feature policy='optional' name='avx2'/><feature policy='optional' name='fma'/>"
                  "<feature policy='forbid' name='pku'/><feature policy='force' name='smx'/></cpu>");
    g_autofree char *text = NULL;

    g_assert_cmpint(vireoCPUPrepare(host, cpu), ==, 0);
    text = vireoCPUFormat(cpu);
    g_assert_cmpstr(text, ==, "EPYC-Rome,svm=off,avx2=off,fma=on,pku=off,smx=force");
}

typedef struct {
    const char *name;
    const char *const *without;
    const char *xml;
    const char *expected;  /* NULL: accepted */
} testCase;

static const testCase cases[] = {
    { "exact", all, "<cpu><model>EPYC-Rome</model></cpu>", NULL },
    { "missing", lesser, "<cpu><model>EPYC-Rome</model></cpu>", "avx2" },
    { "unchecked", lesser, "<cpu check='none'><model>EPYC-Rome</model></cpu>", NULL },
    { "required", all, "<cpu><model>EPYC</model><feature policy='require' name='avx512f'/></cpu>",
      "avx512f" },
    { "forbidden", all, "<cpu><model>EPYC</model><feature policy='forbid' name='aes'/></cpu>", "aes" },
    { "strict", all, "<cpu match='strict'><model>EPYC</model></cpu>", "" },
    { "vendor", all, "<cpu><model>qemu64</model><vendor>Intel</vendor></cpu>", "" },
    { "minimum", all, "<cpu match='minimum'><model>EPYC</model></cpu>", NULL },
};

static void
testCompare(const void *opaque)
{
    const testCase *test = opaque;
    g_autoptr(vireoCPUHost) host = testHost(test->without);
    g_autoptr(virCPUDef) cpu = testParse(test->xml);
    int rc;

    virResetLastError();
    rc = vireoCPUPrepare(host, cpu);
    g_test_message("%s", virGetLastErrorMessage());
    g_assert_cmpint(rc, ==, test->expected ? -1 : 0);
    if (test->expected)
        g_assert_nonnull(strstr(virGetLastErrorMessage(), test->expected));
}

/* Without KVM there is still the host's own CPU. */
static void
testNoHost(void)
{
    g_autoptr(virCPUDef) host = testParse("<cpu mode='host-passthrough' check='none'/>");
    g_autoptr(virCPUDef) named = testParse("<cpu><model>EPYC</model></cpu>");

    g_assert_cmpint(vireoCPUPrepare(NULL, host), ==, 0);
    g_assert_cmpint(vireoCPUPrepare(NULL, named), ==, -1);
}

static void
testModels(void)
{
    g_autoptr(vireoCPUHost) host = testHost(lesser);
    g_autoptr(virDomainCapsCPUModels) models = vireoCPUModels(host);
    virDomainCapsCPUModel *rome = virDomainCapsCPUModelsGet(models, "EPYC-Rome");
    virDomainCapsCPUModel *opteron = virDomainCapsCPUModelsGet(models, "kvm64");
    virDomainCapsCPUModel *icelake = virDomainCapsCPUModelsGet(models, "Icelake-Server");

    g_assert_cmpint(rome->usable, ==, VIR_DOMCAPS_CPU_USABLE_NO);
    g_assert_cmpint(opteron->usable, ==, VIR_DOMCAPS_CPU_USABLE_YES);
    g_assert_cmpint(icelake->usable, ==, VIR_DOMCAPS_CPU_USABLE_NO);
    g_assert_cmpstr(rome->vendor, ==, "AMD");
}

int
main(int argc, char **argv)
{
    size_t i;

    g_test_init(&argc, &argv, NULL);
    if (virErrorInitialize() < 0)
        return 1;
    g_test_add_func("/driver/cpu/host-model", testHostModel);
    g_test_add_func("/driver/cpu/policies", testPolicies);
    for (i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/driver/cpu/compare/%s", cases[i].name);

        g_test_add_data_func(path, &cases[i], testCompare);
    }
    g_test_add_func("/driver/cpu/no-host", testNoHost);
    g_test_add_func("/driver/cpu/models", testModels);
    return g_test_run();
}
