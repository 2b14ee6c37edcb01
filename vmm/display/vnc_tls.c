/*
 * vnc_tls.c: TLS between a VNC client and the part of the module that speaks RFB
 *
 * A link is a source of the thread's main context: it goes on when one of its sockets can, a few
 * steps at a time. Of each direction one record at most waits in it; as long as that is so nothing
 * is read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/display/vnc_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/display/vnc_credentials.h"

/* In this time the connection has to be secured, and then somebody to have typed a password: us. */
#define SECURING_TIME (10 * G_USEC_PER_SEC)
#define PASSWORD_TIME (60 * G_USEC_PER_SEC)
/* Before others have their turn. */
#define STEPS_AT_ONCE 16u
/* What a record of TLS holds at most, bytes. */
#define RECORD_SIZE 16384u
/* What libvncserver begins with, and the client has had from the handshake. */
#define RFB_VERSION_SIZE 12u

struct VncTls {
	char *directory, *priority; /* of the config */
	bool verify_peer;
	GMainContext *context;
	GMainLoop *loop;
	GThread *thread; /* NULL before the first connection */

	GMutex lock; /* what follows */
	VncCredentials *credentials;
};

typedef struct Buffer {
	size_t start, end; /* what waits is in between */
	uint8_t data[RECORD_SIZE];
} Buffer;

typedef enum LinkState {
	LINK_SHAKING,  /* RFB's handshake, in the clear and then within TLS */
	LINK_SECURING, /* TLS's */
	LINK_CARRYING,
} LinkState;

typedef enum Progress { PROGRESS_NONE, PROGRESS_MADE, PROGRESS_OVER } Progress;

struct VncTlsLink {
	gint references;
	VncTls *tls;
	int fd; /* the client's; shut down by who likes, closed with the last reference */

	/* The thread's. */
	LinkState state;
	VncHandshake handshake;
	VncHandshakeStep step;
	gnutls_session_t session;    /* NULL: in the clear */
	VncCredentials *credentials; /* of @session; or NULL */
	int inner;		     /* our end of the pair, or -1 */
	size_t version_left;	     /* of what libvncserver begins with */
	Buffer *in, *out;	     /* from the client and to it; once it has passed */
	gpointer tag, inner_tag;
	gint64 deadline; /* monotonic, us; 0: none */

	GMutex lock;		  /* what follows */
	const VncTlsLinkOps *ops; /* NULL: nobody wants to know */
	void *opaque;
};

typedef struct LinkSource {
	GSource source;
	VncTlsLink *link;
} LinkSource;

VncTls *vnc_tls_new(const VncTlsConfig *config, GError **error)
{
	VncCredentials *credentials = vnc_credentials_load(config, error);
	VncTls *tls;

	if (!credentials)
		return NULL;
	tls = g_new0(VncTls, 1);
	tls->directory = g_strdup(config->directory);
	tls->priority = g_strdup(config->priority);
	tls->verify_peer = config->verify_peer;
	g_mutex_init(&tls->lock);
	tls->credentials = credentials;
	tls->context = g_main_context_new();
	tls->loop = g_main_loop_new(tls->context, FALSE);
	return tls;
}

bool vnc_tls_reload(VncTls *tls, GError **error)
{
	const VncTlsConfig config = { .directory = tls->directory, .priority = tls->priority };
	VncCredentials *credentials = vnc_credentials_load(&config, error), *old;

	if (!credentials)
		return false;
	g_mutex_lock(&tls->lock);
	old = tls->credentials;
	tls->credentials = credentials;
	g_mutex_unlock(&tls->lock);
	vnc_credentials_unref(old);
	return true;
}

void vnc_tls_free(VncTls *tls)
{
	if (!tls)
		return;
	if (tls->thread) {
		g_main_loop_quit(tls->loop);
		g_thread_join(tls->thread);
	}
	g_main_loop_unref(tls->loop);
	g_main_context_unref(tls->context); /* with the links that it still has */
	vnc_credentials_unref(tls->credentials);
	g_mutex_clear(&tls->lock);
	g_free(tls->directory);
	g_free(tls->priority);
	g_free(tls);
}

/* Links */

