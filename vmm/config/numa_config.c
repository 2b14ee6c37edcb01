/*
 * numa_config.c: the guest's NUMA nodes (-numa)
 *
 * The grammar is QEMU's, in which cpus= may be there more than once; so it is read here and not by
 * options.c, to which a key that is there twice is a mistake.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/numa_config.h"

#include <string.h>

#include "vmm/base/error.h"

NumaConfig *numa_config_new(void)
{
	NumaConfig *numa = g_new0(NumaConfig, 1);

	memset(numa->node_of_cpu, NUMA_NO_NODE, sizeof(numa->node_of_cpu));
	return numa;
}

void numa_config_free(NumaConfig *numa)
{
	if (!numa)
		return;
	for (unsigned i = 0; i < NUMA_MAX_NODES; i++)
		g_free(numa->nodes[i].memdev);
	g_free(numa);
}

/* A decimal number below @limit, which ends at @end's character or at the end of the text. */
static bool parse_number(const char *key, const char *text, unsigned limit, unsigned *number,
			 const char **end, GError **error)
{
	char *after = NULL;
	guint64 value = g_ascii_isdigit(*text) ? g_ascii_strtoull(text, &after, 10) : 0;

	if (!after || (*after && !(end && *after == '-')))
		return error_fail(error, "%s=%s is no number", key, text);
	if (value >= limit)
		return error_fail(error, "%s=%s: the most is %u", key, text, limit - 1);
	*number = (unsigned)value;
	if (end)
		*end = after;
	return true;
}

/* N or N-M. */
static bool parse_cpus(uint64_t cpus[NUMA_MAX_CPUS / 64], const char *text, GError **error)
{
	const char *end;
	unsigned first, last;

	if (!parse_number("cpus", text, NUMA_MAX_CPUS, &first, &end, error))
		return false;
	last = first;
	if (*end == '-' && !parse_number("cpus", end + 1, NUMA_MAX_CPUS, &last, NULL, error))
		return false;
	if (last < first)
		return error_fail(error, "cpus=%s: the last is before the first", text);
	for (unsigned i = first; i <= last; i++)
		cpus[i / 64] |= UINT64_C(1) << (i % 64);
	return true;
}

static bool add_node(NumaConfig *numa, unsigned id, const uint64_t cpus[NUMA_MAX_CPUS / 64],
		     char **memdev, GError **error)
{
	if (numa->nodes[id].present)
		return error_fail(error, "node %u is there already", id);
	for (unsigned i = 0; i < NUMA_MAX_CPUS; i++) {
		if (!(cpus[i / 64] & (UINT64_C(1) << (i % 64))))
			continue;
		if (numa->node_of_cpu[i] != NUMA_NO_NODE)
			return error_fail(error, "CPU %u is in node %u already", i,
					  numa->node_of_cpu[i]);
		numa->node_of_cpu[i] = (uint8_t)id;
	}
	numa->nodes[id].present = true;
	numa->nodes[id].memdev = g_steal_pointer(memdev);
	numa->n_nodes++;
	return true;
}

static bool parse_node(NumaConfig *numa, char **items, GError **error)
{
	g_autofree char *memdev = NULL;
	uint64_t cpus[NUMA_MAX_CPUS / 64] = { 0 };
	unsigned id = numa->n_nodes;
	bool done = true;

	for (; done && *items; items++) {
		char *value = strchr(*items, '=');

		if (!value)
			return error_fail(error, "'%s' has no value", *items);
		*value++ = '\0';
		if (strcmp(*items, "nodeid") == 0) {
			done = parse_number("nodeid", value, NUMA_MAX_NODES, &id, NULL, error);
		} else if (strcmp(*items, "cpus") == 0) {
			done = parse_cpus(cpus, value, error);
		} else if (strcmp(*items, "memdev") == 0 && !memdev && *value) {
			memdev = g_strdup(value);
		} else if (strcmp(*items, "mem") == 0) {
			done = error_fail(error,
					  "mem is not supported: use memdev and a memory backend");
		} else {
			done = error_fail(error, "there is no '%s=%s' here", *items, value);
		}
	}
	if (done && id >= NUMA_MAX_NODES)
		return error_fail(error, "there are %u nodes already", NUMA_MAX_NODES);
	return done && add_node(numa, id, cpus, &memdev, error);
}

