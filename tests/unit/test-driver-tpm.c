/*
 * test-driver-tpm.c: what is run for a domain's TPM, what goes wrong with it, and what stays
 *
 * The programs are scripts that write down how they are called.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include <sys/stat.h>

#include "virerror.h"
#include "virfile.h"
#include "virpidfile.h"

#include "vireo_tpm.h"

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"

typedef struct {
    char *dir;
    char *calls;    /* a line for each program that was run */
    vireoDriver driver;
    virDomainObj *vm;
} testTpm;

static char *
testPath(const testTpm *test,
         const char *name)
{
    return g_build_filename(test->dir, name, NULL);
}

static bool
testExists(const testTpm *test,
           const char *name)
{
    g_autofree char *path = testPath(test, name);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* A program called @name that notes its arguments and does @what. */
static void
testProgram(const testTpm *test,
            const char *name,
            const char *what)
{
    g_autofree char *path = testPath(test, name);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n"
                                            "case $* in *--print-capabilities*)\n"
                                            "  echo '{ \"features\": [ \"cmdarg-reconfigure-pcr-banks\" ] }'; exit;;\n"
                                            "esac\n"
                                            "echo %s \"$@\" >>%s\n%s\n", name, test->calls, what);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(chmod(path, 0755), ==, 0);
}

static char *
testTakeCalls(const testTpm *test)
{
    char *calls = NULL;

    if (!g_file_get_contents(test->calls, &calls, NULL, NULL))
        return g_strdup("");
    g_assert_cmpint(unlink(test->calls), ==, 0);
    return calls;
}

static void
testSetUp(testTpm *test,
          gconstpointer backend)
{
    g_autofree char *xml = g_strdup_printf("<domain type='kvm'><name>t</name><uuid>" UUID "</uuid>"
                                           "<memory unit='MiB'>64</memory>"
                                           "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os>"
                                           "<devices><tpm>%s</tpm></devices></domain>",
                                           (const char *)backend);
    vireoConfig *config = test->driver.config = vireoConfigNew(false);
    char **dirs[] = { &config->stateDir, &config->logDir, &config->tpmDir };
    const char *names[] = { "run", "log", "tpm" };
    size_t i;

    test->dir = g_dir_make_tmp("vireo-test-XXXXXX", NULL);
    test->calls = testPath(test, "calls");
    for (i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_free(*dirs[i]);
        *dirs[i] = testPath(test, names[i]);
        g_assert_cmpint(g_mkdir(*dirs[i], 0700), ==, 0);
    }
    config->stdioLogd = false;
    test->driver.securityManager = virSecurityManagerNew("none", "vireo", 0);
    g_assert_nonnull(test->driver.securityManager);
    test->driver.xmlopt = vireoDomainXMLOptionNew(&test->driver);
    test->vm = virDomainObjNew(test->driver.xmlopt);
    test->vm->def = virDomainDefParseString(xml, test->driver.xmlopt, NULL,
                                            VIR_DOMAIN_DEF_PARSE_INACTIVE);
    g_assert_nonnull(test->vm->def);

    testProgram(test, "swtpm", "exec /bin/sleep 60");
    testProgram(test, "swtpm_setup", "exit 0");
    testProgram(test, "swtpm_ioctl", "exit 1");
    g_setenv("PATH", test->dir, true);
}

static void
testTearDown(testTpm *test,
             gconstpointer backend G_GNUC_UNUSED)
{
    virDomainObjEndAPI(&test->vm);
    virObjectUnref(test->driver.xmlopt);
    virObjectUnref(test->driver.securityManager);
    vireoConfigFree(test->driver.config);
    g_assert_cmpint(virFileDeleteTree(test->dir), ==, 0);
    g_free(test->calls);
    g_free(test->dir);
}

/* Returns once swtpm runs, too, which nobody waits for. */
static void
testStartOK(testTpm *test)
{
    bool called = false;
    int fd = -1;
    size_t i;

    g_assert_cmpint(vireoTpmStart(test->vm, &fd), ==, 0);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(close(fd), ==, 0);
    for (i = 0; i < 1000 && !called; i++) {
        g_autofree char *calls = NULL;

        g_usleep(10 * 1000);
        called = g_file_get_contents(test->calls, &calls, NULL, NULL) &&
            strstr(calls, "swtpm socket") && g_str_has_suffix(calls, "\n");
    }
    g_assert_true(called);
}

/* One that has ended may be left for init to reap. */
static bool
testRuns(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", pid);
    g_autofree char *line = NULL;

    return g_file_get_contents(path, &line, NULL, NULL) && *line;
}

