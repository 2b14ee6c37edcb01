/*
 * machine_objects.c: what -object and object-add make
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/machine/machine_internal.h"
#include "vmm/base/error.h"
#include "vmm/block/block.h"
#include "vmm/chardev/rng_backend.h"

#include <inttypes.h>
#include <linux/mempolicy.h>
#include <string.h>

/* As in QEMU, for the same trade of processor time for latency. */
#define DEFAULT_POLL_MAX_NS 32768

struct MachineObjects {
	GPtrArray *objects; /* MachineObject *, owned, in order of creation */
	MachineObjectInUse in_use;
	Machine *machine;
};

static const char *type_name(const MachineObject *object)
{
	return qapi_str_ObjectType(object->options->qom_type);
}

static void machine_object_free(gpointer data)
{
	MachineObject *object = data;

	switch (object->options->qom_type) {
	case QAPI_OBJECT_TYPE_IOTHREAD:
		if (object->io_loop)
			io_loop_free(object->io_loop);
		break;
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_FILE:
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_MEMFD:
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_RAM:
		memory_backend_free(object->memory_backend);
		break;
	case QAPI_OBJECT_TYPE_RNG_BUILTIN:
	case QAPI_OBJECT_TYPE_RNG_RANDOM:
		if (object->rng)
			rng_backend_free(object->rng);
		break;
	case QAPI_OBJECT_TYPE_THROTTLE_GROUP: /* it is the block nodes' */
	case QAPI_OBJECT_TYPE_TLS_CREDS_X509: /* who uses it loads it */
		break;
	}
	qapi_free_ObjectOptions(object->options);
	g_free(object);
}

MachineObjects *machine_objects_new(MachineObjectInUse in_use, Machine *machine)
{
	MachineObjects *objects = g_new0(MachineObjects, 1);

	objects->in_use = in_use;
	objects->machine = machine;
	objects->objects = g_ptr_array_new_with_free_func(machine_object_free);
	return objects;
}

void machine_objects_free(MachineObjects *objects)
{
	if (!objects)
		return;
	g_ptr_array_unref(objects->objects);
	g_free(objects);
}

/*
 * What all memory backends share. The schema's structures repeat their base's members, so they
 * are read through a macro.
 */
#define FILL_MEMORY_CONFIG(config, properties)                                                     \
	do {                                                                                       \
		(config)->size = (properties)->size;                                               \
		(config)->share = (properties)->has_share ? (properties)->share : (config)->share; \
		(config)->prealloc = (properties)->prealloc;                                       \
		(config)->prealloc_threads =                                                       \
			(properties)->has_prealloc_threads ? (properties)->prealloc_threads : 1;   \
		(config)->dump = (properties)->has_dump ? (properties)->dump : (config)->dump;     \
		(config)->merge = (properties)->has_merge ? (properties)->merge : (config)->merge; \
		(config)->host_nodes = (properties)->host_nodes;                                   \
		(config)->policy = (int)(properties)->policy;                                      \
	} while (0)

/* The schema's values are mbind()'s, so neither needs translating. */
G_STATIC_ASSERT((int)QAPI_HOST_MEM_POLICY_DEFAULT == (int)MPOL_DEFAULT);
G_STATIC_ASSERT((int)QAPI_HOST_MEM_POLICY_PREFERRED == (int)MPOL_PREFERRED);
G_STATIC_ASSERT((int)QAPI_HOST_MEM_POLICY_BIND == (int)MPOL_BIND);
G_STATIC_ASSERT((int)QAPI_HOST_MEM_POLICY_INTERLEAVE == (int)MPOL_INTERLEAVE);

#define DEFAULT_HUGE_PAGE (UINT64_C(2) << 20)

static bool check_memfd(const QapiMemoryBackendMemfdProperties *memfd, GError **error)
{
	if (memfd->has_hugetlbsize && !memfd->hugetlb)
		return error_fail(error, "hugetlbsize needs hugetlb=on");
	if (memfd->has_hugetlbsize && memfd->hugetlbsize == 0)
		return error_fail(error, "hugetlbsize must not be 0");
	return true;
}

