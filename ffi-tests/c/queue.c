/* A queue: exact capacity, a mismatch that says so, items across a fork, a pusher killed, shutdown.
 * semantics 22, 23, 24, 26, 27, 28, 29, 32, 67, 71, 78, 165, 166 and 172 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct task {
    uint32_t number;
    char text[12];
} task;

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_queue *tasks, *other;
    rf_mutex *mutex;
    size_t n;
    int is;
    task t = {7, "seven"}, got;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    EXPECT(rf_queue_open(segment, "tasks", 0, sizeof t, _Alignof(task), "task/1", 0, &tasks), RF_E_MISSING);
    EXPECT(rf_queue_open(segment, "tasks", RF_CREATE, sizeof t, _Alignof(task), "task/1", 0, &tasks), RF_E_INVALID);
    OK(rf_queue_open(segment, "tasks", RF_CREATE | RF_EXCL, sizeof t, _Alignof(task), "task/1", 3, &tasks));
    EXPECT(rf_queue_open(segment, "tasks", RF_CREATE | RF_EXCL, sizeof t, 4, "task/1", 3, &other), RF_E_EXISTS);
    EXPECT(rf_queue_open(segment, "tasks", RF_CREATE, sizeof t, 4, "task/2", 3, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_queue_open(segment, "tasks", RF_CREATE, sizeof t, 4, NULL, 3, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_queue_open(segment, "tasks", 0, sizeof t + 4, 4, "task/1", 3, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_queue_open(segment, "tasks", 0, sizeof t, 4, "task/1", 4, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_mutex_open(segment, "tasks", 0, &mutex), RF_E_WRONG_TYPE);
    OK(rf_queue_open(segment, "tasks", 0, sizeof t, 4, "task/1", 0, &other));
    OK(rf_queue_capacity(other, &n));
    TRUE(n == 3);

    EXPECT(rf_queue_pop(tasks, &got, 0), RF_E_EMPTY);
    EXPECT(rf_queue_pop(tasks, &got, 2000000), RF_E_TIMED_OUT);
    for (t.number = 0; t.number < 3; t.number++) OK(rf_queue_push(other, &t, 0));
    EXPECT(rf_queue_push(tasks, &t, 0), RF_E_FULL);
    EXPECT(rf_queue_push(tasks, &t, 2000000), RF_E_TIMED_OUT);
    OK(rf_queue_len(tasks, &n));
    TRUE(n == 3);
    for (uint32_t i = 0; i < 3; i++) {
        OK(rf_queue_pop(tasks, &got, 0));
        TRUE(got.number == i && strcmp(got.text, "seven") == 0);
    }

    /* A child pushes 1000 items through three places and is killed in the middle of pushing for ever. */
    pid_t child = fork();
    if (child == 0) {
        for (t.number = 0;; t.number++) OK(rf_queue_push(tasks, &t, RF_FOREVER));
    }
    for (uint32_t i = 0; i < 1000; i++) {
        OK(rf_queue_pop(tasks, &got, RF_FOREVER));
        TRUE(got.number == i);
    }
    kill(child, SIGKILL);
    int status;
    TRUE(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    uint32_t next = 1000;
    while ((status = rf_queue_pop(tasks, &got, 0)) == RF_OK) TRUE(got.number == next++);
    EXPECT(status, RF_E_EMPTY);
    TRUE(next <= 1003);

    /* Several at once: as many as there is room for, as many as there are. */
    task batch[5], taken[5];
    for (uint32_t i = 0; i < 5; i++) batch[i] = (task){i, "batch"};
    EXPECT(rf_queue_pop_many(tasks, taken, 5, &n, 0), RF_E_EMPTY);
    EXPECT(rf_queue_pop_many(tasks, taken, 5, &n, 2000000), RF_E_TIMED_OUT);
    OK(rf_queue_push_many(tasks, batch, 5, &n, 0));
    TRUE(n == 3);
    EXPECT(rf_queue_push_many(tasks, batch, 5, &n, 0), RF_E_FULL);
    EXPECT(rf_queue_push_many(tasks, batch, 5, &n, 2000000), RF_E_TIMED_OUT);
    memset(taken, 7, sizeof taken);
    OK(rf_queue_pop_many(other, taken, 2, &n, RF_FOREVER));
    TRUE(n == 2 && memcmp(taken, batch, 2 * sizeof t) == 0 && taken[2].number == 0x07070707);
    OK(rf_queue_push_many(tasks, batch + 3, 2, &n, RF_FOREVER));
    TRUE(n == 2);
    OK(rf_queue_pop_many(other, taken, 5, &n, RF_FOREVER));
    TRUE(n == 3 && memcmp(taken, batch + 2, 3 * sizeof t) == 0);

    OK(rf_queue_push(tasks, &t, 0));
    OK(rf_queue_is_shut_down(tasks, &is));
    TRUE(is == 0);
    OK(rf_queue_shutdown(other));
    OK(rf_queue_shutdown(other));
    OK(rf_queue_is_shut_down(tasks, &is));
    TRUE(is == 1);
    EXPECT(rf_queue_push(tasks, &t, RF_FOREVER), RF_E_CLOSED);
    OK(rf_queue_pop(tasks, &got, RF_FOREVER));
    EXPECT(rf_queue_pop(tasks, &got, RF_FOREVER), RF_E_CLOSED);
    EXPECT(rf_queue_push_many(tasks, batch, 2, &n, RF_FOREVER), RF_E_CLOSED);
    EXPECT(rf_queue_pop_many(tasks, taken, 2, &n, RF_FOREVER), RF_E_CLOSED);

    OK(rf_queue_close(tasks));
    OK(rf_queue_close(other));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("queue: ok");
    return 0;
}
