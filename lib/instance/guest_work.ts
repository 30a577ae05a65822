/** Work in a guest that outlives the terminal it was begun on: sessions of tmux. */

import type { Hub } from "./hub.ts";

/**
 * Says "held" for as long as a tmux server, of whichever user, has sessions. wait-for returns when
 * the server ends, which it does with its last session, so nothing is polled. (With `exit-empty
 * off` the server stays, and so does the VM.) The sockets are those that someone listens on now; a
 * server that does not answer, suspended say, is taken to have some.
 */
const SCRIPT = `
while grep -q /tmux- /proc/net/unix; do
  socket=$(
    sed -n 's|^[^/]* \\(/.*/tmux-[0-9]*/[^/]*\\)$|\\1|p' /proc/net/unix | sort -u |
      while read -r path; do
        sessions=$(timeout 20 tmux -S "$path" list-sessions 2>/dev/null)
        test $? = 124 || test -n "$sessions" || continue
        printf '%s' "$path"
        break
      done
  )
  test -n "$socket" || exit 0
  echo held
  tmux -S "$socket" wait-for vibe-end >/dev/null 2>&1 || sleep 1
done`;

/** Calls `held` if there is work; resolves when there is none, no more, or no telling. */
export async function waitForGuestWork(hub: Hub, held: () => void): Promise<void> {
  while (hub.accepting) {
    const { greetings } = hub;
    await hub.exec({ argv: ["sh", "-c", SCRIPT], stdin: false }, held);
    // The script was lost with its agent, but tmux goes on: ask the one that was started anew.
    if (hub.greetings === greetings) return;
  }
}
