#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#import "configuration.h"
#include "vibe_vz.h"

/** The value that a word stands for; `fallback` where the key is absent. Other words are refused. */
static NSInteger choice(VibeSettings *settings, NSString *key, NSDictionary *words,
                        NSInteger fallback) {
  NSString *word = [settings string:key];
  if (!word) return fallback;
  NSNumber *value = [words objectForKey:word];
  if (!value) {
    [settings refuse:key
                code:VIBE_ERROR_SETTING
             because:[NSString stringWithFormat:@"there is no mode \"%@\"", word]];
  }
  return value.integerValue;
}

static VZStorageDeviceConfiguration *disk(VibeSettings *settings) {
  NSURL *file = [settings requiredFile:@"path"];
  NSInteger caching = choice(settings, @"caching", @{
    @"automatic" : @(VZDiskImageCachingModeAutomatic),
    @"cached" : @(VZDiskImageCachingModeCached),
    @"uncached" : @(VZDiskImageCachingModeUncached),
  }, VZDiskImageCachingModeAutomatic);
  NSInteger synchronization = choice(settings, @"synchronization", @{
    @"full" : @(VZDiskImageSynchronizationModeFull),
    @"fsync" : @(VZDiskImageSynchronizationModeFsync),
    @"none" : @(VZDiskImageSynchronizationModeNone),
  }, VZDiskImageSynchronizationModeFull);
  if (settings.problem) return nil;
  NSError *error = nil;
  VZDiskImageStorageDeviceAttachment *attachment = [[VZDiskImageStorageDeviceAttachment alloc]
              initWithURL:file
                 readOnly:[settings flag:@"readOnly"]
              cachingMode:(VZDiskImageCachingMode)caching
      synchronizationMode:(VZDiskImageSynchronizationMode)synchronization
                    error:&error];
  if (!attachment) return [settings refuse:@"path" error:error];
  VZVirtioBlockDeviceConfiguration *device =
      [[VZVirtioBlockDeviceConfiguration alloc] initWithAttachment:attachment];
  NSString *identifier = [settings string:@"identifier"];
  if (identifier) {
    if (![VZVirtioBlockDeviceConfiguration validateBlockDeviceIdentifier:identifier error:&error]) {
      return [settings refuse:@"identifier" error:error];
    }
    device.blockDeviceIdentifier = identifier;
  }
  return device;
}

NSArray<VZStorageDeviceConfiguration *> *VibeDisks(VibeSettings *settings) {
  NSMutableArray *devices = [NSMutableArray array];
  for (VibeSettings *section in [settings sections:@"disks"]) {
    VZStorageDeviceConfiguration *device = disk(section);
    if (device) [devices addObject:device];
  }
  return devices;
}

static VZDirectoryShare *rosetta(VibeSettings *settings) {
#if VIBE_ARM64_API
  NSError *error = nil;
  VZLinuxRosettaDirectoryShare *share = [[VZLinuxRosettaDirectoryShare alloc] initWithError:&error];
  return share ? share : [settings refuse:@"rosetta" error:error];
#else
  return [settings refuse:@"rosetta"
                     code:VIBE_ERROR_UNSUPPORTED
                  because:@"Rosetta for Linux needs Apple silicon"];
#endif
}

VZDirectoryShare *VibeDirectories(VibeSettings *settings) {
  NSMutableDictionary *shared = [NSMutableDictionary dictionary];
  for (VibeSettings *section in [settings sections:@"directories"]) {
    NSString *name = [section requiredString:@"name"];
    NSURL *directory = [section requiredFile:@"path"];
    if (!name || !directory) return nil;
    NSError *error = nil;
    if (![VZMultipleDirectoryShare validateName:name error:&error]) {
      return [section refuse:@"name" error:error];
    }
    [shared setObject:[[VZSharedDirectory alloc] initWithURL:directory
                                                    readOnly:[section flag:@"readOnly"]]
               forKey:name];
  }
  return [[VZMultipleDirectoryShare alloc] initWithDirectories:shared];
}

static VZDirectorySharingDeviceConfiguration *share(VibeSettings *settings) {
  NSString *tag = [settings requiredString:@"tag"];
  NSError *error = nil;
  if (!tag) return nil;
  if (![VZVirtioFileSystemDeviceConfiguration validateTag:tag error:&error]) {
    return [settings refuse:@"tag" error:error];
  }
  VZVirtioFileSystemDeviceConfiguration *device =
      [[VZVirtioFileSystemDeviceConfiguration alloc] initWithTag:tag];
  device.share = [settings flag:@"rosetta"] ? rosetta(settings) : VibeDirectories(settings);
  return device;
}

NSArray<VZDirectorySharingDeviceConfiguration *> *VibeShares(VibeSettings *settings) {
  NSMutableArray *devices = [NSMutableArray array];
  for (VibeSettings *section in [settings sections:@"shares"]) {
    VZDirectorySharingDeviceConfiguration *device = share(section);
    if (device) [devices addObject:device];
  }
  return devices;
}

