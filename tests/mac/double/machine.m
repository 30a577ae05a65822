/** The machine: queue confinement, states, the guest. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#import "double.h"

static NSString *const WRONG_STATE = @"The virtual machine is not in a state for this.";

@implementation VZVirtualMachine {
  VZVirtualMachineConfiguration *_configuration;
  dispatch_queue_t _queue;
  VZVirtualMachineState _state;
  __weak id<VZVirtualMachineDelegate> _delegate;
  pid_t _guest;
  int _control;  // to a guest that listens, or -1
  int _unanswered;
  NSMutableArray *_shares;
}

+ (BOOL)isSupported {
  double_may_raise();
  return YES;
}

- (instancetype)init { return [super init]; }

- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration
                                queue:(dispatch_queue_t)queue {
  if (!configuration.isValidated) double_raise(@"Invalid virtual machine configuration.");
  if ((self = [super init])) {
    _configuration = configuration;
    _queue = queue;
    _control = -1;
    _shares = (NSMutableArray *)[NSMutableArray array];
    for (VZVirtioFileSystemDeviceConfiguration *device in configuration.directorySharingDevices) {
      [_shares addObject:[[VZVirtioFileSystemDevice alloc] initWithConfiguration:device
                                                                         machine:self]];
    }
  }
  return self;
}

/** The framework ends a process that does not keep to the queue; an exception is easier to test. */
- (void)checkQueue {
  if (!vibe_test_is_on_queue(_queue)) double_raise(@"called outside of the machine's queue");
}

- (VZVirtualMachineState)state {
  [self checkQueue];
  return _state;
}
- (id<VZVirtualMachineDelegate>)delegate {
  [self checkQueue];
  return _delegate;
}
- (void)setDelegate:(id<VZVirtualMachineDelegate>)delegate {
  [self checkQueue];
  _delegate = delegate;
}
- (NSArray *)directorySharingDevices {
  [self checkQueue];
  return _shares;
}
- (void)tellGuest:(NSDictionary *)text {
  if (_control < 0) return;
  guest_tell(_control, double_json(text));
  _unanswered++;
  // A paused one answers once it goes on, for which this queue is needed.
  while (_state == VZVirtualMachineStateRunning && _unanswered > 0) {
    guest_wait(_control);
    _unanswered--;
  }
}
- (void)closeControl {
  if (_control >= 0) close(_control);
  _control = -1;
}
- (BOOL)canStop {
  [self checkQueue];
  return _state == VZVirtualMachineStateRunning || _state == VZVirtualMachineStatePaused;
}

/** Takes up `state` and calls the handler, later, as the framework does. */
- (void)later:(VZVirtualMachineState)state
        error:(NSError *)error
      handler:(void (^)(NSError *))handler {
  dispatch_async(_queue, ^{
    self->_state = state;
    handler(error);
  });
}

/** True in one of the allowed states; otherwise the handler is called with an error. */
- (BOOL)allow:(VZVirtualMachineState)one or:(VZVirtualMachineState)other
         code:(NSInteger)code handler:(void (^)(NSError *))handler {
  [self checkQueue];
  if (_state == one || _state == other) return YES;
  dispatch_async(_queue, ^{
    handler(double_error(code, WRONG_STATE, nil));
  });
  return NO;
}

- (void)startWithCompletionHandler:(void (^)(NSError *))handler {
  double_may_raise();
  if (![self allow:VZVirtualMachineStateStopped
                or:VZVirtualMachineStateError
              code:VZErrorInvalidVirtualMachineStateTransition
           handler:handler]) {
    return;
  }
  _state = VZVirtualMachineStateStarting;
  _guest = guest_start(_configuration, &_control);
  if (_guest < 0) {
    NSError *error = double_error(VZErrorInternal, @"The guest could not be started.", nil);
    [self later:VZVirtualMachineStateStopped error:error handler:handler];
    return;
  }
  [self later:VZVirtualMachineStateRunning error:nil handler:handler];
  guest_watch(_guest, _queue, ^(int status) {
    [self guestEnded:status];
  });
  if (!double_is_set("VIBE_DOUBLE_NETWORK_LOST")) return;
  dispatch_async(_queue, ^{
    [self->_delegate virtualMachine:self
                            networkDevice:[[VZNetworkDevice alloc] init]
        attachmentWasDisconnectedWithError:double_error(7, @"The network was lost.", nil)];
  });
}

- (void)guestEnded:(int)status {
  _guest = 0;
  [self closeControl];
  // Stopped from outside: the handler of that said so.
  if (_state == VZVirtualMachineStateStopping || _state == VZVirtualMachineStateStopped) return;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    _state = VZVirtualMachineStateStopped;
    [_delegate guestDidStopVirtualMachine:self];
  } else {
    _state = VZVirtualMachineStateError;
    NSError *error = double_error(VZErrorInternal, @"The virtual machine stopped unexpectedly.", nil);
    [_delegate virtualMachine:self didStopWithError:error];
  }
}

