/*
 * vnc_module.c: RFB by libvncserver, a thread and a screen of its own for each client
 *
 * libvncserver's screens can be many, so every client gets one with the same pixels behind it. It
 * takes over when a client has passed the handshake (vnc_handshake.h).
 * Pixels are read while the guest draws: what is half done is sent again with the damage that
 * follows. Of the messages that libvncserver knows only RFB's own are let through to it: there are
 * no file transfers, chats or scaled screens here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rfb/rfb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/display/vnc_cursor.h"
#include "vmm/display/vnc_cut_text.h"
#include "vmm/display/vnc_handshake.h"
#include "vmm/display/vnc_module.h"
#include "vmm/display/vnc_tls.h"

/* For how long libvncserver waits for the rest of a message, or for room to write: ms. */
#define CLIENT_WAIT_MS 10000
/* In this time a new client has to get through the handshake: s. */
#define HANDSHAKE_S 60
/* Rectangles that wait for the thread; more become all of the screen. */
#define DAMAGE_RECTS 64u

/* The extended key event of QEMU (RFB protocol, "QEMU Client Message"). */
#define MESSAGE_QEMU	      255
#define ENCODING_EXTENDED_KEY (-258)

typedef struct ExtendedKey {
	uint8_t kind; /* 0 */
	uint16_t down;
	uint32_t keysym, scan;
} __attribute__((packed)) ExtendedKey;

struct VncClient {
	const VncClientOps *ops;
	void *opaque;
	VncTlsLink *link; /* NULL: in the clear */
	int fd;		  /* libvncserver's, in the clear: the client's, or of @link */
	int wake_fd;	  /* eventfd: there is something new below, or an end */
	char *name;

	GMutex lock;	 /* what follows */
	GThread *thread; /* NULL: it is @link's business so far */
	bool closing;
	int control_fd;		 /* the same socket as @fd, which is ours to shut down; or -1 */
	DisplaySurface *surface; /* NULL: the same as before */
	bool has_cursor;
	DisplayCursor *cursor;
	unsigned n_damage;
	DisplayRect damage[DAMAGE_RECTS];
	char *text; /* NULL: the same as before */

	/* The thread's. */
	rfbScreenInfoPtr screen;
	rfbClientPtr rfb;
	DisplaySurface *shown;
	DisplayCursor *cursor_shown; /* NULL: the guest has none */
	rfbCursorPtr rfb_cursor;     /* the same, libvncserver's */
	bool alpha;		     /* the client draws cursors with alpha */
	VncHandshake handshake;
	bool passed; /* the handshake is over */
	bool ready, shared;
	time_t deadline;
};

static VncClient *client_of(rfbClientPtr rfb)
{
	return rfb->screen->screenData;
}

static bool check_password(void *opaque, const uint8_t challenge[static VNC_CHALLENGE_SIZE],
			   const uint8_t response[static VNC_CHALLENGE_SIZE])
{
	const VncClient *client = opaque;
	char password[VNC_PASSWORD_MAX + 1];
	unsigned char expected[CHALLENGESIZE];
	unsigned difference = 0;

	G_STATIC_ASSERT(CHALLENGESIZE == VNC_CHALLENGE_SIZE);
	if (!client->ops->get_password(client->opaque, password))
		return false;
	memcpy(expected, challenge, sizeof(expected));
	rfbEncryptBytes(expected, password);
	explicit_bzero(password, sizeof(password));
	for (unsigned i = 0; i < sizeof(expected); i++)
		difference |= expected[i] ^ response[i];
	return difference == 0;
}

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr rfb)
{
	VncClient *client = client_of(rfb);

	client->ops->key(client->opaque, keysym, 0, down);
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr rfb)
{
	VncClient *client = client_of(rfb);

	client->ops->pointer(client->opaque, (unsigned)MAX(x, 0), (unsigned)MAX(y, 0),
			     (unsigned)buttons);
}

