/*
 * qmp_fds.c: descriptors that clients hand over for later use
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "qmp/qmp_error.h"
#include "qmp/qmp_fds.h"

/* A descriptor of a set. */
typedef struct {
	int64_t set;
	int fd;
	char *opaque;
} SetMember;

struct QmpFds {
	GHashTable *named;  /* name -> descriptor */
	GPtrArray *members; /* of all sets, ordered by set, then by age */
};

static void close_named(gpointer fd)
{
	close(GPOINTER_TO_INT(fd));
}

static void set_member_free(gpointer data)
{
	SetMember *member = data;

	close(member->fd);
	g_free(member->opaque);
	g_free(member);
}

QmpFds *qmp_fds_new(void)
{
	QmpFds *fds = g_new0(QmpFds, 1);

	fds->named = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_named);
	fds->members = g_ptr_array_new_with_free_func(set_member_free);
	return fds;
}

void qmp_fds_free(QmpFds *fds)
{
	if (!fds)
		return;
	g_hash_table_unref(fds->named);
	g_ptr_array_unref(fds->members);
	g_free(fds);
}

bool qmp_fds_put(QmpFds *fds, const char *name, int fd, GError **error)
{
	if (!name[0] || g_ascii_isdigit(name[0])) {
		close(fd);
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "Parameter 'fdname' expects a name not starting with a digit");
		return false;
	}
	g_hash_table_replace(fds->named, g_strdup(name), GINT_TO_POINTER(fd));
	return true;
}

int qmp_fds_take(QmpFds *fds, const char *name, GError **error)
{
	g_autofree char *key = NULL;
	gpointer value;

	if (!g_hash_table_steal_extended(fds->named, name, (gpointer *)&key, &value)) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "File descriptor named '%s' not found", name);
		return -1;
	}
	return GPOINTER_TO_INT(value);
}

static SetMember *member_at(const QmpFds *fds, guint index)
{
	return g_ptr_array_index(fds->members, index);
}

static int64_t lowest_free_set(const QmpFds *fds)
{
	int64_t set = 0;

	for (guint i = 0; i < fds->members->len && member_at(fds, i)->set <= set; i++)
		set = member_at(fds, i)->set + 1;
	return set;
}

int64_t qmp_fds_set_add(QmpFds *fds, int64_t set, const char *opaque, int fd, GError **error)
{
	SetMember *member;
	guint place = 0;

	if (set < -1 || set == INT64_MAX) {
		close(fd);
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "Parameter 'fdset-id' expects a non-negative value");
		return -1;
	}
	member = g_new0(SetMember, 1);
	member->set = set == -1 ? lowest_free_set(fds) : set;
	member->fd = fd;
	member->opaque = g_strdup(opaque);
	while (place < fds->members->len && member_at(fds, place)->set <= member->set)
		place++;
	g_ptr_array_insert(fds->members, (gint)place, member);
	return member->set;
}

bool qmp_fds_set_remove(QmpFds *fds, int64_t set, int fd, GError **error)
{
	bool found = false;

	for (guint i = fds->members->len; i-- > 0;) {
		SetMember *member = member_at(fds, i);

		if (member->set == set && (fd == -1 || member->fd == fd)) {
			g_ptr_array_remove_index(fds->members, i);
			found = true;
		}
	}
	if (found)
		return true;
	if (fd == -1)
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "File descriptor named 'fdset-id:%" G_GINT64_FORMAT "' not found", set);
	else
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "File descriptor named 'fdset-id:%" G_GINT64_FORMAT
			    ", fd:%d' not found",
			    set, fd);
	return false;
}

int qmp_fds_set_open(QmpFds *fds, int64_t set, int flags, GError **error)
{
	bool found = false;

	for (guint i = 0; i < fds->members->len; i++) {
		const SetMember *member = member_at(fds, i);
		int have, copy;

		if (member->set != set)
			continue;
		found = true;
		have = fcntl(member->fd, F_GETFL);
		if (have < 0 || (have & O_ACCMODE) != (flags & O_ACCMODE))
			continue;
		copy = fcntl(member->fd, F_DUPFD_CLOEXEC, 0);
		if (copy >= 0)
			return copy;
		g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC,
			    "/dev/fdset/%" G_GINT64_FORMAT ": %s", set, g_strerror(errno));
		return -1;
	}
	g_set_error(error, QMP_ERROR, QMP_ERROR_GENERIC, "/dev/fdset/%" G_GINT64_FORMAT ": %s", set,
		    found ? "no descriptor of the set has the access mode"
			  : "there is no such descriptor set");
	return -1;
}

void qmp_fds_set_foreach(QmpFds *fds,
			 void (*func)(int64_t set, int fd, const char *opaque, void *data),
			 void *data)
{
	for (guint i = 0; i < fds->members->len; i++) {
		const SetMember *member = member_at(fds, i);

		func(member->set, member->fd, member->opaque, data);
	}
}
