#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

/* From linux/netlink.h, which musl's compiler wrapper does not find. */
enum { KOBJECT_UEVENT = 15, KERNEL_GROUP = 1 };
struct netlink_address {
	sa_family_t family;
	uint16_t zero;
	uint32_t port, groups;
};

int uevents_open(void)
{
	struct netlink_address address = { .family = AF_NETLINK, .groups = KERNEL_GROUP };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

bool uevents_wait(int fd, int timeout)
{
	struct pollfd events = { .fd = fd, .events = POLLIN };
	char event[4096];

	if (poll(&events, 1, timeout) == 0)
		return false;
	/* ENOBUFS, some were lost, is as good as an event. */
	while (recv(fd, event, sizeof event, 0) >= 0)
		;
	return true;
}

/* The device of the port of that name, as /dev/vport0p1. False if it is not there. */
static bool find_port(const char *name, char *device, size_t size)
{
	const char *class = "/sys/class/virtio-ports";
	DIR *ports = opendir(class);
	struct dirent *entry;
	bool found = false;

	while (ports && !found && (entry = readdir(ports))) {
		char path[512], text[128];

		snprintf(path, sizeof path, "%s/%s/name", class, entry->d_name);
		if (!read_file(path, text, sizeof text))
			continue;
		text[strcspn(text, "\n")] = 0;
		found = strcmp(text, name) == 0;
		snprintf(device, size, "/dev/%s", entry->d_name);
	}
	if (ports)
		closedir(ports);
	return found;
}

int port_open(const char *name)
{
	char device[512];
	int fd, events = uevents_open();

	if (events < 0)
		return -1;
	/* A port gets its name some time after its device: both are announced. */
	while (!find_port(name, device, sizeof device))
		uevents_wait(events, -1);
	close(events);
	fd = open(device, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		report("cannot open %s: %m", device);
	return fd;
}
