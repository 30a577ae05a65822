/** Logging in at a console: against a guest that says what real ones say, cut everywhere. */

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { Dialogue } from "../../lib/console/dialogue.ts";
import { type ConsoleMount, ConsoleShell, type LoginTimes } from "../../lib/console/login.ts";

const TIMES: LoginTimes = { boot: 5000, login: 5000, command: 5000, quiet: 200 };
const NONCE = "0a1b2c3d";

/** What a guest says before its first login prompt. */
const BOOT = "\x1b[!p\x1b]104\x07\x1b[?7h\r\n" +
  "Debian GNU/Linux 13 plain hvc0\r\n\r\nplain login: ";
const MOTD = "Linux plain 6.12 #1 SMP\r\nLast login: Sat Nov 21 12:00:00 UTC 2026 on hvc0\r\n";
const PROMPT = "\x1b[?2004h\x1b]0;root@plain: ~\x07\x1b[01;32mroot@plain\x1b[0m:~# ";

/** A guest's console: it echoes what is typed, and answers what it is asked. */
class FakeGuest {
  readonly typed: string[] = [];
  readonly dialogue = new Dialogue((bytes) => this.#hear(new TextDecoder().decode(bytes)));
  /** Bytes per chunk of what it says. */
  readonly size: number;
  /** What it says to a line that begins with this; without an entry it is a shell. */
  readonly answers: Map<string, string>;
  /** Commands that fail, and with what words. */
  readonly failing: [RegExp, string][];

  constructor(size: number, answers: Record<string, string>, failing: [RegExp, string][] = []) {
    this.size = size;
    this.answers = new Map(Object.entries(answers));
    this.failing = failing;
  }

  say(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += this.size) {
      this.dialogue.hear(bytes.subarray(at, at + this.size));
    }
  }

  async #hear(text: string): Promise<void> {
    for (const line of text.split("\r").filter(Boolean)) {
      this.typed.push(line);
      const answer = this.answers.get(line.trim());
      await new Promise((done) => setTimeout(done, 0));
      this.say(`${line}\r\n\x1b[?2004l\r` + (answer ?? this.#shell(line)));
    }
  }

  #shell(line: string): string {
    const failure = this.failing.find(([pattern]) => pattern.test(line))?.[1];
    const echoes = [...line.matchAll(/echo vibe''-(\S+)/g)].map((found) => found[1]);
    const [first, second] = echoes;
    const said = echoes.length === 0 ? "" : `vibe-${failure && second ? second : first}\r\n`;
    return (failure ? `${failure}\r\n` : "") + said + PROMPT;
  }
}

/** Recorded from Debian 13 with systemd 257: it looks for the terminal's size, three times over. */
const RECORDED_BOOT =
  "\x1b[!p\x1b]104\x07\x1b[?7h\x1b[!p\x1b]104\x07\x1b[?7h\x1b[6n\x1b[32766;32766H\x1b[6n\x1b[!p\x1b]104\x07\x1b[?7h\x1b[6n\x1b[32766;32766H\x1b[6n\r\r\n" +
  "Debian GNU/Linux 13 plain hvc0\r\n" +
  "\r\n" +
  "plain login: ";
const RECORDED_LOGIN =
  "Linux plain 6.12.117+deb13-cloud-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-11-12) x86_64\r\n" +
  "\r\n" +
  "The programs included with the Debian GNU/Linux system are free software;\r\n" +
  "the exact distribution terms for each program are described in the\r\n" +
  "individual files in /usr/share/doc/*/copyright.\r\n" +
  "\r\n" +
  "Debian GNU/Linux comes with ABSOLUTELY NO WARRANTY, to the extent\r\n" +
  "permitted by applicable law.\r\n";
/** In a terminal in canonical mode the line is echoed, then once more by bash as it reads it. */
const RECORDED_PROMPT = "\x1b[?2004hroot@plain:~# ";

const LOGIN = { root: MOTD + PROMPT };

