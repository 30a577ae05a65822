/** What the bridge uses of os/lock.h. */
#pragma once
#include <stdint.h>

typedef struct {
  uint32_t opaque;
} os_unfair_lock;

#define OS_UNFAIR_LOCK_INIT ((os_unfair_lock){0})

void os_unfair_lock_lock(os_unfair_lock *lock);
void os_unfair_lock_unlock(os_unfair_lock *lock);