/** A connected descriptor, or -1 with the setting refused. */
static int connect_to(VibeSettings *settings, NSString *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *bytes = path.UTF8String;
  size_t length = strlen(bytes);
  if (length >= sizeof address.sun_path) {
    [settings refuse:@"socket"
                code:VIBE_ERROR_SETTING
             because:[NSString stringWithFormat:@"the path is longer than %lu bytes",
                                                (unsigned long)sizeof address.sun_path - 1]];
    return -1;
  }
  memcpy(address.sun_path, bytes, length);
#ifdef __APPLE__
  address.sun_len = sizeof address;
#endif
  int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  // Programs that the host process starts have no business with it. (macOS has no SOCK_CLOEXEC.)
  if (descriptor >= 0 && fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 &&
      connect(descriptor, (const struct sockaddr *)&address, sizeof address) == 0) {
    return descriptor;
  }
  [settings refuse:@"socket"
              code:VIBE_ERROR_SETTING
           because:[NSString stringWithFormat:@"cannot connect to \"%@\": %s", path,
                                              strerror(errno)]];
  if (descriptor >= 0) close(descriptor);
  return -1;
}

static VZVirtioConsolePortConfiguration *port(VibeSettings *settings) {
  NSString *path = [settings requiredString:@"socket"];
  int descriptor = path ? connect_to(settings, path) : -1;
  if (descriptor < 0) return nil;
  // One descriptor each: a handle that is done with its direction closes its own.
  int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  NSFileHandle *reading = [[NSFileHandle alloc] initWithFileDescriptor:descriptor
                                                        closeOnDealloc:YES];
  NSFileHandle *writing = [[NSFileHandle alloc] initWithFileDescriptor:duplicate
                                                        closeOnDealloc:YES];
  VZVirtioConsolePortConfiguration *port = [[VZVirtioConsolePortConfiguration alloc] init];
  port.name = [settings string:@"name"];
  port.isConsole = [settings flag:@"console"];
  port.attachment =
      [[VZFileHandleSerialPortAttachment alloc] initWithFileHandleForReading:reading
                                                        fileHandleForWriting:writing];
  return port;
}

NSArray<VZConsoleDeviceConfiguration *> *VibePorts(VibeSettings *settings) {
  NSArray<VibeSettings *> *sections = [settings sections:@"ports"];
  if (!sections.count) return [NSArray array];
  VZVirtioConsoleDeviceConfiguration *device = [[VZVirtioConsoleDeviceConfiguration alloc] init];
  NSUInteger index = 0;
  for (VibeSettings *section in sections) {
    [device.ports setObject:port(section) atIndexedSubscript:index++];
  }
  return @[ device ];
}

static VZNetworkDeviceAttachment *bridge(VibeSettings *network) {
  NSString *name = [network requiredString:@"interface"];
  if (!name) return nil;
  NSString *known = @"";
  for (VZBridgedNetworkInterface *interface in VZBridgedNetworkInterface.networkInterfaces) {
    if ([interface.identifier isEqualToString:name]) {
      return [[VZBridgedNetworkDeviceAttachment alloc] initWithInterface:interface];
    }
    known = [NSString stringWithFormat:@"%@ %@", known, interface.identifier];
  }
  NSString *message =
      known.length
          ? [NSString stringWithFormat:@"there is no interface \"%@\", only%@", name, known]
          : @"no interface can be bridged to; it takes the com.apple.vm.networking entitlement, "
            @"which Apple grants on request";
  return [network refuse:@"interface" code:VIBE_ERROR_UNSUPPORTED because:message];
}

NSArray<VZNetworkDeviceConfiguration *> *VibeNetworks(VibeSettings *settings,
                                                      NSMutableDictionary *identity) {
  if (![settings has:@"network"]) return [NSArray array];
  VibeSettings *network = [settings requiredSection:@"network"];
  NSString *mode = [network requiredString:@"mode"];
  VZVirtioNetworkDeviceConfiguration *device = [[VZVirtioNetworkDeviceConfiguration alloc] init];
  if ([mode isEqualToString:@"nat"]) {
    device.attachment = [[VZNATNetworkDeviceAttachment alloc] init];
  } else if ([mode isEqualToString:@"bridged"]) {
    device.attachment = bridge(network);
  } else {
    [network refuse:@"mode" code:VIBE_ERROR_SETTING because:@"it is neither nat nor bridged"];
  }
  NSString *given = [network string:@"mac"];
  VZMACAddress *address = given ? [[VZMACAddress alloc] initWithString:given]
                                : VZMACAddress.randomLocallyAdministeredAddress;
  if (!address) {
    [network refuse:@"mac" code:VIBE_ERROR_SETTING because:@"it is not a MAC address"];
    return [NSArray array];
  }
  device.MACAddress = address;
  [identity setObject:address.string forKey:@"mac"];
  return @[ device ];
}
