/*
 * test-cpu-models.c: named CPU models and features on hosts that have more and less than they do
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/x86/cpu_models.h"

#include <string.h>

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* An AMD host that has every feature in every register, and AVX-512 state. */
static const struct kvm_cpuid_entry2 host_entries[] = {
	{ .function = 0, .eax = 0x10, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65 },
	{ .function = 1, .eax = 0x00a20f12, .ebx = 0x800, .ecx = ~0u, .edx = ~0u },
	{ .function = 6, .eax = ~0u, .ecx = ~0u },
	{ .function = 7, .index = 0, .flags = INDEXED, .eax = 2, .ebx = ~0u, .ecx = ~0u,
	  .edx = ~0u },
	{ .function = 7, .index = 1, .flags = INDEXED, .eax = ~0u, .edx = ~0u },
	{ .function = 7, .index = 2, .flags = INDEXED, .edx = ~0u },
	{ .function = 0xd, .index = 0, .flags = INDEXED, .eax = 0x2e7, .ebx = 576, .ecx = 2696 },
	{ .function = 0xd, .index = 1, .flags = INDEXED, .eax = ~0u, .ecx = 0x1800 },
	{ .function = 0xd, .index = 2, .flags = INDEXED, .eax = 256, .ebx = 576 },
	{ .function = 0xd, .index = 5, .flags = INDEXED, .eax = 64, .ebx = 1088 },
	{ .function = 0xd, .index = 6, .flags = INDEXED, .eax = 512, .ebx = 1152 },
	{ .function = 0xd, .index = 7, .flags = INDEXED, .eax = 1024, .ebx = 1664 },
	{ .function = 0xd, .index = 9, .flags = INDEXED, .eax = 8, .ebx = 2688 },
	{ .function = 0x10, .eax = 1 },
	{ .function = 0x40000000, .ebx = 0x4b4d564b },
	{ .function = 0x80000000, .eax = 0x80000021, .ebx = 0x68747541 },
	{ .function = 0x80000001, .eax = 0x00a20f12, .ecx = ~0u, .edx = ~0u },
	{ .function = 0x80000002, .eax = 0x20444d41 },
	{ .function = 0x80000003 },
	{ .function = 0x80000004 },
	{ .function = 0x80000008, .eax = 0x3030, .ebx = ~0u },
	{ .function = 0x8000000a, .eax = 1, .edx = ~0u },
	{ .function = 0x8000001e },
	{ .function = 0x80000021, .eax = ~0u },
};

static CpuDescription new_host(void)
{
	struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + sizeof(host_entries));

	cpuid->nent = G_N_ELEMENTS(host_entries);
	memcpy(cpuid->entries, host_entries, sizeof(host_entries));
	return (CpuDescription){ .cpuid = cpuid, .msrs = { 0x20, 0x6b } };
}

static GPtrArray *new_settings(const char *name, CpuFeatureState state)
{
	GPtrArray *settings = g_ptr_array_new_with_free_func(cpu_feature_setting_free);
	CpuFeatureSetting *setting = g_new0(CpuFeatureSetting, 1);

	setting->name = g_strdup(name);
	setting->state = state;
	g_ptr_array_add(settings, setting);
	return settings;
}

/* What @model is on @host with one feature set as said; NULL: none. */
static CpuDescription describe(const CpuDescription *host, const char *model, const char *feature,
			       CpuFeatureState state)
{
	g_autoptr(GPtrArray) settings = feature ? new_settings(feature, state) : NULL;
	g_autoptr(GError) error = NULL;
	CpuDescription cpu = { 0 };

	g_assert_true(cpu_model_describe(cpu_model_find(model, NULL), settings, host, 0, &cpu,
					 &error));
	g_assert_no_error(error);
	return cpu;
}

