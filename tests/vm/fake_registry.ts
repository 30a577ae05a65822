/** A registry of npm packages, as far as `npm install` asks. */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

/** Serves packages with one program each until it is disposed of. Any other is not found. */
export class FakeRegistry implements AsyncDisposable {
  readonly url: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** @param packages name -> program -> JavaScript. */
  constructor(packages: Record<string, Record<string, string>>) {
    const handler = (request: Request) => {
      const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
      const [name, tarball] = path.split("/-/");
      const programs = packages[name];
      if (!programs) return new Response("{}", { status: 404 });
      const content = pack(name, programs);
      if (tarball) return new Response(content);
      return Response.json(this.#describe(name, programs, content));
    };
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, handler);
    this.url = `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** The guest knows this host by another address. */
  #describe(name: string, programs: Record<string, string>, content: Uint8Array) {
    const manifest = manifestOf(name, programs);
    const tarball = `http://10.0.2.2:${this.#server.addr.port}/${name}/-/package.tgz`;
    const integrity = `sha512-${createHash("sha512").update(content).digest("base64")}`;
    return {
      name,
      "dist-tags": { latest: manifest.version },
      versions: { [manifest.version]: { ...manifest, dist: { tarball, integrity } } },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

function manifestOf(name: string, programs: Record<string, string>) {
  const bin = Object.fromEntries(
    Object.keys(programs).map((program) => [program, `${program}.js`]),
  );
  return { name, version: "1.0.0", bin };
}

/** A tar archive of a package, compressed. */
function pack(name: string, programs: Record<string, string>): Uint8Array<ArrayBuffer> {
  const files: [string, string][] = [
    ["package/package.json", JSON.stringify(manifestOf(name, programs))],
    ...Object.entries(programs).map(([program, script]): [string, string] => [
      `package/${program}.js`,
      `#!/usr/bin/env node\n${script}\n`,
    ]),
  ];
  const blocks = files.flatMap(([path, text]) => tarEntry(path, new TextEncoder().encode(text)));
  const archive = new Uint8Array(blocks.reduce((sum, { length }) => sum + length, 0) + 1024);
  let at = 0;
  for (const block of blocks) {
    archive.set(block, at);
    at += block.length;
  }
  return new Uint8Array(gzipSync(archive));
}

/** A header of POSIX's ustar format and the content, in blocks of 512 bytes. */
function tarEntry(path: string, content: Uint8Array): Uint8Array[] {
  const header = new Uint8Array(512);
  const put = (at: number, text: string) => header.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  put(0, path);
  put(100, "0000755\0" + "0000000\0" + "0000000\0");
  put(124, `${octal(content.length, 11)}\0${octal(0, 11)}\0`);
  put(148, "        0");
  put(257, "ustar\x0000");
  put(148, `${octal(header.reduce((sum, byte) => sum + byte, 0), 6)}\0 `);
  const padded = new Uint8Array(Math.ceil(content.length / 512) * 512);
  padded.set(content);
  return [header, padded];
}
