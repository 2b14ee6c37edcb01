/*
 * virtio_input.c: keyboard, mouse and tablet (virtio 1.2 §5.8)
 *
 * Events are those of Linux. They come on the main thread, wait in a ring and go into the driver's
 * buffers on the loop. A driver that gives no buffers loses the newest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/virtio/virtio_input.h"

#include <linux/input-event-codes.h>
#include <linux/input.h>
#include <linux/virtio_input.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/display/display.h"
#include "vmm/display/input.h"
#include "vmm/display/input_keys.h"
#include "vmm/virtio/virtio_pci.h"

#define VIRTIO_ID_INPUT	   18
#define PCI_CLASS_KEYBOARD 0x090000
#define PCI_CLASS_MOUSE	   0x090200
#define PCI_CLASS_INPUT	   0x098000
#define QUEUE_SIZE	   64
#define PENDING_EVENTS	   256u

/* What QEMU's devices say that they are. */
#define INPUT_VENDOR  0x0627
#define INPUT_VERSION 1

enum { EVENT_QUEUE, STATUS_QUEUE, QUEUES };

typedef struct VirtioInput {
	VirtioDevice virtio;
	InputDevice *input;

	GMutex lock; /* what follows */
	struct virtio_input_event pending[PENDING_EVENTS];
	unsigned first, n_pending;

	uint8_t select, subselect; /* device lock */
} VirtioInput;

typedef struct VirtioInputModel {
	const char *name; /* as the guest sees it */
	uint16_t product;
	unsigned kinds; /* InputKind */
} VirtioInputModel;

static const uint16_t button_codes[INPUT_BUTTONS] = {
	[INPUT_BUTTON_LEFT] = BTN_LEFT,	  [INPUT_BUTTON_MIDDLE] = BTN_MIDDLE,
	[INPUT_BUTTON_RIGHT] = BTN_RIGHT, [INPUT_BUTTON_SIDE] = BTN_SIDE,
	[INPUT_BUTTON_EXTRA] = BTN_EXTRA,
};

static VirtioInput *virtio_input(VirtioDevice *device)
{
	return (VirtioInput *)device;
}

static const VirtioInputModel *model_of(const VirtioInput *input)
{
	static const VirtioInputModel models[] = {
		{ "QEMU Virtio Keyboard", 1, INPUT_KEYBOARD },
		{ "QEMU Virtio Mouse", 2, INPUT_RELATIVE },
		{ "QEMU Virtio Tablet", 3, INPUT_ABSOLUTE },
	};
	const VirtioDeviceType *type = virtio_device_type(&input->virtio);

	return &models[type == &virtio_keyboard_type ? 0 : type == &virtio_mouse_type ? 1 : 2];
}

/* Give the driver what waits. Loop thread. */
static void deliver(gpointer data)
{
	VirtioInput *input = data;
	VirtioQueue *queue = &input->virtio.queues[EVENT_QUEUE];
	bool any = false;

	if (!virtio_device_is_active(&input->virtio))
		return;
	g_mutex_lock(&input->lock);
	while (input->n_pending > 0) {
		VirtqueueElement *element = virtqueue_pop(&queue->ring);
		uint32_t written;

		if (!element)
			break;
		written = iov_copy_to(element->iov + element->n_out, element->n_in, 0,
				      &input->pending[input->first], sizeof(input->pending[0]));
		virtqueue_push(&queue->ring, element, written);
		input->first = (input->first + 1) % PENDING_EVENTS;
		input->n_pending--;
		any = true;
	}
	g_mutex_unlock(&input->lock);
	if (any)
		virtio_queue_publish(queue);
}

static void append_event(VirtioInput *input, uint16_t type, uint16_t code, int32_t value)
{
	g_mutex_lock(&input->lock);
	if (input->n_pending < PENDING_EVENTS) {
		unsigned at = (input->first + input->n_pending++) % PENDING_EVENTS;

		input->pending[at] = (struct virtio_input_event){
			.type = GUINT16_TO_LE(type),
			.code = GUINT16_TO_LE(code),
			.value = GUINT32_TO_LE((uint32_t)value),
		};
	}
	g_mutex_unlock(&input->lock);
}

static void input_on_key(void *opaque, unsigned code, bool down)
{
	append_event(opaque, EV_KEY, (uint16_t)code, down);
}

static void input_on_button(void *opaque, InputButton button, bool down)
{
	switch (button) {
	case INPUT_BUTTON_WHEEL_UP:
	case INPUT_BUTTON_WHEEL_DOWN:
		if (down)
			append_event(opaque, EV_REL, REL_WHEEL,
				     button == INPUT_BUTTON_WHEEL_UP ? 1 : -1);
		break;
	case INPUT_BUTTON_WHEEL_LEFT:
	case INPUT_BUTTON_WHEEL_RIGHT:
		if (down)
			append_event(opaque, EV_REL, REL_HWHEEL,
				     button == INPUT_BUTTON_WHEEL_RIGHT ? 1 : -1);
		break;
	default:
		append_event(opaque, EV_KEY, button_codes[button], down);
		break;
	}
}

