/*
 * vireo_command.c: a domain as a command line
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include "viralloc.h"
#include "virerror.h"
#include "virqemu.h"
#include "viruuid.h"

#include "vireo_alias.h"
#include "vireo_command.h"
#include "vireo_cpu.h"
#include "vireo_device_props.h"
#include "vireo_disk.h"
#include "vireo_firmware.h"
#include "vireo_graphics.h"
#include "vireo_memory.h"
#include "vireo_namespace.h"
#include "vireo_sysinfo.h"
#include "vireo_tpm.h"
#include "vireo_vcpu.h"
#include "vireo_vhost.h"
#include "vireo_virtiofs.h"
#include "vireo_vsock.h"
#include "vireo_watchdog.h"

#define VIR_FROM_THIS VIR_FROM_DOMAIN

int
vireoCommandAddJSON(virCommand *cmd,
                    const char *option,
                    virJSONValue *props)
{
    G_GNUC_UNUSED g_autoptr(virJSONValue) owned = props;
    g_autofree char *text = NULL;

    if (!props || !(text = virJSONValueToString(props, false)))
        return -1;

    virCommandAddArgList(cmd, option, text, NULL);
    return 0;
}

/* What the guest's clock is to say at the start; NULL: the host's time in UTC. */
static char *
vireoCommandClockBase(const virDomainDef *def)
{
    g_autoptr(GDateTime) now = NULL;
    g_autoptr(GDateTime) start = NULL;

    switch ((virDomainClockOffsetType) def->clock.offset) {
    case VIR_DOMAIN_CLOCK_OFFSET_LOCALTIME:
    case VIR_DOMAIN_CLOCK_OFFSET_TIMEZONE:
        return g_strdup("localtime");
    case VIR_DOMAIN_CLOCK_OFFSET_VARIABLE:
        if (def->clock.data.variable.basis == VIR_DOMAIN_CLOCK_BASIS_LOCALTIME)
            now = g_date_time_new_now_local();
        else
            now = g_date_time_new_now_utc();
        start = g_date_time_add_seconds(now, def->clock.data.variable.adjustment);
        break;
    case VIR_DOMAIN_CLOCK_OFFSET_ABSOLUTE:
        start = g_date_time_new_from_unix_utc(def->clock.data.starttime);
        break;
    case VIR_DOMAIN_CLOCK_OFFSET_UTC:
    case VIR_DOMAIN_CLOCK_OFFSET_LAST:
    default:
        return NULL;
    }

    return start ? g_date_time_format(start, "%Y-%m-%dT%H:%M:%S") : NULL;
}

static void
vireoCommandAddClock(virCommand *cmd,
                     const virDomainDef *def)
{
    g_autofree char *base = vireoCommandClockBase(def);
    bool slew = false;
    size_t i;

    for (i = 0; i < def->clock.ntimers; i++) {
        if (def->clock.timers[i]->name == VIR_DOMAIN_TIMER_NAME_RTC &&
            def->clock.timers[i]->tickpolicy == VIR_DOMAIN_TIMER_TICKPOLICY_CATCHUP)
            slew = true;
    }

    if (def->clock.offset == VIR_DOMAIN_CLOCK_OFFSET_TIMEZONE)
        virCommandAddEnvPair(cmd, "TZ", def->clock.data.timezone);
    if (base || slew) {
        virCommandAddArg(cmd, "-rtc");
        virCommandAddArgFormat(cmd, "base=%s%s", base ? base : "utc", slew ? ",driftfix=slew" : "");
    }
}

static void
vireoCommandAddMachine(virCommand *cmd,
                       const virDomainDef *def)
{
    g_auto(virBuffer) name = VIR_BUFFER_INITIALIZER;
    g_auto(virBuffer) machine = VIR_BUFFER_INITIALIZER;
    char uuid[VIR_UUID_STRING_BUFLEN];

    virBufferAddLit(&name, "guest=");
    virQEMUBuildBufferEscapeComma(&name, def->name);
    virBufferAddLit(&name, ",debug-threads=on");
    virCommandAddArg(cmd, "-name");
    virCommandAddArgBuffer(cmd, &name);

    virCommandAddArg(cmd, "-S");
    virUUIDFormat(def->uuid, uuid);
    virCommandAddArgList(cmd, "-uuid", uuid, NULL);
    virBufferAdd(&machine, def->os.machine, -1);
    if (virDomainNumaGetNodeCount(def->numa) == 0)
        virBufferAddLit(&machine, ",memory-backend=" VIREO_ALIAS_MEMORY);
    vireoFirmwareAddMachine(&machine, def);
    virCommandAddArg(cmd, "-machine");
    virCommandAddArgBuffer(cmd, &machine);
    virCommandAddArgList(cmd, "-accel", "kvm", NULL);
    vireoCommandAddClock(cmd, def);
}

