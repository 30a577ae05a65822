/** The C functions of `dylib-src/vibe_vz.h`, and the numbers that go with them. */

/** The ABI that this table describes; the library answers with its own. */
export const ABI = 1;

/** What to ask {@link SYMBOLS}.vibe_vz_request for. */
export const Operation = {
  start: 1,
  stop: 2,
  requestStop: 3,
  pause: 4,
  resume: 5,
  save: 6,
  restore: 7,
  share: 8,
} as const;

/** One table for every use of the library; the C declaration stands beside each line. */
export const SYMBOLS = {
  // uint32_t vibe_vz_abi(void)
  vibe_vz_abi: { parameters: [], result: "u32" },
  // char *vibe_vz_host(void)
  vibe_vz_host: { parameters: [], result: "pointer" },
  // char *vibe_vz_create(const char *configuration)
  vibe_vz_create: { parameters: ["buffer"], result: "pointer" },
  // int32_t vibe_vz_request(uint32_t machine, uint32_t operation, uint32_t token, const char *argument)
  vibe_vz_request: { parameters: ["u32", "u32", "u32", "buffer"], result: "i32" },
  // char *vibe_vz_next_event(uint32_t machine, int32_t timeout_ms), which waits
  vibe_vz_next_event: { parameters: ["u32", "i32"], result: "pointer", nonblocking: true },
  // int32_t vibe_vz_close(uint32_t machine)
  vibe_vz_close: { parameters: ["u32"], result: "i32" },
  // void vibe_vz_free(char *string)
  vibe_vz_free: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;
