/*
 * vireo_conf.c: the driver's configuration
 *
 * vireo.conf, in libvirt's configuration directory, holds what an administrator
 * may set; everything has a default.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <config.h>

#include <sys/stat.h>
#include <unistd.h>

#include "configmake.h"
#include "viralloc.h"
#include "virconf.h"
#include "virerror.h"
#include "virfile.h"
#include "virlog.h"
#include "virsecureerase.h"
#include "virsocketaddr.h"
#include "virutil.h"

#include "vireo_conf.h"

#define VIR_FROM_THIS VIR_FROM_CONF

VIR_LOG_INIT("vireo.vireo_conf");

#define VIREO_USER "vireo"

/* Whose the authority is that certifies TPMs (swtpm_localca), and so whom libvirt runs them as */
#define VIREO_TPM_USER "tss"

/* SeaBIOS, where the distribution has it. */
#define VIREO_BIOS "/usr/share/seabios/bios-256k.bin"

/* Where libvirt has the certificates of screens. */
#define VIREO_VNC_TLS_DIR SYSCONFDIR "/pki/libvirt-vnc"

/* And those for images that come by nbd. */
#define VIREO_NBD_TLS_DIR SYSCONFDIR "/pki/libvirt-nbd"

/* QEMU's docs/interop/firmware.json: the distribution's, the administrator's, the user's. */
static char **
vireoConfigFirmwareDirs(const char *userDir)
{
    g_autofree char *home = userDir ? g_path_get_dirname(userDir) : NULL;
    char **dirs = g_new0(char *, 4);

    dirs[0] = g_strdup("/usr/share/qemu/firmware");
    dirs[1] = g_strdup(SYSCONFDIR "/qemu/firmware");
    if (home)
        dirs[2] = g_strdup_printf("%s/qemu/firmware", home);

    return dirs;
}

vireoConfig *
vireoConfigNew(bool privileged)
{
    g_autoptr(vireoConfig) config = g_new0(vireoConfig, 1);

    if (privileged) {
        config->configDir = g_strdup(SYSCONFDIR "/libvirt/vireo");
        config->stateDir = g_strdup(RUNSTATEDIR "/libvirt/vireo");
        config->logDir = g_strdup(LOCALSTATEDIR "/log/libvirt/vireo");
        config->channelDir = g_strdup(RUNSTATEDIR "/libvirt/vireo/channel");
        config->snapshotDir = g_strdup(LOCALSTATEDIR "/lib/libvirt/vireo/snapshot");
        config->nvramDir = g_strdup(LOCALSTATEDIR "/lib/libvirt/vireo/nvram");
        config->tpmDir = g_strdup(LOCALSTATEDIR "/lib/libvirt/swtpm");
        config->firmwareDirs = vireoConfigFirmwareDirs(NULL);
    } else {
        g_autofree char *runtimeDir = virGetUserRuntimeDirectory();
        g_autofree char *cacheDir = virGetUserCacheDirectory();
        g_autofree char *userDir = virGetUserConfigDirectory();

        config->configDir = g_strdup_printf("%s/vireo", userDir);
        config->stateDir = g_strdup_printf("%s/vireo/run", runtimeDir);
        config->logDir = g_strdup_printf("%s/vireo/log", cacheDir);
        config->channelDir = g_strdup_printf("%s/vireo/channel", runtimeDir);
        config->snapshotDir = g_strdup_printf("%s/vireo/snapshot", userDir);
        config->nvramDir = g_strdup_printf("%s/vireo/nvram", userDir);
        config->tpmDir = g_strdup_printf("%s/vireo/swtpm", userDir);
        config->firmwareDirs = vireoConfigFirmwareDirs(userDir);
    }
    /* Not in there, where domains' pid files have the domains' names. */
    config->lockPath = g_strdup_printf("%s.pid", config->stateDir);
    config->autostartDir = g_strdup_printf("%s/autostart", config->configDir);
    config->vireoBinary = g_strdup(VIREO_BINARY);
    config->bios = g_strdup(VIREO_BIOS);
    config->vncListen = g_strdup(VIR_LOOPBACK_IPV4_ADDR);
    config->nbdTLSDir = g_strdup(VIREO_NBD_TLS_DIR);
    config->user = (uid_t)-1;
    config->group = (gid_t)-1;
    config->tpmUser = (uid_t)-1;
    config->tpmGroup = (gid_t)-1;
    config->dynamicOwnership = privileged;
    config->securityDefaultConfined = true;
    config->stdioLogd = true;

    return g_steal_pointer(&config);
}

