/*
 * Frames: how the host and the guest agent talk over one byte stream. The other half is
 * `lib/agent/frame.ts`; its head holds the same text.
 *
 * A frame is an 8-byte header and a payload. All integers are little endian.
 *
 *     u32 stream        0 is the connection itself
 *     u24 length        of the payload in bytes, at most 1 MiB (1 << 20)
 *     u8  type
 *     ...               payload
 *
 * Host -> guest is written `>`, guest -> host `<`. Strings end with a NUL byte.
 *
 *     1 HELLO    <>  stream 0. "VIBE", u16 version (1), u16 zero, then text that names the build;
 *                    512 bytes at most. The guest says it as soon as it has the port, and says it
 *                    again when an agent was started anew, after an error, and when it has seen the
 *                    host's end of the port closed: then every stream of before is gone. The host
 *                    answers with its own. Until that answer the guest drops what it reads: it may
 *                    be the rest of the connection before, and begin inside a frame. So may the
 *                    guest's HELLO, if an agent was killed in the middle of one: therefore its text
 *                    ends with " key " and 32 hex digits, the same for every agent of a machine, which
 *                    only root can know there; and nothing follows it before the answer. A HELLO of
 *                    the host in a running connection also ends every stream of before, and numbers
 *                    start at 1 again. A side that does not speak the other's version says why and
 *                    stops.
 *     2 EXEC     >   opens a stream. u16 flags (1 pty, 2 stdin comes, 4 with a cgroup of its own, so
 *                    that what the program starts can be ended with it), u16 rows, u16 columns, u16
 *                    argc, u16 envc, u16 zero, u32 credit for stdout, u32 credit for stderr, then
 *                    strings: user ("" is root), working directory ("" is home), argv[argc],
 *                    "NAME=value"[envc]. argc 0 means the user's login shell. With a pty all
 *                    output is stdout.
 *     3 STDIN    >   bytes for the program. Costs credit. Dropped when the program has no stdin or
 *                    has closed it; the credit for them comes back all the same.
 *     4 EOF      >   no more stdin. With a pty: nothing more will be typed.
 *     5 STDOUT   <   bytes from the program. Costs credit.
 *     6 STDERR   <   likewise.
 *     7 CREDIT   <>  u32 bytes, u8 channel (0 stdin, 1 stdout, 2 stderr): that many more bytes
 *                    may be sent. Only the receiver of a channel gives credit for it.
 *     8 RESIZE   >   u16 rows, u16 columns of the pty.
 *     9 SIGNAL   >   u8 Linux signal number: to the foreground process group of the pty, or to the
 *                    program's process group.
 *    10 HANGUP   >   whoever opened the stream is gone. The program gets SIGHUP and SIGCONT, and
 *                    SIGKILL two seconds later; its output is dropped; EXIT follows as ever. What
 *                    12 to 15 opened goes on to its end.
 *    11 EXIT     <   the last frame of a stream. u8 kind, three zero bytes, i32 value, then text
 *                    to the payload's end.
 *                    kind 0: exited, value is the status.  kind 1: killed, value is the signal.
 *                    kind 2: not started or failed, value is an errno, the text says at what.
 *    12 MOUNT    >   opens a stream. u8 flags (1 read-only, 2 a copy that the
 *                    guest may change), strings: name in the shared tree,
 *                    absolute guest path. Binds it there, making what is missing of the path.
 *                    The stream ends with EXIT, kind 0 value 0 when it worked.
 *    13 UMOUNT   >   opens a stream. u8 flags (1: also if it is in use), string: absolute guest path.
 *                    EXIT as for MOUNT.
 *    14 POWEROFF >   opens a stream. u8 flags (1: do not wait for services). The machine goes
 *                    off; EXIT comes only if that failed.
 *    15 CLOCK    >   opens a stream. i64 seconds, u32 nanoseconds since 1970, u8 flags (1 back). The
 *                    guest's clock is set if it is behind that by more than 100 ms, and with
 *                    "back" if it is ahead. EXIT as for MOUNT, or with value 1: it is ahead by more
 *                    than 500 ms and was left so, for the frame may have been late.
 *    16 TERMINATE >  u32 milliseconds: SIGTERM and SIGCONT to the program, and SIGKILL that much
 *                    later. With a cgroup, to all in it; EXIT follows when all are gone. If HANGUP
 *                    and TERMINATE both come, so does the earlier SIGKILL.
 *
 * The guest opens no streams. The host numbers them upward from 1 and never uses a number twice
 * in a connection, so a frame for a number at or below the highest one seen is a late arrival
 * and is dropped, while a higher one that opens nothing is an error, and so is one that opens a
 * number again. STDIN has a first credit of 256 KiB without being given; STDOUT and STDERR have
 * what EXEC gave. STDIN, STDOUT and STDERR payloads hold at most 64 KiB, so that a long one does
 * not hold up a keystroke.
 *
 * Errors (an unknown type, a payload that is too long or of the wrong size, a frame that this
 * side only sends, data beyond the credit) end the connection: there is no way to be in step
 * again, and a guest that does it is broken or hostile.
 */
