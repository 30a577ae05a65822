/** Objective-C exceptions over the platform's unwinder. */
#include "objc.h"
#include <stdlib.h>
#include <unwind.h>

struct thrown {
  struct _Unwind_Exception unwind;
  struct object *object;
};

/** What a @catch clause refers to. */
struct exception_type {
  void *vtable;
  const char *name;
  struct object_class *cls;
};

void *objc_ehtype_vtable[4];

static const uint64_t EXCEPTION_CLASS = 0x564942454f424a43;  // "VIBEOBJC"

static void free_thrown(_Unwind_Reason_Code reason, struct _Unwind_Exception *unwind) {
  (void)reason;
  free(unwind);
}

void objc_exception_throw(struct object *object) {
  struct thrown *thrown = calloc(1, sizeof *thrown);
  thrown->unwind.exception_class = EXCEPTION_CLASS;
  thrown->unwind.exception_cleanup = free_thrown;
  thrown->object = objc_retain(object);
  _Unwind_RaiseException(&thrown->unwind);
  runtime_die("uncaught %s", object->isa->data->name);
}

/** The exception being handled on this thread; handlers do not nest here. */
static _Thread_local struct thrown *caught;

struct object *objc_begin_catch(void *unwind) {
  caught = unwind;
  return caught->object;
}

void objc_end_catch(void) {
  objc_release(caught->object);
  free(caught);
  caught = NULL;
}

void objc_terminate(void) {
  runtime_die("an exception in a place that cannot handle one");
}

// The personality routine reads the language-specific data area: the Itanium C++ ABI's tables of
// call sites, actions and types.

static uintptr_t read_uleb(const uint8_t **p) {
  uintptr_t value = 0;
  unsigned shift = 0;
  uint8_t byte;
  do {
    byte = *(*p)++;
    value |= (uintptr_t)(byte & 127) << shift;
    shift += 7;
  } while (byte & 128);
  return value;
}

static intptr_t read_sleb(const uint8_t **p) {
  uintptr_t value = 0;
  unsigned shift = 0;
  uint8_t byte;
  do {
    byte = *(*p)++;
    value |= (uintptr_t)(byte & 127) << shift;
    shift += 7;
  } while (byte & 128);
  if (shift < 64 && byte & 64) value |= ~(uintptr_t)0 << shift;
  return (intptr_t)value;
}

enum {
  DW_EH_PE_uleb128 = 1,
  DW_EH_PE_udata4 = 3,
  DW_EH_PE_sdata4 = 11,
  DW_EH_PE_pcrel = 0x10,
  DW_EH_PE_indirect = 0x80,
  DW_EH_PE_omit = 0xff
};

static uintptr_t read_pointer(const uint8_t **p, uint8_t encoding) {
  const uint8_t *at = *p;
  uintptr_t value;
  int32_t narrow;
  switch (encoding & 15) {
    case DW_EH_PE_uleb128: value = read_uleb(p); break;
    case DW_EH_PE_udata4:
    case DW_EH_PE_sdata4:
      __builtin_memcpy(&narrow, at, 4);
      value = (encoding & 15) == DW_EH_PE_udata4 ? (uintptr_t)(uint32_t)narrow
                                                 : (uintptr_t)(intptr_t)narrow;
      *p += 4;
      break;
    default:
      __builtin_memcpy(&value, at, 8);
      *p += 8;
  }
  if (value && (encoding & 0x70) == DW_EH_PE_pcrel) value += (uintptr_t)at;
  if (value && encoding & DW_EH_PE_indirect) value = *(uintptr_t *)value;
  return value;
}

/** The selector of the first clause in a chain of actions that takes the exception, or 0. */
static int matching_clause(const uint8_t *action, const uint8_t *types, uint8_t type_encoding,
                           struct object *exception) {
  for (;;) {
    intptr_t filter = read_sleb(&action);
    const uint8_t *next = action;
    intptr_t distance = read_sleb(&action);
    if (filter > 0) {
      int form = type_encoding & 15;
      unsigned size = form == DW_EH_PE_udata4 || form == DW_EH_PE_sdata4 ? 4 : 8;
      const uint8_t *entry = types - (uintptr_t)filter * size;
      struct exception_type *type = (void *)read_pointer(&entry, type_encoding);
      if (!type || (exception && objc_opt_isKindOfClass(exception, type->cls))) return (int)filter;
    }
    if (!distance) return 0;
    action = next + distance;
  }
}

_Unwind_Reason_Code __objc_personality_v0(int version, _Unwind_Action phase,
                                          _Unwind_Exception_Class cls,
                                          struct _Unwind_Exception *unwind,
                                          struct _Unwind_Context *context) {
  (void)version;
  const uint8_t *p = (const uint8_t *)_Unwind_GetLanguageSpecificData(context);
  if (!p) return _URC_CONTINUE_UNWIND;
  uintptr_t address = _Unwind_GetIP(context) - 1, function = _Unwind_GetRegionStart(context);
  uintptr_t base = function;
  uint8_t base_encoding = *p++;
  if (base_encoding != DW_EH_PE_omit) base = read_pointer(&p, base_encoding);
  uint8_t type_encoding = *p++;
  const uint8_t *types = NULL;
  if (type_encoding != DW_EH_PE_omit) {
    uintptr_t offset = read_uleb(&p);
    types = p + offset;
  }
  uint8_t site_encoding = *p++;
  uintptr_t length = read_uleb(&p);
  const uint8_t *actions = p + length;
  while (p < actions) {
    uintptr_t start = read_pointer(&p, site_encoding), size = read_pointer(&p, site_encoding);
    uintptr_t landing = read_pointer(&p, site_encoding), action = read_uleb(&p);
    if (address < function + start || address >= function + start + size) continue;
    if (!landing) return _URC_CONTINUE_UNWIND;
    struct object *exception = cls == EXCEPTION_CLASS ? ((struct thrown *)unwind)->object : NULL;
    int clause =
        action ? matching_clause(actions + action - 1, types, type_encoding, exception) : 0;
    if (phase & _UA_SEARCH_PHASE) return clause ? _URC_HANDLER_FOUND : _URC_CONTINUE_UNWIND;
    _Unwind_SetGR(context, __builtin_eh_return_data_regno(0), (uintptr_t)unwind);
    _Unwind_SetGR(context, __builtin_eh_return_data_regno(1), (uintptr_t)clause);
    _Unwind_SetIP(context, base + landing);
    return _URC_INSTALL_CONTEXT;
  }
  return _URC_CONTINUE_UNWIND;
}