- (void)stopWithCompletionHandler:(void (^)(NSError *))handler {
  if (![self allow:VZVirtualMachineStateRunning
                or:VZVirtualMachineStatePaused
              code:VZErrorInvalidVirtualMachineStateTransition
           handler:handler]) {
    return;
  }
  _state = VZVirtualMachineStateStopping;
  if (_guest > 0) guest_signal(_guest, SIGKILL, YES);
  [self later:VZVirtualMachineStateStopped error:nil handler:handler];
}

- (void)pauseWithCompletionHandler:(void (^)(NSError *))handler {
  if (![self allow:VZVirtualMachineStateRunning
                or:VZVirtualMachineStateRunning
              code:VZErrorInvalidVirtualMachineStateTransition
           handler:handler]) {
    return;
  }
  _state = VZVirtualMachineStatePausing;
  if (_guest > 0) guest_signal(_guest, SIGSTOP, YES);
  [self later:VZVirtualMachineStatePaused error:nil handler:handler];
}

- (void)resumeWithCompletionHandler:(void (^)(NSError *))handler {
  if (![self allow:VZVirtualMachineStatePaused
                or:VZVirtualMachineStatePaused
              code:VZErrorInvalidVirtualMachineStateTransition
           handler:handler]) {
    return;
  }
  _state = VZVirtualMachineStateResuming;
  if (_guest > 0) guest_signal(_guest, SIGCONT, YES);
  [self later:VZVirtualMachineStateRunning error:nil handler:handler];
}

- (BOOL)requestStopWithError:(NSError **)error {
  [self checkQueue];
  if (_state != VZVirtualMachineStateRunning) {
    return double_refuse(error, VZErrorInvalidVirtualMachineState, WRONG_STATE, nil);
  }
  guest_signal(_guest, SIGTERM, NO);
  return YES;
}

- (void)saveMachineStateToURL:(NSURL *)file completionHandler:(void (^)(NSError *))handler {
  if (![self allow:VZVirtualMachineStatePaused
                or:VZVirtualMachineStatePaused
              code:VZErrorInvalidVirtualMachineState
           handler:handler]) {
    return;
  }
  _state = VZVirtualMachineStateSaving;
  FILE *stream = fopen(file.path.UTF8String, "w");
  if (stream) {
    fputs([_configuration json:YES].UTF8String, stream);
    fclose(stream);
  }
  [self later:VZVirtualMachineStatePaused
        error:stream ? nil : double_error(11, @"The machine could not be saved.", nil)
      handler:handler];
}

- (void)restoreMachineStateFromURL:(NSURL *)file completionHandler:(void (^)(NSError *))handler {
  if (![self allow:VZVirtualMachineStateStopped
                or:VZVirtualMachineStateStopped
              code:VZErrorInvalidVirtualMachineStateTransition
           handler:handler]) {
    return;
  }
  _state = VZVirtualMachineStateRestoring;
  char saved[8192] = {0};
  FILE *stream = fopen(file.path.UTF8String, "r");
  if (stream) {
    if (!fread(saved, 1, sizeof saved - 1, stream)) saved[0] = 0;
    fclose(stream);
  }
  BOOL same = !strcmp(saved, [_configuration json:YES].UTF8String);
  [self later:same ? VZVirtualMachineStatePaused : VZVirtualMachineStateStopped
        error:same ? nil
                   : double_error(VZErrorRestore, @"The machine could not be restored.",
                                  @"Invalid argument.")
      handler:handler];
}

/** A machine that is let go while it runs takes its guest along. */
- (void)dealloc {
  if (_guest > 0) guest_signal(_guest, SIGKILL, YES);
  [self closeControl];
}

@end

/** Breaks the rule of the queue; answers the double's complaint, for vibe_vz_free. */
__attribute__((visibility("default"))) char *vibe_test_break_queue_rule(void) {
  @autoreleasepool {
    VZVirtualMachineConfiguration *configuration = [[VZVirtualMachineConfiguration alloc] init];
    configuration.bootLoader = [[VZLinuxBootLoader alloc]
        initWithKernelURL:[NSURL fileURLWithPath:@"/kernel"]];
    configuration.CPUCount = 1;
    configuration.memorySize = 64 << 20;
    @try {
      if (![configuration validateWithError:NULL]) return strdup("not valid");
      dispatch_queue_t queue = dispatch_queue_create("test", DISPATCH_QUEUE_SERIAL);
      VZVirtualMachine *machine = [[VZVirtualMachine alloc] initWithConfiguration:configuration
                                                                            queue:queue];
      return strdup(machine.state == VZVirtualMachineStateStopped ? "no complaint" : "?");
    } @catch (NSException *exception) {
      return strdup(((NSString *)exception.reason).UTF8String);
    }
  }
}
