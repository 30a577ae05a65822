/* Starting what a stream runs. */
#ifndef VIBE_EXEC_H
#define VIBE_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"

/* EXEC, taken apart. The strings are good until the next frame. */
struct exec_request {
	bool pty, has_stdin, own_cgroup;
	uint16_t rows, columns;
	uint32_t credits[2];
	const char *user, *directory;
	/* Ends with NULL; empty for the login shell. */
	char **argv;
	char **environment;
	unsigned environment_count;
};

/* Starts a program in a stream of that number, or says by EXIT why not. */
void exec_program(uint32_t id, const struct exec_request *request);

/*
 * Does `work`, which may block, in a child process and reports its result by EXIT. What `argument`
 * points to is copied by forking.
 */
void exec_work(uint32_t id, bool (*work)(struct failure *, const void *), const void *argument);

#endif
