/** The parts of the loader. */
#pragma once

/** Loads the slice for this CPU of the Mach-O file at `path`; aborts if it cannot. */
void macho_load(const char *path);
/** The address of an exported symbol, with its underscore; aborts if there is none. */
void *macho_symbol(const char *name);
/** What stands in for a function of macOS's libSystem that Linux has differently, or NULL. */
void *macho_libc(const char *name);
