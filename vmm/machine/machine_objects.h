/*
 * machine_objects.h: what -object and object-add make
 *
 * memory-backend-ram, -memfd and -file, iothread, rng-random and rng-builtin, by id.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "vmm/base/io_loop.h"
#include "vmm/memory/memory_backend.h"

typedef struct RngBackend RngBackend;
typedef struct MachineObjects MachineObjects;

typedef enum MachineObjectKind {
	MACHINE_OBJECT_MEMORY_BACKEND,
	MACHINE_OBJECT_IOTHREAD,
	MACHINE_OBJECT_RNG,
} MachineObjectKind;

typedef struct MachineObject {
	MachineObjectKind kind;
	const char *type_name; /* "memory-backend-ram", "iothread", ...; static */
	char *id;
	json_object *options; /* as they were given, for qom-get */
	unsigned users;	      /* devices (or the machine) that hold it; above 0 it stays */
	union {
		MemoryBackend *memory_backend;
		IoLoop *io_loop;
		RngBackend *rng;
	};
} MachineObject;

/* Everything here: main thread. */
MachineObjects *machine_objects_new(void);
void machine_objects_free(MachineObjects *objects);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MachineObjects, machine_objects_free)

/*
 * object-add: create from @options ("qom-type", "id" and the type's own; text or JSON scalars).
 * NULL and @error naming the option at fault.
 */
MachineObject *machine_objects_add(MachineObjects *objects, json_object *options, GError **error);

/* object-del: false and @error when there is no such object or something uses it. */
bool machine_objects_remove(MachineObjects *objects, const char *id, GError **error);

/* Find by id; NULL if none. */
MachineObject *machine_objects_find(MachineObjects *objects, const char *id);

/* In order of creation. */
void machine_objects_foreach(MachineObjects *objects, void (*func)(MachineObject *, gpointer),
			     gpointer data);

/* The names of the types that can be created, NULL-terminated. */
const char *const *machine_object_type_names(void);
