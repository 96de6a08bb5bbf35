/* A ring for one producer and one consumer: exact capacity, ends that are taken and given back, a producer killed and its
 * successor, a forked child, many at once, nobody at the other end, shutdown.
 * semantics 6, 22, 78, 117, 118, 119, 120, 121, 122 and 123 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MS = 1000000 };

typedef struct sample {
    uint32_t number;
    char text[12];
} sample;

static rf_spsc *ring;

static int result_of(pid_t child) {
    int status;
    TRUE(waitpid(child, &status, 0) == child);
    return status;
}

static void nothing(int signal) { (void)signal; }

static volatile sig_atomic_t ended;

static void *interrupted(void *consumer) {
    sample got;
    EXPECT(rf_consumer_pop(consumer, &got, RF_FOREVER), RF_E_INTERRUPTED);
    ended = 1;
    return NULL;
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_spsc *other;
    rf_queue *queue;
    rf_producer *producer, *second;
    rf_consumer *consumer, *patient;
    size_t n;
    int is;
    sample s = {7, "seven"}, got;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    EXPECT(rf_spsc_open(segment, "ring", 0, sizeof s, 4, "sample", 0, &ring), RF_E_MISSING);
    EXPECT(rf_spsc_open(segment, "ring", RF_CREATE, sizeof s, 4, "sample", 0, &ring), RF_E_INVALID);
    OK(rf_spsc_open(segment, "ring", RF_CREATE | RF_EXCL, sizeof s, _Alignof(sample), "sample", 3, &ring));
    EXPECT(rf_spsc_open(segment, "ring", RF_CREATE | RF_EXCL, sizeof s, 4, "sample", 3, &other), RF_E_EXISTS);
    EXPECT(rf_spsc_open(segment, "ring", RF_CREATE, sizeof s, 4, "other", 3, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_spsc_open(segment, "ring", 0, sizeof s, 4, "sample", 4, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_queue_open(segment, "ring", 0, sizeof s, 4, "sample", 0, &queue), RF_E_WRONG_TYPE);
    OK(rf_spsc_open(segment, "ring", 0, sizeof s, 4, "sample", 0, &other));
    OK(rf_spsc_capacity(other, &n));
    TRUE(n == 3);

    /* One at each end. */
    OK(rf_spsc_has_producer(ring, &is));
    TRUE(is == 0);
    OK(rf_spsc_producer(ring, &producer));
    EXPECT(rf_spsc_producer(other, &second), RF_E_ROLE_TAKEN);
    TRUE(strstr(rf_last_error(), "has a producer already") != NULL);
    OK(rf_spsc_consumer(other, &consumer));
    EXPECT(rf_spsc_consumer(ring, &patient), RF_E_ROLE_TAKEN);
    OK(rf_spsc_has_producer(other, &is));
    TRUE(is == 1);
    OK(rf_spsc_has_consumer(other, &is));
    TRUE(is == 1);

    EXPECT(rf_consumer_pop(consumer, &got, 0), RF_E_EMPTY);
    EXPECT(rf_consumer_pop(consumer, &got, 2 * MS), RF_E_TIMED_OUT);
    for (s.number = 0; s.number < 3; s.number++) OK(rf_producer_push(producer, &s, 0));
    EXPECT(rf_producer_push(producer, &s, 0), RF_E_FULL);
    EXPECT(rf_producer_push(producer, &s, 2 * MS), RF_E_TIMED_OUT);
    OK(rf_spsc_len(ring, &n));
    TRUE(n == 3);
    for (uint32_t i = 0; i < 3; i++) {
        OK(rf_consumer_pop(consumer, &got, 0));
        TRUE(got.number == i && strcmp(got.text, "seven") == 0);
    }

    /* Many at once. */
    sample many[5] = {{10, ""}, {11, ""}, {12, ""}, {13, ""}, {14, ""}}, found[5];
    OK(rf_producer_push_many(producer, many, 0, &n, 0));
    TRUE(n == 0);
    OK(rf_producer_push_many(producer, many, 5, &n, 0));
    TRUE(n == 3);
    EXPECT(rf_producer_push_many(producer, many + 3, 2, &n, 0), RF_E_FULL);
    OK(rf_consumer_pop_many(consumer, found, 2, &n, 0));
    TRUE(n == 2 && found[0].number == 10 && found[1].number == 11);
    OK(rf_consumer_pop_many(consumer, found, 5, &n, RF_FOREVER));
    TRUE(n == 1 && found[0].number == 12);
    EXPECT(rf_consumer_pop_many(consumer, found, 5, &n, 0), RF_E_EMPTY);

    /* A forked child has a copy of both handles, and neither end. */
    pid_t child = fork();
    if (child == 0) {
        EXPECT(rf_producer_push(producer, &s, 0), RF_E_NOT_OWNER);
        EXPECT(rf_consumer_pop(consumer, &got, RF_FOREVER), RF_E_NOT_OWNER);
        OK(rf_producer_close(producer));
        OK(rf_consumer_close(consumer));
        EXPECT(rf_spsc_producer(ring, &producer), RF_E_ROLE_TAKEN);
        _exit(0);
    }
    TRUE(result_of(child) == 0);
    EXPECT(rf_spsc_consumer(ring, &patient), RF_E_ROLE_TAKEN);

    /* A child pushes 1000 items through three places and is killed in the middle of pushing for ever; the next goes on. */
    OK(rf_producer_close(producer));
    child = fork();
    if (child == 0) {
        OK(rf_spsc_producer(ring, &producer));
        for (s.number = 0;; s.number++) OK(rf_producer_push(producer, &s, RF_FOREVER));
    }
    for (uint32_t i = 0; i < 1000; i++) {
        OK(rf_consumer_pop(consumer, &got, RF_FOREVER));
        TRUE(got.number == i);
    }
    kill(child, SIGKILL);
    TRUE(WIFSIGNALED(result_of(child)));
    OK(rf_spsc_producer(ring, &producer));
    uint32_t next = 1000;
    int status;
    while ((status = rf_consumer_pop(consumer, &got, 0)) == RF_OK) TRUE(got.number == next++);
    EXPECT(status, RF_E_EMPTY);
    TRUE(next <= 1003);
    s.number = 77;
    OK(rf_producer_push(producer, &s, 0));
    OK(rf_consumer_pop(consumer, &got, 0));
    TRUE(got.number == 77);

    /* Nobody there. */
    EXPECT(rf_producer_tell_if_alone(producer, 2), RF_E_INVALID);
    OK(rf_producer_tell_if_alone(producer, 1));
    OK(rf_consumer_tell_if_alone(consumer, 1));
    OK(rf_producer_close(producer));
    EXPECT(rf_consumer_pop(consumer, &got, RF_FOREVER), RF_E_ALONE);
    EXPECT(rf_consumer_pop(consumer, &got, 0), RF_E_EMPTY);
    OK(rf_consumer_tell_if_alone(consumer, 0));
    EXPECT(rf_consumer_pop(consumer, &got, 2 * MS), RF_E_TIMED_OUT);

    /* A signal. */
    OK(rf_consumer_close(consumer));
    rf_spsc *impatient;
    OK(rf_spsc_open(segment, "ring", RF_INTERRUPTIBLE, sizeof s, 4, "sample", 0, &impatient));
    OK(rf_spsc_consumer(impatient, &consumer));
    struct sigaction action = {.sa_handler = nothing};
    TRUE(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t thread;
    TRUE(pthread_create(&thread, NULL, interrupted, consumer) == 0);
    while (!ended) {
        pthread_kill(thread, SIGUSR1);
        usleep(1000);
    }
    TRUE(pthread_join(thread, NULL) == 0);

    /* The end. */
    OK(rf_spsc_producer(ring, &producer));
    OK(rf_producer_push(producer, &s, 0));
    OK(rf_spsc_is_shut_down(ring, &is));
    TRUE(is == 0);
    OK(rf_spsc_shutdown(other));
    OK(rf_spsc_shutdown(other));
    OK(rf_spsc_is_shut_down(ring, &is));
    TRUE(is == 1);
    EXPECT(rf_producer_push(producer, &s, RF_FOREVER), RF_E_CLOSED);
    OK(rf_consumer_pop(consumer, &got, RF_FOREVER));
    EXPECT(rf_consumer_pop(consumer, &got, RF_FOREVER), RF_E_CLOSED);

    /* Ends outlive the handle they were taken through. */
    OK(rf_spsc_close(ring));
    OK(rf_spsc_close(other));
    OK(rf_spsc_close(impatient));
    EXPECT(rf_producer_push(producer, &s, 0), RF_E_CLOSED);
    OK(rf_producer_close(producer));
    OK(rf_consumer_close(consumer));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("spsc: ok");
    return 0;
}
