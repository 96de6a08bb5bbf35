/* Condition variables: waiting, notifying, both mutexes, and the deaths of waiters and owners.
 * semantics 9, 10, 11, 12, 13, 14, 102 and 104 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define MS 1000000LL

static rf_condvar *condvar;
static rf_mutex *mutex, *other;
static rf_reentrant_mutex *reentrant;
static int ready; /* with the mutex */

static void expect_waiting(unsigned count) {
    uint32_t waiting = 99;
    for (int i = 0; i < 60000; i++) {
        OK(rf_condvar_waiting(condvar, &waiting));
        if (waiting == count) return;
        usleep(1000);
    }
    TRUE(!"so many wait");
}

/* Waits once, and gives the mutex back; what came of it. */
static void *waiter(void *status) {
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    int *got = status;
    *got = rf_condvar_wait(condvar, mutex, NULL, RF_FOREVER);
    if (*got == RF_OWNER_DIED) OK(rf_mutex_make_consistent(mutex));
    if (*got >= 0) OK(rf_mutex_unlock(mutex));
    return status;
}

static uint32_t notify(int64_t count) {
    uint32_t notified = 99;
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    OK(rf_condvar_notify(condvar, mutex, count, &notified));
    OK(rf_mutex_unlock(mutex));
    return notified;
}

static void has_nothing(void) {
    int why = 4711;
    EXPECT(rf_condvar_wait(condvar, mutex, &why, RF_FOREVER), RF_E_NOT_OWNER);
    EXPECT(rf_condvar_wait_reentrant(condvar, reentrant, &why, RF_FOREVER), RF_E_NOT_OWNER);
    EXPECT(rf_condvar_notify(condvar, mutex, 1, NULL), RF_E_NOT_OWNER);
    EXPECT(rf_condvar_notify_reentrant(condvar, reentrant, RF_ALL, NULL), RF_E_NOT_OWNER);
    TRUE(why == 4711);
}

static int is_ready(void *asked) {
    ++*(int *)asked;
    return ready;
}

static int second_time(void *asked) { return ++*(int *)asked == 2; }

static void *makes_ready(void *unused) {
    expect_waiting(1);
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    ready = 1;
    OK(rf_condvar_notify(condvar, mutex, 1, NULL));
    OK(rf_mutex_unlock(mutex));
    return unused;
}

static void *notifies_reentrant(void *unused) {
    expect_waiting(1);
    OK(rf_reentrant_mutex_lock(reentrant, RF_FOREVER));
    uint32_t notified = 99;
    OK(rf_condvar_notify_reentrant(condvar, reentrant, RF_ALL, &notified));
    TRUE(notified == 1);
    OK(rf_reentrant_mutex_unlock(reentrant));
    return unused;
}

static void dies_in_its_wait(void) {
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    rf_condvar_wait(condvar, mutex, NULL, RF_FOREVER);
}

static void dies_with_the_mutex(void) {
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    OK(rf_condvar_notify(condvar, mutex, RF_ALL, NULL));
    raise(SIGKILL);
}

static void dies_silently(void) {
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    raise(SIGKILL);
}

static void gives_up(void) {
    EXPECT(rf_mutex_lock(mutex, RF_FOREVER), RF_OWNER_DIED);
    OK(rf_mutex_unlock(mutex));
}

