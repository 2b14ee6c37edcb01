/*
 * numa_config.h: the guest's NUMA nodes (-numa)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define NUMA_MAX_NODES 128u
#define NUMA_MAX_CPUS  256u

/* Distances as ACPI has them (§5.2.17). */
#define NUMA_DISTANCE_LOCAL	  10u
#define NUMA_DISTANCE_UNREACHABLE 255u

/* The node of a vCPU that none has. */
#define NUMA_NO_NODE UINT8_MAX

typedef struct NumaNode {
	bool present;
	char *memdev; /* the id of a memory backend; NULL: it has no memory */
} NumaNode;

/* Once it is complete, nodes 0 to n_nodes - 1 are there and each vCPU is in one. */
typedef struct NumaConfig {
	unsigned n_nodes;
	NumaNode nodes[NUMA_MAX_NODES];
	uint8_t node_of_cpu[NUMA_MAX_CPUS]; /* by index; NUMA_NO_NODE */
	bool has_distances;
	uint8_t distances[NUMA_MAX_NODES][NUMA_MAX_NODES]; /* from, to; 0: not known */
} NumaConfig;

/* Without nodes. Any thread, as all here. */
NumaConfig *numa_config_new(void);
void numa_config_free(NumaConfig *numa);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NumaConfig, numa_config_free)

/*
 * Take in one option's @text: "node,..." or "dist,...". False and @error on what is not of the
 * grammar, what is out of range, and what contradicts an earlier option.
 */
bool numa_config_parse(NumaConfig *numa, const char *text, GError **error);

/*
 * Check what only all options together can say, for a machine with @n_cpus vCPUs, and fill in
 * distances that follow from others. False and @error.
 */
bool numa_config_complete(NumaConfig *numa, unsigned n_cpus, GError **error);
