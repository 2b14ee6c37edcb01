/*
 * vireo_blockjob_status.c: block jobs in the domain's status
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virxml.h"

#include "vireo_blockjob.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

void
vireoBlockJobFree(void *opaque)
{
    vireoBlockJob *job = opaque;

    g_free(job->disk);
    g_free(job);
}

void
vireoBlockJobsFormat(virBuffer *buf,
                     GHashTable *jobs)
{
    g_auto(virBuffer) children = VIR_BUFFER_INIT_CHILD(buf);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const vireoBlockJob *job = value;

        virBufferAddLit(&children, "<job");
        virBufferEscapeString(&children, " disk='%s'", job->disk);
        virBufferAsprintf(&children, " type='%d' top='%u' base='%u'", job->type, job->top, job->base);
        if (job->deleteImages)
            virBufferAddLit(&children, " delete='yes'");
        if (job->existing)
            virBufferAddLit(&children, " existing='yes'");
        if (job->pivoting)
            virBufferAddLit(&children, " pivoting='yes'");
        virBufferAddLit(&children, "/>\n");
    }
    virXMLFormatElement(buf, "blockjobs", NULL, &children);
}

static int
vireoBlockJobParse(xmlNodePtr node,
                   void *opaque)
{
    g_autofree char *disk = virXMLPropStringRequired(node, "disk");
    g_autofree vireoBlockJob *job = g_new0(vireoBlockJob, 1);
    virTristateBool deleteImages = VIR_TRISTATE_BOOL_ABSENT;
    virTristateBool existing = VIR_TRISTATE_BOOL_ABSENT;
    virTristateBool pivoting = VIR_TRISTATE_BOOL_ABSENT;

    if (!disk ||
        virXMLPropInt(node, "type", 10, VIR_XML_PROP_REQUIRED, &job->type, 0) < 0 ||
        virXMLPropUInt(node, "top", 10, VIR_XML_PROP_REQUIRED, &job->top) < 0 ||
        virXMLPropUInt(node, "base", 10, VIR_XML_PROP_REQUIRED, &job->base) < 0 ||
        virXMLPropTristateBool(node, "delete", VIR_XML_PROP_NONE, &deleteImages) < 0 ||
        virXMLPropTristateBool(node, "existing", VIR_XML_PROP_NONE, &existing) < 0 ||
        virXMLPropTristateBool(node, "pivoting", VIR_XML_PROP_NONE, &pivoting) < 0)
        return -1;
    job->disk = g_steal_pointer(&disk);
    job->deleteImages = deleteImages == VIR_TRISTATE_BOOL_YES;
    job->existing = existing == VIR_TRISTATE_BOOL_YES;
    job->pivoting = pivoting == VIR_TRISTATE_BOOL_YES;
    g_hash_table_replace(opaque, job->disk, job);
    job = NULL;

    return 0;
}

int
vireoBlockJobsParse(xmlXPathContextPtr ctxt,
                    GHashTable *jobs)
{
    return vireoDomainParseNodes(ctxt, "./blockjobs/job", vireoBlockJobParse, jobs);
}
