/** Names for what was made from some files: a digest of all that went into it. */

/** SHA-256 over names and contents, in order, in hex. Lengths keep parts from running together. */
export async function digestOf(parts: [name: string, content: Uint8Array][]): Promise<string> {
  const encoder = new TextEncoder();
  const chunks = parts.flatMap(([name, content]) => [
    encoder.encode(`${name}\0${content.length}\0`),
    content,
  ]);
  const whole = await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
