/** Drives a machine through its life from C. Prints "smoke: ok" or aborts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "vibe_vz.h"

int64_t vibe_test_live_objects(int32_t report);
int32_t vibe_test_wait_for_threads(int32_t seconds);

static void expect(int condition, const char *what, const char *seen) {
  if (condition) return;
  fprintf(stderr, "smoke: %s: %s\n", what, seen ? seen : "(nothing)");
  abort();
}

/** Checks that an answer contains a text, and frees it. */
static void expect_answer(char *answer, const char *wanted) {
  expect(answer && strstr(answer, wanted), wanted, answer);
  vibe_vz_free(answer);
}

/** For `wanted`: the operation succeeded. */
#define DONE NULL

static void request(uint32_t operation, const char *argument, const char *wanted) {
  static uint32_t token;
  expect(vibe_vz_request(1, operation, ++token, argument) == 0, "request", NULL);
  char *event = vibe_vz_next_event(1, 20000);
  if (wanted == DONE) expect(event && !strstr(event, "\"error\""), "no error", event);
  expect_answer(event, wanted == DONE ? "\"type\":\"done\"" : wanted);
}

int main(int argc, char **argv) {
  (void)argc;
  char directory[] = "/tmp/vibe-smoke-XXXXXX", saved[64], configuration[1024];
  expect(mkdtemp(directory) != NULL, "mkdtemp", directory);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/console", directory);
  snprintf(saved, sizeof saved, "%s/saved", directory);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  expect(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind", NULL);
  listen(listener, 1);

  expect(vibe_vz_abi() == VIBE_VZ_ABI, "abi", NULL);
  expect_answer(vibe_vz_host(), "\"supported\":true");
  expect_answer(vibe_vz_create("{"), "NSCocoaErrorDomain");
  expect_answer(vibe_vz_create("{\"cpus\":1,\"memory\":67108864}"), "\"setting\":\"boot\"");
  snprintf(configuration, sizeof configuration,
           "{\"cpus\":2,\"memory\":536870912,\"boot\":{\"kernel\":\"/kernel\"},\"vsock\":true,"
           "\"shares\":[{\"tag\":\"shared\",\"directories\":[{\"name\":\"a\",\"path\":\"/tmp\"}]}],"
           "\"ports\":[{\"socket\":\"%s\",\"console\":true}],\"network\":{\"mode\":\"nat\"}}",
           address.sun_path);
  expect_answer(vibe_vz_create(configuration), "\"machine\":1");
  int console = accept(listener, NULL, NULL);

  const int saves = strcmp(argv[1] ? argv[1] : "saves", "saves") == 0;
  const char *no = "saving and restoring needs macOS 14 on Apple silicon";
  request(VIBE_OPERATION_START, NULL, DONE);
  char echoed[8] = {0};
  expect(write(console, "hello", 5) == 5 && read(console, echoed, 7) == 5, "echo", echoed);
  request(VIBE_OPERATION_SAVE, saved, saves ? "not in a state" : no);
  request(VIBE_OPERATION_SHARE, "{\"tag\":\"none\",\"directories\":[]}", "\"setting\":\"tag\"");
  request(VIBE_OPERATION_SHARE,
          "{\"tag\":\"shared\",\"directories\":[{\"name\":\"b\",\"path\":\"/\"}]}", DONE);
  request(VIBE_OPERATION_PAUSE, NULL, DONE);
  request(VIBE_OPERATION_SAVE, saved, saves ? DONE : no);
  request(VIBE_OPERATION_RESUME, NULL, DONE);
  shutdown(console, SHUT_WR);
  expect_answer(vibe_vz_next_event(1, 20000), "\"type\":\"stopped\"");
  expect(vibe_vz_next_event(1, 10) == NULL, "timeout", NULL);
  expect(vibe_vz_close(1) == 0 && vibe_vz_close(1) == -1, "close", NULL);

  const int threads = vibe_test_wait_for_threads(20);
  // The bridge keeps its table of machines.
  if (vibe_test_live_objects(0) != 1) vibe_test_live_objects(1);
  expect(vibe_test_live_objects(0) == 1, "more than the table is alive", NULL);
  expect(threads == 0, "a thread is still there", NULL);
  close(console);
  close(listener);
  unlink(saved);
  unlink(address.sun_path);
  rmdir(directory);
  puts("smoke: ok");
  return 0;
}