static MemoryBackend *new_memory_backend(const QapiObjectOptions *options, const VmConfig *machine,
					 GError **error)
{
	MemoryBackendConfig config = {
		.id = options->id,
		.dump = machine->dump_guest_core,
		.merge = machine->memory_merge,
	};

	if (options->qom_type == QAPI_OBJECT_TYPE_MEMORY_BACKEND_FILE) {
		const QapiMemoryBackendFileProperties *file = &options->u.memory_backend_file;

		config.kind = MEMORY_BACKEND_FILE;
		FILL_MEMORY_CONFIG(&config, file);
		config.path = file->mem_path;
		config.discard_data = file->discard_data;
		config.read_only = file->readonly;
	} else if (options->qom_type == QAPI_OBJECT_TYPE_MEMORY_BACKEND_MEMFD) {
		const QapiMemoryBackendMemfdProperties *memfd = &options->u.memory_backend_memfd;

		if (!check_memfd(memfd, error))
			return NULL;
		config.kind = MEMORY_BACKEND_MEMFD;
		config.share = true; /* as in QEMU */
		FILL_MEMORY_CONFIG(&config, memfd);
		if (memfd->hugetlb)
			config.hugetlb_size =
				memfd->has_hugetlbsize ? memfd->hugetlbsize : DEFAULT_HUGE_PAGE;
	} else {
		config.kind = MEMORY_BACKEND_RAM;
		FILL_MEMORY_CONFIG(&config, &options->u.memory_backend_ram);
		/* Anonymous memory that others can map is a memfd's. */
		if (config.share)
			config.kind = MEMORY_BACKEND_MEMFD;
	}
	return memory_backend_new(&config, error);
}

void machine_object_polling(const MachineObject *object, IoLoopPolling *polling)
{
	const QapiIothreadProperties *iothread = &object->options->u.iothread;

	*polling = (IoLoopPolling){
		.max_ns = iothread->poll_max_ns,
		.grow = iothread->poll_grow,
		.shrink = iothread->poll_shrink,
	};
}

static bool check_poll_parameter(const char *name, int64_t value, GError **error)
{
	return value >= 0 ||
	       error_fail(error, "%s value must be in range [0, %" PRId64 "]", name, INT64_MAX);
}

static bool create_iothread(MachineObjects *objects, MachineObject *object, GError **error)
{
	g_autofree char *name = g_strdup_printf("IO %s", object->options->id);
	QapiIothreadProperties *iothread = &object->options->u.iothread;
	IoLoopPolling polling;

	/* What was not given is what it is by default, for whoever asks later. */
	if (!iothread->has_poll_max_ns)
		iothread->poll_max_ns = DEFAULT_POLL_MAX_NS;
	iothread->has_poll_max_ns = iothread->has_poll_grow = iothread->has_poll_shrink = true;
	if (!check_poll_parameter("poll-max-ns", iothread->poll_max_ns, error) ||
	    !check_poll_parameter("poll-grow", iothread->poll_grow, error) ||
	    !check_poll_parameter("poll-shrink", iothread->poll_shrink, error))
		return false;
	object->io_loop = io_loop_new(name, machine_io_thread_init, objects->machine, error);
	if (!object->io_loop)
		return false;
	machine_object_polling(object, &polling);
	io_loop_set_polling(object->io_loop, &polling);
	return true;
}

bool machine_object_set(MachineObject *object, const char *property, json_object *value,
			GError **error)
{
	QapiIothreadProperties *iothread = &object->options->u.iothread;
	IoLoopPolling polling;
	int64_t *member = NULL;

	if (object->options->qom_type == QAPI_OBJECT_TYPE_IOTHREAD) {
		if (strcmp(property, "poll-max-ns") == 0)
			member = &iothread->poll_max_ns;
		else if (strcmp(property, "poll-grow") == 0)
			member = &iothread->poll_grow;
		else if (strcmp(property, "poll-shrink") == 0)
			member = &iothread->poll_shrink;
	}
	if (!member)
		return error_fail(error, "Property '%s.%s' cannot be changed", type_name(object),
				  property);
	if (json_object_get_type(value) != json_type_int)
		return error_fail(error, "Invalid parameter type for '%s', expected: integer",
				  property);
	if (!check_poll_parameter(property, json_object_get_int64(value), error))
		return false;
	*member = json_object_get_int64(value);
	machine_object_polling(object, &polling);
	io_loop_set_polling(object->io_loop, &polling);
	return true;
}

