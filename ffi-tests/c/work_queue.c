/* A work queue: messages are leased until they are done, and come again if they are not.
 * semantics 30, 141, 142, 143, 144, 145, 146, 147, 148, 149, 150, 152 and 154 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static rf_segment *segment;
static rf_work_queue *queue;
static rf_lease lease;

static void take_and_die(void) {
    rf_lease mine;
    OK(rf_work_queue_take(queue, &mine, RF_FOREVER));
    raise(SIGKILL);
}

static void keep_and_die(void) {
    rf_lease mine;
    OK(rf_work_queue_take(queue, &mine, RF_FOREVER));
    OK(rf_work_queue_keep(queue, &mine));
    raise(SIGKILL);
}

static void own_nothing(void) {
    char text[8];
    size_t len;
    EXPECT(rf_work_queue_read(queue, &lease, text, sizeof text, &len), RF_E_NOT_LEASED);
    EXPECT(rf_work_queue_done(queue, &lease), RF_E_NOT_LEASED);
    EXPECT(rf_work_queue_fail(queue, &lease), RF_E_NOT_LEASED);
    EXPECT(rf_work_queue_keep(queue, &lease), RF_E_NOT_LEASED);
    EXPECT(rf_work_queue_task_done(queue), RF_E_TOO_MANY_DONE);
}

static void *finish(void *unused) {
    OK(rf_work_queue_done(queue, &lease));
    return unused;
}

static void *join(void *unused) {
    OK(rf_work_queue_join(queue, RF_FOREVER));
    return unused;
}

static void expect_count(size_t waiting, size_t leased, size_t dead_letters) {
    rf_work_count count;
    OK(rf_work_queue_count(queue, &count));
    TRUE(count.waiting == waiting && count.leased == leased && count.dead_letters == dead_letters);
}

static void expect_text(const rf_lease *of, const char *expected, uint32_t deliveries) {
    char text[16] = "";
    size_t len;
    OK(rf_work_queue_read(queue, of, text, sizeof text, &len));
    TRUE(len == strlen(expected) && memcmp(text, expected, len) == 0);
    TRUE(of->deliveries == deliveries);
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_work_queue *other;
    rf_lease leases[8], again;
    pthread_t thread;
    size_t n, len = 99;
    uint32_t deliveries;
    int is;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    EXPECT(rf_work_queue_open(segment, "work", 0, 0, 0, 0, &queue), RF_E_MISSING);
    OK(rf_work_queue_open(segment, "work", RF_CREATE, 4, 10, 3, &queue));
    EXPECT(rf_work_queue_open(segment, "work", RF_CREATE | RF_EXCL, 4, 10, 3, &other), RF_E_EXISTS);
    EXPECT(rf_work_queue_open(segment, "work", RF_CREATE, 5, 10, 3, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_work_queue_open(segment, "work", RF_CREATE, 4, 11, 3, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_work_queue_open(segment, "work", RF_CREATE, 4, 10, 0, &other), RF_E_WRONG_SHAPE);
    OK(rf_work_queue_open(segment, "work", 0, 0, 0, 0, &other));
    OK(rf_work_queue_capacity(other, &n));
    OK(rf_work_queue_max_message(other, &len));
    OK(rf_work_queue_max_deliveries(other, &deliveries));
    TRUE(n == 4 && len == 10 && deliveries == 3);

    /* Nothing there. */
    EXPECT(rf_work_queue_take(queue, &lease, 0), RF_E_EMPTY);
    EXPECT(rf_work_queue_take(queue, &lease, 2 * MS), RF_E_TIMED_OUT);
    EXPECT(rf_work_queue_take_dead_letter(queue, &lease), RF_E_EMPTY);
    EXPECT(rf_work_queue_task_done(queue), RF_E_TOO_MANY_DONE);
    OK(rf_work_queue_join(queue, 0));

    /* A message is there until it is done, and done once. */
    OK(rf_work_queue_push(queue, "one", 3, RF_FOREVER));
    OK(rf_work_queue_push(queue, NULL, 0, 0));
    EXPECT(rf_work_queue_push(queue, "01234567890", 11, 0), RF_E_MESSAGE_TOO_LONG);
    OK(rf_work_queue_take(other, &lease, 0));
    expect_text(&lease, "one", 1);
    EXPECT(rf_work_queue_read(queue, &lease, NULL, 0, &len), RF_E_BUFFER_TOO_SHORT);
    TRUE(len == 3);
    expect_count(1, 1, 0);
    TRUE(in_child(own_nothing) == 0);
    OK(rf_work_queue_fail(queue, &lease));
    EXPECT(rf_work_queue_fail(queue, &lease), RF_E_NOT_LEASED);
    EXPECT(rf_work_queue_done(queue, &lease), RF_E_NOT_LEASED);
    OK(rf_work_queue_take(queue, &again, 0));
    expect_text(&again, "one", 2);
    EXPECT(rf_work_queue_read(queue, &lease, NULL, 0, &len), RF_E_NOT_LEASED);
    lease = again;
    TRUE(pthread_create(&thread, NULL, finish, NULL) == 0);
    pthread_join(thread, NULL);
    EXPECT(rf_work_queue_done(queue, &again), RF_E_NOT_LEASED);

    /* What the dead had comes again, however they had it. */
    TRUE(WTERMSIG(in_child(take_and_die)) == SIGKILL);
    TRUE(WTERMSIG(in_child(keep_and_die)) == SIGKILL);
    OK(rf_work_queue_take(queue, &lease, RF_FOREVER));
    expect_text(&lease, "", 3);
    EXPECT(rf_work_queue_join(queue, 0), RF_E_NOT_READY);
    EXPECT(rf_work_queue_join(queue, 2 * MS), RF_E_TIMED_OUT);

    /* Three times is often enough. */
    OK(rf_work_queue_fail(queue, &lease));
    EXPECT(rf_work_queue_take(queue, &lease, 0), RF_E_EMPTY);
    expect_count(0, 0, 1);
    OK(rf_work_queue_join(queue, RF_FOREVER));
    OK(rf_work_queue_take_dead_letter(queue, &lease));
    EXPECT(rf_work_queue_keep(queue, &lease), RF_E_NOT_LEASED);
    OK(rf_work_queue_fail(queue, &lease));
    OK(rf_work_queue_take_dead_letter(queue, &lease));
    expect_text(&lease, "", 3);
    OK(rf_work_queue_done(queue, &lease));
    expect_count(0, 0, 0);

    /* Exactly four; several at once; Python's task_done. */
    for (int i = 0; i < 4; i++) OK(rf_work_queue_push(queue, "0123" + i, 1, 0));
    EXPECT(rf_work_queue_push(queue, "x", 1, 0), RF_E_FULL);
    EXPECT(rf_work_queue_push(queue, "x", 1, 2 * MS), RF_E_TIMED_OUT);
    OK(rf_work_queue_take_many(queue, leases, 8, &n, RF_FOREVER));
    TRUE(n == 4);
    EXPECT(rf_work_queue_take_many(queue, leases, 8, &n, 0), RF_E_EMPTY);
    TRUE(pthread_create(&thread, NULL, join, NULL) == 0);
    for (int i = 0; i < 2; i++) OK(rf_work_queue_keep(queue, &leases[i]));
    EXPECT(rf_work_queue_done(queue, &leases[0]), RF_E_NOT_LEASED);
    OK(rf_work_queue_task_done(queue));
    OK(rf_work_queue_task_done(other));
    EXPECT(rf_work_queue_task_done(queue), RF_E_TOO_MANY_DONE);
    OK(rf_work_queue_done(queue, &leases[3]));
    expect_count(0, 1, 0);
    OK(rf_work_queue_done(queue, &leases[2]));
    pthread_join(thread, NULL);

    /* Full of dead letters. */
    for (int i = 0; i < 4; i++) OK(rf_work_queue_push(queue, "poison", 6, 0));
    for (int i = 0; i < 12; i++) {
        OK(rf_work_queue_take(queue, &lease, 0));
        OK(rf_work_queue_fail(queue, &lease));
    }
    EXPECT(rf_work_queue_push(queue, "x", 1, RF_FOREVER), RF_E_DEAD_LETTERS);
    rf_awaited items[] = {{.what = RF_AWAIT_READABLE_WORK_QUEUE, .handle = queue},
                          {.what = RF_AWAIT_WRITABLE_WORK_QUEUE, .handle = queue},
                          {.what = RF_AWAIT_WORK_DONE, .handle = queue}};
    uint64_t ready;
    OK(rf_wait_any(items, 3, 0, &ready, RF_FOREVER));
    TRUE(ready == 6);
    for (int i = 0; i < 4; i++) {
        OK(rf_work_queue_take_dead_letter(queue, &lease));
        OK(rf_work_queue_done(queue, &lease));
    }

    /* The end comes when all is done, and not before. */
    OK(rf_work_queue_push(queue, "last", 4, 0));
    OK(rf_work_queue_take(queue, &lease, 0));
    OK(rf_work_queue_shutdown(queue));
    OK(rf_work_queue_shutdown(queue));
    OK(rf_work_queue_is_shut_down(other, &is));
    TRUE(is == 1);
    EXPECT(rf_work_queue_push(queue, "x", 1, RF_FOREVER), RF_E_CLOSED);
    EXPECT(rf_work_queue_take(queue, &again, 0), RF_E_EMPTY);
    EXPECT(rf_work_queue_take(queue, &again, 2 * MS), RF_E_TIMED_OUT);
    OK(rf_work_queue_done(queue, &lease));
    EXPECT(rf_work_queue_take(queue, &again, RF_FOREVER), RF_E_CLOSED);
    OK(rf_work_queue_join(queue, RF_FOREVER));

    OK(rf_work_queue_close(other));
    OK(rf_work_queue_close(queue));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("work queue: ok");
    return 0;
}
