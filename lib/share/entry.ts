/** Looking at a path without following a symbolic link that a guest may have planted. */

/** What is at a path; `link` if any component of it below the root is a symbolic link. */
export type EntryKind = "directory" | "file" | "link" | "other" | "missing";

/**
 * What is at `path` (relative, normal; empty for the root itself) below `root`. Synchronous: an
 * lstat takes 5 µs, a round trip through the event loop ten times that.
 */
export function entryKind(root: string, path: string): EntryKind {
  let kind = kindOf(root);
  let at = root;
  for (const name of path === "" ? [] : path.split("/")) {
    if (kind !== "directory") return kind === "link" ? "link" : "missing";
    at = `${at}/${name}`;
    kind = kindOf(at);
  }
  return kind;
}

function kindOf(path: string): EntryKind {
  let info;
  try {
    info = Deno.lstatSync(path);
  } catch {
    // Not there, not a directory on the way, or not for us to see: nothing that can be guarded.
    return "missing";
  }
  if (info.isSymlink) return "link";
  if (info.isDirectory) return "directory";
  return info.isFile ? "file" : "other";
}

/** The path and all directories above it below the root, shallow first: `a`, `a/b`, `a/b/c`. */
export function withAncestors(path: string): string[] {
  const names = path.split("/");
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}
