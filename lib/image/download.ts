/** Downloads that go on from where they broke off, and are verified before anyone uses them. */

import { printable, VibeError } from "../errors.ts";
import { readTextIfPresent } from "../files.ts";
import { FileLock } from "../lock.ts";
import type { Progress } from "../progress.ts";
import { downloadName, downloadPath, downloadsDir, removeStale, type Wanted } from "./downloads.ts";
import { BROKEN, requestRange, TransferError, type Validators } from "./http.ts";
import { Intake, type Sink } from "./intake.ts";
import { TransferMeter } from "./transfer_meter.ts";

/** How persistent a download is. */
export interface Patience {
  /** So many tries in a row may bring (next to) nothing. */
  tries: number;
  /** The pause after the first failure, in milliseconds; it doubles with each one. */
  pauseMs: number;
  /** A server that says nothing for so long is given up, in milliseconds. */
  stallMs: number;
}

/** How {@link download} goes about it. */
export interface DownloadOptions<S extends Sink> {
  /** Called again when the download must begin anew; the sink before it is disposed of first. */
  openSink(): Promise<S>;
  progress: Progress;
  signal?: AbortSignal;
  patience?: Partial<Patience>;
}

const PATIENCE: Patience = { tries: 5, pauseMs: 1000, stallMs: 30_000 };

/** A try that brings less than this counts as one that brought nothing. */
const MIN_PROGRESS = 64 << 10;

/**
 * Makes sure that a file is among the downloads and has the right digest, whoever put it there.
 * Resolves to the sink that saw all of it, which is the caller's to dispose of. If it does not
 * work out, what there is of the file stays, and the next call goes on from there.
 *
 * @throws {VibeError} `DOWNLOAD_FAILED`, `DOWNLOAD_WRONG_DIGEST`; else what the file system or the
 * sink throws, or the signal's reason.
 */
export async function download<S extends Sink>(
  wanted: Wanted,
  options: DownloadOptions<S>,
): Promise<S> {
  const path = downloadPath(wanted);
  await Deno.mkdir(downloadsDir(), { recursive: true });
  await removeStale(path);
  using _lock = await lock(path, wanted, options);
  await using intake = new Intake(wanted.digest, options.openSink);
  if (!await verifyPresent(path, wanted, intake, options)) {
    using transfer = await Transfer.open(path, wanted, intake, options);
    await transfer.run();
  }
  options.progress.done();
  return intake.takeSink();
}

async function lock(
  path: string,
  wanted: Wanted,
  { progress, signal }: DownloadOptions<Sink>,
): Promise<FileLock> {
  const taken = await FileLock.tryTake(`${path}.lock`);
  if (taken) return taken;
  progress.step(`Waiting for another vibe, which downloads ${downloadName(wanted)}`);
  return await FileLock.takeUnlessAborted(`${path}.lock`, signal);
}

/** True if the file is there and right; one that is wrong is set aside. */
async function verifyPresent<S extends Sink>(
  path: string,
  wanted: Wanted,
  intake: Intake<S>,
  { progress, signal }: DownloadOptions<S>,
): Promise<boolean> {
  if (!await Deno.stat(path).then((info) => info.isFile, () => false)) return false;
  progress.step(`Reading ${downloadName(wanted)}`);
  using file = await Deno.open(path);
  await intake.renew();
  await intake.feedFile(file, signal);
  if (intake.isRight()) return true;
  await Deno.rename(path, `${path}.rejected`);
  return false;
}

/** The network's side of a download: `PATH.partial` grows, and the intake with it. */
class Transfer<S extends Sink> implements Disposable {
  readonly #path: string;
  readonly #wanted: Wanted;
  readonly #intake: Intake<S>;
  readonly #options: DownloadOptions<S>;
  readonly #patience: Patience;
  readonly #file: Deno.FsFile;
  /** Of what was received. */
  #validators: Validators | null = null;
  /** Whether it was put together from several answers; they may be of different files. */
  #assembled = false;

  private constructor(
    path: string,
    wanted: Wanted,
    intake: Intake<S>,
    options: DownloadOptions<S>,
    file: Deno.FsFile,
  ) {
    this.#path = path;
    this.#wanted = wanted;
    this.#intake = intake;
    this.#options = options;
    this.#patience = { ...PATIENCE, ...options.patience };
    this.#file = file;
  }

