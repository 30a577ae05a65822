#import "configuration.h"
#include "vibe_vz.h"

static VZBootLoader *linux_boot_loader(VibeSettings *boot) {
  NSURL *kernel = [boot requiredFile:@"kernel"];
  if (!kernel) return nil;
  VZLinuxBootLoader *loader = [[VZLinuxBootLoader alloc] initWithKernelURL:kernel];
  NSString *commandLine = [boot string:@"commandLine"];
  if (commandLine) loader.commandLine = commandLine;
  if ([boot has:@"initrd"]) loader.initialRamdiskURL = [boot requiredFile:@"initrd"];
  return loader;
}

static VZBootLoader *efi_boot_loader(VibeSettings *boot) {
  NSURL *file = [boot requiredFile:@"variableStore"];
  if (!file) return nil;
  VZEFIBootLoader *loader = [[VZEFIBootLoader alloc] init];
  if ([boot flag:@"create"]) {
    NSError *error = nil;
    loader.variableStore = [[VZEFIVariableStore alloc]
        initCreatingVariableStoreAtURL:file
                               options:VZEFIVariableStoreInitializationOptionAllowOverwrite
                                 error:&error];
    if (!loader.variableStore) return [boot refuse:@"variableStore" error:error];
  } else {
    loader.variableStore = [[VZEFIVariableStore alloc] initWithURL:file];
  }
  return loader;
}

static VZBootLoader *boot_loader(VibeSettings *settings) {
  VibeSettings *boot = [settings requiredSection:@"boot"];
  return [boot has:@"variableStore"] ? efi_boot_loader(boot) : linux_boot_loader(boot);
}

static BOOL enable_nesting(VZGenericPlatformConfiguration *platform) {
  if (@available(macOS 15.0, *)) {
    if (VZGenericPlatformConfiguration.isNestedVirtualizationSupported) {
      platform.nestedVirtualizationEnabled = YES;
      return YES;
    }
  }
  return NO;
}

static VZPlatformConfiguration *platform(VibeSettings *settings, NSMutableDictionary *identity) {
  VZGenericPlatformConfiguration *platform = [[VZGenericPlatformConfiguration alloc] init];
  NSString *given = [settings string:@"machineIdentifier"];
  if (given) {
    NSData *data = [[NSData alloc] initWithBase64EncodedString:given
                                                       options:(NSDataBase64DecodingOptions)0];
    VZGenericMachineIdentifier *identifier =
        data ? [[VZGenericMachineIdentifier alloc] initWithDataRepresentation:data] : nil;
    if (!identifier) {
      return [settings refuse:@"machineIdentifier"
                         code:VIBE_ERROR_SETTING
                      because:@"it is not a machine identifier"];
    }
    platform.machineIdentifier = identifier;
  }
  NSData *kept = platform.machineIdentifier.dataRepresentation;
  [identity setObject:[kept base64EncodedStringWithOptions:(NSDataBase64EncodingOptions)0]
               forKey:@"machineIdentifier"];
  if ([settings flag:@"nested"] && !enable_nesting(platform)) {
    return [settings refuse:@"nested"
                       code:VIBE_ERROR_UNSUPPORTED
                    because:@"nested virtualization needs macOS 15 and an M3 chip or later"];
  }
  return platform;
}

VZVirtualMachineConfiguration *VibeConfiguration(VibeSettings *settings,
                                                 NSMutableDictionary *identity) {
  VZVirtualMachineConfiguration *configuration = [[VZVirtualMachineConfiguration alloc] init];
  configuration.CPUCount = (NSUInteger)[settings requiredInteger:@"cpus"];
  configuration.memorySize = [settings requiredInteger:@"memory"];
  configuration.bootLoader = boot_loader(settings);
  VZPlatformConfiguration *generic = platform(settings, identity);
  if (generic) configuration.platform = generic;
  configuration.storageDevices = VibeDisks(settings);
  configuration.directorySharingDevices = VibeShares(settings);
  configuration.consoleDevices = VibePorts(settings);
  configuration.networkDevices = VibeNetworks(settings, identity);
  configuration.entropyDevices = @[ [[VZVirtioEntropyDeviceConfiguration alloc] init] ];
  configuration.memoryBalloonDevices =
      @[ [[VZVirtioTraditionalMemoryBalloonDeviceConfiguration alloc] init] ];
  if ([settings flag:@"vsock"]) {
    configuration.socketDevices = @[ [[VZVirtioSocketDeviceConfiguration alloc] init] ];
  }
  NSError *error = nil;
  if (!settings.problem && ![configuration validateWithError:&error]) {
    [settings refuse:nil error:error];
  }
  return settings.problem ? nil : configuration;
}
