#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

/* Says whose resolv.conf it is: one of another hand stays. */
#define RESOLVER_MARK "# Written by vibe\n"

/* What vibe.net=ADDRESS/PREFIX,GATEWAY,DNS says. */
struct network {
	struct in_addr address, mask, gateway;
	char gateway_text[16], dns[16];
	bool has_gateway;
};

static bool parse_network(const char *words, struct network *network)
{
	char address[16];
	unsigned prefix;
	int end = 0;

	*network = (struct network){ 0 };
	if (sscanf(words, "%15[0-9.]/%2u%n", address, &prefix, &end) < 2 || prefix > 32 ||
	    inet_pton(AF_INET, address, &network->address) != 1)
		return false;
	network->mask.s_addr = prefix ? htonl(~0U << (32 - prefix)) : 0;
	words += end;
	if (sscanf(words, ",%15[0-9.]", network->gateway_text) == 1) {
		network->has_gateway = true;
		if (inet_pton(AF_INET, network->gateway_text, &network->gateway) != 1)
			return false;
	}
	words += *words ? 1 + strcspn(words + 1, ",") : 0;
	if (sscanf(words, ",%15[0-9.]", network->dns) == 1) {
		struct in_addr ignored;

		return inet_pton(AF_INET, network->dns, &ignored) == 1;
	}
	return !*words || strcmp(words, ",") == 0;
}

/* The first interface that is not the loopback one. */
static bool first_interface(int fd, char name[IFNAMSIZ])
{
	DIR *all = opendir("/sys/class/net");
	struct dirent *entry;
	int lowest = 0;

	while (all && (entry = readdir(all))) {
		struct ifreq request = { 0 };

		if (*entry->d_name == '.' || strlen(entry->d_name) >= IFNAMSIZ)
			continue;
		strcpy(request.ifr_name, entry->d_name);
		if (ioctl(fd, SIOCGIFFLAGS, &request) < 0 || (request.ifr_flags & IFF_LOOPBACK) ||
		    ioctl(fd, SIOCGIFINDEX, &request) < 0)
			continue;
		if (lowest == 0 || request.ifr_ifindex < lowest) {
			lowest = request.ifr_ifindex;
			strcpy(name, entry->d_name);
		}
	}
	if (all)
		closedir(all);
	return lowest > 0;
}

static bool set_up(int fd, const char *name)
{
	struct ifreq request = { 0 };

	strcpy(request.ifr_name, name);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return false;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

static bool set_address(int fd, const char *name, unsigned long what, struct in_addr value)
{
	struct ifreq request = { 0 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = value };

	strcpy(request.ifr_name, name);
	memcpy(&request.ifr_addr, &address, sizeof address);
	return ioctl(fd, what, &request) == 0;
}

static bool set_gateway(int fd, struct in_addr gateway)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct sockaddr_in through = { .sin_family = AF_INET, .sin_addr = gateway };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };

	memcpy(&route.rt_dst, &any, sizeof any);
	memcpy(&route.rt_genmask, &any, sizeof any);
	memcpy(&route.rt_gateway, &through, sizeof through);
	return ioctl(fd, SIOCADDRT, &route) == 0;
}

void network_up(const char *words)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[IFNAMSIZ];
	struct network network;

	if (fd < 0 || !set_up(fd, "lo"))
		report("cannot bring the loopback interface up: %m");
	if (words && !parse_network(words, &network))
		report("cannot read vibe.net=%s on the kernel command line", words);
	else if (words && !first_interface(fd, name))
		report("there is no network interface for vibe.net=%s", words);
	else if (words && (!set_address(fd, name, SIOCSIFADDR, network.address) ||
			   !set_address(fd, name, SIOCSIFNETMASK, network.mask) ||
			   !set_up(fd, name) ||
			   (network.has_gateway && !set_gateway(fd, network.gateway))))
		report("cannot set %s up with vibe.net=%s: %m", name, words);
	if (fd >= 0)
		close(fd);
}

void network_resolver(const char *words)
{
	const char *path = "/etc/resolv.conf", *aside = "/etc/.resolv.conf.vibe";
	char text[4096];
	struct network network;

	if (!words || !parse_network(words, &network) || !*network.dns)
		return;
	/* Missing, or a link to what only a service will make. */
	if (read_file(path, text, sizeof text)) {
		if (strncmp(text, RESOLVER_MARK, strlen(RESOLVER_MARK)) != 0)
			return;
	} else if (errno != ENOENT) {
		return;
	}
	snprintf(text, sizeof text, RESOLVER_MARK "nameserver %s\n", network.dns);
	if (!write_file(aside, O_WRONLY | O_CREAT | O_TRUNC, text) || rename(aside, path) < 0)
		report("cannot write %s: %m", path);
}
