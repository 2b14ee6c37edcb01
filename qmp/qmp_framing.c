/*
 * qmp_framing.c: JSON messages out of a stream of bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "qmp/qmp_framing.h"

typedef enum {
	STATE_IDLE,    /* between messages */
	STATE_WORD,    /* in a message that is a bare number or literal */
	STATE_VALUE,   /* in a message, outside strings */
	STATE_STRING,  /* in a string */
	STATE_ESCAPE,  /* behind a backslash in a string */
	STATE_RECOVER, /* behind a stray word */
	STATE_SKIP,    /* in a message over a limit */
	STATE_SKIP_STRING,
	STATE_SKIP_ESCAPE,
} State;

/* The longest number that is taken, bytes. */
#define WORD_MAX 64u

struct QmpFramer {
	State state;
	uint32_t tokens;
	uint32_t colons;			/* members of all objects of the message */
	uint32_t depth;				/* while skipping, without a limit */
	bool in_word;				/* the last byte was part of a number or literal */
	guint word;				/* where it starts in text */
	uint8_t closers[QMP_MESSAGE_DEPTH_MAX]; /* the brackets that are open */
	GByteArray *text;
	json_tokener *tokener;
	char error[64];
};

QmpFramer *qmp_framer_new(void)
{
	QmpFramer *framer = g_new0(QmpFramer, 1);

	framer->text = g_byte_array_new();
	framer->tokener = json_tokener_new_ex(QMP_MESSAGE_DEPTH_MAX + 1);
	if (!framer->tokener)
		g_error("out of memory");
	json_tokener_set_flags(framer->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	return framer;
}

void qmp_framer_free(QmpFramer *framer)
{
	if (!framer)
		return;
	g_byte_array_unref(framer->text);
	json_tokener_free(framer->tokener);
	g_free(framer);
}

bool qmp_framer_is_idle(const QmpFramer *framer)
{
	return framer->state == STATE_IDLE;
}

static bool is_space(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool is_structural(uint8_t byte)
{
	return byte && strchr("{}[]:,", byte);
}

/* What numbers, true, false and null are made of; no NaN, no comments. */
static bool is_word(uint8_t byte)
{
	return g_ascii_isdigit(byte) || (byte && strchr("+-.Eaeflnrstu", byte));
}

static void start_over(QmpFramer *framer, State state)
{
	framer->state = state;
	framer->in_word = false;
	framer->tokens = 0;
	framer->colons = 0;
	framer->depth = 0;
	/* A large message must not leave its buffer behind for the life of the connection. */
	if (framer->text->len > 64 << 10) {
		g_byte_array_unref(framer->text);
		framer->text = g_byte_array_new();
	}
	g_byte_array_set_size(framer->text, 0);
}

static void fail(QmpFramer *framer, QmpFrame *frame, State next, const char *message)
{
	uint32_t depth = framer->depth;

	g_strlcpy(framer->error, message, sizeof(framer->error));
	frame->kind = QMP_FRAME_ERROR;
	frame->error = framer->error;
	start_over(framer, next);
	if (next == STATE_SKIP || next == STATE_SKIP_STRING)
		framer->depth = depth;
}

static void fail_stray(QmpFramer *framer, QmpFrame *frame, uint8_t byte)
{
	char message[48];

	if (g_ascii_isprint(byte))
		g_snprintf(message, sizeof(message), "JSON parse error, stray '%c'", byte);
	else
		g_snprintf(message, sizeof(message), "JSON parse error, stray byte 0x%02x", byte);
	/* What is inside a broken message must not be taken for a message of its own. */
	fail(framer, frame, framer->depth ? STATE_SKIP : STATE_RECOVER, message);
}

/* The members of all objects in @value, which is no deeper than QMP_MESSAGE_DEPTH_MAX. */
static uint32_t count_members(json_object *value)
{
	uint32_t count = 0;

	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += count_members(json_object_array_get_idx(value, i));
	} else if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, name, member)
		{
			(void)name;
			count += 1 + count_members(member);
		}
	}
	return count;
}

