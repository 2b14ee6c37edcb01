/*
 * vireo_passt.c: passt, the network of unprivileged guests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <sys/socket.h>

#include "viralloc.h"
#include "vircommand.h"
#include "virerror.h"

#include "vireo_passt.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

#define VIREO_PASST "passt"

static void
vireoPasstAddAddresses(virCommand *cmd,
                       const virDomainNetDef *net)
{
    size_t i;

    for (i = 0; i < net->guestIP.nips; i++) {
        const virNetDevIPAddr *ip = net->guestIP.ips[i];
        g_autofree char *address = virSocketAddrFormat(&ip->address);

        virCommandAddArgList(cmd, "--address", address, NULL);
        if (ip->prefix > 0 && VIR_SOCKET_ADDR_IS_FAMILY(&ip->address, AF_INET)) {
            virCommandAddArg(cmd, "--netmask");
            virCommandAddArgFormat(cmd, "%u", ip->prefix);
        }
    }
}

static void
vireoPasstFormatRange(virBuffer *buf,
                      const virDomainNetPortForwardRange *range)
{
    if (range->exclude == VIR_TRISTATE_BOOL_YES)
        virBufferAddChar(buf, '~');
    virBufferAsprintf(buf, "%u", range->start);
    if (range->end)
        virBufferAsprintf(buf, "-%u", range->end);
    if (range->to) {
        virBufferAsprintf(buf, ":%u", range->to);
        if (range->end)
            virBufferAsprintf(buf, "-%u", range->to + (range->end - range->start));
    }
}

static void
vireoPasstAddForwards(virCommand *cmd,
                      const virDomainNetDef *net)
{
    size_t i;
    size_t j;

    for (i = 0; i < net->nPortForwards; i++) {
        const virDomainNetPortForward *forward = net->portForwards[i];
        g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

        if (VIR_SOCKET_ADDR_VALID(&forward->address)) {
            g_autofree char *address = virSocketAddrFormat(&forward->address);

            virBufferAddStr(&buf, address);
            if (forward->dev)
                virBufferAsprintf(&buf, "%%%s", forward->dev);
            virBufferAddChar(&buf, '/');
        }
        if (forward->nRanges == 0)
            virBufferAddLit(&buf, "all");
        for (j = 0; j < forward->nRanges; j++) {
            if (j > 0)
                virBufferAddChar(&buf, ',');
            vireoPasstFormatRange(&buf, forward->ranges[j]);
        }

        virCommandAddArg(cmd, forward->proto == VIR_DOMAIN_NET_PROTO_UDP ?
                         "--udp-ports" : "--tcp-ports");
        virCommandAddArgBuffer(cmd, &buf);
    }
}

int
vireoPasstStart(virDomainObj *vm,
                virDomainNetDef *net,
                int *fd)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autoptr(virCommand) cmd = virCommandNew(VIREO_PASST);
    g_autofree char *messages = NULL;
    int ends[2];
    int status;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        virReportSystemError(errno, "%s", _("cannot make a connection to passt"));
        return -1;
    }
    *fd = ends[0];

    virCommandClearCaps(cmd);
    if (priv->driver->privileged) {
        virCommandSetUID(cmd, priv->driver->config->user);
        virCommandSetGID(cmd, priv->driver->config->group);
    }

    /* It goes to the background when it is ready. Debian's AppArmor profile lets it make
     * neither a socket nor a pid file where the driver's are; it needs none of them. */
    virCommandAddArgList(cmd, "--quiet", "--one-off", "--fd", NULL);
    virCommandAddArgFormat(cmd, "%d", ends[1]);
    virCommandPassFD(cmd, ends[1], VIR_COMMAND_PASS_FD_CLOSE_PARENT);
    if (net->mtu > 0) {
        virCommandAddArg(cmd, "--mtu");
        virCommandAddArgFormat(cmd, "%u", net->mtu);
    }
    if (net->sourceDev)
        virCommandAddArgList(cmd, "--interface", net->sourceDev, NULL);
    if (net->backend.logFile)
        virCommandAddArgList(cmd, "--log-file", net->backend.logFile, NULL);
    vireoPasstAddAddresses(cmd, net);
    vireoPasstAddForwards(cmd, net);

    virCommandSetErrorBuffer(cmd, &messages);
    if (virCommandRun(cmd, &status) < 0)
        return -1;
    if (status != 0) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("passt could not start: %s"),
                       messages && *messages ? g_strchomp(messages) : _("it gave no reason"));
        return -1;
    }

    return 0;
}
