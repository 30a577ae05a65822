/** The entitlements that a process needs to run virtual machines, in the forms a signature has. */

/**
 * Virtualization, and the five that Deno's own signature has: an ad-hoc signature replaces that,
 * and V8 needs most of them. `dylib-src/entitlements.plist` says the same, for `codesign` by hand.
 */
export const ENTITLEMENTS = [
  "com.apple.security.virtualization",
  "com.apple.security.cs.allow-jit",
  "com.apple.security.cs.allow-unsigned-executable-memory",
  "com.apple.security.cs.disable-executable-page-protection",
  "com.apple.security.cs.allow-dyld-environment-variables",
  "com.apple.security.cs.disable-library-validation",
];

const encoder = new TextEncoder();

/** A property list in which every key is true. */
export function entitlementsPlist(keys: string[]): Uint8Array<ArrayBuffer> {
  return encoder.encode(
    `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
${keys.map((key) => `\t<key>${key}</key>\n\t<true/>\n`).join("")}</dict>
</plist>
`,
  );
}

/** Tag, length, content. */
function der(tag: number, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const head = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 0xff];
  const bytes = new Uint8Array(head.length + length);
  bytes.set(head);
  let at = head.length;
  for (const part of content) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * The same in DER, which macOS 12 and later want beside the property list:
 *
 *     [APPLICATION 16] { INTEGER 1, [16] { SEQUENCE { UTF8String key, BOOLEAN TRUE }, … } }
 *
 * with the keys in order.
 */
export function entitlementsDer(keys: string[]): Uint8Array<ArrayBuffer> {
  const entries = keys.toSorted().map((key) =>
    der(0x30, der(0x0c, encoder.encode(key)), der(0x01, new Uint8Array([0xff])))
  );
  return der(0x70, der(0x02, new Uint8Array([1])), der(0xb0, ...entries));
}