static void link_unref(VncTlsLink *link)
{
	if (!g_atomic_int_dec_and_test(&link->references))
		return;
	if (link->session)
		gnutls_deinit(link->session);
	vnc_credentials_unref(link->credentials);
	close(link->fd);
	if (link->inner >= 0)
		close(link->inner);
	g_free(link->in);
	g_free(link->out);
	g_mutex_clear(&link->lock);
	g_free(link);
}

/* Bytes that have come; 0: none now; -1: the end. */
static ssize_t link_receive(VncTlsLink *link, void *data, size_t size)
{
	ssize_t n;

	if (!link->session) {
		n = recv(link->fd, data, size, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		return n > 0 ? n : -1;
	}
	n = gnutls_record_recv(link->session, data, size);
	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ||
	    n == GNUTLS_E_WARNING_ALERT_RECEIVED)
		return 0;
	return n > 0 ? n : -1;
}

/* Bytes that have gone, likewise. */
static ssize_t link_send(VncTlsLink *link, const void *data, size_t size)
{
	ssize_t n;

	if (!link->session) {
		n = send(link->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		return n;
	}
	n = gnutls_record_send(link->session, data, size);
	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
		return 0;
	return n > 0 ? n : -1;
}

static Progress begin_tls(VncTlsLink *link)
{
	static gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT
	};
	VncTls *tls = link->tls;

	g_mutex_lock(&tls->lock);
	link->credentials = vnc_credentials_ref(tls->credentials);
	g_mutex_unlock(&tls->lock);
	if (gnutls_init(&link->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
		link->session = NULL;
		return PROGRESS_OVER;
	}
	if (gnutls_priority_set(link->session, link->credentials->priority) < 0 ||
	    gnutls_credentials_set(link->session, GNUTLS_CRD_CERTIFICATE,
				   link->credentials->certificates) < 0)
		return PROGRESS_OVER;
	if (tls->verify_peer) {
		gnutls_certificate_server_set_request(link->session, GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_cert2(link->session, &purpose, 1, 0);
	}
	gnutls_transport_set_int(link->session, link->fd);
	link->state = LINK_SECURING;
	return PROGRESS_MADE;
}

static Progress secure(VncTlsLink *link)
{
	int result = gnutls_handshake(link->session);

	if (result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED)
		return PROGRESS_NONE;
	if (result < 0)
		return gnutls_error_is_fatal(result) ? PROGRESS_OVER : PROGRESS_MADE;
	link->state = LINK_SHAKING;
	link->step = vnc_handshake_secured(&link->handshake);
	link->deadline = g_get_monotonic_time() + PASSWORD_TIME;
	return PROGRESS_MADE;
}

/* The subject of the client's certificate, which has been verified. */
static char *identify(const VncTlsLink *link)
{
	g_autofree char *name = NULL;
	const gnutls_datum_t *chain;
	gnutls_x509_crt_t certificate;
	size_t size = 0;
	unsigned n = 0;

	chain = link->tls->verify_peer ? gnutls_certificate_get_peers(link->session, &n) : NULL;
	if (!chain || n == 0 || gnutls_x509_crt_init(&certificate) < 0)
		return NULL;
	if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) == 0 &&
	    gnutls_x509_crt_get_dn(certificate, NULL, &size) == GNUTLS_E_SHORT_MEMORY_BUFFER) {
		name = g_malloc0(size + 1);
		if (gnutls_x509_crt_get_dn(certificate, name, &size) < 0)
			g_clear_pointer(&name, g_free);
	}
	gnutls_x509_crt_deinit(certificate);
	return name ? g_utf8_make_valid(name, -1) : NULL;
}

/* The client has passed: hand it on. */
static Progress pass(VncTlsLink *link)
{
	g_autofree char *identity = identify(link);
	int pair[2];
	bool served = false;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return PROGRESS_OVER;
	g_mutex_lock(&link->lock);
	if (link->ops)
		served = link->ops->passed(link->opaque, pair[1], link->handshake.minor, identity);
	else
		close(pair[1]);
	link->ops = NULL;
	g_mutex_unlock(&link->lock);
	link->inner = pair[0];
	link->in = g_new0(Buffer, 1);
	link->out = g_new0(Buffer, 1);
	link->in->end = strlen(VNC_TLS_GREETING);
	memcpy(link->in->data, VNC_TLS_GREETING, link->in->end);
	link->version_left = RFB_VERSION_SIZE;
	link->deadline = 0;
	link->state = LINK_CARRYING;
	return served ? PROGRESS_MADE : PROGRESS_OVER;
}