for (const size of [1, 2, 3, 7, 16, 4096]) {
  Deno.test(`root logs in, mounts and listens; ${size} bytes a chunk`, async () => {
    const guest = new FakeGuest(size, LOGIN);
    const login = ConsoleShell.logIn(guest.dialogue, NONCE, TIMES);
    guest.say(BOOT);
    const shell = await login;
    await shell.mount([
      { name: "project", guestPath: "/root/it's here", readOnly: false },
      { name: "mount-0", guestPath: "/data", readOnly: true },
      { name: "home-m2", guestPath: "/root/.m2", readOnly: true, copy: true },
    ]);
    strictEqual(await shell.listen(), true);
    await shell.start({ rows: 30, columns: 100 }, "xterm", "/root/it's here");
    strictEqual(guest.typed[0], "root");
    ok(guest.typed.slice(1).every((line) => line.startsWith(" ")), "nothing for the history");
    const mounts = guest.typed.filter((line) => / mount .*bind/.test(line));
    match(mounts[0], /mount --rbind '\/run\/vibe\/shared\/project' '\/root\/it'\\''s here'/);
    ok(!mounts[0].includes("bind,ro"));
    match(
      mounts[2],
      /mount -t overlay -o lowerdir=\S+\/home-m2,upperdir=\S+ overlay '\/root\/.m2'/,
    );
    match(mounts[1], /mount -o remount,bind,ro '\/data'/);
    match(guest.typed.at(-1)!, /cd -- '\/root\/it'\\''s here'.*stty sane rows 30 cols 100/);
  });
}

Deno.test("a prompt that nobody knows: the shell is asked until it answers", async () => {
  const guest = new FakeGuest(5, { root: "\r\nplain ~ > " });
  const login = ConsoleShell.logIn(guest.dialogue, NONCE, TIMES);
  guest.say(BOOT);
  await login;
  ok(guest.typed.includes(` echo vibe''-${NONCE}-1`));
});

Deno.test("a getty that starts anew is answered anew", async () => {
  const guest = new FakeGuest(4, { root: "\r\nplain login: " });
  const login = ConsoleShell.logIn(guest.dialogue, NONCE, TIMES);
  guest.say(BOOT);
  while (guest.typed.length < 2) await new Promise((done) => setTimeout(done, 1));
  guest.answers.set("root", MOTD + PROMPT);
  await login;
  deepStrictEqual(guest.typed.slice(0, 2), ["root", "root"]);
});

Deno.test("a root with a password is told from a guest that is slow", async () => {
  for (const answer of ["Password: ", "\r\nLogin incorrect\r\nplain login: "]) {
    const guest = new FakeGuest(3, { root: answer });
    const login = ConsoleShell.logIn(guest.dialogue, NONCE, TIMES);
    guest.say(BOOT);
    await rejects(login, { code: "CONSOLE_PASSWORD", hint: /passwd -d root/ });
  }
});

Deno.test("every wait ends, and says what was waited for and what was seen", async () => {
  const times = { boot: 50, login: 50, command: 50, quiet: 10 };
  const silent = new FakeGuest(1, {});
  await rejects(ConsoleShell.logIn(silent.dialogue, NONCE, times), {
    code: "CONSOLE_NO_LOGIN",
    message: "Waited 0.05 seconds for a login prompt on the guest's console in vain",
    hint: /Nothing at all was seen\.$/,
  });
  const mute = new FakeGuest(1, { root: "", [`echo vibe''-${NONCE}-1`]: "" });
  const login = ConsoleShell.logIn(mute.dialogue, NONCE, times);
  mute.say(BOOT + "\x1b[2J");
  await rejects(login, { code: "CONSOLE_NO_SHELL", hint: /Debian GNU\/Linux 13 plain hvc0\n/ });
  const gone = new FakeGuest(1, {});
  const broken = ConsoleShell.logIn(gone.dialogue, NONCE, TIMES);
  gone.dialogue.end(new Error("the VM ended"));
  await rejects(broken, /the VM ended/);
});

Deno.test("a mount that fails says why, one that cannot be typed is refused", async () => {
  const why = "mount: /data: unknown filesystem type 'virtiofs'.";
  const guest = new FakeGuest(9, LOGIN, [[/mount -t virtiofs/, why], [/rbind/, "mount: no"]]);
  const login = ConsoleShell.logIn(guest.dialogue, NONCE, TIMES);
  guest.say(BOOT);
  const shell = await login;
  const mount = (guestPath: string): ConsoleMount[] => [{ name: "a", guestPath, readOnly: false }];
  await rejects(shell.mount(mount("/data")), { code: "MOUNT_FAILED", hint: /unknown filesystem/ });
  guest.failing.shift();
  await rejects(shell.mount(mount("/data")), { message: /Cannot mount "\/data" in the guest/ });
  const typed = guest.typed.length;
  await rejects(shell.mount(mount("/a\tb")), { code: "CONSOLE_MOUNT" });
  await rejects(shell.mount(mount(`/${"x".repeat(4000)}`)), { code: "CONSOLE_MOUNT" });
  ok(guest.typed.slice(typed).every((line) => !line.includes("rbind")));
});

Deno.test("a recorded login, cut at every byte", async () => {
  for (let cut = 0; cut <= RECORDED_BOOT.length; cut++) {
    const guest = new FakeGuest(cut % 5 + 1, { root: RECORDED_LOGIN + RECORDED_PROMPT });
    const login = ConsoleShell.logIn(guest.dialogue, NONCE, TIMES);
    guest.dialogue.hear(new TextEncoder().encode(RECORDED_BOOT.slice(0, cut)));
    guest.dialogue.hear(new TextEncoder().encode(RECORDED_BOOT.slice(cut)));
    await login;
    deepStrictEqual(guest.typed.slice(0, 2), ["root", ` echo vibe''-${NONCE}-1`]);
  }
});