  static async open<S extends Sink>(
    path: string,
    wanted: Wanted,
    intake: Intake<S>,
    options: DownloadOptions<S>,
  ): Promise<Transfer<S>> {
    const mode = { read: true, write: true, create: true, mode: 0o600 };
    const file = await Deno.open(`${path}.partial`, mode);
    return new Transfer(path, wanted, intake, options, file);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  /** Receives what is missing, verifies the whole and gives it its name. */
  async run(): Promise<void> {
    await this.#catchUp();
    this.#options.progress.step(`Downloading ${downloadName(this.#wanted)}`);
    await this.#receiveAll();
    if (!this.#intake.isRight() && this.#assembled) {
      // Once more, in one piece.
      await this.#beginAnew();
      await this.#receiveAll();
    }
    if (!this.#intake.isRight()) throw await this.#reject();
    await this.#file.sync();
    await Deno.rename(`${this.#path}.partial`, this.#path);
    await this.#forgetValidators();
  }

  /** Lets the intake catch up with what there is already. */
  async #catchUp(): Promise<void> {
    const { size } = await this.#file.stat();
    if (size === 0 || size > (this.#wanted.bytes ?? Infinity)) return await this.#beginAnew();
    this.#validators = await readValidators(`${this.#path}.partial.json`);
    this.#assembled = true;
    this.#options.progress.step(`Reading what there is of ${downloadName(this.#wanted)}`);
    await this.#intake.renew();
    await this.#intake.feedFile(this.#file, this.#options.signal);
  }

  async #beginAnew(): Promise<void> {
    await this.#file.truncate(0);
    await this.#file.seek(0, Deno.SeekMode.Start);
    await this.#forgetValidators();
    this.#assembled = false;
    await this.#intake.renew();
  }

  async #forgetValidators(): Promise<void> {
    this.#validators = null;
    await Deno.remove(`${this.#path}.partial.json`).catch(() => {});
  }

  /** Asks until all of it is there. */
  async #receiveAll(): Promise<void> {
    const { tries, pauseMs } = this.#patience;
    const { progress, signal } = this.#options;
    if (this.#intake.received > 0 && this.#intake.isRight()) return;
    let most = this.#intake.received;
    for (let failures = 0; this.#intake.received !== this.#wanted.bytes;) {
      try {
        return await this.#receive();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof TransferError)) throw error;
        failures = this.#intake.received >= most + MIN_PROGRESS ? 1 : failures + 1;
        most = Math.max(most, this.#intake.received);
        if (!error.retry || failures >= tries) throw this.#failed(error);
        const pause = pauseMs * 2 ** (failures - 1);
        progress.detail(`${error.message}; trying again in ${pause / 1000} s`);
        await delay(pause, signal);
      }
    }
  }

  /** One request, and all that comes of it. */
  async #receive(): Promise<void> {
    const response = await requestRange({
      url: this.#wanted.url,
      from: this.#intake.received,
      validators: this.#validators,
      stallMs: this.#patience.stallMs,
      signal: this.#options.signal,
    });
    try {
      const total = this.#checkedTotal(response.total);
      if (response.from !== this.#intake.received) await this.#beginAnew();
      this.#assembled ||= response.from > 0;
      this.#validators = response.validators;
      // Not aside: it is read by whoever holds the lock next, and a torn one counts as none.
      const known = JSON.stringify(response.validators) + "\n";
      await Deno.writeTextFile(`${this.#path}.partial.json`, known);
      await this.#takeIn(response.chunks, total);
    } finally {
      await response.close();
    }
  }

  async #takeIn(chunks: AsyncIterable<Uint8Array>, total: number | null): Promise<void> {
    const meter = new TransferMeter(total, this.#intake.received, performance.now());
    for await (const bytes of chunks) {
      if (total !== null && this.#intake.received + bytes.length > total) {
        throw new TransferError(`the server sends more than ${total} bytes`, false);
      }
      for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
      await this.#intake.feed(bytes);
      if (meter.add(bytes.length, performance.now())) this.#options.progress.detail(meter.text());
    }
    if (total !== null && this.#intake.received < total) {
      throw new TransferError(BROKEN, true);
    }
  }

  #checkedTotal(total: number | null): number | null {
    const { bytes } = this.#wanted;
    if (bytes === null || total === null || total === bytes) return bytes ?? total;
    throw new TransferError(`the file there has ${total} bytes, not ${bytes}`, false);
  }

  async #reject(): Promise<VibeError> {
    const { url, digest: { algorithm, hex } } = this.#wanted;
    const rejected = `${this.#path}.rejected`;
    await Deno.rename(`${this.#path}.partial`, rejected);
    await this.#forgetValidators();
    return new VibeError(
      "DOWNLOAD_WRONG_DIGEST",
      `Cannot use what came from "${shownUrl(url)}": its digest is wrong`,
      {
        hint: `${algorithm} expected: ${hex}\n${algorithm} received: ${this.#intake.digest()}\n` +
          `Nothing of it was used. It is set aside for a day: "${rejected}".`,
      },
    );
  }

  #failed(error: TransferError): VibeError {
    const kept = this.#intake.received > 0
      ? "What came is kept, and the next try goes on from there. "
      : "";
    return new VibeError(
      "DOWNLOAD_FAILED",
      `Cannot download "${shownUrl(this.#wanted.url)}": ${error.message}`,
      {
        hint: `${kept}Check the network.\nWithout it, --base FILE takes a disk that is on this ` +
          "machine; --base debian builds one from Debian's packages, from any mirror.",
        cause: error,
      },
    );
  }
}

/** What the partial file's versions were; null if that is not known. */
async function readValidators(path: string): Promise<Validators | null> {
  try {
    const { etag, lastModified } = JSON.parse(await readTextIfPresent(path) ?? "null");
    const text = (value: unknown) => typeof value === "string" ? value : null;
    return { etag: text(etag), lastModified: text(lastModified) };
  } catch {
    // Should the file be another one by now, its digest tells.
    return null;
  }
}

/** A URL for messages, without its password. */
function shownUrl(url: string): string {
  const shown = new URL(url);
  if (shown.password) shown.password = "…";
  return printable(shown.href);
}

function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
