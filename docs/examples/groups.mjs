#!/usr/bin/env node
// @ts-check
/**
 * Jobs of several groups, each group in a VM of its own. For Node.js 20 and later, without a
 * package: everything goes through the `vibe` command. docs/example-bot.md tells more.
 *
 *     node groups.mjs        runs three groups side by side
 */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * A group of users, and what it may have.
 *
 * @typedef {object} Group
 * @property {string} name lower-case letters, digits, dots, dashes and underscores
 * @property {string} [image] what its VM is made from
 * @property {number} [cpus]
 * @property {number} [ram] MiB
 * @property {number} [timeout] seconds that a job of it may take
 */

/**
 * How a job went.
 *
 * @typedef {object} Job
 * @property {"done" | "failed" | "late" | "broken"} outcome `broken`: vibe could not run it
 * @property {unknown} answer what it printed between the markers, or null
 * @property {string} log what it printed otherwise
 * @property {string | null} problem why it is not `done`
 */

/**
 * What `vibe run --json` prints.
 *
 * @typedef {object} Report
 * @property {number} exitCode
 * @property {number | null} status
 * @property {string | null} signal
 * @property {boolean} timedOut
 * @property {string} stdout
 * @property {string} stderr
 * @property {{ code: string, message: string, hint: string | null } | null} error
 */

/** The words that start vibe. */
const VIBE = (process.env.VIBE_COMMAND ?? "vibe").split(" ");
/** Beside its job a VM has to boot, and the first one ever to build its image. */
const START_MS = 20 * 60_000;
/** Where the groups' files are on this machine. */
const FILES = resolve(process.env.GROUP_FILES ?? "groups");

/** The last job of each group. @type {Map<string, Promise<unknown>>} */
const queues = new Map();

/**
 * Runs a shell script in the group's VM. Jobs of one group wait for each other; those of different
 * groups run side by side. Never rejects.
 *
 * The script begins in /workspace, which is `groups/NAME` here. Its answer is JSON between a line
 * "$BEGIN" and a line "$END".
 *
 * @param {Group} group
 * @param {string} script
 * @returns {Promise<Job>}
 */
export function runJob(group, script) {
  const before = queues.get(group.name) ?? Promise.resolve();
  const job = before.then(() => runNow(group, script)).catch(broken);
  queues.set(group.name, job);
  return job;
}

/**
 * Throws away all that the group's jobs did to its VM. Its files in /workspace stay.
 *
 * @param {Group} group
 */
export async function resetGroup(group) {
  await queues.get(group.name);
  // The VM of the last job may still be on its way down.
  await vibe(["stop", "--name", group.name], "", START_MS);
  const args = [...vmOptions(group), "--reset", "--quiet", "run", "--json", "--", "true"];
  /** @type {Report} */
  const { error } = JSON.parse(await vibe(args, "", START_MS));
  if (error) throw new Error(`${error.code}: ${error.message}`);
}

/**
 * @param {Group} group
 * @param {string} script
 * @returns {Promise<Job>}
 */
async function runNow(group, script) {
  const { name, timeout = 60 } = group;
  const workspace = join(FILES, name);
  await mkdir(workspace, { recursive: true });
  // What a job prints by chance, or copies from elsewhere, is never taken for a marker.
  const id = randomUUID();
  const [begin, end] = [`--- begin ${id} ---`, `--- end ${id} ---`];
  const args = [
    ...vmOptions(group),
    ...["--mount", `${escaped(workspace)}:/workspace`],
    ...["--timeout", `${timeout}`, "--quiet"],
    ...["run", "--json", "--"],
    // The script comes by stdin: nothing in it can be taken for an option or a quote.
    ...["env", `BEGIN=${begin}`, `END=${end}`, "sh", "-c", "cd /workspace && exec bash -s"],
  ];
  const output = await vibe(args, script, timeout * 1000 + START_MS);
  /** @type {Report} */
  const report = JSON.parse(output);
  const { answer, log } = parse(report.stdout, begin, end);
  return { ...judge(report, answer), answer, log: log + report.stderr };
}

/**
 * @param {Report} report
 * @param {unknown} answer
 * @returns {Pick<Job, "outcome" | "problem">}
 */
function judge({ error, timedOut, status, signal }, answer) {
  if (timedOut) return { outcome: "late", problem: error?.message ?? null };
  if (error) return { outcome: "broken", problem: `${error.code}: ${error.message}` };
  if (status !== 0) return { outcome: "failed", problem: signal ?? `exit status ${status}` };
  if (answer === null) return { outcome: "failed", problem: "it gave no answer" };
  return { outcome: "done", problem: null };
}

/**
 * Finds what is between the markers. The guest wrote it, so it may be anything.
 *
 * @param {string} text
 * @param {string} begin
 * @param {string} end
 */
export function parse(text, begin, end) {
  const from = text.indexOf(`${begin}\n`);
  const to = text.indexOf(`${end}\n`, from);
  if (from < 0 || to < 0) return { answer: null, log: text };
  const log = text.slice(0, from) + text.slice(to + end.length + 1);
  try {
    return { answer: JSON.parse(text.slice(from + begin.length + 1, to)), log };
  } catch {
    return { answer: null, log };
  }
}

/**
 * @param {Group} group
 * @returns {string[]}
 */
function vmOptions({ name, image, cpus = 1, ram = 1024 }) {
  const options = ["--name", name, "--cpus", `${cpus}`, "--ram", `${ram}`];
  return image ? [...options, "--image", image] : options;
}

/**
 * Runs vibe to its end and resolves to what it printed.
 *
 * @param {string[]} args
 * @param {string} input
 * @param {number} timeout milliseconds after which vibe itself is ended
 * @returns {Promise<string>}
 */
function vibe(args, input, timeout) {
  return new Promise((done, fail) => {
    const [program, ...first] = VIBE;
    const child = spawn(program, [...first, ...args], { stdio: "pipe" });
    // Not the option of that name: its timer goes on where the program could not be started.
    const timer = setTimeout(() => child.kill(), timeout);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => stdout += text);
    child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
    child.on("error", (error) => {
      clearTimeout(timer);
      fail(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      if (stdout || code === 0) done(stdout);
      else fail(new Error(stderr || "vibe was killed"));
    });
    // A job that ends without reading all of its input is none of our concern.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/**
 * @param {unknown} error
 * @returns {Job}
 */
function broken(error) {
  const problem = error instanceof Error ? error.message : String(error);
  return { outcome: "broken", answer: null, log: "", problem };
}

/** A path as --mount takes it. @param {string} path */
function escaped(path) {
  return path.replace(/[\\:]/g, "\\$&");
}

async function main() {
  /** @type {[Group, string][]} */
  const jobs = [
    [
      { name: "red", ram: 512, timeout: 120 },
      `echo "counting"
       n=$(( $(cat count 2>/dev/null || echo 0) + 1 ))
       echo $n >count
       printf '%s\\n{"runs": %d, "host": "%s"}\\n%s\\n' "$BEGIN" $n "$(hostname)" "$END"`,
    ],
    [
      { name: "green", ram: 512, timeout: 120 },
      `echo "this goes wrong" >&2
       exit 7`,
    ],
    [
      { name: "blue", ram: 512, timeout: 5 },
      `echo "this takes long"
       sleep 1000`,
    ],
  ];
  await Promise.all(jobs.map(async ([group, script]) => {
    const { outcome, answer, problem } = await runJob(group, script);
    console.log(`${group.name}: ${outcome}: ${problem ?? JSON.stringify(answer)}`);
  }));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
