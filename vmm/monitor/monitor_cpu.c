/*
 * monitor_cpu.c: QMP commands of schemas/machine.json about processors
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/base/error.h"
#include "vmm/base/json.h"
#include "vmm/machine/machine.h"
#include "vmm/x86/cpu_models.h"

static QapiCpuInstanceProperties *cpu_properties(const MachineCpuInfo *cpu)
{
	QapiCpuInstanceProperties *properties = g_new0(QapiCpuInstanceProperties, 1);

	properties->has_node_id = cpu->node != NUMA_NO_NODE;
	properties->node_id = properties->has_node_id ? cpu->node : 0;
	properties->has_socket_id = true;
	properties->socket_id = cpu->socket;
	properties->has_die_id = true;
	properties->die_id = cpu->die;
	properties->has_core_id = true;
	properties->core_id = cpu->core;
	properties->has_thread_id = true;
	properties->thread_id = cpu->thread;
	return properties;
}

GPtrArray *qmp_query_cpus_fast(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	const Machine *machine = qmp_context_machine(ctx);
	GPtrArray *list = qapi_list_new_CpuInfoFast();

	for (unsigned i = 0; i < machine_n_cpus(machine); i++) {
		QapiCpuInfoFast *info;
		MachineCpuInfo cpu;

		machine_get_cpu_info(machine, i, &cpu);
		if (!cpu.present)
			continue;
		info = g_new0(QapiCpuInfoFast, 1);
		info->cpu_index = cpu.index;
		info->qom_path = g_strdup(cpu.path);
		info->thread_id = cpu.thread_id;
		info->props = cpu_properties(&cpu);
		info->target = QAPI_SYS_EMU_TARGET_X86_64;
		g_ptr_array_add(list, info);
	}
	return list;
}

static char *cpu_type_name(const char *model)
{
	return g_strdup_printf("%s-x86_64-cpu", model);
}

GPtrArray *qmp_query_hotpluggable_cpus(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	const Machine *machine = qmp_context_machine(ctx);
	GPtrArray *list = qapi_list_new_HotpluggableCPU();

	for (unsigned i = 0; i < machine_n_cpus(machine); i++) {
		QapiHotpluggableCPU *info = g_new0(QapiHotpluggableCPU, 1);
		MachineCpuInfo cpu;

		machine_get_cpu_info(machine, i, &cpu);
		info->type = g_strdup("x86_64-cpu");
		info->vcpus_count = 1;
		info->props = cpu_properties(&cpu);
		info->qom_path = cpu.present ? g_strdup(cpu.path) : NULL;
		g_ptr_array_add(list, info);
	}
	return list;
}

static QapiCpuDefinitionInfo *model_definition(const CpuModel *model, const CpuDescription *host)
{
	QapiCpuDefinitionInfo *info = g_new0(QapiCpuDefinitionInfo, 1);
	g_autoptr(GPtrArray) missing = cpu_model_missing(model, host);

	info->name = g_strdup(cpu_model_name(model));
	info->typename = cpu_type_name(cpu_model_name(model));
	/* What follows the host means something else on another one. */
	info->has_migration_safe = true;
	info->migration_safe = !cpu_model_is_host(model);
	info->q_static = cpu_model_is_static(model);
	info->unavailable_features = qapi_list_new_str();
	for (unsigned i = 0; i < missing->len; i++)
		g_ptr_array_add(info->unavailable_features, g_strdup(missing->pdata[i]));
	return info;
}

GPtrArray *qmp_query_cpu_definitions(QmpContext *ctx, GError **error)
{
	g_auto(CpuDescription) host = { 0 };
	const CpuModel *model;
	GPtrArray *list;

	if (!machine_host_cpu(qmp_context_machine(ctx), &host, error))
		return NULL;
	list = qapi_list_new_CpuDefinitionInfo();
	for (unsigned i = 0; (model = cpu_model_nth(i)); i++)
		g_ptr_array_add(list, model_definition(model, &host));
	return list;
}

/* Read {"FEATURE": BOOL, ...}, or nothing, into CpuFeatureSettings. NULL and @error. */
static GPtrArray *parse_settings(json_object *props, GError **error)
{
	g_autoptr(GPtrArray) settings =
		g_ptr_array_new_with_free_func(cpu_feature_setting_free);

	if (props && !json_object_is_type(props, json_type_object)) {
		error_fail(error, "parameter 'model.props' expects an object");
		return NULL;
	}
	for (struct lh_entry *entry = props ? json_object_get_object(props)->head : NULL; entry;
	     entry = entry->next) {
		json_object *value = (json_object *)lh_entry_v(entry);
		CpuFeatureSetting *setting;

		if (!json_object_is_type(value, json_type_boolean)) {
			error_fail(error, "parameter 'model.props.%s' expects a boolean",
				   (const char *)lh_entry_k(entry));
			return NULL;
		}
		setting = g_new0(CpuFeatureSetting, 1);
		setting->name = g_strdup(lh_entry_k(entry));
		setting->state = json_object_get_boolean(value) ? CPU_FEATURE_ON : CPU_FEATURE_OFF;
		g_ptr_array_add(settings, setting);
	}
	return g_steal_pointer(&settings);
}

QapiCpuModelExpansionInfo *qmp_query_cpu_model_expansion(QmpContext *ctx,
							 QapiCpuModelExpansionType type,
							 const QapiCpuModelInfo *wanted,
							 GError **error)
{
	const CpuModel *model = cpu_model_find(wanted->name, error);
	g_autoptr(GPtrArray) settings = model ? parse_settings(wanted->props, error) : NULL;
	g_auto(CpuDescription) host = { 0 }, cpu = { 0 };
	QapiCpuModelExpansionInfo *info;
	const CpuFeature *feature;

	if (!settings || !machine_host_cpu(qmp_context_machine(ctx), &host, error) ||
	    !cpu_model_describe(model, settings, &host, 0, &cpu, error))
		return NULL;
	info = g_new0(QapiCpuModelExpansionInfo, 1);
	info->model = g_new0(QapiCpuModelInfo, 1);
	info->model->name =
		g_strdup(type == QAPI_CPU_MODEL_EXPANSION_TYPE_STATIC ? "base" : wanted->name);
	info->model->props = json_object_new_object();
	for (unsigned i = 0; (feature = cpu_feature_nth(i)); i++)
		json_object_object_add(info->model->props, cpu_feature_name(feature),
				       json_object_new_boolean(cpu_feature_is_set(feature, &cpu)));
	return info;
}
