/**
 * The C interface between vibe and Virtualization.framework.
 *
 * JSON goes in, JSON comes out, machines are named by integer handles, and nothing calls back:
 * the caller asks for the next event on a thread of its own. No function throws, and none but
 * vibe_vz_next_event waits. All of them may be called from any thread.
 *
 * Strings are UTF-8 and end with a NUL byte. Every `char *` that is returned belongs to the
 * caller, who gives it back with vibe_vz_free. A `const char *` is read before the call returns.
 *
 * An error is {"domain": string, "code": integer, "message": string} and, where it is known,
 * "reason": string and "setting": string, the path of the setting that was refused, such as
 * "disks[0].path". The domain is "vibe" for what this bridge refuses (codes below) and otherwise
 * what the framework says, mostly "VZErrorDomain".
 */
#pragma once
#include <stdint.h>

#define VIBE_EXPORT __attribute__((visibility("default")))

/** Grows when a caller of before would no longer work. */
#define VIBE_VZ_ABI 1

/** Codes in the domain "vibe". */
enum {
  /** A setting is missing, of the wrong type, or its value makes no sense. */
  VIBE_ERROR_SETTING = 1,
  /** This macOS or this Mac cannot do it. */
  VIBE_ERROR_UNSUPPORTED = 2,
  /** The framework raised an exception. */
  VIBE_ERROR_EXCEPTION = 3,
};

/** What vibe_vz_request can ask for, and the states it is allowed in. */
enum {
  /** Starts the guest. Stopped. */
  VIBE_OPERATION_START = 1,
  /** Ends it at once, like pulling the plug. Running or paused. */
  VIBE_OPERATION_STOP = 2,
  /** Presses the power button. Running. */
  VIBE_OPERATION_REQUEST_STOP = 3,
  /** Running. */
  VIBE_OPERATION_PAUSE = 4,
  /** Paused. */
  VIBE_OPERATION_RESUME = 5,
  /** Saves RAM and devices to the path in `argument`. Paused; Apple silicon, macOS 14. */
  VIBE_OPERATION_SAVE = 6,
  /** Restores what was saved, from the path in `argument`. Stopped; then it is paused. */
  VIBE_OPERATION_RESTORE = 7,
  /**
   * Shares the directories in `argument` by the device that has the tag, in the place of those it
   * shared before: {"tag", "directories": [as for vibe_vz_create]}. Running or paused.
   */
  VIBE_OPERATION_SHARE = 8,
};

/** VIBE_VZ_ABI of this library. */
VIBE_EXPORT uint32_t vibe_vz_abi(void);

/**
 * What this Mac can do:
 * {"supported": bool, "architecture": "arm64"|"x86_64",
 *  "cpus": {"min", "max"}, "memory": {"min", "max"} in bytes,
 *  "saveRestore": bool, "nested": bool, "rosetta": "installed"|"not installed"|"not supported",
 *  "bridges": [BSD names of interfaces that a guest can be bridged to]}
 */
VIBE_EXPORT char *vibe_vz_host(void);

/**
 * Makes a stopped machine:
 * {"cpus": integer, "memory": bytes, a multiple of 1 MiB,
 *  "boot": {"kernel": path, "initrd"?: path, "commandLine"?: string}
 *        | {"variableStore": path, "create"?: bool}                     (EFI),
 *  "machineIdentifier"?: base64, "nested"?: bool,
 *  "disks"?: [{"path", "readOnly"?: bool, "identifier"?: at most 20 ASCII characters,
 *              "caching"?: "automatic"|"cached"|"uncached",
 *              "synchronization"?: "full"|"fsync"|"none"}],
 *  "shares"?: [{"tag", "directories": [{"name", "path", "readOnly"?: bool}]}
 *            | {"tag", "rosetta": true}],
 *  "ports"?: [{"socket": path that somebody listens on, "name"?: string, "console"?: bool}],
 *  "network"?: {"mode": "nat"|"bridged", "interface"?: BSD name, "mac"?: "02:00:00:00:00:01"},
 *  "vsock"?: bool}
 *
 * Answers {"machine": handle, "machineIdentifier": base64, "mac"?: string} with the identities
 * that were given or made, for the caller to keep and give again; or {"error": error}. The
 * sockets of `ports` are connected to here. Handles count from 1 and are not used twice.
 */
VIBE_EXPORT char *vibe_vz_create(const char *configuration);

/**
 * Asks for an operation. Answers at once: 0, -1 if there is no such machine, -2 if there is no
 * such operation. The outcome comes as an event of type "done" with the same token.
 */
VIBE_EXPORT int32_t vibe_vz_request(uint32_t machine, uint32_t operation, uint32_t token,
                                    const char *argument);

/**
 * Waits for the next event, forever if `timeout_ms` is negative:
 * {"type": "done", "token": integer, "error"?: error}  the outcome of a request
 * {"type": "stopped", "error"?: error}                 the guest went off by itself
 * {"type": "network", "error": error}                  the NIC lost its attachment
 * NULL after the timeout, or once the machine is closed. One thread may wait for a machine.
 */
VIBE_EXPORT char *vibe_vz_next_event(uint32_t machine, int32_t timeout_ms);

/**
 * Gives a machine up: its handle is dead, whoever waits for its events gets NULL, and it is
 * stopped if it still runs. Answers 0, or -1 if there is no such machine.
 */
VIBE_EXPORT int32_t vibe_vz_close(uint32_t machine);

/** Frees what a function here returned. NULL is fine. */
VIBE_EXPORT void vibe_vz_free(char *string);
