/*
 * qapi_layout.h: how values of schema types lie in memory, for the parser and the formatter
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "qmp/qapi.h"

/* Whether a value lies in its member, array element or alternate itself; the others by pointer. */
static inline bool qapi_is_by_value(const QapiType *type)
{
	switch (type->kind) {
	case QAPI_KIND_NUMBER:
	case QAPI_KIND_INT:
	case QAPI_KIND_UINT:
	case QAPI_KIND_SIZE:
	case QAPI_KIND_BOOL:
	case QAPI_KIND_ENUM:
		return true;
	default:
		return false;
	}
}

/* The branch that the discriminator of the object @value selects; NULL if it has none. */
static inline const QapiType *qapi_branch_of(const QapiType *type, const void *value)
{
	const QapiMember *tag;
	uint32_t selected;

	if (!type->branches)
		return NULL;
	tag = &type->members[type->tag];
	selected = *(const uint32_t *)((const char *)value + tag->offset);
	return selected < tag->type->n_members ? type->branches[selected] : NULL;
}
