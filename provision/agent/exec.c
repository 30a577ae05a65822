#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "frame.h"
#include "link.h"
#include "stream.h"
#include "user.h"

/* Where a child tells its failure; the descriptors below it are the program's own. */
enum { FAILURE_FD = 3 };
/*
 * For output: the most that an ordinary user may have. A program that writes 300 MB runs at 0.83 of a plain
 * virtio-serial port's speed with it, at 0.6 with 256 KiB, at 0.5 with the default of 64 KiB.
 */
enum { PIPE_SIZE = 1 << 20 };

/* Both ends of what a program's three descriptors are connected to. */
struct plumbing {
	int ours[3], theirs[3];
	int failure[2];
};

static void close_plumbing(struct plumbing *plumbing)
{
	for (int i = 0; i < 3; i++) {
		if (plumbing->ours[i] >= 0)
			close(plumbing->ours[i]);
		if (plumbing->theirs[i] >= 0)
			close(plumbing->theirs[i]);
	}
	for (int i = 0; i < 2; i++) {
		if (plumbing->failure[i] >= 0)
			close(plumbing->failure[i]);
	}
}

/* The agent's own state that a program must not inherit. */
static void reset_process(void)
{
	struct rlimit files = { 1024, 524288 };
	sigset_t none;

	setsid();
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!in_machine)
		return;
	umask(022);
	/* The kernel's hard limit of 4096 is low; these are systemd's. */
	setrlimit(RLIMIT_NOFILE, &files);
	write_file("/proc/self/oom_score_adj", O_WRONLY, "0");
}

/* Leaves a child nothing but descriptors 0 to 2 and FAILURE_FD. */
static void keep_descriptors(int failure_fd)
{
	dup3(failure_fd, FAILURE_FD, O_CLOEXEC);
#ifdef SYS_close_range
	syscall(SYS_close_range, FAILURE_FD + 1, ~0U, 0);
#endif
}

static _Noreturn void fail_child(const struct failure *failure)
{
	ssize_t written = write(FAILURE_FD, failure, sizeof *failure);

	_exit(written == sizeof *failure ? 127 : 126);
}

/* The terminal end of a pty, as the session's controlling terminal. */
static bool open_terminal(int master)
{
	int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios settings;

	if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
		return false;
	/* LANG is UTF-8: erasing takes whole characters. */
	if (tcgetattr(terminal, &settings) == 0) {
		settings.c_iflag |= IUTF8;
		tcsetattr(terminal, TCSANOW, &settings);
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(terminal, i) < 0)
			return false;
	}
	return true;
}

static bool enter_directory(const char *home, const char *directory)
{
	/* As login does: without a home there is still a shell. */
	if (chdir(home) < 0 && chdir("/") < 0)
		return false;
	return !*directory || chdir(directory) == 0;
}

static bool become_program(struct failure *failure, const struct exec_request *request, int master)
{
	char shell[64], *login[] = { shell, NULL };
	struct account account;
	const char *base;

	if (request->pty && !open_terminal(master))
		return failed(failure, "open a terminal");
	if (account_find(request->user, &account) < 0)
		return failed(failure, "find the user");
	/* So that programs can open it by its name. The group stays tty. */
	if (request->pty && geteuid() == 0 && fchown(STDIN_FILENO, account.uid, (gid_t)-1) < 0)
		return failed(failure, "give the terminal to the user");
	if (account_become(&account) < 0)
		return failed(failure, "become the user");
	if (!enter_directory(account.home, request->directory))
		return failed(failure, "enter the directory");
	environ = account_environment(&account, request->environment, request->environment_count);
	if (!environ)
		return failed(failure, "make the environment");
	if (request->argv[0]) {
		execvp(request->argv[0], request->argv);
	} else {
		base = strrchr(account.shell, '/');
		snprintf(shell, sizeof shell, "-%s", base ? base + 1 : account.shell);
		execv(account.shell, login);
	}
	return failed(failure, "run the program");
}