static int
vireoCommandAddCPU(virCommand *cmd,
                   const virDomainDef *def)
{
    unsigned int fixed = vireoVcpuCountFixed(def);
    unsigned int max = virDomainDefGetVcpusMax(def);
    const virCPUDef *cpu = def->cpu;
    g_autofree char *model = vireoCPUFormat(cpu);
    g_auto(virBuffer) argument = VIR_BUFFER_INITIALIZER;
    g_auto(virBuffer) smp = VIR_BUFFER_INITIALIZER;
    size_t i;

    virBufferAdd(&argument, model, -1);
    vireoCPUFormatHyperv(&argument, def);
    virCommandAddArg(cmd, "-cpu");
    virCommandAddArgBuffer(cmd, &argument);

    virBufferAsprintf(&smp, "%u", fixed);
    if (fixed < max)
        virBufferAsprintf(&smp, ",maxcpus=%u", max);
    if (cpu->sockets > 0)
        virBufferAsprintf(&smp, ",sockets=%u,dies=%u,cores=%u,threads=%u",
                          cpu->sockets, cpu->dies, cpu->cores, cpu->threads);
    else
        virBufferAsprintf(&smp, ",sockets=%u,dies=1,cores=1,threads=1", max);
    virCommandAddArg(cmd, "-smp");
    virCommandAddArgBuffer(cmd, &smp);

    for (i = fixed; i < max; i++) {
        if (def->vcpus[i]->online &&
            vireoCommandAddJSON(cmd, "-device", vireoVcpuProps(def, i)) < 0)
            return -1;
    }

    return 0;
}

static void
vireoCommandAddMonitor(virCommand *cmd,
                       vireoCommandInputs *inputs)
{
    virCommandAddArg(cmd, "-chardev");
    if (inputs->monitorFD >= 0) {
        virCommandPassFD(cmd, inputs->monitorFD, VIR_COMMAND_PASS_FD_CLOSE_PARENT);
        virCommandAddArgFormat(cmd, "socket,id=charmonitor,fd=%d,server=on,wait=off",
                               inputs->monitorFD);
        inputs->monitorFD = -1;
    } else {
        g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

        virBufferAddLit(&buf, "socket,id=charmonitor,path=");
        virQEMUBuildBufferEscapeComma(&buf, inputs->dir);
        virBufferAddLit(&buf, "/monitor.sock,server=on,wait=off");
        virCommandAddArgBuffer(cmd, &buf);
    }
    virCommandAddArgList(cmd, "-mon", "chardev=charmonitor,mode=control", NULL);
}

/* What is not destroyed the monitor only pauses, and the driver decides. */
static void
vireoCommandAddActions(virCommand *cmd,
                       const virDomainDef *def)
{
    bool reset = def->onReboot == VIR_DOMAIN_LIFECYCLE_ACTION_RESTART;
    bool off = def->onPoweroff == VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY;

    virCommandAddArg(cmd, "-action");
    virCommandAddArgFormat(cmd, "reboot=%s,shutdown=%s,panic=pause%s%s",
                           reset ? "reset" : "shutdown", off ? "poweroff" : "pause",
                           def->watchdog ? ",watchdog=" : "",
                           def->watchdog ?
                           virDomainWatchdogActionTypeToString(def->watchdog->action) : "");
}

static int
vireoCommandAddIOThreads(virCommand *cmd,
                         const virDomainDef *def)
{
    size_t i;

    for (i = 0; i < def->niothreadids; i++) {
        virJSONValue *props = NULL;
        g_autofree char *id = vireoAliasIOThread(def->iothreadids[i]->iothread_id);

        if (virJSONValueObjectAdd(&props, "s:qom-type", "iothread", "s:id", id, NULL) < 0 ||
            vireoCommandAddJSON(cmd, "-object", props) < 0)
            return -1;
    }

    return 0;
}