void
vireoConfigFree(vireoConfig *config)
{
    if (!config)
        return;

    g_free(config->configDir);
    g_free(config->autostartDir);
    g_free(config->stateDir);
    g_free(config->lockPath);
    g_free(config->logDir);
    g_free(config->channelDir);
    g_free(config->snapshotDir);
    g_free(config->nvramDir);
    g_free(config->tpmDir);
    g_free(config->bios);
    g_free(config->vncListen);
    virSecureEraseString(config->vncPassword);
    g_free(config->vncPassword);
    g_free(config->vncTLSDir);
    g_free(config->nbdTLSDir);
    g_strfreev(config->firmwareDirs);
    g_free(config->vireoBinary);
    g_strfreev(config->securityDrivers);
    g_free(config);
}

static int
vireoConfigLoadSecurity(vireoConfig *config,
                        virConf *conf,
                        const char *path,
                        bool privileged)
{
    g_autofree char *user = NULL;
    g_autofree char *group = NULL;

    if (virConfGetValueString(conf, "user", &user) < 0 ||
        virConfGetValueString(conf, "group", &group) < 0 ||
        virConfGetValueBool(conf, "dynamic_ownership", &config->dynamicOwnership) < 0 ||
        virConfGetValueStringList(conf, "security_driver", true, &config->securityDrivers) < 0 ||
        virConfGetValueBool(conf, "security_default_confined",
                            &config->securityDefaultConfined) < 0)
        return -1;

    if (!privileged) {
        if (user || group) {
            virReportError(VIR_ERR_CONF_SYNTAX,
                           _("%s: user and group can only be set for the system daemon"), path);
            return -1;
        }
        return 0;
    }

    if (virGetUserID(user ? user : VIREO_USER, &config->user) < 0) {
        virReportError(VIR_ERR_CONF_SYNTAX,
                       _("there is no user '%s' for virtual machines to run as: create it, or set 'user' in %s"),
                       user ? user : VIREO_USER, path);
        return -1;
    }
    if (virGetGroupID(group ? group : VIREO_USER, &config->group) < 0) {
        virReportError(VIR_ERR_CONF_SYNTAX,
                       _("there is no group '%s' for virtual machines to run as: create it, or set 'group' in %s"),
                       group ? group : VIREO_USER, path);
        return -1;
    }

    config->tpmUser = config->user;
    config->tpmGroup = config->group;
    if (virDoesUserExist(VIREO_TPM_USER) && virDoesGroupExist(VIREO_TPM_USER) &&
        (virGetUserID(VIREO_TPM_USER, &config->tpmUser) < 0 ||
         virGetGroupID(VIREO_TPM_USER, &config->tpmGroup) < 0))
        return -1;

    return 0;
}

static int
vireoConfigLoadVNC(vireoConfig *config,
                   virConf *conf,
                   const char *path)
{
    g_autofree char *dir = NULL;
    bool tls = false;

    if (virConfGetValueString(conf, "vnc_listen", &config->vncListen) < 0 ||
        virConfGetValueBool(conf, "vnc_auto_unix_socket", &config->vncAutoUnixSocket) < 0 ||
        virConfGetValueString(conf, "vnc_password", &config->vncPassword) < 0 ||
        virConfGetValueBool(conf, "vnc_tls", &tls) < 0 ||
        virConfGetValueString(conf, "vnc_tls_x509_cert_dir", &dir) < 0 ||
        virConfGetValueBool(conf, "vnc_tls_x509_verify", &config->vncTLSVerify) < 0)
        return -1;

    if (dir && !g_path_is_absolute(dir)) {
        virReportError(VIR_ERR_CONF_SYNTAX,
                       _("%s: vnc_tls_x509_cert_dir '%s' is not an absolute path"), path, dir);
        return -1;
    }
    if (tls)
        config->vncTLSDir = dir ? g_steal_pointer(&dir) : g_strdup(VIREO_VNC_TLS_DIR);

    return 0;
}

