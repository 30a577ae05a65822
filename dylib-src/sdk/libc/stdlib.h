#pragma once
#include <stddef.h>
void free(void *);
void *malloc(size_t);
