/*
 * json.h: json-c values that free themselves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct json_object JsonObject;
typedef struct json_tokener JsonTokener;

/* g_autoptr(JsonObject) drops one reference at the end of scope. */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonObject, json_object_put)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonTokener, json_tokener_free)
