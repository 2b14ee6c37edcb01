/*
 * test-agent.c: the guest agent's client, with an agent that does as a script says
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <config.h>

#include <sys/socket.h>
#include <unistd.h>

#include "viralloc.h"
#include "virbitmap.h"
#include "virerror.h"
#include "virfile.h"

#include "vireo_agent.h"
#include "vireo_conf.h"
#include "vireo_domain.h"
#include "vireo_guest_info.h"

/* What the agent does, other than answer guest-sync-delimited */
typedef struct {
    const char *beforeSync;    /* it says, before it answers that */
    const char *reply;         /* to a command; NULL: none */
    size_t flood;              /* bytes of a reply without an end */
    bool deaf;                 /* it answers nothing */
    bool hangUp;               /* at a command */
} Script;

typedef struct {
    Script script;
    vireoAgent *agent;
    GThread *thread;
    int fd;
    GString *heard;            /* the commands; the thread's until it has ended */
} Fixture;

static bool
fakeSend(int fd,
         const char *bytes,
         size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        n -= sent;
    }

    return true;
}

static bool
fakeAnswerSync(Fixture *fixture,
               virJSONValue *command)
{
    const Script *script = &fixture->script;
    virJSONValue *args = virJSONValueObjectGetObject(command, "arguments");
    g_autofree char *answer = NULL;
    unsigned int number;

    g_assert_nonnull(args);
    g_assert_cmpint(virJSONValueObjectGetNumberUint(args, "id", &number), ==, 0);
    answer = g_strdup_printf("\xFF{\"return\": %u}\n", number);

    return (!script->beforeSync ||
            fakeSend(fixture->fd, script->beforeSync, strlen(script->beforeSync))) &&
        fakeSend(fixture->fd, answer, strlen(answer));
}

static bool
fakeAnswer(Fixture *fixture,
           const char *line)
{
    static const char garbled[] =
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n";
    const Script *script = &fixture->script;
    g_autoptr(virJSONValue) command = virJSONValueFromString(line + (line[0] == '\xFF'));
    g_autofree char *flood = NULL;
    const char *name;

    if (line[0] == '\xFF' && !script->deaf &&
        !fakeSend(fixture->fd, garbled, strlen(garbled)))
        return false;
    g_assert_nonnull(command);
    g_assert_nonnull((name = virJSONValueObjectGetString(command, "execute")));
    if (script->deaf)
        return true;
    if (STREQ(name, "guest-sync-delimited"))
        return fakeAnswerSync(fixture, command);

    g_string_append_printf(fixture->heard, "%s\n", line);
    if (script->hangUp)
        return false;
    if (script->flood > 0) {
        flood = g_strnfill(script->flood, 'x');
        return fakeSend(fixture->fd, flood, script->flood);
    }

    return !script->reply || fakeSend(fixture->fd, script->reply, strlen(script->reply));
}

static void *
fakeAgent(void *opaque)
{
    Fixture *fixture = opaque;
    g_autoptr(GString) line = g_string_new(NULL);
    char c;

    while (read(fixture->fd, &c, 1) == 1) {
        if (c != '\n') {
            g_string_append_c(line, c);
            continue;
        }
        if (!fakeAnswer(fixture, line->str))
            break;
        g_string_truncate(line, 0);
    }
    shutdown(fixture->fd, SHUT_RDWR);

    return NULL;
}

static void
setUp(Fixture *fixture,
      const void *data)
{
    int fds[2];

    fixture->script = *(const Script *)data;
    fixture->heard = g_string_new(NULL);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    fixture->fd = fds[1];
    g_assert_nonnull((fixture->agent = vireoAgentNewFD(fds[0])));
    fixture->thread = g_thread_new("agent", fakeAgent, fixture);
    virResetLastError();
}

/* What commands it was sent. */
static const char *
endAgent(Fixture *fixture)
{
    if (fixture->thread) {
        g_clear_pointer(&fixture->agent, virObjectUnref);
        g_thread_join(g_steal_pointer(&fixture->thread));
    }

    return fixture->heard->str;
}

static void
tearDown(Fixture *fixture,
         const void *data G_GNUC_UNUSED)
{
    endAgent(fixture);
    VIR_FORCE_CLOSE(fixture->fd);
    g_string_free(fixture->heard, TRUE);
}