/* The text is a whole value by its brackets; whether it is JSON, json-c decides. */
static void finish(QmpFramer *framer, QmpFrame *frame)
{
	enum json_tokener_error status;
	char message[sizeof(framer->error)];

	json_tokener_reset(framer->tokener);
	/* The zero byte behind the text tells json-c that a number ends here. */
	g_byte_array_append(framer->text, (const uint8_t *)"", 1);
	frame->message = json_tokener_parse_ex(framer->tokener, (const char *)framer->text->data,
					       (int)framer->text->len);
	status = json_tokener_get_error(framer->tokener);
	/* json-c lets the last of several members with one name win. */
	if (status == json_tokener_success && count_members(frame->message) != framer->colons) {
		json_object_put(frame->message);
		frame->message = NULL;
		fail(framer, frame, STATE_IDLE, "JSON parse error, duplicate key");
		return;
	}
	if (status == json_tokener_success) {
		frame->kind = QMP_FRAME_MESSAGE;
		start_over(framer, STATE_IDLE);
		return;
	}
	json_object_put(frame->message);
	frame->message = NULL;
	g_snprintf(message, sizeof(message), "JSON parse error, %s",
		   status == json_tokener_continue ? "unexpected end"
						   : json_tokener_error_desc(status));
	fail(framer, frame, STATE_IDLE, message);
}

/* A bracket, comma, colon or the start of a string inside a message. */
static void take_structure(QmpFramer *framer, uint8_t byte, QmpFrame *frame)
{
	if (++framer->tokens > QMP_MESSAGE_TOKEN_MAX) {
		framer->depth += byte == '{' || byte == '[';
		framer->depth -= (byte == '}' || byte == ']') && framer->depth;
		fail(framer, frame, byte == '"' ? STATE_SKIP_STRING : STATE_SKIP,
		     "JSON token count limit exceeded");
		return;
	}
	g_byte_array_append(framer->text, &byte, 1);
	framer->colons += byte == ':';
	switch (byte) {
	case '"':
		framer->state = STATE_STRING;
		break;
	case '{':
	case '[':
		if (framer->depth == QMP_MESSAGE_DEPTH_MAX) {
			framer->depth++;
			fail(framer, frame, STATE_SKIP, "JSON nesting depth limit exceeded");
			return;
		}
		framer->closers[framer->depth++] = byte == '{' ? '}' : ']';
		framer->state = STATE_VALUE;
		break;
	case '}':
	case ']':
		if (!framer->depth || framer->closers[framer->depth - 1] != byte) {
			fail_stray(framer, frame, byte);
			return;
		}
		if (!--framer->depth)
			finish(framer, frame);
	}
}

static const char *skip_digits(const char *text)
{
	while (g_ascii_isdigit(*text))
		text++;
	return text;
}

/* Whether a word is a number by RFC 8259 section 6 that C can hold: json-c would change others. */
static bool is_number(const char *word)
{
	const char *at = word + (*word == '-');
	const char *digits = at;

	at = skip_digits(at);
	if (at == digits || (*digits == '0' && at != digits + 1))
		return false;
	if (!*at)
		return *word == '-'
			       ? g_ascii_string_to_signed(word, 10, INT64_MIN, INT64_MAX, NULL,
							  NULL)
			       : g_ascii_string_to_unsigned(word, 10, 0, UINT64_MAX, NULL, NULL);
	if (*at == '.') {
		digits = ++at;
		at = skip_digits(at);
		if (at == digits)
			return false;
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		digits = at += *at == '+' || *at == '-';
		at = skip_digits(at);
		if (at == digits)
			return false;
	}
	return !*at && isfinite(g_ascii_strtod(word, NULL));
}

/* The word at the end of the text is complete. json-c knows which literals there are. */
static bool check_word(QmpFramer *framer, QmpFrame *frame)
{
	const char *start = (const char *)framer->text->data + framer->word;
	guint length = framer->text->len - framer->word;
	char word[WORD_MAX + 1];

	framer->in_word = false;
	if (g_ascii_isalpha(*start))
		return true;
	if (length <= WORD_MAX) {
		memcpy(word, start, length);
		word[length] = 0;
		if (is_number(word))
			return true;
	}
	fail(framer, frame, framer->depth ? STATE_SKIP : STATE_RECOVER,
	     "JSON parse error, not a number, or out of range");
	return false;
}

/* A byte outside strings. Returns whether it was used. */
static bool take_outside(QmpFramer *framer, uint8_t byte, QmpFrame *frame)
{
	bool in_message = framer->state != STATE_IDLE;

	if (framer->in_word && !is_word(byte) && !check_word(framer, frame))
		return false;
	if (framer->state == STATE_WORD && !is_word(byte)) {
		/* The word ends before this byte, which may start the next message. */
		if (is_space(byte) || is_structural(byte) || byte == '"')
			finish(framer, frame);
		else
			fail_stray(framer, frame, byte);
		return false;
	}
	if (is_space(byte)) {
		if (in_message)
			g_byte_array_append(framer->text, &byte, 1);
	} else if (byte == '"' || byte == '{' || byte == '[') {
		take_structure(framer, byte, frame);
	} else if (is_structural(byte) && in_message) {
		take_structure(framer, byte, frame);
	} else if (is_word(byte)) {
		if (!framer->in_word)
			framer->word = framer->text->len;
		framer->in_word = true;
		g_byte_array_append(framer->text, &byte, 1);
		if (!in_message)
			framer->state = STATE_WORD;
	} else {
		fail_stray(framer, frame, byte);
	}
	return true;
}

