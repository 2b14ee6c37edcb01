/*
 * machine_cpu_model.c: the CPU that -cpu asks for, as this host's KVM can give it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/error.h"
#include "vmm/x86/cpu_models.h"
#include "vmm/x86/cpuid.h"
#include "vmm/x86/hyperv.h"

#include <string.h>

bool machine_host_cpu(Machine *machine, CpuDescription *host, GError **error)
{
	CpuDescription supported = { 0 };

	supported.cpuid = (struct kvm_cpuid2 *)kvm_supported_cpuid(machine->kvm, error);
	if (!supported.cpuid)
		return false;
	for (unsigned i = 0; i < CPU_FEATURE_MSRS; i++)
		supported.msrs[i] = kvm_feature_msr(machine->kvm, cpu_feature_msrs[i]);
	cpu_description_copy(host, &supported, 0);
	return true;
}

static bool is_switched_off(const VmConfig *config, const char *feature)
{
	bool off = false;

	for (unsigned i = 0; i < config->cpu_features->len; i++) {
		const CpuFeatureSetting *setting = config->cpu_features->pdata[i];

		if (cpu_feature_find(setting->name) == cpu_feature_find(feature))
			off = setting->state == CPU_FEATURE_OFF;
	}
	return off;
}

/* Say, or refuse, that the host lacks features of the model that nobody has switched off. */
static bool check_model(const VmConfig *config, const CpuModel *model, const CpuDescription *host,
			GError **error)
{
	g_autoptr(GPtrArray) missing = cpu_model_missing(model, host);
	g_autoptr(GString) names = g_string_new(NULL);

	if (!config->cpu_check && !config->cpu_enforce)
		return true;
	for (unsigned i = 0; i < missing->len; i++) {
		if (!is_switched_off(config, missing->pdata[i]))
			g_string_append_printf(names, "%s%s", names->len ? ", " : "",
					       (const char *)missing->pdata[i]);
	}
	if (names->len == 0)
		return true;
	if (config->cpu_enforce)
		return error_fail(error, "this host cannot give the features %s", names->str);
	g_warning("-cpu %s: this host cannot give the features %s, so the guest is without them",
		  config->cpu_model, names->str);
	return true;
}

static bool describe_cpu(Machine *machine, GError **error)
{
	const VmConfig *config = machine->config;
	const CpuModel *model = cpu_model_find(config->cpu_model, error);
	g_auto(CpuDescription) host = { 0 };

	return model && machine_host_cpu(machine, &host, error) &&
	       check_model(config, model, &host, error) &&
	       cpu_model_describe(model, config->cpu_features, &host, CPUID_EXTRA_ENTRIES + HYPERV_ENTRIES,
				  &machine->cpu, error);
}

static bool add_hyperv(Machine *machine, GError **error)
{
	HypervConfig *hyperv = &machine->hyperv;
	g_autofree struct kvm_cpuid2 *supported = NULL;

	*hyperv = machine->config->hyperv; /* whose text stays the configuration's */
	if (!hyperv_is_wanted(hyperv))
		return true;
	supported = kvm_supported_hyperv_cpuid(machine->kvm, error);
	if (!supported)
		return false;
	hyperv_resolve(hyperv, supported);
	return hyperv_add_leaves(machine->cpu.cpuid, hyperv, supported, error);
}

/* What Hyper-V's leaves promise of this vCPU and KVM does not do by itself. */
static bool enable_hyperv(const HypervConfig *hyperv, KvmVcpu *vcpu, unsigned index,
			  GError **error)
{
	struct kvm_msr_entry number = { .index = HYPERV_MSR_VP_INDEX, .data = index };

	if (hyperv->vpindex)
		kvm_vcpu_set_msrs(vcpu, &number, 1);
	return !hyperv->synic || kvm_vcpu_enable_synic(vcpu, error);
}

/* What -cpu changes in any model. */
static bool change_model(const VmConfig *config, CpuDescription *cpu, GError **error)
{
	unsigned host_bits = cpuid_physical_bits(cpu->cpuid);

	if (config->cpu_vendor && strlen(config->cpu_vendor) != CPU_VENDOR_LENGTH)
		return error_fail(error, "vendor=%s does not have %u letters", config->cpu_vendor,
				  CPU_VENDOR_LENGTH);
	if (config->cpu_physical_bits > host_bits)
		return error_fail(error, "phys-bits=%u are more than this host's %u",
				  config->cpu_physical_bits, host_bits);
	if (config->cpu_vendor)
		cpu_set_vendor(cpu, config->cpu_vendor);
	if (config->cpu_physical_bits)
		cpuid_set_physical_bits(cpu->cpuid, config->cpu_physical_bits);
	return true;
}

bool machine_describe_cpu(Machine *machine, unsigned tsc_khz, GError **error)
{
	const VmConfig *config = machine->config;

	if (!describe_cpu(machine, error) || !change_model(config, &machine->cpu, error)) {
		g_prefix_error(error, "-cpu %s: ", config->cpu_model);
		return false;
	}
	cpuid_set_machine(machine->cpu.cpuid, &config->cpu_topology, tsc_khz);
	if (!add_hyperv(machine, error)) {
		g_prefix_error(error, "-cpu: ");
		return false;
	}
	return true;
}

/* An MSR that its CPUID bit does not announce is none of the guest's business. */
static void set_feature_msrs(const CpuDescription *cpu, KvmVcpu *vcpu)
{
	static const char *const announced_by[CPU_FEATURE_MSRS] = { "core-capability",
								    "arch-capabilities" };

	for (unsigned i = 0; i < CPU_FEATURE_MSRS; i++) {
		struct kvm_msr_entry entry = { .index = cpu_feature_msrs[i],
					       .data = cpu->msrs[i] };

		if (cpu_has(cpu, announced_by[i]))
			kvm_vcpu_set_msrs(vcpu, &entry, 1);
	}
}

bool machine_set_cpu_model(Machine *machine, KvmVcpu *vcpu, unsigned index, GError **error)
{
	cpuid_set_cpu(machine->cpu.cpuid, &machine->config->cpu_topology, index);
	if (!kvm_vcpu_set_cpuid(vcpu, machine->cpu.cpuid, error))
		return false;
	set_feature_msrs(&machine->cpu, vcpu);
	return enable_hyperv(&machine->hyperv, vcpu, index, error);
}
