/** Maps a Mach-O dylib, applies its chained fixups and registers its classes. */
#include "macho.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "../runtime/objc.h"

enum {
  FAT_MAGIC = 0xcafebabe,
  MH_MAGIC_64 = 0xfeedfacf,
  LC_SYMTAB = 2,
  LC_SEGMENT_64 = 0x19,
  LC_DYLD_CHAINED_FIXUPS = (int)0x80000034,
  CHAINED_PTR_64 = 2,
  CHAINED_PTR_64_OFFSET = 6,
  CHAINED_IMPORT = 1,
  PAGE_WITHOUT_FIXUPS = 0xffff,
#ifdef __aarch64__
  CPU = 0x100000c,
#else
  CPU = 0x1000007,
#endif
};

struct header {
  uint32_t magic, cpu, subtype, type, command_count, commands_size, flags, reserved;
};
struct command {
  uint32_t type, size;
};
struct segment {
  struct command command;
  char name[16];
  uint64_t address, size, file_offset, file_size;
  uint32_t max_protection, protection, section_count, flags;
};
struct section {
  char name[16], segment[16];
  uint64_t address, size;
  uint32_t offset, alignment, relocations, relocation_count, flags, reserved[3];
};
struct symtab {
  struct command command;
  uint32_t symbols, symbol_count, strings, strings_size;
};
struct symbol {
  uint32_t name;
  uint8_t type, section;
  uint16_t description;
  uint64_t value;
};
struct fixups_command {
  struct command command;
  uint32_t offset, size;
};
struct fixups {
  uint32_t version, starts, imports, symbols, import_count, import_format, symbols_format;
};
struct segment_starts {
  uint32_t size;
  uint16_t page_size, pointer_format;
  uint64_t segment_offset;
  uint32_t max_pointer;
  uint16_t page_count, page_starts[];
};

static char *image;  // where the dylib lies in memory
static const struct symbol *symbols;
static uint32_t symbol_count;
static const char *strings;

void *macho_symbol(const char *name) {
  enum { EXTERNAL = 1, TYPE = 0x0e, IN_SECTION = 0x0e };
  for (uint32_t i = 0; i < symbol_count; i++) {
    int exported = symbols[i].type & EXTERNAL && (symbols[i].type & TYPE) == IN_SECTION;
    if (exported && !strcmp(strings + symbols[i].name, name)) return image + symbols[i].value;
  }
  runtime_die("%s is not exported", name);
}

/** An import's address in the runtime, the double or libc. */
static char *resolve(const char *name, int weak) {
  void *address = macho_libc(name);
  if (!address) address = dlsym(RTLD_DEFAULT, name + 1);
  if (!address) {
    // Deno opens this library without RTLD_GLOBAL, so the default search does not see it.
    Dl_info self;
    dladdr((void *)resolve, &self);
    address = dlsym(dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD), name + 1);
  }
  if (!address && !weak) runtime_die("nothing stands in for %s", name);
  return address;
}

static void fix_page(char *at, const uint32_t *imports, const char *names) {
  for (uint32_t next;; at += next * 4) {
    uint64_t value;
    memcpy(&value, at, 8);
    next = value >> 51 & 0xfff;
    char *pointer;
    if (value >> 63) {
      uint32_t import = imports[value & 0xffffff];
      char *target = resolve(names + (import >> 9), import >> 8 & 1);
      pointer = target ? target + (value >> 24 & 0xff) : NULL;
    } else {
      pointer = image + (value & 0xfffffffff);
    }
    memcpy(at, &pointer, 8);
    if (!next) return;
  }
}

static void apply_fixups(const char *data) {
  const struct fixups *fixups = (const void *)data;
  if (fixups->import_format != CHAINED_IMPORT) runtime_die("import format is not handled");
  const uint32_t *starts = (const void *)(data + fixups->starts);
  for (uint32_t i = 0; i < starts[0]; i++) {
    if (!starts[1 + i]) continue;
    const struct segment_starts *segment = (const void *)((const char *)starts + starts[1 + i]);
    if (segment->pointer_format != CHAINED_PTR_64 &&
        segment->pointer_format != CHAINED_PTR_64_OFFSET) {
      runtime_die("pointer format %d is not handled", segment->pointer_format);
    }
    for (uint16_t page = 0; page < segment->page_count; page++) {
      if (segment->page_starts[page] == PAGE_WITHOUT_FIXUPS) continue;
      fix_page(image + segment->segment_offset + (uint64_t)page * segment->page_size +
                   segment->page_starts[page],
               (const void *)(data + fixups->imports), data + fixups->symbols);
    }
  }
}

/** The slice for this CPU in the file at `path`. */
static const char *slice_of(const char *path) {
  int descriptor = open(path, O_RDONLY);
  struct stat status;
  if (descriptor < 0 || fstat(descriptor, &status)) runtime_die("cannot open %s", path);
  const char *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const uint32_t *fat = (const void *)file;
  for (uint32_t i = 0; __builtin_bswap32(fat[0]) == FAT_MAGIC && i < __builtin_bswap32(fat[1]);
       i++) {
    const uint32_t *entry = fat + 2 + 5 * i;
    if (__builtin_bswap32(entry[0]) == CPU) return file + __builtin_bswap32(entry[2]);
  }
  runtime_die("%s has no slice for this CPU", path);
}

void macho_load(const char *path) {
  const char *file = slice_of(path);
  const struct header *header = (const void *)file;
  if (header->magic != MH_MAGIC_64 || header->cpu != CPU) runtime_die("%s is no Mach-O", path);
  const struct segment *segments[8];
  const char *fixups = NULL, *at = file + sizeof *header;
  int segment_count = 0;
  uint64_t top = 0;
  for (uint32_t i = 0; i < header->command_count; i++) {
    const struct command *command = (const void *)at;
    if (command->type == LC_SEGMENT_64) {
      const struct segment *segment = segments[segment_count++] = (const void *)at;
      if (segment->address + segment->size > top) top = segment->address + segment->size;
    } else if (command->type == (uint32_t)LC_DYLD_CHAINED_FIXUPS) {
      fixups = file + ((const struct fixups_command *)(const void *)at)->offset;
    } else if (command->type == LC_SYMTAB) {
      const struct symtab *table = (const void *)at;
      symbols = (const void *)(file + table->symbols);
      symbol_count = table->symbol_count;
      strings = file + table->strings;
    }
    at += command->size;
  }
  if (!fixups) runtime_die("%s has no chained fixups", path);
  image = mmap(NULL, top, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < segment_count; i++) {
    memcpy(image + segments[i]->address, file + segments[i]->file_offset, segments[i]->file_size);
  }
  apply_fixups(fixups);

  struct object_class **classes = NULL;
  Selector *selectors = NULL;
  size_t class_count = 0, selector_count = 0;
  for (int i = 0; i < segment_count; i++) {
    const struct section *section = (const void *)(segments[i] + 1);
    for (uint32_t k = 0; k < segments[i]->section_count; k++, section++) {
      if (!strncmp(section->name, "__objc_classlist", 16)) {
        classes = (void *)(image + section->address);
        class_count = section->size / 8;
      } else if (!strncmp(section->name, "__objc_selrefs", 16)) {
        selectors = (void *)(image + section->address);
        selector_count = section->size / 8;
      }
    }
    if (!strcmp(segments[i]->name, "__TEXT")) {
      mprotect(image + segments[i]->address, segments[i]->size, PROT_READ | PROT_EXEC);
    }
  }
  runtime_register(classes, class_count, selectors, selector_count);
}