static void
assertError(int code,
            const char *text)
{
    g_assert_cmpint(virGetLastErrorCode(), ==, code);
    g_assert_nonnull(strstr(virGetLastErrorMessage(), text));
    virResetLastError();
}

static const Script scriptNumber = { .reply = "{\"return\": 42}\n" };

static void
testCommand(Fixture *fixture,
            const void *data G_GNUC_UNUSED)
{
    g_autoptr(virJSONValue) args = NULL;
    g_autoptr(virJSONValue) result = NULL;
    g_autofree char *reply = NULL;
    int number;

    g_assert_cmpint(virJSONValueObjectAdd(&args, "s:key", "value", NULL), ==, 1);
    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-a", &args, 5, &result), ==, 0);
    g_assert_null(args);
    g_assert_cmpint(virJSONValueGetNumberInt(result, &number), ==, 0);
    g_assert_cmpint(number, ==, 42);

    reply = vireoAgentCommandRaw(fixture->agent, "{\"execute\":\n\"guest-b\"}", 5);
    g_assert_cmpstr(reply, ==, "{\"return\": 42}");
    g_assert_null(vireoAgentCommandRaw(fixture->agent, "[1]", 5));
    assertError(VIR_ERR_INVALID_ARG, "JSON object");

    g_assert_cmpstr(endAgent(fixture), ==,
                    "{\"execute\":\"guest-a\",\"arguments\":{\"key\":\"value\"}}\n"
                    "{\"execute\":\"guest-b\"}\n");
}

/* Replies that came too late for whoever asked, halves of some, and what is no JSON. */
static const Script scriptLate = {
    .beforeSync = "{\"return\": 1}\n{\"return\"" "\xFF{\"return\": 3}\nnonsense\n\xFF\xFF{\"ret",
    .reply = "{\"return\": 42}\n",
};

static const Script scriptRefuses = {
    .reply = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}\n",
};

static void
testRefusal(Fixture *fixture,
            const void *data G_GNUC_UNUSED)
{
    g_autofree char *reply = NULL;

    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-a", NULL, 5, NULL), ==,
                    VIREO_AGENT_REFUSED);
    assertError(VIR_ERR_OPERATION_FAILED, "refused 'guest-a': no such thing");
    g_assert_cmpint(vireoAgentShutdown(fixture->agent, "halt", 5), ==, VIREO_AGENT_REFUSED);
    assertError(VIR_ERR_OPERATION_FAILED, "refused 'guest-shutdown': no such thing");
    /* A user who speaks to the agent himself sees what it says. */
    reply = vireoAgentCommandRaw(fixture->agent, "{\"execute\":\"guest-b\"}", 5);
    g_assert_nonnull(strstr(reply, "no such thing"));
}

static const Script scriptUnknown = {
    .reply = "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"what?\"}}\n",
};

static void
testUnknown(Fixture *fixture,
            const void *data G_GNUC_UNUSED)
{
    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-a", NULL, 5, NULL), ==,
                    VIREO_AGENT_UNKNOWN);
    assertError(VIR_ERR_OPERATION_UNSUPPORTED, "no command 'guest-a'");
}

static const Script scriptSilent = { 0 };
static const Script scriptDeaf = { .deaf = true };

static void
testSilent(Fixture *fixture,
           const void *data)
{
    const Script *script = data;
    gint64 start = g_get_monotonic_time();

    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-a", NULL, 1, NULL), ==, -1);
    assertError(VIR_ERR_AGENT_UNRESPONSIVE, "does not answer in time");
    g_assert_cmpint(g_get_monotonic_time() - start, >=, G_USEC_PER_SEC);
    /* An agent that does not even answer that is not told to do anything. */
    g_assert_cmpstr(endAgent(fixture), ==, script->deaf ? "" : "{\"execute\":\"guest-a\"}\n");
}

static const Script scriptFlood = { .flood = 2 * VIREO_AGENT_REPLY_MAX };

static void
testFlood(Fixture *fixture,
          const void *data G_GNUC_UNUSED)
{
    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-a", NULL, 60, NULL), ==, -1);
    assertError(VIR_ERR_INTERNAL_ERROR, "longer than");
}

static const Script scriptHangUp = { .hangUp = true };

