/** From JSON settings to a VZVirtualMachineConfiguration. */
#pragma once
#import <Virtualization/Virtualization.h>
#import "settings.h"

/** 1 where Apple's headers declare what they declare for arm64 only. The tests' ELF build has all. */
#if defined(__arm64__) || !defined(__APPLE__)
#define VIBE_ARM64_API 1
#else
#define VIBE_ARM64_API 0
#endif

NS_ASSUME_NONNULL_BEGIN

/**
 * The validated configuration, or nil with settings.problem set. `identity` is given what
 * vibe_vz_create answers: "machineIdentifier" and "mac".
 */
VZVirtualMachineConfiguration *_Nullable VibeConfiguration(VibeSettings *settings,
                                                           NSMutableDictionary *identity);

// The parts, each empty or nil once something was refused (devices.m).
NSArray<VZStorageDeviceConfiguration *> *VibeDisks(VibeSettings *settings);
NSArray<VZDirectorySharingDeviceConfiguration *> *VibeShares(VibeSettings *settings);
/** What "directories" of one device says, or nil. */
VZDirectoryShare *_Nullable VibeDirectories(VibeSettings *share);
NSArray<VZConsoleDeviceConfiguration *> *VibePorts(VibeSettings *settings);
NSArray<VZNetworkDeviceConfiguration *> *VibeNetworks(VibeSettings *settings,
                                                      NSMutableDictionary *identity);

NS_ASSUME_NONNULL_END
