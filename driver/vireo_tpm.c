/*
 * vireo_tpm.c: swtpm, which is the TPM of a domain
 *
 * What a TPM keeps is where libvirt's QEMU driver has it, by the domain's UUID: a domain that moves
 * from there keeps its TPM, and AppArmor's profiles know the place. swtpm runs under the domain's
 * label, but as the user who certifies TPMs. Its control channel is one end of a pair of sockets,
 * the other is the monitor's: nothing is left in the file system, and swtpm ends with the monitor.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virpidfile.h"
#include "virqemu.h"
#include "virsecureerase.h"
#include "virtpm.h"
#include "virutil.h"
#include "viruuid.h"

#include "vireo_cgroup.h"
#include "vireo_log.h"
#include "vireo_process.h"
#include "vireo_secret.h"
#include "vireo_tpm.h"
#include "vireo_validate.h"

#define VIR_FROM_THIS VIR_FROM_TPM

VIR_LOG_INIT("vireo.vireo_tpm");

#define VIREO_TPM_CGROUP "tpm"
#define VIREO_TPM_UNDEFINE_FLAGS (VIR_DOMAIN_UNDEFINE_TPM | VIR_DOMAIN_UNDEFINE_KEEP_TPM)

void
vireoTpmDefault(virDomainTPMDef *tpm)
{
    if (tpm->model == VIR_DOMAIN_TPM_MODEL_DEFAULT)
        tpm->model = VIR_DOMAIN_TPM_MODEL_CRB;
    if (tpm->type == VIR_DOMAIN_TPM_TYPE_EMULATOR &&
        tpm->data.emulator.version == VIR_DOMAIN_TPM_VERSION_DEFAULT)
        tpm->data.emulator.version = VIR_DOMAIN_TPM_VERSION_2_0;
}

int
vireoTpmValidate(const virDomainTPMDef *tpm)
{
    bool emulator = tpm->type == VIR_DOMAIN_TPM_TYPE_EMULATOR;
    const vireoValidateRefusal refusals[] = {
        { tpm->type == VIR_DOMAIN_TPM_TYPE_PASSTHROUGH, "<tpm><backend type='passthrough'>" },
        { tpm->type == VIR_DOMAIN_TPM_TYPE_EXTERNAL, "<tpm><backend type='external'>" },
        { emulator && tpm->data.emulator.version == VIR_DOMAIN_TPM_VERSION_1_2,
          "<tpm><backend version='1.2'>" },
        { tpm->model == VIR_DOMAIN_TPM_MODEL_TIS, "<tpm model='tpm-tis'>, only 'tpm-crb'" },
        { tpm->model != VIR_DOMAIN_TPM_MODEL_CRB, "a <tpm model> other than 'tpm-crb'" },
    };

    return vireoValidateRefuse(refusals);
}

void
vireoTpmFillCapabilities(virDomainCapsDeviceTPM *caps)
{
    caps->supported = virTristateBoolFromBool(virTPMHasSwtpm());
    if (caps->supported != VIR_TRISTATE_BOOL_YES)
        return;

    caps->model.report = true;
    caps->backendModel.report = true;
    caps->backendVersion.report = true;
    VIR_DOMAIN_CAPS_ENUM_SET(caps->model, VIR_DOMAIN_TPM_MODEL_CRB);
    VIR_DOMAIN_CAPS_ENUM_SET(caps->backendModel, VIR_DOMAIN_TPM_TYPE_EMULATOR);
    VIR_DOMAIN_CAPS_ENUM_SET(caps->backendVersion, VIR_DOMAIN_TPM_VERSION_2_0);
}

int
vireoTpmAddArgs(virCommand *cmd,
                const virDomainDef *def,
                const char *dir,
                int *fd)
{
    const char *alias;

    if (def->ntpms == 0)
        return 0;
    alias = def->tpms[0]->info.alias;

    virCommandAddArg(cmd, "-chardev");
    if (*fd >= 0) {
        virCommandAddArgFormat(cmd, "socket,id=chr%s,fd=%d", alias, *fd);
        virCommandPassFD(cmd, *fd, VIR_COMMAND_PASS_FD_CLOSE_PARENT);
        *fd = -1;
    } else {
        g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;

        virBufferAsprintf(&buf, "socket,id=chr%s,path=", alias);
        virQEMUBuildBufferEscapeComma(&buf, dir);
        virBufferAddLit(&buf, "/swtpm.sock");
        virCommandAddArgBuffer(cmd, &buf);
    }
    virCommandAddArg(cmd, "-tpmdev");
    virCommandAddArgFormat(cmd, "emulator,id=tpm-%s,chardev=chr%s", alias, alias);
    virCommandAddArg(cmd, "-device");
    virCommandAddArgFormat(cmd, "tpm-crb,id=%s,tpmdev=tpm-%s", alias, alias);

    return 0;
}

/* AppArmor lets the domain's processes have a file of this name, and so hold its lock. */
static char *
vireoTpmPidFile(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    return g_strdup_printf("%s/swtpm/%s.pid", priv->driver->config->stateDir, vm->def->name);
}