static bool parse_distance(NumaConfig *numa, char **items, GError **error)
{
	static const char *const keys[] = { "src", "dst", "val" };
	static const unsigned limits[] = { NUMA_MAX_NODES, NUMA_MAX_NODES,
					   NUMA_DISTANCE_UNREACHABLE + 1 };
	unsigned values[G_N_ELEMENTS(keys)] = { 0 };
	bool given[G_N_ELEMENTS(keys)] = { false };

	for (; *items; items++) {
		char *value = strchr(*items, '=');
		unsigned key = 0;

		if (!value)
			return error_fail(error, "'%s' has no value", *items);
		*value++ = '\0';
		while (key < G_N_ELEMENTS(keys) && strcmp(*items, keys[key]) != 0)
			key++;
		if (key == G_N_ELEMENTS(keys))
			return error_fail(error, "there is no '%s' here", *items);
		if (!parse_number(keys[key], value, limits[key], &values[key], NULL, error))
			return false;
		given[key] = true;
	}
	if (!given[0] || !given[1] || !given[2])
		return error_fail(error, "dist needs src, dst and val");
	if (values[2] < NUMA_DISTANCE_LOCAL ||
	    (values[2] == NUMA_DISTANCE_LOCAL) != (values[0] == values[1]))
		return error_fail(error,
				  "the distance of a node from itself is %u, others are more",
				  NUMA_DISTANCE_LOCAL);
	numa->distances[values[0]][values[1]] = (uint8_t)values[2];
	numa->has_distances = true;
	return true;
}

bool numa_config_parse(NumaConfig *numa, const char *text, GError **error)
{
	g_auto(GStrv) items = g_strsplit(text, ",", -1);

	if (items[0] && strcmp(items[0], "node") == 0)
		return parse_node(numa, items + 1, error);
	if (items[0] && strcmp(items[0], "dist") == 0)
		return parse_distance(numa, items + 1, error);
	return error_fail(error, "there is 'node' and 'dist', no '%s'", items[0] ? items[0] : "");
}

static bool check_distances(const NumaConfig *numa, GError **error)
{
	for (unsigned from = 0; from < NUMA_MAX_NODES; from++) {
		for (unsigned to = 0; to < NUMA_MAX_NODES; to++) {
			if (numa->distances[from][to] && MAX(from, to) >= numa->n_nodes)
				return error_fail(error, "dist: there is no node %u",
						  MAX(from, to));
		}
	}
	return true;
}

/* What is known one way only is the same the other way; the rest must all be there. */
static bool complete_distances(NumaConfig *numa, GError **error)
{
	for (unsigned from = 0; from < numa->n_nodes; from++) {
		for (unsigned to = 0; to < numa->n_nodes; to++) {
			uint8_t *distance = &numa->distances[from][to];

			if (from == to)
				*distance = NUMA_DISTANCE_LOCAL;
			if (*distance == 0)
				*distance = numa->distances[to][from];
			if (*distance == 0)
				return error_fail(error, "dist from node %u to %u is missing", from,
						  to);
		}
	}
	return true;
}

bool numa_config_complete(NumaConfig *numa, unsigned n_cpus, GError **error)
{
	bool memory = false;

	if (numa->n_nodes == 0)
		return error_fail(error, "dist needs nodes");
	for (unsigned i = 0; i < numa->n_nodes; i++) {
		if (!numa->nodes[i].present)
			return error_fail(error, "node %u is missing", i);
		memory |= numa->nodes[i].memdev != NULL;
	}
	if (!memory)
		return error_fail(error, "no node has memory (memdev)");
	for (unsigned i = 0; i < NUMA_MAX_CPUS; i++) {
		if (i < n_cpus && numa->node_of_cpu[i] == NUMA_NO_NODE)
			return error_fail(error, "CPU %u is in no node", i);
		if (i >= n_cpus && numa->node_of_cpu[i] != NUMA_NO_NODE)
			return error_fail(error, "node %u: there is no CPU %u",
					  numa->node_of_cpu[i], i);
	}
	return !numa->has_distances ||
	       (check_distances(numa, error) && complete_distances(numa, error));
}
