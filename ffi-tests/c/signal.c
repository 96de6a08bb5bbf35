/* A signal handler ends the wait of a handle that asked for it, and of no other.
 * semantics 5 and 6 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int signal) {
    (void)signal;
    alarms = alarms + 1;
}

static void ring(long every_us) {
    struct itimerval timer = {{0, every_us}, {0, every_us}};
    TRUE(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* The locks are held by another thread, which takes no signals. */
static rf_segment *segment;
static rf_value *held_value;
static rf_array *held_array;
static pthread_barrier_t held, done;

static void *holder(void *unused) {
    (void)unused;
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    OK(rf_value_lock(held_value, RF_FOREVER));
    OK(rf_array_lock(held_array, RF_FOREVER));
    pthread_barrier_wait(&held);
    pthread_barrier_wait(&done);
    OK(rf_array_unlock(held_array));
    OK(rf_value_unlock(held_value));
    return NULL;
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    const int flags = RF_CREATE | RF_INTERRUPTIBLE;
    rf_queue *queue, *patient;
    rf_channel *channel;
    long item = 1;
    char byte;
    size_t len;
    uint64_t large[3] = {1, 2, 3}, rows[2][3] = {{4, 5, 6}, {7, 8, 9}};
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_queue_open(segment, "queue", flags, sizeof item, sizeof item, NULL, 1, &queue));
    OK(rf_queue_open(segment, "queue", 0, sizeof item, sizeof item, NULL, 1, &patient));
    OK(rf_channel_open(segment, "channel", flags, 64, &channel));
    OK(rf_value_open(segment, "value", flags, RF_STRUCT, sizeof large, 8, NULL, NULL, &held_value));
    OK(rf_array_open(segment, "array", flags, RF_STRUCT, sizeof large, 8, NULL, 2, &held_array));

    struct sigaction action = {.sa_handler = on_alarm};
    TRUE(sigaction(SIGALRM, &action, NULL) == 0);
    pthread_t thread;
    pthread_barrier_init(&held, NULL, 2);
    pthread_barrier_init(&done, NULL, 2);
    TRUE(pthread_create(&thread, NULL, holder, NULL) == 0);
    pthread_barrier_wait(&held);

    /* Again and again, since the first may come before the wait. */
    ring(10000);
    EXPECT(rf_queue_pop(queue, &item, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_channel_recv(channel, &byte, 1, &len, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_value_lock(held_value, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_array_lock(held_array, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_value_set(held_value, large), RF_E_INTERRUPTED);
    EXPECT(rf_array_set(held_array, 1, large), RF_E_INTERRUPTED);
    EXPECT(rf_array_write(held_array, 0, 2, rows), RF_E_INTERRUPTED);
    EXPECT(rf_array_fill(held_array, large), RF_E_INTERRUPTED);
    OK(rf_value_get(held_value, large));
    OK(rf_array_read(held_array, 0, 2, rows));
    TRUE(!large[0] && !large[1] && !large[2] && !rows[0][0] && !rows[0][2] && !rows[1][0] && !rows[1][2]);
    OK(rf_queue_push(queue, &item, 0));
    EXPECT(rf_queue_push(queue, &item, RF_FOREVER), RF_E_INTERRUPTED);
    OK(rf_queue_pop(queue, &item, 0));

    /* The patient handle goes on, and keeps its deadline. */
    struct timespec from, to;
    int before = alarms;
    clock_gettime(CLOCK_MONOTONIC, &from);
    EXPECT(rf_queue_pop(patient, &item, 200000000), RF_E_TIMED_OUT);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double waited = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    TRUE(waited >= 0.2 && alarms > before);
    ring(0);

    pthread_barrier_wait(&done);
    pthread_join(thread, NULL);
    OK(rf_array_close(held_array));
    OK(rf_value_close(held_value));
    OK(rf_channel_close(channel));
    OK(rf_queue_close(patient));
    OK(rf_queue_close(queue));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("signal: ok");
    return 0;
}