/* What all of the domain's TPM is in; what swtpm has is in there. */
static char *
vireoTpmDir(const vireoConfig *config,
            const virDomainDef *def)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    virUUIDFormat(def->uuid, uuid);
    return g_strdup_printf("%s/%s", config->tpmDir, uuid);
}

static char *
vireoTpmStatePath(const vireoConfig *config,
                  const virDomainDef *def)
{
    g_autofree char *dir = vireoTpmDir(config, def);

    return g_strdup_printf("%s/tpm2", dir);
}

/* The read end of a pipe with the passphrase in it, for @cmd; -1 with an error reported. */
static int
vireoTpmPassSecret(virCommand *cmd,
                   const virDomainTPMDef *tpm)
{
    virSecretLookupTypeDef lookup = { .type = VIR_SECRET_LOOKUP_TYPE_UUID };
    g_autofree uint8_t *secret = NULL;
    size_t size = 0;
    int pipe[2] = { -1, -1 };
    int rc;

    memcpy(lookup.u.uuid, tpm->data.emulator.secretuuid, sizeof(lookup.u.uuid));
    if (vireoSecretGet(&lookup, VIR_SECRET_USAGE_TYPE_VTPM, &secret, &size) < 0)
        return -1;
    if (virPipe(pipe) < 0) {
        virSecureErase(secret, size);
        return -1;
    }

    /* A pipe has room for this much, whoever reads it. */
    rc = size <= PIPE_BUF && safewrite(pipe[1], secret, size) == (ssize_t)size ? 0 : -1;
    virSecureErase(secret, size);
    VIR_FORCE_CLOSE(pipe[1]);
    if (rc < 0) {
        virReportError(VIR_ERR_OPERATION_FAILED, _("the secret of a TPM is longer than %d bytes"),
                       PIPE_BUF);
        VIR_FORCE_CLOSE(pipe[0]);
        return -1;
    }

    virCommandPassFD(cmd, pipe[0], VIR_COMMAND_PASS_FD_CLOSE_PARENT);
    return pipe[0];
}

/* A run of swtpm_setup on the state at @path, to which the caller adds what it shall do. */
static virCommand *
vireoTpmSetupCommand(vireoDriver *driver,
                     const virDomainTPMDef *tpm,
                     const char *path)
{
    g_autofree char *program = virTPMGetSwtpmSetup();
    g_autoptr(virCommand) cmd = NULL;
    int fd;

    if (!program)
        return NULL;
    cmd = virCommandNewArgList(program, "--tpm2", "--tpm-state", path, NULL);
    if (tpm->data.emulator.hassecretuuid) {
        if ((fd = vireoTpmPassSecret(cmd, tpm)) < 0)
            return NULL;
        virCommandAddArg(cmd, "--pwdfile-fd");
        virCommandAddArgFormat(cmd, "%d", fd);
        virCommandAddArgList(cmd, "--cipher", "aes-256-cbc", NULL);
    }
    virCommandSetUID(cmd, driver->config->tpmUser);
    virCommandSetGID(cmd, driver->config->tpmGroup);
    virCommandClearCaps(cmd);

    return g_steal_pointer(&cmd);
}

static int
vireoTpmRunSetup(virCommand *cmd)
{
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    int status;

    virCommandSetOutputBuffer(cmd, &output);
    virCommandSetErrorBuffer(cmd, &errors);
    if (virCommandRun(cmd, &status) < 0)
        return -1;
    if (status == 0)
        return 0;

    virReportError(VIR_ERR_OPERATION_FAILED, _("a TPM cannot be set up: swtpm_setup says: %s%s"),
                   output, errors);
    return -1;
}

/* Seeds, endorsement keys and certificates, as those of a TPM that comes from a factory. */
static int
vireoTpmMake(virDomainObj *vm,
             const virDomainTPMDef *tpm,
             const char *path)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    vireoDriver *driver = priv->driver;
    char uuid[VIR_UUID_STRING_BUFLEN];
    g_autoptr(virCommand) cmd = NULL;

    virUUIDFormat(vm->def->uuid, uuid);
    if (!driver->privileged) {
        g_autofree char *program = virTPMGetSwtpmSetup();
        g_autoptr(virCommand) config = NULL;

        /* Of an authority that is the user's own. */
        if (!program)
            return -1;
        config = virCommandNewArgList(program, "--create-config-files", "skip-if-exist", NULL);
        if (vireoTpmRunSetup(config) < 0)
            return -1;
    }
    if (!(cmd = vireoTpmSetupCommand(driver, tpm, path)))
        return -1;
    virCommandAddArg(cmd, "--vmid");
    virCommandAddArgFormat(cmd, "%s:%s", vm->def->name, uuid);
    virCommandAddArgList(cmd, "--createek", "--create-ek-cert", "--create-platform-cert",
                         "--lock-nvram", "--not-overwrite", NULL);

    return vireoTpmRunSetup(cmd);
}

