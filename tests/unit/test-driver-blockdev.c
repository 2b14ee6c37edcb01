/*
 * test-driver-blockdev.c: images as the storage daemon's nodes, what that says to them, and images that
 * disks are about to go on in
 *
 * The images are on servers that are not there: a daemon that has understood what it is told says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include "vircommand.h"
#include "virerror.h"
#include "virfile.h"
#include "virxml.h"

#include "vireo_blockdev.h"
#include "vireo_blockdev_network.h"
#include "vireo_domain.h"
#include "vireo_overlay.h"

#define VIR_FROM_THIS VIR_FROM_NONE

static vireoDriver driver;

/* A disk whose <source> is @source, and what is beside it. */
static virDomainDef *
testParse(const char *source)
{
    g_autofree char *xml = g_strdup_printf("<domain type='kvm'><name>t</name><memory unit='MiB'>64</memory>"
                                           "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os><devices>"
                                           "<disk type='network'><driver type='raw' cache='unsafe'/>%s"
                                           "<target dev='vda' bus='virtio'/></disk></devices></domain>", source);

    virResetLastError();
    return virDomainDefParseString(xml, driver.xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);
}

typedef struct {
    const char *name;
    const char *source;
    const char *props;      /* what the daemon is told of where the image is, begins so */
    const char *says;       /* what it must answer */
} testProtocol;

#define SECRET(type) "<auth username='me'><secret type='" type "' uuid='c7a5fdbd-edaf-9455-926a-d65c16db1800'/></auth>"
#define NOBODY "<host name='127.0.0.1' port='1'/>"

static const testProtocol testProtocols[] = {
    { "nbd", "<source protocol='nbd' name='x'>" NOBODY "</source>",
      "{\"driver\":\"nbd\",\"server\":{\"type\":\"inet\",\"host\":\"127.0.0.1\",\"port\":\"1\"},\"export\":\"x\",",
      "Connection refused" },
    { "nbd-socket", "<source protocol='nbd'><host transport='unix' socket='/nonexistent/s'/></source>",
      "{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"/nonexistent/s\"},",
      "No such file or directory" },
    { "https", "<source protocol='https' name='/a.img' query='b=c'>" NOBODY "<ssl verify='no'/>"
      "<cookies><cookie name='one'>1</cookie><cookie name='two'>2</cookie></cookies>"
      "<readahead size='65536'/><timeout seconds='5'/></source>" SECRET("iscsi"),
      "{\"driver\":\"https\",\"url\":\"https://127.0.0.1:1/a.img?b=c\",\"readahead\":65536,\"timeout\":5,"
      "\"sslverify\":false,\"username\":\"me\",\"password-secret\":\"auth-1\",\"cookie-secret\":\"cookies-1\",",
      "Failed to connect to 127.0.0.1" },
    { "http-v6", "<source protocol='http' name='a.img'><host name='::1' port='1'/></source>",
      "{\"driver\":\"http\",\"url\":\"http://[::1]:1/a.img\",", "Failed to connect to ::1" },
    { "ftp", "<source protocol='ftp' name='/a.img'>" NOBODY "</source>" SECRET("iscsi"),
      "{\"driver\":\"ftp\",\"url\":\"ftp://127.0.0.1:1/a.img\",\"username\":\"me\",\"password-secret\":\"auth-1\",",
      "Failed to connect to 127.0.0.1" },
    { "iscsi", "<source protocol='iscsi' name='iqn.2013-07.com.example:iscsi/2'>" NOBODY
      "<initiator><iqn name='iqn.2020-01.org.vireo:me'/></initiator></source>" SECRET("iscsi"),
      "{\"driver\":\"iscsi\",\"transport\":\"tcp\",\"portal\":\"127.0.0.1:1\",\"target\":\"iqn.2013-07.com.example:iscsi\","
      "\"lun\":2,\"user\":\"me\",\"password-secret\":\"auth-1\",\"initiator-name\":\"iqn.2020-01.org.vireo:me\",",
      "Failed to connect to LUN" },
    { "nfs", "<source protocol='nfs' name='/export/a.img'><host name='127.0.0.1'/>"
      "<identity user='+7' group='+8'/></source>",
      "{\"driver\":\"nfs\",\"server\":{\"type\":\"inet\",\"host\":\"127.0.0.1\"},\"path\":\"/export/a.img\","
      "\"user\":7,\"group\":8,", "Failed to mount nfs share" },
    { "gluster", "<source protocol='gluster' name='volume/a.img'>" NOBODY "</source>",
      "{\"driver\":\"gluster\",\"volume\":\"volume\",\"path\":\"a.img\","
      "\"server\":[{\"type\":\"inet\",\"host\":\"127.0.0.1\",\"port\":\"1\"}],", "gluster" },
    { "rbd", "<source protocol='rbd' name='pool/image'>" NOBODY "<config file='/nonexistent/c'/></source>"
      SECRET("ceph"),
      "{\"driver\":\"rbd\",\"pool\":\"pool\",\"image\":\"image\",\"conf\":\"/nonexistent/c\","
      "\"server\":[{\"host\":\"127.0.0.1\",\"port\":\"1\"}],\"user\":\"me\","
      "\"auth-client-required\":[\"cephx\",\"none\"],\"key-secret\":\"auth-1\",", "error reading conf file /nonexistent/c" },
};

