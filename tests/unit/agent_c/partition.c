/* Lets a partition of a disk image grow: FILE NUMBER. Says where it is then, or why not. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "partition.h"

int main(int argc, char **argv)
{
	struct span span;
	struct stat status;
	int disk = argc == 3 ? open(argv[1], O_RDWR) : -1;

	if (disk < 0 || fstat(disk, &status) < 0)
		return 1;
	if (partition_grow(disk, (uint64_t)status.st_size, (unsigned)atoi(argv[2]), &span))
		printf("%llu %llu\n", (unsigned long long)span.start, (unsigned long long)span.sectors);
	else
		printf("%s\n", errno ? strerror(errno) : "nothing to do");
	return 0;
}
