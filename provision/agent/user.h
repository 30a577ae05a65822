/* Accounts: from /etc/passwd and /etc/group by hand, for a static program has no NSS. */
#ifndef VIBE_USER_H
#define VIBE_USER_H

#include <sys/types.h>

struct account {
	const char *name, *home, *shell;
	uid_t uid;
	gid_t gid;
};

/*
 * The account of a name or number; "" is whom the agent runs as. A number without an account has
 * the home / and a group of its own number. -1 with errno set; ENOENT: there is none. The strings
 * stay allocated.
 */
int account_find(const char *user, struct account *account);

/* Becomes that account, with its supplementary groups. -1 with errno set. */
int account_become(const struct account *account);

/* The session's environment: what was given, and the defaults for the rest. NULL: no memory. */
char **account_environment(const struct account *account, char **given, unsigned count);

#endif
