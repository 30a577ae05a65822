/** `https://host/path#sha512=…`: a disk on the web, and what it must be. Pure. */

import { ExitCode, printable, VibeError } from "../errors.ts";
import type { Digest, Wanted } from "./downloads.ts";

const HINT = "A base is debian, nocloud, a disk (./disk.raw, ./disk.qcow2, ./disk.tar.xz), " +
  "or https://…#sha256=… (or #sha512=…).";

/** Whether a text is meant as an address. */
export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}

/** @throws {VibeError} `BASE_INVALID` if it is no web address, or has no digest. */
export function parseDiskUrl(text: string): Wanted {
  const url = URL.parse(text);
  const shown = printable(text);
  if (!url || !/^https?:$/.test(url.protocol)) throw invalidBase(`"${shown}" is no web address`);
  const digest = parseDigest(url.hash);
  if (!digest) {
    throw invalidBase(
      `"${shown}" does not say what its digest is`,
      "Add it, as in #sha512=HEX or #sha256=HEX; whoever publishes the disk publishes it, too.",
    );
  }
  url.hash = "";
  return { url: url.href, bytes: null, digest };
}

function parseDigest(fragment: string): Digest | null {
  const [, algorithm, hex] = fragment.match(/^#(sha256|sha512)=([0-9a-f]+)$/i) ?? [];
  if (hex?.length !== (algorithm === "sha256" ? 64 : 128)) return null;
  return { algorithm: algorithm as Digest["algorithm"], hex: hex.toLowerCase() };
}

/** The error for a value of `--base` that means nothing. */
export function invalidBase(why: string, hint = HINT): VibeError {
  return new VibeError("BASE_INVALID", `Cannot use this as a base: ${why}`, {
    hint,
    exitCode: ExitCode.usage,
  });
}