static int
vireoCommandAddControllers(virCommand *cmd,
                           virDomainDef *def,
                           bool buses)
{
    size_t i;

    for (i = 0; i < def->ncontrollers; i++) {
        virJSONValue *props;

        if ((def->controllers[i]->type == VIR_DOMAIN_CONTROLLER_TYPE_PCI) != buses)
            continue;
        if (vireoDevicePropsController(def, def->controllers[i], &props) < 0)
            return -1;
        if (props && vireoCommandAddJSON(cmd, "-device", props) < 0)
            return -1;
    }

    return 0;
}

static void
vireoCommandFormatPath(virBuffer *buf,
                       const char *key,
                       const char *value)
{
    virBufferAsprintf(buf, ",%s=", key);
    virQEMUBuildBufferEscapeComma(buf, value);
}

static void
vireoCommandFormatSocket(virBuffer *buf,
                         bool listen,
                         const virDomainChrSourceReconnectDef *reconnect)
{
    if (listen)
        virBufferAddLit(buf, ",server=on,wait=off");
    else if (reconnect->enabled == VIR_TRISTATE_BOOL_YES)
        virBufferAsprintf(buf, ",reconnect=%u", reconnect->timeout);
}

static void
vireoCommandAddChardev(virCommand *cmd,
                       const char *id,
                       const virDomainChrSourceDef *source)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

    switch ((virDomainChrType)source->type) {
    case VIR_DOMAIN_CHR_TYPE_PTY:
        virBufferAsprintf(&buf, "pty,id=%s", id);
        break;
    case VIR_DOMAIN_CHR_TYPE_FILE:
        virBufferAsprintf(&buf, "file,id=%s", id);
        vireoCommandFormatPath(&buf, "path", source->data.file.path);
        if (source->data.file.append != VIR_TRISTATE_SWITCH_ABSENT)
            virBufferAsprintf(&buf, ",append=%s",
                              virTristateSwitchTypeToString(source->data.file.append));
        break;
    case VIR_DOMAIN_CHR_TYPE_UNIX:
        virBufferAsprintf(&buf, "socket,id=%s", id);
        vireoCommandFormatPath(&buf, "path", source->data.nix.path);
        vireoCommandFormatSocket(&buf, source->data.nix.listen, &source->data.nix.reconnect);
        break;
    case VIR_DOMAIN_CHR_TYPE_TCP:
        virBufferAsprintf(&buf, "socket,id=%s", id);
        vireoCommandFormatPath(&buf, "host", source->data.tcp.host);
        vireoCommandFormatPath(&buf, "port", source->data.tcp.service);
        vireoCommandFormatSocket(&buf, source->data.tcp.listen, &source->data.tcp.reconnect);
        break;
    case VIR_DOMAIN_CHR_TYPE_QEMU_VDAGENT:
        virBufferAsprintf(&buf, "qemu-vdagent,id=%s,clipboard=on", id);
        break;
    default:
        virBufferAsprintf(&buf, "null,id=%s", id);
        break;
    }

    if (source->logfile) {
        vireoCommandFormatPath(&buf, "logfile", source->logfile);
        if (source->logappend != VIR_TRISTATE_SWITCH_ABSENT)
            virBufferAsprintf(&buf, ",logappend=%s",
                              virTristateSwitchTypeToString(source->logappend));
    }

    virCommandAddArg(cmd, "-chardev");
    virCommandAddArgBuffer(cmd, &buf);
}

static int
vireoCommandAddDisks(virCommand *cmd,
                     virDomainDef *def,
                     const char *dir)
{
    size_t i;

    for (i = 0; i < def->ndisks; i++) {
        virDomainDiskDef *disk = def->disks[i];

        if (vireoVhostIsDisk(disk)) {
            g_autofree char *chardev = vireoVhostChardevAlias(disk->info.alias);

            vireoCommandAddChardev(cmd, chardev, disk->src->vhostuser);
        } else if (!vireoDiskIsEmpty(disk) &&
                   vireoCommandAddJSON(cmd, "-blockdev", vireoDiskNodeProps(disk, dir)) < 0) {
            return -1;
        }
        if (vireoCommandAddJSON(cmd, "-device", vireoDevicePropsDisk(def, disk)) < 0)
            return -1;
    }

    return 0;
}

