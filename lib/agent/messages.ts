/** The payloads of frames, as values. The wire format is told at the head of `frame.ts`. */

import { FrameType, MAX_DATA, MAX_PAYLOAD, PROTOCOL_VERSION, ProtocolError } from "./frame.ts";

const utf8 = new TextEncoder();
const text = new TextDecoder();
const MAGIC = utf8.encode("VIBE");

/** The channels that credit is counted for. */
export const Channel = { stdin: 0, stdout: 1, stderr: 2 } as const;
/** One of {@link Channel}. */
export type Channel = typeof Channel[keyof typeof Channel];

/** What to run in the guest. */
export interface ExecRequest {
  /** Program and arguments; empty for the user's login shell. No NUL bytes. */
  argv: string[];
  /** `NAME=value` beside what the agent sets itself. */
  env?: string[];
  /** Absolute guest path; the user's home if left out. */
  cwd?: string;
  /** Name or number; root if left out. */
  user?: string;
  /** A terminal of this size; pipes if left out. */
  pty?: WindowSize;
  /** False: the program reads end-of-file at once. */
  stdin: boolean;
  /** Put it in a cgroup of its own, so that TERMINATE and HANGUP reach whatever it starts. */
  cgroup?: boolean;
}

/** Size of a terminal in character cells. */
export interface WindowSize {
  rows: number;
  columns: number;
}

/** How a stream ended. */
export type ExitStatus =
  | { kind: "exited"; code: number }
  | { kind: "signaled"; signal: number }
  /** Not started, or a request that failed: a Linux errno and what it was about. */
  | { kind: "failed"; errno: number; message: string };

/** The most that the guest may send of each frame type. */
export const FROM_GUEST: ReadonlyMap<number, number> = new Map([
  [FrameType.hello, 512],
  [FrameType.stdout, MAX_DATA],
  [FrameType.stderr, MAX_DATA],
  [FrameType.credit, 5],
  [FrameType.exit, 4096],
]);

/** The most that the `vibe` command may send of each frame type to its supervisor. */
export const FROM_CLIENT: ReadonlyMap<number, number> = new Map([
  [FrameType.hello, 512],
  [FrameType.exec, MAX_PAYLOAD],
  [FrameType.stdin, MAX_DATA],
  [FrameType.eof, 0],
  [FrameType.credit, 5],
  [FrameType.resize, 4],
  [FrameType.signal, 1],
  [FrameType.hangup, 0],
  [FrameType.terminate, 4],
  [FrameType.control, MAX_PAYLOAD],
]);

/** The most that a supervisor may send of each frame type to a `vibe` command. */
export const FROM_SUPERVISOR: ReadonlyMap<number, number> = new Map([
  ...FROM_GUEST,
  [FrameType.control, MAX_PAYLOAD],
]);

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @throws {ProtocolError} unless the payload has exactly (or at least) that many bytes. */
function expectSize(payload: Uint8Array, what: string, size: number, atLeast = false): void {
  const length = payload.byteLength;
  if (atLeast ? length < size : length !== size) {
    throw new ProtocolError(`${what} of ${length} bytes, expected ${size}`);
  }
}

/** HELLO: our version and the name of this build. */
export function encodeHello(build: string): Uint8Array {
  const payload = new Uint8Array([...MAGIC, 0, 0, 0, 0, ...utf8.encode(build)]);
  view(payload).setUint16(4, PROTOCOL_VERSION, true);
  return payload;
}

/** @throws {ProtocolError} if it is no HELLO at all; a foreign version is for the caller. */
export function decodeHello(payload: Uint8Array): { version: number; build: string } {
  expectSize(payload, "HELLO", 8, true);
  if (MAGIC.some((byte, i) => payload[i] !== byte)) throw new ProtocolError("HELLO without magic");
  return {
    version: view(payload).getUint16(4, true),
    build: text.decode(payload.subarray(8)),
  };
}

/**
 * EXEC with the first credits for stdout and stderr in bytes.
 *
 * @throws {RangeError} if a string holds a NUL byte or the whole is over 1 MiB.
 */
export function encodeExec(request: ExecRequest, credit: number): Uint8Array {
  const env = request.env ?? [];
  const strings = [request.user ?? "", request.cwd ?? "", ...request.argv, ...env];
  if (strings.some((s) => s.includes("\0"))) throw new RangeError("an argument holds a NUL byte");
  const tail = utf8.encode(strings.map((s) => s + "\0").join(""));
  if (tail.byteLength + 20 > MAX_PAYLOAD || request.argv.length > 0xffff || env.length > 0xffff) {
    throw new RangeError("the command line is over 1 MiB");
  }
  const payload = new Uint8Array(20 + tail.byteLength);
  const fields = view(payload);
  const flags = (request.pty ? 1 : 0) | (request.stdin ? 2 : 0) | (request.cgroup ? 4 : 0);
  fields.setUint16(0, flags, true);
  fields.setUint16(2, request.pty?.rows ?? 0, true);
  fields.setUint16(4, request.pty?.columns ?? 0, true);
  fields.setUint16(6, request.argv.length, true);
  fields.setUint16(8, env.length, true);
  fields.setUint32(12, credit, true);
  fields.setUint32(16, credit, true);
  payload.set(tail, 20);
  return payload;
}

/**
 * An EXEC payload as the value it was made from.
 *
 * @throws {ProtocolError} if it is malformed.
 */
