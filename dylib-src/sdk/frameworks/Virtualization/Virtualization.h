/** What the bridge uses of Virtualization; see sdk/README.md. */
#pragma once
#import <Foundation/Foundation.h>
#import <dispatch/dispatch.h>

#define VZ_API(version) __attribute__((availability(macos, introduced = version)))

#ifdef VIBE_DOUBLE  // the tests' double implements these classes and has to initialise them
#define VZ_ABSTRACT
#else
#define VZ_ABSTRACT -(instancetype)init NS_UNAVAILABLE;
#endif

NS_ASSUME_NONNULL_BEGIN

// Boot

VZ_API(11.0) @interface VZBootLoader : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZLinuxBootLoader : VZBootLoader
- (instancetype)initWithKernelURL:(NSURL *)kernelURL;
@property(copy) NSString *commandLine;
@property(copy, nullable) NSURL *initialRamdiskURL;
@end

typedef NS_OPTIONS(NSUInteger, VZEFIVariableStoreInitializationOptions) {
  VZEFIVariableStoreInitializationOptionAllowOverwrite = 1,
};

VZ_API(13.0) @interface VZEFIVariableStore : NSObject
VZ_ABSTRACT
- (instancetype)initWithURL:(NSURL *)URL;
- (nullable instancetype)initCreatingVariableStoreAtURL:(NSURL *)URL
                                                options:(VZEFIVariableStoreInitializationOptions)
                                                            options
                                                  error:(NSError *_Nullable *_Nullable)error;
@end

VZ_API(13.0) @interface VZEFIBootLoader : VZBootLoader
- (instancetype)init;
@property(strong, nullable) VZEFIVariableStore *variableStore;
@end

// Platform

VZ_API(13.0) @interface VZGenericMachineIdentifier : NSObject
- (instancetype)init;
- (nullable instancetype)initWithDataRepresentation:(NSData *)dataRepresentation;
@property(readonly, copy) NSData *dataRepresentation;
@end

VZ_API(12.0) @interface VZPlatformConfiguration : NSObject
VZ_ABSTRACT
@end

VZ_API(12.0) @interface VZGenericPlatformConfiguration : VZPlatformConfiguration
- (instancetype)init;
@property(copy) VZGenericMachineIdentifier *machineIdentifier VZ_API(13.0);
@property(class, readonly, getter=isNestedVirtualizationSupported)
    BOOL nestedVirtualizationSupported VZ_API(15.0);
@property(getter=isNestedVirtualizationEnabled) BOOL nestedVirtualizationEnabled VZ_API(15.0);
@end

// Disks

typedef NS_ENUM(NSInteger, VZDiskImageCachingMode) {
  VZDiskImageCachingModeAutomatic = 0,
  VZDiskImageCachingModeUncached = 1,
  VZDiskImageCachingModeCached = 2,
};

typedef NS_ENUM(NSInteger, VZDiskImageSynchronizationMode) {
  VZDiskImageSynchronizationModeFull = 1,
  VZDiskImageSynchronizationModeFsync = 2,
  VZDiskImageSynchronizationModeNone = 3,
};

VZ_API(11.0) @interface VZStorageDeviceAttachment : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZDiskImageStorageDeviceAttachment : VZStorageDeviceAttachment
- (nullable instancetype)initWithURL:(NSURL *)url
                            readOnly:(BOOL)readOnly
                         cachingMode:(VZDiskImageCachingMode)cachingMode
                 synchronizationMode:(VZDiskImageSynchronizationMode)synchronizationMode
                               error:(NSError *_Nullable *_Nullable)error VZ_API(12.0);
@end

VZ_API(11.0) @interface VZStorageDeviceConfiguration : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZVirtioBlockDeviceConfiguration : VZStorageDeviceConfiguration
- (instancetype)initWithAttachment:(VZStorageDeviceAttachment *)attachment;
+ (BOOL)validateBlockDeviceIdentifier:(NSString *)blockDeviceIdentifier
                                error:(NSError *_Nullable *_Nullable)error VZ_API(12.3);
@property(copy) NSString *blockDeviceIdentifier VZ_API(12.3);
@end

// Shares

VZ_API(12.0) @interface VZSharedDirectory : NSObject
VZ_ABSTRACT
- (instancetype)initWithURL:(NSURL *)url readOnly:(BOOL)readOnly;
@end

VZ_API(12.0) @interface VZDirectoryShare : NSObject
VZ_ABSTRACT
@end

