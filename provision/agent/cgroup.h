/* The cgroup of one program: whatever it starts is in there, in any session or process group. */
#ifndef VIBE_CGROUP_H
#define VIBE_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "loop.h"

/* Where the agent and its sessions are. */
#define SESSIONS "/sys/fs/cgroup/vibe"

struct cgroup {
	/* Names it; 0: there is none. */
	unsigned number;
	/* Has an edge whenever the cgroup becomes empty. */
	struct source events;
};

/* Makes a cgroup. A machine without cgroup2, and --stdio, gets none; that is no failure. */
void cgroup_make(struct cgroup *cgroup);
/* Moves the calling process into it, if there is one. */
void cgroup_enter(const struct cgroup *cgroup);
/* True while there is a process in it. */
bool cgroup_populated(const struct cgroup *cgroup);
/* To all that is in it; nothing that is killed can slip away by forking. */
void cgroup_signal(const struct cgroup *cgroup, int signal);
/* Gives it up. What still runs goes on beside the agent. */
void cgroup_release(struct cgroup *cgroup);

#endif
