/*
 * smbios_config.h: what -smbios says: text for SMBIOS structures
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Strings are NULL where nothing was said, here and below. */
typedef struct SmbiosBoard {
	char *manufacturer, *product, *version, *serial, *asset, *location;
} SmbiosBoard;

typedef struct SmbiosConfig {
	struct {
		char *vendor, *version, *date, *release;
		bool given, uefi;
	} bios; /* type 0 */
	struct {
		char *manufacturer, *product, *version, *serial, *uuid, *sku, *family;
	} system; /* type 1 */
	GPtrArray *boards; /* type 2, a SmbiosBoard * for each -smbios type=2; NULL: none */
	struct {
		char *manufacturer, *version, *serial, *asset, *sku;
	} chassis; /* type 3 */
	struct {
		char *socket_prefix, *manufacturer, *version, *serial, *asset, *part;
	} processor; /* type 4, every one of them */
	struct {
		char *locator_prefix, *bank, *manufacturer, *serial, *asset, *part;
		uint16_t speed; /* MT/s; 0: not known */
	} memory; /* type 17, every one of them */
	GPtrArray *oem_strings; /* type 11: char *; NULL: none */
} SmbiosConfig;

/*
 * Take in @text, what follows one -smbios. False and @error on a type or key that there is not.
 * smbios_config_clear() frees what was allocated. Any thread.
 */
bool smbios_config_parse(SmbiosConfig *config, const char *text, GError **error);
void smbios_config_clear(SmbiosConfig *config);
