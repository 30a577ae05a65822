/** What the parts of the double know of each other. */
#pragma once
#define VIBE_DOUBLE 1
#import <Virtualization/Virtualization.h>
#include <sys/types.h>
#import "../runtime/foundation.h"

NS_ASSUME_NONNULL_BEGIN

/** Codes of VZErrorDomain. */
enum {
  VZErrorInternal = 1,
  VZErrorInvalidVirtualMachineConfiguration = 2,
  VZErrorInvalidVirtualMachineState = 3,
  VZErrorInvalidVirtualMachineStateTransition = 4,
  VZErrorInvalidDiskImage = 5,
  VZErrorRestore = 12,
};

NSError *double_error(NSInteger code, NSString *failure, NSString *_Nullable reason);
/** Fills in `error` where the caller wants one. Answers NO. */
BOOL double_refuse(NSError *_Nullable *_Nullable error, NSInteger code, NSString *failure,
                   NSString *_Nullable reason);
/** Raises NSInvalidArgumentException. */
void double_raise(NSString *reason) __attribute__((noreturn));
BOOL double_is_set(const char *variable);
/** Raises if the scene says so. */
void double_may_raise(void);

/** What a configuration object says of itself in VIBE_DOUBLE_CONFIG. */
@interface NSObject (VibeDouble)
- (NSDictionary *)describe;
@end

@interface VZVirtualMachineConfiguration (VibeDouble)
@property(readonly) BOOL isValidated;
/** The sockets of all ports. */
@property(readonly) NSArray<NSNumber *> *portDescriptors;
/** All of it as JSON; `forRestore` leaves out what may differ between a save and a restore. */
- (NSString *)json:(BOOL)forRestore;
@end

@interface VZVirtualMachine (VibeDouble)
/** Raises unless it is called on the machine's queue. */
- (void)checkQueue;
/** Tells a guest that listens (VIBE_DOUBLE_LIVE), and waits until it has done what that says. */
- (void)tellGuest:(NSDictionary *)text;
@end

@interface VZVirtioFileSystemDevice (VibeDouble)
- (instancetype)initWithConfiguration:(VZVirtioFileSystemDeviceConfiguration *)configuration
                              machine:(VZVirtualMachine *)machine;
@end

/** JSON of an object of the double's. */
NSString *double_json(id object);

BOOL vibe_test_is_on_queue(dispatch_queue_t queue);
void vibe_test_count_threads(int change);

/**
 * Starts the guest in a process group of its own; -1 if that fails. `control`: set to a socket that
 * is the guest's stdin and stdout if it listens, else to -1.
 */
pid_t guest_start(VZVirtualMachineConfiguration *configuration, int *control);
/** Writes a line to a guest that listens. */
void guest_tell(int control, NSString *line);
/** Waits for its answer to one line, or for its end. */
void guest_wait(int control);
/** Sends a signal to the guest's first process, or to all of the group. */
void guest_signal(pid_t guest, int signal, BOOL everyone);
/** Calls `ended` on `queue` with the wait status once the guest's first process has ended. */
void guest_watch(pid_t guest, dispatch_queue_t queue, void (^ended)(int status));

NS_ASSUME_NONNULL_END