static bool open_pipe(struct plumbing *plumbing, int which)
{
	int ends[2], ours = which == 0 ? 1 : 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	plumbing->ours[which] = ends[ours];
	plumbing->theirs[which] = ends[!ours];
	/* It is a wish: an ordinary user may have used up his share. */
	if (which != 0)
		fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE);
	return fcntl(ends[ours], F_SETFL, O_NONBLOCK) == 0;
}

/* The connections of a program. False with errno set. */
static bool open_plumbing(struct plumbing *plumbing, const struct exec_request *request)
{
	struct winsize size = { .ws_row = request->rows, .ws_col = request->columns };
	int unlock = 0, master;

	if (request->pty) {
		master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		plumbing->ours[1] = master;
		return master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0 &&
		       ioctl(master, TIOCSWINSZ, &size) == 0;
	}
	if (request->has_stdin) {
		if (!open_pipe(plumbing, 0))
			return false;
	} else {
		plumbing->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (plumbing->theirs[0] < 0)
			return false;
	}
	return open_pipe(plumbing, 1) && open_pipe(plumbing, 2);
}

/* Puts our ends into the stream and the loop. They belong to the stream then. */
static bool watch(struct stream *stream, struct plumbing *plumbing)
{
	struct source *sources[] = {
		&stream->input, &stream->outputs[0].source, &stream->outputs[1].source,
	};

	for (int i = 0; i < 3; i++) {
		if (plumbing->ours[i] < 0)
			continue;
		if (!loop_watch(sources[i], plumbing->ours[i]))
			return false;
		plumbing->ours[i] = -1;
	}
	return true;
}

void exec_program(uint32_t id, const struct exec_request *request)
{
	struct plumbing plumbing = { { -1, -1, -1 }, { -1, -1, -1 }, { -1, -1 } };
	struct stream *stream = stream_new(id);
	struct failure failure = { 0 };
	int master = -1;

	if (!stream) {
		link_send_exit(id, EXIT_FAILED, ENOMEM, "open a stream");
		return;
	}
	if (pipe2(plumbing.failure, O_CLOEXEC | O_NONBLOCK) < 0 ||
	    !open_plumbing(&plumbing, request)) {
		stream_refuse(stream, errno, request->pty ? "open a terminal" : "open pipes");
		close_plumbing(&plumbing);
		return;
	}
	if (request->pty)
		master = plumbing.ours[1];
	stream->is_program = true;
	stream->is_pty = request->pty;
	stream->input_ended = !request->has_stdin;
	stream->outputs[0].credit = request->credits[0];
	stream->outputs[1].credit = request->credits[1];
	if (request->own_cgroup)
		cgroup_make(&stream->cgroup);
	if (!watch(stream, &plumbing) || (stream->pid = fork()) < 0) {
		stream_refuse(stream, errno, "start a process");
		close_plumbing(&plumbing);
		return;
	}
	if (stream->pid == 0) {
		cgroup_enter(&stream->cgroup);
		reset_process();
		for (int i = 0; i < 3; i++) {
			if (plumbing.theirs[i] >= 0)
				dup2(plumbing.theirs[i], i);
		}
		if (master >= 0)
			master = dup2(master, STDIN_FILENO);
		keep_descriptors(plumbing.failure[1]);
		become_program(&failure, request, master);
		fail_child(&failure);
	}
	stream->failure_fd = plumbing.failure[0];
	plumbing.failure[0] = -1;
	close_plumbing(&plumbing);
}

void exec_work(uint32_t id, bool (*work)(struct failure *, const void *), const void *argument)
{
	struct stream *stream = stream_new(id);
	struct failure failure = { 0 };
	int ends[2];

	if (!stream) {
		link_send_exit(id, EXIT_FAILED, ENOMEM, "open a stream");
		return;
	}
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		stream_refuse(stream, errno, "open pipes");
		return;
	}
	stream->failure_fd = ends[0];
	stream->pid = fork();
	if (stream->pid == 0) {
		reset_process();
		keep_descriptors(ends[1]);
		if (work(&failure, argument))
			_exit(0);
		fail_child(&failure);
	}
	close(ends[1]);
	if (stream->pid < 0)
		stream_refuse(stream, errno, "start a process");
}
