/** Reference counts, autorelease pools, weak references, properties. */
#include "objc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Stands before every object. */
struct header {
  long references;
  long magic;
};
#define ALIVE 0x4f424a43
#define DEAD 0x44454144

// How many objects of each class are alive, for tests that look for leaks.

#define CLASSES 256
static struct {
  struct object_class *cls;
  long alive;
} counts[CLASSES];

static void count(struct object_class *cls, long change) {
  pthread_mutex_lock(&runtime_lock);
  int i = 0;
  while (counts[i].cls && counts[i].cls != cls) i++;
  if (i == CLASSES - 1) runtime_die("more than %d classes", CLASSES);
  counts[i].cls = cls;
  counts[i].alive += change;
  pthread_mutex_unlock(&runtime_lock);
}

/** How many objects are alive; each class with some goes to stderr if `report`. */
__attribute__((visibility("default"))) int64_t vibe_test_live_objects(int32_t report) {
  int64_t sum = 0;
  pthread_mutex_lock(&runtime_lock);
  for (int i = 0; counts[i].cls; i++) {
    sum += counts[i].alive;
    if (report && counts[i].alive) {
      fprintf(stderr, "alive: %ld %s\n", counts[i].alive, counts[i].cls->data->name);
    }
  }
  pthread_mutex_unlock(&runtime_lock);
  return sum;
}

extern struct object_class constant_string __asm__("OBJC_CLASS_$___NSCFConstantString");

static int is_permanent(struct object *object) {
  return object->isa == &constant_string || object->isa->data->flags & CLASS_IS_META;
}

static struct header *header_of(struct object *object) {
  struct header *header = (struct header *)object - 1;
  if (header->magic != ALIVE) runtime_die("%p is no live object", (void *)object);
  return header;
}

struct object *objc_alloc(struct object_class *cls) {
  size_t size = cls->data->instance_size;
  struct header *header = calloc(1, sizeof *header + (size < sizeof(struct object)
                                                          ? sizeof(struct object)
                                                          : size));
  header->references = 1;
  header->magic = ALIVE;
  struct object *object = (struct object *)(header + 1);
  object->isa = cls;
  count(cls, 1);
  return object;
}

struct object *objc_alloc_init(struct object_class *cls) {
  return runtime_send(runtime_send((struct object *)cls, "alloc"), "init");
}

struct object *objc_retain(struct object *object) {
  if (!object) return object;
  if (runtime_is_block(object)) return runtime_retain_block(object);
  if (is_permanent(object)) return object;
  __atomic_add_fetch(&header_of(object)->references, 1, __ATOMIC_RELAXED);
  return object;
}

static void clear_weak_references(struct object *object);

void objc_release(struct object *object) {
  if (!object) return;
  if (runtime_is_block(object)) {
    _Block_release(object);
    return;
  }
  if (is_permanent(object)) return;
  // A weak reference must not be taken between the count's zero and its clearing.
  pthread_mutex_lock(&runtime_lock);
  long left = __atomic_sub_fetch(&header_of(object)->references, 1, __ATOMIC_ACQ_REL);
  if (left == 0) clear_weak_references(object);
  pthread_mutex_unlock(&runtime_lock);
  if (left == 0) runtime_send(object, "dealloc");
}

void runtime_dispose(struct object *object) {
  Selector destructor = sel_registerName(".cxx_destruct");
  for (struct object_class *cls = object->isa; cls; cls = cls->superclass) {
    struct method_list *list = cls->data->methods;
    for (uint32_t i = 0; list && i < list->count; i++) {
      void (*destroy)(struct object *, Selector) = list->entries[i].implementation;
      if (list->entries[i].name == destructor) destroy(object, destructor);
    }
  }
  count(object->isa, -1);
  struct header *header = header_of(object);
  header->magic = DEAD;
  free(header);
}

// Autorelease pools: one stack for each thread, a pool is a height in it.

static _Thread_local struct {
  struct object **objects;
  size_t count, capacity;
} pool;

void *objc_autoreleasePoolPush(void) {
  return (void *)(pool.count + 1);
}

void objc_autoreleasePoolPop(void *token) {
  size_t height = (size_t)token - 1;
  while (pool.count > height) objc_release(pool.objects[--pool.count]);
  if (height > 0) return;
  free(pool.objects);
  pool.objects = NULL;
  pool.capacity = 0;
}