VZ_API(12.0) @interface VZMultipleDirectoryShare : VZDirectoryShare
- (instancetype)initWithDirectories:(NSDictionary<NSString *, VZSharedDirectory *> *)directories;
+ (BOOL)validateName:(NSString *)name error:(NSError *_Nullable *_Nullable)error;
@end

#if defined(__arm64__) || !defined(__APPLE__)
typedef NS_ENUM(NSInteger, VZLinuxRosettaAvailability) {
  VZLinuxRosettaAvailabilityNotSupported = 0,
  VZLinuxRosettaAvailabilityNotInstalled = 1,
  VZLinuxRosettaAvailabilityInstalled = 2,
};

VZ_API(13.0) @interface VZLinuxRosettaDirectoryShare : VZDirectoryShare
- (nullable instancetype)initWithError:(NSError *_Nullable *_Nullable)error;
@property(class, readonly) VZLinuxRosettaAvailability availability;
@end
#endif

VZ_API(12.0) @interface VZDirectorySharingDeviceConfiguration : NSObject
VZ_ABSTRACT
@end

VZ_API(12.0) @interface VZVirtioFileSystemDeviceConfiguration
    : VZDirectorySharingDeviceConfiguration
- (instancetype)initWithTag:(NSString *)tag;
+ (BOOL)validateTag:(NSString *)tag error:(NSError *_Nullable *_Nullable)error;
@property(strong, nullable) VZDirectoryShare *share;
@end

VZ_API(12.0) @interface VZDirectorySharingDevice : NSObject
VZ_ABSTRACT
@end

VZ_API(12.0) @interface VZVirtioFileSystemDevice : VZDirectorySharingDevice
VZ_ABSTRACT
@property(readonly, copy) NSString *tag;
@property(strong, nullable) VZDirectoryShare *share;
@end

// Console ports

VZ_API(11.0) @interface VZSerialPortAttachment : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZFileHandleSerialPortAttachment : VZSerialPortAttachment
- (instancetype)initWithFileHandleForReading:(nullable NSFileHandle *)fileHandleForReading
                        fileHandleForWriting:(nullable NSFileHandle *)fileHandleForWriting;
@end

VZ_API(13.0) @interface VZConsolePortConfiguration : NSObject
VZ_ABSTRACT
@property(strong, nullable) VZSerialPortAttachment *attachment;
@end

VZ_API(13.0) @interface VZVirtioConsolePortConfiguration : VZConsolePortConfiguration
- (instancetype)init;
@property(copy, nullable) NSString *name;
@property BOOL isConsole;
@end

VZ_API(13.0) @interface VZVirtioConsolePortConfigurationArray : NSObject
VZ_ABSTRACT
- (void)setObject:(nullable VZVirtioConsolePortConfiguration *)configuration
    atIndexedSubscript:(NSUInteger)portIndex;
@end

VZ_API(13.0) @interface VZConsoleDeviceConfiguration : NSObject
VZ_ABSTRACT
@end

VZ_API(13.0) @interface VZVirtioConsoleDeviceConfiguration : VZConsoleDeviceConfiguration
- (instancetype)init;
@property(strong, readonly) VZVirtioConsolePortConfigurationArray *ports;
@end

// Network

VZ_API(11.0) @interface VZMACAddress : NSObject
VZ_ABSTRACT
- (nullable instancetype)initWithString:(NSString *)string;
@property(class, readonly) VZMACAddress *randomLocallyAdministeredAddress;
@property(readonly, copy) NSString *string;
@end

VZ_API(11.0) @interface VZNetworkDeviceAttachment : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZNATNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)init;
@end

VZ_API(11.0) @interface VZBridgedNetworkInterface : NSObject
VZ_ABSTRACT
@property(class, readonly) NSArray<VZBridgedNetworkInterface *> *networkInterfaces;
@property(readonly) NSString *identifier;
@end

VZ_API(11.0) @interface VZBridgedNetworkDeviceAttachment : VZNetworkDeviceAttachment
- (instancetype)initWithInterface:(VZBridgedNetworkInterface *)interface;
@end

VZ_API(11.0) @interface VZNetworkDeviceConfiguration : NSObject
VZ_ABSTRACT
@property(copy) VZMACAddress *MACAddress;
@property(strong, nullable) VZNetworkDeviceAttachment *attachment;
@end

VZ_API(11.0) @interface VZVirtioNetworkDeviceConfiguration : VZNetworkDeviceConfiguration
- (instancetype)init;
@end

VZ_API(12.0) @interface VZNetworkDevice : NSObject
VZ_ABSTRACT
@end

// Other devices

VZ_API(11.0) @interface VZEntropyDeviceConfiguration : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZVirtioEntropyDeviceConfiguration : VZEntropyDeviceConfiguration
- (instancetype)init;
@end

