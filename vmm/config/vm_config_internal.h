/*
 * vm_config_internal.h: what the parsers of the command line share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/config/property.h"
#include "vmm/config/vm_config.h"

typedef struct VmOption VmOption;

/* One row of the table of options. */
struct VmOption {
	const char *name;     /* with its dash; NULL ends the table */
	const char *argument; /* how -help shows it; NULL: takes none */
	const char *help;
	/* Take in @text (NULL without an argument); @error says what is wrong with it. */
	bool (*parse)(VmConfig *config, const VmOption *option, const char *text, GError **error);
	size_t offset;		 /* in VmConfig, for the parsers of plain fields */
	const char *implied_key; /* of the first item, for options with arguments of their own */
};

/* Set what @text (QEMU's grammar) says in @object by @table; others' keys are errors. */
bool vm_config_parse_properties(const Property *table, void *object, const char *text,
				const char *implied_key, GError **error);

/* Append an item to the GPtrArray at @option->offset. */
bool vm_config_parse_item(VmConfig *config, const VmOption *option, const char *text,
			  GError **error);
/* As above, with "TYPE,help" and "help" (-device). */
bool vm_config_parse_device(VmConfig *config, const VmOption *option, const char *text,
			    GError **error);

/* vm_config_machine.c */
bool vm_config_parse_machine(VmConfig *config, const VmOption *option, const char *text,
			     GError **error);
bool vm_config_parse_boot(VmConfig *config, const VmOption *option, const char *text,
			  GError **error);
bool vm_config_parse_accel(VmConfig *config, const VmOption *option, const char *text,
			   GError **error);
bool vm_config_parse_memory(VmConfig *config, const VmOption *option, const char *text,
			    GError **error);
bool vm_config_parse_numa(VmConfig *config, const VmOption *option, const char *text,
			  GError **error);
bool vm_config_parse_overcommit(VmConfig *config, const VmOption *option, const char *text,
				GError **error);
bool vm_config_parse_name(VmConfig *config, const VmOption *option, const char *text,
			  GError **error);
bool vm_config_parse_uuid(VmConfig *config, const VmOption *option, const char *text,
			  GError **error);
bool vm_config_parse_rtc(VmConfig *config, const VmOption *option, const char *text,
			 GError **error);
bool vm_config_parse_action(VmConfig *config, const VmOption *option, const char *text,
			    GError **error);
bool vm_config_parse_watchdog(VmConfig *config, const VmOption *option, const char *text,
			      GError **error);

/* vm_config_cpu.c */
bool vm_config_parse_smp(VmConfig *config, const VmOption *option, const char *text,
			 GError **error);
bool vm_config_parse_cpu(VmConfig *config, const VmOption *option, const char *text,
			 GError **error);

/* vm_config_chardev.c */
bool vm_config_parse_serial(VmConfig *config, const VmOption *option, const char *text,
			    GError **error);
bool vm_config_parse_qmp(VmConfig *config, const VmOption *option, const char *text,
			 GError **error);
bool vm_config_parse_mon(VmConfig *config, const VmOption *option, const char *text,
			 GError **error);

/* Append an item that no option spelled as such. @options is taken over. */
void vm_config_add_item(GPtrArray *items, const char *option, const char *text,
			json_object *options);
