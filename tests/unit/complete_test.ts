/** What Tab offers, from the command tree, and how typed words are read. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { complete, type CompletionSources } from "../../lib/cli/complete.ts";
import { buildProgram } from "../../lib/cli/program.ts";
import { isPlainInside, quoteForBash, splitLine, unquote } from "../../lib/cli/shell_words.ts";

const SOURCES: CompletionSources = {
  images: () => Promise.resolve([{ value: "default" }, { value: "dev" }]),
  vms: () => Promise.resolve([{ value: "/home/me/p" }]),
  guestPaths: (prefix) => Promise.resolve([{ value: `guest:${prefix}x` }]),
};

async function offered(...words: string[]): Promise<{ paths: string; values: string[] }> {
  const { paths, candidates } = await complete(buildProgram(() => {}), words, SOURCES);
  return { paths, values: candidates.map(({ value }) => value) };
}

Deno.test("commands, options and their values", async () => {
  deepStrictEqual(await offered("ru"), { paths: "none", values: ["run"] });
  deepStrictEqual((await offered("run", "--gi")).values, ["--git"]);
  deepStrictEqual((await offered("--git", "")).values, ["hide", "ro", "guard", "rw"]);
  deepStrictEqual((await offered("--git=r")).values, ["--git=ro", "--git=rw"]);
  deepStrictEqual((await offered("--image", "de")).values, ["default", "dev"]);
  deepStrictEqual((await offered("--image=dev")).values, ["--image=dev"]);
  deepStrictEqual((await offered("--cpus", "")).values, []);
  deepStrictEqual((await offered("--mount", "")).paths, "files");
  deepStrictEqual((await offered("--cpus", "2", "ru")).values, ["run"]);
  deepStrictEqual((await offered("completions", "install", "")).values, ["bash", "zsh", "fish"]);
  deepStrictEqual((await offered("nonsense", "")).values, []);
});

Deno.test("the words of a guest's command are files of the project", async () => {
  deepStrictEqual(await offered("run", "--", "make", "-"), { paths: "files", values: [] });
  deepStrictEqual(await offered("run", "cat", ""), { paths: "files", values: [] });
});

Deno.test("words are read as a shell quotes them, and nothing is expanded", () => {
  const table: [string, string, string][] = [
    ["plain", "plain", ""],
    ["'a b'c", "a bc", ""],
    [`"a \\" b`, 'a " b', '"'],
    [`"a \\n`, "a \\n", '"'],
    ["a\\ b", "a b", ""],
    ["'it", "it", "'"],
    ["$(rm -rf ~)`x`", "$(rm -rf ~)`x`", ""],
    ["", "", ""],
  ];
  for (const [typed, text, quote] of table) deepStrictEqual(unquote(typed), { text, quote }, typed);
});

Deno.test("a line is cut into words, the last one open", () => {
  deepStrictEqual(splitLine("vibe run  'a b' c"), ["vibe", "run", "'a b'", "c"]);
  deepStrictEqual(splitLine("vibe run "), ["vibe", "run", ""]);
  deepStrictEqual(splitLine('vibe "a b'), ["vibe", '"a b']);
  deepStrictEqual(splitLine("vibe a\\ b"), ["vibe", "a\\ b"]);
  deepStrictEqual(splitLine(`vibe '"' "it's" x`), ["vibe", `'"'`, `"it's"`, "x"]);
});

Deno.test("what is put in means itself in bash", async () => {
  for (
    const text of ["a b", "$(id)", "`id`", "it's", '"', "~", "a\nb", "-x", "a*?[b]", "é", "a\\b"]
  ) {
    const { stdout } = await new Deno.Command("bash", {
      args: ["-c", `printf %s ${quoteForBash(text)}`],
    }).output();
    strictEqual(new TextDecoder().decode(stdout), text);
  }
  deepStrictEqual([isPlainInside("$x", '"'), isPlainInside("$x", "'")], [false, true]);
});