static void
testHangUp(Fixture *fixture,
           const void *data G_GNUC_UNUSED)
{
    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-a", NULL,
                                      VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, NULL), ==, -1);
    assertError(VIR_ERR_AGENT_UNRESPONSIVE, "not there any more");
}

/* That is what it was asked for. */
static void
testShutdown(Fixture *fixture,
             const void *data G_GNUC_UNUSED)
{
    g_assert_cmpint(vireoAgentShutdown(fixture->agent, "powerdown", 5), ==, 0);
    g_assert_cmpstr(endAgent(fixture), ==,
                    "{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"powerdown\"}}\n");
}

static void *
closeSoon(void *opaque)
{
    g_usleep(200 * 1000);
    vireoAgentClose(opaque);
    return NULL;
}

static void
testClose(Fixture *fixture,
          const void *data G_GNUC_UNUSED)
{
    GThread *thread = g_thread_new("close", closeSoon, fixture->agent);

    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-a", NULL,
                                      VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, NULL), ==, -1);
    assertError(VIR_ERR_AGENT_UNRESPONSIVE, "not there any more");
    g_assert_cmpint(vireoAgentCommand(fixture->agent, "guest-b", NULL, 5, NULL), ==, -1);
    assertError(VIR_ERR_AGENT_UNRESPONSIVE, "not there any more");
    g_thread_join(thread);
}

static void
testMalformed(void)
{
    static const char *const texts[] = {
        "", "x", "1", "[]", "{}", "{\"return\"", "{\"error\": 1}", "{\"error\": {}}",
        "{\"error\": {\"desc\": 3}}", "{\"return\": \"\\",
    };
    g_autofree char *deep = g_strnfill(100000, '[');
    g_autofree char *wide = g_strnfill(2 * VIREO_AGENT_REPLY_MAX_VALUES, ',');
    g_autoptr(virJSONValue) value = NULL;
    g_autofree char *refusal = NULL;
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_assert_cmpint(vireoAgentParseReply(texts[i], &value, &refusal), ==, -1);
        assertError(VIR_ERR_INTERNAL_ERROR, "as its protocol says");
    }
    g_assert_cmpint(vireoAgentParseReply(deep, &value, &refusal), ==, -1);
    assertError(VIR_ERR_INTERNAL_ERROR, "nested deeper");
    g_assert_cmpint(vireoAgentParseReply(wide, &value, &refusal), ==, -1);
    assertError(VIR_ERR_INTERNAL_ERROR, "values");
    /* Brackets in a string are none. */
    g_assert_cmpint(vireoAgentParseReply("{\"return\": \"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}",
                                         &value, &refusal), ==, 0);
    g_assert_cmpuint(strlen(virJSONValueGetString(value)), ==, 38);
}

static virDomainDef *
testDomain(virDomainXMLOption *xmlopt)
{
    const char *xml = "<domain type='kvm'><name>t</name><memory unit='MiB'>64</memory>"
        "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os><devices>"
        "<disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/>"
        "<address type='pci' domain='0' bus='3' slot='0' function='0'/></disk>"
        "<disk type='file'><driver type='raw'/><source file='/b'/><target dev='vdb' bus='virtio'/>"
        "<serial>second</serial></disk></devices></domain>";
    virDomainDef *def = virDomainDefParseString(xml, xmlopt, NULL, VIR_DOMAIN_DEF_PARSE_INACTIVE);

    g_assert_nonnull(def);
    return def;
}

#define FS "[{\"name\":\"vda1\",\"mountpoint\":\"/\",\"type\":\"ext4\",\"total-bytes\":100,\"used-bytes\":50," \
    "\"disk\":[{\"bus-type\":\"virtio\",\"bus\":0,\"unit\":0,\"target\":0,\"dev\":\"/dev/vda1\"," \
    "\"pci-controller\":{\"domain\":0,\"bus\":3,\"slot\":0,\"function\":0}}," \
    "{\"serial\":\"second\",\"bus\":0,\"unit\":0,\"target\":0}," \
    "{\"serial\":\"third\",\"bus\":0,\"unit\":0,\"target\":0}]}]"

