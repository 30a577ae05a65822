/** NSJSONSerialization. Manual reference counting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#import "mrc.h"

/** What is left of the text. A parse function answers nil where the text makes no sense. */
struct text {
  const char *p, *end;
  int depth;
};

static id parse_value(struct text *text);

static int next_is(struct text *text, char c) {
  while (text->p < text->end && strchr(" \t\r\n", *text->p)) text->p++;
  if (text->p == text->end || *text->p != c) return 0;
  text->p++;
  return 1;
}

static void put_utf8(FILE *stream, unsigned c) {
  if (c < 0x80) {
    fputc((int)c, stream);
    return;
  }
  int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  fputc((int)((0xf00u >> more & 0xffu) | c >> (6 * more)), stream);
  while (more--) fputc((int)(0x80 | (c >> (6 * more) & 63)), stream);
}

static unsigned parse_hex4(struct text *text) {
  char digits[5] = {0};
  if (text->end - text->p < 4) return 0xfffd;
  memcpy(digits, text->p, 4);
  text->p += 4;
  return (unsigned)strtoul(digits, NULL, 16);
}

static void parse_escape(struct text *text, FILE *stream) {
  static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
  char c = text->p < text->end ? *text->p++ : '\\';
  const char *known = strchr(from, c);
  if (c == 'u') {
    unsigned code = parse_hex4(text);
    if (code >= 0xd800 && code < 0xdc00 && text->end - text->p > 6) {
      text->p += 2;  // the second half's \u
      code = 0x10000 + ((code - 0xd800) << 10) + (parse_hex4(text) - 0xdc00);
    }
    put_utf8(stream, code);
  } else {
    fputc(known ? to[known - from] : c, stream);
  }
}

static NSString *parse_string(struct text *text) {
  char *bytes = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&bytes, &length);
  while (text->p < text->end && *text->p != '"') {
    if (*text->p == '\\') {
      text->p++;
      parse_escape(text, stream);
    } else {
      fputc(*text->p++, stream);
    }
  }
  fclose(stream);
  NSString *string = nil;
  if (text->p++ < text->end) {
    string = [[[NSString alloc] initWithBytes:bytes length:length] autorelease];
  }
  free(bytes);
  return string;
}

static id parse_array(struct text *text) {
  NSMutableArray *array = [NSMutableArray array];
  if (next_is(text, ']')) return array;
  do {
    id value = parse_value(text);
    if (!value) return nil;
    [array addObject:value];
  } while (next_is(text, ','));
  return next_is(text, ']') ? array : nil;
}

static id parse_object(struct text *text) {
  NSMutableDictionary *dictionary = [NSMutableDictionary dictionary];
  if (next_is(text, '}')) return dictionary;
  do {
    NSString *key = next_is(text, '"') ? parse_string(text) : nil;
    id value = key && next_is(text, ':') ? parse_value(text) : nil;
    if (!value) return nil;
    [dictionary setObject:value forKey:key];
  } while (next_is(text, ','));
  return next_is(text, '}') ? dictionary : nil;
}

static id parse_number(struct text *text) {
  char *after;
  double value = strtod(text->p, &after);
  if (after == text->p || after > text->end) return nil;
  BOOL fraction = strcspn(text->p, ".eE") < (size_t)(after - text->p);
  long long integer = strtoll(text->p, NULL, 10);
  text->p = after;
  return fraction ? [NSNumber numberWithDouble:value] : [NSNumber numberWithLongLong:integer];
}

static id parse_word(struct text *text) {
  static const char *words[] = {"true", "false", "null"};
  for (int i = 0; i < 3; i++) {
    size_t length = strlen(words[i]);
    if ((size_t)(text->end - text->p) < length || memcmp(text->p, words[i], length)) continue;
    text->p += length;
    return i == 2 ? [[[NSNull alloc] init] autorelease] : [NSNumber numberWithBool:i == 0];
  }
  return parse_number(text);
}

static id parse_value(struct text *text) {
  if (text->depth == 100) return nil;
  text->depth++;
  id value = next_is(text, '{')   ? parse_object(text)
             : next_is(text, '[') ? parse_array(text)
             : next_is(text, '"') ? parse_string(text)
                                  : parse_word(text);
  text->depth--;
  return value;
}

static void write_string(FILE *stream, NSString *string) {
  fputc('"', stream);
  for (const char *p = string.UTF8String; *p; p++) {
    if (*p == '"' || *p == '\\') {
      fprintf(stream, "\\%c", *p);
    } else if ((unsigned char)*p < ' ') {
      fprintf(stream, "\\u%04x", *p);
    } else {
      fputc(*p, stream);
    }
  }
  fputc('"', stream);
}

static void write_value(FILE *stream, id value) {
  const char *separator = "";
  if ([value isKindOfClass:[NSString class]]) {
    write_string(stream, value);
  } else if ([value isKindOfClass:[NSNumber class]]) {
    NSNumber *number = value;
    if (number.isBoolean) {
      fputs(number.boolValue ? "true" : "false", stream);
    } else if (number.isFloat) {
      fprintf(stream, "%.17g", number.doubleValue);
    } else {
      fprintf(stream, "%lld", number.longLongValue);
    }
  } else if ([value isKindOfClass:[NSArray class]]) {
    fputc('[', stream);
    for (id item in (NSArray *)value) {
      fputs(separator, stream);
      write_value(stream, item);
      separator = ",";
    }
    fputc(']', stream);
  } else if ([value isKindOfClass:[NSDictionary class]]) {
    fputc('{', stream);
    for (NSString *key in ((NSDictionary *)value).allKeys) {
      fputs(separator, stream);
      write_string(stream, key);
      fputc(':', stream);
      write_value(stream, [value objectForKey:key]);
      separator = ",";
    }
    fputc('}', stream);
  } else {
    [NSException raise:@"NSInvalidArgumentException" reason:@"Invalid type in JSON write"];
  }
}

@implementation NSJSONSerialization
+ (id)JSONObjectWithData:(NSData *)data
                 options:(NSJSONReadingOptions)options
                   error:(NSError **)error {
  (void)options;
  // Foundation's data has no terminator; this one's has, which strtod wants.
  struct text text = {data.bytes, (const char *)data.bytes + data.length, 0};
  id value = parse_value(&text);
  next_is(&text, 0);
  BOOL container = [value isKindOfClass:[NSDictionary class]] ||
                   [value isKindOfClass:[NSArray class]];
  if (container && text.p == text.end) return value;
  *error = [NSError errorWithDomain:@"NSCocoaErrorDomain"
                               code:3840
                            failure:@"The data is not in the correct format."
                             reason:nil];
  return nil;
}
+ (NSData *)dataWithJSONObject:(id)object
                       options:(NSJSONWritingOptions)options
                         error:(NSError **)error {
  (void)options, (void)error;
  char *bytes = NULL;
  size_t length = 0;
  FILE *stream = open_memstream(&bytes, &length);
  write_value(stream, object);
  fclose(stream);
  NSData *data = [NSData dataWithBytes:bytes length:length];
  free(bytes);
  return data;
}
@end
