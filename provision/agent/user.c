#define _GNU_SOURCE
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

/* As Debian's login does. */
#define ROOT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define USER_PATH "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"

/* More than anyone writes by hand. */
enum { MACHINE_VARIABLES = 100 };

/* A whole file as a string; NULL with errno set. */
static char *slurp(const char *path)
{
	struct stat status;
	char *text = NULL;
	ssize_t length;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && (text = malloc((size_t)status.st_size + 1))) {
		length = read(fd, text, (size_t)status.st_size);
		text[length > 0 ? length : 0] = 0;
	}
	close(fd);
	return text;
}

/*
 * Cuts the next line of a file like /etc/passwd at its colons, in place. Returns the number of
 * fields, 0 at the end; fields that are missing are "".
 */
static unsigned next_entry(char **text, char *fields[], unsigned most)
{
	char *line = strsep(text, "\n");
	unsigned count = 0;

	for (unsigned i = 0; i < most; i++)
		fields[i] = "";
	while (line && count < most)
		fields[count++] = strsep(&line, ":");
	return count;
}

static bool parse_number(const char *text, unsigned *number)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	/* The highest number means "unchanged" to the kernel. */
	if (errno || *end || value >= UINT_MAX)
		return false;
	*number = (unsigned)value;
	return true;
}

static bool find_entry(char *text, const char *name, bool by_number, struct account *account)
{
	unsigned wanted = account->uid;
	char *fields[7];

	while (next_entry(&text, fields, 7)) {
		unsigned uid, gid;

		if (!parse_number(fields[2], &uid) || !parse_number(fields[3], &gid))
			continue;
		if (by_number ? uid != wanted : strcmp(fields[0], name) != 0)
			continue;
		account->uid = uid;
		account->gid = gid;
		account->name = fields[0];
		account->home = *fields[5] ? fields[5] : "/";
		account->shell = *fields[6] ? fields[6] : "/bin/sh";
		return true;
	}
	return false;
}

int account_find(const char *user, struct account *account)
{
	char *text = slurp("/etc/passwd");
	static char number[16];
	unsigned uid = geteuid();
	bool is_number = !*user || parse_number(user, &uid);

	account->uid = account->gid = uid;
	/* A name may consist of digits, so names go first. */
	if (text && *user && is_number) {
		char *copy = strdup(text);

		if (copy && find_entry(copy, user, false, account))
			return 0;
		free(copy);
	}
	if (text && find_entry(text, user, is_number, account))
		return 0;
	if (!is_number) {
		errno = ENOENT;
		return -1;
	}
	snprintf(number, sizeof number, "%u", uid);
	account->name = number;
	account->home = "/";
	account->shell = "/bin/sh";
	return 0;
}

static bool is_member(char *members, const char *name)
{
	for (char *member; (member = strsep(&members, ","));) {
		if (strcmp(member, name) == 0)
			return true;
	}
	return false;
}

int account_become(const struct account *account)
{
	static gid_t groups[NGROUPS_MAX];
	size_t count = 0;
	char *text, *fields[4];
	unsigned gid;

	if (geteuid() != 0) {
		if (account->uid == geteuid())
			return 0;
		errno = EPERM;
		return -1;
	}
	groups[count++] = account->gid;
	text = slurp("/etc/group");
	while (text && count < NGROUPS_MAX && next_entry(&text, fields, 4)) {
		if (parse_number(fields[2], &gid) && gid != account->gid &&
		    is_member(fields[3], account->name))
			groups[count++] = gid;
	}
	if (setgroups(count, groups) < 0 || setgid(account->gid) < 0)
		return -1;
	return setuid(account->uid);
}

static bool is_given(const char *entry, char **given, unsigned count)
{
	size_t name = (size_t)(strchr(entry, '=') - entry) + 1;

	for (unsigned i = 0; i < count; i++) {
		if (strncmp(given[i], entry, name) == 0)
			return true;
	}
	return false;
}

/*
 * Cuts /etc/environment, in place, into at most `most` entries NAME=value: what the login of a
 * machine gives to everyone. As pam_env(8) reads it, but for escapes. Returns their number.
 */
static unsigned parse_environment(char *text, char *entries[], unsigned most)
{
	unsigned count = 0;
	char *line;

	while (count < most && (line = strsep(&text, "\n"))) {
		char *value, *end;

		line += strspn(line, " \t");
		if (strncmp(line, "export ", 7) == 0)
			line += 7;
		value = strchr(line, '=');
		if (*line == '#' || !value || value == line)
			continue;
		end = line + strlen(line);
		while (end > value + 1 && strchr(" \t\r", end[-1]))
			end--;
		if (end - value >= 3 && (value[1] == '"' || value[1] == '\'') && end[-1] == value[1]) {
			memmove(value + 1, value + 2, (size_t)(--end - value) - 1);
			end--;
		}
		*end = 0;
		entries[count++] = line;
	}
	return count;
}

char **account_environment(const struct account *account, char **given, unsigned count)
{
	char *machine[MACHINE_VARIABLES], *text = in_machine ? slurp("/etc/environment") : NULL;
	unsigned machine_count = text ? parse_environment(text, machine, MACHINE_VARIABLES) : 0;
	const char *names[] = { "HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG" };
	const char *values[] = {
		account->home, account->name, account->name, account->shell,
		account->uid == 0 ? ROOT_PATH : USER_PATH, "C.UTF-8",
	};
	unsigned defaults = sizeof names / sizeof *names, all = count;
	char **list = calloc(count + machine_count + defaults + 1, sizeof *list);

	if (!list)
		return NULL;
	if (count > 0)
		memcpy(list, given, count * sizeof *list);
	/* The nearer one wins: the request, the machine, what every login has. */
	for (unsigned i = 0; i < machine_count; i++) {
		list[all] = machine[i];
		all += !is_given(list[all], list, all);
	}
	for (unsigned i = 0; i < defaults; i++) {
		if (asprintf(&list[all], "%s=%s", names[i], values[i]) < 0)
			return NULL;
		all += !is_given(list[all], list, all);
	}
	list[all] = NULL;
	return list;
}
