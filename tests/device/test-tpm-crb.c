/*
 * test-tpm-crb.c: the TPM as a guest drives it, in front of swtpm as it is and as it must not be
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qmp/qmp_event.h"
#include "tests/device/fake_machine.h"
#include "tests/device/fake_swtpm.h"
#include "vmm/base/json.h"
#include "vmm/chipset/chipset.h"
#include "vmm/tpm/tpm.h"

#define BASE	   UINT64_C(0xfed40000)
#define BUFFER	   (BASE + 0x80)
#define BUFFER_MAX 0xf80u
#define PRESENCE   UINT64_C(0xfed45000)

#define LOC_STATE 0x00
#define LOC_CTRL  0x08
#define LOC_STS	  0x0c
#define INTERFACE 0x30
#define CTRL_REQ  0x40
#define CTRL_STS  0x44
#define CANCEL	  0x48
#define START	  0x4c
#define CMD_SIZE  0x58
#define CMD_LOW	  0x5c
#define CMD_HIGH  0x60
#define RSP_SIZE  0x64
#define RSP_LOW	  0x68
#define STS_FATAL 0x1
#define STS_IDLE  0x2
#define PATIENCE  (10 * G_TIME_SPAN_SECOND)
/* For tests of what takes too long, and of what must not be taken for it. */
#define LIMIT_MS      200u
#define LONG_LIMIT_MS 20000u

/* Two commands: TPM2_Startup(CLEAR), TPM2_GetRandom(16). */
static const uint8_t startup[] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
static const uint8_t get_random[] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 16 };

typedef struct Fixture {
	FakeMachine *fake;
	IoLoop *loop;
	FakeSwtpm *swtpm;
	Chardevs *chardevs;
	Tpms *tpms;
	Device *device;
	QmpEventSink sink;
	gint n_events; /* atomic */
} Fixture;

static void note_event(void *opaque, const char *name, json_object *data)
{
	Fixture *fixture = opaque;

	g_assert_cmpstr(name, ==, "X_VIREO_TPM_FAILED");
	g_assert_cmpstr(json_object_get_string(json_object_object_get(data, "id")), ==, "t");
	json_object_put(data);
	g_atomic_int_inc(&fixture->n_events);
}

static bool add_tpm(Fixture *fixture, const char *type, const char *id, const char *chardev,
		    GError **error)
{
	g_autoptr(JsonObject) options = json_object_new_object();

	json_object_object_add(options, "type", json_object_new_string(type));
	if (id)
		json_object_object_add(options, "id", json_object_new_string(id));
	if (chardev)
		json_object_object_add(options, "chardev", json_object_new_string(chardev));
	return tpms_add(fixture->tpms, options, error);
}

static void add_chardev(Fixture *fixture, const char *text)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(ChardevConfig) config = chardev_config_parse(text, &error);

	g_assert_no_error(error);
	chardevs_add(fixture->chardevs, config, &error);
	g_assert_no_error(error);
}

/* Everything but the device, with the control channel that @chardev (text of -chardev) describes.
 */
static void set_up_machine(Fixture *fixture, const char *chardev, unsigned limit_ms)
{
	const TpmLimits limits = { .control_ms = limit_ms, .command_ms = limit_ms };
	g_autoptr(GError) error = NULL;

	fixture->fake = fake_machine_new(1u << 20);
	fixture->loop = io_loop_new("IO", NULL, NULL, &error);
	g_assert_no_error(error);
	fake_machine_set_io_loop(fixture->fake, NULL, fixture->loop);
	fixture->sink = (QmpEventSink){ .emit = note_event, .opaque = fixture };
	fixture->fake->services.events = &fixture->sink;
	fixture->chardevs = chardevs_new(fixture->fake->services.main_context);
	fixture->tpms = tpms_new(fixture->chardevs, &limits);
	add_chardev(fixture, chardev);
	add_tpm(fixture, "emulator", "t", "c", &error);
	g_assert_no_error(error);
	fake_machine_set_tpm(fixture->fake, "t", tpms_find(fixture->tpms, "t"));
}

/* @data: the time limit in milliseconds. */
static void set_up_swtpm(Fixture *fixture, gconstpointer data)
{
	g_autofree char *chardev = NULL;
	int fd;

	fixture->swtpm = fake_swtpm_new(&fd);
	chardev = g_strdup_printf("socket,id=c,fd=%d", fd);
	set_up_machine(fixture, chardev, GPOINTER_TO_UINT(data));
}

