#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "frame.h"
#include "link.h"
#include "outbox.h"

enum {
	/*
	 * Credit for input goes back in lumps: the host still has most of its 256 KiB then, so
	 * smaller amounts can wait forever and a keystroke costs no CREDIT.
	 */
	CREDIT_LUMP = 32 << 10,
	/*
	 * The most that a terminal holds: the kernel buffers 64 KiB, and reading it may make room
	 * for that much again.
	 */
	PTY_BUFFER = 128 << 10,
	/* Moving pages pays off from here on. */
	SPLICE_LEAST = 16 << 10,
};

static struct source *input_source(struct stream *stream)
{
	return stream->is_pty ? &stream->outputs[0].source : &stream->input;
}

static size_t queued(const struct stream *stream)
{
	return stream->queue_end - stream->queue_start;
}

/* Makes room in the queue for that many bytes. False without the memory. */
static bool queue_room(struct stream *stream, size_t length)
{
	size_t size = stream->queue_size ? stream->queue_size : 4096;
	unsigned char *larger;

	if (stream->queue_size - stream->queue_end >= length)
		return true;
	if (stream->queue_start > 0) {
		memmove(stream->queue, stream->queue + stream->queue_start, queued(stream));
		stream->queue_end -= stream->queue_start;
		stream->queue_start = 0;
	}
	while (size - stream->queue_end < length)
		size *= 2;
	if (size == stream->queue_size)
		return true;
	larger = realloc(stream->queue, size);
	if (!larger)
		return false;
	stream->queue = larger;
	stream->queue_size = size;
	return true;
}

static void queue_taken(struct stream *stream, size_t length)
{
	stream->queue_start += length;
	stream->input_owed += (uint32_t)length;
	if (queued(stream) > 0)
		return;
	stream->queue_start = stream->queue_end = 0;
	free(stream->queue);
	stream->queue = NULL;
	stream->queue_size = 0;
}

bool input_push(struct stream *stream, const unsigned char *bytes, size_t length)
{
	if (length > stream->input_credit) {
		errno = EDQUOT;
		return false;
	}
	stream->input_credit -= (uint32_t)length;
	if (stream->input_ended || stream->hung_up || input_source(stream)->fd < 0) {
		stream->input_owed += (uint32_t)length;
		return true;
	}
	if (!queue_room(stream, length))
		return false;
	memcpy(stream->queue + stream->queue_end, bytes, length);
	stream->queue_end += length;
	return true;
}

void input_end(struct stream *stream)
{
	stream->input_ended = true;
}

/* The program does not read any more. */
static void input_gone(struct stream *stream)
{
	queue_taken(stream, queued(stream));
	loop_close(&stream->input);
}

/* Ends the input of a program that has read all of it. True if it moved. */
static bool close_input(struct stream *stream)
{
	struct termios settings;
	int fd = stream->outputs[0].source.fd;
	char eof[2];

	if (!stream->is_pty) {
		if (stream->input.fd < 0)
			return false;
		loop_close(&stream->input);
		return true;
	}
	if (stream->last_typed == 0)
		return false;
	if (tcgetattr(fd, &settings) == 0 && (settings.c_lflag & ICANON)) {
		/* In the middle of a line ^D only hands the line over; the second one is the end. */
		size_t length = stream->last_typed == '\n' ? 1 : 2;

		eof[0] = eof[1] = (char)settings.c_cc[VEOF];
		if (write(fd, eof, length) < 0 && errno == EAGAIN) {
			stream->outputs[0].source.writable = false;
			return false;
		}
	}
	stream->last_typed = 0;
	return true;
}

