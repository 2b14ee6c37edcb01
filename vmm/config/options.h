/*
 * options.h: QEMU's option grammar
 *
 * "key=value,key=value" with ",," for a comma, dotted keys for nesting ("cache.direct=on",
 * "addr.type=unix", "list.0=x"), an implied first key ("virtio-blk-pci,drive=d0"), a bare "key"
 * for key=on, or a whole JSON object. The result is a json_object whose scalars are strings (or
 * JSON's own when the text was JSON), the form in which property tables and the generated QAPI
 * parsers take it.
 *
 * Key parts are letters, digits, "-" and "_"; a number is a list index, and a list must have all
 * indices from 0 on. A key given twice is an error. QEMU's deprecated "nokey" for key=off is not
 * read, since it cannot be told from a key that starts with "no" ("nodelay").
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
 * object, or NULL and @error naming what is wrong and where. Any thread.
 */
json_object *options_parse(const char *text, const char *implied_key, GError **error);

/*
 * Parse a size such as "512", "4G", "1.5G", "0x1000" into bytes: suffixes B, k, M, G, T, P, E of
 * either case, powers of 1024; fractions of a byte are dropped. @default_unit is the suffix that
 * a bare number has ('B', 'M', ...). False and @error on overflow or anything else. Any thread.
 */
bool options_parse_size(const char *text, char default_unit, uint64_t *size, GError **error);
