/** Forwards the functions of vibe_vz.h to the loaded dylib. */
#include <stdlib.h>
#include "macho.h"
#include "vibe_vz.h"

__attribute__((constructor(300))) static void load(void) {
  const char *path = getenv("VIBE_MACHO");
  if (!path) abort();
  macho_load(path);
}

#define FORWARD(result, name, parameters, arguments)             \
  result name parameters {                                       \
    static result(*function) parameters;                         \
    if (!function) function = macho_symbol("_" #name);           \
    return function arguments;                                   \
  }

FORWARD(uint32_t, vibe_vz_abi, (void), ())
FORWARD(char *, vibe_vz_host, (void), ())
FORWARD(char *, vibe_vz_create, (const char *json), (json))
FORWARD(int32_t, vibe_vz_request, (uint32_t m, uint32_t op, uint32_t token, const char *argument),
        (m, op, token, argument))
FORWARD(char *, vibe_vz_next_event, (uint32_t machine, int32_t timeout), (machine, timeout))
FORWARD(int32_t, vibe_vz_close, (uint32_t machine), (machine))

void vibe_vz_free(char *string) {
  void (*function)(char *) = macho_symbol("_vibe_vz_free");
  function(string);
}
