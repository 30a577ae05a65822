/** libdispatch's serial queues and semaphores, and os_unfair_lock. Manual reference counting. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#import <dispatch/dispatch.h>
#import <os/lock.h>
#import "mrc.h"

void *_Block_copy(const void *block);
void _Block_release(const void *block);
void *objc_autoreleasePoolPush(void);
void objc_autoreleasePoolPop(void *pool);

struct item {
  dispatch_block_t block;
  struct item *next;
};

/** A queue's thread outlives the object until its items are done, so this is apart from it. */
struct queue {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct item *first, **last;
  BOOL released;
};

static _Thread_local struct queue *current_queue;

/** How many threads may hold objects, for tests that wait until all is let go. */
static int thread_count;
static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t count_changed = PTHREAD_COND_INITIALIZER;

void vibe_test_count_threads(int change) {
  pthread_mutex_lock(&count_lock);
  thread_count += change;
  pthread_cond_broadcast(&count_changed);
  pthread_mutex_unlock(&count_lock);
}

/** Waits until no thread is left, at most some seconds. Answers how many are. */
__attribute__((visibility("default"))) int32_t vibe_test_wait_for_threads(int32_t seconds) {
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += seconds;
  pthread_mutex_lock(&count_lock);
  while (thread_count && !pthread_cond_timedwait(&count_changed, &count_lock, &deadline)) continue;
  int left = thread_count;
  pthread_mutex_unlock(&count_lock);
  return left;
}

@interface OS_dispatch_queue : NSObject {
 @public
  struct queue *_queue;
}
@end

static void *run(void *argument) {
  struct queue *queue = current_queue = argument;
  for (;;) {
    pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->released) pthread_cond_wait(&queue->changed, &queue->lock);
    struct item *item = queue->first;
    if (item && !(queue->first = item->next)) queue->last = &queue->first;
    pthread_mutex_unlock(&queue->lock);
    if (!item) break;
    void *pool = objc_autoreleasePoolPush();
    item->block();
    _Block_release((const void *)item->block);
    objc_autoreleasePoolPop(pool);
    free(item);
  }
  pthread_cond_destroy(&queue->changed);
  pthread_mutex_destroy(&queue->lock);
  free(queue);
  vibe_test_count_threads(-1);
  return NULL;
}

@implementation OS_dispatch_queue
- (void)dealloc {
  pthread_mutex_lock(&_queue->lock);
  _queue->released = YES;
  pthread_cond_signal(&_queue->changed);
  pthread_mutex_unlock(&_queue->lock);
  [super dealloc];
}
@end

dispatch_queue_t dispatch_queue_create(const char *label, dispatch_queue_attr_t attributes) {
  (void)label, (void)attributes;
  OS_dispatch_queue *object = [[OS_dispatch_queue alloc] init];
  struct queue *queue = object->_queue = calloc(1, sizeof *queue);
  queue->last = &queue->first;
  vibe_test_count_threads(1);
  pthread_mutex_init(&queue->lock, NULL);
  pthread_cond_init(&queue->changed, NULL);
  pthread_t thread;
  if (pthread_create(&thread, NULL, run, queue)) runtime_die("no thread for a queue");
  pthread_detach(thread);
  return (dispatch_queue_t)object;
}

void dispatch_async(dispatch_queue_t object, dispatch_block_t block) {
  struct queue *queue = ((OS_dispatch_queue *)object)->_queue;
  struct item *item = calloc(1, sizeof *item);
  item->block = (dispatch_block_t)_Block_copy((const void *)block);
  pthread_mutex_lock(&queue->lock);
  *queue->last = item;
  queue->last = &item->next;
  pthread_cond_signal(&queue->changed);
  pthread_mutex_unlock(&queue->lock);
}

/** Whether the caller runs on a queue. */
BOOL vibe_test_is_on_queue(dispatch_queue_t object) {
  return current_queue == ((OS_dispatch_queue *)object)->_queue;
}

@interface OS_dispatch_semaphore : NSObject {
 @public
  sem_t _semaphore;
}
@end

@implementation OS_dispatch_semaphore
- (void)dealloc {
  sem_destroy(&_semaphore);
  [super dealloc];
}
@end

dispatch_semaphore_t dispatch_semaphore_create(intptr_t value) {
  OS_dispatch_semaphore *object = [[OS_dispatch_semaphore alloc] init];
  sem_init(&object->_semaphore, 0, (unsigned)value);
  return (dispatch_semaphore_t)object;
}

intptr_t dispatch_semaphore_signal(dispatch_semaphore_t object) {
  return sem_post(&((OS_dispatch_semaphore *)object)->_semaphore);
}

intptr_t dispatch_semaphore_wait(dispatch_semaphore_t object, dispatch_time_t timeout) {
  sem_t *semaphore = &((OS_dispatch_semaphore *)object)->_semaphore;
  struct timespec deadline = {(time_t)(timeout / 1000000000), (long)(timeout % 1000000000)};
  // Both end early (EINTR) only for a signal's sake: wait on.
  int failed;
  do {
    failed = timeout == DISPATCH_TIME_FOREVER ? sem_wait(semaphore)
                                              : sem_timedwait(semaphore, &deadline);
  } while (failed && timeout == DISPATCH_TIME_FOREVER);
  return failed;
}

dispatch_time_t dispatch_time(dispatch_time_t when, int64_t nanoseconds) {
  (void)when;  // DISPATCH_TIME_NOW
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (uint64_t)nanoseconds;
}

void os_unfair_lock_lock(os_unfair_lock *lock) {
  while (__atomic_exchange_n(&lock->opaque, 1, __ATOMIC_ACQUIRE)) sched_yield();
}

void os_unfair_lock_unlock(os_unfair_lock *lock) {
  __atomic_store_n(&lock->opaque, 0, __ATOMIC_RELEASE);
}
