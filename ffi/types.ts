/** The JSON that goes through the bridge; `dylib-src/vibe_vz.h` describes the same. */

/** What a Mac can do. */
export interface VzHost {
  supported: boolean;
  architecture: "arm64" | "x86_64";
  cpus: { min: number; max: number };
  /** Bytes. */
  memory: { min: number; max: number };
  /** Apple silicon with macOS 14 or later. */
  saveRestore: boolean;
  /** An M3 or later with macOS 15 or later. */
  nested: boolean;
  rosetta: "installed" | "not installed" | "not supported";
  /** BSD names of the interfaces that a guest can be bridged to. */
  bridges: string[];
}

/** A block device. */
export interface VzDisk {
  /** A raw image, a multiple of 512 bytes long. */
  path: string;
  readOnly?: boolean;
  /** The serial number that the guest sees, at most 20 ASCII characters. */
  identifier?: string;
  caching?: "automatic" | "cached" | "uncached";
  synchronization?: "full" | "fsync" | "none";
}

/** Directories of the host, each by a name below one tag. */
export interface VzDirectories {
  tag: string;
  directories: { name: string; path: string; readOnly?: boolean }[];
}

/** A virtio-fs device: some directories, or Rosetta. */
export type VzShare = VzDirectories | { tag: string; rosetta: true };

/** A port of the virtio console device, in the order the guest numbers them. */
export interface VzPort {
  /** A Unix socket that somebody listens on; the bridge connects to it. */
  socket: string;
  /** The name of a port that is no console, as in /dev/virtio-ports. */
  name?: string;
  /** Makes it a system console, /dev/hvc0 for the first. */
  console?: boolean;
}

/** A machine. Everything absent is left out of it. */
export interface VzConfig {
  cpus: number;
  /** Bytes, a multiple of 1 MiB. */
  memory: number;
  boot:
    | { kernel: string; initrd?: string; commandLine?: string }
    | { variableStore: string; create?: boolean };
  /** Base64 of what an earlier {@link VzIdentity} had; a new one is made otherwise. */
  machineIdentifier?: string;
  nested?: boolean;
  disks?: VzDisk[];
  shares?: VzShare[];
  ports?: VzPort[];
  network?: { mode: "nat" | "bridged"; interface?: string; mac?: string };
  vsock?: boolean;
}

/** What makes a machine the same machine the next time it is created. */
export interface VzIdentity {
  machineIdentifier: string;
  /** Absent without a network. */
  mac?: string;
}

/** An error as it comes out of the bridge. */
export interface VzErrorFields {
  /** "vibe" for what the bridge itself refuses, else the framework's, such as "VZErrorDomain". */
  domain: string;
  code: number;
  message: string;
  reason?: string;
  /** The setting that was refused, such as "disks[0].path". */
  setting?: string;
}

/** Something that happened to a machine. */
export type VzEvent =
  | { type: "done"; token: number; error?: VzErrorFields }
  | { type: "stopped"; error?: VzErrorFields }
  | { type: "network"; error: VzErrorFields };

/** The framework, or the bridge, refuses. */
export class VzError extends Error {
  override readonly name = "VzError";
  readonly domain: string;
  readonly code: number;
  readonly setting?: string;

  constructor(fields: VzErrorFields) {
    const { message, reason } = fields;
    super(reason && !message.includes(reason) ? `${message} ${reason}` : message);
    this.domain = fields.domain;
    this.code = fields.code;
    this.setting = fields.setting;
  }
}
