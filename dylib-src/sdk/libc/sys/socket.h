#pragma once
#include <stdint.h>
#define AF_UNIX 1
#define SOCK_STREAM 1
struct sockaddr {
  uint8_t sa_len;
  uint8_t sa_family;
  char sa_data[14];
};
int connect(int, const struct sockaddr *, uint32_t);
int socket(int, int, int);
