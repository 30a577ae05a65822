/** `--send`, `--expect` and `--script` on the command line, and the words that are disks. */

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { Command } from "commander";
import { actionsOf, addActionOptions, joinSeconds, loadActions } from "../../lib/cli/actions.ts";
import { diskArgument, editDistance } from "../../lib/cli/disk_argument.ts";

/** A command as vibe's, with a sub-command that takes any words. */
async function parse(...args: string[]) {
  const program = addActionOptions(new Command("vibe")).enablePositionalOptions()
    .allowExcessArguments().option("--cpus <n>").exitOverride()
    .configureOutput({ writeErr: () => {} }).action(() => {});
  program.command("run").argument("<words...>").passThroughOptions().action(() => {});
  await program.parseAsync(joinSeconds(args, program), { from: "user" });
  return { actions: actionsOf(program), rest: program.args };
}

Deno.test("actions keep the order in which they were given across the three", async () => {
  const { actions, rest } = await parse(
    ...["--send", "a", "--expect", "b", "--script", "c.sh", "--cpus", "2"],
    ...["--expect", "d", "1.5", "disk.raw", "--send", "--expect", "--send=e f"],
  );
  deepStrictEqual(actions, [
    { kind: "send", text: "a" },
    { kind: "expect", text: "b", seconds: 30 },
    { kind: "script", path: "c.sh" },
    { kind: "expect", text: "d", seconds: 1.5 },
    { kind: "send", text: "--expect" },
    { kind: "send", text: "e f" },
  ]);
  deepStrictEqual(rest, ["disk.raw"]);
});

Deno.test("the seconds are a number behind the string, and nothing else", async () => {
  const seconds = async (...args: string[]) => {
    const { actions, rest } = await parse(...args);
    return [...actions.map((action) => action.kind === "expect" && action.seconds), ...rest];
  };
  deepStrictEqual(await seconds("--expect", "x", "5"), [5]);
  deepStrictEqual(await seconds("--expect=x", "0"), [0]);
  deepStrictEqual(await seconds("--expect", "5", "6", "7"), [6, "7"]);
  deepStrictEqual(await seconds("--expect", "x", "5s"), [30, "5s"]);
  deepStrictEqual(await seconds("--expect", "x", "-1").catch((error) => [error.code]), [
    "commander.unknownOption",
  ]);
  deepStrictEqual(await seconds("--expect", "x", "disk.raw", "5"), [30, "disk.raw", "5"]);
  deepStrictEqual(await seconds("--expect", "x", "9999999").catch((error) => [error.code]), [
    "commander.invalidArgument",
  ]);
  deepStrictEqual(await seconds("--expect", "").catch((error) => [error.code]), [
    "commander.invalidArgument",
  ]);
});

Deno.test("a command's own words are left alone", () => {
  const program = addActionOptions(new Command("vibe"));
  program.command("run");
  for (const args of [["run", "--expect", "x", "5"], ["--", "--expect", "x", "5"]]) {
    deepStrictEqual(joinSeconds(args, program), args);
  }
});

Deno.test("a script is read before anything is started", async () => {
  const path = await Deno.makeTempFile({ suffix: ".sh" });
  try {
    await Deno.writeTextFile(path, "true\n");
    const [loaded] = await loadActions([{ kind: "script", path }]);
    strictEqual(loaded.kind === "script" && loaded.script.content.byteLength, 5);
  } finally {
    await Deno.remove(path);
  }
  await rejects(loadActions([{ kind: "script", path }]), {
    code: "SCRIPT_UNREADABLE",
    message: /there is no such file$/,
    exitCode: 2,
  });
  await rejects(loadActions([{ kind: "script", path: "." }]), { message: /it is a directory$/ });
});

Deno.test("a disk exists or looks like one; other words are slips", async () => {
  const commands = ["run", "ls", "doctor", "image"];
  const file = await Deno.makeTempFile();
  try {
    for (const word of [file, "a/b", "x.raw", "X.QCOW2", "y.img"]) {
      strictEqual(await diskArgument([word], commands), word);
    }
  } finally {
    await Deno.remove(file);
  }
  strictEqual(await diskArgument([], commands), undefined);
  await rejects(diskArgument(["lss"], commands), {
    code: "COMMAND_UNKNOWN",
    message: 'There is no command "lss"',
    hint: /^Did you mean `vibe ls`\?/,
    exitCode: 2,
  });
  await rejects(diskArgument(["dcotor"], commands), { hint: /vibe doctor/ });
  await rejects(diskArgument(["frobnicate"], commands), { hint: /^`vibe run/ });
  await rejects(diskArgument(["a.raw", "b.raw"], commands), { code: "DISK_MANY" });
});

Deno.test("the distance of two words counts keys", () => {
  const cases: [string, string, number][] = [
    ["ls", "ls", 0],
    ["lss", "ls", 1],
    ["sl", "ls", 1],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
  ];
  for (const [a, b, distance] of cases) {
    strictEqual(editDistance(a, b), distance, `${a} ${b}`);
    strictEqual(editDistance(b, a), distance);
  }
});