static int
vireoTpmSetBanks(vireoDriver *driver,
                 const virDomainTPMDef *tpm,
                 const char *path)
{
    virBitmap *banks = tpm->data.emulator.activePcrBanks;
    g_auto(virBuffer) names = VIR_BUFFER_INITIALIZER;
    g_autoptr(virCommand) cmd = NULL;
    ssize_t bank = -1;

    if (!banks)
        return 0;
    if (!virTPMSwtpmSetupCapsGet(VIR_TPM_SWTPM_SETUP_FEATURE_CMDARG_RECONFIGURE_PCR_BANKS)) {
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED, "%s",
                       _("this swtpm_setup cannot set <active_pcr_banks>"));
        return -1;
    }

    while ((bank = virBitmapNextSetBit(banks, bank)) >= 0)
        virBufferAsprintf(&names, "%s,", virDomainTPMPcrBankTypeToString(bank));
    virBufferTrim(&names, ",");
    if (!(cmd = vireoTpmSetupCommand(driver, tpm, path)))
        return -1;
    virCommandAddArg(cmd, "--pcr-banks");
    virCommandAddArgBuffer(cmd, &names);
    virCommandAddArg(cmd, "--reconfigure");

    return vireoTpmRunSetup(cmd);
}

/* What the TPM keeps, made if it is not there. */
static int
vireoTpmPrepareState(virDomainObj *vm,
                     const virDomainTPMDef *tpm,
                     const char *path)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const vireoConfig *config = priv->driver->config;
    g_autofree char *dir = vireoTpmDir(config, vm->def);
    bool made = !virFileExists(path);

    /* The files belong to whom TPMs run as; that may have changed. */
    if (g_mkdir_with_parents(dir, 0711) < 0) {
        virReportSystemError(errno, _("cannot create directory '%s'"), dir);
        return -1;
    }
    if (virDirCreate(path, 0700, config->tpmUser, config->tpmGroup,
                     VIR_DIR_CREATE_ALLOW_EXIST) < 0 ||
        (priv->driver->privileged &&
         virFileChownFiles(path, config->tpmUser, config->tpmGroup) < 0))
        return -1;

    if (made && vireoTpmMake(vm, tpm, path) < 0) {
        /* Half of it is worse than nothing. */
        virFileDeleteTree(path);
        rmdir(dir);
        return -1;
    }

    return vireoTpmSetBanks(priv->driver, tpm, path);
}

static virCommand *
vireoTpmCommand(virDomainObj *vm,
                const virDomainTPMDef *tpm,
                const char *path,
                int *fd)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *program = virTPMGetSwtpm();
    g_autoptr(virCommand) cmd = NULL;
    int secret;

    if (!program)
        return NULL;
    cmd = virCommandNewArgList(program, "socket", "--tpm2", "--terminate", NULL);
    virCommandAddArg(cmd, "--tpmstate");
    virCommandAddArgFormat(cmd, "dir=%s,mode=0600", path);
    virCommandAddArg(cmd, "--ctrl");
    virCommandAddArgFormat(cmd, "type=unixio,clientfd=%d", *fd);
    virCommandPassFD(cmd, *fd, VIR_COMMAND_PASS_FD_CLOSE_PARENT);
    *fd = -1;
    if (tpm->data.emulator.hassecretuuid) {
        if ((secret = vireoTpmPassSecret(cmd, tpm)) < 0)
            return NULL;
        virCommandAddArg(cmd, "--key");
        virCommandAddArgFormat(cmd, "pwdfd=%d,mode=aes-256-cbc", secret);
    }
    virCommandClearCaps(cmd);
    /* The security drivers would have it run as the monitor does. */
    if (virSecurityManagerSetChildProcessLabel(priv->driver->securityManager, vm->def, cmd) < 0)
        return NULL;
    virCommandSetUID(cmd, priv->driver->config->tpmUser);
    virCommandSetGID(cmd, priv->driver->config->tpmGroup);

    return g_steal_pointer(&cmd);
}

