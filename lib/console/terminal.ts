/** The user's terminal: raw mode that is always undone, and its size. */

import type { WindowSize } from "../agent/messages.ts";

/** True if the user both types at and reads from a terminal. */
export function isInteractive(): boolean {
  return Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
}

/** The size of the terminal; 24x80 where it has none. */
export function windowSize(): WindowSize {
  try {
    const { rows, columns } = Deno.consoleSize();
    if (rows > 0 && columns > 0) return { rows, columns };
  } catch {
    // Not a terminal.
  }
  return { rows: 24, columns: 80 };
}

/** Calls back at each change of size, until it is disposed of. */
export function watchWindowSize(onChange: (size: WindowSize) => void): Disposable {
  const listener = () => onChange(windowSize());
  Deno.addSignalListener("SIGWINCH", listener);
  return { [Symbol.dispose]: () => Deno.removeSignalListener("SIGWINCH", listener) };
}

/** Every key goes to the reader as it is typed, until it is disposed of. */
export function rawMode(): Disposable {
  Deno.stdin.setRaw(true);
  let raw = true;
  const restore = () => {
    if (!raw) return;
    raw = false;
    try {
      Deno.stdin.setRaw(false);
    } catch {
      // The terminal itself has gone.
    }
  };
  // Also when an error or Deno.exit ends the process from somewhere else.
  globalThis.addEventListener("unload", restore, { once: true });
  return { [Symbol.dispose]: restore };
}
