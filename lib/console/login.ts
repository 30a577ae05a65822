/**
 * Logging in to a guest that has no agent, at its system console: a getty is waited for, root logs in,
 * and what the agent would do is typed into the shell. That shell stays, unseen: the user's own is
 * started from it, between two marks that {@link MarkScanner} finds.
 */

import type { WindowSize } from "../agent/messages.ts";
import { AGENT_PORT, SHARED_TAG } from "../driver/driver.ts";
import { printable, VibeError } from "../errors.ts";
import type { Dialogue } from "./dialogue.ts";
import { markFormat } from "./marks.ts";

/** Milliseconds that each wait may take. */
export interface LoginTimes {
  /** From the start to the login prompt. */
  boot: number;
  /** From there to a shell that answers. */
  login: number;
  /** One command that mounts something or the like. */
  command: number;
  /** Without anything that is known: then the shell is asked whether it is there. */
  quiet: number;
}

/** Generous: an emulated guest on a busy machine takes a minute to its login prompt. */
const TIMES: LoginTimes = { boot: 300_000, login: 120_000, command: 60_000, quiet: 5_000 };

/** Where the shares' device is mounted, as the agent does. */
const SHARED = "/run/vibe/shared";
/** Where the guest's changes to copies are kept, as by the agent. */
const CHANGES = "/var/lib/vibe/changes";

/** The longest line that a terminal in canonical mode takes, without its end. */
const MAX_LINE = 4095;

/** A share as the guest sees it. */
export interface ConsoleMount {
  name: string;
  guestPath: string;
  readOnly: boolean;
  /** The guest changes a copy; the share itself stays as it is. */
  copy?: boolean;
}

/** Root's shell at the console. */
export class ConsoleShell {
  readonly #dialogue: Dialogue;
  readonly #times: LoginTimes;
  /** Tells what we typed from what others print. */
  readonly #nonce: string;
  #count = 0;

  private constructor(dialogue: Dialogue, nonce: string, times: LoginTimes) {
    this.#dialogue = dialogue;
    this.#nonce = nonce;
    this.#times = times;
  }

  /**
   * Waits for the login prompt and logs in as root.
   *
   * @param nonce of this VM; letters and digits.
   * @throws {VibeError} `CONSOLE_NO_LOGIN`, `CONSOLE_PASSWORD`, `CONSOLE_NO_SHELL`.
   */
  static async logIn(
    dialogue: Dialogue,
    nonce: string,
    times: LoginTimes = TIMES,
  ): Promise<ConsoleShell> {
    await dialogue.expect(["login: "], times.boot, {
      code: "CONSOLE_NO_LOGIN",
      what: "a login prompt on the guest's console",
      hint: "The disk must start a getty on hvc0, as Debian's nocloud images do.",
    });
    const shell = new ConsoleShell(dialogue, nonce, times);
    await shell.#logIn();
    // Quiet, and without a prompt: only the user's own shell is seen. Its history is its own, too.
    await shell.#run("unset HISTFILE; export TERM=xterm-256color; PS1= PS2=; stty sane -echo");
    return shell;
  }