static int
vireoTpmRun(virDomainObj *vm,
            virCommand *cmd)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    virSecurityManager *manager = priv->driver->securityManager;
    g_autofree char *pidfile = vireoTpmPidFile(vm);
    g_autofree char *dir = g_path_get_dirname(pidfile);
    VIR_AUTOCLOSE logFD = -1;
    int errFD;
    int rc;

    if (g_mkdir_with_parents(dir, 0755) < 0) {
        virReportSystemError(errno, _("cannot create directory '%s'"), dir);
        return -1;
    }
    if ((logFD = vireoLogOpenHelper(vm, "swtpm-log")) < 0)
        return -1;
    errFD = logFD;
    virCommandSetOutputFD(cmd, &logFD);
    virCommandSetErrorFD(cmd, &errFD);
    virCommandNonblockingFDs(cmd);
    virCommandSetPidFile(cmd, pidfile);
    virCommandDaemonize(cmd);

    if (virSecurityManagerPreFork(manager) < 0)
        return -1;
    rc = virCommandRun(cmd, NULL);
    virSecurityManagerPostFork(manager);

    return rc;
}

int
vireoTpmStart(virDomainObj *vm,
              int *fd)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    const virDomainTPMDef *tpm;
    g_autofree char *path = NULL;
    g_autoptr(virCommand) cmd = NULL;
    int pair[2];
    int rc;

    if (vm->def->ntpms == 0)
        return 0;
    tpm = vm->def->tpms[0];

    path = vireoTpmStatePath(priv->driver->config, vm->def);
    if (vireoTpmPrepareState(vm, tpm, path) < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        virReportSystemError(errno, "%s", _("cannot make the control channel of a TPM"));
        return -1;
    }
    *fd = pair[0];
    cmd = vireoTpmCommand(vm, tpm, path, &pair[1]);
    rc = cmd ? vireoTpmRun(vm, cmd) : -1;
    VIR_FORCE_CLOSE(pair[1]);

    return rc;
}

int
vireoTpmJoin(virDomainObj *vm)
{
    g_autofree char *pidfile = NULL;
    pid_t pid;

    if (vm->def->ntpms == 0)
        return 0;

    /* If it has ended again, the monitor is about to say why. */
    pidfile = vireoTpmPidFile(vm);
    if (virPidFileReadPathIfLocked(pidfile, &pid) < 0 || pid <= 0)
        return 0;

    return vireoCgroupAddHelper(vm, VIREO_TPM_CGROUP, pid);
}

void
vireoTpmStop(virDomainObj *vm)
{
    g_autofree char *pidfile = NULL;
    virErrorPtr saved;
    pid_t pid;

    if (vm->def->ntpms == 0)
        return;

    virErrorPreserveLast(&saved);
    pidfile = vireoTpmPidFile(vm);
    if (virPidFileReadPathIfLocked(pidfile, &pid) == 0 &&
        vireoProcessKill(vm->def->name, pidfile, pid, false) < 0)
        VIR_WARN("swtpm of domain %s could not be ended: %s", vm->def->name,
                 virGetLastErrorMessage());
    if (unlink(pidfile) < 0 && errno != ENOENT)
        VIR_WARN("'%s' could not be removed", pidfile);
    virErrorRestore(&saved);
}

void
vireoTpmReconnect(virDomainObj *vm)
{
    g_autofree char *pidfile = NULL;
    pid_t pid;

    if (vm->def->ntpms == 0)
        return;

    pidfile = vireoTpmPidFile(vm);
    if (virPidFileReadPathIfLocked(pidfile, &pid) < 0 || pid <= 0)
        vireoTpmReportFailure(vm, "swtpm has ended while nobody watched");
}

void
vireoTpmReportFailure(virDomainObj *vm,
                      const char *reason)
{
    VIR_WARN("the TPM of domain %s does not work any more, until the domain is started again: %s",
             vm->def->name, reason);
}

int
vireoTpmCheckUndefine(unsigned int flags)
{
    if ((flags & VIREO_TPM_UNDEFINE_FLAGS) != VIREO_TPM_UNDEFINE_FLAGS)
        return 0;

    virReportError(VIR_ERR_INVALID_ARG, "%s", _("a TPM's state can be kept or removed, not both"));
    return -1;
}

void
vireoTpmNoteUndefine(virDomainObj *vm,
                     unsigned int flags)
{
    vireoDomainObjPrivate *priv = vm->privateData;

    priv->tpmFlags = flags & VIREO_TPM_UNDEFINE_FLAGS;
}

void
vireoTpmForget(virDomainObj *vm)
{
    vireoDomainObjPrivate *priv = vm->privateData;
    g_autofree char *dir = NULL;

    if (vm->def->ntpms == 0)
        return;
    if (vm->def->tpms[0]->data.emulator.persistent_state ?
        !(priv->tpmFlags & VIR_DOMAIN_UNDEFINE_TPM) :
        (priv->tpmFlags & VIR_DOMAIN_UNDEFINE_KEEP_TPM) != 0)
        return;

    dir = vireoTpmDir(priv->driver->config, vm->def);
    if (virFileExists(dir) && virFileDeleteTree(dir) < 0)
        VIR_WARN("'%s' could not be removed", dir);
}
