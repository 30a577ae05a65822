/* The channels of a stream: bytes to and from its program, as far as credit goes. */
#ifndef VIBE_CHANNEL_H
#define VIBE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "stream.h"

/* Takes input for the program. False with errno: EDQUOT is more than there is credit for. */
bool input_push(struct stream *stream, const unsigned char *bytes, size_t length);
/* No more input comes. */
void input_end(struct stream *stream);
/* Writes input to the program and gives credit back. True if anything moved. */
bool input_service(struct stream *stream);

/* Sends one frame of one of the outputs, or drops it if nobody takes it. True if it did. */
bool output_service(struct stream *stream);
/*
 * The program has ended. What is readable now is still its own; what comes later is from others
 * that hold the pipe, and nobody waits for them.
 */
void output_settle(struct stream *stream, struct output *output);
/* True once all of that is sent. */
bool output_settled(const struct stream *stream, const struct output *output);

#endif
