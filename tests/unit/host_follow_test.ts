/** Following programs and keeping what they say. */

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { compactTime, follow, LogFile } from "../../lib/host/follow.ts";

function start(script: string): Deno.ChildProcess {
  return new Deno.Command("sh", { args: ["-c", script], stdout: "piped", stderr: "piped" }).spawn();
}

async function withLog(test: (log: LogFile) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    using log = await LogFile.create(`${dir}/logs`, "test");
    await test(log);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("lines are seen as they come, the log has every byte, the error the end", () =>
  withLog(async (log) => {
    const lines: string[] = [];
    const script = "printf 'a\\nb\\r50%%\\r'; printf 'two '; printf 'parts\\nlast'; exit 3";
    const followed = await follow(start(script), { log, onLine: (line) => void lines.push(line) });
    deepStrictEqual(lines, ["a", "b", "50%", "two parts", "last"]);
    deepStrictEqual(followed, { success: false, code: 3, tail: lines.join("\n") });
    strictEqual(await Deno.readTextFile(log.path), "a\nb\r50%\rtwo parts\nlast");
  }));

Deno.test("only the end of much output is kept in memory", () =>
  withLog(async (log) => {
    const { tail } = await follow(start("seq 100000"), { log });
    strictEqual(tail.split("\n").at(0), "99986");
    strictEqual(tail.split("\n").at(-1), "100000");
    strictEqual((await Deno.readTextFile(log.path)).length, 588895);
  }));

Deno.test("an abort kills, and what the program left running is waited for", () =>
  withLog(async (log) => {
    const controller = new AbortController();
    const script = "(sleep 0.3; echo orphan) & echo started; exec sleep 1000";
    const followed = await follow(start(script), {
      log,
      signal: controller.signal,
      onLine: (line) => line === "started" && controller.abort(),
    });
    strictEqual(followed.success, false);
    match(followed.tail, /orphan$/);
  }));

Deno.test("a signal that was raised before counts, too", () =>
  withLog(async (log) => {
    const { success } = await follow(start("exec sleep 1000"), {
      log,
      signal: AbortSignal.abort(),
    });
    strictEqual(success, false);
  }));

Deno.test("times sort as text", () => {
  strictEqual(compactTime(new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678))), "20260102T030405");
});