static void set_up(Fixture *fixture, gconstpointer data)
{
	set_up_swtpm(fixture, data);
	fixture->device = fake_machine_add(fixture->fake, &tpm_crb_type, "tpmdev=t");
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	if (!fixture->fake)
		return;
	if (fixture->device)
		fake_machine_remove(fixture->fake, fixture->device);
	io_loop_free(fixture->loop);
	tpms_free(fixture->tpms);
	chardevs_free(fixture->chardevs);
	fake_machine_free(fixture->fake);
	if (fixture->swtpm)
		fake_swtpm_free(fixture->swtpm);
}

static uint32_t get(Fixture *fixture, unsigned offset)
{
	return (uint32_t)fake_read(fixture->fake, BASE + offset, 4);
}

static void put(Fixture *fixture, unsigned offset, uint32_t value)
{
	fake_write(fixture->fake, BASE + offset, value, 4);
}

static void make_ready(Fixture *fixture)
{
	put(fixture, LOC_CTRL, 1);
	put(fixture, CTRL_REQ, 1);
}

static void write_buffer(Fixture *fixture, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		fake_write(fixture->fake, BUFFER + i, bytes[i], 1);
}

static void begin(Fixture *fixture, const uint8_t *command, size_t size)
{
	make_ready(fixture);
	write_buffer(fixture, command, size);
	put(fixture, START, 1);
}

static void await(Fixture *fixture)
{
	gint64 end = g_get_monotonic_time() + PATIENCE;

	while (get(fixture, START) & 1) {
		g_assert_cmpint(g_get_monotonic_time(), <, end);
		g_usleep(500);
	}
}

/* The response code, after the command. */
static uint32_t run(Fixture *fixture, const uint8_t *command, size_t size)
{
	begin(fixture, command, size);
	await(fixture);
	return GUINT32_FROM_BE((uint32_t)fake_read(fixture->fake, BUFFER + 6, 4));
}

static void assert_fatal(Fixture *fixture)
{
	gint64 end = g_get_monotonic_time() + PATIENCE;

	while (!(get(fixture, CTRL_STS) & STS_FATAL) || !g_atomic_int_get(&fixture->n_events)) {
		g_assert_cmpint(g_get_monotonic_time(), <, end);
		g_usleep(500);
	}
	/* Whatever comes is answered, at once, and so it is after a reset. */
	for (unsigned i = 0; i < 2; i++) {
		g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, TPM_RC_FAILURE);
		g_assert_true(get(fixture, CTRL_STS) & STS_FATAL);
		tpm_crb_type.reset(fixture->device);
		g_assert_true(get(fixture, CTRL_STS) & STS_FATAL);
	}
	g_assert_cmpint(g_atomic_int_get(&fixture->n_events), ==, 1);
}

static void test_registers(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint32_t argument;

	/* PTP table 25, as a driver looks at it. */
	g_assert_cmphex(get(fixture, INTERFACE), ==, 0x25811);
	g_assert_cmphex(get(fixture, LOC_STATE), ==, 0x81);
	g_assert_cmphex(get(fixture, LOC_STS), ==, 0);
	g_assert_cmphex(get(fixture, CTRL_STS), ==, STS_IDLE);
	g_assert_cmphex(get(fixture, CMD_SIZE), ==, BUFFER_MAX);
	g_assert_cmphex(get(fixture, RSP_SIZE), ==, BUFFER_MAX);
	g_assert_cmphex(get(fixture, CMD_LOW), ==, BUFFER);
	g_assert_cmphex(get(fixture, CMD_HIGH), ==, 0);
	g_assert_cmphex(fake_read(fixture->fake, BASE + RSP_LOW, 8), ==, BUFFER);
	/* What is outside, and across both parts. */
	g_assert_cmphex(fake_read(fixture->fake, BASE + 0x1000, 4), ==, UINT32_MAX);
	fake_write(fixture->fake, BUFFER - 4, 0x1122334455667788, 8);
	g_assert_cmphex(fake_read(fixture->fake, BUFFER - 4, 8), ==, 0x1122334400000000);
	fake_write(fixture->fake, BASE + 0xffc, 0xa1a2a3a4, 4);
	g_assert_cmphex(get(fixture, 0xffc), ==, 0xa1a2a3a4);
	fake_write(fixture->fake, PRESENCE + 0x3ff, 0xb1b2, 2);
	g_assert_cmphex(fake_read(fixture->fake, PRESENCE + 0x3ff, 1), ==, 0xb2);
	g_assert_cmphex(fake_read(fixture->fake, PRESENCE + 0x400, 1), ==, 0xff);

	put(fixture, LOC_CTRL, 1);
	g_assert_cmphex(get(fixture, LOC_STATE), ==, 0x83);
	g_assert_cmphex(get(fixture, LOC_STS), ==, 1);
	put(fixture, CTRL_REQ, 1);
	g_assert_cmphex(get(fixture, CTRL_REQ), ==, 0);
	g_assert_cmphex(get(fixture, CTRL_STS), ==, 0);
	fake_write(fixture->fake, BASE + CTRL_REQ, 2, 1);
	g_assert_cmphex(get(fixture, CTRL_STS), ==, STS_IDLE);
	put(fixture, LOC_CTRL, 2);
	g_assert_cmphex(get(fixture, LOC_STATE), ==, 0x81);
	put(fixture, LOC_CTRL, 8);
	g_assert_cmphex(get(fixture, LOC_STATE), ==, 0x81);

	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, SWTPM_SET_BUFFERSIZE, &argument), ==, 1);
	g_assert_cmphex(argument, ==, BUFFER_MAX);
}

