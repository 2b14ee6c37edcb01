/*
 * options.h: QEMU's option grammar
 *
 * "key=value,key=value" with ",," for a comma, dotted keys for nesting ("cache.direct=on",
 * "addr.type=unix", "list.0=x"), an implied first key ("virtio-blk-pci,drive=d0"), a bare "key"
 * for key=on and "nokey" where the caller allows it, or a whole JSON object. The result is a
 * json_object whose scalars are strings (or JSON's own when the text was JSON), the form in which
 * property tables and the generated QAPI parsers take it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Parse @text. @implied_key is the key of a first item without "=" (NULL: none). Returns a new
 * object, or NULL and @error naming what is wrong and where.
 */
json_object *options_parse(const char *text, const char *implied_key, GError **error);

/*
 * Parse a size such as "512", "4G", "1.5G", "0x1000" into bytes. @default_unit is the suffix that
 * a bare number has ('B', 'M', ...). False and @error on overflow or anything else.
 */
bool options_parse_size(const char *text, char default_unit, uint64_t *size, GError **error);