export function decodeExec(payload: Uint8Array): ExecRequest {
  expectSize(payload, "EXEC", 20, true);
  const fields = view(payload);
  const [flags, rows, columns, argc, envc] = [0, 2, 4, 6, 8].map((at) =>
    fields.getUint16(at, true)
  );
  const strings = text.decode(payload.subarray(20)).split("\0");
  if (strings.pop() !== "" || strings.length !== 2 + argc + envc) {
    throw new ProtocolError("EXEC with another number of strings than it says");
  }
  const [user, cwd, ...words] = strings;
  return {
    argv: words.slice(0, argc),
    env: words.slice(argc),
    cwd: cwd || undefined,
    user: user || undefined,
    pty: flags & 1 ? { rows, columns } : undefined,
    stdin: (flags & 2) !== 0,
  };
}

/** The first credits in an EXEC payload, for whoever passes it on. */
export function execCredits(payload: Uint8Array): { stdout: number; stderr: number } {
  expectSize(payload, "EXEC", 20, true);
  const fields = view(payload);
  return { stdout: fields.getUint32(12, true), stderr: fields.getUint32(16, true) };
}

/** What an EXEC payload is about to run. Strings that are missing are left out. */
export function execSummary(payload: Uint8Array): { argv: string[]; tty: boolean } {
  expectSize(payload, "EXEC", 20, true);
  const fields = view(payload);
  const [_user, _cwd, ...strings] = text.decode(payload.subarray(20)).split("\0");
  return { argv: strings.slice(0, fields.getUint16(6, true)), tty: (payload[0] & 1) === 1 };
}

/** CREDIT: `bytes` more may be sent on `channel`. */
export function encodeCredit(channel: Channel, bytes: number): Uint8Array {
  const payload = new Uint8Array(5);
  view(payload).setUint32(0, bytes, true);
  payload[4] = channel;
  return payload;
}

/** @throws {ProtocolError} on a wrong size or channel. */
export function decodeCredit(payload: Uint8Array): { channel: Channel; bytes: number } {
  expectSize(payload, "CREDIT", 5);
  const channel = payload[4];
  if (channel > Channel.stderr) throw new ProtocolError(`CREDIT for channel ${channel}`);
  return { channel: channel as Channel, bytes: view(payload).getUint32(0, true) };
}

/** RESIZE. Sizes over 65535 are cut. */
export function encodeResize(size: WindowSize): Uint8Array {
  const payload = new Uint8Array(4);
  view(payload).setUint16(0, Math.min(size.rows, 0xffff), true);
  view(payload).setUint16(2, Math.min(size.columns, 0xffff), true);
  return payload;
}

/** @throws {ProtocolError} on a wrong size. */
export function decodeResize(payload: Uint8Array): WindowSize {
  expectSize(payload, "RESIZE", 4);
  return { rows: view(payload).getUint16(0, true), columns: view(payload).getUint16(2, true) };
}

/** EXIT of a program that exited by itself. */
export function encodeExited(code: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, code, 0, 0, 0);
}

/** @throws {ProtocolError} if it is malformed. */
export function decodeExit(payload: Uint8Array): ExitStatus {
  expectSize(payload, "EXIT", 8, true);
  const value = view(payload).getInt32(4, true);
  switch (payload[0]) {
    case 0:
      return { kind: "exited", code: value & 0xff };
    case 1:
      return { kind: "signaled", signal: value & 0x7f };
    case 2:
      return { kind: "failed", errno: value, message: text.decode(payload.subarray(8)) };
    default:
      throw new ProtocolError(`EXIT of kind ${payload[0]}`);
  }
}

/** EXIT with kind 2, as a supervisor answers for an agent that is not there. */
export function encodeFailure(errno: number, message: string): Uint8Array {
  const payload = new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0, ...utf8.encode(message.slice(0, 1000))]);
  view(payload).setInt32(4, errno, true);
  return payload;
}

/** TERMINATE: SIGTERM now, SIGKILL `graceMs` milliseconds later. */
export function encodeTerminate(graceMs: number): Uint8Array {
  const payload = new Uint8Array(4);
  view(payload).setUint32(0, Math.min(graceMs, 0xffffffff), true);
  return payload;
}

/** MOUNT: binds `<shared tree>/<name>` at an absolute guest path. What a `copy` becomes stays there. */
export function encodeMount(
  name: string,
  guestPath: string,
  { readOnly, copy }: { readOnly: boolean; copy?: boolean },
): Uint8Array {
  const flags = copy ? 2 : readOnly ? 1 : 0;
  return new Uint8Array([flags, ...utf8.encode(`${name}\0${guestPath}\0`)]);
}

/** UMOUNT of an absolute guest path; `inUse`: also if programs have files open there. */
export function encodeUmount(guestPath: string, inUse: boolean): Uint8Array {
  return new Uint8Array([inUse ? 1 : 0, ...utf8.encode(`${guestPath}\0`)]);
}

/** POWEROFF; `force` does not wait for services. */
export function encodePoweroff(force: boolean): Uint8Array {
  return new Uint8Array([force ? 1 : 0]);
}

/** The status of CLOCK's EXIT when the guest's clock is ahead. */
export const CLOCK_AHEAD = 1;

/** CLOCK: milliseconds since 1970, as `Date.now()` gives them. `back`: a clock ahead is set, too. */
export function encodeClock(milliseconds: number, back: boolean): Uint8Array {
  const payload = new Uint8Array(13);
  payload[12] = back ? 1 : 0;
  view(payload).setBigInt64(0, BigInt(Math.floor(milliseconds / 1000)), true);
  view(payload).setUint32(8, (milliseconds % 1000) * 1e6, true);
  return payload;
}
