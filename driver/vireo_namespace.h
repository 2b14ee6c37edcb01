/*
 * vireo_namespace.h: the vireo: XML namespace, arguments handed through
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "virxml.h"

typedef struct _vireoNamespaceEnv vireoNamespaceEnv;
struct _vireoNamespaceEnv {
    char *name;
    char *value;     /* never NULL: without a value attribute it is "" */
};

/* <vireo:commandline>: def->namespaceData of a domain that has one */
typedef struct _vireoNamespace vireoNamespace;
struct _vireoNamespace {
    char **args;     /* NULL-terminated */
    size_t nargs;
    vireoNamespaceEnv *env;
    size_t nenv;
};

extern virXMLNamespace vireoXMLNamespace;
