#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"
#include "dispatch.h"
#include "loop.h"
#include "outbox.h"
#include "stream.h"

/* A port gives one 4 KiB page per read; frames are handled after this many bytes of them. */
enum { READ_BURST = 128 << 10 };

static struct source in_source = { .fd = -1 }, out_source = { .fd = -1 };
static struct source *in = &in_source, *out = &out_source;
static bool is_port;
/* The host has been heard in this connection. */
static bool established;
/* The host's end was seen, after the bytes that the parser holds. */
static bool ended;
/* Nothing is read any more: the agent leaves. */
static bool over;
static struct parser parser;

void link_send_credit(uint32_t stream, uint32_t bytes)
{
	unsigned char payload[5] = { [4] = CHANNEL_STDIN };

	put_u32(payload, bytes);
	outbox_add_control(stream, FRAME_CREDIT, payload, sizeof payload);
}

void link_send_exit(uint32_t stream, int kind, int value, const char *text)
{
	unsigned char payload[8 + sizeof ((struct failure *)0)->what] = { (unsigned char)kind };
	size_t length = strnlen(text, sizeof payload - 8);

	put_u32(payload + 4, (uint32_t)value);
	memcpy(payload + 8, text, length);
	outbox_add_control(stream, FRAME_EXIT, payload, 8 + length);
}

static void send_hello(void)
{
	unsigned char payload[MAX_HELLO] = HELLO_MAGIC;
	const char *key = getenv(KEY_VARIABLE);
	struct utsname name;
	int length;

	put_u16(payload + 4, PROTOCOL_VERSION);
	uname(&name);
	length = snprintf((char *)payload + 8, sizeof payload - 8, "vibe-agent %.64s %.64s %.64s%s%.64s",
			  BUILD_ID, name.sysname, name.release, key ? " key " : "", key ? key : "");
	outbox_add_control(0, FRAME_HELLO, payload, 8 + (size_t)length);
}

/* Begins a connection: nothing of before is left, and the host is greeted. */
static void begin(void)
{
	established = false;
	streams_drop();
	dispatch_reset();
	parser_reset(&parser, is_port);
	send_hello();
}

bool link_open(int in_fd, int out_fd, bool port)
{
	is_port = port;
	if (!outbox_open())
		return false;
	if (in_fd == out_fd)
		out = in;
	else if (!loop_watch(out, out_fd))
		return false;
	if (!loop_watch(in, in_fd))
		return false;
	begin();
	return true;
}

/* No connection comes after this one. */
static void leave(int status)
{
	over = true;
	streams_drop();
	loop_stop(status);
}

static void broken(const char *why)
{
	report("the host broke the protocol: %s", why);
	if (is_port)
		begin();
	else
		leave(1);
}

static void host_gone(void)
{
	if (is_port) {
		/* Whoever opens the other end reads from the beginning. */
		outbox_clear();
		begin();
	} else if (parser_mid_frame(&parser)) {
		broken("it ended inside a frame");
	} else {
		leave(0);
	}
}

static void link_failed(const char *what)
{
	report("%s the host: %m", what);
	outbox_clear();
	leave(is_port ? 0 : 1);
}

/* What is wrong with a HELLO, or NULL. */
static const char *greeted(const struct frame *frame)
{
	if (memcmp(frame->payload, HELLO_MAGIC, 4) != 0)
		return "a HELLO that is none";
	if (get_u16(frame->payload + 4) != PROTOCOL_VERSION) {
		report("the host speaks version %u of the protocol, the agent version %u",
		       get_u16(frame->payload + 4), PROTOCOL_VERSION);
		leave(1);
		return NULL;
	}
	streams_drop();
	dispatch_reset();
	established = true;
	return NULL;
}

/* Handles frames while there is room for what they may answer. True if all are handled. */
static bool handle_frames(void)
{
	const char *why = NULL;
	struct frame frame;

	while (!over) {
		if (!outbox_control_room())
			return false;
		switch (parser_next(&parser, &frame, &why)) {
		case PARSED_NOTHING:
			return true;
		case PARSED_ERROR:
			break;
		case PARSED_FRAME:
			if (frame.stream == 0 && frame.type == FRAME_HELLO)
				why = greeted(&frame);
			else if (!established)
				why = "no HELLO";
			else
				why = dispatch(&frame);
		}
		if (why)
			broken(why);
	}
	return true;
}

bool link_service(void)
{
	unsigned char *at;
	size_t room, got = 0;

	if (!handle_frames() || over)
		return false;
	if (ended) {
		ended = false;
		host_gone();
		return true;
	}
	room = parser_room(&parser, &at);
	if (room > READ_BURST)
		room = READ_BURST;
	while (in->readable && got < room) {
		ssize_t count = read(in->fd, at + got, room - got);

		if (count > 0) {
			got += (size_t)count;
		} else if (count == 0) {
			in->readable = false;
			ended = true;
		} else if (errno == EAGAIN) {
			in->readable = false;
		} else if (errno != EINTR) {
			link_failed("cannot read from");
			return false;
		}
	}
	parser_filled(&parser, got);
	return got > 0 || ended;
}

bool link_flush(void)
{
	bool moved = false;

	while (out->writable && !outbox_empty()) {
		ssize_t count = outbox_write(out->fd);

		if (count > 0)
			moved = true;
		else if (count == 0 || errno == EAGAIN)
			out->writable = false;
		else if (errno != EINTR)
			link_failed("cannot write to");
	}
	return moved;
}
