/*
 * kvm_stats.h: the counters of a VM or vCPU, read from its binary statistics descriptor
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdint.h>

/* One statistic: a number, or for histograms several. */
typedef struct KvmStat {
	char *name;
	uint32_t flags;	      /* KVM_STATS_TYPE_*, _UNIT_* and _BASE_* */
	int16_t exponent;     /* of the base, to get the unit */
	uint32_t bucket_size; /* linear histograms: the width of a bucket */
	uint32_t n_values;
	uint64_t *values;
} KvmStat;

/*
 * Read all statistics of @fd (kvm_stats_fd(), kvm_vcpu_stats_fd()): an array of KvmStat *, which
 * frees them. NULL and @error when the kernel's answer makes no sense. Any thread.
 */
GPtrArray *kvm_stats_read(int fd, GError **error);
