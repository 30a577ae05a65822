/**
 * vibe gives a directory its own Linux computer.
 *
 * @module
 */

/** The only place that ends the process. */
async function main(): Promise<number> {
  if (Deno.args[0] === "__supervise") {
    const { supervise } = await import("./lib/instance/supervise.ts");
    await supervise();
    return 0;
  }
  // Ending by way of Deno.exit gives the terminal back, where the default action would not.
  Deno.addSignalListener("SIGTERM", () => Deno.exit(128 + 15));
  Deno.addSignalListener("SIGHUP", () => Deno.exit(128 + 1));
  const { runProgram } = await import("./lib/cli/program.ts");
  return await runProgram(Deno.args);
}

if (import.meta.main) Deno.exit(await main());