static void test_named(void)
{
	g_auto(CpuDescription) host = new_host();
	g_auto(CpuDescription) rome = describe(&host, "EPYC-Rome", NULL, CPU_FEATURE_OFF);
	const struct kvm_cpuid_entry2 *entry;
	char brand[16];

	/* Family 23, model 49, stepping 0. */
	g_assert_cmphex(cpuid_find(rome.cpuid, 1, 0)->eax, ==, 0x00830f10);
	g_assert_cmphex(cpuid_find(rome.cpuid, 0, 0)->ebx, ==, 0x68747541);
	g_assert_cmphex(cpuid_find(rome.cpuid, 0, 0)->eax, ==, 0xd);
	g_assert_true(cpu_has(&rome, "avx2"));
	g_assert_true(cpu_has(&rome, "x2apic"));
	g_assert_true(cpu_has(&rome, "hypervisor"));
	g_assert_false(cpu_has(&rome, "avx512f"));
	g_assert_false(cpu_has(&rome, "pku"));
	/* No bit but those of features that the model has, named or not. */
	g_assert_cmphex(cpuid_find(rome.cpuid, 7, 0)->edx, ==, 0);
	g_assert_cmphex(cpuid_find(rome.cpuid, 7, 1)->eax, ==, 0);
	g_assert_null(cpuid_find(rome.cpuid, 0x10, 0));
	g_assert_null(cpuid_find(rome.cpuid, 0x80000021, 0));
	/* State of x87, SSE, AVX alone, and the size of that. */
	entry = cpuid_find(rome.cpuid, 0xd, 0);
	g_assert_cmphex(entry->eax, ==, 7);
	g_assert_cmpuint(entry->ecx, ==, 832);
	g_assert_null(cpuid_find(rome.cpuid, 0xd, 5));
	g_assert_cmphex(cpuid_find(rome.cpuid, 0xd, 1)->ecx, ==, 0);
	/* AMD says some of leaf 1 twice. */
	g_assert_cmphex(cpuid_find(rome.cpuid, 0x80000001, 0)->edx & 0x3ff, ==,
			cpuid_find(rome.cpuid, 1, 0)->edx & 0x3ff);
	memcpy(brand, &cpuid_find(rome.cpuid, 0x80000002, 0)->eax, sizeof(brand));
	g_assert_cmpmem(brand, 9, "EPYC-Rome", 9);
	g_assert_cmphex(rome.msrs[1], ==, 0);
}

static void test_other_vendor(void)
{
	g_auto(CpuDescription) host = new_host();
	g_auto(CpuDescription) skylake =
		describe(&host, "Skylake-Client", NULL, CPU_FEATURE_OFF);

	g_assert_cmphex(cpuid_find(skylake.cpuid, 0, 0)->ebx, ==, 0x756e6547);
	g_assert_cmphex(cpuid_find(skylake.cpuid, 1, 0)->eax, ==, 0x000506e0);
	g_assert_null(cpuid_find(skylake.cpuid, 0x8000000a, 0));
	g_assert_cmphex(cpuid_find(skylake.cpuid, 0x80000001, 0)->edx & 0x3ff, ==, 0);
	/* Leaf 0xd keeps the state of MPX, which the host does not have. */
	g_assert_cmphex(cpuid_find(skylake.cpuid, 0xd, 0)->eax, ==, 7);
}

static void test_settings(void)
{
	g_auto(CpuDescription) host = new_host();
	g_auto(CpuDescription) without = describe(&host, "EPYC-Rome", "avx", CPU_FEATURE_OFF);
	g_auto(CpuDescription) with = describe(&host, "EPYC-Rome", "PKU", CPU_FEATURE_ON);
	g_auto(CpuDescription) msr = describe(&host, "EPYC-Rome", "ibrs-all", CPU_FEATURE_ON);
	g_auto(CpuDescription) all = describe(&host, "host", NULL, CPU_FEATURE_OFF);
	g_auto(CpuDescription) less = describe(&host, "host", "avx512f", CPU_FEATURE_OFF);
	g_auto(CpuDescription) nothing = describe(&host, "base", "fpu", CPU_FEATURE_ON);

	g_assert_false(cpu_has(&without, "avx"));
	g_assert_cmphex(cpuid_find(without.cpuid, 0xd, 0)->eax, ==, 3);
	g_assert_cmpuint(cpuid_find(without.cpuid, 0xd, 0)->ecx, ==, 576);
	g_assert_true(cpu_has(&with, "pku"));
	g_assert_cmphex(cpuid_find(with.cpuid, 0xd, 0)->eax, ==, 0x207);
	g_assert_cmphex(msr.msrs[1], ==, 2);
	g_assert_cmpmem(all.cpuid, sizeof(*all.cpuid) + sizeof(host_entries), host.cpuid,
			sizeof(*host.cpuid) + sizeof(host_entries));
	g_assert_cmphex(cpuid_find(less.cpuid, 0xd, 0)->eax, ==, 0x207);
	g_assert_true(cpu_has(&less, "avx512vl"));
	/* x87, the two that are always there, and no state to save: there is no XSAVE. */
	g_assert_cmphex(cpuid_find(nothing.cpuid, 1, 0)->edx, ==, 1);
	g_assert_cmphex(cpuid_find(nothing.cpuid, 1, 0)->ecx, ==, 0x80200000);
	g_assert_cmphex(cpuid_find(nothing.cpuid, 0xd, 0)->eax, ==, 0);
}

