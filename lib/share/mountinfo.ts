/** `/proc/<pid>/mountinfo`: what the kernel says is mounted where (proc_pid_mountinfo(5)). Pure. */

/** One mount. */
export interface Mount {
  id: number;
  /** The mount that this one was made on. */
  parent: number;
  /** `major:minor` of the file system. */
  device: string;
  /** Which part of that file system is mounted: a path in it. */
  root: string;
  /** Where it is mounted: an absolute path. */
  point: string;
  /** `ro`, `nosuid`, `relatime`, …: of this mount, not of the file system below it. */
  flags: string[];
}

/** Parses a whole mountinfo file. */
export function parseMountinfo(text: string): Mount[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const [id, parent, device, root, point, flags] = line.split(" ");
    return {
      id: Number(id),
      parent: Number(parent),
      device,
      root: decode(root),
      point: decode(point),
      flags: flags.split(","),
    };
  });
}

/** True if `path` is `dir` or below it; both absolute and normal. */
export function isWithin(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir === "/" ? dir : `${dir}/`);
}

/** The mount that an absolute, link-free path leads to, found as the kernel walks to it. */
export function mountOf(mounts: Mount[], path: string): Mount | undefined {
  const ids = new Set(mounts.map((mount) => mount.id));
  let at = mounts.find((mount) => mount.point === "/" && !ids.has(mount.parent));
  while (at) {
    const on = mounts.filter((mount) =>
      mount.parent === at!.id && mount !== at && isWithin(path, mount.point)
    );
    if (on.length === 0) return at;
    // The first mount point on the way down; one on the same point as `at` lies on top of it.
    at = on.reduce((a, b) => b.point.length < a.point.length ? b : a);
  }
  return at;
}

/** The mounts strictly below `path` that a walk from the root comes to. */
export function mountsBelow(mounts: Mount[], path: string): Mount[] {
  return mounts.filter((mount) =>
    mount.point !== path && isWithin(mount.point, path) &&
    mountOf(mounts, mount.point) === mount
  );
}

/** Which file systems a path and all below it lead to, as a text to compare. */
export function reachedFrom(mounts: Mount[], path: string): string {
  const at = mountOf(mounts, path);
  const own = at ? `${at.device} ${pathInMount(at, path)}` : "";
  const below = mountsBelow(mounts, path).map(({ device, root, point }) =>
    `${device} ${root} ${point}`
  );
  return [own, ...below.sort()].join("\n");
}

/** Where an absolute path that leads to `mount` is within its file system. */
export function pathInMount(mount: Mount, path: string): string {
  const rest = mount.point === "/" ? path : path.slice(mount.point.length);
  if (rest === "" || rest === "/") return mount.root;
  return mount.root === "/" ? rest : mount.root + rest;
}

/** The kernel writes space, tab, newline, backslash and # as `\ooo`. */
function decode(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}
