/**
 * Frames: how the host and the guest agent talk over one byte stream. The same frames run
 * between the `vibe` command and its supervisor over a Unix socket. The other half is
 * `provision/agent/frame.c`; its head holds the same text.
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

/** The version both halves say in HELLO. */
export const PROTOCOL_VERSION = 1;
/** Bytes in a frame header. */
export const HEADER_SIZE = 8;
/** Most bytes in a payload. */
export const MAX_PAYLOAD = 1 << 20;
/** Most bytes in a STDIN, STDOUT or STDERR payload. */
export const MAX_DATA = 64 << 10;
/** Credit for STDIN that a stream begins with. */
export const STDIN_CREDIT = 256 << 10;

/** Frame types; see the head of this file. */
export const FrameType = {
  hello: 1,
  exec: 2,
  stdin: 3,
  eof: 4,
  stdout: 5,
  stderr: 6,
  credit: 7,
  resize: 8,
  signal: 9,
  hangup: 10,
  exit: 11,
  mount: 12,
  umount: 13,
  poweroff: 14,
  clock: 15,
  terminate: 16,
  /** JSON between command and supervisor only; see `lib/instance/control.ts`. */
  control: 32,
} as const;

/** One of {@link FrameType}. */
export type FrameType = typeof FrameType[keyof typeof FrameType];

/** One whole frame. `payload` is a view that is good until the parser is fed again. */
export interface Frame {
  stream: number;
  type: number;
  payload: Uint8Array;
}

/** The other side broke the protocol; the connection cannot go on. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Writes a header at the start of `into`. */
export function writeHeader(
  into: Uint8Array,
  stream: number,
  type: number,
  length: number,
): void {
  into[0] = stream;
  into[1] = stream >>> 8;
  into[2] = stream >>> 16;
  into[3] = stream >>> 24;
  into[4] = length;
  into[5] = length >>> 8;
  into[6] = length >>> 16;
  into[7] = type;
}

/** One frame as bytes. @throws {RangeError} if the payload is longer than {@link MAX_PAYLOAD}. */
export function encodeFrame(
  stream: number,
  type: number,
  payload: Uint8Array = new Uint8Array(),
): Uint8Array<ArrayBuffer> {
  if (payload.byteLength > MAX_PAYLOAD) {
    throw new RangeError(`payload of ${payload.byteLength} bytes is over ${MAX_PAYLOAD}`);
  }
  const frame = new Uint8Array(HEADER_SIZE + payload.byteLength);
  writeHeader(frame, stream, type, payload.byteLength);
  frame.set(payload, HEADER_SIZE);
  return frame;
}

/**
 * Cuts a byte stream into frames, wherever its chunks happen to end. It checks what every frame
 * must obey (type known to `allowed`, length in bounds), so a liar cannot make it hold more than
 * one frame.
 */
export class FrameParser {
  readonly #maxLength: ReadonlyMap<number, number>;
  /** Bytes of a frame that has not arrived whole; grows to one frame at most. */
  #held = new Uint8Array(HEADER_SIZE);
  #heldLength = 0;

  /** `maxLength`: the frame types that may come, and the longest payload of each. */
  constructor(maxLength: ReadonlyMap<number, number>) {
    this.#maxLength = maxLength;
  }

  /** True in the middle of a frame: the end of the stream here is a truncation. */
  get midFrame(): boolean {
    return this.#heldLength > 0;
  }

  /** Drops what has come of a frame that is not whole. */
  reset(): void {
    this.#heldLength = 0;
  }

  /**
   * Yields the frames that `chunk` completes. Payloads are views, into `chunk` where possible:
   * use or copy them before asking for the next one.
   *
   * @throws {ProtocolError} at an unknown type or a length out of bounds.
   */
  *push(chunk: Uint8Array): Generator<Frame> {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#heldLength === 0 && chunk.byteLength - at >= HEADER_SIZE) {
        const length = this.#checkedLength(chunk, at);
        const end = at + HEADER_SIZE + length;
        if (end <= chunk.byteLength) {
          yield frameAt(chunk, at, length);
          at = end;
          continue;
        }
      }
      at += this.#hold(chunk, at);
      if (this.#heldLength < HEADER_SIZE) return;
      const length = this.#checkedLength(this.#held, 0);
      if (this.#heldLength < HEADER_SIZE + length) continue;
      this.#heldLength = 0;
      yield frameAt(this.#held, 0, length);
    }
  }

  /** Takes what the held frame still lacks (first its header, then its payload). */
  #hold(chunk: Uint8Array, at: number): number {
    const whole = this.#heldLength < HEADER_SIZE
      ? HEADER_SIZE
      : HEADER_SIZE + this.#checkedLength(this.#held, 0);
    if (this.#held.byteLength < whole) {
      const larger = new Uint8Array(whole);
      larger.set(this.#held.subarray(0, this.#heldLength));
      this.#held = larger;
    }
    const count = Math.min(whole - this.#heldLength, chunk.byteLength - at);
    this.#held.set(chunk.subarray(at, at + count), this.#heldLength);
    this.#heldLength += count;
    return count;
  }

  #checkedLength(bytes: Uint8Array, at: number): number {
    const length = bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16);
    const type = bytes[at + 7];
    const most = this.#maxLength.get(type);
    if (most === undefined) throw new ProtocolError(`unexpected frame type ${type}`);
    if (length > most) {
      throw new ProtocolError(`frame type ${type} of ${length} bytes, at most ${most} allowed`);
    }
    return length;
  }
}

function frameAt(bytes: Uint8Array, at: number, length: number): Frame {
  const stream = (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) |
    (bytes[at + 3] << 24)) >>> 0;
  const start = at + HEADER_SIZE;
  return { stream, type: bytes[at + 7], payload: bytes.subarray(start, start + length) };
}
