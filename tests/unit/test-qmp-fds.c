/*
 * test-qmp-fds.c: descriptors handed to a QMP server
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/qmp_test_client.h"

/* A file whose identity can be recognised. */
static int unique_file(struct stat *status)
{
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("vireo-qmp-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_assert_no_errno(unlink(path));
	g_assert_no_errno(fstat(fd, status));
	return fd;
}

static bool is_file(int fd, const struct stat *status)
{
	struct stat other;

	return !fstat(fd, &other) && other.st_ino == status->st_ino &&
	       other.st_dev == status->st_dev;
}

static unsigned count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_named_descriptors(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	QmpFds *fds = qmp_server_fds(fixture->server);
	struct stat first, second;
	int fd1 = unique_file(&first), fd2 = unique_file(&second);
	unsigned n_fds = count_fds();
	int taken;

	(void)data;
	client_send(client, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}");
	client_expect(client, GENERIC("No file descriptor supplied via SCM_RIGHTS"));
	client_send_fd(client, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"1a\"}}", fd1);
	client_expect(client,
		      GENERIC("Parameter 'fdname' expects a name not starting with a digit"));
	/* Not taken by the command it came with: closed, not left for the next. */
	client_send_fd(client, "{\"execute\":\"test-leave\"}", fd1);
	client_expect(client, "{\"return\":{}}");
	client_send(client, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}");
	client_expect(client, GENERIC("No file descriptor supplied via SCM_RIGHTS"));
	g_assert_cmpuint(count_fds(), ==, n_fds);

	client_send_fd(client, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}", fd1);
	client_send_fd(client, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"b\"}}", fd2);
	client_expect(client, "{\"return\":{}}");
	client_expect(client, "{\"return\":{}}");
	taken = qmp_fds_take(fds, "b", NULL);
	g_assert_true(is_file(taken, &second));
	close(taken);
	/* The same name again: the old one is closed. */
	client_send_fd(client, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}", fd2);
	client_expect(client, "{\"return\":{}}");
	g_assert_cmpuint(count_fds(), ==, n_fds + 1);
	client_send(client, "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"b\"}}");
	client_expect(client, GENERIC("File descriptor named 'b' not found"));
	client_send(client, "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"a\"}}");
	client_expect(client, "{\"return\":{}}");
	g_assert_cmpuint(count_fds(), ==, n_fds);
	client_free(client);
	close(fd1);
	close(fd2);
}

/* The kernel may hand over bytes sent before a descriptor together with those sent with it. */
static void test_descriptor_belongs_to_its_command(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	struct stat status;
	int fd = unique_file(&status);
	int taken;

	(void)data;
	client_send(client, "{\"execute\":\"test-leave\"}{\"execute\":\"test-leave\"}{\"exec");
	client_send_fd(client, "ute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}", fd);
	for (int i = 0; i < 3; i++)
		client_expect(client, "{\"return\":{}}");
	taken = qmp_fds_take(qmp_server_fds(fixture->server), "a", NULL);
	g_assert_true(is_file(taken, &status));
	close(taken);
	close(fd);
	client_free(client);
}

static void test_descriptor_sets(Fixture *fixture, gconstpointer data)
{
	Client *client = client_ready(fixture, false);
	QmpFds *fds = qmp_server_fds(fixture->server);
	g_autofree char *line = NULL;
	g_autofree char *expected = NULL;
	g_autoptr(GError) error = NULL;
	struct stat status;
	int fd = unique_file(&status);
	int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned n_fds = count_fds();
	int in_set = -1, copy;

	(void)data;
	client_send_fd(client, "{\"execute\":\"add-fd\",\"arguments\":{\"opaque\":\"o\"}}", fd);
	line = client_line(client);
	g_assert_cmpint(sscanf(line, "{\"return\":{\"fdset-id\":0,\"fd\":%d}}", &in_set), ==, 1);
	client_send_fd(client, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":7}}",
		       read_only);
	g_free(line);
	line = client_line(client);
	g_assert_true(g_str_has_prefix(line, "{\"return\":{\"fdset-id\":7,"));
	client_send_fd(client, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":-1}}",
		       read_only);
	client_expect(client, GENERIC("Parameter 'fdset-id' expects a non-negative value"));
	client_send(client, "{\"execute\":\"query-fdsets\"}");
	g_free(line);
	line = client_line(client);
	expected = g_strdup_printf("{\"return\":[{\"fdset-id\":0,\"fds\":[{\"fd\":%d,\"opaque\":"
				   "\"o\"}]},{\"fdset-id\":7,\"fds\":[{\"fd\":",
				   in_set);
	g_assert_true(g_str_has_prefix(line, expected));

	copy = qmp_fds_set_open(fds, 0, O_RDWR, &error);
	g_assert_no_error(error);
	g_assert_true(is_file(copy, &status));
	close(copy);
	g_assert_cmpint(qmp_fds_set_open(fds, 7, O_RDWR, &error), ==, -1);
	g_assert_cmpstr(error->message, ==,
			"/dev/fdset/7: no descriptor of the set has the access mode");
	g_clear_error(&error);
	g_assert_cmpint(qmp_fds_set_open(fds, 3, O_RDWR, &error), ==, -1);
	g_assert_cmpstr(error->message, ==, "/dev/fdset/3: there is no such descriptor set");

	client_send(client, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":0,\"fd\":0}}");
	client_expect(client, GENERIC("File descriptor named 'fdset-id:0, fd:0' not found"));
	client_send(client, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":1}}");
	client_expect(client, GENERIC("File descriptor named 'fdset-id:1' not found"));
	client_send(client, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":0}}");
	client_expect(client, "{\"return\":{}}");
	client_send(client, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":7}}");
	client_expect(client, "{\"return\":{}}");
	client_send(client, "{\"execute\":\"query-fdsets\"}");
	client_expect(client, "{\"return\":[]}");
	g_assert_cmpuint(count_fds(), ==, n_fds);
	client_free(client);
	close(fd);
	close(read_only);
}

/* A client that goes away in the middle of everything leaves nothing behind. */
static void test_disconnects(Fixture *fixture, gconstpointer data)
{
	struct stat status;
	int fd = unique_file(&status);
	unsigned n_fds = count_fds();

	(void)data;
	for (int i = 0; i < 20; i++) {
		Client *client = client_ready(fixture, i % 2);

		client_send(client, "{\"execute\":\"test-large\",\"arguments\":{\"size\":500000}}"
				    "{\"execute\":\"test-leave\"}{\"execute\":\"te");
		client_send_fd(client, "st-leave\"", fd);
		for (int j = 0; j < i; j++)
			turn();
		client_free(client);
	}
	settle();
	g_assert_cmpuint(count_fds(), ==, n_fds);
	close(fd);
}

int main(int argc, char **argv)
{
	qmp_test_init(&argc, &argv);
	ADD_TEST("named-descriptors", test_named_descriptors);
	ADD_TEST("descriptor-of-its-command", test_descriptor_belongs_to_its_command);
	ADD_TEST("descriptor-sets", test_descriptor_sets);
	ADD_TEST("disconnects", test_disconnects);
	return g_test_run();
}
