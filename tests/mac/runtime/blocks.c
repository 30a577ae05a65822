/** Blocks, as the compiler lays them out. */
#include "objc.h"
#include <stdlib.h>
#include <string.h>

void *_NSConcreteStackBlock[32], *_NSConcreteGlobalBlock[32], *_NSConcreteMallocBlock[32];

struct descriptor {
  unsigned long reserved;
  unsigned long size;
  // Only if HAS_COPY_DISPOSE.
  void (*copy)(void *to, const void *from);
  void (*dispose)(const void *block);
};

struct block {
  void *isa;
  volatile int flags;
  int reserved;
  void (*invoke)(void);
  struct descriptor *descriptor;
};

enum {
  REFERENCE_MASK = 0xfffe,  // counts in steps of two
  NEEDS_FREE = 1 << 24,
  HAS_COPY_DISPOSE = 1 << 25,
};

// Kinds of a captured variable, in the flags of _Block_object_assign.
enum { FIELD_IS_BLOCK = 7, FIELD_IS_BYREF = 8, FIELD_IS_WEAK = 16, BYREF_CALLER = 128 };

int runtime_is_block(const void *object) {
  const void *isa = ((const struct block *)object)->isa;
  return isa == _NSConcreteStackBlock || isa == _NSConcreteGlobalBlock ||
         isa == _NSConcreteMallocBlock;
}

void *_Block_copy(const void *source) {
  struct block *block = (struct block *)source;
  if (!block || block->isa == _NSConcreteGlobalBlock) return block;
  if (block->isa == _NSConcreteMallocBlock) {
    __atomic_add_fetch(&block->flags, 2, __ATOMIC_RELAXED);
    return block;
  }
  struct block *copy = malloc(block->descriptor->size);
  memcpy(copy, block, block->descriptor->size);
  copy->isa = _NSConcreteMallocBlock;
  copy->flags = (block->flags & ~0xffff) | NEEDS_FREE | 2;
  if (block->flags & HAS_COPY_DISPOSE) block->descriptor->copy(copy, block);
  return copy;
}

/** A block on the stack is not copied by a retain. */
void *runtime_retain_block(void *block) {
  return ((struct block *)block)->isa == _NSConcreteMallocBlock ? _Block_copy(block) : block;
}

void _Block_release(const void *source) {
  struct block *block = (struct block *)source;
  if (!block || block->isa != _NSConcreteMallocBlock) return;
  if (__atomic_sub_fetch(&block->flags, 2, __ATOMIC_ACQ_REL) & REFERENCE_MASK) return;
  if (block->flags & HAS_COPY_DISPOSE) block->descriptor->dispose(block);
  free(block);
}

void _Block_object_assign(void *to, const void *value, int flags) {
  if (flags & (FIELD_IS_BYREF | BYREF_CALLER)) runtime_die("__block variables are not handled");
  if ((flags & FIELD_IS_BLOCK) == FIELD_IS_BLOCK) {
    *(void **)to = _Block_copy(value);
  } else {
    *(struct object **)to = objc_retain((struct object *)value);
  }
}

void _Block_object_dispose(const void *value, int flags) {
  if ((flags & FIELD_IS_BLOCK) == FIELD_IS_BLOCK) {
    _Block_release(value);
  } else {
    objc_release((struct object *)value);
  }
}