/*
 * The client's window has another size (SetDesktopSize). It hears of the new screen when the guest
 * has one, or at once that there will be none.
 */
static int on_set_size(int width, int height, int n_screens, rfbExtDesktopScreen *screens,
		       rfbClientPtr rfb)
{
	VncClient *client = client_of(rfb);

	(void)screens;
	if (n_screens != 1 || width <= 0 || height <= 0)
		return rfbExtDesktopSize_InvalidScreenLayout;
	if (!client->ops->suggest_size(client->opaque, (unsigned)width, (unsigned)height))
		return rfbExtDesktopSize_ResizeProhibited;
	return rfbExtDesktopSize_Success;
}

/* Latin-1; UTF-8 does not come this way. */
static void on_cut_text(char *text, int length, rfbClientPtr rfb)
{
	g_autofree char *utf8 = vnc_cut_text_from_latin1(text, (size_t)length);
	VncClient *client = client_of(rfb);

	client->ops->copied(client->opaque, utf8, strlen(utf8));
}

static void on_release_all(rfbClientPtr rfb)
{
	(void)rfb;
}

/*
 * A client that draws no cursors itself would have one drawn into the pixels, which are the
 * guest's.
 */
static rfbCursorPtr on_get_cursor(rfbClientPtr rfb)
{
	return rfb->enableCursorShapeUpdates ? client_of(rfb)->rfb_cursor : NULL;
}

/* The client hears that it may send extended key events by an empty rectangle. */
static bool enable_extended_key(rfbClientPtr rfb)
{
	rfbFramebufferUpdateMsg update = { .type = rfbFramebufferUpdate, .nRects = Swap16IfLE(1) };
	rfbFramebufferUpdateRectHeader header = { .encoding = Swap32IfLE(
							  (uint32_t)ENCODING_EXTENDED_KEY) };

	header.r.w = Swap16IfLE((uint16_t)rfb->screen->width);
	header.r.h = Swap16IfLE((uint16_t)rfb->screen->height);
	return rfbWriteExact(rfb, (char *)&update, sz_rfbFramebufferUpdateMsg) >= 0 &&
	       rfbWriteExact(rfb, (char *)&header, sz_rfbFramebufferUpdateRectHeader) >= 0;
}

/* The client knows something that libvncserver does not. */
static rfbBool enable_encoding(rfbClientPtr rfb, void **data, int encoding)
{
	(void)data;
	if (encoding == ENCODING_EXTENDED_KEY)
		return enable_extended_key(rfb);
	if (encoding == VNC_CURSOR_ALPHA)
		client_of(rfb)->alpha = true;
	return encoding == VNC_CURSOR_ALPHA;
}

static rfbBool take_extended_key(rfbClientPtr rfb, void *data, const rfbClientToServerMsg *message)
{
	VncClient *client = client_of(rfb);
	ExtendedKey key;

	(void)data;
	if (message->type != MESSAGE_QEMU)
		return FALSE;
	if (rfbReadExact(rfb, (char *)&key, sizeof(key)) <= 0 || key.kind != 0) {
		rfbCloseClient(rfb);
		return TRUE;
	}
	client->ops->key(client->opaque, Swap32IfLE(key.keysym), Swap32IfLE(key.scan),
			 key.down != 0);
	return TRUE;
}

static rfbBool extension_new_client(rfbClientPtr rfb, void **data)
{
	(void)rfb, (void)data;
	return TRUE;
}

static void register_extensions(void)
{
	static int encodings[] = { ENCODING_EXTENDED_KEY, VNC_CURSOR_ALPHA, 0 };
	static rfbProtocolExtension extension = {
		.newClient = extension_new_client,
		.pseudoEncodings = encodings,
		.enablePseudoEncoding = enable_encoding,
		.handleMessage = take_extended_key,
	};

	rfbLogEnable(0);
	rfbRegisterProtocolExtension(&extension);
}