/* A run of bytes inside a string, up to and with what ends it. Returns how many were used. */
static size_t take_string(QmpFramer *framer, const uint8_t *data, size_t size, QmpFrame *frame)
{
	size_t used = 0;

	while (used < size && data[used] != '"' && data[used] != '\\' && data[used] >= 0x20)
		used++;
	if (framer->text->len + used + 1 > QMP_MESSAGE_SIZE_MAX) {
		fail(framer, frame, STATE_SKIP_STRING, "JSON token size limit exceeded");
		return used;
	}
	if (used < size && data[used] < 0x20) {
		/* A line that ends inside a string is over; the byte is left to be skipped. */
		fail(framer, frame, STATE_SKIP_STRING,
		     "JSON parse error, control character in a string");
		return used;
	}
	if (used < size) {
		framer->state = data[used] == '\\' ? STATE_ESCAPE : STATE_VALUE;
		used++;
	}
	g_byte_array_append(framer->text, data, (guint)used);
	/* A string can be a whole message, too. */
	if (framer->state == STATE_VALUE && !framer->depth)
		finish(framer, frame);
	return used;
}

/* Drops bytes of a message over a limit, until it or its line ends. */
static void skip(QmpFramer *framer, uint8_t byte)
{
	if (byte == '\n') {
		start_over(framer, STATE_IDLE);
	} else if (framer->state == STATE_SKIP_ESCAPE) {
		framer->state = STATE_SKIP_STRING;
	} else if (framer->state == STATE_SKIP_STRING) {
		if (byte == '\\')
			framer->state = STATE_SKIP_ESCAPE;
		else if (byte == '"')
			framer->state = STATE_SKIP;
	} else if (byte == '"') {
		framer->state = STATE_SKIP_STRING;
	} else if (byte == '{' || byte == '[') {
		framer->depth += framer->depth < UINT32_MAX;
	} else if (byte == '}' || byte == ']') {
		framer->depth -= framer->depth > 0;
	}
	if (framer->state == STATE_SKIP && !framer->depth)
		start_over(framer, STATE_IDLE);
}

/* Takes at least one byte, unless it puts an end to a message before it. */
static size_t take(QmpFramer *framer, const uint8_t *data, size_t size, QmpFrame *frame)
{
	uint8_t byte = data[0];

	switch (framer->state) {
	case STATE_SKIP:
	case STATE_SKIP_STRING:
	case STATE_SKIP_ESCAPE:
		skip(framer, byte);
		return 1;
	case STATE_RECOVER:
		if (!is_space(byte) && !is_structural(byte) && byte != '"')
			return 1;
		start_over(framer, STATE_IDLE);
		/* A closing bracket, comma or colon belongs to what was stray. */
		return byte != '{' && byte != '[' && byte != '"';
	case STATE_STRING:
		return take_string(framer, data, size, frame);
	case STATE_ESCAPE:
		framer->state = STATE_STRING;
		if (byte < 0x20)
			return 0; /* refused as in a string */
		break;
	default:
		if (framer->text->len + 1 >= QMP_MESSAGE_SIZE_MAX) {
			fail(framer, frame, STATE_SKIP, "JSON token size limit exceeded");
			return 0;
		}
		return take_outside(framer, byte, frame);
	}
	g_byte_array_append(framer->text, &byte, 1);
	return 1;
}

size_t qmp_framer_feed(QmpFramer *framer, const char *data, size_t size, QmpFrame *frame)
{
	size_t used = 0;

	*frame = (QmpFrame){ .kind = QMP_FRAME_NONE };
	while (used < size && frame->kind == QMP_FRAME_NONE)
		used += take(framer, (const uint8_t *)data + used, size - used, frame);
	return used;
}

void qmp_message_append(GByteArray *out, json_object *message)
{
	size_t length;
	const char *text = json_object_to_json_string_length(
		message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);

	g_byte_array_append(out, (const uint8_t *)text, (guint)length);
	g_byte_array_append(out, (const uint8_t *)"\r\n", 2);
}
