/**
 * What clang calls for @available(macOS …). Apple's compiler brings it in its runtime library;
 * a cross-build has none, so it asks libSystem (since macOS 10.15) itself.
 */
#include <stdint.h>

struct build_version {
  uint32_t platform;
  uint32_t version;
};

extern _Bool _availability_version_check(uint32_t count, struct build_version *versions);

__attribute__((visibility("hidden"))) int32_t __isPlatformVersionAtLeast(uint32_t platform,
                                                                         uint32_t major,
                                                                         uint32_t minor,
                                                                         uint32_t patch) {
  struct build_version version = {platform, major << 16 | minor << 8 | patch};
  return _availability_version_check(1, &version);
}