static void
testFileSystems(const void *xmlopt)
{
    g_autoptr(virDomainDef) def = testDomain((virDomainXMLOption *)xmlopt);
    g_autoptr(virJSONValue) reply = virJSONValueFromString(FS);
    g_autoptr(virJSONValue) wrong = virJSONValueFromString("[{\"name\":\"vda1\",\"type\":\"ext4\"}]");
    virDomainFSInfoPtr *info = NULL;

    g_assert_cmpint(vireoGuestInfoFS(reply, def, &info), ==, 1);
    g_assert_cmpstr(info[0]->mountpoint, ==, "/");
    g_assert_cmpstr(info[0]->fstype, ==, "ext4");
    g_assert_cmpuint(info[0]->ndevAlias, ==, 2);
    g_assert_cmpstr(info[0]->devAlias[0], ==, "vda");
    g_assert_cmpstr(info[0]->devAlias[1], ==, "vdb");
    virDomainFSInfoFree(info[0]);
    g_free(info);

    g_assert_cmpint(vireoGuestInfoFS(wrong, def, &info), ==, -1);
    assertError(VIR_ERR_INTERNAL_ERROR, "list of file systems");
}

static void
testInterfaces(void)
{
    g_autoptr(virJSONValue) reply = virJSONValueFromString(
        "[{\"name\":\"eth0\",\"hardware-address\":\"52:54:00:00:00:01\",\"ip-addresses\":["
        "{\"ip-address-type\":\"ipv4\",\"ip-address\":\"192.0.2.1\",\"prefix\":24}]},"
        "{\"name\":\"eth0:1\",\"ip-addresses\":["
        "{\"ip-address-type\":\"ipv6\",\"ip-address\":\"2001:db8::1\",\"prefix\":64}]},"
        "{\"name\":\"eth1\"}]");
    g_autoptr(virJSONValue) wrong = virJSONValueFromString(
        "[{\"name\":\"eth0\",\"ip-addresses\":[{\"ip-address-type\":\"ipv4\",\"ip-address\":\"x\",\"prefix\":1}]}]");
    virDomainInterfacePtr *ifaces = NULL;
    size_t i;

    g_assert_cmpint(vireoGuestInfoInterfaces(reply, &ifaces), ==, 2);
    g_assert_cmpstr(ifaces[0]->hwaddr, ==, "52:54:00:00:00:01");
    g_assert_cmpuint(ifaces[0]->naddrs, ==, 2);
    g_assert_cmpint(ifaces[0]->addrs[1].type, ==, VIR_IP_ADDR_TYPE_IPV6);
    g_assert_cmpstr(ifaces[0]->addrs[1].addr, ==, "2001:db8::1");
    g_assert_cmpuint(ifaces[1]->naddrs, ==, 0);
    for (i = 0; i < 2; i++)
        virDomainInterfaceFree(ifaces[i]);
    g_free(ifaces);

    g_assert_cmpint(vireoGuestInfoInterfaces(wrong, &ifaces), ==, -1);
    assertError(VIR_ERR_INTERNAL_ERROR, "list of addresses");
}

/* Each kind with something sensible, and with everything else. */
static void
testGuestInfo(const void *xmlopt)
{
    static const struct {
        unsigned int type;
        const char *json;
        size_t n;
    } cases[] = {
        { VIR_DOMAIN_GUEST_INFO_USERS, "[{\"user\":\"root\",\"login-time\":1600000000.5}]", 3 },
        { VIR_DOMAIN_GUEST_INFO_USERS, "[{\"user\":\"root\",\"login-time\":-1}]", 0 },
        { VIR_DOMAIN_GUEST_INFO_OS, "{\"id\":\"debian\",\"kernel-release\":\"6.1\"}", 2 },
        { VIR_DOMAIN_GUEST_INFO_TIMEZONE, "{\"zone\":\"CET\",\"offset\":3600}", 2 },
        { VIR_DOMAIN_GUEST_INFO_TIMEZONE, "{\"zone\":\"CET\"}", 0 },
        { VIR_DOMAIN_GUEST_INFO_HOSTNAME, "{\"host-name\":\"guest\"}", 1 },
        { VIR_DOMAIN_GUEST_INFO_HOSTNAME, "\"guest\"", 0 },
        { VIR_DOMAIN_GUEST_INFO_FILESYSTEM, FS, 12 },
        { VIR_DOMAIN_GUEST_INFO_DISKS, "[{\"name\":\"/dev/vda\",\"partition\":false,"
          "\"dependencies\":[\"/dev/x\"],\"address\":{\"serial\":\"second\"}}]", 7 },
        { VIR_DOMAIN_GUEST_INFO_DISKS, "[{\"name\":\"/dev/vda\"}]", 0 },
        { VIR_DOMAIN_GUEST_INFO_INTERFACES, "[{\"name\":\"lo\"}]", 3 },
        { VIR_DOMAIN_GUEST_INFO_INTERFACES, "[1]", 0 },
    };
    g_autoptr(virDomainDef) def = testDomain((virDomainXMLOption *)xmlopt);
    const vireoGuestInfoKind *kind;
    size_t i;

    for (kind = vireoGuestInfoKinds; kind->type != 0; kind++) {
        for (i = 0; i < G_N_ELEMENTS(cases); i++) {
            g_autoptr(virTypedParamList) list = g_new0(virTypedParamList, 1);
            g_autoptr(virJSONValue) reply = virJSONValueFromString(cases[i].json);
            int rc = kind->add(list, reply, def);

            if (kind->type != cases[i].type)
                continue;
            g_assert_cmpint(rc, ==, cases[i].n > 0 ? 0 : -1);
            if (rc == 0)
                g_assert_cmpuint(list->npar, ==, cases[i].n);
        }
    }
}