static void input_on_move(void *opaque, InputAxis axis, int32_t by)
{
	append_event(opaque, EV_REL, axis == INPUT_AXIS_X ? REL_X : REL_Y, by);
}

static void input_on_position(void *opaque, InputAxis axis, int32_t at)
{
	append_event(opaque, EV_ABS, axis == INPUT_AXIS_X ? ABS_X : ABS_Y, at);
}

static void input_on_sync(void *opaque)
{
	VirtioInput *input = opaque;

	append_event(input, EV_SYN, SYN_REPORT, 0);
	io_loop_post(input->virtio.loop, deliver, input);
}

static const InputDeviceOps input_ops = {
	.key = input_on_key,
	.button = input_on_button,
	.move = input_on_move,
	.position = input_on_position,
	.sync = input_on_sync,
};

/* What the driver tells of lights and sounds: there are none, so it is only given back. */
static bool take_status(VirtioQueue *queue, VirtqueueElement *element)
{
	virtqueue_push(&queue->ring, element, 0);
	return true;
}

static void input_queue_ready(VirtioDevice *device, VirtioQueue *queue)
{
	if (queue->ring.index == STATUS_QUEUE)
		virtio_queue_process(queue, take_status);
	else
		deliver(device);
}

static void set_bit(struct virtio_input_config *config, unsigned bit)
{
	config->u.bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
	config->size = (uint8_t)MAX(config->size, bit / 8 + 1);
}

/* §5.8.5: the events of type @type that the device has. */
static void describe_events(struct virtio_input_config *config, unsigned kinds, unsigned type)
{
	bool pointer = kinds & (INPUT_RELATIVE | INPUT_ABSOLUTE);

	if (type == EV_KEY && pointer) {
		for (unsigned i = 0; i < G_N_ELEMENTS(button_codes); i++) {
			if (button_codes[i])
				set_bit(config, button_codes[i]);
		}
	} else if (type == EV_KEY) {
		for (unsigned code = 1; code < INPUT_KEY_CODES; code++) {
			if (input_key_scan_code(code))
				set_bit(config, code);
		}
	} else if (type == EV_REP && !pointer) {
		config->size = 1; /* the driver repeats keys that are held */
	} else if (type == EV_REL && pointer) {
		set_bit(config, REL_WHEEL);
		set_bit(config, REL_HWHEEL);
		if (kinds & INPUT_RELATIVE) {
			set_bit(config, REL_X);
			set_bit(config, REL_Y);
		}
	} else if (type == EV_ABS && (kinds & INPUT_ABSOLUTE)) {
		set_bit(config, ABS_X);
		set_bit(config, ABS_Y);
	}
}

static void input_read_config(VirtioDevice *device, uint8_t *bytes)
{
	VirtioInput *input = virtio_input(device);
	const VirtioInputModel *model = model_of(input);
	struct virtio_input_config *config = (struct virtio_input_config *)(void *)bytes;

	config->select = input->select;
	config->subsel = input->subselect;
	switch (input->select) {
	case VIRTIO_INPUT_CFG_ID_NAME:
		if (input->subselect == 0) {
			config->size = (uint8_t)strlen(model->name);
			memcpy(config->u.string, model->name, config->size);
		}
		break;
	case VIRTIO_INPUT_CFG_ID_DEVIDS:
		if (input->subselect == 0) {
			config->size = sizeof(config->u.ids);
			config->u.ids = (struct virtio_input_devids){
				.bustype = GUINT16_TO_LE(BUS_VIRTUAL),
				.vendor = GUINT16_TO_LE(INPUT_VENDOR),
				.product = GUINT16_TO_LE(model->product),
				.version = GUINT16_TO_LE(INPUT_VERSION),
			};
		}
		break;
	case VIRTIO_INPUT_CFG_EV_BITS:
		describe_events(config, model->kinds, input->subselect);
		break;
	case VIRTIO_INPUT_CFG_ABS_INFO:
		if ((model->kinds & INPUT_ABSOLUTE) && input->subselect <= ABS_Y) {
			config->size = sizeof(config->u.abs);
			config->u.abs.max = GUINT32_TO_LE((uint32_t)INPUT_POSITION_MAX);
		}
		break;
	default: /* there is no such thing: size 0 says so */
		break;
	}
}

