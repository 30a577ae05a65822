/* Lets the root file system fill a disk that has grown, before anything runs on it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "partition.h"

/* <linux/ext4.h> is not among the headers that programs get. */
#define EXT4_RESIZE _IOW('f', 16, __u64)

enum {
	/* The superblock, and what it says where (kernel documentation, ext4/super.rst). */
	SUPER_AT = 1024, SUPER_SIZE = 1024, SUPER_BLOCKS = 4, SUPER_BLOCK_SIZE = 24,
	SUPER_MAGIC = 56, SUPER_FEATURES = 96, SUPER_BLOCKS_HIGH = 336,
	EXT4_MAGIC = 0xef53, FEATURE_64_BIT = 0x80,
};

/* 100 GiB more take a second without hardware virtualisation, 2 TiB some 20. */
enum { GROW_PATIENCE_S = 30 };

/* A file that the kernel has for a block device. */
static bool read_property(dev_t device, const char *name, char *text, size_t size)
{
	char path[80];

	snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s", major(device), minor(device), name);
	return read_file(path, text, size);
}

/* Opens the disk that a partition is on. -1 with errno set. */
static int open_disk_of(dev_t partition)
{
	static const char node[] = "/disk";
	char text[32];
	unsigned high, low;
	int disk;

	/* The partition's directory is in the disk's. */
	if (!read_property(partition, "../dev", text, sizeof text) ||
	    sscanf(text, "%u:%u", &high, &low) != 2 ||
	    mknod(node, S_IFBLK | 0600, makedev(high, low)) < 0)
		return -1;
	disk = open(node, O_RDWR | O_CLOEXEC);
	unlink(node);
	return disk;
}

/* Tells the kernel of a partition's new size. */
static bool resize_partition(int disk, int number, const struct span *span)
{
	struct blkpg_partition partition = {
		.start = (long long)(span->start * SECTOR),
		.length = (long long)(span->sectors * SECTOR),
		.pno = number,
	};
	struct blkpg_ioctl_arg argument = {
		.op = BLKPG_RESIZE_PARTITION, .datalen = sizeof partition, .data = &partition,
	};

	return ioctl(disk, BLKPG, &argument) == 0;
}

void grow_partition(const char *device)
{
	struct stat status;
	struct span span;
	char text[32];
	int disk, number, sector = 0;
	uint64_t bytes;

	if (stat(device, &status) < 0 || !S_ISBLK(status.st_mode) ||
	    !read_property(status.st_rdev, "partition", text, sizeof text))
		return;
	number = atoi(text);
	disk = open_disk_of(status.st_rdev);
	errno = disk < 0 ? errno : 0;
	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &bytes) < 0 || ioctl(disk, BLKSSZGET, &sector) < 0 ||
	    sector != SECTOR || !partition_grow(disk, bytes, (unsigned)number, &span)) {
		if (errno)
			report("cannot let the partition %s grow: %m", device);
	} else if (!resize_partition(disk, number, &span)) {
		report("cannot tell the kernel that %s grew: %m", device);
	}
	close(disk);
}

static uint64_t number_at(const unsigned char *at, int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

/* How many blocks an ext4 file system has, and how large they are. False for any other. */
static bool read_super(int device, uint64_t *blocks, uint64_t *block_size)
{
	unsigned char super[SUPER_SIZE];

	if (pread(device, super, sizeof super, SUPER_AT) != sizeof super ||
	    number_at(super + SUPER_MAGIC, 2) != EXT4_MAGIC)
		return false;
	*block_size = 1024u << (super[SUPER_BLOCK_SIZE] & 7);
	*blocks = number_at(super + SUPER_BLOCKS, 4);
	if (number_at(super + SUPER_FEATURES, 4) & FEATURE_64_BIT)
		*blocks |= number_at(super + SUPER_BLOCKS_HIGH, 4) << 32;
	return true;
}

static void grow_now(const char *device, const char *path)
{
	int block_device = open(device, O_RDONLY | O_CLOEXEC);
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t bytes, blocks, block_size, wanted;

	if (block_device >= 0 && directory >= 0 && read_super(block_device, &blocks, &block_size) &&
	    ioctl(block_device, BLKGETSIZE64, &bytes) == 0) {
		wanted = bytes / block_size;
		/* The kernel does it while the file system is mounted; resize2fs(8) asks it, too. */
		if (wanted > blocks && ioctl(directory, EXT4_RESIZE, &wanted) < 0)
			report("cannot let the file system on %s grow: %m", device);
	}
}

/*
 * In a process of its own: if the kernel takes very long, the machine starts meanwhile, and if it
 * stumbles over the file system (seen when 16 TiB were cut short), that does not take PID 1 along.
 */
void grow_file_system(const char *device, const char *path)
{
	struct timespec patience = { .tv_sec = GROW_PATIENCE_S };
	sigset_t child_ended, before;
	pid_t child;

	sigemptyset(&child_ended);
	sigaddset(&child_ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_ended, &before);
	child = fork();
	if (child == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		grow_now(device, path);
		_exit(0);
	}
	if (child < 0)
		report("cannot let the file system on %s grow: %m", device);
	else if (sigtimedwait(&child_ended, NULL, &patience) >= 0)
		waitpid(child, NULL, 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
}
