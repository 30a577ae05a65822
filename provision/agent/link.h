/* The connection to the host: HELLO, what waits to be sent, and the error that ends it. */
#ifndef VIBE_LINK_H
#define VIBE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

/*
 * Serves the host over two descriptors, which are the same one for a virtio-serial port. With
 * `port`, errors and a host that comes and goes begin the connection anew; without, they end the
 * agent. False with errno set.
 */
bool link_open(int in, int out, bool port);

/* Reads and handles frames. True if anything moved. */
bool link_service(void);
/* Writes what waits. True if anything moved. */
bool link_flush(void);
/* Nothing waits to be written. */
bool link_idle(void);

/*
 * Room for a data frame's payload: 0 while enough waits already, so that backpressure reaches the
 * programs. Its payload is then written to `at` and sent with link_send_data.
 */
size_t link_data_room(unsigned char **at);
void link_send_data(uint32_t stream, enum frame_type type, size_t length);

/* True if one more EXIT or CREDIT fits; they have room that data frames cannot take. */
bool link_control_room(void);
void link_send_credit(uint32_t stream, uint32_t bytes);
/* `text` says at what a stream failed, or is empty. */
void link_send_exit(uint32_t stream, int kind, int value, const char *text);

#endif
