/** The C functions of vibe_vz.h and the table of machines behind the handles. */
#import <Foundation/Foundation.h>
#import <os/lock.h>
#include <stdlib.h>
#import "configuration.h"
#import "machine.h"
#include "vibe_vz.h"

static os_unfair_lock table_lock = OS_UNFAIR_LOCK_INIT;  // guards the two below
static NSMutableDictionary<NSNumber *, VibeMachine *> *table;
static uint32_t last_handle;

static uint32_t add(VibeMachine *machine) {
  os_unfair_lock_lock(&table_lock);
  if (!table) table = [[NSMutableDictionary alloc] init];
  uint32_t handle = ++last_handle;
  [table setObject:machine forKey:@(handle)];
  os_unfair_lock_unlock(&table_lock);
  return handle;
}

static VibeMachine *find(uint32_t handle) {
  os_unfair_lock_lock(&table_lock);
  VibeMachine *machine = [table objectForKey:@(handle)];
  os_unfair_lock_unlock(&table_lock);
  return machine;
}

static VibeMachine *take(uint32_t handle) {
  os_unfair_lock_lock(&table_lock);
  VibeMachine *machine = [table objectForKey:@(handle)];
  [table removeObjectForKey:@(handle)];
  os_unfair_lock_unlock(&table_lock);
  return machine;
}

uint32_t vibe_vz_abi(void) {
  return VIBE_VZ_ABI;
}

static NSString *rosetta_state(void) {
#if VIBE_ARM64_API
  switch (VZLinuxRosettaDirectoryShare.availability) {
    case VZLinuxRosettaAvailabilityInstalled: return @"installed";
    case VZLinuxRosettaAvailabilityNotInstalled: return @"not installed";
    case VZLinuxRosettaAvailabilityNotSupported: break;
  }
#endif
  return @"not supported";
}

static BOOL can_save(void) {
#if VIBE_ARM64_API
  if (@available(macOS 14.0, *)) return YES;
#endif
  return NO;
}

static BOOL can_nest(void) {
  if (@available(macOS 15.0, *)) {
    return VZGenericPlatformConfiguration.isNestedVirtualizationSupported;
  }
  return NO;
}

static NSDictionary *host(void) {
  NSMutableArray *bridges = [NSMutableArray array];
  for (VZBridgedNetworkInterface *interface in VZBridgedNetworkInterface.networkInterfaces) {
    [bridges addObject:interface.identifier];
  }
#if defined(__aarch64__)
  NSString *architecture = @"arm64";
#else
  NSString *architecture = @"x86_64";
#endif
  return @{
    @"supported" : [NSNumber numberWithBool:VZVirtualMachine.isSupported],
    @"architecture" : architecture,
    @"cpus" : @{
      @"min" : @(VZVirtualMachineConfiguration.minimumAllowedCPUCount),
      @"max" : @(VZVirtualMachineConfiguration.maximumAllowedCPUCount),
    },
    @"memory" : @{
      @"min" : @(VZVirtualMachineConfiguration.minimumAllowedMemorySize),
      @"max" : @(VZVirtualMachineConfiguration.maximumAllowedMemorySize),
    },
    @"saveRestore" : [NSNumber numberWithBool:can_save()],
    @"nested" : [NSNumber numberWithBool:can_nest()],
    @"rosetta" : rosetta_state(),
    @"bridges" : bridges,
  };
}

char *vibe_vz_host(void) {
  @autoreleasepool {
    NSDictionary *answer;
    @try {
      answer = host();
    } @catch (NSException *exception) {
      answer = @{@"error" : VibeDescribeException(exception)};
    }
    return VibeCopyJSON(answer);
  }
}

/** The answer of vibe_vz_create. */
static NSDictionary *create(const char *json) {
  VibeSettings *settings = [[VibeSettings alloc] initWithJSON:json];
  NSMutableDictionary *answer = [NSMutableDictionary dictionary];
  VZVirtualMachineConfiguration *configuration = VibeConfiguration(settings, answer);
  if (!configuration) return @{@"error" : (NSDictionary *)settings.problem};
  VibeMachine *machine = [[VibeMachine alloc] initWithConfiguration:configuration];
  [answer setObject:@(add(machine)) forKey:@"machine"];
  return answer;
}

char *vibe_vz_create(const char *configuration) {
  @autoreleasepool {
    NSDictionary *answer;
    @try {
      answer = create(configuration);
    } @catch (NSException *exception) {
      answer = @{@"error" : VibeDescribeException(exception)};
    }
    return VibeCopyJSON(answer);
  }
}

int32_t vibe_vz_request(uint32_t handle, uint32_t operation, uint32_t token,
                        const char *argument) {
  @autoreleasepool {
    VibeMachine *machine = find(handle);
    if (!machine) return -1;
    if (operation < VIBE_OPERATION_START || operation > VIBE_OPERATION_SHARE) return -2;
    NSString *copy = argument ? [NSString stringWithUTF8String:argument] : nil;
    [machine perform:operation token:token argument:copy];
    return 0;
  }
}

char *vibe_vz_next_event(uint32_t handle, int32_t timeout_ms) {
  @autoreleasepool {
    NSDictionary *event = [find(handle) nextEventWithin:timeout_ms];
    return event ? VibeCopyJSON(event) : NULL;
  }
}

int32_t vibe_vz_close(uint32_t handle) {
  @autoreleasepool {
    VibeMachine *machine = take(handle);
    if (!machine) return -1;
    [machine close];
    return 0;
  }
}

void vibe_vz_free(char *string) {
  free(string);
}