static void refuse(const CpuDescription *host, const char *feature, CpuFeatureState state,
		   const char *expected)
{
	g_autoptr(GPtrArray) settings = new_settings(feature, state);
	g_autoptr(GError) error = NULL;
	CpuDescription cpu = { 0 };

	g_assert_false(cpu_model_describe(cpu_model_find("EPYC-Rome", NULL), settings, host, 0, &cpu,
					  &error));
	g_assert_cmpstr(error->message, ==, expected);
	g_assert_null(cpu.cpuid);
}

static bool contains(const GPtrArray *names, const char *name)
{
	for (unsigned i = 0; i < names->len; i++) {
		if (g_str_equal(names->pdata[i], name))
			return true;
	}
	return false;
}

static void test_lesser_host(void)
{
	g_auto(CpuDescription) host = new_host();
	g_autoptr(GPtrArray) all = cpu_model_missing(cpu_model_find("EPYC-Rome", NULL), &host);
	g_autoptr(GPtrArray) missing = NULL, of_host = NULL;
	g_auto(CpuDescription) rome = { 0 }, forced = { 0 };
	static const char *const taken[] = { "avx2", "svm", "npt", "nrip-save" };

	g_assert_cmpuint(all->len, ==, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(taken); i++)
		g_assert_true(cpu_feature_set(cpu_feature_find(taken[i]), &host, false));
	missing = cpu_model_missing(cpu_model_find("EPYC-Rome", NULL), &host);
	of_host = cpu_model_missing(cpu_model_find("host", NULL), &host);
	g_assert_true(contains(missing, "avx2"));
	/* Its parts are not missed where there is no SVM at all. */
	g_assert_false(contains(missing, "npt"));
	g_assert_cmpuint(of_host->len, ==, 0);
	rome = describe(&host, "EPYC-Rome", NULL, CPU_FEATURE_OFF);
	g_assert_false(cpu_has(&rome, "avx2"));
	forced = describe(&host, "EPYC-Rome", "avx2", CPU_FEATURE_FORCE);
	g_assert_true(cpu_has(&forced, "avx2"));
	refuse(&host, "avx2", CPU_FEATURE_ON, "this host cannot give CPU feature 'avx2'");
	refuse(&host, "AVX2", CPU_FEATURE_ON, "this host cannot give CPU feature 'AVX2'");
	refuse(&host, "no-such-thing", CPU_FEATURE_OFF, "there is no CPU feature 'no-such-thing'");
	/* There is no such leaf to force it into. */
	refuse(&host, "sgx1", CPU_FEATURE_FORCE, "this host cannot give CPU feature 'sgx1'");
}

static void test_names(void)
{
	g_autoptr(GError) error = NULL;
	unsigned n = 0;

	g_assert_true(cpu_feature_find("sse4.1") == cpu_feature_find("SSE4_1"));
	g_assert_cmpstr(cpu_feature_name(cpu_feature_find("pni")), ==, "pni");
	g_assert_nonnull(cpu_feature_find("sse3"));
	g_assert_null(cpu_feature_find("sse5"));
	for (const CpuFeature *feature; (feature = cpu_feature_nth(n)); n++)
		g_assert_cmpstr(cpu_feature_name(feature), !=, "sse3");
	g_assert_cmpuint(n, >, 100);
	g_assert_null(cpu_model_find("Pentium 60", &error));
	g_assert_cmpstr(error->message, ==,
			"there is no CPU model 'Pentium 60'; see -cpu help");
	g_assert_true(cpu_model_is_host(cpu_model_find("max", NULL)));
	g_assert_false(cpu_model_is_host(cpu_model_find("base", NULL)));
	g_assert_true(cpu_model_is_static(cpu_model_find("base", NULL)));
	g_assert_false(cpu_model_is_static(cpu_model_find("EPYC", NULL)));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cpu-models/named", test_named);
	g_test_add_func("/cpu-models/other-vendor", test_other_vendor);
	g_test_add_func("/cpu-models/settings", test_settings);
	g_test_add_func("/cpu-models/lesser-host", test_lesser_host);
	g_test_add_func("/cpu-models/names", test_names);
	return g_test_run();
}