static void
testUnderstood(gconstpointer opaque)
{
    const testProtocol *protocol = opaque;
    g_autoptr(virDomainDef) def = testParse(protocol->source);
    g_autoptr(virCommand) cmd = virCommandNew("qemu-storage-daemon");
    g_autoptr(virJSONValue) props = NULL;
    g_autofree char *text = NULL;
    g_autofree char *said = NULL;
    int status;

    if (!def)
        g_error("%s: %s", protocol->name, virGetLastErrorMessage());
    def->disks[0]->src->id = 1;
    g_assert_cmpint(vireoBlockdevCheck(def->disks[0]->src, def->disks[0]), ==, 0);
    props = vireoBlockdevStorageProps(def->disks[0], def->disks[0]->src);
    g_assert_nonnull(props);
    text = virJSONValueToString(props, false);
    if (!g_str_has_prefix(text, protocol->props))
        g_error("%s: %s", protocol->name, text);
    g_assert_nonnull(strstr(text, "\"no-flush\":true"));

    virCommandAddArgList(cmd, "--object", "secret,id=auth-1,data=aGlkZGVu,format=base64",
                         "--object", "secret,id=cookies-1,data=crumbs", "--blockdev", text, NULL);
    virCommandAddEnvPass(cmd, "PATH");
    virCommandSetErrorBuffer(cmd, &said);
    g_assert_cmpint(virCommandRun(cmd, &status), ==, 0);
    g_assert_cmpint(status, !=, 0);
    if (!strstr(said, protocol->says))
        g_error("%s: the daemon says: %s", protocol->name, said);
}

static void
testCookies(void)
{
    g_autoptr(virDomainDef) def = testParse(testProtocols[2].source);
    g_autofree char *cookies = NULL;

    g_assert_nonnull(def);
    cookies = vireoBlockdevNetworkCookies(def->disks[0]->src);
    g_assert_cmpstr(cookies, ==, "one=1; two=2");
}

/* Whether there is a file @name in @dir; makes it first if @make. */
static bool
testFile(const char *dir,
         const char *name,
         bool make)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    if (make)
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
    return virFileExists(path);
}

/* A running domain with a raw disk vda and a served one, vdb, whose images are in @dir. */
static virDomainObj *
testDomain(const char *dir)
{
    g_autofree char *xml = g_strdup_printf("<domain type='kvm'><name>t</name><memory unit='MiB'>64</memory>"
                                           "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os><devices>"
                                           "<disk type='file'><driver type='raw'/><source file='%s/a'/>"
                                           "<target dev='vda'/></disk>"
                                           "<disk type='file'><driver type='qcow2'/><source file='%s/b'/>"
                                           "<target dev='vdb'/></disk></devices></domain>", dir, dir);
    virDomainObj *vm = virDomainObjNew(driver.xmlopt);
    vireoDomainObjPrivate *priv = vm->privateData;

    vm->def = virDomainDefParseString(xml, driver.xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);
    g_assert_nonnull(vm->def);
    vm->def->disks[1]->src->id = priv->lastImage = 1;
    vm->def->disks[1]->src->backingStore = virStorageSourceNew();
    return vm;
}

static void
testIntend(virDomainObj *vm,
           size_t disk,
           const char *dir,
           const char *name,
           bool made)
{
    g_autoptr(virStorageSource) image = virStorageSourceNew();

    image->type = VIR_STORAGE_TYPE_FILE;
    image->path = g_build_filename(dir, name, NULL);
    vireoOverlayIntend(vm, vm->def->disks[disk], image, made);
}

/* The status, as another daemon reads it, of a domain that the first left in the middle of a snapshot. */
static void
testSucceed(virDomainObj *vm,
            virDomainObj *successor)
{
    g_auto(virBuffer) buf = VIR_BUFFER_INITIALIZER;
    g_autoptr(xmlDoc) document = NULL;
    g_autoptr(xmlXPathContext) context = NULL;
    g_autofree char *status = NULL;

    virBufferAddLit(&buf, "<status>");
    vireoOverlaysFormat(&buf, vm->privateData);
    virBufferAddLit(&buf, "</status>");
    status = virBufferContentAndReset(&buf);
    document = virXMLParseStringCtxt(status, "status", &context);
    g_assert_nonnull(document);
    g_assert_cmpint(vireoOverlaysParse(context, successor->privateData), ==, 0);
}

