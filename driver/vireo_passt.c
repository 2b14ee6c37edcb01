/*
 * vireo_passt.c: passt, the network of unprivileged guests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <signal.h>
#include <unistd.h>

#include "viralloc.h"
#include "vircommand.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virpidfile.h"
#include "virtime.h"

#include "vireo_passt.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

VIR_LOG_INIT("vireo.vireo_passt");

#define VIREO_PASST "passt"
#define VIREO_PASST_WAIT_MS 5000

static char *
vireoPasstPath(virDomainObj *vm,
               virDomainNetDef *net,
               const char *suffix)
{
    g_autofree char *name = g_strdup_printf("%s-passt.%s", net->info.alias, suffix);

    return vireoDomainPath(vm, name);
}

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

static int
vireoPasstAwaitSocket(const char *socket)
{
    virTimeBackOffVar timeout;

    if (virTimeBackOffStart(&timeout, 1, VIREO_PASST_WAIT_MS) < 0)
        return -1;
    while (virTimeBackOffWait(&timeout)) {
        if (virFileExists(socket))
            return 0;
    }

    virReportError(VIR_ERR_OPERATION_FAILED, _("passt did not make its socket '%s'"), socket);
    return -1;
}

int
vireoPasstStart(virDomainObj *vm,
                virDomainNetDef *net)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *socket = vireoPasstPath(vm, net, "sock");
    g_autofree char *pidfile = vireoPasstPath(vm, net, "pid");
    g_autoptr(virCommand) cmd = virCommandNew(VIREO_PASST);

    virCommandClearCaps(cmd);
    if (priv->driver->privileged) {
        virCommandSetUID(cmd, priv->driver->config->user);
        virCommandSetGID(cmd, priv->driver->config->group);
    }
    virCommandSetPidFile(cmd, pidfile);
    virCommandDaemonize(cmd);

    /* In the foreground: the process the pid file names is the one that serves. */
    virCommandAddArgList(cmd, "--foreground", "--one-off", "--quiet", "--socket", socket, NULL);
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

    if (virCommandRun(cmd, NULL) < 0 ||
        vireoPasstAwaitSocket(socket) < 0) {
        vireoPasstStop(vm, net);
        return -1;
    }

    return 0;
}

void
vireoPasstStop(virDomainObj *vm,
               virDomainNetDef *net)
{
    g_autofree char *socket = vireoPasstPath(vm, net, "sock");
    g_autofree char *pidfile = vireoPasstPath(vm, net, "pid");
    pid_t pid = -1;

    if (virPidFileReadPathIfLocked(pidfile, &pid) == 0 && pid > 0 &&
        kill(pid, SIGTERM) < 0 && errno != ESRCH)
        VIR_WARN("passt (process %lld) of domain %s could not be ended",
                 (long long)pid, vm->def->name);
    unlink(pidfile);
    unlink(socket);
}
