/* The protocol's constants, its parser and its encoder; frame.c tells what they mean. */
#ifndef VIBE_FRAME_H
#define VIBE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELLO_MAGIC "VIBE"

enum {
	PROTOCOL_VERSION = 1,
	HEADER_SIZE = 8,
	MAX_PAYLOAD = 1 << 20,
	MAX_HELLO = 512,
	/* Most bytes in a STDIN, STDOUT or STDERR payload. */
	MAX_DATA = 64 << 10,
	/* Credit for STDIN that a stream begins with. */
	STDIN_CREDIT = 256 << 10,
	/* Bytes of EXEC before its strings. */
	EXEC_FIXED_SIZE = 20,
};

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_EXEC,
	FRAME_STDIN,
	FRAME_EOF,
	FRAME_STDOUT,
	FRAME_STDERR,
	FRAME_CREDIT,
	FRAME_RESIZE,
	FRAME_SIGNAL,
	FRAME_HANGUP,
	FRAME_EXIT,
	FRAME_MOUNT,
	FRAME_UMOUNT,
	FRAME_POWEROFF,
	FRAME_CLOCK,
	FRAME_TERMINATE,
};

enum { EXEC_PTY = 1, EXEC_STDIN = 2, EXEC_CGROUP = 4 };
enum { CLOCK_BACK = 1 };
enum { EXIT_EXITED, EXIT_KILLED, EXIT_FAILED };
enum { CLOCK_AHEAD = 1 };
enum { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR };

struct frame {
	uint32_t stream;
	enum frame_type type;
	uint32_t length;
	/* Good until the parser is filled again. */
	const unsigned char *payload;
};

/*
 * Cuts what the host sends into frames, wherever its chunks end. Holds one frame of any allowed
 * length, so that it never has to ask for memory; pages that are not used cost nothing.
 */
struct parser {
	size_t start, end;
	/* Dropping everything up to a HELLO. */
	bool searching;
	unsigned char bytes[HEADER_SIZE + MAX_PAYLOAD];
};

enum parsed { PARSED_NOTHING, PARSED_FRAME, PARSED_ERROR };

void parser_reset(struct parser *parser, bool searching);
/* Where the next bytes go, and how many there is room for. Ends the last frame's payload. */
size_t parser_room(struct parser *parser, unsigned char **at);
void parser_filled(struct parser *parser, size_t count);
/* The next whole frame, or why there can be none in `why`. */
enum parsed parser_next(struct parser *parser, struct frame *frame, const char **why);
/* True if the end of the stream here is a truncation. */
bool parser_mid_frame(const struct parser *parser);

uint16_t get_u16(const unsigned char *at);
uint32_t get_u32(const unsigned char *at);
uint64_t get_u64(const unsigned char *at);
void put_u16(unsigned char *at, uint16_t value);
void put_u32(unsigned char *at, uint32_t value);
void put_header(unsigned char *at, uint32_t stream, enum frame_type type, uint32_t length);

#endif
