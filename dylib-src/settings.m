#import "settings.h"
#include <stdlib.h>
#include <string.h>
#include "vibe_vz.h"

char *VibeCopyJSON(id object) {
  NSData *data = [NSJSONSerialization dataWithJSONObject:object
                                                 options:(NSJSONWritingOptions)0
                                                   error:NULL];
  char *string = malloc(data.length + 1);
  if (!string) return NULL;
  if (data.length) memcpy(string, data.bytes, data.length);
  string[data.length] = 0;
  return string;
}

static NSMutableDictionary *describe(NSString *domain, NSInteger code, NSString *message) {
  NSMutableDictionary *description = [NSMutableDictionary dictionary];
  [description setObject:domain forKey:@"domain"];
  [description setObject:@(code) forKey:@"code"];
  [description setObject:message forKey:@"message"];
  return description;
}

NSMutableDictionary *VibeDescribeError(NSError *error) {
  if (!error) return describe(@"vibe", VIBE_ERROR_EXCEPTION, @"the framework gave no reason");
  NSMutableDictionary *description =
      describe(error.domain, error.code, error.localizedDescription);
  NSString *reason = error.localizedFailureReason;
  if (reason) [description setObject:reason forKey:@"reason"];
  return description;
}

NSMutableDictionary *VibeDescribeProblem(NSInteger code, NSString *message) {
  return describe(@"vibe", code, message);
}

NSMutableDictionary *VibeDescribeException(NSException *exception) {
  NSString *reason = exception.reason;
  return describe(@"vibe", VIBE_ERROR_EXCEPTION, reason ? reason : exception.name);
}

@implementation VibeSettings {
  NSDictionary *_values;
  NSString *_name;
  VibeSettings *_root;  // nil in the root itself, which would own itself otherwise
  NSMutableDictionary *_problem;
}

- (instancetype)initWithJSON:(const char *)json {
  if ((self = [super init])) {
    _name = @"";
    NSError *error = nil;
    NSData *data = [NSData dataWithBytes:json length:strlen(json)];
    id object = [NSJSONSerialization JSONObjectWithData:data
                                                options:(NSJSONReadingOptions)0
                                                  error:&error];
    if (object) {
      [self take:object];
    } else {
      [self refuse:nil error:error];
    }
  }
  return self;
}

- (instancetype)initWithObject:(id)object name:(NSString *)name root:(VibeSettings *)root {
  if ((self = [super init])) {
    _name = name;
    _root = root;
    [self take:object];
  }
  return self;
}

- (void)take:(id)object {
  if ([object isKindOfClass:[NSDictionary class]]) {
    _values = object;
  } else {
    [self refuse:nil code:VIBE_ERROR_SETTING because:@"an object is needed"];
  }
}

- (NSDictionary *)problem {
  return _root ? _root.problem : _problem;
}

- (void)keep:(NSMutableDictionary *)problem key:(NSString *)key {
  if (_root) {
    [_root keep:problem key:key];
  } else if (!_problem) {
    if (key.length) [problem setObject:key forKey:@"setting"];
    _problem = problem;
  }
}

- (NSString *)nameOf:(NSString *)key {
  if (!key) return _name;
  return _name.length ? [NSString stringWithFormat:@"%@.%@", _name, key] : key;
}

- (id)refuse:(NSString *)key code:(NSInteger)code because:(NSString *)message {
  [self keep:VibeDescribeProblem(code, message) key:[self nameOf:key]];
  return nil;
}

- (id)refuse:(NSString *)key error:(NSError *)error {
  [self keep:VibeDescribeError(error) key:[self nameOf:key]];
  return nil;
}

- (BOOL)has:(NSString *)key {
  return [_values objectForKey:key] != nil;
}

- (id)value:(NSString *)key of:(Class)type named:(NSString *)typeName required:(BOOL)required {
  id value = [_values objectForKey:key];
  if ([value isKindOfClass:type]) return value;
  if (value) {
    NSString *message = [NSString stringWithFormat:@"%@ is needed", typeName];
    return [self refuse:key code:VIBE_ERROR_SETTING because:message];
  }
  if (required) [self refuse:key code:VIBE_ERROR_SETTING because:@"it is missing"];
  return nil;
}

- (NSString *)string:(NSString *)key {
  return [self value:key of:[NSString class] named:@"a string" required:NO];
}

- (NSString *)requiredString:(NSString *)key {
  return [self value:key of:[NSString class] named:@"a string" required:YES];
}

- (NSURL *)requiredFile:(NSString *)key {
  NSString *path = [self requiredString:key];
  return path ? [NSURL fileURLWithPath:path] : nil;
}

- (uint64_t)requiredInteger:(NSString *)key {
  NSNumber *number = [self value:key of:[NSNumber class] named:@"an integer" required:YES];
  return number.unsignedLongLongValue;
}

- (BOOL)flag:(NSString *)key {
  NSNumber *number = [self value:key of:[NSNumber class] named:@"true or false" required:NO];
  return number.boolValue;
}

- (VibeSettings *)requiredSection:(NSString *)key {
  return [[VibeSettings alloc] initWithObject:[_values objectForKey:key]
                                         name:[self nameOf:key]
                                         root:_root ? _root : self];
}

- (NSArray<VibeSettings *> *)sections:(NSString *)key {
  NSMutableArray *sections = [NSMutableArray array];
  NSArray *list = [self value:key of:[NSArray class] named:@"a list" required:NO];
  for (id object in list) {
    NSString *name = [NSString stringWithFormat:@"%@[%lu]", [self nameOf:key],
                                                (unsigned long)sections.count];
    [sections addObject:[[VibeSettings alloc] initWithObject:object
                                                        name:name
                                                        root:_root ? _root : self]];
  }
  return sections;
}

@end