bool input_service(struct stream *stream)
{
	struct source *source = input_source(stream);
	bool moved = false;

	if (stream->hung_up || stream->pid == 0)
		return false;
	while (queued(stream) > 0 && source->fd >= 0 && source->writable) {
		unsigned char *at = stream->queue + stream->queue_start;
		ssize_t length = write(source->fd, at, queued(stream));

		if (length > 0) {
			stream->last_typed = at[length - 1] ? at[length - 1] : 1;
			queue_taken(stream, (size_t)length);
			moved = true;
		} else if (length == 0 || errno == EAGAIN) {
			source->writable = false;
		} else if (errno != EINTR) {
			input_gone(stream);
			moved = true;
		}
	}
	if (stream->input_ended && queued(stream) == 0 && source->writable)
		moved |= close_input(stream);
	if (stream->input_owed >= CREDIT_LUMP && outbox_control_room()) {
		link_send_credit(stream->id, stream->input_owed);
		stream->input_credit += stream->input_owed;
		stream->input_owed = 0;
		moved = true;
	}
	return moved;
}

/*
 * Reads up to `most` bytes, until there are no more: many small writes of a program are one
 * frame. A pty whose programs have all closed it is not at its end, they can open it again.
 */
static size_t fill(struct stream *stream, struct output *output, unsigned char *at, size_t most)
{
	size_t got = 0;

	while (got < most && output->source.readable) {
		ssize_t length = read(output->source.fd, at + got, most - got);

		if (length > 0)
			got += (size_t)length;
		else if (length < 0 && errno == EINTR)
			continue;
		else if (stream->is_pty || (length < 0 && errno == EAGAIN))
			output->source.readable = false;
		else
			loop_close(&output->source);
	}
	return got;
}

/* Drops what is readable: nobody takes it. True if there was something. */
static bool drop_output(struct stream *stream, struct output *output)
{
	static unsigned char dropped[MAX_DATA];

	return fill(stream, output, dropped, sizeof dropped) > 0;
}

/* Sends up to `most` bytes as a frame. Returns how many. */
static size_t send_frame(struct stream *stream, struct output *output, enum frame_type type,
			 size_t most)
{
	unsigned char *at;
	size_t room, got;
	ssize_t spliced;
	int there = 0;

	if (!stream->is_pty && most >= SPLICE_LEAST &&
	    ioctl(output->source.fd, FIONREAD, &there) == 0 && there >= SPLICE_LEAST) {
		spliced = outbox_splice(stream->id, type, output->source.fd, most);
		if (spliced > 0)
			return (size_t)spliced;
	}
	room = outbox_data_room(&at);
	got = room > 0 ? fill(stream, output, at, most < room ? most : room) : 0;
	if (got > 0)
		outbox_add_data(stream->id, type, got);
	return got;
}

static bool send_output(struct stream *stream, unsigned which)
{
	struct output *output = &stream->outputs[which];
	size_t most = MAX_DATA, got;

	if (output->source.fd < 0 || !output->source.readable)
		return false;
	if (stream->hung_up)
		return drop_output(stream, output);
	if (most > output->credit)
		most = (size_t)output->credit;
	if (stream->pid == 0 && most > output->left)
		most = output->left;
	if (most == 0)
		return false;
	got = send_frame(stream, output, which == 0 ? FRAME_STDOUT : FRAME_STDERR, most);
	output->credit -= got;
	output->left -= stream->pid == 0 ? got : 0;
	return got > 0;
}

bool output_service(struct stream *stream)
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned which = stream->next_output;

		stream->next_output = !which;
		if (send_output(stream, which))
			return true;
	}
	return false;
}

void output_settle(struct stream *stream, struct output *output)
{
	int left = 0;

	if (output->source.fd < 0)
		return;
	if (stream->is_pty)
		left = PTY_BUFFER;
	else
		ioctl(output->source.fd, FIONREAD, &left);
	output->left = (size_t)left;
	output->source.readable = true;
}

bool output_settled(const struct stream *stream, const struct output *output)
{
	struct pollfd more = { .fd = output->source.fd, .events = POLLIN };

	if (output->source.fd < 0 || !output->source.readable || output->left == 0)
		return true;
	/* Reading would tell whether a pty is empty, but without credit it must not find bytes. */
	return stream->is_pty && output->credit == 0 && poll(&more, 1, 0) >= 0 &&
	       !(more.revents & POLLIN);
}
