/*
 * test-driver-blockdev.c: images as the storage daemon's nodes, and what that says to them
 *
 * The images are on servers that are not there: a daemon that has understood what it is told says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include "vircommand.h"
#include "virerror.h"

#include "vireo_blockdev.h"
#include "vireo_blockdev_network.h"
#include "vireo_domain.h"

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
    for (i = 0; i < G_N_ELEMENTS(testProtocols); i++) {
        g_autofree char *path = g_strdup_printf("/driver-blockdev/understood/%s", testProtocols[i].name);

        g_test_add_data_func(path, &testProtocols[i], testUnderstood);
    }
    ret = g_test_run();

    virObjectUnref(driver.xmlopt);
    vireoConfigFree(driver.config);
    return ret;
}
