/*
 * The initrd's stage: finds the root file system and makes it the root, with what the kernel
 * offers mounted in it. Then the agent runs at once, beside the machine's own init: a shell is
 * there while services still start. Nothing of the agent is on the root file system, so that can
 * be checked, remounted and unmounted as ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"
#include "cgroup.h"
#include "loop.h"

#define NEW_ROOT "/newroot"
#define MODULES "/modules/"
#define SESSIONS_PARENT "/sys/fs/cgroup"

/* Long after any disk has been found: emulated ones take well under a second. */
enum { ROOT_PATIENCE_MS = 10000 };

/* From linux/random.h, which musl's compiler wrapper does not find. */
#ifndef GRND_INSECURE
#define GRND_INSECURE 4
#endif

/* What the kernel command line says to this stage. */
static struct {
	const char *root, *type, *init, *network;
	char *options;
	bool read_only, grow;
} boot = { .type = "ext4", .init = "/sbin/init" };

/* The machine cannot start. Off is what the host notices. */
static _Noreturn void give_up(const char *what, const char *which)
{
	report("cannot start the machine: cannot %s %s: %m", what, which);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* The value if `word` is NAME=value, else NULL. `name` ends with "=". */
static char *value_of(char *word, const char *name)
{
	return strncmp(word, name, strlen(name)) == 0 ? word + strlen(name) : NULL;
}

static void read_command_line(void)
{
	static char line[4096];
	char *rest = line, *word, *value;

	if (!read_file("/proc/cmdline", line, sizeof line))
		give_up("read", "/proc/cmdline");
	while ((word = strsep(&rest, " \n"))) {
		if ((value = value_of(word, "root=")))
			boot.root = value;
		else if ((value = value_of(word, "rootfstype=")))
			boot.type = value;
		else if ((value = value_of(word, "rootflags=")))
			boot.options = value;
		else if ((value = value_of(word, "init=")))
			boot.init = value;
		else if ((value = value_of(word, "vibe.net=")))
			boot.network = value;
		else if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0)
			boot.read_only = word[1] == 'o';
		else if (strcmp(word, "vibe.grow") == 0)
			boot.grow = true;
		else if (strcmp(word, "--") == 0)
			break;
	}
}

/* Mounts one of the kernel's file systems; a machine may do without some. */
static void mount_kernel(const char *type, const char *path, unsigned long flags,
			 const char *options)
{
	mkdir(path, 0755);
	if (mount(type, path, type, flags, options) < 0 && errno != EBUSY)
		report("cannot mount %s on %s: %m", type, path);
}

