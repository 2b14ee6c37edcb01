/*
 * kvm_stats.c: the counters of a VM or vCPU, read from its binary statistics descriptor
 *
 * The descriptor holds a header, then descriptions of one size each, then the values (KVM API
 * §4.133). Nothing here is trusted further than its length.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/kvm/kvm_stats.h"
#include "vmm/base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define KVM_STATS_MAX_DESCRIPTIONS 4096u
#define KVM_STATS_MAX_NAME	   256u
#define KVM_STATS_MAX_VALUES	   1024u

static void kvm_stat_free(gpointer data)
{
	KvmStat *stat = data;

	g_free(stat->name);
	g_free(stat->values);
	g_free(stat);
}

static bool read_exactly(int fd, void *buffer, size_t size, uint64_t offset, GError **error)
{
	ssize_t got = pread(fd, buffer, size, (off_t)offset);

	if (got < 0)
		return error_fail_errno(error, errno, "cannot read KVM statistics");
	if ((size_t)got != size)
		return error_fail(error, "KVM statistics end early");
	return true;
}

static KvmStat *read_stat(int fd, const struct kvm_stats_header *header,
			  const struct kvm_stats_desc *description, GError **error)
{
	KvmStat *stat;
	size_t values_size = description->size * sizeof(uint64_t);

	if (description->size == 0 || description->size > KVM_STATS_MAX_VALUES) {
		error_fail(error, "KVM statistics have a value of strange size");
		return NULL;
	}
	stat = g_new0(KvmStat, 1);
	stat->name = g_strndup(description->name, header->name_size);
	stat->flags = description->flags;
	stat->exponent = description->exponent;
	stat->bucket_size = description->bucket_size;
	stat->n_values = description->size;
	stat->values = g_malloc(values_size);
	if (!read_exactly(fd, stat->values, values_size,
			  (uint64_t)header->data_offset + description->offset, error)) {
		kvm_stat_free(stat);
		return NULL;
	}
	return stat;
}

GPtrArray *kvm_stats_read(int fd, GError **error)
{
	g_autoptr(GPtrArray) stats = g_ptr_array_new_with_free_func(kvm_stat_free);
	struct kvm_stats_header header;
	g_autofree uint8_t *descriptions = NULL;
	size_t description_size;

	if (!read_exactly(fd, &header, sizeof(header), 0, error))
		return NULL;
	if (header.name_size == 0 || header.name_size > KVM_STATS_MAX_NAME ||
	    header.num_desc > KVM_STATS_MAX_DESCRIPTIONS) {
		error_fail(error, "KVM statistics have a strange header");
		return NULL;
	}
	description_size = sizeof(struct kvm_stats_desc) + header.name_size;
	descriptions = g_malloc(header.num_desc * description_size + 1);
	if (!read_exactly(fd, descriptions, header.num_desc * description_size, header.desc_offset,
			  error))
		return NULL;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		const struct kvm_stats_desc *description =
			(const void *)(descriptions + i * description_size);
		KvmStat *stat = read_stat(fd, &header, description, error);

		if (!stat)
			return NULL;
		g_ptr_array_add(stats, stat);
	}
	return g_steal_pointer(&stats);
}