static void input_write_config(VirtioDevice *device, unsigned offset, uint32_t value, unsigned size)
{
	VirtioInput *input = virtio_input(device);

	for (unsigned i = 0; i < size; i++, value >>= 8) {
		if (offset + i == offsetof(struct virtio_input_config, select))
			input->select = (uint8_t)value;
		else if (offset + i == offsetof(struct virtio_input_config, subsel))
			input->subselect = (uint8_t)value;
	}
}

static void input_start(VirtioDevice *device)
{
	/* While the machine pauses the driver listens on: it finds later what came meanwhile. */
	input_device_set_active(virtio_input(device)->input, true);
}

static void input_reset(VirtioDevice *device)
{
	VirtioInput *input = virtio_input(device);

	input_device_set_active(input->input, false);
	input->select = input->subselect = 0;
	g_mutex_lock(&input->lock);
	input->n_pending = 0;
	g_mutex_unlock(&input->lock);
}

static bool input_setup(VirtioDevice *device, GError **error)
{
	VirtioInput *input = virtio_input(device);
	Display *display = virtio_device_services(device)->display;

	if (!virtio_device_add_queues(device, QUEUES, QUEUE_SIZE, error))
		return false;
	g_mutex_init(&input->lock);
	input->input = input_add_device(display_input(display), device->pci.device.id,
					model_of(input)->kinds, &input_ops, input);
	return true;
}

static void nothing(G_GNUC_UNUSED gpointer data)
{
}

static void input_teardown(VirtioDevice *device)
{
	VirtioInput *input = virtio_input(device);

	input_remove_device(display_input(virtio_device_services(device)->display), input->input);
	/* What was posted before runs before this. */
	io_loop_run_sync(device->loop, nothing, NULL);
	g_mutex_clear(&input->lock);
}

/* Whether a driver listens follows from its status. */
static bool input_loaded(void *object, GError **error)
{
	VirtioInput *input = object;

	if (input->first >= PENDING_EVENTS || input->n_pending > PENDING_EVENTS)
		return error_fail(error, "%s has more events than there is room for",
				  input->virtio.pci.device.path);
	input_device_set_active(input->input, input->virtio.status & VIRTIO_STATUS_DRIVER_OK);
	return true;
}

static const StateField input_fields[] = {
	STATE_PART(VirtioInput, virtio, &virtio_device_state),
	STATE_FIELD(VirtioInput, select, STATE_UINT8),
	STATE_FIELD(VirtioInput, subselect, STATE_UINT8),
	STATE_FIELD(VirtioInput, first, STATE_UINT32),
	STATE_FIELD(VirtioInput, n_pending, STATE_UINT32),
	STATE_RAW(VirtioInput, pending),
	STATE_END,
};

static const StateTable input_state = {
	.name = "virtio-input",
	.version = 1,
	.minimum_version = 1,
	.fields = input_fields,
	.after_load = input_loaded,
};

#define VIRTIO_INPUT_TYPE(name_, description_, class_)                                       \
	{                                                                                    \
		.pci = {                                                                   \
			.device = {                                                        \
				.name = (name_),                                           \
				.description = (description_),                             \
				.category = "Input",                                       \
				.bus_kind = PCI_BUS_KIND,                                  \
				.instance_size = sizeof(VirtioInput),                      \
				.properties = { virtio_device_properties,                  \
						pci_device_properties },                   \
				.state = &input_state,                                     \
				.hotpluggable = true,                                      \
				.user_creatable = true,                                    \
				.realize = virtio_device_realize,                          \
				.unrealize = virtio_device_unrealize,                      \
				.reset = virtio_device_reset,                              \
				.pause = virtio_device_pause,                              \
				.resume = virtio_device_resume,                            \
			},                                                                 \
			VIRTIO_PCI_TYPE(VIRTIO_ID_INPUT, class_),                          \
		},                                                                         \
		.config_size = sizeof(struct virtio_input_config),                         \
		.setup = input_setup,                                                      \
		.teardown = input_teardown,                                                \
		.reset = input_reset,                                                      \
		.read_config = input_read_config,                                          \
		.write_config = input_write_config,                                        \
		.start = input_start,                                                      \
		.queue_ready = input_queue_ready, \
	}

const VirtioDeviceType virtio_keyboard_type =
	VIRTIO_INPUT_TYPE("virtio-keyboard-pci", "virtio keyboard", PCI_CLASS_KEYBOARD);
const VirtioDeviceType virtio_mouse_type =
	VIRTIO_INPUT_TYPE("virtio-mouse-pci", "virtio mouse", PCI_CLASS_MOUSE);
const VirtioDeviceType virtio_tablet_type =
	VIRTIO_INPUT_TYPE("virtio-tablet-pci", "virtio tablet", PCI_CLASS_INPUT);