static Progress check_answer(VncTlsLink *link)
{
	bool right;

	g_mutex_lock(&link->lock);
	right = link->ops &&
		link->ops->check(link->opaque, link->handshake.challenge, link->handshake.in);
	g_mutex_unlock(&link->lock);
	link->step = vnc_handshake_answered(&link->handshake, right);
	return PROGRESS_MADE;
}

static Progress shake(VncTlsLink *link)
{
	VncHandshake *handshake = &link->handshake;
	uint8_t data[VNC_CHALLENGE_SIZE];
	ssize_t n;

	if (handshake->n_out > 0) {
		n = link_send(link, handshake->out, handshake->n_out);
		if (n <= 0)
			return n < 0 ? PROGRESS_OVER : PROGRESS_NONE;
		handshake->n_out -= (size_t)n;
		memmove(handshake->out, handshake->out + n, handshake->n_out);
		return PROGRESS_MADE;
	}
	switch (link->step) {
	case VNC_HANDSHAKE_TLS:
		return begin_tls(link);
	case VNC_HANDSHAKE_PASSWORD:
		return check_answer(link);
	case VNC_HANDSHAKE_PASSED:
		return pass(link);
	case VNC_HANDSHAKE_FAILED:
		return PROGRESS_OVER;
	case VNC_HANDSHAKE_MORE:
		break;
	}
	n = link_receive(link, data, vnc_handshake_wanted(handshake));
	if (n <= 0)
		return n < 0 ? PROGRESS_OVER : PROGRESS_NONE;
	link->step = vnc_handshake_take(handshake, data, (size_t)n);
	return PROGRESS_MADE;
}

static bool buffer_is_empty(const Buffer *buffer)
{
	return buffer->start == buffer->end;
}

