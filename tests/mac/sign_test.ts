/** The signer in TypeScript, against a signature that Apple's tools made. */

import { deepStrictEqual as assertEquals, ok, rejects } from "node:assert/strict";
import { ENTITLEMENTS, entitlementsDer, entitlementsPlist } from "../../lib/macos/entitlements.ts";
import { layoutOf } from "../../lib/macos/macho.ts";
import { codeDirectory, signAdHoc, Slot } from "../../lib/macos/sign.ts";
import { DYLIB_SOURCE } from "./build.ts";
import { macDeno } from "./packages.ts";
import { readSignature } from "./signature.ts";

const deno = await Deno.readFile(await macDeno());
const official = await readSignature(deno);

/** The content of a blob, after magic and length. */
const content = (slot: number) => official.blobs.get(slot)!.subarray(8);
const equal = (a: Uint8Array, b: Uint8Array, what: string) =>
  ok(a.length === b.length && a.every((byte, i) => byte === b[i]), what);

Deno.test("the property list for codesign has the same entitlements", async () => {
  const file = await Deno.readFile(`${DYLIB_SOURCE}/entitlements.plist`);
  equal(file, entitlementsPlist(ENTITLEMENTS), "dylib-src/entitlements.plist");
});

Deno.test("Deno's own signature is rebuilt byte for byte", async () => {
  assertEquals([official.badPages, official.badSlots, official.pages > 10_000], [[], [], true]);
  const text = new TextDecoder().decode(content(Slot.entitlements));
  const keys = [...text.matchAll(/<key>(.*?)<\/key>/g)].map((m) => m[1]);
  assertEquals(keys, ENTITLEMENTS.filter((key) => !key.endsWith("virtualization")));
  // The file that its makers gave to codesign ended without a newline.
  assertEquals(new TextDecoder().decode(entitlementsPlist(keys)), text + "\n");
  equal(entitlementsDer(keys), content(Slot.entitlementsDer), "DER");

  const original = official.blobs.get(Slot.codeDirectory)!;
  const field = new DataView(original.buffer, original.byteOffset);
  const rebuilt = await codeDirectory(deno, official.codeLimit, official.blobs, {
    identifier: "deno",
    flags: official.flags,
    textSize: layoutOf(deno).textSize,
    team: "2H4KBF436B",
    runtime: field.getUint32(88),
  });
  equal(rebuilt, original, "code directory");
});

Deno.test("an ad-hoc signature has the entitlements and covers every page", async () => {
  const signed = await signAdHoc(deno, "vibe-supervisor", ENTITLEMENTS);
  const signature = await readSignature(signed);
  assertEquals([signature.badPages, signature.badSlots], [[], []]);
  assertEquals([signature.identifier, signature.flags], ["vibe-supervisor", 0x2]);
  equal(signature.blobs.get(5)!.subarray(8), entitlementsPlist(ENTITLEMENTS), "property list");
  equal(signature.blobs.get(7)!.subarray(8), entitlementsDer(ENTITLEMENTS), "DER");
  // Nothing but the sizes in the header is another.
  let changed = 0;
  for (let i = 0; i < official.codeLimit; i++) if (signed[i] !== deno[i]) changed++;
  ok(changed > 0 && changed <= 20, `${changed} bytes changed`);
  const layout = layoutOf(signed);
  const linkedit = new DataView(signed.buffer).getBigUint64(layout.linkeditCommand + 48, true);
  assertEquals(layout.linkedit + Number(linkedit), signed.length);

  // Compiled binaries carry an ad-hoc signature already, with less room than an official one.
  const again = await signAdHoc(signed, "x", [...ENTITLEMENTS, "com.example.more"]);
  const second = await readSignature(again);
  assertEquals([second.badPages, second.badSlots, second.identifier], [[], [], "x"]);
});

Deno.test("what cannot be signed is refused, saying why", async () => {
  const sign = (file: Uint8Array<ArrayBuffer>) => signAdHoc(file, "x", ENTITLEMENTS);
  await rejects(sign(new TextEncoder().encode("#!/bin/sh\n")), /not a Mach-O executable/);
  await rejects(sign(deno.slice(0, deno.length - 1)), /not at the end of the file/);
  const unsigned = deno.slice();
  new DataView(unsigned.buffer).setUint32(layoutOf(deno).signatureCommand, 0x7f, true);
  await rejects(sign(unsigned), /never signed/);
});
