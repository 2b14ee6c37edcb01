/*
 * test-device-tree.c: creating, finding, plugging and removing devices
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "qmp/qmp_event.h"
#include "tests/device/fake_machine.h"
#include "vmm/base/error.h"

#include <string.h>

typedef struct Widget {
	Device device;
	uint32_t size;
	char *label;
	bool broken;
	unsigned n_resets, n_pauses;
} Widget;

typedef struct Shelf {
	Device device;
	Bus bus;
} Shelf;

static unsigned n_realized; /* widgets alive */

static bool widget_realize(Device *device, GError **error)
{
	Widget *widget = (Widget *)device;

	if (widget->broken)
		return error_fail(error, "widget is broken");
	n_realized++;
	return true;
}

static void widget_unrealize(G_GNUC_UNUSED Device *device)
{
	n_realized--;
}

static void widget_reset(Device *device)
{
	((Widget *)device)->n_resets++;
}

static void widget_pause(Device *device)
{
	((Widget *)device)->n_pauses++;
}

static const Property widget_properties[] = {
	{ .name = "size",
	  .kind = PROPERTY_UINT32,
	  .offset = offsetof(Widget, size),
	  .initial = 5,
	  .description = "how large it is" },
	{ .name = "label",
	  .kind = PROPERTY_STRING,
	  .offset = offsetof(Widget, label),
	  .required = true,
	  .description = "what it says" },
	PROPERTY_END,
};

static const Property broken_properties[] = {
	{ .name = "broken",
	  .kind = PROPERTY_BOOL,
	  .offset = offsetof(Widget, broken),
	  .description = "whether realize fails" },
	PROPERTY_END,
};

static const DeviceType widget_type = {
	.name = "widget",
	.description = "A widget",
	.category = "Misc",
	.bus_kind = "shelf",
	.instance_size = sizeof(Widget),
	.properties = { widget_properties, broken_properties },
	.hotpluggable = true,
	.user_creatable = true,
	.realize = widget_realize,
	.unrealize = widget_unrealize,
	.reset = widget_reset,
	.pause = widget_pause,
};

/* A bus with one place, whose guest lets go when the test says so. */
static bool shelf_claim(Bus *bus, Device *device, GError **error)
{
	if (bus->children->len > 0)
		return error_fail(error, "no room for %s", device->type->name);
	return true;
}

static void shelf_release(G_GNUC_UNUSED Bus *bus, G_GNUC_UNUSED Device *device)
{
}

static bool shelf_is_full(const Bus *bus)
{
	return bus->children->len > 0;
}

static bool shelf_request_unplug(G_GNUC_UNUSED Bus *bus, Device *device,
				 G_GNUC_UNUSED GError **error)
{
	/* A guest may be faster than the request. */
	return device->unplug_requested;
}

static const BusOps shelf_ops = {
	.claim = shelf_claim,
	.release = shelf_release,
	.is_full = shelf_is_full,
	.request_unplug = shelf_request_unplug,
};

static bool shelf_realize(Device *device, G_GNUC_UNUSED GError **error)
{
	Shelf *shelf = (Shelf *)device;

	bus_init(&shelf->bus, &shelf_ops, "shelf", device->id ? device->id : "shelf.0", device);
	shelf->bus.hotplug = true;
	device_tree_add_bus(device->tree, &shelf->bus);
	return true;
}

static void shelf_unrealize(Device *device)
{
	Shelf *shelf = (Shelf *)device;

	device_tree_remove_bus(device->tree, &shelf->bus);
	bus_clear(&shelf->bus);
}

static const DeviceType shelf_type = {
	.name = "shelf",
	.description = "A shelf",
	.category = "Bridge",
	.instance_size = sizeof(Shelf),
	.user_creatable = true,
	.realize = shelf_realize,
	.unrealize = shelf_unrealize,
};

static const DeviceType board_type = {
	.name = "board",
	.description = "Part of the board",
	.category = "Misc",
	.instance_size = sizeof(Device),
};

static const DeviceType *const types[] = { &widget_type, &shelf_type, &board_type, NULL };

typedef struct Fixture {
	FakeMachine *fake;
	DeviceTree *tree;
	QmpEventSink sink;
	GString *events;
} Fixture;

