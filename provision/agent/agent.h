/* What the files of the agent share beside their own headers. */
#ifndef VIBE_AGENT_H
#define VIBE_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Names the build in HELLO; whoever compiles the agent may say more. */
#ifndef BUILD_ID
#define BUILD_ID "dev"
#endif

/* Where an agent finds the key that its HELLO ends with; it is not in the programs' environment. */
#define KEY_VARIABLE "VIBE_KEY"

/* True while the agent serves a virtual machine, false with --stdio. */
extern bool in_machine;

/* Tells the operator (%m is errno in words): on the kernel's console in a machine, on stderr with --stdio. */
__attribute__((format(printf, 1, 2))) void report(const char *format, ...);

/*
 * Reads a small file whole into `buffer` and ends it with a NUL byte. False with errno set; a file
 * that does not fit is E2BIG.
 */
bool read_file(const char *path, char *buffer, size_t size);

/* Writes all of `text` to a file that is there (or is made, with O_CREAT). False with errno set. */
bool write_file(const char *path, int flags, const char *text);

/* Why something failed: the errno, and at what, to follow the word "cannot". */
struct failure {
	int error;
	char what[60];
};

/* Fills in a failure from errno. Always false. */
bool failed(struct failure *failure, const char *what);

/* init.c: PID 1 of the initrd. Becomes the agent in a child, and the machine's init itself. */
int init_main(char **argv);

/* main.c: serves the port "vibe.agent" until it is gone or SIGTERM. Returns the exit status. */
int serve_port(void);

/* port.c: waits for the virtio-serial port of that name and opens it. -1 with errno set. */
int port_open(const char *name);

/* port.c: the kernel's device events, to be polled until what one looks for is there. */
int uevents_open(void);
/* Waits for a burst of events and drops them. False after `timeout` milliseconds (-1: never). */
bool uevents_wait(int fd, int timeout);

/* network.c */
/* Brings the loopback interface up, and another one if `words` (after vibe.net=) say how. */
void network_up(const char *words);
/* Writes /etc/resolv.conf for these `words` where nothing else does. */
void network_resolver(const char *words);

/* grow.c: for PID 1 of the initrd. They tell the operator what they cannot do. */
/* Lets a partition go up to its disk's end. It must not be mounted. */
void grow_partition(const char *device);
/* Lets the ext4 file system on a device, mounted at `path`, fill it. */
void grow_file_system(const char *device, const char *path);

/* mount.c: for child processes, they may block. `target` is absolute. */
enum {
	MOUNT_READ_ONLY = 1,
	/* The guest may change a copy of it; see mount.c. */
	MOUNT_COPY = 2,
};
bool share_mount(struct failure *failure, const char *name, const char *target, unsigned flags);
bool share_unmount(struct failure *failure, const char *target, bool in_use);

/* system.c: for child processes. Returns only if it failed. */
bool power_off(struct failure *failure, bool force);

/*
 * system.c: sets the clock if it is behind `now`, or `back` and it is ahead. `*ahead`: it was ahead
 * by more than a frame takes that comes in time, and was left so.
 */
bool set_clock(struct failure *failure, const struct timespec *now, bool back, bool *ahead);

#endif
