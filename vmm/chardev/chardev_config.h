/*
 * chardev_config.h: the -chardev option, typed
 *
 * The grammar is QEMU's flat one: "socket,id=c0,path=/run/c0,server=on,wait=off". What a kind
 * does not have is refused by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum ChardevKind {
	CHARDEV_NULL,
	CHARDEV_STDIO,
	CHARDEV_PTY,
	CHARDEV_FILE,
	CHARDEV_SOCKET,
	CHARDEV_RINGBUF,
	CHARDEV_VDAGENT,
	CHARDEV_N_KINDS,
} ChardevKind;

typedef enum ChardevAddressKind {
	CHARDEV_ADDRESS_UNIX,
	CHARDEV_ADDRESS_INET,
	CHARDEV_ADDRESS_FD, /* a listening (server) or connected socket that was passed in */
} ChardevAddressKind;

/* Bytes of a ringbuf that says nothing else. */
#define CHARDEV_RINGBUF_DEFAULT_SIZE 65536

typedef struct ChardevConfig {
	char *id;
	ChardevKind kind;
	char *log_path; /* NULL: no log */
	bool log_append;

	/* stdio */
	bool stdio_signal; /* whether Ctrl-C on the terminal interrupts the process */

	/* file */
	char *path; /* also unix sockets */
	bool append;

	/* socket */
	ChardevAddressKind address;
	bool abstract; /* path is in the abstract name space */
	char *host, *port;
	bool ipv4, ipv6; /* which families may be used */
	int fd;		 /* CHARDEV_ADDRESS_FD; taken over by chardevs_add() if it succeeds */
	bool server;
	bool wait; /* server: block at start until the first client */
	bool nodelay;
	unsigned reconnect_s; /* client: seconds between attempts; 0: never */

	/* ringbuf */
	uint32_t size; /* bytes, a power of two */

	/* qemu-vdagent */
	bool clipboard; /* text is shared with viewers */
} ChardevConfig;

/*
 * Type the @options of one -chardev, as options_parse(text, "backend") gives them. NULL and
 * @error naming the key at fault. Any thread.
 */
ChardevConfig *chardev_config_new(json_object *options, GError **error);

/* As above, from the text of the option. */
ChardevConfig *chardev_config_parse(const char *text, GError **error);

void chardev_config_free(ChardevConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ChardevConfig, chardev_config_free)

/* "null", "stdio", ... as -chardev spells it. */
const char *chardev_kind_name(ChardevKind kind);