VZ_API(11.0) @interface VZMemoryBalloonDeviceConfiguration : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZVirtioTraditionalMemoryBalloonDeviceConfiguration
    : VZMemoryBalloonDeviceConfiguration
- (instancetype)init;
@end

VZ_API(11.0) @interface VZSocketDeviceConfiguration : NSObject
VZ_ABSTRACT
@end

VZ_API(11.0) @interface VZVirtioSocketDeviceConfiguration : VZSocketDeviceConfiguration
- (instancetype)init;
@end

// The machine

VZ_API(11.0) @interface VZVirtualMachineConfiguration : NSObject
@property(strong, nullable) VZBootLoader *bootLoader;
@property uint64_t memorySize;
@property NSUInteger CPUCount;
@property(strong) VZPlatformConfiguration *platform VZ_API(12.0);
@property(copy) NSArray<VZConsoleDeviceConfiguration *> *consoleDevices VZ_API(13.0);
@property(copy) NSArray<VZDirectorySharingDeviceConfiguration *> *directorySharingDevices
    VZ_API(12.0);
@property(copy) NSArray<VZEntropyDeviceConfiguration *> *entropyDevices;
@property(copy) NSArray<VZMemoryBalloonDeviceConfiguration *> *memoryBalloonDevices;
@property(copy) NSArray<VZNetworkDeviceConfiguration *> *networkDevices;
@property(copy) NSArray<VZSocketDeviceConfiguration *> *socketDevices;
@property(copy) NSArray<VZStorageDeviceConfiguration *> *storageDevices;
@property(class, readonly) uint64_t minimumAllowedMemorySize;
@property(class, readonly) uint64_t maximumAllowedMemorySize;
@property(class, readonly) NSUInteger minimumAllowedCPUCount;
@property(class, readonly) NSUInteger maximumAllowedCPUCount;
- (BOOL)validateWithError:(NSError *_Nullable *_Nullable)error;
#if defined(__arm64__) || !defined(__APPLE__)
- (BOOL)validateSaveRestoreSupportWithError:(NSError *_Nullable *_Nullable)error VZ_API(14.0);
#endif
@end

typedef NS_ENUM(NSInteger, VZVirtualMachineState) {
  VZVirtualMachineStateStopped = 0,
  VZVirtualMachineStateRunning = 1,
  VZVirtualMachineStatePaused = 2,
  VZVirtualMachineStateError = 3,
  VZVirtualMachineStateStarting = 4,
  VZVirtualMachineStatePausing = 5,
  VZVirtualMachineStateResuming = 6,
  VZVirtualMachineStateStopping = 7,
  VZVirtualMachineStateSaving VZ_API(14.0) = 8,
  VZVirtualMachineStateRestoring VZ_API(14.0) = 9,
};

@class VZVirtualMachine;

VZ_API(11.0) @protocol VZVirtualMachineDelegate <NSObject>
@optional
- (void)guestDidStopVirtualMachine:(VZVirtualMachine *)virtualMachine;
- (void)virtualMachine:(VZVirtualMachine *)virtualMachine didStopWithError:(NSError *)error;
- (void)virtualMachine:(VZVirtualMachine *)virtualMachine
                          networkDevice:(VZNetworkDevice *)networkDevice
    attachmentWasDisconnectedWithError:(NSError *)error VZ_API(12.0);
@end

VZ_API(11.0) @interface VZVirtualMachine : NSObject
VZ_ABSTRACT
- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration
                                queue:(dispatch_queue_t)queue;
@property(class, readonly, getter=isSupported) BOOL supported;
@property(readonly) VZVirtualMachineState state;
@property(weak, nullable) id<VZVirtualMachineDelegate> delegate;
@property(readonly) BOOL canStop VZ_API(12.0);
@property(readonly, copy) NSArray<VZDirectorySharingDevice *> *directorySharingDevices VZ_API(12.0);
- (void)startWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
- (void)stopWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler
    VZ_API(12.0);
- (void)pauseWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
- (void)resumeWithCompletionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler;
- (BOOL)requestStopWithError:(NSError *_Nullable *_Nullable)error;
#if defined(__arm64__) || !defined(__APPLE__)
- (void)saveMachineStateToURL:(NSURL *)saveFileURL
            completionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler
    VZ_API(14.0);
- (void)restoreMachineStateFromURL:(NSURL *)saveFileURL
                 completionHandler:(void (^)(NSError *_Nullable errorOrNil))completionHandler
    VZ_API(14.0);
#endif
@end

NS_ASSUME_NONNULL_END