static void test_command(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint8_t command[BUFFER_MAX] = { 0x80, 1, 0, 0, BUFFER_MAX >> 8, BUFFER_MAX & 0xff };
	static const uint8_t sizes[][4] = {
		{ 0, 0, 0, 9 }, { 0, 0, 0x0f, 0x81 }, { 0xff, 0xff, 0xff, 0xff }, { 0, 0, 0, 0 }
	};
	unsigned before;

	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
	g_assert_cmphex(fake_read(fixture->fake, BUFFER + 10, 4), ==, 0x7b010000);
	g_assert_cmphex(run(fixture, command, sizeof(command)), ==, 0);
	g_assert_cmphex(get(fixture, CTRL_STS), ==, 0);

	/* Sizes that are none do not reach the TPM, */
	before = fake_swtpm_count(fixture->swtpm, 0, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		memcpy(command + 2, sizes[i], 4);
		g_assert_cmphex(run(fixture, command, 64), ==, TPM_RC_COMMAND_SIZE);
	}
	/* nor does what comes while it is idle, or without the locality. */
	put(fixture, CTRL_REQ, 2);
	put(fixture, START, 1);
	g_assert_cmphex(get(fixture, START), ==, 0);
	put(fixture, CTRL_REQ, 1);
	put(fixture, LOC_CTRL, 2);
	put(fixture, START, 1);
	g_assert_cmphex(get(fixture, START), ==, 0);
	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, 0, NULL), ==, before);
}

static void test_sliced(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_SLICED);
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
}

static void test_busy(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_HELD);
	begin(fixture, get_random, sizeof(get_random));
	g_assert_true(fake_swtpm_wait(fixture->swtpm, 0, 1));
	/* Meanwhile nothing can be changed, */
	put(fixture, CTRL_REQ, 2);
	put(fixture, START, 1);
	fake_write(fixture->fake, BUFFER, 0xff, 1);
	g_assert_cmphex(get(fixture, CTRL_STS), ==, 0);
	g_assert_cmphex(get(fixture, START), ==, 1);
	g_assert_cmphex(fake_read(fixture->fake, BUFFER, 1), ==, 0x80);
	fake_swtpm_release(fixture->swtpm);
	await(fixture);
	/* and it was carried out once. */
	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, 0, NULL), ==, 2);
}

static void test_cancel(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_HELD);
	begin(fixture, get_random, sizeof(get_random));
	g_assert_true(fake_swtpm_wait(fixture->swtpm, 0, 1));
	put(fixture, CANCEL, 1);
	put(fixture, CANCEL, 1);
	await(fixture);
	g_assert_cmphex(fake_read(fixture->fake, BUFFER + 6, 4), ==, 0x09090000);
	put(fixture, CANCEL, 0);
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_NONE);
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, SWTPM_CANCEL_TPM_CMD, NULL), ==, 1);
}

