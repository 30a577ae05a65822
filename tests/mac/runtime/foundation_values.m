/** Strings, numbers, data and other values. Manual reference counting. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#import "foundation.h"
#import "mrc.h"

@implementation NSObject
+ (id)alloc { return objc_alloc((id)self); }
+ (Class)class { return self; }
- (Class)class { return *(Class *)self; }
- (id)init { return self; }
- (void)dealloc { runtime_dispose(self); }
- (id)retain { return objc_retain(self); }
- (oneway void)release { objc_release(self); }
- (id)autorelease { return objc_autorelease(self); }
- (BOOL)isKindOfClass:(Class)cls { return objc_opt_isKindOfClass(self, cls); }
- (BOOL)isEqual:(id)object { return self == object; }
- (NSUInteger)hash { return (NSUInteger)self >> 4; }
- (NSString *)description { return @"<object>"; }
@end

@implementation NSNull
@end

@implementation NSString {
  char *_bytes;
  size_t _length;
}
- (id)initWithBytes:(const char *)bytes length:(size_t)length {
  _bytes = malloc(length + 1);
  memcpy(_bytes, bytes, length);
  _bytes[length] = 0;
  _length = length;
  return self;
}
- (void)dealloc {
  free(_bytes);
  [super dealloc];
}
+ (id)stringWithUTF8String:(const char *)string {
  return [[[self alloc] initWithBytes:string length:strlen(string)] autorelease];
}
+ (id)stringWithFormat:(NSString *)format, ... {
  char *bytes = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&bytes, &length);
  va_list list;
  va_start(list, format);
#ifdef __aarch64__
  // Callers in Mach-O follow Apple's convention: variadic arguments are 8-byte slots on the stack.
  const uint64_t *slots = list.__stack;
#define NEXT(type) ((type)*slots++)
#else
#define NEXT(type) va_arg(list, type)
#endif
  for (const char *p = format.UTF8String; *p; p++) {
    if (*p != '%') {
      fputc(*p, stream);
    } else if (!strncmp(p, "%@", 2)) {
      fputs([NEXT(id) description].UTF8String, stream);
      p += 1;
    } else if (!strncmp(p, "%s", 2)) {
      fputs(NEXT(const char *), stream);
      p += 1;
    } else if (!strncmp(p, "%lu", 3)) {
      fprintf(stream, "%lu", NEXT(unsigned long));
      p += 2;
    } else {
      runtime_die("format %s is not handled", p);
    }
  }
  va_end(list);
  fclose(stream);
  NSString *string = [[[NSString alloc] initWithBytes:bytes length:length] autorelease];
  free(bytes);
  return string;
}
- (const char *)UTF8String { return _bytes; }
- (NSUInteger)length { return _length; }
- (BOOL)isEqualToString:(NSString *)string {
  return string && strcmp(self.UTF8String, string.UTF8String) == 0;
}
- (BOOL)isEqual:(id)object {
  return [object isKindOfClass:[NSString class]] && [self isEqualToString:object];
}
- (NSUInteger)hash {
  NSUInteger hash = 5381;
  for (const char *p = self.UTF8String; *p; p++) hash = hash * 33 + (unsigned char)*p;
  return hash;
}
- (NSString *)description { return self; }
@end

/** The class of @"…", whose instances the compiler lays out. */
@interface __NSCFConstantString : NSString
@end
struct constant_string {
  Class isa;
  int flags;
  const char *bytes;
  long length;
};
@implementation __NSCFConstantString
- (const char *)UTF8String { return ((struct constant_string *)self)->bytes; }
- (NSUInteger)length { return (NSUInteger)((struct constant_string *)self)->length; }
@end

enum kind { BOOLEAN, INTEGER, FLOAT };

@implementation NSNumber {
  enum kind _kind;
  long long _integer;
  double _float;
}
+ (NSNumber *)integer:(long long)value kind:(enum kind)kind {
  NSNumber *number = [[self alloc] init];
  number->_kind = kind;
  number->_integer = value;
  return [number autorelease];
}
+ (NSNumber *)numberWithBool:(BOOL)value { return [self integer:value != 0 kind:BOOLEAN]; }
+ (NSNumber *)numberWithUnsignedInt:(unsigned)value { return [self integer:value kind:INTEGER]; }
+ (NSNumber *)numberWithUnsignedLong:(unsigned long)value {
  return [self integer:(long long)value kind:INTEGER];
}
+ (NSNumber *)numberWithUnsignedLongLong:(unsigned long long)value {
  return [self integer:(long long)value kind:INTEGER];
}
+ (NSNumber *)numberWithInteger:(NSInteger)value { return [self integer:value kind:INTEGER]; }
+ (NSNumber *)numberWithUnsignedInteger:(NSUInteger)value {
  return [self integer:(long long)value kind:INTEGER];
}
+ (NSNumber *)numberWithLongLong:(long long)value { return [self integer:value kind:INTEGER]; }
+ (NSNumber *)numberWithDouble:(double)value {
  NSNumber *number = [self integer:(long long)value kind:FLOAT];
  number->_float = value;
  return number;
}
- (BOOL)isBoolean { return _kind == BOOLEAN; }
- (BOOL)isFloat { return _kind == FLOAT; }
- (BOOL)boolValue { return _integer != 0; }
- (NSInteger)integerValue { return (NSInteger)_integer; }
- (long long)longLongValue { return _integer; }
- (unsigned long long)unsignedLongLongValue { return (unsigned long long)_integer; }
- (double)doubleValue { return _kind == FLOAT ? _float : (double)_integer; }
- (BOOL)isEqual:(id)object {
  return [object isKindOfClass:[NSNumber class]] &&
         ((NSNumber *)object).doubleValue == self.doubleValue;
}
- (NSUInteger)hash { return (NSUInteger)_integer; }
@end

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

