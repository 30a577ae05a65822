/** What is made of hooks whose guest does not do as it should. */

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import type { AgentClient, Exec, Sinks } from "../../lib/agent/client.ts";
import type { ExitStatus } from "../../lib/agent/messages.ts";
import { type Hook, runHooks } from "../../lib/instance/hooks.ts";

/** An agent whose every program says `says` and ends with `status`; null: only when it is ended. */
function agent(says: string, status: ExitStatus | null): { agent: AgentClient; scripts: string[] } {
  const scripts: string[] = [];
  const exec = (_: unknown, sinks: Sinks) => {
    const exit = Promise.withResolvers<ExitStatus>();
    sinks.stdout(new TextEncoder().encode(says)).then(() => status && exit.resolve(status));
    return {
      exit: exit.promise,
      write: (bytes: Uint8Array) => {
        scripts.push(new TextDecoder().decode(bytes));
        return Promise.resolve();
      },
      closeStdin() {},
      terminate: () => exit.resolve({ kind: "signaled", signal: 15 }),
    } as unknown as Exec;
  };
  return { agent: { exec } as unknown as AgentClient, scripts };
}

async function notesOf(
  whose: Hook["whose"],
  make: (path: string) => Promise<void>,
  says: string,
  status: ExitStatus | null,
): Promise<{ notes: string[]; scripts: string[]; log: string }> {
  const dir = await Deno.makeTempDir();
  try {
    await make(`${dir}/hook`);
    const notes: string[] = [];
    const fake = agent(says, status);
    await runHooks([{ whose, path: `${dir}/hook` }], fake.agent, {
      workdir: null,
      log: `${dir}/log`,
      note: (text) => notes.push(text.replaceAll(dir, "")),
      verbose: false,
      timeoutMs: 20,
    });
    const log = await Deno.readTextFile(`${dir}/log`);
    return { notes, scripts: fake.scripts, log: log.replaceAll(dir, "") };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const script = (path: string) => Deno.writeTextFile(path, "true\n");
const OK: ExitStatus = { kind: "exited", code: 0 };

Deno.test("one that ends well is quiet, and in the log", async () => {
  const { notes, scripts, log } = await notesOf("project", script, "hello\n", OK);
  deepStrictEqual([notes, scripts, log], [[], ["true\n"], "# /hook\nhello\n"]);
});

Deno.test("one that takes too long is ended and told", async () => {
  const { notes } = await notesOf("user", script, "working\n", null);
  match(notes[0], /^"\/hook" failed in the VM: it took too long and was ended\. It said:$/);
  strictEqual(notes[1], "  working");
});

Deno.test("what it says cannot steer the terminal, and only its end is told", async () => {
  const says = "line\n".repeat(500) + "\x1b[2J\u202eend\n";
  const { notes } = await notesOf("user", script, says, { kind: "signaled", signal: 9 });
  match(notes[0], /failed in the VM: signal 9\./);
  strictEqual(notes.length, 12);
  strictEqual(notes.at(-2), "  \\x1b[2J\\x202eend");
});

Deno.test("a project's link is not followed, and nothing huge is sent", async () => {
  const link = (path: string) => Deno.symlink("/etc/hostname", path);
  const linked = await notesOf("project", link, "", OK);
  match(linked.notes[0], /no regular file any more/);
  deepStrictEqual(linked.scripts, []);
  const huge = (path: string) => Deno.writeFile(path, new Uint8Array((1 << 20) + 1));
  const large = await notesOf("user", huge, "", OK);
  match(large.notes[0], /larger than 1 MiB/);
  deepStrictEqual(large.scripts, []);
});
