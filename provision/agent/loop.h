/* The event loop: one thread, one epoll, edge-triggered. */
#ifndef VIBE_LOOP_H
#define VIBE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A descriptor in the loop. An edge sets the flags; they say that reading or writing may move
 * something, and whoever gets EAGAIN clears his.
 */
struct source {
	int fd;
	bool readable, writable;
};

/* Watches `fd` with `source`, ready for a first try. False with errno set; `fd` stays open. */
bool loop_watch(struct source *source, int fd);
/* Closes the descriptor of a source, if it has one. */
void loop_close(struct source *source);

/* Takes over SIGCHLD and the signals that end the agent. False with errno set. */
bool loop_open(void);
/* Serves until loop_stop and all programs are gone. Returns the agent's exit status. */
int loop_run(void);
/*
 * Ends all programs and then the agent, with `status`. The first call counts. If the programs
 * do not go, or the host does not take their EXIT, it leaves without in the end.
 */
void loop_stop(int status);
bool loop_stopping(void);

/* Milliseconds of a clock that only runs forward. */
int64_t loop_now(void);

#endif
