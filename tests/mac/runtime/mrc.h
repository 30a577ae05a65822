/** What code with manual reference counting needs of the runtime, and the warnings that go. */
#pragma once
#import "foundation.h"

// Classes here are the implementation that the declarations promise, with some of it left out.
#pragma clang diagnostic ignored "-Wincomplete-implementation"
#pragma clang diagnostic ignored "-Wobjc-protocol-method-implementation"
#pragma clang diagnostic ignored "-Wnullability-completeness"
#pragma clang diagnostic ignored "-Wprotocol"

id objc_alloc(id cls);
id objc_retain(id object);
id objc_autorelease(id object);
void objc_release(id object);
signed char objc_opt_isKindOfClass(id object, Class cls);
void objc_exception_throw(id object) __attribute__((noreturn));
void runtime_dispose(id object);
void runtime_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

@interface NSObject (ManualReferenceCounting)
- (id)retain;
- (oneway void)release;
- (id)autorelease;
@end
