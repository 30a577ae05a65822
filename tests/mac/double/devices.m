/** Disks, shares, console ports, networks and the devices without settings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#import "double.h"

@implementation VZStorageDeviceAttachment
- (instancetype)init { return [super init]; }
@end

@implementation VZDiskImageStorageDeviceAttachment {
  NSURL *_file;
  BOOL _readOnly;
  VZDiskImageCachingMode _caching;
  VZDiskImageSynchronizationMode _synchronization;
}
- (instancetype)initWithURL:(NSURL *)file
                   readOnly:(BOOL)readOnly
                cachingMode:(VZDiskImageCachingMode)caching
        synchronizationMode:(VZDiskImageSynchronizationMode)synchronization
                      error:(NSError **)error {
  struct stat status;
  if (stat(file.path.UTF8String, &status) != 0 || status.st_size % 512 || !status.st_size) {
    double_refuse(error, VZErrorInvalidDiskImage, @"Invalid disk image.",
                  @"The disk image format is not recognized.");
    return nil;
  }
  if ((self = [super init])) {
    _file = file;
    _readOnly = readOnly;
    _caching = caching;
    _synchronization = synchronization;
  }
  return self;
}
- (NSDictionary *)describe {
  return @{
    @"path" : _file.path,
    @"readOnly" : [NSNumber numberWithBool:_readOnly],
    @"caching" : @(_caching),
    @"synchronization" : @(_synchronization),
  };
}
@end

@implementation VZStorageDeviceConfiguration
- (instancetype)init { return [super init]; }
@end

@implementation VZVirtioBlockDeviceConfiguration {
  VZStorageDeviceAttachment *_attachment;
}
- (instancetype)initWithAttachment:(VZStorageDeviceAttachment *)attachment {
  if ((self = [super init])) {
    _attachment = attachment;
    _blockDeviceIdentifier = @"";
  }
  return self;
}
+ (BOOL)validateBlockDeviceIdentifier:(NSString *)identifier error:(NSError **)error {
  BOOL ascii = identifier.length <= 20;
  for (const char *p = identifier.UTF8String; *p; p++) ascii = ascii && *p > 0;
  return ascii || double_refuse(error, VZErrorInvalidVirtualMachineConfiguration,
                                @"Invalid block device identifier.", nil);
}
- (NSDictionary *)describe {
  NSMutableDictionary *text = (NSMutableDictionary *)[_attachment describe];
  [text setObject:self.blockDeviceIdentifier forKey:@"identifier"];
  return text;
}
@end

@implementation VZSharedDirectory {
  NSURL *_directory;
  BOOL _readOnly;
}
- (instancetype)initWithURL:(NSURL *)directory readOnly:(BOOL)readOnly {
  if ((self = [super init])) {
    _directory = directory;
    _readOnly = readOnly;
  }
  return self;
}
- (NSDictionary *)describe {
  return @{@"path" : _directory.path, @"readOnly" : [NSNumber numberWithBool:_readOnly]};
}
@end

@implementation VZDirectoryShare
- (instancetype)init { return [super init]; }
@end

@implementation VZMultipleDirectoryShare {
  NSDictionary *_directories;
}
- (instancetype)initWithDirectories:(NSDictionary *)directories {
  for (NSString *name in directories.allKeys) {
    if (![VZMultipleDirectoryShare validateName:name error:NULL]) double_raise(@"Invalid name.");
  }
  if ((self = [super init])) _directories = directories;
  return self;
}
+ (BOOL)validateName:(NSString *)name error:(NSError **)error {
  const char *bytes = name.UTF8String;
  if (name.length > 0 && name.length < 256 && !strchr(bytes, '/') && strcmp(bytes, ".") != 0 &&
      strcmp(bytes, "..") != 0) {
    return YES;
  }
  return double_refuse(error, VZErrorInvalidVirtualMachineConfiguration,
                       @"Invalid directory name.", nil);
}
- (NSDictionary *)describe {
  NSMutableDictionary *text = [NSMutableDictionary dictionary];
  for (NSString *name in _directories.allKeys) {
    [text setObject:[[_directories objectForKey:name] describe] forKey:name];
  }
  return @{@"directories" : text};
}
@end

@implementation VZLinuxRosettaDirectoryShare
+ (VZLinuxRosettaAvailability)availability {
  const char *state = getenv("VIBE_DOUBLE_ROSETTA");
  if (!state) return VZLinuxRosettaAvailabilityNotSupported;
  return strcmp(state, "installed") ? VZLinuxRosettaAvailabilityNotInstalled
                                    : VZLinuxRosettaAvailabilityInstalled;
}
- (instancetype)initWithError:(NSError **)error {
  if (VZLinuxRosettaDirectoryShare.availability != VZLinuxRosettaAvailabilityInstalled) {
    double_refuse(error, VZErrorInvalidVirtualMachineConfiguration,
                  @"Rosetta for Linux is not available.", nil);
    return nil;
  }
  return [super init];
}
- (NSDictionary *)describe { return @{@"rosetta" : [NSNumber numberWithBool:YES]}; }
@end

@implementation VZDirectorySharingDeviceConfiguration
- (instancetype)init { return [super init]; }
@end

@implementation VZVirtioFileSystemDeviceConfiguration {
  NSString *_tag;
}
- (instancetype)initWithTag:(NSString *)tag {
  if ((self = [super init])) _tag = tag;
  return self;
}
+ (BOOL)validateTag:(NSString *)tag error:(NSError **)error {
  if (tag.length > 0 && tag.length < 36) return YES;
  return double_refuse(error, VZErrorInvalidVirtualMachineConfiguration, @"Invalid tag.", nil);
}
- (NSDictionary *)describe {
  NSMutableDictionary *text = (NSMutableDictionary *)[self.share describe];
  [text setObject:_tag forKey:@"tag"];
  return text;
}
@end

@implementation VZDirectorySharingDevice
- (instancetype)init { return [super init]; }
@end

@implementation VZVirtioFileSystemDevice {
  NSString *_tag;
  VZDirectoryShare *_share;
  __weak VZVirtualMachine *_machine;
}
- (instancetype)initWithConfiguration:(VZVirtioFileSystemDeviceConfiguration *)configuration
                              machine:(VZVirtualMachine *)machine {
  if ((self = [super init])) {
    _tag = [[configuration describe] objectForKey:@"tag"];
    _share = configuration.share;
    _machine = machine;
  }
  return self;
}
- (NSString *)tag {
  [_machine checkQueue];
  return _tag;
}
- (VZDirectoryShare *)share {
  [_machine checkQueue];
  return _share;
}
- (void)setShare:(VZDirectoryShare *)share {
  [_machine checkQueue];
  _share = share;
  NSMutableDictionary *text = (NSMutableDictionary *)[share describe];
  [text setObject:_tag forKey:@"tag"];
  [_machine tellGuest:text];
}
@end

@implementation VZSerialPortAttachment
- (instancetype)init { return [super init]; }
@end

@implementation VZFileHandleSerialPortAttachment {
  NSFileHandle *_reading, *_writing;
}
- (instancetype)initWithFileHandleForReading:(NSFileHandle *)reading
                        fileHandleForWriting:(NSFileHandle *)writing {
  if ((self = [super init])) {
    _reading = reading;
    _writing = writing;
  }
  return self;
}
- (NSDictionary *)describe {
  // Both are ends of one socket; the guest is given one of them.
  if (_reading.fileDescriptor == _writing.fileDescriptor) double_raise(@"one descriptor for both");
  return @{@"fd" : @((unsigned)_reading.fileDescriptor)};
}
@end

@implementation VZConsolePortConfiguration
- (instancetype)init { return [super init]; }
@end

@implementation VZVirtioConsolePortConfiguration
- (instancetype)init { return [super init]; }
- (NSDictionary *)describe {
  NSMutableDictionary *text = (NSMutableDictionary *)[self.attachment describe];
  if (self.name) [text setObject:(NSString *)self.name forKey:@"name"];
  [text setObject:[NSNumber numberWithBool:self.isConsole] forKey:@"console"];
  return text;
}
@end

@implementation VZVirtioConsolePortConfigurationArray {
 @public
  NSMutableArray *_ports;
}
- (instancetype)init {
  if ((self = [super init])) _ports = (NSMutableArray *)[NSMutableArray array];
  return self;
}
- (void)setObject:(VZVirtioConsolePortConfiguration *)port atIndexedSubscript:(NSUInteger)index {
  if (index != _ports.count) double_raise(@"the double takes ports in order");
  if (port) [_ports addObject:port];
}
@end

@implementation VZConsoleDeviceConfiguration
- (instancetype)init { return [super init]; }
@end

@implementation VZVirtioConsoleDeviceConfiguration {
  VZVirtioConsolePortConfigurationArray *_ports;
}
- (instancetype)init {
  if ((self = [super init])) _ports = [[VZVirtioConsolePortConfigurationArray alloc] init];
  return self;
}
- (VZVirtioConsolePortConfigurationArray *)ports { return _ports; }
- (NSDictionary *)describe {
  NSMutableArray *ports = (NSMutableArray *)[NSMutableArray array];
  for (NSObject *port in _ports->_ports) [ports addObject:[port describe]];
  return @{@"ports" : ports};
}
@end

@implementation VZMACAddress {
  NSString *_string;
}
- (instancetype)initWithString:(NSString *)string {
  unsigned a[6];
  char after;
  if (string.length != 17 || sscanf(string.UTF8String, "%2x:%2x:%2x:%2x:%2x:%2x%c", a, a + 1, a + 2,
                                    a + 3, a + 4, a + 5, &after) != 6) {
    return nil;
  }
  if ((self = [super init])) _string = string;
  return self;
}
+ (VZMACAddress *)randomLocallyAdministeredAddress {
  unsigned char b[6];
  char text[18];
  if (getentropy(b, sizeof b)) abort();
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", (b[0] & 0xfc) | 2, b[1], b[2], b[3],
           b[4], b[5]);
  return [[VZMACAddress alloc]
      initWithString:(NSString *)[NSString stringWithUTF8String:text]];
}
- (NSString *)string { return _string; }
@end

@implementation VZNetworkDeviceAttachment
- (instancetype)init { return [super init]; }
@end

@implementation VZNATNetworkDeviceAttachment
- (instancetype)init { return [super init]; }
- (NSDictionary *)describe { return @{@"mode" : @"nat"}; }
@end

@implementation VZBridgedNetworkInterface {
  NSString *_identifier;
}
+ (NSArray *)networkInterfaces {
  NSMutableArray *interfaces = (NSMutableArray *)[NSMutableArray array];
  const char *names = getenv("VIBE_DOUBLE_BRIDGES");
  for (size_t length; names && *names; names += length + strspn(names + length, " ")) {
    length = strcspn(names, " ");
    VZBridgedNetworkInterface *interface = [[VZBridgedNetworkInterface alloc] init];
    interface->_identifier = [[NSString alloc] initWithBytes:names length:length];
    [interfaces addObject:interface];
  }
  return interfaces;
}
- (instancetype)init { return [super init]; }
- (NSString *)identifier { return _identifier; }
@end

@implementation VZBridgedNetworkDeviceAttachment {
  VZBridgedNetworkInterface *_interface;
}
- (instancetype)initWithInterface:(VZBridgedNetworkInterface *)interface {
  if ((self = [super init])) _interface = interface;
  return self;
}
- (NSDictionary *)describe {
  return @{@"mode" : @"bridged", @"interface" : _interface.identifier};
}
@end

@implementation VZNetworkDeviceConfiguration
- (instancetype)init { return [super init]; }
@end

@implementation VZVirtioNetworkDeviceConfiguration
- (instancetype)init { return [super init]; }
- (NSDictionary *)describe {
  NSMutableDictionary *text = (NSMutableDictionary *)[self.attachment describe];
  [text setObject:self.MACAddress.string forKey:@"mac"];
  return text;
}
@end

@implementation VZNetworkDevice
- (instancetype)init { return [super init]; }
@end

@implementation VZEntropyDeviceConfiguration
- (instancetype)init { return [super init]; }
@end
@implementation VZVirtioEntropyDeviceConfiguration
- (instancetype)init { return [super init]; }
@end
@implementation VZMemoryBalloonDeviceConfiguration
- (instancetype)init { return [super init]; }
@end
@implementation VZVirtioTraditionalMemoryBalloonDeviceConfiguration
- (instancetype)init { return [super init]; }
@end
@implementation VZSocketDeviceConfiguration
- (instancetype)init { return [super init]; }
@end
@implementation VZVirtioSocketDeviceConfiguration
- (instancetype)init { return [super init]; }
@end
