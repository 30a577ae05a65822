#import "machine.h"
#import <dispatch/dispatch.h>
#import <os/lock.h>
#import "configuration.h"
#include "vibe_vz.h"

@implementation VibeMachine {
  VZVirtualMachineConfiguration *_configuration;
  dispatch_queue_t _queue;     // serial; the framework wants every call to be made on it
  VZVirtualMachine *_machine;  // touched on _queue only, as is the next
  BOOL _leaving;
  dispatch_semaphore_t _arrived;
  os_unfair_lock _lock;  // guards the two below
  NSMutableArray<NSDictionary *> *_events;
  BOOL _closed;
}

- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration {
  if ((self = [super init])) {
    _configuration = configuration;
    _queue = dispatch_queue_create("vibe.machine", DISPATCH_QUEUE_SERIAL);
    _arrived = dispatch_semaphore_create(0);
    _lock = OS_UNFAIR_LOCK_INIT;
    _events = [NSMutableArray array];
    _machine = [[VZVirtualMachine alloc] initWithConfiguration:configuration queue:_queue];
    // The queue is serial, so this is done before any operation.
    dispatch_async(_queue, ^{
      self->_machine.delegate = self;
    });
  }
  return self;
}

- (void)post:(NSDictionary *)event {
  os_unfair_lock_lock(&_lock);
  if (!_closed) [_events addObject:event];
  os_unfair_lock_unlock(&_lock);
  dispatch_semaphore_signal(_arrived);
}

- (NSDictionary *)nextEventWithin:(int32_t)milliseconds {
  dispatch_time_t deadline =
      milliseconds < 0 ? DISPATCH_TIME_FOREVER
                       : dispatch_time(DISPATCH_TIME_NOW, milliseconds * (int64_t)NSEC_PER_MSEC);
  if (dispatch_semaphore_wait(_arrived, deadline)) return nil;
  NSDictionary *event = nil;
  os_unfair_lock_lock(&_lock);
  if (_events.count) {
    event = [_events objectAtIndex:0];
    [_events removeObjectAtIndex:0];
  }
  os_unfair_lock_unlock(&_lock);
  return event;
}

/** The outcome of an operation. On _queue. */
- (void)finish:(uint32_t)token problem:(NSDictionary *)problem {
  NSMutableDictionary *event = [NSMutableDictionary dictionary];
  [event setObject:@"done" forKey:@"type"];
  [event setObject:@(token) forKey:@"token"];
  if (problem) [event setObject:problem forKey:@"error"];
  [self post:event];
  if (_leaving) [self leave];
}

- (void)perform:(uint32_t)operation token:(uint32_t)token argument:(NSString *)argument {
  dispatch_async(_queue, ^{
    @try {
      [self start:operation token:token argument:argument];
    } @catch (NSException *exception) {
      [self finish:token problem:VibeDescribeException(exception)];
    }
  });
}

/** Begins an operation. On _queue, where the framework calls the handler, too. */
- (void)start:(uint32_t)operation token:(uint32_t)token argument:(NSString *)argument {
  void (^handler)(NSError *) = ^(NSError *error) {
    [self finish:token problem:error ? VibeDescribeError(error) : nil];
  };
  switch (operation) {
    case VIBE_OPERATION_START: [_machine startWithCompletionHandler:handler]; break;
    case VIBE_OPERATION_STOP: [_machine stopWithCompletionHandler:handler]; break;
    case VIBE_OPERATION_PAUSE: [_machine pauseWithCompletionHandler:handler]; break;
    case VIBE_OPERATION_RESUME: [_machine resumeWithCompletionHandler:handler]; break;
    case VIBE_OPERATION_REQUEST_STOP: [self requestStop:handler]; break;
    case VIBE_OPERATION_SAVE:
    case VIBE_OPERATION_RESTORE:
      if (!argument) {
        NSString *message = @"a path is needed";
        [self finish:token problem:VibeDescribeProblem(VIBE_ERROR_SETTING, message)];
      } else if (![self transfer:operation
                            file:[NSURL fileURLWithPath:(NSString *)argument]
                         handler:handler]) {
        NSString *message = @"saving and restoring needs macOS 14 on Apple silicon";
        [self finish:token problem:VibeDescribeProblem(VIBE_ERROR_UNSUPPORTED, message)];
      }
      break;
    case VIBE_OPERATION_SHARE:
      [self finish:token problem:[self share:argument ? argument : @""]];
      break;
  }
}

