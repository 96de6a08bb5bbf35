/* The reentrant mutex: levels, other threads, forks, and its owner's death.
 * semantics 3, 4, 8, 61 and 62 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static rf_reentrant_mutex *mutex;

static void expect_levels(unsigned levels) {
    uint32_t count = 99;
    OK(rf_reentrant_mutex_count(mutex, &count));
    TRUE(count == levels);
}

static void *other_thread(void *unused) {
    (void)unused;
    expect_levels(0);
    EXPECT(rf_reentrant_mutex_lock(mutex, 0), RF_E_BUSY);
    EXPECT(rf_reentrant_mutex_lock(mutex, 2000000), RF_E_TIMED_OUT);
    EXPECT(rf_reentrant_mutex_unlock(mutex), RF_E_NOT_OWNER);
    EXPECT(rf_reentrant_mutex_make_consistent(mutex), RF_E_NOT_OWNER);
    return NULL;
}

static void own_nothing(void) {
    expect_levels(0);
    EXPECT(rf_reentrant_mutex_lock(mutex, 0), RF_E_BUSY);
    EXPECT(rf_reentrant_mutex_unlock(mutex), RF_E_NOT_OWNER);
}

static void die_holding(void) {
    OK(rf_reentrant_mutex_lock(mutex, RF_FOREVER));
    OK(rf_reentrant_mutex_lock(mutex, RF_FOREVER));
    raise(SIGKILL);
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_mutex *other_kind;
    int pid;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_reentrant_mutex_open(segment, "mutex", RF_CREATE, &mutex));
    EXPECT(rf_mutex_open(segment, "mutex", 0, &other_kind), RF_E_WRONG_TYPE);

    OK(rf_reentrant_mutex_lock(mutex, RF_FOREVER));
    OK(rf_reentrant_mutex_lock(mutex, 0));
    expect_levels(2);
    OK(rf_reentrant_mutex_holder(mutex, &pid));
    TRUE(pid == (int)getpid());
    pthread_t thread;
    pthread_create(&thread, NULL, other_thread, NULL);
    pthread_join(thread, NULL);
    TRUE(in_child(own_nothing) == 0);
    OK(rf_reentrant_mutex_unlock(mutex));
    expect_levels(1);
    OK(rf_reentrant_mutex_unlock(mutex));
    EXPECT(rf_reentrant_mutex_unlock(mutex), RF_E_NOT_OWNER);

    /* Repaired after a death. */
    TRUE(WTERMSIG(in_child(die_holding)) == SIGKILL);
    EXPECT(rf_reentrant_mutex_lock(mutex, RF_FOREVER), RF_OWNER_DIED);
    expect_levels(1);
    OK(rf_reentrant_mutex_lock(mutex, RF_FOREVER));
    OK(rf_reentrant_mutex_make_consistent(mutex));
    OK(rf_reentrant_mutex_unlock(mutex));
    OK(rf_reentrant_mutex_unlock(mutex));
    OK(rf_reentrant_mutex_lock(mutex, 0));
    OK(rf_reentrant_mutex_unlock(mutex));

    /* Given up after a death, by the last unlock. */
    TRUE(WTERMSIG(in_child(die_holding)) == SIGKILL);
    EXPECT(rf_reentrant_mutex_lock(mutex, 0), RF_OWNER_DIED);
    OK(rf_reentrant_mutex_lock(mutex, 0));
    OK(rf_reentrant_mutex_unlock(mutex));
    expect_levels(1);
    OK(rf_reentrant_mutex_unlock(mutex));
    EXPECT(rf_reentrant_mutex_lock(mutex, RF_FOREVER), RF_E_NOT_RECOVERABLE);
    OK(rf_reentrant_mutex_reset(mutex));
    OK(rf_reentrant_mutex_lock(mutex, RF_FOREVER));
    OK(rf_reentrant_mutex_unlock(mutex));

    OK(rf_reentrant_mutex_close(mutex));
    OK(rf_reentrant_mutex_close(NULL));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("reentrant mutex: ok");
    return 0;
}
