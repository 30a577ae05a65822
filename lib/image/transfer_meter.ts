/** How fast a transfer is and how long it will take, in words. Pure: the clock is handed in. */

/** The rate is that of this many milliseconds, so that it follows a change but does not jump. */
const WINDOW_MS = 5000;
const SAMPLE_MS = 200;

/** Follows one transfer. Times are in milliseconds, on any clock that only goes forward. */
export class TransferMeter {
  readonly #total: number | null;
  #samples: { time: number; bytes: number }[];
  #bytes: number;

  /** `total`: bytes in all, null if nobody knows; `bytes`: those that are there already. */
  constructor(total: number | null, bytes: number, now: number) {
    this.#total = total;
    this.#bytes = bytes;
    this.#samples = [{ time: now, bytes }];
  }

  /** Counts what came; true when there is something new to show. */
  add(bytes: number, now: number): boolean {
    this.#bytes += bytes;
    if (now - this.#samples.at(-1)!.time < SAMPLE_MS) return false;
    this.#samples.push({ time: now, bytes: this.#bytes });
    while (this.#samples.length > 2 && now - this.#samples[1].time >= WINDOW_MS) {
      this.#samples.shift();
    }
    return true;
  }

  /** Such as "120 of 281 MB, 11.2 MB/s, 14 s left". */
  text(): string {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)!];
    const rate = (last.bytes - first.bytes) / Math.max(last.time - first.time, 1) * 1000;
    const so = this.#total === null
      ? `${megabytes(this.#bytes)} MB`
      : `${megabytes(this.#bytes)} of ${megabytes(this.#total)} MB`;
    if (rate <= 0) return so;
    const speed = `${so}, ${(rate / 1e6).toFixed(1)} MB/s`;
    if (this.#total === null) return speed;
    return `${speed}, ${duration((this.#total - this.#bytes) / rate)} left`;
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