static void test_reset(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	uint32_t flags;

	fake_write(fixture->fake, PRESENCE + 0x105, 0x11223344, 4);
	/* Nothing was done to it, so it is as it would be after another start. */
	tpm_crb_type.reset(fixture->device);
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, SWTPM_INIT, &flags), ==, 1);
	g_assert_cmpuint(flags, ==, 0);

	tpm_crb_type.reset(fixture->device);
	g_assert_cmphex(get(fixture, CTRL_STS), ==, STS_IDLE);
	g_assert_cmphex(fake_read(fixture->fake, BUFFER, 8), ==, 0);
	/* What the system has left to the firmware of its next start. */
	g_assert_cmphex(fake_read(fixture->fake, PRESENCE + 0x105, 4), ==, 0x11223344);
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, SWTPM_INIT, NULL), ==, 2);
	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, SWTPM_STOP, NULL), ==, 2);

	/* In the midst of a command, whose response the new guest does not see. */
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_HELD);
	begin(fixture, get_random, sizeof(get_random));
	g_assert_true(fake_swtpm_wait(fixture->swtpm, 0, 3));
	tpm_crb_type.reset(fixture->device);
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_NONE);
	g_assert_cmphex(run(fixture, startup, sizeof(startup)), ==, 0);
	g_assert_cmphex(fake_read(fixture->fake, BUFFER + 10, 4), ==, 0x44010000);
	g_assert_cmpuint(fake_swtpm_count(fixture->swtpm, SWTPM_INIT, NULL), ==, 3);
	g_assert_cmpint(g_atomic_int_get(&fixture->n_events), ==, 0);
}

static void test_state(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Fixture other = { 0 };

	set_up(&other, GUINT_TO_POINTER(LONG_LIMIT_MS));
	/* What is being carried out is waited for. */
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_SLICED);
	begin(fixture, get_random, sizeof(get_random));
	fake_machine_check_state(fixture->device, other.device);
	g_assert_cmphex(get(fixture, START), ==, 0);
	g_assert_cmphex(fake_read(other.fake, BUFFER + 10, 4), ==, 0x7b010000);
	g_assert_cmphex(get(&other, LOC_STATE), ==, 0x83);
	tear_down(&other, NULL);
}

/* At a command: the guest learns that its TPM has failed, and goes on. */
static void test_command_fault(Fixture *fixture, gconstpointer data)
{
	set_up(fixture, GUINT_TO_POINTER(LIMIT_MS));
	fake_swtpm_set_fault(fixture->swtpm, 0, GPOINTER_TO_UINT(data));
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, TPM_RC_FAILURE);
	assert_fatal(fixture);
}

static void no_set_up(G_GNUC_UNUSED Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
}

static void test_idle_death(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
	fake_swtpm_die(fixture->swtpm);
	assert_fatal(fixture);
}

/* @data: whether on the control channel. */
static void test_blurt(Fixture *fixture, gconstpointer data)
{
	set_up(fixture, GUINT_TO_POINTER(LONG_LIMIT_MS));
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
	fake_swtpm_blurt(fixture->swtpm, GPOINTER_TO_UINT(data));
	assert_fatal(fixture);
}

/* One that does not answer to a cancellation is silent like any other. */
static void test_silent_cancel(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fake_swtpm_set_fault(fixture->swtpm, SWTPM_CANCEL_TPM_CMD, FAKE_SILENT);
	fake_swtpm_set_fault(fixture->swtpm, 0, FAKE_HELD);
	begin(fixture, get_random, sizeof(get_random));
	g_assert_true(fake_swtpm_wait(fixture->swtpm, 0, 1));
	put(fixture, CANCEL, 1);
	await(fixture);
	assert_fatal(fixture);
}

/* The guest has reset the machine, and its TPM does not start again. */
static void test_reset_faults(G_GNUC_UNUSED Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const FakeSwtpmFault faults[] = { FAKE_SILENT, FAKE_HANG_UP, FAKE_REFUSE,
						 FAKE_LONG };

	for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
		Fixture own = { 0 };

		set_up(&own, GUINT_TO_POINTER(LIMIT_MS));
		g_assert_cmphex(run(&own, get_random, sizeof(get_random)), ==, 0);
		fake_swtpm_set_fault(own.swtpm, SWTPM_INIT, faults[i]);
		tpm_crb_type.reset(own.device);
		g_assert_cmphex(run(&own, get_random, sizeof(get_random)), ==, TPM_RC_FAILURE);
		assert_fatal(&own);
		tear_down(&own, NULL);
	}
}

