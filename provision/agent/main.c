/*
 * vibe-agent: runs programs in the guest for the host. One static program, three ways to start it:
 *
 *     as PID 1          of the initrd: init.c
 *     --port            in a machine that has booted by itself: serves the port "vibe.agent"
 *     --stdio           on descriptors 0 and 1, on any Linux: for tests of both halves. Runs
 *                       programs only; "" as a user is whoever started it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "link.h"
#include "loop.h"

static bool nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

int serve_port(void)
{
	int fd;

	in_machine = true;
	/* Without the agent nobody can see that the machine is out of memory. */
	write_file("/proc/self/oom_score_adj", O_WRONLY, "-1000");
	fd = port_open("vibe.agent");
	if (fd < 0 || !loop_open() || !link_open(fd, fd, true)) {
		report("cannot serve the port: %m");
		return 1;
	}
	return loop_run();
}

static int serve_stdio(void)
{
	if (!nonblocking(STDIN_FILENO) || !nonblocking(STDOUT_FILENO) || !loop_open() ||
	    !link_open(STDIN_FILENO, STDOUT_FILENO, false)) {
		report("cannot serve descriptors 0 and 1: %m");
		return 1;
	}
	return loop_run();
}

int main(int argc, char **argv)
{
	int fd;

	if (getpid() == 1)
		return init_main(argv);
	/* Pipes to programs must not land on 0 to 2. */
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
	if (argc == 2 && strcmp(argv[1], "--port") == 0)
		return serve_port();
	if (argc == 2 && strcmp(argv[1], "--stdio") == 0)
		return serve_stdio();
	fprintf(stderr, "usage: vibe-agent --port | --stdio\n");
	return 2;
}