static void
testStart(testTpm *test,
          gconstpointer backend G_GNUC_UNUSED)
{
    g_autofree char *pidfile = testPath(test, "run/swtpm/t.pid");
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;
    pid_t pid = -1;

    testStartOK(test);
    g_assert_cmpint(virPidFileReadPathIfLocked(pidfile, &pid), ==, 0);
    g_assert_cmpint(pid, >, 0);
    g_assert_true(testRuns(pid));
    vireoTpmStop(test->vm);
    g_assert_false(testRuns(pid));
    g_assert_false(testExists(test, "run/swtpm/t.pid"));
    first = testTakeCalls(test);
    g_assert_nonnull(strstr(first, "--createek"));
    g_assert_nonnull(strstr(first, "--vmid t:" UUID));
    g_assert_nonnull(strstr(first, "--pcr-banks sha1,sha256 --reconfigure"));
    g_assert_nonnull(strstr(first, "tpm/" UUID "/tpm2,mode=0600"));

    /* What it keeps is not made again. */
    testStartOK(test);
    vireoTpmStop(test->vm);
    second = testTakeCalls(test);
    g_assert_null(strstr(second, "--createek"));
    g_assert_nonnull(strstr(second, "--reconfigure"));
}

static void
testSetupFails(testTpm *test,
               gconstpointer backend G_GNUC_UNUSED)
{
    int fd = -1;

    testProgram(test, "swtpm_setup", "echo no key today; test $1 != --tpm2");
    g_assert_cmpint(vireoTpmStart(test->vm, &fd), ==, -1);
    g_assert_cmpint(fd, ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "no key today"));
    g_assert_false(testExists(test, "tpm/" UUID));
    vireoTpmStop(test->vm);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "no key today"));
}

static void
testMissing(testTpm *test,
            gconstpointer backend G_GNUC_UNUSED)
{
    g_autofree char *path = testPath(test, "swtpm_setup");
    virDomainCapsDeviceTPM caps = { 0 };
    int fd = -1;

    vireoTpmFillCapabilities(&caps);
    g_assert_cmpint(caps.supported, ==, VIR_TRISTATE_BOOL_YES);
    g_assert_cmpint(unlink(path), ==, 0);
    memset(&caps, 0, sizeof(caps));
    vireoTpmFillCapabilities(&caps);
    g_assert_cmpint(caps.supported, ==, VIR_TRISTATE_BOOL_NO);
    g_assert_cmpint(vireoTpmStart(test->vm, &fd), ==, -1);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "swtpm_setup"));
    g_assert_false(testExists(test, "tpm/" UUID));
}

/* What undefining leaves behind. */
static void
testForget(testTpm *test,
           gconstpointer backend)
{
    bool persistent = strstr(backend, "persistent_state") != NULL;
    const struct {
        unsigned int flags;
        bool stays;
    } cases[] = {
        { 0, persistent },
        { VIR_DOMAIN_UNDEFINE_NVRAM, persistent },
        { VIR_DOMAIN_UNDEFINE_TPM, false },
        { VIR_DOMAIN_UNDEFINE_KEEP_TPM, true },
    };
    g_autofree char *state = testPath(test, "tpm/" UUID "/tpm2");
    size_t i;

    g_assert_cmpint(vireoTpmCheckUndefine(VIR_DOMAIN_UNDEFINE_TPM | VIR_DOMAIN_UNDEFINE_KEEP_TPM), ==, -1);
    for (i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(g_mkdir_with_parents(state, 0700), ==, 0);
        g_assert_cmpint(vireoTpmCheckUndefine(cases[i].flags), ==, 0);
        vireoTpmNoteUndefine(test->vm, cases[i].flags);
        vireoTpmForget(test->vm);
        g_assert_cmpint(testExists(test, "tpm/" UUID), ==, cases[i].stays);
    }
    /* Defined again, it is as if nothing had been said. */
    vireoTpmNoteUndefine(test->vm, 0);
    vireoTpmForget(test->vm);
    g_assert_cmpint(testExists(test, "tpm/" UUID), ==, persistent);
}

static void
testSilence(void *opaque G_GNUC_UNUSED,
            virErrorPtr error G_GNUC_UNUSED)
{
}

int
main(int argc, char **argv)
{
    static const char plain[] = "<backend type='emulator'/>";
    static const char banks[] = "<backend type='emulator' version='2.0'>"
        "<active_pcr_banks><sha1/><sha256/></active_pcr_banks></backend>";
    static const char persistent[] = "<backend type='emulator' persistent_state='yes'/>";

    g_test_init(&argc, &argv, NULL);
    if (virErrorInitialize() < 0)
        return EXIT_FAILURE;
    virSetErrorFunc(NULL, testSilence);

    g_test_add("/driver-tpm/start", testTpm, banks, testSetUp, testStart, testTearDown);
    g_test_add("/driver-tpm/setup-fails", testTpm, plain, testSetUp, testSetupFails, testTearDown);
    g_test_add("/driver-tpm/missing", testTpm, plain, testSetUp, testMissing, testTearDown);
    g_test_add("/driver-tpm/forget", testTpm, plain, testSetUp, testForget, testTearDown);
    g_test_add("/driver-tpm/forget/persistent", testTpm, persistent, testSetUp, testForget,
               testTearDown);
    return g_test_run();
}