#include "frame.h"

#include <string.h>

/* What the host may send, and how long its payload may be. */
static const struct { bool allowed; uint32_t least, most; } lengths[] = {
	[FRAME_HELLO] = { true, 8, MAX_HELLO },
	[FRAME_EXEC] = { true, EXEC_FIXED_SIZE + 2, MAX_PAYLOAD },
	[FRAME_STDIN] = { true, 0, MAX_DATA },
	[FRAME_EOF] = { true, 0, 0 },
	[FRAME_CREDIT] = { true, 5, 5 },
	[FRAME_RESIZE] = { true, 4, 4 },
	[FRAME_SIGNAL] = { true, 1, 1 },
	[FRAME_HANGUP] = { true, 0, 0 },
	[FRAME_MOUNT] = { true, 3, MAX_PAYLOAD },
	[FRAME_UMOUNT] = { true, 2, MAX_PAYLOAD },
	[FRAME_POWEROFF] = { true, 1, 1 },
	[FRAME_CLOCK] = { true, 13, 13 },
	[FRAME_TERMINATE] = { true, 4, 4 },
};

uint16_t get_u16(const unsigned char *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

uint32_t get_u32(const unsigned char *at)
{
	return get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}

uint64_t get_u64(const unsigned char *at)
{
	return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

void put_u16(unsigned char *at, uint16_t value)
{
	at[0] = (unsigned char)value;
	at[1] = (unsigned char)(value >> 8);
}

void put_u32(unsigned char *at, uint32_t value)
{
	put_u16(at, (uint16_t)value);
	put_u16(at + 2, (uint16_t)(value >> 16));
}

void put_header(unsigned char *at, uint32_t stream, enum frame_type type, uint32_t length)
{
	put_u32(at, stream);
	put_u32(at + 4, length | (uint32_t)type << 24);
}

void parser_reset(struct parser *parser, bool searching)
{
	parser->start = parser->end = 0;
	parser->searching = searching;
}

size_t parser_room(struct parser *parser, unsigned char **at)
{
	if (parser->start > 0) {
		/* At most the beginning of one frame: seldom more than 64 KiB. */
		memmove(parser->bytes, parser->bytes + parser->start, parser->end - parser->start);
		parser->end -= parser->start;
		parser->start = 0;
	}
	*at = parser->bytes + parser->end;
	return sizeof parser->bytes - parser->end;
}

void parser_filled(struct parser *parser, size_t count)
{
	parser->end += count;
}

bool parser_mid_frame(const struct parser *parser)
{
	return parser->end > parser->start;
}

/* What is beyond doubt the host's HELLO: anything else could be in a program's input. */
static bool is_hello(const unsigned char *at)
{
	uint32_t length = get_u32(at + 4) & 0xffffff;

	return get_u32(at) == 0 && at[7] == FRAME_HELLO && length >= 8 && length <= MAX_HELLO &&
	       memcmp(at + HEADER_SIZE, HELLO_MAGIC, 4) == 0 && get_u16(at + HEADER_SIZE + 6) == 0;
}

static void search_hello(struct parser *parser)
{
	while (parser->searching && parser->end - parser->start >= HEADER_SIZE + 8) {
		if (is_hello(parser->bytes + parser->start))
			parser->searching = false;
		else
			parser->start++;
	}
}

enum parsed parser_next(struct parser *parser, struct frame *frame, const char **why)
{
	const unsigned char *at;
	uint32_t length;

	search_hello(parser);
	if (parser->searching || parser->end - parser->start < HEADER_SIZE)
		return PARSED_NOTHING;
	at = parser->bytes + parser->start;
	length = get_u32(at + 4) & 0xffffff;
	if (at[7] >= sizeof lengths / sizeof *lengths || !lengths[at[7]].allowed) {
		*why = "unexpected frame type";
		return PARSED_ERROR;
	}
	if (length < lengths[at[7]].least || length > lengths[at[7]].most) {
		*why = "frame of a wrong length";
		return PARSED_ERROR;
	}
	if (parser->end - parser->start < HEADER_SIZE + length)
		return PARSED_NOTHING;
	frame->stream = get_u32(at);
	frame->type = (enum frame_type)at[7];
	frame->length = length;
	frame->payload = at + HEADER_SIZE;
	parser->start += HEADER_SIZE + length;
	return PARSED_FRAME;
}
