import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { buildProgram } from "../../lib/cli/program.ts";
import { VERSION } from "../../lib/version.ts";
import { plainRun } from "../../lib/cli/entry.ts";
import { formatError, formatMounts } from "../../lib/cli/output.ts";
import { addVmOptions, type CliOptions, mergedOptions } from "../../lib/cli/options.ts";
import { Command, CommanderError } from "commander";
import { ExitCode, printable, VibeError } from "../../lib/errors.ts";
import { MAIN } from "../support/vibe.ts";
import { run } from "../../lib/process.ts";

/** What `run` would be given for a command line. */
async function parse(...args: string[]): Promise<{ words: string[]; options: CliOptions }> {
  const result = Promise.withResolvers<{ words: string[]; options: CliOptions }>();
  const program = addVmOptions(new Command("vibe")).exitOverride().enablePositionalOptions()
    .configureOutput({ writeErr() {} });
  addVmOptions(program.command("run").argument("<command...>").passThroughOptions())
    .exitOverride().configureOutput({ writeErr() {} })
    .action((words: string[], _: unknown, command: Command) =>
      result.resolve({ words, options: mergedOptions(command) })
    );
  await program.parseAsync(args, { from: "user" });
  return await result.promise;
}

Deno.test("options before and after `run` mean the same, the nearer one wins", async () => {
  const cpus = `${Math.min(2, navigator.hardwareConcurrency)}`;
  const before = await parse("--cpus", cpus, "--mount", "a:b", "run", "--", "make", "-j2");
  const after = await parse("run", "--cpus", cpus, "--mount", "a:b", "--", "make", "-j2");
  deepStrictEqual(before, after);
  deepStrictEqual(before.words, ["make", "-j2"]);
  deepStrictEqual(before.options.mount, ["a:b"]);
  const both = await parse(
    "--ram",
    "512",
    "--mount",
    "a:b",
    "run",
    "--ram",
    "1024",
    "--mount",
    "c:d",
    "x",
  );
  strictEqual(both.options.ram, 1024);
  deepStrictEqual(both.options.mount, ["a:b", "c:d"]);
});

Deno.test("default mounts are off only if that was asked for, on either side", async () => {
  strictEqual((await parse("run", "x")).options.defaultMounts, true);
  strictEqual((await parse("--no-default-mounts", "run", "x")).options.defaultMounts, false);
  strictEqual((await parse("run", "--no-default-mounts", "x")).options.defaultMounts, false);
});

Deno.test("the command's own options are the command's", async () => {
  deepStrictEqual((await parse("run", "ls", "--cpus", "9", "-h")).words, [
    "ls",
    "--cpus",
    "9",
    "-h",
  ]);
});

Deno.test("a run without options needs no parser, and means what the parser would make of it", async () => {
  const plain = [["x"], ["--", "x"], ["x", "--", "y"], ["x", "-h", "--cpus", "9"], [
    "--",
    "--",
    "x",
  ]];
  for (const words of [...plain, ["--", "-x"], [""]]) {
    const parsed = await parse("run", ...words);
    deepStrictEqual(plainRun(["run", ...words]), parsed.words, words.join(" "));
    deepStrictEqual(parsed.options, { mount: [], defaultMounts: true });
  }
  for (
    const args of [[], ["run"], ["run", "--"], ["run", "-h"], ["run", "--cpus", "1", "x"], ["x"]]
  ) {
    strictEqual(plainRun(args), null, args.join(" "));
  }
});

Deno.test("values that make no sense are refused", async () => {
  const cases: [string, string, RegExp][] = [
    ["--cpus", "0", /at least 1/],
    ["--cpus", "-1", /whole number|argument missing/],
    ["--cpus", "abc", /whole number/],
    ["--cpus", "1.5", /whole number/],
    ["--cpus", "1000", /at most \d+: this host has \d+/],
    ["--ram", "1", /at least 256/],
    ["--ram", "99999999999", /this host has/],
    ["--timeout", "5s", /seconds, like 30/],
    ["--timeout", "9999999", /at most 2000000/],
    ["--git", "maybe", /Allowed choices are hide, ro, guard, rw/],
  ];
  for (const [option, value, message] of cases) {
    await rejects(
      parse("run", `${option}=${value}`, "true"),
      (error) => error instanceof CommanderError && message.test(error.message),
      `${option} ${value}`,
    );
  }
});

Deno.test("the version is the package's", async () => {
  const config = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  strictEqual(VERSION, config.version);
});

Deno.test("every option and command says what it does", () => {
  const visit = (command: Command) => {
    for (const option of command.options) ok(option.description, option.flags);
    for (const child of command.commands) {
      ok(child.description(), child.name());
      visit(child);
    }
  };
  visit(buildProgram(() => {}));
});

Deno.test("an unknown command is not run, and exits with 2", async () => {
  const { code, stdout, stderr } = await vibe("lss");
  deepStrictEqual([code, stdout], [2, ""]);
  match(stderr, /^vibe: There is no command "lss"\n/);
});

Deno.test("usage errors exit with 2 and keep stdout clean", async () => {
  for (const args of [["--cpus", "0"], ["--nonsense"], ["run"]]) {
    const { code, stdout, stderr } = await vibe(...args);
    deepStrictEqual([code, stdout], [2, ""], args.join(" "));
    match(stderr, /^vibe: /);
  }
});

