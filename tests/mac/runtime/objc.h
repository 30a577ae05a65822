/** The parts of Apple's Objective-C ABI that clang emits, and the runtime's own interfaces. */
#pragma once
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef const char *Selector;
typedef void *Implementation;

struct method {
  Selector name;
  const char *types;
  Implementation implementation;
};

struct method_list {
  uint32_t entry_size;
  uint32_t count;
  struct method entries[];
};

struct ivar {
  int32_t *offset;
  const char *name;
  const char *type;
  uint32_t alignment;
  uint32_t size;
};

struct ivar_list {
  uint32_t entry_size;
  uint32_t count;
  struct ivar entries[];
};

/** class_ro_t: what the compiler knows of a class. */
struct class_data {
  uint32_t flags;
  uint32_t instance_start;
  uint32_t instance_size;
  uint32_t reserved;
  const void *strong_layout;
  const char *name;
  struct method_list *methods;
  const void *protocols;
  struct ivar_list *ivars;
  const void *weak_layout;
  const void *properties;
};

/** Bit of class_data.flags. */
#define CLASS_IS_META 1u

struct object_class {
  struct object_class *isa;
  struct object_class *superclass;
  void *cache;
  void *vtable;
  struct class_data *data;
};

struct object {
  struct object_class *isa;
};

/** What objc_msgSendSuper2 is given: look up in the superclass of `current`. */
struct super_call {
  struct object *receiver;
  struct object_class *current;
};

/** Guards all tables of the runtime. Recursive. */
extern pthread_mutex_t runtime_lock;

/** Says what is wrong, and aborts. */
_Noreturn void runtime_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Makes the classes and selector references of a loaded image known. */
void runtime_register(struct object_class **classes, size_t class_count, Selector *references,
                      size_t reference_count);

Selector sel_registerName(const char *name);
/** The implementation in a class or above, or NULL. */
Implementation runtime_find(struct object_class *cls, Selector name);
/** The same for a receiver; aborts if there is none. */
Implementation runtime_lookup(struct object *receiver, Selector name);

struct object *objc_alloc(struct object_class *cls);
struct object *objc_retain(struct object *object);
struct object *objc_autorelease(struct object *object);
void objc_release(struct object *object);
/** The end of dealloc: ivars, memory, counts. */
void runtime_dispose(struct object *object);
/** Sends a message without arguments. */
struct object *runtime_send(struct object *receiver, const char *selector);

/** True for a block, which is an object to ARC but has no class here. */
int runtime_is_block(const void *object);
void *runtime_retain_block(void *block);
void *_Block_copy(const void *block);
void _Block_release(const void *block);

signed char objc_opt_isKindOfClass(struct object *object, struct object_class *cls);
