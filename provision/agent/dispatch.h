/* What each frame of the host means. */
#ifndef VIBE_DISPATCH_H
#define VIBE_DISPATCH_H

#include "frame.h"

/* Numbers begin anew. */
void dispatch_reset(void);

/*
 * Does what a frame asks (all but HELLO). Returns NULL, or how the frame breaks the protocol. What
 * fails without breaking it is told by EXIT; there must be room for one.
 */
const char *dispatch(const struct frame *frame);

#endif