/* 32 bits, 0x00RRGGBB: not the order that libvncserver would take. */
static void set_pixels(VncClient *client)
{
	rfbScreenInfoPtr screen = client->screen;

	screen->paddedWidthInBytes = (int)client->shown->stride;
	screen->serverFormat.redShift = 16;
	screen->serverFormat.greenShift = 8;
	screen->serverFormat.blueShift = 0;
	if (client->rfb)
		screen->setTranslateFunction(client->rfb);
}

static bool make_screen(VncClient *client)
{
	rfbScreenInfoPtr screen = rfbGetScreen(NULL, NULL, (int)client->shown->width,
					       (int)client->shown->height, 8, 3, 4);

	if (!screen)
		return false;
	client->screen = screen;
	screen->screenData = client;
	screen->desktopName = client->name;
	screen->frameBuffer = (char *)client->shown->pixels;
	set_pixels(client);
	screen->autoPort = FALSE;
	screen->port = screen->ipv6port = 0;
	screen->alwaysShared = TRUE;
	screen->deferUpdateTime = 0;
	screen->maxClientWait = CLIENT_WAIT_MS;
	screen->fdQuota = 1.0f;
	screen->cursor = NULL;
	screen->getCursorPtr = on_get_cursor;
	screen->kbdAddEvent = on_key;
	screen->kbdReleaseAllKeys = on_release_all;
	screen->ptrAddEvent = on_pointer;
	screen->setXCutText = on_cut_text;
	screen->setDesktopSizeHook = on_set_size;
	/* It sends its version. */
	client->rfb = rfbNewClient(screen, client->fd);
	return client->rfb != NULL;
}

static void show_surface(VncClient *client, DisplaySurface *surface)
{
	bool resized =
		surface->width != client->shown->width || surface->height != client->shown->height;

	client->ops->surface_unref(client->shown);
	client->shown = surface;
	if (resized) {
		rfbNewFramebuffer(client->screen, (char *)surface->pixels, (int)surface->width,
				  (int)surface->height, 8, 3, 4);
	} else {
		client->screen->frameBuffer = (char *)surface->pixels;
		rfbMarkRectAsModified(client->screen, 0, 0, (int)surface->width,
				      (int)surface->height);
	}
	set_pixels(client);
}

/* Have the client draw the guest's cursor from now on. */
static void offer_cursor(VncClient *client)
{
	if (client->alpha)
		vnc_cursor_send_alpha(client->rfb, client->cursor_shown);
	else
		client->rfb->cursorWasChanged = TRUE;
}

static void drop_cursor(VncClient *client)
{
	if (client->rfb_cursor)
		rfbFreeCursor(client->rfb_cursor);
	client->rfb_cursor = NULL;
	if (client->cursor_shown)
		client->ops->cursor_unref(client->cursor_shown);
	client->cursor_shown = NULL;
}

/* @cursor, or NULL, is the client's from here on. */
static void show_cursor(VncClient *client, DisplayCursor *cursor)
{
	drop_cursor(client);
	client->cursor_shown = cursor;
	if (cursor)
		client->rfb_cursor = vnc_cursor_new(cursor);
	offer_cursor(client);
}

