/**
 * inotify(7), the kernel's news of directories, straight from libc.
 *
 * Deno.watchFs is no substitute where a guest can write: it opens every file that an event names,
 * so a FIFO made in the guest blocks it, and the process that closes it, for ever. It also drops
 * events that are not read at once (of 4000 in half a second, one came).
 */

import { VibeError } from "../lib/errors.ts";

const SYMBOLS = {
  /** int inotify_init1(int flags) */
  inotify_init1: { parameters: ["i32"], result: "i32" },
  /** int inotify_add_watch(int fd, const char *pathname, uint32_t mask) */
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** int eventfd(unsigned int initval, int flags) */
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  /** int poll(struct pollfd *fds, nfds_t nfds, int timeout) */
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32", nonblocking: true },
  /** ssize_t read(int fd, void *buf, size_t count) */
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  /** ssize_t write(int fd, const void *buf, size_t count) */
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  /** int close(int fd) */
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

// <sys/inotify.h>, <sys/eventfd.h> and <poll.h>; the same on every architecture we run on.
const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;
const IN_MODIFY = 0x2;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVE_SELF = 0x800;
const IN_ONLYDIR = 0x01000000;
const IN_DONT_FOLLOW = 0x02000000;
const POLLIN = 1;

/** Entries that come, go or change their name, and the directory itself doing so. */
const MASK = IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
  IN_ONLYDIR | IN_DONT_FOLLOW;

/** Bytes read at once: some hundred events. */
const BUFFER_SIZE = 16 << 10;
/** struct inotify_event without its name: int wd; uint32_t mask, cookie, len. */
const EVENT_SIZE = 16;

/** An entry of a watched directory that came, went or changed its name. */
export interface DirectoryEvent {
  /** The directory; null if the kernel had more to tell than it could keep. */
  directory: string | null;
  /** The entry's name; empty for the directory itself. */
  name: string;
}

let libc: Deno.DynamicLibrary<typeof SYMBOLS> | null = null;

/** One inotify instance. Linux only. */
export class Inotify implements Disposable {
  readonly #lib = libc ??= Deno.dlopen("libc.so.6", SYMBOLS);
  readonly #directories = new Map<number, string>();
  readonly #fd: number;
  readonly #wakeup: number;
  #waiting: Promise<unknown> | null = null;
  #closed = false;

  /** @throws {VibeError} `SHARE_WATCH` if the user has too many of them. */
  constructor() {
    this.#fd = this.#lib.symbols.inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (this.#fd < 0) throw refused("fs.inotify.max_user_instances");
    this.#wakeup = this.#lib.symbols.eventfd(0, IN_NONBLOCK | IN_CLOEXEC);
  }

  /**
   * Watches a directory from now on; does nothing if there is none. With `writes`, also for what is
   * written to the files in it.
   *
   * @throws {VibeError} `SHARE_WATCH` if the user watches too many.
   */
  add(directory: string, { writes = false } = {}): void {
    const path = new TextEncoder().encode(`${directory}\0`);
    const mask = writes ? MASK | IN_MODIFY : MASK;
    const id = this.#lib.symbols.inotify_add_watch(this.#fd, path, mask);
    if (id >= 0) this.#directories.set(id, directory);
    else if (isDirectory(directory)) throw refused("fs.inotify.max_user_watches");
  }

  /** Waits for events; resolves to null once this is disposed of. */
  async next(): Promise<DirectoryEvent[] | null> {
    while (!this.#closed) {
      const events = this.#read();
      if (events.length > 0) return events;
      // struct pollfd: int fd; short events, revents.
      const fds = new DataView(new ArrayBuffer(16));
      [this.#fd, this.#wakeup].forEach((fd, index) => {
        fds.setInt32(index * 8, fd, true);
        fds.setInt16(index * 8 + 4, POLLIN, true);
      });
      this.#waiting = this.#lib.symbols.poll(new Uint8Array(fds.buffer), 2n, -1);
      await this.#waiting;
      this.#waiting = null;
    }
    return null;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#lib.symbols.write(this.#wakeup, new BigUint64Array([1n]), 8n);
    // Not before poll has let go of them: their numbers may be given out again.
    Promise.resolve(this.#waiting).then(() => {
      for (const fd of [this.#fd, this.#wakeup]) this.#lib.symbols.close(fd);
    });
  }

  #read(): DirectoryEvent[] {
    const buffer = new Uint8Array(BUFFER_SIZE);
    const size = Number(this.#lib.symbols.read(this.#fd, buffer, BigInt(BUFFER_SIZE)));
    const view = new DataView(buffer.buffer);
    const events: DirectoryEvent[] = [];
    for (let at = 0; at < size;) {
      const length = view.getUint32(at + 12, true);
      const name = buffer.subarray(at + EVENT_SIZE, at + EVENT_SIZE + length);
      const end = name.indexOf(0);
      events.push({
        directory: this.#directories.get(view.getInt32(at, true)) ?? null,
        name: new TextDecoder().decode(end < 0 ? name : name.subarray(0, end)),
      });
      at += EVENT_SIZE + length;
    }
    return events;
  }
}

function refused(setting: string): VibeError {
  return new VibeError("SHARE_WATCH", "Cannot watch the shared directories: too many watches", {
    hint: `Other programs use what the kernel grants. More: sudo sysctl -w ${setting}=1000000`,
  });
}

function isDirectory(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch {
    return false;
  }
}
