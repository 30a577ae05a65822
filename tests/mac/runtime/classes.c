/** Selectors, classes and message sending. */
#include "objc.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pthread_mutex_t runtime_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void runtime_die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "test runtime: ");
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  abort();
}

// Selectors are interned, so that two of the same name are the same pointer.

#define SELECTORS 4096
static char *selectors[SELECTORS];

Selector sel_registerName(const char *name) {
  unsigned hash = 5381;
  for (const char *p = name; *p; p++) hash = hash * 33 + (unsigned char)*p;
  pthread_mutex_lock(&runtime_lock);
  unsigned i = hash % SELECTORS;
  while (selectors[i] && strcmp(selectors[i], name) != 0) i = (i + 1) % SELECTORS;
  if (!selectors[i]) selectors[i] = strdup(name);
  pthread_mutex_unlock(&runtime_lock);
  return selectors[i];
}

char _objc_empty_cache[64];

#define INTERNED 1u        // in method_list.entry_size, whose low bits are free for a runtime's use
#define REALIZED 0x600du  // in class_data.reserved

static void intern(struct method_list *list) {
  if (!list || list->entry_size & INTERNED) return;
  if (list->entry_size & 0x80000000u) runtime_die("relative method lists are not handled");
  for (uint32_t i = 0; i < list->count; i++) {
    list->entries[i].name = sel_registerName(list->entries[i].name);
  }
  list->entry_size |= INTERNED;
}

/** Slides the ivars behind those of the superclass, whose size the compiler did not know. */
static void realize(struct object_class *cls) {
  struct class_data *data = cls->data;
  if (data->reserved == REALIZED) return;
  data->reserved = REALIZED;
  if (cls->superclass) {
    realize(cls->superclass);
    uint32_t above = cls->superclass->data->instance_size;
    if (data->ivars && data->instance_start < above) {
      uint32_t distance = (above - data->instance_start + 15) & ~15u;
      for (uint32_t i = 0; i < data->ivars->count; i++) {
        if (data->ivars->entries[i].offset) *data->ivars->entries[i].offset += (int32_t)distance;
      }
      data->instance_start += distance;
      data->instance_size += distance;
    } else if (data->instance_size < above) {
      data->instance_size = above;
    }
  }
  intern(data->methods);
  intern(cls->isa->data->methods);
}

void runtime_register(struct object_class **classes, size_t class_count, Selector *references,
                      size_t reference_count) {
  pthread_mutex_lock(&runtime_lock);
  for (size_t i = 0; i < reference_count; i++) references[i] = sel_registerName(references[i]);
  for (size_t i = 0; i < class_count; i++) realize(classes[i]);
  pthread_mutex_unlock(&runtime_lock);
}

Implementation runtime_find(struct object_class *cls, Selector name) {
  for (; cls; cls = cls->superclass) {
    struct method_list *list = cls->data->methods;
    if (!list) continue;
    for (uint32_t i = 0; i < list->count; i++) {
      if (list->entries[i].name == name) return list->entries[i].implementation;
    }
  }
  return NULL;
}

Implementation runtime_lookup(struct object *receiver, Selector name) {
  if (runtime_is_block(receiver)) runtime_die("message %s to a block", name);
  Implementation found = runtime_find(receiver->isa, name);
  if (!found) runtime_die("no method %s in %s", name, receiver->isa->data->name);
  return found;
}

Implementation runtime_lookup_super(struct super_call *call, Selector name) {
  Implementation found = runtime_find(call->current->superclass, name);
  if (!found) runtime_die("no method %s above %s", name, call->current->data->name);
  return found;
}

struct object *runtime_send(struct object *receiver, const char *selector) {
  Selector name = sel_registerName(selector);
  struct object *(*method)(struct object *, Selector) = runtime_lookup(receiver, name);
  return method(receiver, name);
}