/* An swtpm that will not do: there is no device then, and the reason is told. */
static void test_start_faults(G_GNUC_UNUSED Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const struct {
		SwtpmCommand command;
		FakeSwtpmFault fault;
		const char *message;
	} cases[] = {
		{ SWTPM_GET_CAPABILITY, FAKE_SILENT, "in time" },
		{ SWTPM_GET_CAPABILITY, FAKE_HANG_UP, "gone" },
		{ SWTPM_GET_CAPABILITY, FAKE_INCAPABLE, "lacks" },
		{ SWTPM_GET_CAPABILITY, FAKE_SHORT, "gone" },
		{ SWTPM_GET_CAPABILITY, FAKE_ALONE, "in time" },
		{ SWTPM_GET_CAPABILITY, FAKE_GARBAGE, "too long" },
		{ SWTPM_SET_DATAFD, FAKE_REFUSE, "refuses" },
		{ SWTPM_SET_DATAFD, FAKE_LONG, "too long" },
		{ SWTPM_SET_BUFFERSIZE, FAKE_REFUSE, "refuses" },
		{ SWTPM_SET_BUFFERSIZE, FAKE_HUGE, "another size" },
		{ SWTPM_SET_BUFFERSIZE, FAKE_TINY, "another size" },
		{ SWTPM_SET_BUFFERSIZE, FAKE_ALONE, "in time" },
		{ SWTPM_INIT, FAKE_REFUSE, "cannot start" },
		{ SWTPM_GET_TPMESTABLISHED, FAKE_REFUSE, "refuses" },
		{ 0, FAKE_REFUSE, "version 2.0" },
		{ 0, FAKE_SILENT, "in time" },
		{ 0, FAKE_HUGE, "response" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		Fixture own = { 0 };

		set_up_swtpm(&own, GUINT_TO_POINTER(LIMIT_MS));
		fake_swtpm_set_fault(own.swtpm, cases[i].command, cases[i].fault);
		g_assert_null(fake_machine_try_add(own.fake, &tpm_crb_type, "tpmdev=t", &error));
		g_assert_nonnull(error);
		g_test_message("%s", error->message);
		g_assert_nonnull(strstr(error->message, cases[i].message));
		g_assert_cmpint(g_atomic_int_get(&own.n_events), ==, 0);
		tear_down(&own, NULL);
	}
}

static void expect_refusal(Fixture *fixture, const char *type, const char *id, const char *chardev,
			   const char *message)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(add_tpm(fixture, type, id, chardev, &error));
	g_assert_nonnull(strstr(error->message, message));
}

static void test_options(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *path = g_strdup_printf("%s/vireo-tpm-%d", g_get_tmp_dir(), getpid());
	g_autofree char *server = g_strdup_printf("socket,id=s,path=%s,server=on,wait=off", path);

	add_chardev(fixture, "null,id=n");
	add_chardev(fixture, server);
	expect_refusal(fixture, "passthrough", "u", "c", "'emulator'");
	expect_refusal(fixture, "emulator", NULL, "c", "'id' is missing");
	expect_refusal(fixture, "emulator", "u", NULL, "'chardev' is missing");
	expect_refusal(fixture, "emulator", "t", "c", "there is a TPM 't'");
	expect_refusal(fixture, "emulator", "u", "none", "no chardev 'none'");
	expect_refusal(fixture, "emulator", "u", "n", "no socket");
	expect_refusal(fixture, "emulator", "u", "s", "no socket");
	expect_refusal(fixture, "emulator", "u", "c", "in use");
	g_assert_null(fake_machine_try_add(fixture->fake, &tpm_crb_type, "tpmdev=u", &error));
	g_assert_nonnull(strstr(error->message, "no TPM 'u'"));
	g_clear_error(&error);
	g_assert_null(fake_machine_try_add(fixture->fake, &tpm_crb_type, "tpmdev=t", &error));
	g_assert_nonnull(strstr(error->message, "has a device already"));
}

/* The real one, without a guest. */

static GPid spawn_swtpm(const char *directory, const char *socket)
{
	g_autofree char *state = g_strdup_printf("dir=%s", directory);
	g_autofree char *control = g_strdup_printf("type=unixio,path=%s", socket);
	char *argv[] = { (char *)"swtpm",
			 (char *)"socket",
			 (char *)"--tpm2",
			 (char *)"--tpmstate",
			 state,
			 (char *)"--ctrl",
			 control,
			 (char *)"--terminate",
			 NULL };
	g_autoptr(GError) error = NULL;
	GPid pid;

	g_spawn_async(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
		      &pid, &error);
	g_assert_no_error(error);
	for (unsigned i = 0; i < 1000 && !g_file_test(socket, G_FILE_TEST_EXISTS); i++)
		g_usleep(10000);
	return pid;
}

