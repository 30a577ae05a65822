#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "link.h"
#include "outbox.h"
#include "stream.h"

/* Programs have HANGUP_GRACE_MS to end, then their EXIT frames this long to leave. */
enum { LEAVE_MS = 1000 };

static int epoll_fd = -1;
static struct source signals = { .fd = -1 };
static bool stopping;
static int exit_status;
static int64_t leave_at;

int64_t loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool loop_watch(struct source *source, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = source };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return false;
	*source = (struct source){ .fd = fd, .readable = true, .writable = true };
	return true;
}

void loop_close(struct source *source)
{
	if (source->fd >= 0) {
		/* A child between fork and exec may keep it open, and with it the registration. */
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
		close(source->fd);
	}
	*source = (struct source){ .fd = -1 };
}

bool loop_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	/* systemd-shutdown sends SIGTERM and then SIGHUP to everything. */
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return epoll_fd >= 0 && fd >= 0 && loop_watch(&signals, fd);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		streams_reaped(pid, status);
}

static bool take_signals(void)
{
	struct signalfd_siginfo info;

	if (!signals.readable)
		return false;
	if (read(signals.fd, &info, sizeof info) != sizeof info) {
		signals.readable = false;
		return false;
	}
	if (info.ssi_signo == SIGCHLD)
		reap();
	else
		loop_stop(0);
	return true;
}

void loop_stop(int status)
{
	if (stopping)
		return;
	stopping = true;
	exit_status = status;
	leave_at = loop_now() + HANGUP_GRACE_MS + LEAVE_MS;
	streams_end();
}

bool loop_stopping(void)
{
	return stopping;
}

/* One turn over everything that is ready. True if something moved: then there may be more. */
static bool turn(void)
{
	bool moved = take_signals();

	moved |= link_service();
	moved |= streams_service();
	moved |= link_flush();
	return moved;
}

static int until(int64_t deadline)
{
	int64_t left = deadline - loop_now();

	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

int loop_run(void)
{
	bool moved = true;

	while (!stopping || ((streams_programs() > 0 || !outbox_empty()) && loop_now() < leave_at)) {
		struct epoll_event events[64];
		int64_t deadline = streams_deadline();
		int timeout, count;

		if (stopping && leave_at < deadline)
			deadline = leave_at;
		timeout = moved ? 0 : deadline == INT64_MAX ? -1 : until(deadline);
		count = epoll_wait(epoll_fd, events, 64, timeout);
		if (count < 0 && errno != EINTR) {
			report("epoll_wait: %m");
			return 1;
		}
		for (int i = 0; i < count; i++) {
			struct source *source = events[i].data.ptr;

			/* Errors and hang-ups are found by trying. */
			source->readable |= (events[i].events & ~(uint32_t)EPOLLOUT) != 0;
			source->writable |= (events[i].events & ~(uint32_t)EPOLLIN) != 0;
		}
		moved = turn();
	}
	return exit_status;
}