  /** What the prompt looks like is the guest's choice, so the shell is asked to echo something. */
  async #logIn(): Promise<void> {
    const [question, answer] = this.#question();
    const texts = [answer, "Last login: ", "login: ", "assword: ", "Login incorrect", "# ", "$ "];
    const deadline = Date.now() + this.#times.login;
    let asked = false;
    await this.#dialogue.send("root");
    let search = this.#dialogue.find(texts);
    for (;;) {
      const index = await this.#dialogue.within(search, this.#times.quiet);
      if (index !== null) search = this.#dialogue.find(texts);
      switch (index === null ? null : texts[index]) {
        case answer:
          return;
        case "Last login: ":
          break;
        case "login: ":
          // The getty was started anew, and has thrown away what was typed.
          await this.#dialogue.send("root");
          asked = false;
          break;
        case "assword: ":
        case "Login incorrect":
          throw new VibeError(
            "CONSOLE_PASSWORD",
            "Cannot log in to the guest: root has a password",
            {
              hint: "A disk without vibe's agent must let root in without one (passwd -d root).",
            },
          );
        default:
          if (asked && index !== null) break;
          await this.#dialogue.send(` ${question}`);
          asked = true;
      }
      if (Date.now() > deadline) {
        throw this.#dialogue.late(this.#times.login, {
          code: "CONSOLE_NO_SHELL",
          what: "a shell on the guest's console",
        });
      }
    }
  }

  /** Mounts the shares. @throws {VibeError} `MOUNT_FAILED`, `CONSOLE_MOUNT`. */
  async mount(mounts: ConsoleMount[]): Promise<void> {
    if (mounts.length === 0) return;
    await this.#check(
      `(umask 077; mkdir -p ${SHARED}) && { mountpoint -q ${SHARED} || ` +
        `mount -t virtiofs ${SHARED_TAG} ${SHARED}; }`,
      () => "Cannot mount the shares in the guest: its kernel must know virtiofs",
    );
    for (const mount of mounts) {
      const message = `Cannot mount "${printable(mount.guestPath)}" in the guest`;
      await this.#check(mountCommand(mount), () => message);
    }
  }

  /**
   * Listens, in the background, at the port that an agent would have: for the window's size, which a
   * console cannot be told otherwise, and for the word to power off. See {@link encodeSize}. Resolves
   * to false if the guest has no such port.
   */
  async listen(): Promise<boolean> {
    const find = "vibe_port=; for vibe_dir in /sys/class/virtio-ports/*; do " +
      '[ -f "$vibe_dir/name" ] && read -r vibe_name <' +
      `"$vibe_dir/name" && [ "$vibe_name" = ${AGENT_PORT} ] && vibe_port=/dev/` +
      '"${vibe_dir##*/}"; done; vibe_tty=$(tty)';
    const loop =
      "(trap '' HUP INT QUIT TSTP TTOU; while read -r verb rows cols; do case $verb in " +
      'size) stty -F "$vibe_tty" rows "$rows" cols "$cols";; ' +
      'off) systemctl poweroff || poweroff;; esac; done <"$vibe_port" >/dev/null 2>&1 &)';
    return await this.#run(`${find}; [ -c "$vibe_port" ] && ${loop}`);
  }

  /** Starts the user's shell. What it prints comes between the marks. */
  async start(size: WindowSize, term: string, workdir: string | null): Promise<void> {
    const { rows, columns } = size;
    await this.#dialogue.send(
      ` ${workdir === null ? "cd" : `cd -- ${quote(workdir)}`}; TERM=${quote(term)}; ` +
        `stty sane rows ${rows} cols ${columns}; printf '${markFormat(this.#nonce, "start")}'; ` +
        `"\${SHELL:-/bin/sh}"; printf '${markFormat(this.#nonce, "end")}' $?; stty sane -echo`,
    );
  }

  /** Runs a command and waits for its end; resolves to whether it succeeded. */
  async #run(command: string): Promise<boolean> {
    const [question, answer] = this.#question();
    const failed = `${answer}-failed`;
    await this.#dialogue.send(` ${command} && ${question}-ok || ${question}-failed`);
    return await this.#dialogue.expect([`${answer}-ok`, failed], this.#times.command, {
      code: "CONSOLE_SILENT",
      what: "the shell on the guest's console",
    }) === 0;
  }

  async #check(command: string, message: () => string): Promise<void> {
    if (new TextEncoder().encode(command).length > MAX_LINE - 200) {
      throw new VibeError("CONSOLE_MOUNT", `${message()}: its path is too long to be typed`);
    }
    if (await this.#run(command)) return;
    throw new VibeError("MOUNT_FAILED", message(), { hint: this.#dialogue.lastSeen() });
  }

  /** A command that prints the answer; as it is typed, and so echoed, it is not the answer. */
  #question(): [command: string, answer: string] {
    const id = `${this.#nonce}-${++this.#count}`;
    return [`echo vibe''-${id}`, `vibe-${id}`];
  }
}

/** A line for {@link ConsoleShell.listen}. */
export function encodeSize({ rows, columns }: WindowSize): Uint8Array {
  return new TextEncoder().encode(`size ${rows} ${columns}\n`);
}

/** The line that powers the guest off, for {@link ConsoleShell.listen}. */
export const POWER_OFF = new TextEncoder().encode("off\n");

/** Host and guest both enforce read-only; the guest's makes its errors plain. */
function mountCommand({ name, guestPath, readOnly, copy }: ConsoleMount): string {
  if (/[\x00-\x1f\x7f]/.test(guestPath)) {
    throw new VibeError(
      "CONSOLE_MOUNT",
      `Cannot mount "${printable(guestPath)}": its name cannot be typed at a console`,
    );
  }
  const [source, target] = [quote(`${SHARED}/${name}`), quote(guestPath)];
  const point = `if [ -d ${source} ]; then mkdir -p ${target}; else ` +
    `mkdir -p "$(dirname ${target})" && { [ -e ${target} ] || : >${target}; }; fi`;
  const bind = `mount --rbind ${source} ${target}`;
  if (copy) {
    const changes = `${CHANGES}/${name}`;
    const layers = `lowerdir=${SHARED}/${name},upperdir=${changes}/files,workdir=${changes}/work`;
    // A kernel without overlays shows the share, which the host does not let it change.
    return `${point} && mkdir -p ${changes}/files ${changes}/work && ` +
      `{ mount -t overlay -o ${layers} overlay ${target} || ${bind}; }`;
  }
  const lock = readOnly ? ` && mount -o remount,bind,ro ${target}` : "";
  return `${point} && ${bind}${lock}`;
}

/** One word of a shell command. Single quotes: an interactive shell expands `!` in double ones. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
