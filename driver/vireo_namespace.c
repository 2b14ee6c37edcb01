/*
 * vireo_namespace.c: the vireo: XML namespace, arguments handed through
 *
 *   <domain type='kvm' xmlns:vireo='http://libvirt.org/schemas/domain/vireo/1.0'>
 *     <vireo:commandline>
 *       <vireo:arg value='-device'/>
 *       <vireo:arg value='isa-debug-exit'/>
 *       <vireo:env name='G_MESSAGES_DEBUG' value='all'/>
 *     </vireo:commandline>
 *   </domain>
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"

#include "vireo_namespace.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

static void
vireoNamespaceFree(void *data)
{
    vireoNamespace *ns = data;
    size_t i;

    if (!ns)
        return;

    g_strfreev(ns->args);
    for (i = 0; i < ns->nenv; i++) {
        g_free(ns->env[i].name);
        g_free(ns->env[i].value);
    }
    g_free(ns->env);
    g_free(ns);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vireoNamespace, vireoNamespaceFree);

static int
vireoNamespaceParseArgs(vireoNamespace *ns,
                        xmlXPathContextPtr ctxt)
{
    g_autofree xmlNodePtr *nodes = NULL;
    int n = virXPathNodeSet("./vireo:commandline/vireo:arg", ctxt, &nodes);
    int i;

    if (n < 0)
        return -1;

    ns->args = g_new0(char *, n + 1);
    for (i = 0; i < n; i++) {
        if (!(ns->args[i] = virXMLPropString(nodes[i], "value"))) {
            virReportError(VIR_ERR_XML_ERROR, "%s", _("<vireo:arg> has no value"));
            return -1;
        }
        ns->nargs++;
    }

    return 0;
}

static int
vireoNamespaceParseEnv(vireoNamespace *ns,
                       xmlXPathContextPtr ctxt)
{
    g_autofree xmlNodePtr *nodes = NULL;
    int n = virXPathNodeSet("./vireo:commandline/vireo:env", ctxt, &nodes);
    int i;

    if (n < 0)
        return -1;

    ns->env = g_new0(vireoNamespaceEnv, n);
    for (i = 0; i < n; i++) {
        vireoNamespaceEnv *env = &ns->env[i];

        ns->nenv++;
        env->name = virXMLPropString(nodes[i], "name");
        env->value = virXMLPropString(nodes[i], "value");
        if (!env->name || !*env->name || strchr(env->name, '=')) {
            virReportError(VIR_ERR_XML_ERROR, "%s",
                           _("<vireo:env> has no name, or one with '=' in it"));
            return -1;
        }
        if (!env->value)
            env->value = g_strdup("");
    }

    return 0;
}

static int
vireoNamespaceParse(xmlXPathContextPtr ctxt,
                    void **data)
{
    g_autoptr(vireoNamespace) ns = g_new0(vireoNamespace, 1);

    if (vireoNamespaceParseArgs(ns, ctxt) < 0 ||
        vireoNamespaceParseEnv(ns, ctxt) < 0)
        return -1;

    if (ns->nargs > 0 || ns->nenv > 0)
        *data = g_steal_pointer(&ns);

    return 0;
}

static int
vireoNamespaceFormat(virBuffer *buf,
                     void *data)
{
    vireoNamespace *ns = data;
    g_auto(virBuffer) children = VIR_BUFFER_INIT_CHILD(buf);
    size_t i;

    for (i = 0; i < ns->nargs; i++)
        virBufferEscapeString(&children, "<vireo:arg value='%s'/>\n", ns->args[i]);

    for (i = 0; i < ns->nenv; i++) {
        virBufferEscapeString(&children, "<vireo:env name='%s'", ns->env[i].name);
        virBufferEscapeString(&children, " value='%s'/>\n", ns->env[i].value);
    }

    virXMLFormatElement(buf, "vireo:commandline", NULL, &children);
    return 0;
}

virXMLNamespace vireoXMLNamespace = {
    .parse = vireoNamespaceParse,
    .free = vireoNamespaceFree,
    .format = vireoNamespaceFormat,
    .prefix = "vireo",
    .uri = "http://libvirt.org/schemas/domain/vireo/1.0",
};
