/** vibe: gives a directory its own Linux computer. */

console.error("vibe: under construction");
Deno.exit(1);
