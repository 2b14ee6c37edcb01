/*
 * monitor_stats.c: QMP commands of schemas/stats.json
 *
 * Those of the guest and its vCPUs are KVM's own (KVM API §4.131): what there is, and how it is
 * called, is the running kernel's business, so nothing here lists names. Those of queues are ours
 * (monitor_queue_stats.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/base/error.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/kvm_stats.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/monitor_queue_stats.h"

bool monitor_stats_wanted(const GPtrArray *names, const char *name)
{
	if (!names)
		return true;
	for (guint i = 0; i < names->len; i++) {
		if (g_str_equal(g_ptr_array_index(names, i), name))
			return true;
	}
	return false;
}

static QapiStatsValue *stat_value(const KvmStat *stat)
{
	QapiStatsValue *value = g_new0(QapiStatsValue, 1);

	if (stat->n_values == 1 &&
	    (stat->flags & KVM_STATS_UNIT_MASK) == KVM_STATS_UNIT_BOOLEAN) {
		value->type = QAPI_STATS_VALUE_BOOLEAN;
		value->u.boolean = stat->values[0] != 0;
	} else if (stat->n_values == 1) {
		value->type = QAPI_STATS_VALUE_SCALAR;
		value->u.scalar = stat->values[0];
	} else {
		value->type = QAPI_STATS_VALUE_LIST;
		value->u.list = g_array_new(FALSE, FALSE, sizeof(uint64_t));
		g_array_append_vals(value->u.list, stat->values, stat->n_values);
	}
	return value;
}

/* Append what @fd has of @names to @list as one result. False and @error if it cannot be read. */
static bool append_result(GPtrArray *list, int fd, const char *qom_path, const GPtrArray *names,
			  GError **error)
{
	g_autoptr(GPtrArray) stats = kvm_stats_read(fd, error);
	QapiStatsResult *result;

	if (!stats)
		return false;
	result = g_new0(QapiStatsResult, 1);
	result->provider = QAPI_STATS_PROVIDER_KVM;
	result->qom_path = g_strdup(qom_path);
	result->stats = qapi_list_new_Stats();
	for (guint i = 0; i < stats->len; i++) {
		const KvmStat *stat = g_ptr_array_index(stats, i);
		QapiStats *entry;

		if (!monitor_stats_wanted(names, stat->name))
			continue;
		entry = g_new0(QapiStats, 1);
		entry->name = g_strdup(stat->name);
		entry->value = stat_value(stat);
		g_ptr_array_add(result->stats, entry);
	}
	if (names && result->stats->len == 0)
		qapi_free_StatsResult(result);
	else
		g_ptr_array_add(list, result);
	return true;
}

/* What @args' target has of @names that @provider knows. */
static bool append_target(GPtrArray *list, Machine *machine, const QapiStatsFilter *args,
			  QapiStatsProvider provider, const GPtrArray *names, GError **error)
{
	bool of_queues = args->target == QAPI_STATS_TARGET_X_VIREO_QUEUE;

	if (of_queues != (provider == QAPI_STATS_PROVIDER_X_VIREO))
		return true;
	if (of_queues) {
		monitor_append_queue_stats(list, machine_devices(machine), names);
		return true;
	}
	if (args->target == QAPI_STATS_TARGET_VM)
		return append_result(list, kvm_stats_fd(machine_kvm(machine)), NULL, names, error);
	for (unsigned i = 0; i < machine_n_cpus(machine); i++) {
		MachineCpuInfo cpu;

		machine_get_cpu_info(machine, i, &cpu);
		if (!cpu.present || !monitor_stats_wanted(args->u.vcpu.vcpus, cpu.path))
			continue;
		if (!append_result(list, machine_cpu_stats_fd(machine, i), cpu.path, names, error))
			return false;
	}
	return true;
}

GPtrArray *qmp_query_stats(QmpContext *ctx, const QapiStatsFilter *args, GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	g_autoptr(GPtrArray) list = qapi_list_new_StatsResult();

	for (int i = 0; !args->providers && i < QAPI_STATS_PROVIDER_COUNT; i++) {
		if (!append_target(list, machine, args, (QapiStatsProvider)i, NULL, error))
			return NULL;
	}
	for (guint i = 0; args->providers && i < args->providers->len; i++) {
		const QapiStatsRequest *request = g_ptr_array_index(args->providers, i);

		if (!append_target(list, machine, args, request->provider, request->names, error))
			return NULL;
	}
	return g_steal_pointer(&list);
}

