/** A web server for one file that misbehaves as told: raw TCP, so that it can lie about anything. */

/** A request, as far as tests want to know. */
export interface SeenRequest {
  path: string;
  range: string | null;
  ifRange: string | null;
}

/** Answers one request in its own way. The connection is closed afterwards. */
export type Answer = (request: SeenRequest, connection: Deno.TcpConn) => Promise<void>;

/** Serves `content` with Range and ETag, except where {@link FileServer.answers} say otherwise. */
export class FileServer implements AsyncDisposable {
  content: Uint8Array;
  etag: string | null = '"1"';
  /** For the next requests, in order. */
  readonly answers: Answer[] = [];
  /** All requests so far. */
  readonly requests: SeenRequest[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }) as Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #serving: Promise<void>;

  constructor(content: Uint8Array) {
    this.content = content;
    this.#serving = this.#serve();
  }

  /** The address of a file; all names have the same content. */
  url(name = "disk.tar.xz"): string {
    return `http://127.0.0.1:${this.#listener.addr.port}/${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) close(connection);
    await this.#serving;
  }

  async #serve(): Promise<void> {
    const all: Promise<void>[] = [];
    for await (const connection of this.#listener) all.push(this.#handle(connection));
    await Promise.all(all);
  }

  async #handle(connection: Deno.TcpConn): Promise<void> {
    this.#connections.add(connection);
    try {
      const request = await readRequest(connection);
      this.requests.push(request);
      await (this.answers.shift() ?? this.whole())(request, connection);
    } catch {
      // The client has gone, as it may.
    } finally {
      this.#connections.delete(connection);
      close(connection);
    }
  }

  /** As it should be. */
  whole(): Answer {
    return (request, connection) => this.#send(request, connection, this.content.length);
  }

  /** Closes the connection after some bytes of the file. */
  breakAfter(bytes: number): Answer {
    return (request, connection) => this.#send(request, connection, bytes);
  }

  /** Says nothing more after some bytes of the file. */
  stallAfter(bytes: number): Answer {
    return async (request, connection) => {
      await this.#send(request, connection, bytes);
      await connection.read(new Uint8Array(1));
    };
  }

  /** Takes its time: pieces of 64 KiB. `sent` hears how much of the file the client has by now. */
  slow(pauseMs: number, sent: (bytes: number) => void = () => {}): Answer {
    return async (request, connection) => {
      await this.#send(request, connection, 0);
      const piece = 1 << 16;
      for (let at = this.#start(request); at < this.content.length; at += piece) {
        await send(connection, this.content.subarray(at, at + piece));
        sent(at + piece);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    };
  }

  /** Gives the whole file whatever part was asked for, or as much as `bytes` of it. */
  ignoreRange(bytes = Infinity): Answer {
    return (request, connection) => this.#send({ ...request, range: null }, connection, bytes);
  }

  /** Sends `head` and `body` as they are. */
  raw(head: string, body: Uint8Array | string = ""): Answer {
    return async (_request, connection) => {
      await send(connection, `HTTP/1.1 ${head}\r\nConnection: close\r\n\r\n`);
      await send(connection, body);
    };
  }

  /** The first byte of the answer. */
  #start({ range, ifRange }: SeenRequest): number {
    const asked = Number(range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
    return ifRange === null || ifRange === this.etag ? asked : 0;
  }

  async #send(request: SeenRequest, connection: Deno.TcpConn, bytes: number) {
    const { content, etag } = this;
    const from = this.#start(request);
    const lines = [`Content-Length: ${content.length - from}`, "Connection: close"];
    if (etag) lines.push(`ETag: ${etag}`);
    if (from > content.length) {
      return await this.raw("416 Range Not Satisfiable")(request, connection);
    }
    if (from > 0) {
      lines.push(`Content-Range: bytes ${from}-${content.length - 1}/${content.length}`);
    }
    const status = from > 0 ? "206 Partial Content" : "200 OK";
    await send(connection, `HTTP/1.1 ${status}\r\n${lines.join("\r\n")}\r\n\r\n`);
    await send(connection, content.subarray(from, from + bytes));
  }
}

async function readRequest(connection: Deno.TcpConn): Promise<SeenRequest> {
  let text = "";
  const buffer = new Uint8Array(4096);
  while (!text.includes("\r\n\r\n")) {
    const count = await connection.read(buffer);
    if (count === null) throw new Error("no request");
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  const header = (name: string) => text.match(new RegExp(`^${name}: *(.*)\r$`, "im"))?.[1] ?? null;
  return { path: text.split(" ")[1], range: header("range"), ifRange: header("if-range") };
}

async function send(connection: Deno.TcpConn, content: Uint8Array | string): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // It is closed.
  }
}
