/**
 * Virtual machines for programs: what the `vibe` command does, as a library for Deno.
 *
 * ```ts
 * import { strictEqual } from "node:assert/strict";
 * import { Vm } from "@vibe/cli/lib";
 *
 * await using vm = await Vm.open({ name: "docs-vm", ram: 512 });
 * await vm.writeFile("numbers", "3\n1\n2\n");
 * const { stdout } = await vm.exec(["sort", "/root/numbers"]);
 * strictEqual(stdout, "1\n2\n3\n");
 * ```
 *
 * @module
 */

export { VibeError, type VibeErrorOptions } from "../errors.ts";
export type { Input } from "../agent/web_streams.ts";
export type { GuestFileOptions, GuestWriteOptions } from "../guest/files.ts";
export type { MountInfo } from "../instance/control.ts";
export type { GitMode } from "../share/git_mode.ts";
export type {
  ExecOptions,
  SpawnOptions,
  VmMount,
  VmOpenOptions,
  VmSettings,
  VmTarget,
} from "./options.ts";
export { type ExecResult, Program, type ProgramStatus } from "./program.ts";
export type { VmStats } from "./stats.ts";
export { Vm, type VmDescription } from "./vm.ts";