static void
testVcpus(void)
{
    g_autoptr(virJSONValue) reply = virJSONValueFromString(
        "[{\"logical-id\":0,\"online\":true,\"can-offline\":false},"
        "{\"logical-id\":1,\"online\":false,\"can-offline\":true}]");
    g_autoptr(virJSONValue) wrong = virJSONValueFromString("[{\"logical-id\":4294967295,\"online\":true}]");
    g_autoptr(virBitmap) vcpus = NULL;
    g_autoptr(virBitmap) online = NULL;
    g_autoptr(virBitmap) offlinable = NULL;

    g_assert_cmpint(vireoGuestInfoVcpus(wrong, &vcpus, &online, &offlinable), ==, -1);
    g_assert_cmpint(vireoGuestInfoVcpus(reply, &vcpus, &online, &offlinable), ==, 0);
    g_assert_cmpuint(virBitmapCountBits(vcpus), ==, 2);
    g_assert_true(virBitmapIsBitSet(online, 0) && !virBitmapIsBitSet(online, 1));
    g_assert_true(virBitmapIsBitSet(offlinable, 1) && !virBitmapIsBitSet(offlinable, 0));
}

#define ADD(name, script, func) \
    g_test_add("/agent/" name, Fixture, script, setUp, func, tearDown)

static void
testSilence(void *opaque G_GNUC_UNUSED,
            virErrorPtr error G_GNUC_UNUSED)
{
}

int
main(int argc,
     char **argv)
{
    vireoDriver driver = { .config = vireoConfigNew(true) };
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (virErrorInitialize() < 0)
        return EXIT_FAILURE;
    virSetErrorFunc(NULL, testSilence);
    driver.xmlopt = vireoDomainXMLOptionNew(&driver);

    ADD("command", &scriptNumber, testCommand);
    ADD("late-replies", &scriptLate, testCommand);
    ADD("refusal", &scriptRefuses, testRefusal);
    ADD("unknown-command", &scriptUnknown, testUnknown);
    ADD("silent", &scriptSilent, testSilent);
    ADD("deaf", &scriptDeaf, testSilent);
    ADD("flood", &scriptFlood, testFlood);
    ADD("hang-up", &scriptHangUp, testHangUp);
    ADD("shutdown/answered", &scriptSilent, testShutdown);
    ADD("shutdown/gone", &scriptHangUp, testShutdown);
    ADD("close", &scriptSilent, testClose);
    g_test_add_func("/agent/malformed", testMalformed);
    g_test_add_data_func("/agent/file-systems", driver.xmlopt, testFileSystems);
    g_test_add_func("/agent/interfaces", testInterfaces);
    g_test_add_data_func("/agent/guest-info", driver.xmlopt, testGuestInfo);
    g_test_add_func("/agent/vcpus", testVcpus);
    ret = g_test_run();

    virObjectUnref(driver.xmlopt);
    vireoConfigFree(driver.config);
    return ret;
}