/* Take over what the server has left. Returns false at the end. */
static bool take_news(VncClient *client)
{
	DisplayRect damage[DAMAGE_RECTS];
	DisplaySurface *surface;
	DisplayCursor *cursor;
	g_autofree char *text = NULL;
	bool has_cursor, closing;
	unsigned n_damage;
	eventfd_t count;

	eventfd_read(client->wake_fd, &count);
	g_mutex_lock(&client->lock);
	closing = client->closing;
	surface = g_steal_pointer(&client->surface);
	has_cursor = client->has_cursor;
	cursor = g_steal_pointer(&client->cursor);
	text = g_steal_pointer(&client->text);
	n_damage = client->n_damage;
	memcpy(damage, client->damage, n_damage * sizeof(damage[0]));
	client->has_cursor = false;
	client->n_damage = 0;
	g_mutex_unlock(&client->lock);

	if (surface)
		show_surface(client, surface);
	/* libvncserver clips to its screen. */
	for (unsigned i = 0; i < n_damage; i++)
		rfbMarkRectAsModified(client->screen, (int)damage[i].x, (int)damage[i].y,
				      (int)(damage[i].x + damage[i].width),
				      (int)(damage[i].y + damage[i].height));
	if (has_cursor)
		show_cursor(client, cursor);
	if (text)
		vnc_cut_text_send(client->rfb, text);
	return !closing;
}

/* libvncserver goes on with ClientInit. */
static void take_over(VncClient *client)
{
	client->passed = true;
	client->rfb->protocolMinorVersion = (int)client->handshake.minor;
	client->rfb->state = RFB_INITIALISATION;
	if (client->handshake.minor == VNC_MINOR_MACOS && !client->handshake.password) {
		client->shared = true;
		client->rfb->state = RFB_INITIALISATION_SHARED;
		rfbProcessClientMessage(client->rfb);
	}
}

/* The same for a client that has passed on the thread of TLS. Returns false at its end. */
static bool take_over_link(VncClient *client)
{
	char greeting[sizeof(VNC_TLS_GREETING) - 1];

	if (recv(client->fd, greeting, sizeof(greeting), MSG_WAITALL) != sizeof(greeting))
		return false;
	take_over(client);
	return true;
}

