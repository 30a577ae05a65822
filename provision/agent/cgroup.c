#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

/* A process may fork while it is moved, but not for ever: then the cgroup is left behind. */
enum { RELEASE_TRIES = 10 };

struct path {
	char text[sizeof SESSIONS + 40];
};

static struct path path_of(const struct cgroup *cgroup, const char *file)
{
	struct path path;

	snprintf(path.text, sizeof path.text, SESSIONS "/program-%u%s", cgroup->number, file);
	return path;
}

void cgroup_make(struct cgroup *cgroup)
{
	static unsigned made;
	int fd;

	if (!in_machine)
		return;
	/* An agent before this one may have left some. */
	do {
		cgroup->number = ++made;
		if (mkdir(path_of(cgroup, "").text, 0755) == 0)
			break;
		cgroup->number = 0;
	} while (errno == EEXIST);
	if (!cgroup->number)
		return;
	fd = open(path_of(cgroup, "/cgroup.events").text, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !loop_watch(&cgroup->events, fd))
		close(fd);
}

void cgroup_enter(const struct cgroup *cgroup)
{
	if (cgroup->number)
		write_file(path_of(cgroup, "/cgroup.procs").text, O_WRONLY, "0");
}

bool cgroup_populated(const struct cgroup *cgroup)
{
	char text[256];
	ssize_t length;

	if (cgroup->events.fd < 0)
		return false;
	length = pread(cgroup->events.fd, text, sizeof text - 1, 0);
	text[length > 0 ? length : 0] = 0;
	return strstr(text, "populated 1") != NULL;
}

/* Calls back with each process that is in it now, as text. */
static void each_process(const struct cgroup *cgroup, void (*call)(const char *pid, int), int value)
{
	FILE *list = fopen(path_of(cgroup, "/cgroup.procs").text, "re");
	char pid[16];

	while (list && fgets(pid, sizeof pid, list))
		call(pid, value);
	if (list)
		fclose(list);
}

static void signal_one(const char *pid, int signal)
{
	int number = atoi(pid);

	/* 0 stands for a process of another pid namespace. */
	if (number > 1)
		kill(number, signal);
}

void cgroup_signal(const struct cgroup *cgroup, int signal)
{
	if (!cgroup->number)
		return;
	/* Linux 5.14. */
	if (signal == SIGKILL &&
	    write_file(path_of(cgroup, "/cgroup.kill").text, O_WRONLY, "1"))
		return;
	each_process(cgroup, signal_one, signal);
}

static void move_out(const char *pid, int unused)
{
	(void)unused;
	write_file(SESSIONS "/cgroup.procs", O_WRONLY, pid);
}

void cgroup_release(struct cgroup *cgroup)
{
	loop_close(&cgroup->events);
	if (!cgroup->number)
		return;
	for (int i = 0; i < RELEASE_TRIES && rmdir(path_of(cgroup, "").text) < 0; i++)
		each_process(cgroup, move_out, 0);
	cgroup->number = 0;
}