static void arguments_and_time(rf_segment *segment) {
    rf_condvar *again;
    EXPECT(rf_condvar_open(segment, "condvar", RF_CREATE, 4, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_condvar_open(segment, "mutex", 0, 0, &again), RF_E_WRONG_TYPE);
    EXPECT(rf_condvar_open(segment, "condvar", RF_CREATE | RF_EXCL, 3, &again), RF_E_EXISTS);
    OK(rf_condvar_open(segment, "condvar", 0, 99, &again));
    OK(rf_condvar_close(again));

    has_nothing();
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    TRUE(in_child(has_nothing) == 0);
    int why = 4711, asked = 0;
    EXPECT(rf_condvar_wait(condvar, mutex, &why, 2 * MS), RF_E_TIMED_OUT);
    TRUE(why == RF_E_TIMED_OUT);
    EXPECT(rf_condvar_wait(condvar, mutex, NULL, 0), RF_E_TIMED_OUT);
    EXPECT(rf_condvar_wait_for(condvar, mutex, is_ready, &asked, &why, 2 * MS), RF_E_TIMED_OUT);
    TRUE(asked == 2);
    asked = 0;
    OK(rf_condvar_wait_for(condvar, mutex, second_time, &asked, &why, 2 * MS));
    TRUE(asked == 2 && why == RF_OK);
    OK(rf_mutex_unlock(mutex));
    EXPECT(rf_condvar_wait_for(condvar, mutex, is_ready, &asked, &why, 0), RF_E_NOT_OWNER);
    EXPECT(rf_condvar_wait_for_reentrant(condvar, reentrant, is_ready, &asked, &why, 0), RF_E_NOT_OWNER);
    TRUE(asked == 2);
}

static void both_mutexes(void) {
    pthread_t thread;
    int asked = 0;
    uint32_t levels;
    pthread_create(&thread, NULL, makes_ready, NULL);
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    OK(rf_condvar_wait_for(condvar, mutex, is_ready, &asked, NULL, RF_FOREVER));
    TRUE(ready && asked == 2);
    OK(rf_mutex_unlock(mutex));
    pthread_join(thread, NULL);

    for (int i = 0; i < 3; i++) OK(rf_reentrant_mutex_lock(reentrant, RF_FOREVER));
    pthread_create(&thread, NULL, notifies_reentrant, NULL);
    OK(rf_condvar_wait_reentrant(condvar, reentrant, NULL, RF_FOREVER));
    pthread_join(thread, NULL);
    EXPECT(rf_condvar_wait_reentrant(condvar, reentrant, NULL, 2 * MS), RF_E_TIMED_OUT);
    OK(rf_condvar_wait_for_reentrant(condvar, reentrant, is_ready, &asked, NULL, 0));
    OK(rf_reentrant_mutex_count(reentrant, &levels));
    TRUE(levels == 3);
    for (int i = 0; i < 3; i++) OK(rf_reentrant_mutex_unlock(reentrant));
}

static void several_waiters(void) {
    pthread_t threads[3];
    int got[3] = {99, 99, 99};
    TRUE(notify(RF_ALL) == 0);
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, waiter, &got[i]);
        expect_waiting((unsigned)i + 1);
    }
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    EXPECT(rf_condvar_wait(condvar, mutex, NULL, 0), RF_E_MAXIMUM_REACHED);
    OK(rf_mutex_unlock(mutex));
    OK(rf_mutex_lock(other, RF_FOREVER));
    EXPECT(rf_condvar_notify(condvar, other, 1, NULL), RF_E_OTHER_MUTEX);
    OK(rf_mutex_unlock(other));
    TRUE(notify(0) == 0 && notify(-1) == 0 && notify(INT64_MIN) == 0);
    /* The oldest first; more than there are wakes those there are. */
    TRUE(notify(1) == 1);
    pthread_join(threads[0], NULL);
    OK(rf_mutex_lock(other, RF_FOREVER));
    EXPECT(rf_condvar_wait(condvar, other, NULL, RF_FOREVER), RF_E_OTHER_MUTEX);
    OK(rf_mutex_unlock(other));
    TRUE(notify(5) == 2);
    pthread_join(threads[1], NULL);
    pthread_join(threads[2], NULL);
    TRUE(got[0] == RF_OK && got[1] == RF_OK && got[2] == RF_OK);
}

static void deaths(void) {
    pthread_t thread;
    int got = 99, status;
    /* A waiter that died is none; one that is notified, and killed before it can know, passes it on. */
    for (int notified = 0; notified < 2; notified++) {
        pid_t child = fork();
        if (child == 0) {
            dies_in_its_wait();
            _exit(1);
        }
        expect_waiting(1);
        pthread_create(&thread, NULL, waiter, &got);
        expect_waiting(2);
        if (notified) {
            TRUE(kill(child, SIGSTOP) == 0);
            TRUE(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
            /* Returns, though the one it notifies does nothing. */
            TRUE(notify(1) == 1);
        }
        TRUE(kill(child, SIGKILL) == 0);
        TRUE(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        if (!notified) TRUE(notify(1) == 1);
        pthread_join(thread, NULL);
        TRUE(got == RF_OK);
    }
    /* The mutex's owner died: told, beside why. */
    pthread_create(&thread, NULL, waiter, &got);
    expect_waiting(1);
    TRUE(WTERMSIG(in_child(dies_with_the_mutex)) == SIGKILL);
    pthread_join(thread, NULL);
    TRUE(got == RF_OWNER_DIED);
    TRUE(WTERMSIG(in_child(dies_with_the_mutex)) == SIGKILL);
    EXPECT(rf_mutex_lock(mutex, RF_FOREVER), RF_OWNER_DIED);
    int why = 4711;
    EXPECT(rf_condvar_wait(condvar, mutex, &why, 2 * MS), RF_OWNER_DIED);
    TRUE(why == RF_E_TIMED_OUT);
    OK(rf_mutex_make_consistent(mutex));
    OK(rf_mutex_unlock(mutex));
    /* Given up: every wait ends, and holds nothing. */
    pthread_create(&thread, NULL, waiter, &got);
    expect_waiting(1);
    TRUE(WTERMSIG(in_child(dies_silently)) == SIGKILL);
    TRUE(in_child(gives_up) == 0);
    pthread_join(thread, NULL);
    TRUE(got == RF_E_NOT_RECOVERABLE);
    OK(rf_mutex_reset(mutex));
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    alarm(300);
    rf_segment *segment;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_mutex_open(segment, "mutex", RF_CREATE, &mutex));
    OK(rf_mutex_open(segment, "other", RF_CREATE, &other));
    OK(rf_reentrant_mutex_open(segment, "reentrant", RF_CREATE, &reentrant));
    OK(rf_condvar_open(segment, "condvar", RF_CREATE, 3, &condvar));
    arguments_and_time(segment);
    both_mutexes();
    several_waiters();
    deaths();
    expect_waiting(0);
    OK(rf_condvar_close(condvar));
    OK(rf_reentrant_mutex_close(reentrant));
    OK(rf_mutex_close(other));
    OK(rf_mutex_close(mutex));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("condvar: ok");
    return 0;
}
