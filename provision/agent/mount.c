#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

/* The virtio-fs device that carries all shares, and where the guest sees it. */
#define TAG "shared"
#define PARENT "/run/vibe"
#define SHARED PARENT "/shared"

/* Where the guest's changes to shares are kept that it only gets a copy of. */
#define CHANGES "/var/lib/vibe/changes"

/* Makes a directory and what leads to it; one that is there is fine. */
static bool make_directories(const char *path)
{
	char part[PATH_MAX];

	if (strlen(path) >= sizeof part) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(part, path);
	for (char *slash = part + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = 0;
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return false;
	}
	return mkdir(part, 0755) == 0 || errno == EEXIST;
}

static bool make_file(const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd;

	if (strlen(path) >= sizeof parent) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = 0;
	if (*parent && !make_directories(parent))
		return false;
	fd = open(path, O_RDONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool is_mount_point(const char *path)
{
	struct stat own, parent;

	return stat(path, &own) == 0 && stat(PARENT, &parent) == 0 && own.st_dev != parent.st_dev;
}

/* Mounts the share device, once for all. */
static bool mount_device(void)
{
	int lock;

	/* Others only reach what is bound for them. */
	if ((mkdir("/run", 0755) < 0 && errno != EEXIST) ||
	    (mkdir(PARENT, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(SHARED, 0700) < 0 && errno != EEXIST))
		return false;
	/* Requests run side by side. The lock goes with the process. */
	lock = open(PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return false;
	if (!is_mount_point(SHARED) && mount(TAG, SHARED, "virtiofs", 0, NULL) < 0)
		return false;
	return close(lock) == 0;
}

/*
 * What the guest changes goes to its own disk, and the share stays as it is. ENODEV if the kernel
 * has no overlay file system.
 */
static bool mount_copy(const char *source, const char *name, const char *target)
{
	char upper[sizeof CHANGES "//files" + NAME_MAX], work[sizeof CHANGES "//work" + NAME_MAX];
	char options[sizeof upper + sizeof work + PATH_MAX];

	/* They have a meaning among the options. */
	if (strpbrk(name, ",:\\")) {
		errno = EINVAL;
		return false;
	}
	snprintf(upper, sizeof upper, CHANGES "/%s/files", name);
	snprintf(work, sizeof work, CHANGES "/%s/work", name);
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", source, upper, work);
	return make_directories(upper) && make_directories(work) &&
	       mount("overlay", target, "overlay", 0, options) == 0;
}

/* True if a share is at its place already: itself, or the file system that is a copy of it. */
static bool is_mounted(const char *target, const struct stat *share, bool copy)
{
	char parent[PATH_MAX];
	struct stat there, above;

	if (stat(target, &there) < 0 || snprintf(parent, sizeof parent, "%s/..", target) < 0)
		return false;
	if (copy)
		return stat(parent, &above) == 0 && there.st_dev != above.st_dev;
	return there.st_dev == share->st_dev && there.st_ino == share->st_ino;
}

static bool mount_bind(const char *source, const char *target)
{
	return mount(source, target, NULL, MS_BIND | MS_REC, NULL) == 0;
}

bool share_mount(struct failure *failure, const char *name, const char *target, unsigned flags)
{
	char source[sizeof SHARED + 1 + NAME_MAX];
	struct stat status;

	if (!*name || strchr(name, '/') || strlen(name) > NAME_MAX || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0) {
		errno = EINVAL;
		return failed(failure, "take that name of a share");
	}
	if (*target != '/' || !target[strspn(target, "/")]) {
		errno = EINVAL;
		return failed(failure, "mount at that path");
	}
	if (!mount_device())
		return failed(failure, "mount the share device");
	snprintf(source, sizeof source, "%s/%s", SHARED, name);
	if (stat(source, &status) < 0)
		return failed(failure, "find the share");
	if (!(S_ISDIR(status.st_mode) ? make_directories(target) : make_file(target)))
		return failed(failure, "make the mount point");
	/* An agent that was started anew is told of all shares again. */
	if (is_mounted(target, &status, flags & MOUNT_COPY))
		return true;
	if (flags & MOUNT_COPY) {
		if (mount_copy(source, name, target))
			return true;
		if (errno != ENODEV)
			return failed(failure, "mount a copy of the share");
		/* The next best: the guest sees it, and cannot change it. */
		flags |= MOUNT_READ_ONLY;
	}
	if (!mount_bind(source, target))
		return failed(failure, "mount the share");
	/* The host enforces it; this only makes the guest's errors plain. */
	if (flags & MOUNT_READ_ONLY &&
	    mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0) {
		failed(failure, "make the mount read-only");
		umount2(target, MNT_DETACH);
		return false;
	}
	return true;
}

bool share_unmount(struct failure *failure, const char *target, bool in_use)
{
	if (*target != '/') {
		errno = EINVAL;
		return failed(failure, "unmount that path");
	}
	/* In use, it leaves the tree now and is gone when the last user is. */
	if (umount2(target, in_use ? MNT_DETACH : 0) < 0)
		return failed(failure, "unmount");
	return true;
}
