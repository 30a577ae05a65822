/** Functions whose constants or structures differ between macOS and Linux. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "../runtime/objc.h"
#include "macho.h"

struct mac_sockaddr_un {
  uint8_t length;
  uint8_t family;
  char path[104];
};

static int mac_connect(int descriptor, const struct mac_sockaddr_un *address, uint32_t length) {
  if (address->family != 1 || address->length != sizeof *address || length != sizeof *address) {
    errno = EINVAL;
    return -1;
  }
  struct sockaddr_un translated = {.sun_family = AF_UNIX};
  memcpy(translated.sun_path, address->path, sizeof address->path);
  return connect(descriptor, (struct sockaddr *)&translated, sizeof translated);
}

static int mac_fcntl(int descriptor, int command, ...) {
  va_list list;
  va_start(list, command);
#ifdef __aarch64__
  long argument = *(long *)list.__stack;  // Apple passes variadic arguments on the stack
#else
  long argument = va_arg(list, long);
#endif
  va_end(list);
  switch (command) {
    case 2: return fcntl(descriptor, F_SETFD, (int)argument);
    case 67: return fcntl(descriptor, F_DUPFD_CLOEXEC, (int)argument);
  }
  runtime_die("fcntl command %d is not handled", command);
}

struct mac_build_version {
  uint32_t platform;
  uint32_t version;
};

static _Bool mac_availability(uint32_t count, const struct mac_build_version *wanted) {
  if (count != 1 || wanted->platform != 1) runtime_die("not a question about macOS");
  const char *setting = getenv("VIBE_DOUBLE_MACOS");
  unsigned major = 15, minor = 0;
  if (setting) sscanf(setting, "%u.%u", &major, &minor);
  return (major << 16 | minor << 8) >= wanted->version;
}

static long stack_guard = 0x00a55a00ff0d0a00;

void *macho_libc(const char *name) {
  static const struct {
    const char *name;
    void *address;
  } table[] = {
      {"_connect", mac_connect},
      {"_fcntl", mac_fcntl},
      {"__availability_version_check", mac_availability},
      {"___error", __errno_location},
      {"___stack_chk_guard", &stack_guard},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    if (!strcmp(table[i].name, name)) return table[i].address;
  }
  return NULL;
}