Deno.test("an option before a command is the command's, or an error", async () => {
  const dir = await Deno.makeTempDir();
  const places = { VIBE_DATA: `${dir}/data`, VIBE_CACHE: `${dir}/cache`, XDG_CONFIG_HOME: dir };
  const typed = (...args: string[]) =>
    run([Deno.execPath(), "run", "--allow-all", MAIN, ...args], { env: places, cwd: dir });
  try {
    const refused: [string[], RegExp][] = [
      [["--script", "a.sh", "run", "true"], /--script, --send and --expect with "vibe run"\nThey/],
      [["--send", "x", "start"], /with "vibe start"/],
      [["--expect", "x", "5", "image", "ls"], /with "vibe image ls"/],
      [["--cpus", "1", "ls"], /Cannot use --cpus with "vibe ls"\n`vibe ls --help` lists/],
      [["--no-default-mounts", "stop"], /Cannot use --no-default-mounts with "vibe stop"/],
      [["--plan", "rm"], /Cannot use --plan with "vibe rm"/],
      [["--json", "rm"], /Cannot use --json with "vibe rm"/],
      [["--plan", "--script", "none.sh"], /Cannot run the script "none.sh": there is no such file/],
      [["start", "--json"], /Cannot report on a start/],
      [["--send", "x", "--json"], /Cannot report on --send, --expect or several scripts/],
      [["--script", "/dev/null", "--script", "/dev/null", "--json"], /several scripts/],
    ];
    for (const [args, message] of refused) {
      const { code, stdout, stderr } = await typed(...args);
      deepStrictEqual([code, stdout], [2, ""], args.join(" "));
      match(stderr, message);
    }
    deepStrictEqual(JSON.parse((await typed("--json", "--verbose", "ls")).stdout), []);
    match((await typed("--ram", "300", "config", "show")).stdout, /^ram = 300$/m);
    const start = JSON.parse((await typed("--plan", "start", "--json")).stdout);
    deepStrictEqual([start.startOnly, start.keep, start.command.at(-1)], [true, true, "start"]);
    deepStrictEqual([...Deno.readDirSync(dir)], [], "nothing was started");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("--result goes to a file, or to a descriptor that leads to one", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const places = { VIBE_DATA: `${dir}/data`, VIBE_CACHE: `${dir}/cache`, XDG_CONFIG_HOME: dir };
    const script =
      'echo before >b; "$@" --result a run true; "$@" --result /dev/fd/3 run true 3>>b';
    const argv = [Deno.execPath(), "run", "--allow-all", MAIN, "--mount", "/no/such:/x"];
    await run(["sh", "-c", script, "sh", ...argv], { env: places, cwd: dir });
    const report = await Deno.readTextFile(`${dir}/a`);
    strictEqual(JSON.parse(report).error.code, "MOUNT_SOURCE");
    strictEqual(await Deno.readTextFile(`${dir}/b`), `before\n${report}`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("--help and --version touch nothing and load nothing native", async () => {
  const dir = await Deno.makeTempDir();
  try {
    for (const args of [["--help"], ["--version"], ["run", "--help"]]) {
      const argv = [Deno.execPath(), "run", "--no-prompt", "--allow-env", "--allow-read", MAIN];
      // Neither writing, running, opening a library nor the network is allowed.
      const { code, stdout, stderr } = await run([...argv, ...args], { cwd: dir });
      deepStrictEqual([code, stderr], [0, ""], args.join(" "));
      ok(stdout.length > 4);
    }
    deepStrictEqual([...Deno.readDirSync(dir)], []);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("logs --provision prints the log of the last image build on this host", async () => {
  const cache = await Deno.makeTempDir();
  const argv = [Deno.execPath(), "run", "--allow-all", MAIN, "logs", "--provision"];
  const logs = () => run(argv, { cwd: cache, env: { VIBE_CACHE: cache, NO_COLOR: "1" } });
  try {
    const none = await logs();
    strictEqual(none.code, 125);
    match(none.stderr, /^vibe: There is no log of an image build in /);
    await Deno.mkdir(`${cache}/logs`);
    for (const [index, name] of ["new", "old", "install-newest"].entries()) {
      await Deno.writeTextFile(`${cache}/logs/${name}.log`, `${name}\n`);
      await Deno.utime(`${cache}/logs/${name}.log`, 0, [2000, 1000, 3000][index]);
    }
    deepStrictEqual(await logs(), { success: true, code: 0, stdout: "new\n", stderr: "" });
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("the table of shares lines up, also with wide characters", () => {
  const table = formatMounts([
    { host: "/home/me/my-project", guest: "/root/my-project", readOnly: false },
    { host: "/日本", guest: "/x", readOnly: true },
  ]);
  strictEqual(
    table,
    "Host                 Guest             Mode\n" +
      "-------------------  ----------------  ----------\n" +
      "/home/me/my-project  /root/my-project  read-write\n" +
      "/日本                /x                read-only\n",
  );
});

Deno.test("the exit codes in docs/cli.md are those of the program", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/cli.md", import.meta.url));
  const [, table] = page.split("## Exit codes\n");
  const told = [...table.split("\n## ")[0].matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => +code);
  deepStrictEqual(told, Object.values(ExitCode).sort((a, b) => a - b));
});

Deno.test("errors are one line and a hint; --verbose adds where they come from", () => {
  const error = new VibeError("X_CODE", "Cannot do it", {
    hint: "Do this.",
    cause: new Error("why"),
  });
  strictEqual(formatError(error, false), "vibe: Cannot do it\nDo this.\n");
  const verbose = formatError(error, true);
  for (const part of ["[X_CODE]", "cli_test.ts", "caused by: Error: why"]) {
    ok(verbose.includes(part));
  }
});

Deno.test("what the guest says cannot steer the terminal", () => {
  strictEqual(printable("a\x1b[2Jb\x07\u202ec\n"), "a\\x1b[2Jb\\x07\\x202ec\\x0a");
  strictEqual(printable("x".repeat(400)).length, 301);
});

function vibe(...args: string[]) {
  return run([Deno.execPath(), "run", "--allow-all", MAIN, ...args], { env: { NO_COLOR: "1" } });
}