/* From the client to libvncserver. */
static Progress carry_in(VncTlsLink *link)
{
	Buffer *in = link->in;
	ssize_t n;

	if (buffer_is_empty(in)) {
		n = link_receive(link, in->data, sizeof(in->data));
		if (n <= 0)
			return n < 0 ? PROGRESS_OVER : PROGRESS_NONE;
		in->start = 0;
		in->end = (size_t)n;
	}
	n = send(link->inner, in->data + in->start, in->end - in->start,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? PROGRESS_NONE : PROGRESS_OVER;
	in->start += (size_t)n;
	return PROGRESS_MADE;
}

static Progress receive_inner(VncTlsLink *link)
{
	Buffer *out = link->out;
	ssize_t n = recv(link->inner, out->data, sizeof(out->data), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PROGRESS_NONE;
	if (n <= 0)
		return PROGRESS_OVER;
	out->start = MIN(link->version_left, (size_t)n);
	out->end = (size_t)n;
	link->version_left -= out->start;
	return PROGRESS_MADE;
}

/* From libvncserver to the client. */
static Progress carry_out(VncTlsLink *link)
{
	Buffer *out = link->out;
	Progress progress;
	ssize_t n;

	if (buffer_is_empty(out)) {
		progress = receive_inner(link);
		if (progress != PROGRESS_MADE || buffer_is_empty(out))
			return progress;
	}
	n = link_send(link, out->data + out->start, out->end - out->start);
	if (n < 0)
		return PROGRESS_OVER;
	out->start += (size_t)n;
	return n > 0 ? PROGRESS_MADE : PROGRESS_NONE;
}

static Progress carry(VncTlsLink *link)
{
	Progress in = carry_in(link), out = in == PROGRESS_OVER ? in : carry_out(link);

	return MAX(in, out);
}

static Progress step_link(VncTlsLink *link)
{
	switch (link->state) {
	case LINK_SHAKING:
		return shake(link);
	case LINK_SECURING:
		return secure(link);
	case LINK_CARRYING:
		return carry(link);
	}
	return PROGRESS_OVER;
}

/*
 * Have @tag of @source stand for @fd and @events. One for which there is nothing to wait is taken
 * out: that its other end has hung up would be news all the time.
 */
static void wait_for(GSource *source, gpointer *tag, int fd, GIOCondition events)
{
	if (*tag && events) {
		g_source_modify_unix_fd(source, *tag, events);
	} else if (*tag) {
		g_source_remove_unix_fd(source, *tag);
		*tag = NULL;
	} else if (events) {
		*tag = g_source_add_unix_fd(source, fd, events);
	}
}

static void wait_for_sockets(VncTlsLink *link, GSource *source)
{
	GIOCondition events = 0, inner_events = 0;

	switch (link->state) {
	case LINK_SHAKING:
		events = link->handshake.n_out > 0 ? G_IO_OUT : G_IO_IN;
		break;
	case LINK_SECURING:
		events = gnutls_record_get_direction(link->session) ? G_IO_OUT : G_IO_IN;
		break;
	case LINK_CARRYING:
		if (buffer_is_empty(link->in))
			events |= G_IO_IN;
		else
			inner_events |= G_IO_OUT;
		if (buffer_is_empty(link->out))
			inner_events |= G_IO_IN;
		else
			events |= G_IO_OUT;
		break;
	}
	wait_for(source, &link->tag, link->fd, events);
	wait_for(source, &link->inner_tag, link->inner, inner_events);
}

static gboolean end_link(VncTlsLink *link)
{
	g_mutex_lock(&link->lock);
	if (link->ops)
		link->ops->failed(link->opaque);
	link->ops = NULL;
	g_mutex_unlock(&link->lock);
	if (link->state == LINK_CARRYING)
		gnutls_bye(link->session, GNUTLS_SHUT_WR);
	shutdown(link->fd, SHUT_RDWR);
	if (link->inner >= 0)
		shutdown(link->inner, SHUT_RDWR);
	return G_SOURCE_REMOVE;
}

static gboolean link_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	VncTlsLink *link = ((LinkSource *)source)->link;
	Progress progress = PROGRESS_MADE;

	(void)callback, (void)data;
	if (link->deadline && g_source_get_time(source) >= link->deadline)
		return end_link(link);
	for (unsigned i = 0; i < STEPS_AT_ONCE && progress == PROGRESS_MADE; i++)
		progress = step_link(link);
	if (progress == PROGRESS_OVER)
		return end_link(link);
	wait_for_sockets(link, source);
	g_source_set_ready_time(source, progress == PROGRESS_MADE ? 0
					: link->deadline	  ? link->deadline
								  : -1);
	return G_SOURCE_CONTINUE;
}

static void link_finalize(GSource *source)
{
	link_unref(((LinkSource *)source)->link);
}

static gpointer run(gpointer data)
{
	const VncTls *tls = data;

	g_main_context_push_thread_default(tls->context);
	g_main_loop_run(tls->loop);
	g_main_context_pop_thread_default(tls->context);
	return NULL;
}

VncTlsLink *vnc_tls_link_new(VncTls *tls, int fd, const VncHandshake *handshake,
			     const VncTlsLinkOps *ops, void *opaque)
{
	static GSourceFuncs functions = { .dispatch = link_dispatch, .finalize = link_finalize };
	VncTlsLink *link;
	GSource *source;

	if (!tls->thread)
		tls->thread = g_thread_try_new("VNC TLS", run, tls, NULL);
	if (!tls->thread || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return NULL;
	}
	link = g_new0(VncTlsLink, 1);
	link->references = 2;
	link->tls = tls;
	link->fd = fd;
	link->inner = -1;
	link->ops = ops;
	link->opaque = opaque;
	g_mutex_init(&link->lock);
	link->handshake = *handshake;
	link->deadline = g_get_monotonic_time() + SECURING_TIME;

	source = g_source_new(&functions, sizeof(LinkSource));
	((LinkSource *)source)->link = link;
	g_source_set_ready_time(source, 0);
	g_source_attach(source, tls->context);
	g_source_unref(source);
	return link;
}

void vnc_tls_link_close(VncTlsLink *link)
{
	shutdown(link->fd, SHUT_RDWR);
}

void vnc_tls_link_free(VncTlsLink *link)
{
	g_mutex_lock(&link->lock);
	link->ops = NULL;
	g_mutex_unlock(&link->lock);
	vnc_tls_link_close(link);
	link_unref(link);
}
