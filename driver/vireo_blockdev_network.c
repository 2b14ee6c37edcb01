/*
 * vireo_blockdev_network.c: images on other machines as the storage daemon's nodes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virsocketaddr.h"
#include "virstring.h"
#include "virutil.h"

#include "vireo_blockdev_network.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

static bool
vireoBlockdevIsWeb(const virStorageSource *src)
{
    return src->protocol == VIR_STORAGE_NET_PROTOCOL_HTTP ||
        src->protocol == VIR_STORAGE_NET_PROTOCOL_HTTPS;
}

static bool
vireoBlockdevIsCurl(const virStorageSource *src)
{
    return vireoBlockdevIsWeb(src) || src->protocol == VIR_STORAGE_NET_PROTOCOL_FTP ||
        src->protocol == VIR_STORAGE_NET_PROTOCOL_FTPS;
}

static int
vireoBlockdevCheckProtocol(const virStorageSource *src,
                           const virDomainDiskDef *disk)
{
    switch ((virStorageNetProtocol)src->protocol) {
    case VIR_STORAGE_NET_PROTOCOL_NBD:
    case VIR_STORAGE_NET_PROTOCOL_RBD:
    case VIR_STORAGE_NET_PROTOCOL_GLUSTER:
    case VIR_STORAGE_NET_PROTOCOL_ISCSI:
    case VIR_STORAGE_NET_PROTOCOL_NFS:
    case VIR_STORAGE_NET_PROTOCOL_HTTP:
    case VIR_STORAGE_NET_PROTOCOL_HTTPS:
    case VIR_STORAGE_NET_PROTOCOL_FTP:
    case VIR_STORAGE_NET_PROTOCOL_FTPS:
        return 0;
    default:
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': Vireo does not support <source protocol='%s'>"), disk->dst,
                       virStorageNetProtocolTypeToString(src->protocol));
        return -1;
    }
}

static int
vireoBlockdevCheckHosts(const virStorageSource *src,
                        const virDomainDiskDef *disk)
{
    bool local = src->protocol == VIR_STORAGE_NET_PROTOCOL_NBD ||
        src->protocol == VIR_STORAGE_NET_PROTOCOL_GLUSTER;
    size_t i;

    if (src->protocol == VIR_STORAGE_NET_PROTOCOL_GLUSTER ? src->nhosts == 0 :
        src->protocol != VIR_STORAGE_NET_PROTOCOL_RBD && src->nhosts != 1) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': one <source><host> is needed, not %zu"), disk->dst, src->nhosts);
        return -1;
    }
    for (i = 0; i < src->nhosts; i++) {
        int transport = src->hosts[i].transport;

        if (transport != VIR_STORAGE_NET_HOST_TRANS_TCP &&
            (transport != VIR_STORAGE_NET_HOST_TRANS_UNIX || !local)) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                           _("disk '%s': Vireo does not support <host transport='%s'> of protocol '%s'"),
                           disk->dst, virStorageNetHostTransportTypeToString(transport),
                           virStorageNetProtocolTypeToString(src->protocol));
            return -1;
        }
    }

    return 0;
}

/* The target and the number behind it. Returns -1 without an error. */
static int
vireoBlockdevSplitISCSI(const virStorageSource *src,
                        char **target,
                        unsigned int *lun)
{
    const char *slash = strrchr(src->path, '/');

    *lun = 0;
    *target = slash ? g_strndup(src->path, slash - src->path) : g_strdup(src->path);
    return slash ? virStrToLong_uip(slash + 1, NULL, 10, lun) : 0;
}