/* The files named in /modules/order, in that order. They are not needed again. */
static void load_modules(void)
{
	char order[4096], *rest = order, *name;

	if (!read_file(MODULES "order", order, sizeof order))
		return;
	while ((name = strsep(&rest, "\n"))) {
		char path[sizeof MODULES + 256];
		int fd;

		snprintf(path, sizeof path, MODULES "%s", name);
		if (!*name || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
			continue;
		/* EEXIST: built into this kernel, or loaded. */
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
			report("cannot load %s: %m", path);
		close(fd);
		unlink(path);
	}
	unlink(MODULES "order");
}

static void wait_for_root(void)
{
	int64_t deadline = loop_now() + ROOT_PATIENCE_MS;
	int events = uevents_open();
	struct stat status;

	if (!boot.root || strncmp(boot.root, "/dev/", 5) != 0) {
		errno = EINVAL;
		give_up("use as a root device", boot.root ? boot.root : "(no root= given)");
	}
	while (stat(boot.root, &status) < 0) {
		int64_t left = deadline - loop_now();

		if (events < 0 || left <= 0 || !uevents_wait(events, (int)left)) {
			errno = ENODEV;
			give_up("find the root device", boot.root);
		}
	}
	close(events);
}

static void mount_root(void)
{
	unsigned long flags = MS_NOATIME | (boot.read_only ? MS_RDONLY : 0);
	char options[256] = "", *rest = boot.options, *option;

	/* The file system gets what is not a flag of mount(2). */
	while ((option = strsep(&rest, ","))) {
		if (strcmp(option, "relatime") == 0)
			flags &= ~(unsigned long)MS_NOATIME;
		else if (*option && strcmp(option, "noatime") != 0 &&
			 strlen(options) + strlen(option) + 2 <= sizeof options)
			strcat(strcat(options, *options ? "," : ""), option);
	}
	mkdir(NEW_ROOT, 0755);
	if (mount(boot.root, NEW_ROOT, boot.type, flags, options) < 0)
		give_up("mount the root device", boot.root);
}

/* Makes the new root the root, with the kernel's file systems in it. */
static void switch_root(void)
{
	const char *moved[] = { "/dev", "/proc", "/sys" };

	unlink("/init");
	for (unsigned i = 0; i < sizeof moved / sizeof *moved; i++) {
		char target[64];

		snprintf(target, sizeof target, NEW_ROOT "%s", moved[i]);
		mkdir(target, 0755);
		if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
			give_up("move to the root device", moved[i]);
	}
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		give_up("switch to", boot.root);
}

/* What programs count on, and systemd would make a little later; it takes over what is there. */
static void prepare_root(void)
{
	char name[256];

	mount_kernel("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
	mount_kernel("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_kernel("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755,size=20%");
	/* With systemd's own options. */
	mount_kernel("cgroup2", SESSIONS_PARENT, MS_NOSUID | MS_NOEXEC | MS_NODEV,
		     "nsdelegate,memory_recursiveprot");
	if (symlink("/proc/self/fd", "/dev/fd") < 0 || symlink("/proc/self/fd/0", "/dev/stdin") < 0 ||
	    symlink("/proc/self/fd/1", "/dev/stdout") < 0 ||
	    symlink("/proc/self/fd/2", "/dev/stderr") < 0)
		report("cannot link /dev/fd and its like: %m");
	if (read_file("/etc/hostname", name, sizeof name)) {
		name[strcspn(name, " \t\n")] = 0;
		sethostname(name, strlen(name));
	}
}

/*
 * The host brings the kernel, and the guest may remove the package that brought its modules, or get
 * newer ones in its place. Those of this kernel are kept a second time, as links to the same files.
 */
static void restore_modules(void)
{
	char own[PATH_MAX], kept[PATH_MAX], dependencies[PATH_MAX];
	struct utsname machine;

	if (uname(&machine) < 0)
		return;
	snprintf(own, sizeof own, "/lib/modules/%s", machine.release);
	snprintf(kept, sizeof kept, "/usr/lib/vibe/modules/%s", machine.release);
	snprintf(dependencies, sizeof dependencies, "/lib/modules/%s/modules.dep", machine.release);
	if (access(dependencies, F_OK) == 0 || access(kept, F_OK) < 0)
		return;
	/* With its last kernel, a machine loses the directory, too. */
	mkdir("/lib/modules", 0755);
	if ((mkdir(own, 0755) < 0 && errno != EEXIST) ||
	    mount(kept, own, NULL, MS_BIND, NULL) < 0)
		report("cannot restore %s: %m", own);
}

static _Noreturn void become_agent(char *key)
{
	char *arguments[] = { "vibe-agent", "--port", NULL };
	char *environment[] = { key, NULL };

	/* A name of its own in ps, and none of the memory of this stage. */
	execve("/proc/self/exe", arguments, environment);
	report("cannot start the agent: %m");
	_exit(1);
}

/* The variable with the key of this machine's agents, or NULL. Only root may read it in /proc. */
static char *make_key(void)
{
	static char variable[] = KEY_VARIABLE "=00000000000000000000000000000000";
	char *digits = strchr(variable, '=') + 1;
	unsigned char bytes[16];

	/* This early the kernel may not have gathered enough; no other than the guest could guess. */
	if (getrandom(bytes, sizeof bytes, GRND_INSECURE) != sizeof bytes) {
		report("cannot make the agent's key: %m");
		return NULL;
	}
	for (unsigned i = 0; i < sizeof bytes; i++)
		snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
	return variable;
}

/*
 * Starts the agent, and starts it anew if it is killed. When it ends by itself the machine goes
 * down, or the host speaks another version.
 */
static _Noreturn void keep_agent(void)
{
	/* Long enough that an agent which cannot live does not take a CPU for itself. */
	struct timespec pause = { .tv_nsec = 200000000 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), status;
	char *key = make_key();
	pid_t agent;

	setsid();
	prctl(PR_SET_NAME, "vibe-keeper");
	write_file("/proc/self/oom_score_adj", O_WRONLY, "-1000");
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	/*
	 * systemd moves whatever it finds in the root cgroup into init.scope, which holds no more than
	 * 15 % of the tasks that the machine can have (2357 with 2 GiB).
	 */
	if (mkdir(SESSIONS, 0755) < 0 || !write_file(SESSIONS "/cgroup.procs", O_WRONLY, "0"))
		report("cannot make the cgroup %s: %m", SESSIONS);
	network_resolver(boot.network);
	do {
		agent = fork();
		if (agent == 0)
			become_agent(key);
		if (agent < 0 || waitpid(agent, &status, 0) < 0)
			_exit(1);
		nanosleep(&pause, NULL);
	} while (WIFSIGNALED(status));
	_exit(0);
}

int init_main(char **argv)
{
	pid_t agent;

	in_machine = true;
	mount_kernel("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	mount_kernel("proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	mount_kernel("sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	/* An initrd without a console node leaves these closed. */
	while (fcntl(STDERR_FILENO, F_GETFD) < 0 && open("/dev/console", O_RDWR) >= 0)
		;
	read_command_line();
	load_modules();
	wait_for_root();
	if (boot.grow)
		grow_partition(boot.root);
	mount_root();
	if (boot.grow && !boot.read_only)
		grow_file_system(boot.root, NEW_ROOT);
	switch_root();
	prepare_root();
	restore_modules();
	network_up(boot.network);
	agent = fork();
	if (agent == 0)
		keep_agent();
	if (agent < 0)
		report("cannot start the agent: %m");
	argv[0] = (char *)boot.init;
	execv(boot.init, argv);
	give_up("run", boot.init);
}
