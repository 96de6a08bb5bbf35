/* Barriers: rounds of several processes and threads, broken, mended, and some of them killed.
 * semantics 4, 17, 18, 19, 20, 21, 111, 112 and 113 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 2000 };

static rf_segment *segment;
static rf_barrier *barrier;
static rf_array *done;

/* In a process of its own, which ends with what the wait came to. */
static pid_t starts(int (*body)(void)) {
    pid_t child = fork();
    TRUE(child >= 0);
    if (child == 0) _exit(-body());
    return child;
}

static int came_to(pid_t child) {
    int status;
    TRUE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : 4711;
}

static void waiting(size_t expected) {
    size_t count;
    do {
        usleep(1000);
        OK(rf_barrier_waiting(barrier, &count));
    } while (count != expected);
}

static void is_broken(int expected) {
    int broken = 99;
    OK(rf_barrier_is_broken(barrier, &broken));
    TRUE(broken == expected);
}

static void *arrives(void *unused) {
    rf_barrier_wait(barrier, RF_FOREVER, NULL);
    return unused;
}

static int wait_as_first(void) {
    size_t index = 99;
    int got = rf_barrier_wait(barrier, RF_FOREVER, &index);
    TRUE(index == (got == RF_OK ? 0 : 99)); /* written on success only */
    return got;
}

static int die_inside(void) {
    pthread_t thread;
    TRUE(pthread_create(&thread, NULL, arrives, NULL) == 0);
    waiting(2);
    raise(SIGKILL);
    return 0;
}

static int die_as_last(void) {
    EXPECT(rf_barrier_arrive(barrier, RF_FOREVER, NULL), RF_LAST);
    raise(SIGKILL);
    return 0;
}

static int die_registered(void) {
    OK(rf_barrier_register(barrier));
    raise(SIGKILL);
    return 0;
}

static int many_rounds(void) {
    size_t index;
    for (int64_t round = 1; round <= ROUNDS; round++) {
        int got = rf_barrier_arrive(barrier, RF_FOREVER, &index);
        TRUE(index < 3 && (got == RF_LAST) == (index == 2));
        int64_t before;
        if (got == RF_LAST) {
            OK(rf_array_fetch_add(done, 0, 1, &before));
            TRUE(before == round - 1);
            OK(rf_barrier_release(barrier));
        } else {
            OK(got);
        }
        OK(rf_array_fetch_add(done, 0, 0, &before));
        TRUE(before == round || before == round + 1);
    }
    return 0;
}

static void nothing(int signal) { (void)signal; }

static volatile sig_atomic_t told; /* of a signal */

