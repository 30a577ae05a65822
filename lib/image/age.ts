/** How old files are, on hosts whose clock may have been wrong. Times are in milliseconds. */

export const DAY = 24 * 60 * 60 * 1000;

/** A time that is well in the future is from a clock that was wrong: it was long ago, too. */
export function isOlder(age: number, limit: number): boolean {
  return age > limit || age < -DAY;
}
