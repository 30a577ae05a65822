#define _GNU_SOURCE
#include "outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	/* Data frames wait until less than this is unsent: so backpressure reaches the programs. */
	DATA_BACKLOG = 64 << 10,
	/* For EXIT, CREDIT and HELLO, so that handling a frame never has to wait in the middle. */
	CONTROL_RESERVE = 16 << 10,
	CONTROL_FRAME = HEADER_SIZE + MAX_HELLO,
};

static unsigned char unsent[DATA_BACKLOG + HEADER_SIZE + MAX_DATA + CONTROL_RESERVE];
static size_t start, end;

/*
 * Pages on their way from a program to the host: the payload of the frame whose header ends at
 * unsent[lump_at]. Measured in a software-emulated machine: 180 MB/s of a program's output against
 * 60 MB/s when every byte is copied into the agent and out again.
 */
static int lump_pipe[2] = { -1, -1 };
static size_t lump_left, lump_at;

bool outbox_open(void)
{
	return pipe2(lump_pipe, O_CLOEXEC | O_NONBLOCK) == 0;
}

bool outbox_empty(void)
{
	return start == end && lump_left == 0;
}

void outbox_clear(void)
{
	start = end = 0;
	while (lump_left > 0) {
		ssize_t count = read(lump_pipe[0], unsent, sizeof unsent);

		lump_left -= count > 0 ? (size_t)count : lump_left;
	}
}

static size_t backlog(void)
{
	return end - start + lump_left;
}

/* Where the next frame goes, and how much fits. */
static unsigned char *room_at_end(size_t *room)
{
	if (start > 0 && sizeof unsent - end < HEADER_SIZE + MAX_DATA + CONTROL_RESERVE) {
		memmove(unsent, unsent + start, end - start);
		end -= start;
		lump_at -= lump_left > 0 ? start : 0;
		start = 0;
	}
	*room = sizeof unsent - end;
	return unsent + end;
}

ssize_t outbox_write(int fd)
{
	size_t until = lump_left > 0 ? lump_at : end;
	ssize_t count;

	if (start < until) {
		count = write(fd, unsent + start, until - start);
		start += count > 0 ? (size_t)count : 0;
	} else {
		count = splice(lump_pipe[0], NULL, fd, NULL, lump_left,
			       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		lump_left -= count > 0 ? (size_t)count : 0;
	}
	if (outbox_empty())
		start = end = 0;
	return count;
}

size_t outbox_data_room(unsigned char **at)
{
	size_t room;

	if (backlog() >= DATA_BACKLOG)
		return 0;
	*at = room_at_end(&room) + HEADER_SIZE;
	/* A port takes 32 KiB per write: header and payload make whole ones. */
	return MAX_DATA - HEADER_SIZE;
}

void outbox_add_data(uint32_t stream, enum frame_type type, size_t length)
{
	put_header(unsent + end, stream, type, (uint32_t)length);
	end += HEADER_SIZE + length;
}

ssize_t outbox_splice(uint32_t stream, enum frame_type type, int pipe, size_t most)
{
	size_t room;
	ssize_t length;

	if (lump_left > 0 || backlog() >= DATA_BACKLOG) {
		errno = EAGAIN;
		return -1;
	}
	length = splice(pipe, NULL, lump_pipe[1], NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (length > 0) {
		put_header(room_at_end(&room), stream, type, (uint32_t)length);
		end += HEADER_SIZE;
		lump_at = end;
		lump_left = (size_t)length;
	}
	return length;
}

bool outbox_control_room(void)
{
	size_t room;

	room_at_end(&room);
	return room >= CONTROL_FRAME;
}

void outbox_add_control(uint32_t stream, enum frame_type type, const void *payload, size_t length)
{
	size_t room;

	memcpy(room_at_end(&room) + HEADER_SIZE, payload, length);
	outbox_add_data(stream, type, length);
}
