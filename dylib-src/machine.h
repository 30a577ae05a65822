/** One machine: its queue, its operations, its events. */
#pragma once
#import <Virtualization/Virtualization.h>

NS_ASSUME_NONNULL_BEGIN

/** Every method may be called from any thread. */
@interface VibeMachine : NSObject <VZVirtualMachineDelegate>

- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration;

/** Asks for a VIBE_OPERATION_*; the outcome comes as an event. */
- (void)perform:(uint32_t)operation token:(uint32_t)token argument:(nullable NSString *)argument;

/** Waits for an event, forever if `milliseconds` is negative. nil: none came, or closed. */
- (nullable NSDictionary *)nextEventWithin:(int32_t)milliseconds;

/** No events from here on; the machine is stopped if it runs, and let go. */
- (void)close;

@end

NS_ASSUME_NONNULL_END
