/** What mmdebstrap, apt and dpkg say while an image is built, made short. Pure. */

/** What programs say, and what apt says when it looks first. */
const NO_SPACE = /No space left on device|Disk quota exceeded|You don't have enough free space in/;

/** What apt says of lists that were signed later than now, or too long ago. */
const OTHER_TIME =
  /Release file for (\S+) is (?:not valid yet|expired) |GPG error: (\S+) .*EXPKEYSIG /;

/** Reads the output line by line; remembers what an error message should know. */
export class BuildOutput {
  /** A write failed for lack of space. */
  noSpace = false;
  /** A host or address that could not be reached, or what could not be downloaded. */
  unreachable: string | null = null;
  /** Package lists that are from another time than this host's clock says it is. */
  otherTime: string | null = null;
  #total = 0;
  #downloaded = 0;
  #unpacked = 0;
  #configured = 0;

  /** Takes a line; returns what to show, or null if it changes nothing. */
  line(line: string): string | null {
    if (NO_SPACE.test(line)) this.noSpace = true;
    this.unreachable ??= unreachableIn(line);
    const other = line.match(OTHER_TIME);
    this.otherTime ??= other?.[1] ?? other?.[2] ?? null;
    const installed = line.match(/^\d+ upgraded, (\d+) newly installed/);
    if (installed) {
      this.#total += Number(installed[1]);
      return null;
    }
    if (/^Get:\d+ .* \[[\d.,]+ k?M?B\]$/.test(line)) {
      return /InRelease|Packages/.test(line)
        ? "reading package lists"
        : this.#count("downloading", ++this.#downloaded);
    }
    if (line.startsWith("Unpacking ")) return this.#count("unpacking", ++this.#unpacked);
    if (line.startsWith("Setting up ")) return this.#count("setting up", ++this.#configured);
    if (line === "vibe: disk") return "writing the disk";
    return null;
  }

  #count(doing: string, count: number): string {
    // apt does not know of the package that the hook makes.
    return `${doing} ${Math.min(count, this.#total)} of ${this.#total}`;
  }
}

function unreachableIn(line: string): string | null {
  const match = line.match(/Could not resolve '([^']+)'/) ??
    line.match(/Temporary failure resolving '([^']+)'/) ??
    line.match(/(?:Could not|Cannot initiate the|Unable to) connect(?:ion)? to (\S+)/) ??
    line.match(/Failed to fetch (\S+)/);
  return match?.[1] ?? null;
}