static void *interrupted(void *unused) {
    (void)unused;
    rf_barrier *own;
    size_t index = 99;
    OK(rf_barrier_open(segment, "b", RF_INTERRUPTIBLE, 0, &own));
    EXPECT(rf_barrier_wait(own, RF_FOREVER, &index), RF_E_INTERRUPTED);
    told = 1;
    int got = rf_barrier_wait(own, RF_FOREVER, &index);
    while (got == RF_E_INTERRUPTED) got = rf_barrier_wait(own, RF_FOREVER, &index);
    OK(got);
    TRUE(index == 0);
    EXPECT(rf_barrier_release(own), RF_E_NOT_OWNER);
    OK(rf_barrier_close(own));
    return (void *)1;
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_barrier *again;
    size_t number = 99;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 17, NULL, &segment));
    OK(rf_barrier_open(segment, "b", RF_CREATE, 2, &barrier));
    OK(rf_barrier_parties(barrier, &number));
    TRUE(number == 2);
    EXPECT(rf_barrier_open(segment, "b", RF_CREATE, 3, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_barrier_open(segment, "none", 0, 2, &again), RF_E_MISSING);

    /* Rounds, with and without a step between. */
    pid_t child = starts(wait_as_first);
    waiting(1);
    OK(rf_barrier_wait(barrier, 0, &number));
    TRUE(number == 1 && came_to(child) == RF_OK);
    child = starts(wait_as_first);
    waiting(1);
    EXPECT(rf_barrier_arrive(barrier, RF_FOREVER, &number), RF_LAST);
    TRUE(number == 1);
    OK(rf_barrier_release(barrier));
    EXPECT(rf_barrier_release(barrier), RF_E_NOT_OWNER);
    TRUE(came_to(child) == RF_OK);

    /* Its action fails. */
    child = starts(wait_as_first);
    waiting(1);
    EXPECT(rf_barrier_arrive(barrier, RF_FOREVER, NULL), RF_LAST);
    is_broken(0);
    OK(rf_barrier_abort(barrier));
    is_broken(1);
    EXPECT(rf_barrier_release(barrier), RF_E_NOT_OWNER);
    TRUE(came_to(child) == RF_E_BROKEN);
    EXPECT(rf_barrier_wait(barrier, RF_FOREVER, NULL), RF_E_BROKEN);
    OK(rf_barrier_reset(barrier));
    is_broken(0);

    /* A time-out, a try, a reset. */
    child = starts(wait_as_first);
    waiting(1);
    OK(rf_barrier_reset(barrier));
    TRUE(came_to(child) == RF_E_BROKEN);
    EXPECT(rf_barrier_wait(barrier, 2000000, &number), RF_E_TIMED_OUT);
    TRUE(number == 1); /* written on success only */
    EXPECT(rf_barrier_wait(barrier, 2000000, NULL), RF_E_BROKEN);
    OK(rf_barrier_reset(barrier));
    EXPECT(rf_barrier_wait(barrier, -1, NULL), RF_E_TIMED_OUT);
    OK(rf_barrier_reset(barrier));
    EXPECT(rf_barrier_arrive(barrier, 0, NULL), RF_E_TIMED_OUT);
    OK(rf_barrier_reset(barrier));

    /* Deaths: as the last one, between its two steps; registered; arrived, with another that waits. */
    child = starts(wait_as_first);
    waiting(1);
    TRUE(came_to(starts(die_as_last)) == 4711);
    TRUE(came_to(child) == RF_E_PARTY_DIED);
    EXPECT(rf_barrier_wait(barrier, RF_FOREVER, NULL), RF_E_PARTY_DIED);
    OK(rf_barrier_reset(barrier));
    TRUE(came_to(starts(die_registered)) == 4711);
    EXPECT(rf_barrier_wait(barrier, RF_FOREVER, NULL), RF_E_PARTY_DIED);
    OK(rf_barrier_reset(barrier));
    OK(rf_barrier_register(barrier));
    OK(rf_barrier_unregister(barrier));
    EXPECT(rf_barrier_unregister(barrier), RF_E_NOT_OWNER);

    /* A signal: the thread has arrived, and goes on. */
    struct sigaction action = {.sa_handler = nothing};
    pthread_t thread;
    void *ended = NULL;
    TRUE(sigaction(SIGUSR1, &action, NULL) == 0);
    TRUE(pthread_create(&thread, NULL, interrupted, NULL) == 0);
    waiting(1);
    /* Again and again, since one may come while it looks, between two naps; and some more. */
    for (int more = 0; more < 50; more += told) {
        TRUE(pthread_kill(thread, SIGUSR1) == 0);
        usleep(1000);
    }
    waiting(1);
    OK(rf_barrier_wait(barrier, RF_FOREVER, NULL));
    TRUE(pthread_join(thread, &ended) == 0 && ended);
    OK(rf_barrier_close(barrier));

    /* Three of them. */
    OK(rf_barrier_open(segment, "three", RF_CREATE, 3, &barrier));
    child = starts(wait_as_first);
    waiting(1);
    TRUE(came_to(starts(die_inside)) == 4711);
    TRUE(came_to(child) == RF_E_PARTY_DIED);
    OK(rf_barrier_reset(barrier));
    OK(rf_array_open(segment, "done", RF_CREATE, RF_I64, 0, 0, NULL, 1, &done));
    pid_t others[2] = {starts(many_rounds), starts(many_rounds)};
    TRUE(many_rounds() == 0);
    TRUE(came_to(others[0]) == 0 && came_to(others[1]) == 0);

    OK(rf_array_close(done));
    OK(rf_barrier_close(barrier));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("barrier: ok");
    return 0;
}