static int
vireoConfigLoadNBD(vireoConfig *config,
                   virConf *conf,
                   const char *path)
{
    if (virConfGetValueString(conf, "nbd_tls_x509_cert_dir", &config->nbdTLSDir) < 0)
        return -1;
    if (!g_path_is_absolute(config->nbdTLSDir)) {
        virReportError(VIR_ERR_CONF_SYNTAX, _("%s: nbd_tls_x509_cert_dir '%s' is not an absolute path"),
                       path, config->nbdTLSDir);
        return -1;
    }

    return 0;
}

int
vireoConfigLoadFile(vireoConfig *config,
                    const char *path,
                    bool privileged)
{
    g_autoptr(virConf) conf = NULL;
    g_autofree char *stdioHandler = NULL;

    if (virFileExists(path))
        conf = virConfReadFile(path, 0);
    else
        conf = virConfReadString("", 0);
    if (!conf)
        return -1;

    if (vireoConfigLoadSecurity(config, conf, path, privileged) < 0 ||
        vireoConfigLoadVNC(config, conf, path) < 0 ||
        vireoConfigLoadNBD(config, conf, path) < 0 ||
        virConfGetValueString(conf, "vireo_binary", &config->vireoBinary) < 0 ||
        virConfGetValueString(conf, "bios", &config->bios) < 0 ||
        virConfGetValueString(conf, "stdio_handler", &stdioHandler) < 0 ||
        virConfGetValueUInt(conf, "max_processes", &config->maxProcesses) < 0 ||
        virConfGetValueUInt(conf, "max_files", &config->maxFiles) < 0 ||
        virConfGetValueULLong(conf, "max_core", &config->maxCoreSize) < 0)
        return -1;

    if (!g_path_is_absolute(config->bios)) {
        virReportError(VIR_ERR_CONF_SYNTAX, _("%s: bios '%s' is not an absolute path"), path,
                       config->bios);
        return -1;
    }
    if (!g_path_is_absolute(config->vireoBinary)) {
        virReportError(VIR_ERR_CONF_SYNTAX,
                       _("%s: vireo_binary '%s' is not an absolute path"),
                       path, config->vireoBinary);
        return -1;
    }
    if (stdioHandler) {
        if (STREQ(stdioHandler, "logd")) {
            config->stdioLogd = true;
        } else if (STREQ(stdioHandler, "file")) {
            config->stdioLogd = false;
        } else {
            virReportError(VIR_ERR_CONF_SYNTAX,
                           _("%s: stdio_handler is '%s', not 'logd' or 'file'"),
                           path, stdioHandler);
            return -1;
        }
    }

    return 0;
}

int
vireoConfigMakeDirs(vireoConfig *config,
                    bool privileged)
{
    const struct {
        const char *path;
        mode_t mode;
        bool owned;     /* the monitors make things in there */
    } dirs[] = {
        { config->configDir, 0700, false },
        { config->autostartDir, 0700, false },
        { config->stateDir, 0755, false },
        { config->logDir, 0700, false },
        { config->snapshotDir, 0700, false },
        { config->channelDir, 0755, true },
        { config->nvramDir, 0755, true },
        { config->tpmDir, 0711, false },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_autofree char *parent = g_path_get_dirname(dirs[i].path);

        /* What is made on the way is not as private: others of these are beside it. */
        if (g_mkdir_with_parents(parent, 0755) < 0 ||
            g_mkdir_with_parents(dirs[i].path, dirs[i].mode) < 0) {
            virReportSystemError(errno, _("cannot create directory %s"), dirs[i].path);
            return -1;
        }
        if (privileged && dirs[i].owned &&
            chown(dirs[i].path, config->user, config->group) < 0) {
            virReportSystemError(errno, _("cannot change the owner of directory %s"),
                                 dirs[i].path);
            return -1;
        }
    }

    return 0;
}

void
vireoDriverDomainActive(vireoDriver *driver,
                        bool active)
{
    bool turn = active ? g_atomic_int_add(&driver->activeDomains, 1) == 0 :
        g_atomic_int_dec_and_test(&driver->activeDomains);

    if (turn && driver->inhibitCallback)
        driver->inhibitCallback(active, driver->inhibitOpaque);
}
