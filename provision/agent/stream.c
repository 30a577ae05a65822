#include "stream.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "channel.h"
#include "frame.h"
#include "link.h"
#include "outbox.h"

static struct stream **streams;
static size_t count, capacity;
/* Whose turn it is. */
static size_t next;

struct stream *stream_new(uint32_t id)
{
	struct stream *stream;

	if (count == capacity) {
		size_t more = capacity ? capacity * 2 : 16;
		struct stream **larger = realloc(streams, more * sizeof *streams);

		if (!larger)
			return NULL;
		streams = larger;
		capacity = more;
	}
	stream = calloc(1, sizeof *stream);
	if (!stream)
		return NULL;
	stream->id = id;
	stream->failure_fd = stream->input.fd = stream->cgroup.events.fd = -1;
	stream->outputs[0].source.fd = stream->outputs[1].source.fd = -1;
	stream->input_credit = STDIN_CREDIT;
	stream->last_typed = '\n';
	streams[count++] = stream;
	return stream;
}

static void free_at(size_t index)
{
	struct stream *stream = streams[index];

	loop_close(&stream->input);
	loop_close(&stream->outputs[0].source);
	loop_close(&stream->outputs[1].source);
	cgroup_release(&stream->cgroup);
	if (stream->failure_fd >= 0)
		close(stream->failure_fd);
	free(stream->queue);
	free(stream);
	streams[index] = streams[--count];
}

void stream_refuse(struct stream *stream, int error, const char *what)
{
	link_send_exit(stream->id, EXIT_FAILED, error, what);
	for (size_t i = 0; i < count; i++) {
		if (streams[i] == stream)
			free_at(i);
	}
}

struct stream *stream_find(uint32_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (streams[i]->id == id)
			return streams[i];
	}
	return NULL;
}

void stream_credit(struct stream *stream, int channel, uint32_t bytes)
{
	stream->outputs[channel - CHANNEL_STDOUT].credit += bytes;
}

void stream_resize(struct stream *stream, uint16_t rows, uint16_t columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };

	if (stream->is_pty)
		ioctl(stream->outputs[0].source.fd, TIOCSWINSZ, &size);
}

/* To the program's process group, or itself while it has not made one yet. */
static void signal_program(struct stream *stream, int signal)
{
	if (stream->pid > 0 && kill(-stream->pid, signal) < 0)
		kill(stream->pid, signal);
}

/* The process group in the foreground of its terminal, or 0. */
static pid_t foreground_of(const struct stream *stream)
{
	pid_t group;

	if (!stream->is_pty || ioctl(stream->outputs[0].source.fd, TIOCGPGRP, &group) < 0)
		return 0;
	return group > 0 ? group : 0;
}

void stream_signal(struct stream *stream, int signal)
{
	pid_t foreground = foreground_of(stream);

	if (!stream->is_program || stream->pid == 0)
		return;
	if (foreground)
		kill(-foreground, signal);
	else
		signal_program(stream, signal);
}

/*
 * To all that is in its cgroup; without one to the program and what it has in the foreground. To
 * each process once: to many a program a second SIGTERM means something else.
 */
static void signal_whole(struct stream *stream, int signal)
{
	pid_t foreground = foreground_of(stream);

	if (cgroup_populated(&stream->cgroup)) {
		cgroup_signal(&stream->cgroup, signal);
		return;
	}
	if (foreground && foreground != stream->pid)
		kill(-foreground, signal);
	signal_program(stream, signal);
}

static void end_program(struct stream *stream, int signal, int64_t grace)
{
	int64_t kill_at = loop_now() + grace;

	if (stream->ending && stream->kill_at > kill_at)
		stream->kill_at = kill_at;
	if (!stream->is_program || stream->pid == 0 || stream->ending)
		return;
	stream->ending = true;
	signal_whole(stream, signal);
	signal_whole(stream, SIGCONT);
	stream->kill_at = kill_at;
}

void stream_hang_up(struct stream *stream)
{
	stream->hung_up = true;
	end_program(stream, SIGHUP, HANGUP_GRACE_MS);
}

void stream_terminate(struct stream *stream, uint32_t grace)
{
	end_program(stream, SIGTERM, grace);
}

void streams_drop(void)
{
	for (size_t i = 0; i < count; i++) {
		streams[i]->id = 0;
		stream_hang_up(streams[i]);
	}
}

void streams_end(void)
{
	for (size_t i = 0; i < count; i++)
		end_program(streams[i], SIGHUP, HANGUP_GRACE_MS);
}

unsigned streams_programs(void)
{
	unsigned programs = 0;

	for (size_t i = 0; i < count; i++)
		programs += streams[i]->is_program;
	return programs;
}

int64_t streams_deadline(void)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < count; i++) {
		if (streams[i]->kill_at && streams[i]->kill_at < first)
			first = streams[i]->kill_at;
	}
	return first;
}

void streams_reaped(pid_t pid, int status)
{
	for (size_t i = 0; i < count; i++) {
		struct stream *stream = streams[i];

		if (stream->pid != pid)
			continue;
		stream->pid = 0;
		stream->status = status;
		/* What is left of its cgroup has the rest of the time. */
		if (!cgroup_populated(&stream->cgroup))
			stream->kill_at = 0;
		output_settle(stream, &stream->outputs[0]);
		output_settle(stream, &stream->outputs[1]);
	}
}

/* Says how an ended stream ended. False if there is no room for it now. */
static bool say_exit(struct stream *stream)
{
	struct failure failure;
	int status = stream->status;

	/* Work that ends with the agent, as powering off does, has not failed. */
	if (stream->id == 0 || (!stream->is_program && WIFSIGNALED(status) && loop_stopping()))
		return true;
	if (!outbox_control_room())
		return false;
	if (read(stream->failure_fd, &failure, sizeof failure) == sizeof failure)
		link_send_exit(stream->id, EXIT_FAILED, failure.error, failure.what);
	else if (WIFSIGNALED(status))
		link_send_exit(stream->id, EXIT_KILLED, WTERMSIG(status), "");
	else
		link_send_exit(stream->id, EXIT_EXITED, WEXITSTATUS(status), "");
	return true;
}

/* True once nothing is left to be done for a stream. */
static bool finish(struct stream *stream)
{
	if (stream->pid || (stream->ending && cgroup_populated(&stream->cgroup)))
		return false;
	if (!stream->hung_up && !(output_settled(stream, &stream->outputs[0]) &&
				  output_settled(stream, &stream->outputs[1])))
		return false;
	return say_exit(stream);
}

static void kill_late(struct stream *stream)
{
	if (!stream->kill_at || loop_now() < stream->kill_at)
		return;
	stream->kill_at = 0;
	signal_whole(stream, SIGKILL);
}

bool streams_service(void)
{
	bool moved = false;
	size_t turns = count;

	/* The one after the last that sent begins the next time: all have their turn. */
	for (size_t i = 0, at = next; i < turns; i++, at++) {
		struct stream *stream = streams[at % turns];

		kill_late(stream);
		moved |= input_service(stream);
		if (output_service(stream)) {
			moved = true;
			next = at + 1;
		}
	}
	for (size_t i = count; i-- > 0;) {
		if (finish(streams[i])) {
			free_at(i);
			moved = true;
		}
	}
	return moved;
}
