#include "dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "channel.h"
#include "exec.h"
#include "link.h"
#include "stream.h"

static const char too_short[] = "strings that do not fill their frame";

/* The highest stream number so far. */
static uint32_t highest;

void dispatch_reset(void)
{
	highest = 0;
}

/* The next string of a payload, or NULL if it does not end in it. */
static const char *next_string(const unsigned char **at, const unsigned char *end)
{
	const char *string = (const char *)*at;
	const unsigned char *zero = memchr(*at, 0, (size_t)(end - *at));

	if (!zero)
		return NULL;
	*at = zero + 1;
	return string;
}

static const char *do_exec(const struct frame *frame)
{
	const unsigned char *at = frame->payload, *end = at + frame->length;
	uint16_t flags = get_u16(at), argc = get_u16(at + 6), envc = get_u16(at + 8);
	struct exec_request request = {
		.pty = flags & EXEC_PTY,
		.has_stdin = flags & EXEC_STDIN,
		.own_cgroup = flags & EXEC_CGROUP,
		.rows = get_u16(at + 2),
		.columns = get_u16(at + 4),
		.credits = { get_u32(at + 12), get_u32(at + 16) },
		.environment_count = envc,
	};
	const char *string = NULL;
	char **strings;

	at += EXEC_FIXED_SIZE;
	request.user = next_string(&at, end);
	request.directory = request.user ? next_string(&at, end) : NULL;
	if (!request.directory)
		return too_short;
	strings = calloc((size_t)argc + envc + 2, sizeof *strings);
	if (!strings) {
		link_send_exit(frame->stream, EXIT_FAILED, ENOMEM, "take the request");
		return NULL;
	}
	request.argv = strings;
	request.environment = strings + argc + 1;
	for (unsigned i = 0; i < (unsigned)argc + envc; i++) {
		string = next_string(&at, end);
		if (!string)
			break;
		strings[i < argc ? i : i + 1] = (char *)string;
	}
	if (at != end || (!string && argc + envc > 0)) {
		free(strings);
		return too_short;
	}
	exec_program(frame->stream, &request);
	free(strings);
	return NULL;
}

struct mount_request {
	const char *name, *target;
	unsigned flags;
};

static bool mount_work(struct failure *failure, const void *argument)
{
	const struct mount_request *request = argument;

	return share_mount(failure, request->name, request->target, request->flags);
}

struct unmount_request {
	const char *target;
	bool in_use;
};

static bool unmount_work(struct failure *failure, const void *argument)
{
	const struct unmount_request *request = argument;

	return share_unmount(failure, request->target, request->in_use);
}

static bool power_off_work(struct failure *failure, const void *argument)
{
	return power_off(failure, *(const unsigned char *)argument & 1);
}

static const char *do_mount(const struct frame *frame)
{
	const unsigned char *at = frame->payload, *end = at + frame->length;
	struct mount_request request = { .flags = *at++ };

	request.name = next_string(&at, end);
	request.target = request.name ? next_string(&at, end) : NULL;
	if (!request.target || at != end)
		return too_short;
	exec_work(frame->stream, mount_work, &request);
	return NULL;
}

static const char *do_unmount(const struct frame *frame)
{
	const unsigned char *at = frame->payload, *end = at + frame->length;
	struct unmount_request request = { .in_use = *at++ & 1 };

	request.target = next_string(&at, end);
	if (!request.target || at != end)
		return too_short;
	exec_work(frame->stream, unmount_work, &request);
	return NULL;
}

static void do_clock(const struct frame *frame)
{
	struct failure failure = { 0 };
	struct timespec now = { .tv_sec = (time_t)get_u64(frame->payload),
				.tv_nsec = get_u32(frame->payload + 8) };
	bool ahead;

	if (set_clock(&failure, &now, frame->payload[12] & CLOCK_BACK, &ahead))
		link_send_exit(frame->stream, EXIT_EXITED, ahead ? CLOCK_AHEAD : 0, "");
	else
		link_send_exit(frame->stream, EXIT_FAILED, failure.error, failure.what);
}

/* A frame that opens a stream. */
static const char *open_stream(const struct frame *frame)
{
	if (frame->stream <= highest)
		return "a stream number used twice";
	highest = frame->stream;
	if (loop_stopping()) {
		link_send_exit(frame->stream, EXIT_FAILED, ESHUTDOWN, "begin anything more");
		return NULL;
	}
	if (frame->type == FRAME_EXEC)
		return do_exec(frame);
	/* With --stdio the machine is the host itself. */
	if (!in_machine) {
		link_send_exit(frame->stream, EXIT_FAILED, EPERM, "change the host");
		return NULL;
	}
	switch (frame->type) {
	case FRAME_MOUNT:
		return do_mount(frame);
	case FRAME_UMOUNT:
		return do_unmount(frame);
	case FRAME_POWEROFF:
		exec_work(frame->stream, power_off_work, frame->payload);
		return NULL;
	default:
		do_clock(frame);
		return NULL;
	}
}

static const char *take_input(struct stream *stream, const struct frame *frame)
{
	if (input_push(stream, frame->payload, frame->length))
		return NULL;
	if (errno == EDQUOT)
		return "input beyond its credit";
	report("no memory for the input of stream %u", frame->stream);
	stream_hang_up(stream);
	return NULL;
}

static const char *take_credit(struct stream *stream, const struct frame *frame)
{
	int channel = frame->payload[4];

	if (channel != CHANNEL_STDOUT && channel != CHANNEL_STDERR)
		return "credit for a channel that is not an output";
	stream_credit(stream, channel, get_u32(frame->payload));
	return NULL;
}

const char *dispatch(const struct frame *frame)
{
	const unsigned char *payload = frame->payload;
	struct stream *stream;

	if (frame->stream == 0 || frame->type == FRAME_HELLO)
		return "a frame on a stream of the wrong kind";
	switch (frame->type) {
	case FRAME_EXEC:
	case FRAME_MOUNT:
	case FRAME_UMOUNT:
	case FRAME_POWEROFF:
	case FRAME_CLOCK:
		return open_stream(frame);
	default:
		break;
	}
	if (frame->stream > highest)
		return "a frame for a stream that was not opened";
	stream = stream_find(frame->stream);
	if (!stream || !stream->is_program)
		return NULL;
	switch (frame->type) {
	case FRAME_STDIN:
		return take_input(stream, frame);
	case FRAME_EOF:
		input_end(stream);
		return NULL;
	case FRAME_CREDIT:
		return take_credit(stream, frame);
	case FRAME_RESIZE:
		stream_resize(stream, get_u16(payload), get_u16(payload + 2));
		return NULL;
	case FRAME_SIGNAL:
		stream_signal(stream, *payload);
		return NULL;
	case FRAME_TERMINATE:
		stream_terminate(stream, get_u32(payload));
		return NULL;
	default:
		stream_hang_up(stream);
		return NULL;
	}
}
