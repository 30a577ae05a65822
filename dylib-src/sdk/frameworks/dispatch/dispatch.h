/** What the bridge uses of libdispatch, where queues and semaphores are objects under ARC. */
#pragma once
#import <Foundation/Foundation.h>

#define OS_OBJECT_RETURNS_RETAINED __attribute__((ns_returns_retained))

@protocol OS_dispatch_queue
@end
@protocol OS_dispatch_semaphore
@end
typedef NSObject<OS_dispatch_queue> *dispatch_queue_t;
typedef NSObject<OS_dispatch_semaphore> *dispatch_semaphore_t;
typedef struct dispatch_queue_attr_s *dispatch_queue_attr_t;
typedef void (^dispatch_block_t)(void);
typedef uint64_t dispatch_time_t;

#define DISPATCH_QUEUE_SERIAL ((dispatch_queue_attr_t)0)
#define DISPATCH_TIME_NOW (0ull)
#define DISPATCH_TIME_FOREVER (~0ull)
#define NSEC_PER_MSEC 1000000ull

dispatch_queue_t dispatch_queue_create(const char *label,
                                       dispatch_queue_attr_t attributes) OS_OBJECT_RETURNS_RETAINED;
void dispatch_async(dispatch_queue_t queue, dispatch_block_t block);
dispatch_semaphore_t dispatch_semaphore_create(intptr_t value) OS_OBJECT_RETURNS_RETAINED;
intptr_t dispatch_semaphore_signal(dispatch_semaphore_t semaphore);
/** 0, or something else after the timeout. */
intptr_t dispatch_semaphore_wait(dispatch_semaphore_t semaphore, dispatch_time_t timeout);
dispatch_time_t dispatch_time(dispatch_time_t when, int64_t nanoseconds);
