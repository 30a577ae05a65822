#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

bool in_machine;

void report(const char *format, ...)
{
	char line[512] = "<3>vibe-agent: ";
	size_t length = strlen(line), skip = 0;
	int fd = -1;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + length, sizeof line - length - 1, format, arguments);
	va_end(arguments);
	strcat(line, "\n");
	if (in_machine)
		fd = open("/dev/kmsg", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		/* The level is for the kernel only. */
		fd = STDERR_FILENO;
		skip = 3;
	}
	if (write(fd, line + skip, strlen(line + skip)) < 0) {
		/* Nobody can be told. */
	}
	if (fd != STDERR_FILENO)
		close(fd);
}

bool failed(struct failure *failure, const char *what)
{
	failure->error = errno;
	snprintf(failure->what, sizeof failure->what, "%s", what);
	return false;
}

bool read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	size_t length = 0;
	ssize_t count = 0;

	if (fd < 0)
		return false;
	while (length < size && (count = read(fd, buffer + length, size - length)) > 0)
		length += (size_t)count;
	if (count >= 0 && length == size)
		errno = E2BIG;
	close(fd);
	if (count < 0 || length == size)
		return false;
	buffer[length] = 0;
	return true;
}

bool write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, flags | O_NOCTTY | O_CLOEXEC, 0644);
	size_t length = strlen(text);
	ssize_t count;

	if (fd < 0)
		return false;
	count = write(fd, text, length);
	return close(fd) == 0 && count == (ssize_t)length;
}
