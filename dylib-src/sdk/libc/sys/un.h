#pragma once
#include <stdint.h>
struct sockaddr_un {
  uint8_t sun_len;
  uint8_t sun_family;
  char sun_path[104];
};
