/* What waits to be sent to the host: whole frames, and a bound on them. */
#ifndef VIBE_OUTBOX_H
#define VIBE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"

/* False with errno set. */
bool outbox_open(void);
/* Forgets everything. */
void outbox_clear(void);
bool outbox_empty(void);
/* Writes what comes next. Returns as write does. */
ssize_t outbox_write(int fd);

/* Room for a data frame's payload at `at`; 0: enough waits already. */
size_t outbox_data_room(unsigned char **at);
/* Adds the frame whose payload is there. */
void outbox_add_data(uint32_t stream, enum frame_type type, size_t length);
/*
 * Adds a data frame of what a pipe holds, up to `most` bytes, without copying it. Returns as read
 * does; EAGAIN also if there is no room.
 */
ssize_t outbox_splice(uint32_t stream, enum frame_type type, int pipe, size_t most);

/* True if one more control frame fits; they have room that data frames cannot take. */
bool outbox_control_room(void);
void outbox_add_control(uint32_t stream, enum frame_type type, const void *payload, size_t length);

#endif