#define TAKE_LIMIT(config, kind, limits, name)                                                     \
	do {                                                                                       \
		if ((limits)->has_##name)                                                          \
			(config)->limits[kind].average = (uint64_t)(limits)->name;                 \
		if ((limits)->has_##name##_max)                                                    \
			(config)->limits[kind].max = (uint64_t)(limits)->name##_max;               \
		if ((limits)->has_##name##_max_length)                                             \
			(config)->limits[kind].max_length = (uint64_t)(limits)->name##_max_length; \
	} while (0)

static bool create_throttle_group(MachineObjects *objects, const QapiObjectOptions *options,
				  GError **error)
{
	const QapiThrottleLimits *limits = options->u.throttle_group.limits;
	ThrottleConfig config;

	throttle_config_init(&config);
	if (limits) {
		TAKE_LIMIT(&config, THROTTLE_BPS_TOTAL, limits, bps_total);
		TAKE_LIMIT(&config, THROTTLE_BPS_READ, limits, bps_read);
		TAKE_LIMIT(&config, THROTTLE_BPS_WRITE, limits, bps_write);
		TAKE_LIMIT(&config, THROTTLE_IOPS_TOTAL, limits, iops_total);
		TAKE_LIMIT(&config, THROTTLE_IOPS_READ, limits, iops_read);
		TAKE_LIMIT(&config, THROTTLE_IOPS_WRITE, limits, iops_write);
		if (limits->has_iops_size)
			config.iops_size = (uint64_t)limits->iops_size;
	}
	return block_nodes_add_throttle_group(machine_block_nodes(objects->machine), options->id,
					      &config, error);
}

/* Nothing here is a client of TLS, which is what they are for where nothing is said. */
static bool check_tls_credentials(const QapiTlsCredsX509Properties *tls, GError **error)
{
	if (!tls->has_endpoint)
		return error_fail(error, "there are credentials with endpoint=server only");
	return tls->dir || error_fail(error, "dir=DIRECTORY says where the certificates are");
}

static bool create(MachineObjects *objects, MachineObject *object, GError **error)
{
	const QapiObjectOptions *options = object->options;

	switch (options->qom_type) {
	case QAPI_OBJECT_TYPE_IOTHREAD:
		return create_iothread(objects, object, error);
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_FILE:
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_MEMFD:
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_RAM:
		object->memory_backend =
			new_memory_backend(options, objects->machine->config, error);
		return object->memory_backend != NULL;
	case QAPI_OBJECT_TYPE_RNG_BUILTIN:
		object->rng = rng_backend_new_builtin();
		return true;
	case QAPI_OBJECT_TYPE_RNG_RANDOM:
		object->rng = rng_backend_new_random(options->u.rng_random.filename, error);
		return object->rng != NULL;
	case QAPI_OBJECT_TYPE_THROTTLE_GROUP:
		return create_throttle_group(objects, options, error);
	case QAPI_OBJECT_TYPE_TLS_CREDS_X509:
		return check_tls_credentials(&options->u.tls_creds_x509, error);
	}
	return error_fail(error, "there is no such type of object");
}

MachineObject *machine_objects_add(MachineObjects *objects, QapiObjectOptions *options,
				   GError **error)
{
	MachineObject *object = g_new0(MachineObject, 1);
	bool done;

	object->options = options;
	if (machine_objects_find(objects, options->id))
		done = error_fail(error, "attempt to add duplicate object '%s'", options->id);
	else if (*options->id == '\0')
		done = error_fail(error, "an object's id must not be empty");
	else
		done = create(objects, object, error);
	if (!done) {
		machine_object_free(object);
		return NULL;
	}
	g_ptr_array_add(objects->objects, object);
	return object;
}

MachineObject *machine_objects_find(MachineObjects *objects, const char *id)
{
	for (unsigned i = 0; i < objects->objects->len; i++) {
		MachineObject *object = objects->objects->pdata[i];

		if (strcmp(object->options->id, id) == 0)
			return object;
	}
	return NULL;
}

bool machine_objects_remove(MachineObjects *objects, const char *id, GError **error)
{
	MachineObject *object = machine_objects_find(objects, id);

	if (!object)
		return error_fail(error, "object '%s' not found", id);
	if (object->is_ram || objects->in_use(objects->machine, id) ||
	    (object->options->qom_type == QAPI_OBJECT_TYPE_THROTTLE_GROUP &&
	     !block_nodes_remove_throttle_group(machine_block_nodes(objects->machine), id)))
		return error_fail(error, "object '%s' (%s) is in use, can not be deleted", id,
				  type_name(object));
	g_ptr_array_remove(objects->objects, object);
	return true;
}

void machine_objects_foreach(MachineObjects *objects, void (*func)(MachineObject *, gpointer),
			     gpointer data)
{
	for (unsigned i = 0; i < objects->objects->len; i++)
		func(objects->objects->pdata[i], data);
}

MemoryBackend *machine_object_memory_backend(const MachineObject *object)
{
	switch (object->options->qom_type) {
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_FILE:
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_MEMFD:
	case QAPI_OBJECT_TYPE_MEMORY_BACKEND_RAM:
		return object->memory_backend;
	default:
		return NULL;
	}
}

IoLoop *machine_object_io_loop(const MachineObject *object)
{
	return object->options->qom_type == QAPI_OBJECT_TYPE_IOTHREAD ? object->io_loop : NULL;
}

RngBackend *machine_object_rng(const MachineObject *object)
{
	bool is_rng = object->options->qom_type == QAPI_OBJECT_TYPE_RNG_BUILTIN ||
		      object->options->qom_type == QAPI_OBJECT_TYPE_RNG_RANDOM;

	return is_rng ? object->rng : NULL;
}
