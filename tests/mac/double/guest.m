/** The guest is a program in a process group of its own. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#import "double.h"

extern char **environ;

/** The environment with VIBE_DOUBLE_CONFIG. Nothing but system calls is safe in a forked child. */
static char **environment_with(const char *configuration) {
  size_t count = 0;
  while (environ[count]) count++;
  char **copy = calloc(count + 2, sizeof *copy);
  memcpy(copy, environ, count * sizeof *copy);
  if (asprintf(&copy[count], "VIBE_DOUBLE_CONFIG=%s", configuration) < 0) abort();
  return copy;
}

pid_t guest_start(VZVirtualMachineConfiguration *configuration, int *control) {
  const char *command = getenv("VIBE_DOUBLE_GUEST");
  char *const arguments[] = {"sh", "-c", (char *)(command ? command : "exec cat"), NULL};
  char **environment = environment_with([configuration json:NO].UTF8String);
  int ports[16], count = 0;
  for (NSNumber *descriptor in configuration.portDescriptors) {
    ports[count++] = (int)descriptor.integerValue;
  }
  int ends[2] = {-1, -1};
  if (command && double_is_set("VIBE_DOUBLE_LIVE") &&
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
    abort();
  }
  *control = ends[0];
  int started[2];  // closes when the child has become the guest, or has failed to
  if (pipe2(started, O_CLOEXEC)) abort();
  pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    // The framework's guests end with the process that has them, too, however that ends. The parent
    // is the thread of the machine's queue, which lives as long as the machine.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < count; i++) fcntl(ports[i], F_SETFD, 0);
    // Without a command the first port is what cat reads and writes.
    int standard = ends[1] >= 0        ? ends[1]
                   : command || !count ? open("/dev/null", O_RDWR)
                                       : ports[0];
    dup2(standard, 0);
    dup2(standard, 1);
    execve("/bin/sh", arguments, environment);
    _exit(127);
  }
  close(started[1]);
  if (ends[1] >= 0) close(ends[1]);
  // A signal that came before would meet the handlers of this process.
  if (read(started[0], &(char){0}, 1)) abort();
  close(started[0]);
  size_t last = 0;
  while (environment[last + 1]) last++;
  free(environment[last]);
  free(environment);
  return child;
}

void guest_tell(int control, NSString *line) {
  NSString *text = [NSString stringWithFormat:@"%@\n", line];
  const char *bytes = text.UTF8String;
  size_t length = strlen(bytes);
  size_t sent = 0;
  for (ssize_t n; sent < length; sent += (size_t)n) {
    n = send(control, bytes + sent, length - sent, MSG_NOSIGNAL);
    if (n <= 0) return;  // its end is told by guest_watch
  }
}

void guest_wait(int control) {
  char c = 0;
  while (c != '\n' && read(control, &c, 1) == 1) continue;
}

void guest_signal(pid_t guest, int signal, BOOL everyone) {
  // The group may not exist yet; it has one process then.
  if (!everyone || kill(-guest, signal) != 0) kill(guest, signal);
}

struct watch {
  pid_t guest;
  dispatch_queue_t queue;
  void (^ended)(int);
};

static void wait_for_guest(struct watch *watch) {
  int status = 0;
  waitpid(watch->guest, &status, 0);
  void (^ended)(int) = watch->ended;
  dispatch_async(watch->queue, ^{
    ended(status);
  });
  watch->queue = nil;
  watch->ended = nil;
  free(watch);
}

static void *watch(void *argument) {
  wait_for_guest(argument);
  vibe_test_count_threads(-1);
  return NULL;
}

void guest_watch(pid_t guest, dispatch_queue_t queue, void (^ended)(int)) {
  struct watch *argument = calloc(1, sizeof *argument);
  argument->guest = guest;
  argument->queue = queue;
  argument->ended = ended;
  vibe_test_count_threads(1);
  pthread_t thread;
  if (pthread_create(&thread, NULL, watch, argument)) abort();
  pthread_detach(thread);
}
