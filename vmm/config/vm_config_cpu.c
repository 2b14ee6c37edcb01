/*
 * vm_config_cpu.c: the options for processors: -smp and -cpu
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/vm_config_internal.h"
#include "vmm/base/error.h"

#include <inttypes.h>
#include <string.h>

/*
 * Fill in what -smp left out: cores first, then sockets (as QEMU does since 6.2). Four levels of 16
 * bits have a product of 64.
 */
static bool complete_topology(CpuTopology *topology, GError **error)
{
	uint64_t inner, cpus;

	topology->dies = MAX(topology->dies, 1);
	topology->threads = MAX(topology->threads, 1);
	inner = (uint64_t)topology->dies * topology->threads;
	cpus = topology->max_cpus ? topology->max_cpus : topology->cpus;
	if (cpus == 0)
		cpus = MAX(topology->sockets, 1) * inner * MAX(topology->cores, 1);
	if (cpus > MACHINE_MAX_CPUS)
		return error_fail(error,
				  "%" PRIu64 " CPUs are more than the %u that a machine can have", cpus,
				  MACHINE_MAX_CPUS);
	topology->max_cpus = (unsigned)cpus;
	if (topology->cpus == 0)
		topology->cpus = topology->max_cpus;
	if (topology->cpus > topology->max_cpus)
		return error_fail(error, "%u CPUs are more than maxcpus, %u", topology->cpus,
				  topology->max_cpus);
	if (topology->cores == 0) {
		topology->sockets = MAX(topology->sockets, 1);
		topology->cores = (unsigned)(cpus / (topology->sockets * inner));
	} else if (topology->sockets == 0) {
		topology->sockets = (unsigned)(cpus / (topology->cores * inner));
	}
	if ((uint64_t)topology->sockets * topology->cores * inner != cpus)
		return error_fail(error,
				  "sockets (%u) * dies (%u) * cores (%u) * threads (%u) must be the "
				  "number of CPUs (%u)",
				  topology->sockets, topology->dies, topology->cores,
				  topology->threads, topology->max_cpus);
	return true;
}

bool vm_config_parse_smp(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	/* A level has at least one; what is not given stays 0 until complete_topology(). */
#define LEVEL(text_name, field)                                                                    \
	{                                                                                          \
		.name = text_name, .kind = PROPERTY_UINT32, .minimum = 1, .maximum = 65535,        \
		.offset = offsetof(CpuTopology, field)                                             \
	}
	static const Property properties[] = {
		LEVEL("cpus", cpus),   LEVEL("maxcpus", max_cpus), LEVEL("sockets", sockets),
		LEVEL("dies", dies),   LEVEL("cores", cores),	   LEVEL("threads", threads),
		PROPERTY_END,
	};
#undef LEVEL
	CpuTopology topology = { 0 };

	(void)option;
	if (!vm_config_parse_properties(properties, &topology, text, "cpus", error) ||
	    !complete_topology(&topology, error))
		return false;
	config->cpu_topology = topology;
	return true;
}

void cpu_feature_setting_free(gpointer data)
{
	CpuFeatureSetting *setting = data;

	g_free(setting->name);
	g_free(setting);
}

static bool parse_feature_state(const char *text, CpuFeatureState *state)
{
	static const char *const names[] = {
		[CPU_FEATURE_OFF] = "off",
		[CPU_FEATURE_ON] = "on",
		[CPU_FEATURE_FORCE] = "force",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*state = (CpuFeatureState)i;
			return true;
		}
	}
	return false;
}

static bool parse_cpu_feature(VmConfig *config, const char *text, GError **error)
{
	const char *equals = strchr(text, '=');
	CpuFeatureState state = CPU_FEATURE_ON;
	CpuFeatureSetting *setting;

	if (*text == '+' || *text == '-') {
		state = *text++ == '-' ? CPU_FEATURE_OFF : CPU_FEATURE_ON;
		equals = NULL;
	} else if (!equals) {
		return error_fail(error, "'%s': use +%s, -%s, %s=on or %s=off", text, text, text,
				  text, text);
	} else if (!parse_feature_state(equals + 1, &state)) {
		return error_fail(error, "'%s': use on, off or force", text);
	}
	setting = g_new0(CpuFeatureSetting, 1);
	setting->name = equals ? g_strndup(text, (gsize)(equals - text)) : g_strdup(text);
	setting->state = state;
	g_ptr_array_add(config->cpu_features, setting);
	return true;
}

#define HYPERV(text_name, field)                                                                  \
	{                                                                                         \
		.name = text_name, .kind = PROPERTY_BOOL, .offset = offsetof(VmConfig, hyperv.field) \
	}

/* What of -cpu is about the model as a whole. */
static const Property cpu_properties[] = {
	HYPERV("hv-relaxed", relaxed),
	HYPERV("hv-vapic", vapic),
	HYPERV("hv-vpindex", vpindex),
	HYPERV("hv-runtime", runtime),
	HYPERV("hv-crash", crash),
	HYPERV("hv-time", time),
	HYPERV("hv-synic", synic),
	HYPERV("hv-stimer", stimer),
	HYPERV("hv-stimer-direct", stimer_direct),
	HYPERV("hv-reset", reset),
	HYPERV("hv-frequencies", frequencies),
	HYPERV("hv-reenlightenment", reenlightenment),
	HYPERV("hv-tlbflush", tlbflush),
	HYPERV("hv-ipi", ipi),
	HYPERV("hv-avic", avic),
	HYPERV("hv-passthrough", passthrough),
	{ .name = "hv-spinlocks",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VmConfig, hyperv.spinlocks),
	  .minimum = 0xfff,
	  .maximum = UINT32_MAX },
	{ .name = "hv-vendor-id",
	  .kind = PROPERTY_STRING,
	  .offset = offsetof(VmConfig, hyperv.vendor_id) },
	{ .name = "vendor", .kind = PROPERTY_STRING, .offset = offsetof(VmConfig, cpu_vendor) },
	{ .name = "phys-bits",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(VmConfig, cpu_physical_bits),
	  .minimum = 32,
	  .maximum = 52 },
	{ .name = "check", .kind = PROPERTY_BOOL, .offset = offsetof(VmConfig, cpu_check) },
	{ .name = "enforce", .kind = PROPERTY_BOOL, .offset = offsetof(VmConfig, cpu_enforce) },
	PROPERTY_END,
};

/* One part of -cpu after the model; a name alone means "on" for a property. */
static bool parse_cpu_part(VmConfig *config, const char *text, GError **error)
{
	const char *equals = strchr(text, '=');
	g_autofree char *name = equals ? g_strndup(text, (gsize)(equals - text)) : g_strdup(text);
	const Property *property;
	json_object *value;
	bool done;

	/* QEMU has both spellings. */
	if (g_str_has_prefix(name, "hv_"))
		g_strdelimit(name, "_", '-');
	property = property_find(cpu_properties, name);
	if (!property)
		return parse_cpu_feature(config, text, error);
	value = json_object_new_string(equals ? equals + 1 : "on");
	done = property_set(property, config, value, error);
	json_object_put(value);
	return done;
}

bool vm_config_parse_cpu(VmConfig *config, const VmOption *option, const char *text, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(text, ",", -1);

	(void)option;
	if (!parts[0] || *parts[0] == '\0')
		return error_fail(error, "names no model");
	g_free(config->cpu_model);
	config->cpu_model = g_strdup(parts[0]);
	for (unsigned i = 1; parts[i]; i++) {
		if (!parse_cpu_part(config, parts[i], error))
			return false;
	}
	return true;
}
