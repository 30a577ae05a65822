/** Ctrl-C as a signal to what is under way. */

/**
 * Ctrl-C ends what is under way in an orderly manner, so that it leaves nothing half done. So does
 * SIGTERM.
 */
export function abortOnInterrupt(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const signals: Deno.Signal[] = ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, abort);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, abort);
    },
  };
}
