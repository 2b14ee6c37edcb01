/*
 * machine_objects.h: what -object and object-add make
 *
 * memory-backend-ram, -memfd and -file, iothread, rng-random, rng-builtin, throttle-group and
 * tls-creds-x509, by id.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "qapi-types.h"
#include "vmm/base/io_loop.h"
#include "vmm/memory/memory_backend.h"

typedef struct Machine Machine;
typedef struct RngBackend RngBackend;
typedef struct MachineObjects MachineObjects;

typedef struct MachineObject {
	QapiObjectOptions *options; /* as it was made: its type, its id, what it was given */
	bool is_ram;		    /* the machine's RAM: it stays */
	union {
		MemoryBackend *memory_backend;
		IoLoop *io_loop;
		RngBackend *rng;
	};
} MachineObject;

/* Whether a device refers to object @id. */
typedef bool (*MachineObjectInUse)(Machine *machine, const char *id);

/* Everything here: main thread. */
MachineObjects *machine_objects_new(MachineObjectInUse in_use, Machine *machine);
void machine_objects_free(MachineObjects *objects);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MachineObjects, machine_objects_free)

/* object-add: takes @options over. NULL and @error naming the object, @options freed. */
MachineObject *machine_objects_add(MachineObjects *objects, QapiObjectOptions *options,
				   GError **error);

/* object-del: false and @error when there is no such object or something uses it. */
bool machine_objects_remove(MachineObjects *objects, const char *id, GError **error);

/* Find by id; NULL if none. */
MachineObject *machine_objects_find(MachineObjects *objects, const char *id);

/* In order of creation. */
void machine_objects_foreach(MachineObjects *objects, void (*func)(MachineObject *, gpointer),
			     gpointer data);

/* What @object is, or NULL if it is something else. */
MemoryBackend *machine_object_memory_backend(const MachineObject *object);
IoLoop *machine_object_io_loop(const MachineObject *object);

/* How @object, which is an iothread, polls. */
void machine_object_polling(const MachineObject *object, IoLoopPolling *polling);

/* qom-set: how an iothread polls. False and @error where @property cannot be changed to @value. */
bool machine_object_set(MachineObject *object, const char *property, json_object *value,
			GError **error);
RngBackend *machine_object_rng(const MachineObject *object);
