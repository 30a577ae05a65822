/** How long work tells what it is doing, whoever listens. */

/** Where progress goes. */
export interface Progress {
  /** A new step has begun, such as "Building the image". */
  step(text: string): void;
  /** How far the step is, a short text that replaces the one before. */
  detail(text: string): void;
  /** The step is over. With `text`, that is worth a line of its own. */
  done(text?: string): void;
}

/** Tells nobody. */
export const silentProgress: Progress = { step() {}, detail() {}, done() {} };
