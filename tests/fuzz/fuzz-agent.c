/*
 * fuzz-agent.c: what a guest's agent says, cut into pieces of any size, and all that is read from it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include <stdlib.h>

#include "viralloc.h"
#include "virbitmap.h"
#include "virerror.h"

#include "tests/fuzz/fuzz.h"
#include "vireo_agent_reply.h"
#include "vireo_guest_info.h"

static void
fuzzValue(virJSONValue *value,
          virDomainDef *def)
{
    const vireoGuestInfoKind *kind;
    g_autoptr(virBitmap) vcpus = NULL;
    g_autoptr(virBitmap) online = NULL;
    g_autoptr(virBitmap) offlinable = NULL;
    g_auto(GStrv) keys = NULL;
    virDomainFSInfoPtr *info = NULL;
    int n;

    for (kind = vireoGuestInfoKinds; kind->type != 0; kind++) {
        g_autoptr(virTypedParamList) list = g_new0(virTypedParamList, 1);

        if (kind->add(list, value, def) < 0 && virGetLastErrorCode() == VIR_ERR_OK)
            abort();
        virResetLastError();
    }

    for (n = vireoGuestInfoFS(value, def, &info) - 1; n >= 0; n--)
        virDomainFSInfoFree(info[n]);
    g_free(info);
    vireoGuestInfoVcpus(value, &vcpus, &online, &offlinable);
    vireoGuestInfoStrings(value, "keys", &keys);
    virResetLastError();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data,
                       size_t size)
{
    g_autoptr(virDomainDef) def = virDomainDefNew(NULL);
    vireoAgentReader reader;
    size_t at = 1;

    if (size < 2)
        return 0;

    virErrorInitialize();
    vireoAgentReaderInit(&reader);
    if (data[0] & 0x80)
        vireoAgentReaderSkip(&reader);
    while (at < size) {
        g_autofree char *line = NULL;
        g_autofree char *refusal = NULL;
        g_autoptr(virJSONValue) value = NULL;
        size_t n = MIN(1u + (data[0] & 0x7f), size - at);
        int rc;

        if (vireoAgentReaderPush(&reader, (const char *)data + at, &n, &line) < 0 || n == 0)
            abort();
        at += n;
        if (!line)
            continue;
        rc = vireoAgentParseReply(line, &value, &refusal);
        if ((rc == 0) != (value != NULL) || (rc < -1) != (refusal != NULL))
            abort();
        if (value)
            fuzzValue(value, def);
    }
    vireoAgentReaderClear(&reader);

    return 0;
}
