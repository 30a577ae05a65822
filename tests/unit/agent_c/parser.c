/*
 * Feeds the agent's parser and prints what it makes of it. Standard input holds cases: u32 bytes,
 * u32 bytes per chunk, u8 whether to search for HELLO, then the bytes. Standard output gets a line
 * per frame (stream, type, length, FNV-1a of the payload) and one for how the case ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

static unsigned fingerprint(const struct frame *frame)
{
	unsigned hash = 2166136261u;

	for (uint32_t i = 0; i < frame->length; i++)
		hash = (hash ^ frame->payload[i]) * 16777619u;
	return hash;
}

/* False after an error. */
static bool take_frames(struct parser *parser)
{
	struct frame frame;
	const char *why;

	for (;;) {
		switch (parser_next(parser, &frame, &why)) {
		case PARSED_NOTHING:
			return true;
		case PARSED_ERROR:
			printf("error %s\n", why);
			return false;
		case PARSED_FRAME:
			printf("%u %d %u %u\n", frame.stream, (int)frame.type, frame.length,
			       fingerprint(&frame));
		}
	}
}

static void run_case(struct parser *parser, const unsigned char *bytes, size_t length, size_t chunk,
		     bool searching)
{
	parser_reset(parser, searching);
	while (length > 0) {
		unsigned char *at;
		size_t count = parser_room(parser, &at);

		count = count > chunk ? chunk : count;
		count = count > length ? length : count;
		memcpy(at, bytes, count);
		parser_filled(parser, count);
		bytes += count;
		length -= count;
		if (!take_frames(parser))
			return;
	}
	printf("%s\n", parser_mid_frame(parser) ? "inside" : "between");
}

int main(void)
{
	/* Apart from other memory, for the sanitizer. */
	struct parser *parser = malloc(sizeof *parser);
	unsigned char head[9];

	while (fread(head, sizeof head, 1, stdin) == 1) {
		size_t length = get_u32(head);
		unsigned char *bytes = malloc(length);

		if (length > 0 && fread(bytes, length, 1, stdin) != 1)
			return 1;
		run_case(parser, bytes, length, get_u32(head + 4), head[8]);
		free(bytes);
	}
	free(parser);
	return 0;
}
