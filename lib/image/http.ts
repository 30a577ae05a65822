/** One HTTP request for the rest of a file: redirects, ranges, and servers that fall silent. */

import { printable, reason } from "../errors.ts";
import { BufferReader } from "./byte_source.ts";

const MAX_REDIRECTS = 10;

/** For a connection that ends before its content does. */
export const BROKEN = "the connection broke off";

/** A transfer that did not work out; `retry` says whether the same request may work later. */
export class TransferError extends Error {
  readonly retry: boolean;

  constructor(message: string, retry: boolean, cause?: unknown) {
    super(message, { cause });
    this.retry = retry;
  }
}

/** What tells one version of a file from another (RFC 9110, 8.8). */
export interface Validators {
  etag: string | null;
  lastModified: string | null;
}

/** What to ask for. */
export interface RangeRequest {
  url: string;
  /** The first byte that is wanted. */
  from: number;
  /** Of the bytes before `from`. */
  validators: Validators | null;
  /** A server that says nothing for so long is given up, in milliseconds. */
  stallMs: number;
  signal?: AbortSignal;
}

/** An answer whose content is still to come. */
export interface RangeResponse {
  /** The first byte that comes: what was asked for, or 0 if the server gives the whole file. */
  from: number;
  /** Size of the whole file, or null if the server does not say. */
  total: number | null;
  validators: Validators;
  /** Each is valid until the next. @throws {TransferError} while they are read. */
  chunks: AsyncIterable<Uint8Array>;
  /** Lets go of the connection. */
  close(): Promise<void>;
}

/**
 * Asks for a file from some byte on.
 *
 * @throws {TransferError} if there is no such answer.
 */
export async function requestRange(request: RangeRequest): Promise<RangeResponse> {
  const stall = new StallTimer(request);
  const response = await stall.watch(followRedirects(request, stall.signal));
  if (response.status === 416 && request.from > 0) {
    // The file is shorter than what we have of it.
    await response.body?.cancel();
    return await requestRange({ ...request, from: 0, validators: null });
  }
  try {
    return { ...readHeaders(request, response), ...content(response, stall) };
  } catch (error) {
    await response.body?.cancel().catch(() => {});
    throw error;
  }
}

async function followRedirects(request: RangeRequest, signal: AbortSignal): Promise<Response> {
  const headers = rangeHeaders(request);
  let url = new URL(request.url);
  for (let count = 0; count <= MAX_REDIRECTS; count++) {
    const response = await fetch(url, { headers, signal, redirect: "manual" });
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
    await response.body?.cancel();
    url = redirectTarget(url, location);
  }
  throw new TransferError("the server redirects without end", false);
}

/**
 * Where a redirect leads.
 *
 * @throws {TransferError} if that is no place to get a file from, or less safe than this one.
 */
export function redirectTarget(from: URL, location: string): URL {
  const target = URL.parse(location, from.href);
  const shown = printable(location);
  if (target?.protocol !== "http:" && target?.protocol !== "https:") {
    throw new TransferError(`the server redirects to "${shown}", which is no web address`, false);
  }
  if (from.protocol === "https:" && target.protocol === "http:") {
    throw new TransferError(`the server redirects to "${shown}", which is not encrypted`, false);
  }
  return target;
}

function rangeHeaders({ from, validators }: RangeRequest): Headers {
  // Nothing may be encoded on the way: sizes and ranges count the file's own bytes.
  const headers = new Headers({ "accept-encoding": "identity" });
  if (from === 0) return headers;
  headers.set("range", `bytes=${from}-`);
  const strong = validators?.etag && !validators.etag.startsWith("W/") ? validators.etag : null;
  const condition = strong ?? validators?.lastModified;
  if (condition) headers.set("if-range", condition);
  return headers;
}