static void record_event(void *opaque, const char *name, json_object *data)
{
	g_string_append_printf(
		opaque, "%s %s;", name,
		json_object_to_json_string_ext(data, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(data);
}

static void set_up(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	fixture->fake = fake_machine_new(4096);
	fixture->events = g_string_new(NULL);
	fixture->sink = (QmpEventSink){ record_event, fixture->events };
	fixture->fake->services.events = &fixture->sink;
	fixture->tree = device_tree_new(types, &fixture->fake->services);
}

static void tear_down(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	device_tree_free(fixture->tree);
	g_assert_cmpuint(n_realized, ==, 0);
	fake_machine_free(fixture->fake);
	g_string_free(fixture->events, TRUE);
}

static Device *try_add(Fixture *fixture, const char *text, GError **error)
{
	json_object *options = json_tokener_parse(text);
	Device *device = device_tree_add(fixture->tree, options, error);

	json_object_put(options);
	return device;
}

static Device *add(Fixture *fixture, const char *text)
{
	g_autoptr(GError) error = NULL;
	Device *device = try_add(fixture, text, &error);

	g_assert_no_error(error);
	return device;
}

static void assert_refused(Fixture *fixture, const char *text, const char *reason)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(try_add(fixture, text, &error));
	if (!strstr(error->message, reason))
		g_error("%s: %s", text, error->message);
}

static void assert_list(json_object *list, const char *expected)
{
	g_assert_cmpstr(json_object_to_json_string_ext(list, JSON_C_TO_STRING_NOSLASHESCAPE), ==,
			expected);
	json_object_put(list);
}

static void test_add(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	Device *shelf = add(fixture, "{\"driver\":\"shelf\",\"id\":\"s0\"}");
	Device *widget = add(
		fixture, "{\"driver\":\"widget\",\"id\":\"w0\",\"label\":\"x\",\"size\":\"7\"}");

	g_assert_true(device_tree_find(fixture->tree, "w0") == widget);
	g_assert_true(device_tree_find(fixture->tree, "/machine/peripheral/s0") == shelf);
	g_assert_null(device_tree_find(fixture->tree, "none"));
	g_assert_true(widget->bus == device_tree_find_bus(fixture->tree, "s0"));
	g_assert_cmpuint(((Widget *)widget)->size, ==, 7);
	add(fixture, "{\"driver\":\"shelf\"}");
	widget = add(fixture, "{\"driver\":\"widget\",\"label\":\"y\",\"bus\":\"shelf.0\"}");
	g_assert_cmpstr(widget->path, ==, "/machine/peripheral-anon/device[1]");
	g_assert_cmpuint(((Widget *)widget)->size, ==, 5);
	device_tree_reset(fixture->tree);
	device_tree_pause(fixture->tree);
	g_assert_cmpuint(((Widget *)widget)->n_resets, ==, 1);
	g_assert_cmpuint(((Widget *)widget)->n_pauses, ==, 1);
	/* A device takes those on its bus with it. */
	device_tree_remove(fixture->tree, shelf);
	g_assert_null(device_tree_find(fixture->tree, "w0"));
	g_assert_cmpuint(n_realized, ==, 1);
	g_assert_cmpstr(fixture->events->str, ==, "");
}

static void test_refused(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	static const char widget[] = "{\"driver\":\"widget\",\"label\":\"x\"}";

	assert_refused(fixture, "{}", "'driver' is missing");
	assert_refused(fixture, "{\"driver\":1}", "'driver' expects a string");
	assert_refused(fixture, "{\"driver\":\"gadget\"}", "'gadget' is not a valid device model");
	assert_refused(fixture, "{\"driver\":\"board\"}", "'board' is not a valid device model");
	assert_refused(fixture, widget, "no 'shelf' bus found");
	add(fixture, "{\"driver\":\"shelf\",\"id\":\"s0\"}");
	assert_refused(fixture, "{\"driver\":\"widget\"}", "needs property 'label'");
	assert_refused(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"colour\":\"red\"}",
		       "property 'widget.colour' not found");
	assert_refused(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"size\":\"big\"}",
		       "device 'widget': property 'size'");
	assert_refused(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"bus\":\"s1\"}",
		       "bus 's1' not found");
	assert_refused(fixture, "{\"driver\":\"shelf\",\"bus\":\"s0\"}", "goes on no bus");
	assert_refused(fixture, "{\"driver\":\"shelf\",\"id\":\"s0\"}", "duplicate device ID 's0'");
	assert_refused(fixture, "{\"driver\":\"shelf\",\"id\":\"1\"}", "expects an identifier");
	assert_refused(fixture, "{\"driver\":\"shelf\",\"id\":\"a/b\"}", "expects an identifier");
	assert_refused(fixture, "{\"driver\":\"shelf\",\"id\":\"\"}", "expects an identifier");
	assert_refused(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"broken\":true}",
		       "widget is broken");
	/* None of these took the place. */
	add(fixture, widget);
	assert_refused(fixture, widget, "no 'shelf' bus has room");
	assert_refused(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"bus\":\"s0\"}",
		       "no room");
}

static void test_hotplug(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	Device *shelf = add(fixture, "{\"driver\":\"shelf\",\"id\":\"s0\"}");
	Device *widget = add(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"id\":\"w0\"}");

	/* Before the start nobody is asked. */
	g_assert_true(device_tree_request_remove(fixture->tree, widget, &error));
	g_assert_cmpstr(fixture->events->str, ==,
			"DEVICE_DELETED {\"device\":\"w0\",\"path\":\"/machine/peripheral/w0\"};");
	device_tree_set_started(fixture->tree);
	g_string_truncate(fixture->events, 0);
	assert_refused(fixture, "{\"driver\":\"shelf\"}", "'shelf' does not support hotplugging");
	g_assert_false(device_tree_request_remove(fixture->tree, shelf, &error));
	g_clear_error(&error);
	widget = add(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"id\":\"w0\"}");
	g_assert_true(widget->hotplugged);
	g_assert_cmpuint(((Widget *)widget)->n_resets, ==, 1);
	g_assert_true(device_tree_request_remove(fixture->tree, widget, &error));
	g_assert_cmpstr(fixture->events->str, ==, "");
	/* A guest that says so again and again, before anybody listens, has said so once. */
	for (unsigned i = 0; i < 3; i++)
		device_tree_post_unplug_refused(fixture->tree, widget);
	fake_machine_iterate(fixture->fake);
	g_assert_false(widget->unplug_requested);
	g_assert_cmpstr(fixture->events->str, ==,
			"DEVICE_UNPLUG_GUEST_ERROR "
			"{\"device\":\"w0\",\"path\":\"/machine/peripheral/w0\"};");
	g_string_truncate(fixture->events, 0);
	/* Two posts for one device are one removal. */
	g_assert_true(device_tree_request_remove(fixture->tree, widget, &error));
	device_tree_post_remove(fixture->tree, widget);
	device_tree_post_remove(fixture->tree, widget);
	g_assert_nonnull(device_tree_find(fixture->tree, "w0"));
	fake_machine_iterate(fixture->fake);
	g_assert_null(device_tree_find(fixture->tree, "w0"));
	g_assert_true(g_str_has_prefix(fixture->events->str, "DEVICE_DELETED "));
	/* A reset is consent, too; what was posted is moot then. */
	widget = add(fixture, "{\"driver\":\"widget\",\"label\":\"x\",\"id\":\"w1\"}");
	g_assert_true(device_tree_request_remove(fixture->tree, widget, &error));
	device_tree_post_remove(fixture->tree, widget);
	device_tree_reset(fixture->tree);
	g_assert_null(device_tree_find(fixture->tree, "w1"));
	fake_machine_iterate(fixture->fake);
}

static void test_queries(Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	add(fixture, "{\"driver\":\"shelf\",\"id\":\"s0\"}");
	add(fixture, "{\"driver\":\"widget\",\"id\":\"w0\",\"label\":\"x\"}");
	g_assert_nonnull(device_tree_add_builtin(fixture->tree, "board", NULL, NULL, &error));
	assert_list(
		device_type_list_properties(&widget_type),
		"[{\"name\":\"broken\",\"type\":\"bool\",\"description\":\"whether realize fails\","
		"\"default-value\":false},"
		"{\"name\":\"label\",\"type\":\"str\",\"description\":\"what it says\"},"
		"{\"name\":\"size\",\"type\":\"uint32\",\"description\":\"how large it is\","
		"\"default-value\":5}]");
	assert_list(device_tree_list_path(fixture->tree, "/machine/peripheral"),
		    "[{\"name\":\"type\",\"type\":\"string\"},"
		    "{\"name\":\"s0\",\"type\":\"child<shelf>\"},"
		    "{\"name\":\"w0\",\"type\":\"child<widget>\"}]");
	assert_list(device_tree_list_path(fixture->tree, "/machine/unattached"),
		    "[{\"name\":\"type\",\"type\":\"string\"},"
		    "{\"name\":\"device[0]\",\"type\":\"child<board>\"}]");
	g_assert_null(device_tree_list_path(fixture->tree, "/machine/none"));
	g_assert_null(device_tree_list_path(fixture->tree, "w0"));
	assert_list(
		device_tree_get_property(fixture->tree, "/machine/peripheral/w0", "label", &error),
		"\"x\"");
	assert_list(
		device_tree_get_property(fixture->tree, "/machine/peripheral/w0", "type", &error),
		"\"widget\"");
	g_assert_null(device_tree_get_property(fixture->tree, "/machine/x", "type", &error));
	g_assert_no_error(error);
	g_assert_null(device_tree_get_property(fixture->tree, "/machine/peripheral/w0", "colour",
					       &error));
	g_assert_nonnull(error);
}

static void test_help(void)
{
	g_autofree char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	device_types_print_help(types, stream);
	g_assert_true(device_type_print_help(types, "widget", stream));
	g_assert_false(device_type_print_help(types, "board", stream));
	fclose(stream);
	g_assert_cmpstr(text, ==,
			"Bridge devices:\n"
			"name \"shelf\", bus none, desc \"A shelf\"\n"
			"\nMisc devices:\n"
			"name \"widget\", bus shelf, desc \"A widget\"\n"
			"widget options:\n"
			"  broken=<bool>          - whether realize fails (default: false)\n"
			"  label=<str>            - what it says (required)\n"
			"  size=<uint32>          - how large it is (default: 5)\n");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/device-tree/" name, Fixture, NULL, set_up, func, tear_down)
	ADD("add", test_add);
	ADD("refused", test_refused);
	ADD("hotplug", test_hotplug);
	ADD("queries", test_queries);
	g_test_add_func("/device-tree/help", test_help);
	return g_test_run();
}