int
vireoBlockdevNetworkCheck(const virStorageSource *src,
                          const virDomainDiskDef *disk)
{
    int protocol = src->protocol;
    bool nbd = protocol == VIR_STORAGE_NET_PROTOCOL_NBD;
    bool rbd = protocol == VIR_STORAGE_NET_PROTOCOL_RBD;
    bool iscsi = protocol == VIR_STORAGE_NET_PROTOCOL_ISCSI;
    const struct {
        bool wrong;
        const char *what;
    } refusals[] = {
        { src->haveTLS == VIR_TRISTATE_BOOL_YES && !nbd, "<source tls='yes'> is for nbd" },
        { src->haveTLS == VIR_TRISTATE_BOOL_YES && nbd && src->nhosts > 0 &&
          src->hosts[0].transport != VIR_STORAGE_NET_HOST_TRANS_TCP && !src->tlsHostname,
          "<source tls='yes'> at a socket needs a tlsHostname" },
        { src->ncookies > 0 && !vireoBlockdevIsWeb(src), "<cookies> are for http and https" },
        { (src->readahead > 0 || src->timeout > 0) && !vireoBlockdevIsCurl(src),
          "<readahead> and <timeout> are for http, https, ftp and ftps" },
        { (src->snapshot || src->configFile) && !rbd, "<snapshot> and <config> are for rbd" },
        { src->snapshot && !disk->src->readonly, "<snapshot> needs <readonly>" },
        { src->initiator.iqn && !iscsi, "<initiator> is for iscsi" },
    };
    g_autofree char *target = NULL;
    unsigned int lun;
    size_t i;

    if (vireoBlockdevCheckProtocol(src, disk) < 0 || vireoBlockdevCheckHosts(src, disk) < 0)
        return -1;
    for (i = 0; i < G_N_ELEMENTS(refusals); i++) {
        if (refusals[i].wrong) {
            virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "disk '%s': %s", disk->dst, refusals[i].what);
            return -1;
        }
    }
    if (iscsi && vireoBlockdevSplitISCSI(src, &target, &lun) < 0) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       _("disk '%s': '%s' is no target of iscsi with a unit's number"), disk->dst, src->path);
        return -1;
    }

    return vireoBlockdevIsWeb(src) ? virStorageSourceNetCookiesValidate((virStorageSource *)src) : 0;
}

char *
vireoBlockdevNetworkCookies(const virStorageSource *src)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    size_t i;

    for (i = 0; i < src->ncookies; i++)
        virBufferAsprintf(&buf, "%s%s=%s", i > 0 ? "; " : "", src->cookies[i]->name,
                          src->cookies[i]->value);

    return virBufferContentAndReset(&buf);
}

/* As QAPI's SocketAddress, or InetSocketAddress if not @typed. */
static virJSONValue *
vireoBlockdevServer(const virStorageNetHostDef *host,
                    bool typed)
{
    g_autoptr(virJSONValue) server = NULL;
    g_autofree char *port = g_strdup_printf("%u", host->port);
    bool local = host->transport == VIR_STORAGE_NET_HOST_TRANS_UNIX;

    if (virJSONValueObjectAdd(&server,
                              "S:type", !typed ? NULL : local ? "unix" : "inet",
                              "S:path", local ? host->socket : NULL,
                              "S:host", local ? NULL : host->name,
                              "S:port", local ? NULL : port,
                              NULL) < 0)
        return NULL;

    return g_steal_pointer(&server);
}

/* Of all hosts; NULL where there are none. Returns 0, or -1 with an error reported. */
static int
vireoBlockdevServers(const virStorageSource *src,
                     bool typed,
                     virJSONValue **servers)
{
    g_autoptr(virJSONValue) list = virJSONValueNewArray();
    size_t i;

    for (i = 0; i < src->nhosts; i++) {
        g_autoptr(virJSONValue) server = vireoBlockdevServer(&src->hosts[i], typed);

        if (!server || virJSONValueArrayAppend(list, &server) < 0)
            return -1;
    }
    *servers = src->nhosts > 0 ? g_steal_pointer(&list) : NULL;

    return 0;
}

/* With brackets around what has colons of its own; free with g_free. */
static char *
vireoBlockdevHostPort(const virStorageNetHostDef *host)
{
    bool v6 = virSocketAddrNumericFamily(host->name) == AF_INET6;

    return g_strdup_printf("%s%s%s:%u", v6 ? "[" : "", host->name, v6 ? "]" : "", host->port);
}

static int
vireoBlockdevAddNBD(virJSONValue **props,
                    const virStorageSource *src,
                    const char *tls)
{
    g_autoptr(virJSONValue) server = vireoBlockdevServer(&src->hosts[0], true);

    return server ? virJSONValueObjectAdd(props,
                                          "a:server", &server,
                                          "S:export", src->path,
                                          "S:tls-creds", tls,
                                          "S:tls-hostname", tls ? src->tlsHostname : NULL,
                                          NULL) : -1;
}

static int
vireoBlockdevAddCurl(virJSONValue **props,
                     const virStorageSource *src,
                     const char *auth,
                     const char *cookies)
{
    g_autofree char *host = vireoBlockdevHostPort(&src->hosts[0]);
    g_autofree char *url = NULL;

    url = g_strdup_printf("%s://%s%s%s%s%s", virStorageNetProtocolTypeToString(src->protocol), host,
                          src->path && src->path[0] == '/' ? "" : "/", NULLSTR_EMPTY(src->path),
                          src->query ? "?" : "", NULLSTR_EMPTY(src->query));
    return virJSONValueObjectAdd(props,
                                 "s:url", url,
                                 "P:readahead", src->readahead,
                                 "P:timeout", src->timeout,
                                 "T:sslverify", src->sslverify,
                                 "S:username", auth ? src->auth->username : NULL,
                                 "S:password-secret", auth,
                                 "S:cookie-secret", cookies,
                                 NULL);
}