@implementation NSData {
  unsigned char *_bytes;
  NSUInteger _length;
}
+ (id)dataWithBytes:(const void *)bytes length:(NSUInteger)length {
  NSData *data = [[self alloc] init];
  data->_bytes = calloc(1, length + 1);  // JSON is parsed up to a terminator
  memcpy(data->_bytes, bytes, length);
  data->_length = length;
  return [data autorelease];
}
- (id)initWithBase64EncodedString:(NSString *)string options:(NSDataBase64DecodingOptions)options {
  (void)options;
  size_t length = string.length;
  unsigned char *bytes = _bytes = malloc(length + 1);
  unsigned bits = 0, held = 0;
  int valid = length % 4 == 0;
  for (const char *p = string.UTF8String; *p && *p != '='; p++) {
    const char *digit = strchr(BASE64, *p);
    if (!digit) valid = 0;
    bits = bits << 6 | (unsigned)((digit ? digit : BASE64) - BASE64);
    if ((held += 6) < 8) continue;
    *bytes++ = (unsigned char)(bits >> (held -= 8));
  }
  _length = (NSUInteger)(bytes - _bytes);
  if (valid) return self;
  [self release];
  return nil;
}
- (NSString *)base64EncodedStringWithOptions:(NSDataBase64EncodingOptions)options {
  (void)options;
  char *text = malloc((_length + 2) / 3 * 4), *p = text;
  for (NSUInteger i = 0; i < _length; i += 3) {
    unsigned group = (unsigned)_bytes[i] << 16;
    if (i + 1 < _length) group |= (unsigned)_bytes[i + 1] << 8;
    if (i + 2 < _length) group |= _bytes[i + 2];
    *p++ = BASE64[group >> 18];
    *p++ = BASE64[group >> 12 & 63];
    *p++ = i + 1 < _length ? BASE64[group >> 6 & 63] : '=';
    *p++ = i + 2 < _length ? BASE64[group & 63] : '=';
  }
  NSString *string = [[[NSString alloc] initWithBytes:text length:(size_t)(p - text)] autorelease];
  free(text);
  return string;
}
- (void)dealloc {
  free(_bytes);
  [super dealloc];
}
- (const void *)bytes { return _bytes; }
- (NSUInteger)length { return _length; }
@end

@implementation NSURL {
  NSString *_path;
}
+ (NSURL *)fileURLWithPath:(NSString *)path {
  if (!path) [NSException raise:@"NSInvalidArgumentException" reason:@"nil string parameter"];
  NSURL *url = [[self alloc] init];
  url->_path = [path retain];
  return [url autorelease];
}
- (void)dealloc {
  [_path release];
  [super dealloc];
}
- (NSString *)path { return _path; }
@end

@implementation NSError {
  NSString *_domain, *_description, *_reason;
  NSInteger _code;
}
+ (id)errorWithDomain:(NSString *)domain
                 code:(NSInteger)code
              failure:(NSString *)failure
               reason:(NSString *)reason {
  NSError *error = [[self alloc] init];
  error->_domain = [domain retain];
  error->_code = code;
  error->_reason = [reason retain];
  char *text = NULL;
  if (asprintf(&text, reason ? "%s %s" : "%s", failure.UTF8String, reason.UTF8String) < 0) abort();
  error->_description = [[NSString stringWithUTF8String:text] retain];
  free(text);
  return [error autorelease];
}
- (void)dealloc {
  [_domain release];
  [_description release];
  [_reason release];
  [super dealloc];
}
- (NSString *)domain { return _domain; }
- (NSInteger)code { return _code; }
- (NSString *)localizedDescription { return _description; }
- (NSString *)localizedFailureReason { return _reason; }
@end

@implementation NSException {
  NSString *_name, *_reason;
}
+ (void)raise:(NSString *)name reason:(NSString *)reason {
  NSException *exception = [[[self alloc] init] autorelease];
  exception->_name = [name retain];
  exception->_reason = [reason retain];
  objc_exception_throw(exception);
}
- (void)dealloc {
  [_name release];
  [_reason release];
  [super dealloc];
}
- (NSString *)name { return _name; }
- (NSString *)reason { return _reason; }
@end

@implementation NSFileHandle {
  int _descriptor;
  BOOL _closes;
}
- (id)initWithFileDescriptor:(int)descriptor closeOnDealloc:(BOOL)closes {
  _descriptor = descriptor;
  _closes = closes;
  return self;
}
- (void)dealloc {
  if (_closes) close(_descriptor);
  [super dealloc];
}
- (int)fileDescriptor { return _descriptor; }
@end