/** Gives the device of a tag other directories; answers what is wrong. On _queue. */
- (NSDictionary *)share:(NSString *)json {
  VibeSettings *settings = [[VibeSettings alloc] initWithJSON:(const char *)json.UTF8String];
  NSString *tag = [settings requiredString:@"tag"];
  VZDirectoryShare *share = VibeDirectories(settings);
  if (settings.problem) return settings.problem;
  // The framework has no device of another kind for what VibeShares configures.
  for (VZVirtioFileSystemDevice *device in _machine.directorySharingDevices) {
    if (![device.tag isEqualToString:tag]) continue;
    device.share = share;
    return nil;
  }
  [settings refuse:@"tag" code:VIBE_ERROR_SETTING because:@"no device has it"];
  return settings.problem;
}

- (void)requestStop:(void (^)(NSError *))handler {
  NSError *error = nil;
  handler([_machine requestStopWithError:&error] ? nil : error);
}

/** Begins to save or restore; NO if this Mac cannot. */
- (BOOL)transfer:(uint32_t)operation file:(NSURL *)file handler:(void (^)(NSError *))handler {
#if VIBE_ARM64_API
  if (@available(macOS 14.0, *)) {
    NSError *error = nil;
    if (![_configuration validateSaveRestoreSupportWithError:&error]) {
      handler(error);
    } else if (operation == VIBE_OPERATION_SAVE) {
      [_machine saveMachineStateToURL:file completionHandler:handler];
    } else {
      [_machine restoreMachineStateFromURL:file completionHandler:handler];
    }
    return YES;
  }
#else
  (void)operation, (void)file, (void)handler;
#endif
  return NO;
}

- (void)close {
  os_unfair_lock_lock(&_lock);
  _closed = YES;
  [_events removeAllObjects];
  os_unfair_lock_unlock(&_lock);
  dispatch_semaphore_signal(_arrived);
  dispatch_async(_queue, ^{
    self->_machine.delegate = nil;
    self->_leaving = YES;
    [self leave];
  });
}

/** Stops the machine and lets it go. In the middle of a transition, the end of that calls again. */
- (void)leave {
  VZVirtualMachine *machine = _machine;
  if (machine.canStop) {
    _machine = nil;
    // The handler keeps the machine until it has stopped.
    [machine stopWithCompletionHandler:^(NSError *error) {
      (void)error, (void)machine;
    }];
  } else if (machine.state == VZVirtualMachineStateStopped ||
             machine.state == VZVirtualMachineStateError) {
    _machine = nil;
  }
}

// VZVirtualMachineDelegate, called on _queue.

- (void)guestDidStopVirtualMachine:(VZVirtualMachine *)machine {
  (void)machine;
  [self post:@{@"type" : @"stopped"}];
}

- (void)virtualMachine:(VZVirtualMachine *)machine didStopWithError:(NSError *)error {
  (void)machine;
  [self post:@{@"type" : @"stopped", @"error" : VibeDescribeError(error)}];
}

- (void)virtualMachine:(VZVirtualMachine *)machine
                          networkDevice:(VZNetworkDevice *)device
    attachmentWasDisconnectedWithError:(NSError *)error {
  (void)machine, (void)device;
  [self post:@{@"type" : @"network", @"error" : VibeDescribeError(error)}];
}

@end
