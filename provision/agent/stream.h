/* Streams: what runs for the host, with its input, its outputs and its end. */
#ifndef VIBE_STREAM_H
#define VIBE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "loop.h"

/* From SIGHUP to SIGKILL. */
enum { HANGUP_GRACE_MS = 2000 };

/* One of a program's outputs; a pty has only the first. */
struct output {
	struct source source;
	/* Bytes the host still takes. */
	uint64_t credit;
	/* Once the program has ended: bytes that it may have left behind. */
	size_t left;
};

struct stream {
	/* 0 once the connection that opened it is gone. */
	uint32_t id;
	/* 0 once it is reaped. */
	pid_t pid;
	/* As from waitpid. */
	int status;
	/* Where the child writes a struct failure. */
	int failure_fd;
	/* Runs a program; else a function of the agent. */
	bool is_program;
	bool is_pty;
	/* Whoever opened it is gone. */
	bool hung_up;
	/* Was told to end. */
	bool ending;
	/* When it gets SIGKILL, in loop_now() time; 0: not at all. */
	int64_t kill_at;
	/* If it was asked for. It ends as a whole then. */
	struct cgroup cgroup;

	struct output outputs[2];
	/* Whose turn it is. */
	unsigned next_output;

	/* The program's stdin, unless that is its pty: outputs[0]. */
	struct source input;
	/* No input will come: the program has none, or EOF came. */
	bool input_ended;
	/* Input that the program has not read: queue[start..end) of `size` bytes. */
	unsigned char *queue;
	size_t queue_start, queue_end, queue_size;
	/* The last byte written to a pty, for the meaning of ^D. */
	unsigned char last_typed;
	/* Bytes that the host may still send, and those whose credit it has not got back. */
	uint32_t input_credit, input_owed;
};

/* A new stream in the table. NULL with errno set. */
struct stream *stream_new(uint32_t id);
/* Frees a stream that never ran, and tells the host why. */
void stream_refuse(struct stream *stream, int error, const char *what);
struct stream *stream_find(uint32_t id);

/* What the host asks of a running program; for its input and output see channel.h. */
void stream_credit(struct stream *stream, int channel, uint32_t bytes);
void stream_resize(struct stream *stream, uint16_t rows, uint16_t columns);
void stream_signal(struct stream *stream, int signal);
void stream_hang_up(struct stream *stream);
/* SIGTERM to all that the program started, and SIGKILL `grace` milliseconds later. */
void stream_terminate(struct stream *stream, uint32_t grace);

/* A child has ended. */
void streams_reaped(pid_t pid, int status);
/* Moves input and output, a frame per stream in turn, and ends what is done. True if it moved. */
bool streams_service(void);
/* The connection is gone: all programs are hung up, and nothing more is said of any stream. */
void streams_drop(void);
/* The agent leaves: all programs are told to end, and their last output is still passed on. */
void streams_end(void);
/* How many programs there are. */
unsigned streams_programs(void);
/* When streams_service has to run again without an event; INT64_MAX: never. */
int64_t streams_deadline(void);

#endif
