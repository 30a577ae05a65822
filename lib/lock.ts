/** Locks between processes: flock(2), freed by the kernel however the holder ends. */

/** A held lock on a file. Dispose of it to let go; the file stays. */
export class FileLock implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Waits, in the kernel, until the lock is ours. @throws if the file cannot be made. */
  static async take(path: string): Promise<FileLock> {
    const file = await open(path);
    await file.lock(true);
    return new FileLock(file);
  }

  /**
   * Like {@link FileLock.take}, but gives up waiting when the signal says so.
   *
   * @throws the signal's reason.
   */
  static async takeUnlessAborted(path: string, signal?: AbortSignal): Promise<FileLock> {
    const taking = FileLock.take(path);
    if (!signal) return await taking;
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort);
    try {
      signal.throwIfAborted();
      return await Promise.race([taking, aborted.promise]);
    } catch (error) {
      // The kernel still waits for us; whatever it gives us then, we let go.
      taking.then((lock) => lock[Symbol.dispose](), () => {});
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** The lock, or null if another process holds it now. @throws if the file cannot be made. */
  static async tryTake(path: string): Promise<FileLock | null> {
    const file = await open(path);
    if (await file.tryLock(true)) return new FileLock(file);
    file.close();
    return null;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function open(path: string): Promise<Deno.FsFile> {
  return Deno.open(path, { create: true, read: true, write: true, mode: 0o600 });
}
