/*
 * virtio_balloon_parts.c: host pages that are larger than the balloon's
 *
 * A bit for each part, in an entry for each host page of which some part is in the balloon; so
 * there are at most as many entries as the guest has host pages. Neighbours mostly come one after
 * the other, for which the last entry is at hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_balloon_parts.h"

#include <glib.h>

typedef struct HostPage {
	const void *address; /* the key */
	unsigned n_set;
	uint64_t set[BALLOON_PARTS_MAX / 64];
} HostPage;

struct BalloonParts {
	GHashTable *pages; /* address → HostPage */
	HostPage *last;	   /* of those, or NULL */
};

BalloonParts *balloon_parts_new(void)
{
	BalloonParts *parts = g_new0(BalloonParts, 1);

	parts->pages = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
	return parts;
}

void balloon_parts_free(BalloonParts *parts)
{
	if (!parts)
		return;
	g_hash_table_unref(parts->pages);
	g_free(parts);
}

void balloon_parts_clear(BalloonParts *parts)
{
	parts->last = NULL;
	g_hash_table_remove_all(parts->pages);
}

static HostPage *find_page(BalloonParts *parts, const void *address)
{
	if (!parts->last || parts->last->address != address)
		parts->last = g_hash_table_lookup(parts->pages, address);
	return parts->last;
}

bool balloon_parts_add(BalloonParts *parts, const void *page, unsigned part, unsigned n_parts)
{
	HostPage *found = find_page(parts, page);
	uint64_t bit = 1ULL << (part % 64);

	if (!found) {
		found = g_new0(HostPage, 1);
		found->address = page;
		g_hash_table_insert(parts->pages, (void *)(uintptr_t)page, found);
		parts->last = found;
	}
	if (!(found->set[part / 64] & bit))
		found->n_set++;
	found->set[part / 64] |= bit;
	return found->n_set == n_parts;
}

void balloon_parts_remove(BalloonParts *parts, const void *page, unsigned part)
{
	HostPage *found = find_page(parts, page);
	uint64_t bit = 1ULL << (part % 64);

	if (!found || !(found->set[part / 64] & bit))
		return;
	found->set[part / 64] &= ~bit;
	if (--found->n_set == 0) {
		parts->last = NULL;
		g_hash_table_remove(parts->pages, page);
	}
}