static int
vireoBlockdevAddISCSI(virJSONValue **props,
                      const virStorageSource *src,
                      const char *auth)
{
    g_autofree char *portal = vireoBlockdevHostPort(&src->hosts[0]);
    g_autofree char *target = NULL;
    unsigned int lun;

    ignore_value(vireoBlockdevSplitISCSI(src, &target, &lun));
    return virJSONValueObjectAdd(props,
                                 "s:transport", "tcp",
                                 "s:portal", portal,
                                 "s:target", target,
                                 "u:lun", lun,
                                 "S:user", auth ? src->auth->username : NULL,
                                 "S:password-secret", auth,
                                 "S:initiator-name", src->initiator.iqn,
                                 NULL);
}

static int
vireoBlockdevAddRBD(virJSONValue **props,
                    const virStorageSource *src,
                    const char *auth)
{
    g_autoptr(virJSONValue) servers = NULL;
    g_autoptr(virJSONValue) modes = NULL;

    /* Whoever has a key may still be let in without it. */
    if (auth && !(modes = virJSONValueFromString("[\"cephx\", \"none\"]")))
        return -1;
    if (vireoBlockdevServers(src, false, &servers) < 0)
        return -1;

    return virJSONValueObjectAdd(props,
                                 "s:pool", src->volume,
                                 "s:image", src->path,
                                 "S:snapshot", src->snapshot,
                                 "S:conf", src->configFile,
                                 "A:server", &servers,
                                 "S:user", auth ? src->auth->username : NULL,
                                 "A:auth-client-required", &modes,
                                 "S:key-secret", auth,
                                 NULL);
}

static int
vireoBlockdevAddGluster(virJSONValue **props,
                        const virStorageSource *src)
{
    g_autoptr(virJSONValue) servers = NULL;

    if (vireoBlockdevServers(src, true, &servers) < 0)
        return -1;

    return virJSONValueObjectAdd(props,
                                 "s:volume", src->volume,
                                 "s:path", src->path,
                                 "a:server", &servers,
                                 NULL);
}

static int
vireoBlockdevAddNFS(virJSONValue **props,
                    const virStorageSource *src)
{
    g_autoptr(virJSONValue) server = NULL;
    uid_t uid = 0;
    gid_t gid = 0;

    if ((src->nfs_user && virGetUserID(src->nfs_user, &uid) < 0) ||
        (src->nfs_group && virGetGroupID(src->nfs_group, &gid) < 0) ||
        virJSONValueObjectAdd(&server, "s:type", "inet", "s:host", src->hosts[0].name, NULL) < 0 ||
        virJSONValueObjectAdd(props, "a:server", &server, "s:path", src->path, NULL) < 0 ||
        (src->nfs_user && virJSONValueObjectAdd(props, "u:user", uid, NULL) < 0) ||
        (src->nfs_group && virJSONValueObjectAdd(props, "u:group", gid, NULL) < 0))
        return -1;

    return 0;
}

int
vireoBlockdevNetworkAdd(virJSONValue **props,
                        const virStorageSource *src,
                        const char *auth,
                        const char *cookies,
                        const char *tls)
{
    if (virJSONValueObjectAdd(props, "s:driver", virStorageNetProtocolTypeToString(src->protocol),
                              NULL) < 0)
        return -1;

    switch ((virStorageNetProtocol)src->protocol) {
    case VIR_STORAGE_NET_PROTOCOL_NBD:
        return vireoBlockdevAddNBD(props, src, tls);
    case VIR_STORAGE_NET_PROTOCOL_ISCSI:
        return vireoBlockdevAddISCSI(props, src, auth);
    case VIR_STORAGE_NET_PROTOCOL_RBD:
        return vireoBlockdevAddRBD(props, src, auth);
    case VIR_STORAGE_NET_PROTOCOL_GLUSTER:
        return vireoBlockdevAddGluster(props, src);
    case VIR_STORAGE_NET_PROTOCOL_NFS:
        return vireoBlockdevAddNFS(props, src);
    default:
        return vireoBlockdevAddCurl(props, src, auth, cookies);
    }
}
