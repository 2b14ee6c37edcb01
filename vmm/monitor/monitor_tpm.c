/*
 * monitor_tpm.c: QMP commands of schemas/tpm.json
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qapi-commands.h"
#include "vmm/machine/machine.h"
#include "vmm/tpm/tpm.h"

GArray *qmp_query_tpm_models(G_GNUC_UNUSED QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	const QapiTpmModel models[] = { QAPI_TPM_MODEL_TPM_CRB };

	return g_array_append_vals(g_array_new(FALSE, FALSE, sizeof(models[0])), models,
				   G_N_ELEMENTS(models));
}

GArray *qmp_query_tpm_types(G_GNUC_UNUSED QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	const QapiTpmType types[] = { QAPI_TPM_TYPE_EMULATOR };

	return g_array_append_vals(g_array_new(FALSE, FALSE, sizeof(types[0])), types,
				   G_N_ELEMENTS(types));
}

static void append_tpm(const Tpm *tpm, gpointer data)
{
	QapiTPMInfo *info;

	/* A back end without a device is no TPM of the guest's. */
	if (!tpm_is_attached(tpm))
		return;
	info = g_new0(QapiTPMInfo, 1);
	info->id = g_strdup(tpm_id(tpm));
	info->model = QAPI_TPM_MODEL_TPM_CRB;
	info->options = g_new0(QapiTpmTypeOptions, 1);
	info->options->type = QAPI_TPM_TYPE_EMULATOR;
	info->options->u.emulator.data = g_new0(QapiTPMEmulatorOptions, 1);
	info->options->u.emulator.data->chardev = g_strdup(tpm_chardev_id(tpm));
	g_ptr_array_add(data, info);
}

GPtrArray *qmp_query_tpm(QmpContext *ctx, G_GNUC_UNUSED GError **error)
{
	GPtrArray *list = qapi_list_new_TPMInfo();

	tpms_foreach(machine_tpms(qmp_context_machine(ctx)), append_tpm, list);
	return list;
}
