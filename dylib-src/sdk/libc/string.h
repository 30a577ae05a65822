#pragma once
#include <stddef.h>
void *memcpy(void *, const void *, size_t);
char *strerror(int);
size_t strlen(const char *);