/* Hands @fds over, and returns their numbers with colons between. */
static char *
vireoCommandPassFDs(virCommand *cmd,
                    int *fds,
                    size_t nfds)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    size_t i;

    for (i = 0; i < nfds; i++) {
        virBufferAsprintf(&buf, "%s%d", i > 0 ? ":" : "", fds[i]);
        virCommandPassFD(cmd, fds[i], VIR_COMMAND_PASS_FD_CLOSE_PARENT);
        fds[i] = -1;
    }

    return virBufferContentAndReset(&buf);
}

static int
vireoCommandAddNets(virCommand *cmd,
                    virDomainDef *def,
                    vireoCommandInputs *inputs)
{
    size_t i;

    for (i = 0; i < def->nnets; i++) {
        virDomainNetDef *net = def->nets[i];
        g_autofree char *chardev = vireoVhostChardevAlias(net->info.alias);
        g_autofree char *fd = NULL;
        g_autofree char *vhostfd = NULL;
        g_autofree char *socket = g_strdup_printf("%s/%s-passt.sock", inputs->dir, net->info.alias);

        if (net->type == VIR_DOMAIN_NET_TYPE_VHOSTUSER)
            vireoCommandAddChardev(cmd, chardev, net->data.vhostuser);
        if (inputs->netFDs) {
            vireoInterfaceFDs *fds = &inputs->netFDs[i];

            fd = vireoCommandPassFDs(cmd, fds->fds, fds->nfds);
            vhostfd = vireoCommandPassFDs(cmd, fds->vhostFDs, fds->nvhostFDs);
        }
        if (vireoCommandAddJSON(cmd, "-netdev",
                                vireoDevicePropsNetdev(net, fd, vhostfd, socket)) < 0 ||
            vireoCommandAddJSON(cmd, "-device", vireoDevicePropsNet(def, net)) < 0)
            return -1;
    }

    return 0;
}

static int
vireoCommandAddFSs(virCommand *cmd,
                   virDomainDef *def,
                   const char *dir)
{
    size_t i;

    for (i = 0; i < def->nfss; i++) {
        virDomainFSDef *fs = def->fss[i];
        g_autoptr(virDomainChrSourceDef) source = vireoVirtiofsSource(dir, fs);
        g_autofree char *chardev = vireoVhostChardevAlias(fs->info.alias);

        if (!source)
            return -1;
        vireoCommandAddChardev(cmd, chardev, source);
        if (vireoCommandAddJSON(cmd, "-device", vireoVirtiofsProps(def, fs)) < 0)
            return -1;
    }

    return 0;
}

static int
vireoCommandAddVsock(virCommand *cmd,
                     const virDomainDef *def,
                     vireoCommandInputs *inputs)
{
    g_autofree char *passed = NULL;

    if (!def->vsock)
        return 0;
    if (inputs->vsockFD >= 0)
        passed = vireoCommandPassFDs(cmd, &inputs->vsockFD, 1);

    return vireoCommandAddJSON(cmd, "-device",
                               vireoVsockProps(def, def->vsock, inputs->vsockIsKernels, passed,
                                               inputs->dir));
}

static int
vireoCommandAddChrs(virCommand *cmd,
                    const virDomainDef *def,
                    virDomainChrDef **chrs,
                    size_t nchrs)
{
    size_t i;

    for (i = 0; i < nchrs; i++) {
        virDomainChrDef *chr = chrs[i];
        g_autofree char *id = NULL;

        /* the serial port again */
        if (chr->deviceType == VIR_DOMAIN_CHR_DEVICE_TYPE_CONSOLE &&
            chr->targetType == VIR_DOMAIN_CHR_CONSOLE_TARGET_TYPE_SERIAL)
            continue;

        id = vireoAliasChardev(chr);
        vireoCommandAddChardev(cmd, id, chr->source);
        if (vireoCommandAddJSON(cmd, "-device", vireoDevicePropsChr(def, chr)) < 0)
            return -1;
    }

    return 0;
}

