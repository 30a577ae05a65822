/** The declarations in dylib-src/sdk say what Apple's SDK says. */

import { deepStrictEqual as assertEquals, ok } from "node:assert/strict";
import { compare, implemented, protocolMethods, syntaxTree } from "./api.ts";
import { DYLIB_SOURCE } from "./build.ts";

const HEADER = "Virtualization/Virtualization.h";

async function compareFrameworks(frameworks: string) {
  const tree = await syntaxTree(`${frameworks}/${HEADER}`, [frameworks]);
  return compare(tree);
}

Deno.test("every declaration agrees with the facts about the SDK", async () => {
  const result = await compareFrameworks(`${DYLIB_SOURCE}/sdk/frameworks`);
  assertEquals(result.wrong, []);
  // Fewer would mean that the walk found nothing to compare.
  ok(
    result.classes >= 41 && result.methods >= 103 && result.constants >= 20,
    JSON.stringify(result),
  );
});

Deno.test("the machine implements the whole delegate protocol", async () => {
  const sdk = `${DYLIB_SOURCE}/sdk`;
  const tree = await syntaxTree(`${DYLIB_SOURCE}/machine.m`, [`${sdk}/libc`, `${sdk}/frameworks`]);
  const methods = implemented(tree, "VibeMachine");
  assertEquals(protocolMethods("VZVirtualMachineDelegate").filter((m) => !methods.includes(m)), []);
});

/** An edit to a header, and what the comparison must say of it. */
const PLANTED: [file: string, from: string, to: string, report: string][] = [
  [HEADER, "VZLinuxBootLoader : VZBootLoader", "VZLinuxBootLoader : NSObject", "declared below"],
  [HEADER, "initWithKernelURL:(NSURL *)", "initWithKernelUrl:(NSURL *)", "no such method"],
  [HEADER, "readOnly:(BOOL)readOnly;", "readOnly:(NSInteger)readOnly;", "declared instancetype("],
  [
    HEADER,
    "(nullable instancetype)initWithString:",
    "(instancetype)initWithString:",
    "is instance",
  ],
  [
    HEADER,
    "VZLinuxRosettaAvailabilityInstalled = 2",
    "VZLinuxRosettaAvailabilityInstalled = 3",
    "is 2",
  ],
  [HEADER, "VZLinuxRosettaAvailabilityNotInstalled", "VZLinuxRosettaMissing", "is undefined"],
  [HEADER, "VZVirtioEntropyDevice", "VZVirtioEntropicDevice", "no such class"],
  [HEADER, "guestDidStopVirtualMachine:", "guestDidStop:", "no such method"],
];

Deno.test("a planted error is reported, each of them", async () => {
  const dir = await Deno.makeTempDir();
  try {
    for (const [file, from, to, report] of PLANTED) {
      for (const name of ["Foundation/Foundation.h", HEADER, "dispatch/dispatch.h"]) {
        await Deno.mkdir(`${dir}/${name.split("/")[0]}`, { recursive: true });
        const text = await Deno.readTextFile(`${DYLIB_SOURCE}/sdk/frameworks/${name}`);
        if (name === file) ok(text.includes(from), from);
        await Deno.writeTextFile(
          `${dir}/${name}`,
          name === file ? text.replaceAll(from, to) : text,
        );
      }
      const { wrong } = await compareFrameworks(dir);
      ok(wrong.some((w) => w.includes(report)), `${from} -> ${to}: ${JSON.stringify(wrong)}`);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