// objc_msgSend keeps every register that can hold an argument, looks the method up and jumps to it.
// A message to nil answers zero in every register that can hold a result.
#ifdef __aarch64__
__asm__(
    ".macro LOOK_UP function\n"
    "  stp x29, x30, [sp, #-16]!\n"
    "  mov x29, sp\n"
    "  sub sp, sp, #208\n"
    "  stp x0, x1, [sp]\n"
    "  stp x2, x3, [sp, #16]\n"
    "  stp x4, x5, [sp, #32]\n"
    "  stp x6, x7, [sp, #48]\n"
    "  str x8, [sp, #64]\n"
    "  stp q0, q1, [sp, #80]\n"
    "  stp q2, q3, [sp, #112]\n"
    "  stp q4, q5, [sp, #144]\n"
    "  stp q6, q7, [sp, #176]\n"
    "  bl \\function\n"
    "  mov x17, x0\n"
    "  ldp x0, x1, [sp]\n"
    "  ldp x2, x3, [sp, #16]\n"
    "  ldp x4, x5, [sp, #32]\n"
    "  ldp x6, x7, [sp, #48]\n"
    "  ldr x8, [sp, #64]\n"
    "  ldp q0, q1, [sp, #80]\n"
    "  ldp q2, q3, [sp, #112]\n"
    "  ldp q4, q5, [sp, #144]\n"
    "  ldp q6, q7, [sp, #176]\n"
    "  add sp, sp, #208\n"
    "  ldp x29, x30, [sp], #16\n"
    ".endm\n"
    ".globl objc_msgSend\n"
    ".type objc_msgSend, @function\n"
    "objc_msgSend:\n"
    "  cbz x0, 1f\n"
    "  LOOK_UP runtime_lookup\n"
    "  br x17\n"
    "1: mov x1, #0\n"
    "  movi d0, #0\n"
    "  movi d1, #0\n"
    "  ret\n"
    ".globl objc_msgSendSuper2\n"
    ".type objc_msgSendSuper2, @function\n"
    "objc_msgSendSuper2:\n"
    "  LOOK_UP runtime_lookup_super\n"
    "  ldr x0, [x0]\n"
    "  br x17\n");
#else
__asm__(
    ".macro LOOK_UP function\n"
    "  push %rbp\n"
    "  mov %rsp, %rbp\n"
    "  sub $192, %rsp\n"
    "  mov %rdi, -8(%rbp)\n"
    "  mov %rsi, -16(%rbp)\n"
    "  mov %rdx, -24(%rbp)\n"
    "  mov %rcx, -32(%rbp)\n"
    "  mov %r8, -40(%rbp)\n"
    "  mov %r9, -48(%rbp)\n"
    "  mov %rax, -56(%rbp)\n"
    "  movups %xmm0, -80(%rbp)\n"
    "  movups %xmm1, -96(%rbp)\n"
    "  movups %xmm2, -112(%rbp)\n"
    "  movups %xmm3, -128(%rbp)\n"
    "  movups %xmm4, -144(%rbp)\n"
    "  movups %xmm5, -160(%rbp)\n"
    "  movups %xmm6, -176(%rbp)\n"
    "  movups %xmm7, -192(%rbp)\n"
    "  call \\function\n"
    "  mov %rax, %r11\n"
    "  mov -8(%rbp), %rdi\n"
    "  mov -16(%rbp), %rsi\n"
    "  mov -24(%rbp), %rdx\n"
    "  mov -32(%rbp), %rcx\n"
    "  mov -40(%rbp), %r8\n"
    "  mov -48(%rbp), %r9\n"
    "  mov -56(%rbp), %rax\n"
    "  movups -80(%rbp), %xmm0\n"
    "  movups -96(%rbp), %xmm1\n"
    "  movups -112(%rbp), %xmm2\n"
    "  movups -128(%rbp), %xmm3\n"
    "  movups -144(%rbp), %xmm4\n"
    "  movups -160(%rbp), %xmm5\n"
    "  movups -176(%rbp), %xmm6\n"
    "  movups -192(%rbp), %xmm7\n"
    "  leave\n"
    ".endm\n"
    ".globl objc_msgSend\n"
    ".type objc_msgSend, @function\n"
    "objc_msgSend:\n"
    "  test %rdi, %rdi\n"
    "  jz 1f\n"
    "  LOOK_UP runtime_lookup\n"
    "  jmp *%r11\n"
    "1: xor %eax, %eax\n"
    "  xor %edx, %edx\n"
    "  pxor %xmm0, %xmm0\n"
    "  pxor %xmm1, %xmm1\n"
    "  ret\n"
    ".globl objc_msgSendSuper2\n"
    ".type objc_msgSendSuper2, @function\n"
    "objc_msgSendSuper2:\n"
    "  LOOK_UP runtime_lookup_super\n"
    "  mov (%rdi), %rdi\n"
    "  jmp *%r11\n");
#endif

// The classes of this very image, which the ELF linker collects between these symbols.
extern struct object_class *__start_objc_classlist[], *__stop_objc_classlist[];
extern Selector __start_objc_selrefs[], __stop_objc_selrefs[];

__attribute__((constructor(200))) static void register_own_image(void) {
  runtime_register(__start_objc_classlist,
                   (size_t)(__stop_objc_classlist - __start_objc_classlist), __start_objc_selrefs,
                   (size_t)(__stop_objc_selrefs - __start_objc_selrefs));
}