/* New images that did not become the disks' are removed, but for those that were there before. */
static void
testOverlaysSettled(void)
{
    g_autofree char *dir = g_dir_make_tmp("vireo-overlay-XXXXXX", NULL);
    virDomainObj *vm = testDomain(dir);
    virDomainObj *successor = testDomain(dir);
    vireoDomainObjPrivate *priv = successor->privateData;

    testIntend(vm, 0, dir, "new", true);
    testIntend(vm, 0, dir, "not yet", true);
    testIntend(vm, 1, dir, "found", false);
    testIntend(vm, 1, dir, "b", true);
    testFile(dir, "new", true);
    testFile(dir, "found", true);
    testFile(dir, "b", true);

    testSucceed(vm, successor);
    g_assert_cmpuint(priv->overlays->len, ==, 4);
    g_assert_false(priv->overlaysSwitching);
    vireoOverlaysSettle(successor);
    g_assert_false(testFile(dir, "new", false));
    g_assert_true(testFile(dir, "found", false));
    g_assert_true(testFile(dir, "b", false));
    g_assert_cmpuint(priv->overlays->len, ==, 0);

    virObjectUnref(vm);
    virObjectUnref(successor);
    g_assert_cmpint(virFileDeleteTree(dir), ==, 0);
}

/* Both daemons have ended after the switch: the disks are in the new images. */
static void
testOverlaysAdopted(void)
{
    g_autofree char *dir = g_dir_make_tmp("vireo-overlay-XXXXXX", NULL);
    virDomainObj *vm = testDomain(dir);
    virDomainObj *successor = testDomain(dir);
    vireoDomainObjPrivate *priv = vm->privateData;
    virDomainDef *def = successor->def;

    testIntend(vm, 0, dir, "new & old", true);
    testIntend(vm, 1, dir, "other", true);
    testFile(dir, "new & old", true);
    testFile(dir, "other", true);
    priv->overlaysSwitching = true;

    testSucceed(vm, successor);
    priv = successor->privateData;
    g_assert_true(priv->overlaysSwitching);
    vireoOverlaysAdopt(successor);
    g_assert_true(g_str_has_suffix(def->disks[0]->src->path, "/new & old"));
    g_assert_cmpint(def->disks[0]->src->format, ==, VIR_STORAGE_FILE_QCOW2);
    g_assert_true(g_str_has_suffix(def->disks[0]->src->backingStore->path, "/a"));
    g_assert_cmpint(def->disks[0]->src->backingStore->format, ==, VIR_STORAGE_FILE_RAW);
    g_assert_false(virStorageSourceHasBacking(def->disks[0]->src->backingStore));
    g_assert_true(g_str_has_suffix(def->disks[1]->src->path, "/other"));
    g_assert_cmpuint(def->disks[1]->src->backingStore->id, ==, 1);
    g_assert_cmpuint(priv->lastImage, ==, 4);
    vireoOverlaysSettle(successor);
    g_assert_true(testFile(dir, "new & old", false) && testFile(dir, "other", false));

    virObjectUnref(vm);
    virObjectUnref(successor);
    g_assert_cmpint(virFileDeleteTree(dir), ==, 0);
}

static void
testSilence(void *opaque G_GNUC_UNUSED,
            virErrorPtr error G_GNUC_UNUSED)
{
}

int
main(int argc, char **argv)
{
    size_t i;
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (virErrorInitialize() < 0)
        return EXIT_FAILURE;
    virSetErrorFunc(NULL, testSilence);
    driver.config = vireoConfigNew(false);
    driver.xmlopt = vireoDomainXMLOptionNew(&driver);

    g_test_add_func("/driver-blockdev/cookies", testCookies);
    g_test_add_func("/driver-blockdev/overlays/settled", testOverlaysSettled);
    g_test_add_func("/driver-blockdev/overlays/adopted", testOverlaysAdopted);
    for (i = 0; i < G_N_ELEMENTS(testProtocols); i++) {
        g_autofree char *path = g_strdup_printf("/driver-blockdev/understood/%s", testProtocols[i].name);

        g_test_add_data_func(path, &testProtocols[i], testUnderstood);
    }
    ret = g_test_run();

    virObjectUnref(driver.xmlopt);
    vireoConfigFree(driver.config);
    return ret;
}
