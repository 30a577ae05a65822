#pragma once
#define F_SETFD 2
#define FD_CLOEXEC 1
#define F_DUPFD_CLOEXEC 67
int fcntl(int, int, ...);
