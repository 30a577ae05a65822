/** Linux signals by number, as they are on x86_64 and arm64. */

const NAMES = [
  ...["HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV"],
  ...["USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU"],
  ...["URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS"],
];

/** `SIGTERM` for 15; `SIG40` for a real-time signal. */
export function signalName(number: number): string {
  return `SIG${NAMES[number - 1] ?? number}`;
}

/** 15 for `SIGTERM`; null for a name that is none. */
export function signalNumber(name: string): number | null {
  const index = NAMES.indexOf(name.replace(/^SIG/, ""));
  return index < 0 ? null : index + 1;
}