static void remove_directory(const char *directory)
{
	g_autoptr(GDir) entries = g_dir_open(directory, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(entries))) {
		g_autofree char *path = g_build_filename(directory, name, NULL);

		g_unlink(path);
	}
	g_assert_cmpint(g_rmdir(directory), ==, 0);
}

static void test_real(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autofree char *program = g_find_program_in_path("swtpm");
	g_autofree char *directory = g_dir_make_tmp("vireo-tpm-XXXXXX", NULL);
	g_autofree char *socket = g_build_filename(directory, "socket", NULL);
	g_autofree char *chardev = g_strdup_printf("socket,id=c,path=%s", socket);
	uint8_t random[2][16];
	GPid pid;

	if (!program) {
		remove_directory(directory);
		g_test_skip("there is no swtpm");
		return;
	}
	pid = spawn_swtpm(directory, socket);
	set_up_machine(fixture, chardev, LONG_LIMIT_MS);
	fixture->device = fake_machine_add(fixture->fake, &tpm_crb_type, "tpmdev=t");

	/* Not started up, it has no random numbers (TPM_RC_INITIALIZE); then it has; not again. */
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0x100);
	g_assert_cmphex(run(fixture, startup, sizeof(startup)), ==, 0);
	for (unsigned i = 0; i < 2; i++) {
		g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0);
		for (unsigned j = 0; j < 16; j++)
			random[i][j] = (uint8_t)fake_read(fixture->fake, BUFFER + 12 + j, 1);
	}
	g_assert_cmpint(memcmp(random[0], random[1], 16), !=, 0);
	g_assert_cmphex(run(fixture, startup, sizeof(startup)), ==, 0x100);
	tpm_crb_type.reset(fixture->device);
	g_assert_cmphex(run(fixture, get_random, sizeof(get_random)), ==, 0x100);
	g_assert_cmphex(run(fixture, startup, sizeof(startup)), ==, 0);

	/* With the device it ends, by itself. */
	fake_machine_remove(fixture->fake, fixture->device);
	fixture->device = NULL;
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
	g_assert_cmpint(g_atomic_int_get(&fixture->n_events), ==, 0);
	remove_directory(directory);
}

#define ADD(name, limit, set_up, func) \
	g_test_add("/tpm-crb/" name, Fixture, GUINT_TO_POINTER(limit), set_up, func, tear_down)
#define ADD_FAULT(name, fault)                                                                  \
	g_test_add("/tpm-crb/command-fault/" name, Fixture, GUINT_TO_POINTER(fault), no_set_up, \
		   test_command_fault, tear_down)

static void tear_nothing_down(G_GNUC_UNUSED Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	/* That a TPM has failed is a warning. */
	g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
	ADD("registers", LONG_LIMIT_MS, set_up, test_registers);
	ADD("command", LONG_LIMIT_MS, set_up, test_command);
	ADD("sliced", LONG_LIMIT_MS, set_up, test_sliced);
	ADD("busy", LONG_LIMIT_MS, set_up, test_busy);
	ADD("cancel", LONG_LIMIT_MS, set_up, test_cancel);
	ADD("reset", LONG_LIMIT_MS, set_up, test_reset);
	ADD("state", LONG_LIMIT_MS, set_up, test_state);
	ADD("options", LONG_LIMIT_MS, set_up, test_options);
	ADD("idle-death", LONG_LIMIT_MS, set_up, test_idle_death);
	ADD("silent-cancel", LIMIT_MS, set_up, test_silent_cancel);
	ADD("blurt/data", false, no_set_up, test_blurt);
	ADD("blurt/control", true, no_set_up, test_blurt);
	ADD_FAULT("silent", FAKE_SILENT);
	ADD_FAULT("hang-up", FAKE_HANG_UP);
	ADD_FAULT("short", FAKE_SHORT);
	ADD_FAULT("long", FAKE_LONG);
	ADD_FAULT("huge", FAKE_HUGE);
	ADD_FAULT("tiny", FAKE_TINY);
	ADD_FAULT("garbage", FAKE_GARBAGE);
	g_test_add("/tpm-crb/reset-faults", Fixture, NULL, no_set_up, test_reset_faults,
		   tear_nothing_down);
	g_test_add("/tpm-crb/start-faults", Fixture, NULL, no_set_up, test_start_faults,
		   tear_nothing_down);
	ADD("real", LONG_LIMIT_MS, no_set_up, test_real);
	return g_test_run();
}
