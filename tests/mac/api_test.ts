/** The declarations in dylib-src/sdk say what Apple's SDK says. */

import { deepStrictEqual as assertEquals, ok } from "node:assert/strict";
import { compare, implemented, protocolMethods, syntaxTree } from "./api.ts";
import { DYLIB_SOURCE } from "./build.ts";
import { compareFoundation, readDeclarations } from "./foundation.ts";
import { macFoundation } from "./packages.ts";

const HEADER = "Virtualization/Virtualization.h";
const FOUNDATION = "Foundation/Foundation.h";

async function compareFrameworks(frameworks: string) {
  const tree = await syntaxTree(`${frameworks}/${HEADER}`, [frameworks]);
  return compare(tree);
}

async function compareFoundationIn(frameworks: string) {
  const tree = await syntaxTree(`${frameworks}/${FOUNDATION}`, [frameworks]);
  return compareFoundation(tree, readDeclarations(await macFoundation()));
}

Deno.test("every declaration agrees with the facts about the SDK", async () => {
  const result = await compareFrameworks(`${DYLIB_SOURCE}/sdk/frameworks`);
  assertEquals(result.wrong, []);
  // Fewer would mean that the walk found nothing to compare.
  ok(
    result.classes >= 43 && result.methods >= 107 && result.constants >= 20,
    JSON.stringify(result),
  );
});

Deno.test("the machine implements the whole delegate protocol", async () => {
  const sdk = `${DYLIB_SOURCE}/sdk`;
  const tree = await syntaxTree(`${DYLIB_SOURCE}/machine.m`, [`${sdk}/libc`, `${sdk}/frameworks`]);
  const methods = implemented(tree, "VibeMachine");
  assertEquals(protocolMethods("VZVirtualMachineDelegate").filter((m) => !methods.includes(m)), []);
});

Deno.test("what is declared of Foundation agrees with its SDK", async () => {
  const result = await compareFoundationIn(`${DYLIB_SOURCE}/sdk/frameworks`);
  assertEquals(result.wrong, []);
  ok(
    result.classes >= 14 && result.methods >= 50 && result.constants >= 4,
    JSON.stringify(result),
  );
});

/** An edit to a header, and what the comparison must say of it. */
type Planted = [from: string, to: string, report: string];

const IN_VIRTUALIZATION: Planted[] = [
  ["VZLinuxBootLoader : VZBootLoader", "VZLinuxBootLoader : NSObject", "declared below"],
  ["initWithKernelURL:(NSURL *)", "initWithKernelUrl:(NSURL *)", "no such method"],
  ["readOnly:(BOOL)readOnly;", "readOnly:(NSInteger)readOnly;", "declared instancetype("],
  ["(nullable instancetype)initWithString:", "(instancetype)initWithString:", "is instance"],
  ["VZLinuxRosettaAvailabilityInstalled = 2", "VZLinuxRosettaAvailabilityInstalled = 3", "is 2"],
  ["VZLinuxRosettaAvailabilityNotInstalled", "VZLinuxRosettaMissing", "is undefined"],
  ["VZVirtioEntropyDevice", "VZVirtioEntropicDevice", "no such class"],
  ["guestDidStopVirtualMachine:", "guestDidStop:", "no such method"],
];

const IN_FOUNDATION: Planted[] = [
  ["@interface NSFileHandle", "@interface NSFileHandler", "no such class"],
  ["NSMutableArray<T> : NSArray<T>", "NSMutableArray<T> : NSString", "is not below NSString"],
  ["closeOnDealloc:(BOOL)", "closeOnDeallocation:(BOOL)", "no such method"],
  ["closeOnDealloc:(BOOL)", "closeOnDealloc:(int)", "declared self(number,number)"],
  ["+ (NSURL *)fileURLWithPath:", "- (NSURL *)fileURLWithPath:", "no such method"],
  [
    "removeObjectAtIndex:(NSUInteger)index",
    "removeObjectAtIndex:(T)index",
    "declared void(object)",
  ],
  ["NSInteger code;", "NSString *code;", "declared string()"],
  ["NSJSONWritingPrettyPrinted = 1", "NSJSONWritingPrettyPrinted = 2", "declared 2, is 1"],
  ["NSJSONReadingMutableContainers", "NSJSONReadingMutability", "is undefined"],
];

Deno.test("a planted error is reported, each of them", async () => {
  await plantEach(HEADER, IN_VIRTUALIZATION, compareFrameworks);
  await plantEach(FOUNDATION, IN_FOUNDATION, compareFoundationIn);
});

async function plantEach(
  file: string,
  errors: Planted[],
  compareIn: (frameworks: string) => Promise<{ wrong: string[] }>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    for (const [from, to, report] of errors) {
      for (const name of [FOUNDATION, HEADER, "dispatch/dispatch.h"]) {
        await Deno.mkdir(`${dir}/${name.split("/")[0]}`, { recursive: true });
        const text = await Deno.readTextFile(`${DYLIB_SOURCE}/sdk/frameworks/${name}`);
        if (name === file) ok(text.includes(from), from);
        await Deno.writeTextFile(
          `${dir}/${name}`,
          name === file ? text.replaceAll(from, to) : text,
        );
      }
      const { wrong } = await compareIn(dir);
      ok(wrong.some((w) => w.includes(report)), `${from} -> ${to}: ${JSON.stringify(wrong)}`);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
