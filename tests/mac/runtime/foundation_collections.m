/** Arrays and dictionaries. Manual reference counting. */
#include <stdlib.h>
#include <string.h>
#import "mrc.h"

static NSUInteger enumerate(NSFastEnumerationState *state, id *items, NSUInteger count,
                            unsigned long *mutations) {
  if (state->state) return 0;
  state->state = 1;
  state->itemsPtr = items;
  state->mutationsPtr = mutations;
  return count;
}

@implementation NSArray {
 @public
  id *_items;
  NSUInteger _count, _capacity;
  unsigned long _mutations;
}
+ (id)array { return [[[self alloc] init] autorelease]; }
+ (id)arrayWithObjects:(const id[])objects count:(NSUInteger)count {
  NSMutableArray *array = [NSMutableArray array];
  for (NSUInteger i = 0; i < count; i++) [array addObject:objects[i]];
  return array;
}
- (void)dealloc {
  for (NSUInteger i = 0; i < _count; i++) [_items[i] release];
  free(_items);
  [super dealloc];
}
- (NSUInteger)count { return _count; }
- (id)objectAtIndex:(NSUInteger)index {
  if (index >= _count) [NSException raise:@"NSRangeException" reason:@"index beyond bounds"];
  return _items[index];
}
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState *)state
                                  objects:(id *)buffer
                                    count:(NSUInteger)length {
  (void)buffer, (void)length;
  return enumerate(state, _items, _count, &_mutations);
}
@end

@implementation NSMutableArray
- (void)addObject:(id)object {
  if (!object) [NSException raise:@"NSInvalidArgumentException" reason:@"object cannot be nil"];
  if (_count == _capacity) {
    _capacity = _capacity * 2 + 4;
    _items = realloc(_items, _capacity * sizeof *_items);
  }
  _items[_count++] = [object retain];
  _mutations++;
}
- (void)removeObjectAtIndex:(NSUInteger)index {
  [_items[index] release];
  memmove(_items + index, _items + index + 1, (--_count - index) * sizeof *_items);
  _mutations++;
}
- (void)removeAllObjects {
  while (_count) [_items[--_count] release];
  _mutations++;
}
@end

@implementation NSDictionary {
 @public
  id *_keys, *_values;
  NSUInteger _count, _capacity;
  unsigned long _mutations;
}
+ (id)dictionary { return [[[self alloc] init] autorelease]; }
+ (id)dictionaryWithObjects:(const id[])objects forKeys:(const id[])keys count:(NSUInteger)count {
  NSMutableDictionary *dictionary = [NSMutableDictionary dictionary];
  for (NSUInteger i = 0; i < count; i++) [dictionary setObject:objects[i] forKey:keys[i]];
  return dictionary;
}
- (void)dealloc {
  for (NSUInteger i = 0; i < _count; i++) {
    [_keys[i] release];
    [_values[i] release];
  }
  free(_keys);
  free(_values);
  [super dealloc];
}
- (NSUInteger)indexOf:(id)key {
  NSUInteger index = 0;
  while (index < _count && ![_keys[index] isEqual:key]) index++;
  return index;
}
- (id)objectForKey:(id)key {
  NSUInteger index = [self indexOf:key];
  return index < _count ? _values[index] : nil;
}
- (NSArray *)allKeys { return [NSArray arrayWithObjects:_keys count:_count]; }
- (NSUInteger)countByEnumeratingWithState:(NSFastEnumerationState *)state
                                  objects:(id *)buffer
                                    count:(NSUInteger)length {
  (void)buffer, (void)length;
  return enumerate(state, _keys, _count, &_mutations);
}
@end

@implementation NSMutableDictionary
- (void)setObject:(id)object forKey:(id)key {
  if (!object || !key) {
    [NSException raise:@"NSInvalidArgumentException" reason:@"object and key cannot be nil"];
  }
  NSUInteger index = [self indexOf:key];
  [object retain];
  if (index < _count) {
    [_values[index] release];
    _values[index] = object;
    return;
  }
  if (_count == _capacity) {
    _capacity = _capacity * 2 + 4;
    _keys = realloc(_keys, _capacity * sizeof *_keys);
    _values = realloc(_values, _capacity * sizeof *_values);
  }
  _keys[_count] = [key retain];
  _values[_count++] = object;
  _mutations++;
}
- (void)removeObjectForKey:(id)key {
  NSUInteger index = [self indexOf:key];
  if (index == _count) return;
  [_keys[index] release];
  [_values[index] release];
  _count--;
  memmove(_keys + index, _keys + index + 1, (_count - index) * sizeof *_keys);
  memmove(_values + index, _values + index + 1, (_count - index) * sizeof *_values);
  _mutations++;
}
@end