struct object *objc_autorelease(struct object *object) {
  if (!object) return object;
  if (pool.count == pool.capacity) {
    pool.capacity = pool.capacity ? pool.capacity * 2 : 64;
    pool.objects = realloc(pool.objects, pool.capacity * sizeof *pool.objects);
  }
  pool.objects[pool.count++] = object;
  return object;
}

struct object *objc_autoreleaseReturnValue(struct object *object) {
  return objc_autorelease(object);
}
struct object *objc_retainAutorelease(struct object *object) {
  return objc_autorelease(objc_retain(object));
}
struct object *objc_retainAutoreleaseReturnValue(struct object *object) {
  return objc_autorelease(objc_retain(object));
}
struct object *objc_retainAutoreleasedReturnValue(struct object *object) {
  return objc_retain(object);
}
struct object *objc_claimAutoreleasedReturnValue(struct object *object) {
  return objc_retain(object);
}
struct object *objc_unsafeClaimAutoreleasedReturnValue(struct object *object) {
  return object;
}
struct object *objc_retainBlock(struct object *block) {
  return block ? _Block_copy(block) : block;
}

void objc_storeStrong(struct object **slot, struct object *value) {
  struct object *old = *slot;
  if (old == value) return;
  *slot = objc_retain(value);
  objc_release(old);
}

// Weak references: a list of the slots that hold one.

struct weak {
  struct object **slot;
  struct object *object;
  struct weak *next;
};
static struct weak *weak_references;

static void clear_weak_references(struct object *object) {
  for (struct weak **link = &weak_references; *link;) {
    struct weak *weak = *link;
    if (weak->object == object) {
      *weak->slot = NULL;
      *link = weak->next;
      free(weak);
    } else {
      link = &weak->next;
    }
  }
}

struct object *objc_storeWeak(struct object **slot, struct object *object) {
  pthread_mutex_lock(&runtime_lock);
  for (struct weak **link = &weak_references; *link; link = &(*link)->next) {
    if ((*link)->slot != slot) continue;
    struct weak *old = *link;
    *link = old->next;
    free(old);
    break;
  }
  *slot = object;
  if (object) {
    struct weak *weak = malloc(sizeof *weak);
    *weak = (struct weak){slot, object, weak_references};
    weak_references = weak;
  }
  pthread_mutex_unlock(&runtime_lock);
  return object;
}

void objc_destroyWeak(struct object **slot) {
  objc_storeWeak(slot, NULL);
}

struct object *objc_loadWeakRetained(struct object **slot) {
  pthread_mutex_lock(&runtime_lock);
  struct object *object = objc_retain(*slot);
  pthread_mutex_unlock(&runtime_lock);
  return object;
}

// Properties. Values are immutable here, so a copy is a retain.

struct object *objc_getProperty(struct object *object, Selector name, ptrdiff_t offset,
                                signed char atomic) {
  (void)name, (void)atomic;
  pthread_mutex_lock(&runtime_lock);
  struct object *value = objc_retain(*(struct object **)((char *)object + offset));
  pthread_mutex_unlock(&runtime_lock);
  return objc_autorelease(value);
}

static void set_property(struct object *object, struct object *value, ptrdiff_t offset) {
  struct object **slot = (struct object **)((char *)object + offset);
  objc_retain(value);
  pthread_mutex_lock(&runtime_lock);
  struct object *old = *slot;
  *slot = value;
  pthread_mutex_unlock(&runtime_lock);
  objc_release(old);
}

void objc_setProperty_atomic(struct object *object, Selector name, struct object *value,
                             ptrdiff_t offset) {
  (void)name;
  set_property(object, value, offset);
}

void objc_setProperty_atomic_copy(struct object *object, Selector name, struct object *value,
                                  ptrdiff_t offset) {
  (void)name;
  set_property(object, value, offset);
}

void objc_enumerationMutation(struct object *object) {
  runtime_die("%s was changed while it was enumerated", object->isa->data->name);
}

struct object_class *objc_opt_class(struct object *object) {
  return (struct object_class *)runtime_send(object, "class");
}

signed char objc_opt_isKindOfClass(struct object *object, struct object_class *cls) {
  if (!object) return 0;
  for (struct object_class *c = object->isa; c; c = c->superclass) {
    if (c == cls) return 1;
  }
  return 0;
}