static int
vireoCommandAddOthers(virCommand *cmd,
                      virDomainDef *def,
                      vireoCommandInputs *inputs)
{
    size_t i;

    for (i = 0; i < def->nrngs; i++) {
        if (vireoCommandAddJSON(cmd, "-object", vireoDevicePropsRNGObject(def->rngs[i])) < 0 ||
            vireoCommandAddJSON(cmd, "-device", vireoDevicePropsRNG(def, def->rngs[i])) < 0)
            return -1;
    }

    if (virDomainDefHasMemballoon(def) &&
        vireoCommandAddJSON(cmd, "-device", vireoDevicePropsMemballoon(def, def->memballoon)) < 0)
        return -1;

    if (def->watchdog &&
        vireoCommandAddJSON(cmd, "-device", vireoWatchdogProps(def, def->watchdog)) < 0)
        return -1;

    if (vireoTpmAddArgs(cmd, def, inputs->dir, &inputs->tpmFD) < 0)
        return -1;

    if (def->genidRequested &&
        vireoCommandAddJSON(cmd, "-device", vireoDevicePropsGeneration(def)) < 0)
        return -1;
    for (i = 0; i < def->npanics; i++) {
        if (vireoCommandAddJSON(cmd, "-device", vireoDevicePropsPanic(def->panics[i])) < 0)
            return -1;
    }

    return 0;
}

/* Keyboard and mouse on PS/2 come with a screen. */
static int
vireoCommandAddScreen(virCommand *cmd,
                      virDomainDef *def,
                      const vireoConfig *config)
{
    size_t i;

    for (i = 0; i < def->nvideos; i++) {
        if (def->videos[i]->type != VIR_DOMAIN_VIDEO_TYPE_NONE &&
            vireoCommandAddJSON(cmd, "-device", vireoDevicePropsVideo(def, def->videos[i])) < 0)
            return -1;
    }
    for (i = 0; i < def->ninputs; i++) {
        if (def->inputs[i]->bus != VIR_DOMAIN_INPUT_BUS_PS2 &&
            vireoCommandAddJSON(cmd, "-device", vireoDevicePropsInput(def, def->inputs[i])) < 0)
            return -1;
    }

    return vireoGraphicsAddCommand(cmd, def, config);
}

static void
vireoCommandAddNamespace(virCommand *cmd,
                         const vireoNamespace *ns)
{
    size_t i;

    if (!ns)
        return;

    for (i = 0; i < ns->nargs; i++)
        virCommandAddArg(cmd, ns->args[i]);
    for (i = 0; i < ns->nenv; i++)
        virCommandAddEnvPair(cmd, ns->env[i].name, ns->env[i].value);
}

virCommand *
vireoCommandBuild(virDomainDef *def,
                  vireoCommandInputs *inputs)
{
    g_autoptr(virCommand) cmd = virCommandNew(def->emulator);

    virCommandAddEnvPassCommon(cmd);
    vireoCommandAddMachine(cmd, def);
    if (vireoCommandAddCPU(cmd, def) < 0 ||
        vireoMemoryAddArgs(cmd, def, inputs->dir, inputs->autoNodes) < 0)
        return NULL;
    vireoCommandAddMonitor(cmd, inputs);
    vireoCommandAddActions(cmd, def);

    /* A bus before what is on it. */
    if (vireoFirmwareAddArgs(cmd, def) < 0 ||
        vireoSysinfoAddArgs(cmd, def) < 0 ||
        vireoCommandAddControllers(cmd, def, true) < 0 ||
        vireoCommandAddIOThreads(cmd, def) < 0 ||
        vireoCommandAddControllers(cmd, def, false) < 0 ||
        vireoCommandAddDisks(cmd, def, inputs->dir) < 0 ||
        vireoCommandAddFSs(cmd, def, inputs->dir) < 0 ||
        vireoCommandAddNets(cmd, def, inputs) < 0 ||
        vireoCommandAddVsock(cmd, def, inputs) < 0 ||
        vireoCommandAddChrs(cmd, def, def->serials, def->nserials) < 0 ||
        vireoCommandAddChrs(cmd, def, def->channels, def->nchannels) < 0 ||
        vireoCommandAddChrs(cmd, def, def->consoles, def->nconsoles) < 0 ||
        vireoMemoryAddDevices(cmd, def, inputs->dir, inputs->autoNodes) < 0 ||
        vireoCommandAddScreen(cmd, def, inputs->config) < 0 ||
        vireoCommandAddOthers(cmd, def, inputs) < 0)
        return NULL;

    virCommandAddArgList(cmd, "-sandbox", "on", "-msg", "timestamp=on", NULL);
    vireoCommandAddNamespace(cmd, def->namespaceData);

    return g_steal_pointer(&cmd);
}
