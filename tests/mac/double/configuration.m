/** The configuration as a whole: boot, platform, validation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#import "double.h"

NSError *double_error(NSInteger code, NSString *failure, NSString *reason) {
  return [NSError errorWithDomain:@"VZErrorDomain" code:code failure:failure reason:reason];
}

BOOL double_refuse(NSError **error, NSInteger code, NSString *failure, NSString *reason) {
  if (error) *error = double_error(code, failure, reason);
  return NO;
}

void double_raise(NSString *reason) {
  [NSException raise:@"NSInvalidArgumentException" reason:reason];
  __builtin_unreachable();
}

void double_may_raise(void) {
  if (double_is_set("VIBE_DOUBLE_RAISE")) double_raise(@"raised by the double");
}

BOOL double_is_set(const char *variable) {
  const char *value = getenv(variable);
  return value && *value && strcmp(value, "0") != 0;
}

NSString *double_json(id object) {
  NSData *data = [NSJSONSerialization dataWithJSONObject:object
                                                 options:(NSJSONWritingOptions)0
                                                   error:NULL];
  return [[NSString alloc] initWithBytes:data.bytes length:data.length];
}

@implementation VZBootLoader
- (instancetype)init { return [super init]; }
@end

@implementation VZLinuxBootLoader {
  NSURL *_kernel;
}
- (instancetype)initWithKernelURL:(NSURL *)kernel {
  if ((self = [super init])) {
    _kernel = kernel;
    _commandLine = @"";
  }
  return self;
}
- (NSDictionary *)describe {
  NSMutableDictionary *text = [NSMutableDictionary dictionary];
  [text setObject:_kernel.path forKey:@"kernel"];
  [text setObject:self.commandLine forKey:@"commandLine"];
  if (self.initialRamdiskURL) [text setObject:self.initialRamdiskURL.path forKey:@"initrd"];
  return text;
}
@end

@implementation VZEFIVariableStore {
 @public
  NSURL *_file;
}
- (instancetype)initWithURL:(NSURL *)file {
  if ((self = [super init])) _file = file;
  return self;
}
- (instancetype)initCreatingVariableStoreAtURL:(NSURL *)file
                                       options:(VZEFIVariableStoreInitializationOptions)options
                                         error:(NSError **)error {
  (void)options;
  FILE *stream = fopen(file.path.UTF8String, "w");
  if (!stream) {
    double_refuse(error, VZErrorInternal, @"The variable store could not be created.", nil);
    return nil;
  }
  fclose(stream);
  return [self initWithURL:file];
}
@end

@implementation VZEFIBootLoader
- (instancetype)init { return [super init]; }
- (NSDictionary *)describe { return @{@"variableStore" : self.variableStore->_file.path}; }
@end

@implementation VZGenericMachineIdentifier {
  NSData *_data;
}
- (instancetype)init {
  if ((self = [super init])) {
    unsigned char bytes[16];
    if (getentropy(bytes, sizeof bytes)) abort();
    _data = [NSData dataWithBytes:bytes length:sizeof bytes];
  }
  return self;
}
- (instancetype)initWithDataRepresentation:(NSData *)data {
  if (data.length != 16) return nil;
  if ((self = [super init])) _data = data;
  return self;
}
- (NSData *)dataRepresentation { return _data; }
@end

@implementation VZPlatformConfiguration
- (instancetype)init { return [super init]; }
@end

@implementation VZGenericPlatformConfiguration
- (instancetype)init {
  if ((self = [super init])) _machineIdentifier = [[VZGenericMachineIdentifier alloc] init];
  return self;
}
+ (BOOL)isNestedVirtualizationSupported { return double_is_set("VIBE_DOUBLE_NESTED"); }
- (NSDictionary *)describe {
  NSData *data = self.machineIdentifier.dataRepresentation;
  return @{
    @"machineIdentifier" : [data base64EncodedStringWithOptions:(NSDataBase64EncodingOptions)0],
    @"nested" : [NSNumber numberWithBool:self.nestedVirtualizationEnabled],
  };
}
@end

static NSArray *describe_all(NSArray *devices) {
  NSMutableArray *texts = [NSMutableArray array];
  for (NSObject *device in devices) [texts addObject:[device describe]];
  return texts;
}

@implementation VZVirtualMachineConfiguration {
  BOOL _validated;
}
- (instancetype)init {
  if ((self = [super init])) {
    _platform = [[VZGenericPlatformConfiguration alloc] init];
    NSArray *none = [NSArray array];
    _consoleDevices = none;
    _directorySharingDevices = none;
    _entropyDevices = none;
    _memoryBalloonDevices = none;
    _networkDevices = none;
    _socketDevices = none;
    _storageDevices = none;
  }
  return self;
}
+ (uint64_t)minimumAllowedMemorySize { return 4ull << 20; }
+ (uint64_t)maximumAllowedMemorySize { return 64ull << 30; }
+ (NSUInteger)minimumAllowedCPUCount { return 1; }
+ (NSUInteger)maximumAllowedCPUCount { return 16; }

- (NSString *)whatIsInvalid {
  const char *entitled = getenv("VIBE_DOUBLE_ENTITLED");
  if (entitled && !strcmp(entitled, "0")) {
    // The compiler makes UTF-16 of a constant that is not ASCII, which the test runtime is not for.
    return [NSString stringWithUTF8String:"The process doesn’t have the "
                                          "“com.apple.security.virtualization” entitlement."];
  }
  if (!self.bootLoader) return @"A boot loader is required.";
  if (self.CPUCount < 1 || self.CPUCount > 16) return @"The number of CPUs is out of range.";
  if (self.memorySize % (1 << 20)) return @"The memory size is not a multiple of one megabyte.";
  if (self.memorySize < 4ull << 20 || self.memorySize > 64ull << 30) {
    return @"The memory size is out of range.";
  }
  for (NSObject *one in self.directorySharingDevices) {
    for (NSObject *other in self.directorySharingDevices) {
      NSString *tag = [[one describe] objectForKey:@"tag"];
      if (one != other && [tag isEqualToString:[[other describe] objectForKey:@"tag"]]) {
        return @"Two directory sharing devices have the same tag.";
      }
    }
  }
  return nil;
}
- (BOOL)validateWithError:(NSError **)error {
  double_may_raise();
  NSString *reason = [self whatIsInvalid];
  if (reason) {
    return double_refuse(error, VZErrorInvalidVirtualMachineConfiguration,
                         @"Invalid virtual machine configuration.", reason);
  }
  return _validated = YES;
}
- (BOOL)isValidated { return _validated; }
- (NSArray *)portDescriptors {
  NSMutableArray *descriptors = (NSMutableArray *)[NSMutableArray array];
  for (NSObject *device in self.consoleDevices) {
    for (NSDictionary *port in (NSArray *)[[device describe] objectForKey:@"ports"]) {
      [descriptors addObject:(NSNumber *)[port objectForKey:@"fd"]];
    }
  }
  return descriptors;
}
- (BOOL)validateSaveRestoreSupportWithError:(NSError **)error {
  if (!double_is_set("VIBE_DOUBLE_UNSAVABLE")) return YES;
  return double_refuse(error, VZErrorInvalidVirtualMachineConfiguration,
                       @"Invalid virtual machine configuration.",
                       @"A device does not support being saved.");
}
- (NSString *)json:(BOOL)forRestore {
  NSMutableDictionary *text = [NSMutableDictionary dictionary];
  [text setObject:@(self.CPUCount) forKey:@"cpus"];
  [text setObject:@(self.memorySize) forKey:@"memory"];
  [text setObject:[self.bootLoader describe] forKey:@"boot"];
  [text setObject:[self.platform describe] forKey:@"platform"];
  [text setObject:describe_all(self.storageDevices) forKey:@"disks"];
  [text setObject:describe_all(self.directorySharingDevices) forKey:@"shares"];
  [text setObject:describe_all(self.networkDevices) forKey:@"networks"];
  [text setObject:@(self.entropyDevices.count) forKey:@"entropy"];
  [text setObject:@(self.memoryBalloonDevices.count) forKey:@"balloon"];
  [text setObject:@(self.socketDevices.count) forKey:@"vsock"];
  if (!forRestore) [text setObject:describe_all(self.consoleDevices) forKey:@"consoles"];
  return double_json(text);
}
@end