function readHeaders(
  request: RangeRequest,
  { status, statusText, headers }: Response,
): Pick<RangeResponse, "from" | "total" | "validators"> {
  const validators = { etag: headers.get("etag"), lastModified: headers.get("last-modified") };
  const encoding = headers.get("content-encoding") ?? "identity";
  if (encoding !== "identity") {
    throw new TransferError(`the server encodes the file (${printable(encoding)})`, false);
  }
  if (status === 206 && request.from > 0) {
    const range = headers.get("content-range")?.match(/^bytes (\d+)-\d+\/(\d+|\*)$/);
    if (Number(range?.[1]) !== request.from) {
      throw new TransferError("the server sends another part than was asked for", true);
    }
    return { from: request.from, total: range![2] === "*" ? null : Number(range![2]), validators };
  }
  if (status !== 200) {
    const retry = status === 408 || status === 429 || status >= 500;
    const text = printable(`${status} ${statusText}`.trim());
    throw new TransferError(`the server answers ${text}`, retry);
  }
  if (/^text\/html\b/i.test(headers.get("content-type") ?? "")) {
    throw new TransferError("the server sends a web page instead", false);
  }
  const length = headers.get("content-length");
  return { from: 0, total: length === null ? null : Number(length), validators };
}

function content(
  response: Response,
  stall: StallTimer,
): Pick<RangeResponse, "chunks" | "close"> {
  const reader = response.body && new BufferReader(response.body);
  return {
    chunks: (async function* () {
      if (!reader) return;
      for (let bytes; (bytes = await stall.watch(reader.read()));) yield bytes;
    })(),
    close: async () => await reader?.cancel().catch(() => {}),
  };
}

/** Gives up what waits for the network too long. Our own work on what came does not count. */
class StallTimer {
  readonly #controller = new AbortController();
  readonly #ms: number;
  readonly #interrupt: AbortSignal | undefined;

  constructor({ stallMs, signal }: RangeRequest) {
    this.#ms = stallMs;
    this.#interrupt = signal;
  }

  /** Aborts a request that is under way. */
  get signal(): AbortSignal {
    const { signal } = this.#controller;
    return this.#interrupt ? AbortSignal.any([this.#interrupt, signal]) : signal;
  }

  async watch<T>(work: Promise<T>): Promise<T> {
    // Aborting does not always end the reading of a body (seen after a garbage collection).
    const givenUp = Promise.withResolvers<never>();
    const giveUp = () => {
      this.#controller.abort();
      givenUp.reject(this.#interrupt?.reason);
    };
    const timer = setTimeout(giveUp, this.#ms);
    this.#interrupt?.addEventListener("abort", giveUp);
    try {
      this.#interrupt?.throwIfAborted();
      return await Promise.race([work, givenUp.promise]);
    } catch (error) {
      work.catch(() => {});
      if (error instanceof TransferError) throw error;
      const stalled = this.#controller.signal.aborted && !this.#interrupt?.aborted;
      const silence = `the server says nothing for ${Math.round(this.#ms / 1000)} s`;
      throw new TransferError(stalled ? silence : networkReason(error), true, error);
    } finally {
      clearTimeout(timer);
      this.#interrupt?.removeEventListener("abort", giveUp);
    }
  }
}

/** What Deno says about the network, in fewer words: it repeats the address. */
export function networkReason(error: unknown): string {
  let cause = error;
  while (cause instanceof Error && cause.cause) cause = cause.cause;
  const text = reason(cause);
  if (/dns error/i.test(text)) return "its name is not known; is there a network?";
  if (/reading a body|before message completed/i.test(text)) return BROKEN;
  if (/certificate: (Expired|NotValidYet)/.test(text)) {
    const now = new Date().toISOString().slice(0, 10);
    return `its certificate is not valid on ${now}; is this machine's clock right?`;
  }
  if (/UnknownIssuer|certificate/i.test(text)) return `its certificate is not trusted: ${text}`;
  const tail = text.match(/: ([^:]*?)(?: \(os error \d+\))?$/)?.[1] ?? text;
  return printable(tail);
}