/* KVM's kind of statistic as the schema calls it; false for one that this kernel invented. */
static bool stat_type(uint32_t flags, QapiStatsType *type)
{
	switch (flags & KVM_STATS_TYPE_MASK) {
	case KVM_STATS_TYPE_CUMULATIVE:
		*type = QAPI_STATS_TYPE_CUMULATIVE;
		return true;
	case KVM_STATS_TYPE_INSTANT:
		*type = QAPI_STATS_TYPE_INSTANT;
		return true;
	case KVM_STATS_TYPE_PEAK:
		*type = QAPI_STATS_TYPE_PEAK;
		return true;
	case KVM_STATS_TYPE_LINEAR_HIST:
		*type = QAPI_STATS_TYPE_LINEAR_HISTOGRAM;
		return true;
	case KVM_STATS_TYPE_LOG_HIST:
		*type = QAPI_STATS_TYPE_LOG2_HISTOGRAM;
		return true;
	default:
		return false;
	}
}

static bool stat_unit(uint32_t flags, QapiStatsUnit *unit)
{
	switch (flags & KVM_STATS_UNIT_MASK) {
	case KVM_STATS_UNIT_BYTES:
		*unit = QAPI_STATS_UNIT_BYTES;
		return true;
	case KVM_STATS_UNIT_SECONDS:
		*unit = QAPI_STATS_UNIT_SECONDS;
		return true;
	case KVM_STATS_UNIT_CYCLES:
		*unit = QAPI_STATS_UNIT_CYCLES;
		return true;
	case KVM_STATS_UNIT_BOOLEAN:
		*unit = QAPI_STATS_UNIT_BOOLEAN;
		return true;
	default:
		return false;
	}
}

static bool append_schema(GPtrArray *list, int fd, QapiStatsTarget target, GError **error)
{
	g_autoptr(GPtrArray) stats = kvm_stats_read(fd, error);
	QapiStatsSchema *schema;

	if (!stats)
		return false;
	schema = g_new0(QapiStatsSchema, 1);
	schema->provider = QAPI_STATS_PROVIDER_KVM;
	schema->target = target;
	schema->stats = qapi_list_new_StatsSchemaValue();
	for (guint i = 0; i < stats->len; i++) {
		const KvmStat *stat = g_ptr_array_index(stats, i);
		QapiStatsSchemaValue *value;
		QapiStatsType type;

		if (!stat_type(stat->flags, &type))
			continue;
		value = g_new0(QapiStatsSchemaValue, 1);
		value->name = g_strdup(stat->name);
		value->type = type;
		value->has_unit = stat_unit(stat->flags, &value->unit);
		value->exponent = stat->exponent;
		if (stat->exponent) {
			value->has_base = true;
			value->base =
				(stat->flags & KVM_STATS_BASE_MASK) == KVM_STATS_BASE_POW2 ? 2 : 10;
		}
		if (type == QAPI_STATS_TYPE_LINEAR_HISTOGRAM) {
			value->has_bucket_size = true;
			value->bucket_size = stat->bucket_size;
		}
		g_ptr_array_add(schema->stats, value);
	}
	g_ptr_array_add(list, schema);
	return true;
}

GPtrArray *qmp_query_stats_schemas(QmpContext *ctx, bool has_provider, QapiStatsProvider provider,
				   GError **error)
{
	Machine *machine = qmp_context_machine(ctx);
	g_autoptr(GPtrArray) list = qapi_list_new_StatsSchema();

	if ((!has_provider || provider == QAPI_STATS_PROVIDER_KVM) &&
	    (!append_schema(list, kvm_stats_fd(machine_kvm(machine)), QAPI_STATS_TARGET_VM,
			    error) ||
	     !append_schema(list, machine_cpu_stats_fd(machine, 0), QAPI_STATS_TARGET_VCPU,
			    error)))
		return NULL;
	if (!has_provider || provider == QAPI_STATS_PROVIDER_X_VIREO)
		g_ptr_array_add(list, monitor_queue_stats_schema());
	return g_steal_pointer(&list);
}
