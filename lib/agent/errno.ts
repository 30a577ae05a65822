/** Linux errno values, as the guest says them whatever the host is (errno(3)). */
export const Errno = {
  ENOENT: 2,
  EIO: 5,
  EAGAIN: 11,
  EBUSY: 16,
  EINVAL: 22,
  ENOSYS: 38,
} as const;
