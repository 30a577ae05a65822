/* The connection to the host: HELLO, what waits to be sent, and the error that ends it. */
#ifndef VIBE_LINK_H
#define VIBE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

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

/* Control frames of streams. The outbox must have room for one. */
void link_send_credit(uint32_t stream, uint32_t bytes);
/* `text` says at what a stream failed, or is empty. */
void link_send_exit(uint32_t stream, int kind, int value, const char *text);

#endif