/* Go on with the handshake, in the clear. Returns false at its bad end. */
static bool shake_hands(VncClient *client)
{
	VncHandshake *handshake = &client->handshake;
	VncHandshakeStep step;
	uint8_t data[VNC_CHALLENGE_SIZE];
	ssize_t n = recv(client->fd, data, vnc_handshake_wanted(handshake), MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	step = vnc_handshake_take(handshake, data, (size_t)n);
	if (step == VNC_HANDSHAKE_PASSWORD)
		step = vnc_handshake_answered(
			handshake, check_password(client, handshake->challenge, handshake->in));
	if (handshake->n_out > 0 &&
	    rfbWriteExact(client->rfb, (char *)handshake->out, (int)handshake->n_out) < 0)
		return false;
	handshake->n_out = 0;
	if (step == VNC_HANDSHAKE_PASSED)
		take_over(client);
	return step == VNC_HANDSHAKE_MORE || step == VNC_HANDSHAKE_PASSED;
}

/* Whether the message that comes is one of RFB's; its *@type, 0 where it has none. */
static bool is_allowed(VncClient *client, uint8_t *type)
{
	uint8_t first;

	*type = 0;
	if (recv(client->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		return true; /* the end, which libvncserver finds out */
	if (client->rfb->state == RFB_INITIALISATION)
		client->shared = first != 0;
	if (client->rfb->state != RFB_NORMAL)
		return true;
	*type = first;
	switch (first) {
	case rfbSetPixelFormat:
	case rfbSetEncodings:
	case rfbFramebufferUpdateRequest:
	case rfbKeyEvent:
	case rfbPointerEvent:
	case rfbClientCutText:
	case rfbSetDesktopSize:
	case MESSAGE_QEMU:
		return true;
	default:
		return false;
	}
}

/* A client that draws cursors with alpha gets them without libvncserver's doing. */
static void take_encodings(VncClient *client)
{
	client->alpha = false;
	rfbProcessClientMessage(client->rfb);
	if (!client->alpha || client->rfb->sock < 0)
		return;
	client->rfb->enableCursorShapeUpdates = FALSE;
	offer_cursor(client);
}

static bool process_message(VncClient *client)
{
	uint8_t type;

	if (!client->passed)
		return shake_hands(client);
	if (!is_allowed(client, &type))
		return false;
	if (type == rfbSetEncodings)
		take_encodings(client);
	else if (type != rfbClientCutText ||
		 !vnc_cut_text_take(client->rfb, client->ops->copied, client->opaque))
		rfbProcessClientMessage(client->rfb);
	return true;
}

static void serve(VncClient *client)
{
	struct pollfd polls[] = { { .fd = client->fd, .events = POLLIN },
				  { .fd = client->wake_fd, .events = POLLIN } };

	while (client->rfb->sock >= 0) {
		int timeout = client->ready ? -1 : 1000;

		if (poll(polls, G_N_ELEMENTS(polls), timeout) < 0 && errno != EINTR)
			return;
		if (!client->ready && time(NULL) > client->deadline)
			return;
		if (polls[1].revents && !take_news(client))
			return;
		if (polls[0].revents && !process_message(client))
			return;
		if (client->rfb->sock >= 0 && client->rfb->state == RFB_NORMAL) {
			if (!client->ready)
				client->ops->ready(client->opaque, client->shared);
			client->ready = true;
			rfbUpdateClient(client->rfb);
		}
	}
}

/* What libvncserver does not free with the client. */
static void drop_extensions(rfbClientPtr rfb)
{
	while (rfb->extensions) {
		rfbExtensionData *extension = rfb->extensions;

		rfb->extensions = extension->next;
		free(extension);
	}
}

static gpointer run(gpointer data)
{
	VncClient *client = data;

	client->deadline = time(NULL) + HANDSHAKE_S;
	if (make_screen(client) && (!client->passed || take_over_link(client)))
		serve(client);
	if (client->rfb) {
		if (client->rfb->sock >= 0)
			rfbCloseClient(client->rfb);
		drop_extensions(client->rfb);
		rfbClientConnectionGone(client->rfb);
	}
	if (client->screen) {
		drop_cursor(client);
		client->screen->frameBuffer = NULL;
		rfbScreenCleanup(client->screen);
	}
	client->ops->closed(client->opaque);
	return NULL;
}

/* Have a thread serve @fd, which is its own then; false, and @fd closed, where there cannot be. */
static bool start_thread(VncClient *client, int fd)
{
	g_mutex_lock(&client->lock);
	client->fd = fd;
	client->control_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* libvncserver keeps descriptors in an fd_set, and has no look at its size. */
	if (client->control_fd >= 0 && fd < FD_SETSIZE)
		client->thread = g_thread_try_new("VNC client", run, client, NULL);
	g_mutex_unlock(&client->lock);
	if (!client->thread)
		close(fd);
	return client->thread != NULL;
}

static bool link_passed(void *opaque, int fd, unsigned minor, const char *identity)
{
	VncClient *client = opaque;

	client->passed = true;
	client->handshake.minor = minor;
	if (identity)
		client->ops->identified(client->opaque, identity);
	if (start_thread(client, fd))
		return true;
	client->ops->closed(client->opaque);
	return false;
}

static void link_failed(void *opaque)
{
	VncClient *client = opaque;

	client->ops->closed(client->opaque);
}

static const VncTlsLinkOps link_ops = {
	.check = check_password,
	.passed = link_passed,
	.failed = link_failed,
};

static void vnc_free(VncClient *client)
{
	if (client->link)
		vnc_tls_link_free(client->link);
	if (client->thread)
		g_thread_join(client->thread);
	if (client->surface)
		client->ops->surface_unref(client->surface);
	if (client->cursor)
		client->ops->cursor_unref(client->cursor);
	client->ops->surface_unref(client->shown);
	g_mutex_clear(&client->lock);
	if (client->wake_fd >= 0)
		close(client->wake_fd);
	if (client->control_fd >= 0)
		close(client->control_fd);
	g_free(client->text);
	g_free(client->name);
	g_free(client);
}

/* Begin the handshake, here or on the thread of TLS. */
static bool start(VncClient *client, int fd, const VncClientConfig *config)
{
	VncHandshake *handshake = &client->handshake;
	uint8_t challenge[VNC_CHALLENGE_SIZE];

	if (getrandom(challenge, sizeof(challenge), 0) != sizeof(challenge)) {
		close(fd);
		return false;
	}
	vnc_handshake_start(handshake, config->password, config->tls != NULL, challenge);
	if (config->tls) {
		client->link = vnc_tls_link_new(config->tls, fd, handshake, &link_ops, client);
		return client->link != NULL;
	}
	handshake->n_out = 0; /* the version, which libvncserver sends */
	return start_thread(client, fd);
}

static VncClient *vnc_open(int fd, const VncClientConfig *config, DisplaySurface *surface,
			   const VncClientOps *ops, void *opaque)
{
	static gsize registered;
	VncClient *client;

	if (g_once_init_enter(&registered)) {
		register_extensions();
		g_once_init_leave(&registered, 1);
	}
	client = g_new0(VncClient, 1);
	client->ops = ops;
	client->opaque = opaque;
	client->fd = client->control_fd = -1;
	client->name = g_strdup(config->name);
	client->shown = ops->surface_ref(surface);
	g_mutex_init(&client->lock);
	client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (client->wake_fd < 0) {
		close(fd);
		vnc_free(client);
		return NULL;
	}
	if (!start(client, fd, config)) {
		vnc_free(client);
		return NULL;
	}
	return client;
}

static void wake(VncClient *client)
{
	eventfd_write(client->wake_fd, 1);
}

static void vnc_close(VncClient *client)
{
	g_mutex_lock(&client->lock);
	client->closing = true;
	/* Reads and writes that wait come to an end. */
	if (client->control_fd >= 0)
		shutdown(client->control_fd, SHUT_RDWR);
	g_mutex_unlock(&client->lock);
	if (client->link)
		vnc_tls_link_close(client->link);
	wake(client);
}

static void vnc_set_surface(VncClient *client, DisplaySurface *surface)
{
	g_mutex_lock(&client->lock);
	if (client->surface)
		client->ops->surface_unref(client->surface);
	client->surface = client->ops->surface_ref(surface);
	client->n_damage = 0;
	g_mutex_unlock(&client->lock);
	wake(client);
}

static void vnc_damage(VncClient *client, const DisplayRect *rect)
{
	g_mutex_lock(&client->lock);
	if (client->n_damage == DAMAGE_RECTS) {
		client->damage[0] = (DisplayRect){ 0, 0, DISPLAY_SIZE_MAX, DISPLAY_SIZE_MAX };
		client->n_damage = 1;
	}
	client->damage[client->n_damage++] = *rect;
	g_mutex_unlock(&client->lock);
	wake(client);
}

static void vnc_set_cursor(VncClient *client, DisplayCursor *cursor)
{
	g_mutex_lock(&client->lock);
	if (client->cursor)
		client->ops->cursor_unref(client->cursor);
	client->cursor = cursor ? client->ops->cursor_ref(cursor) : NULL;
	client->has_cursor = true;
	g_mutex_unlock(&client->lock);
	wake(client);
}

static void vnc_set_text(VncClient *client, const char *text)
{
	g_mutex_lock(&client->lock);
	g_free(client->text);
	client->text = g_strdup(text);
	g_mutex_unlock(&client->lock);
	wake(client);
}

__attribute__((visibility("default"))) const VncModule vireo_vnc_module = {
	.version = VNC_MODULE_VERSION,
	.tls_new = vnc_tls_new,
	.tls_reload = vnc_tls_reload,
	.tls_free = vnc_tls_free,
	.open = vnc_open,
	.close = vnc_close,
	.free = vnc_free,
	.set_surface = vnc_set_surface,
	.damage = vnc_damage,
	.set_cursor = vnc_set_cursor,
	.set_text = vnc_set_text,
};
