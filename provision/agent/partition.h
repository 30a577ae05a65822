/* Partition tables. */
#ifndef VIBE_PARTITION_H
#define VIBE_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

enum { SECTOR = 512 };

/* Where a partition is, in sectors. */
struct span {
	uint64_t start, sectors;
};

/*
 * Lets a partition (1 is the first) of a disk of `bytes` bytes go up to the disk's end, and tells
 * where it is then. False if it was not changed: with errno 0 if it cannot grow, because it ends
 * there already or something is behind it.
 */
bool partition_grow(int disk, uint64_t bytes, unsigned number, struct span *span);

#endif
