/* Semaphores: permits in both modes, the maximum, and the death of who has them.
 * semantics 1, 2, 4, 7, 8 and 81 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>

static rf_semaphore *semaphore;

static void expect_value(unsigned expected) {
    uint32_t value = 99;
    OK(rf_semaphore_value(semaphore, &value));
    TRUE(value == expected);
}

static void expect_taken(unsigned expected) {
    uint32_t taken = 99;
    OK(rf_semaphore_taken(semaphore, &taken));
    TRUE(taken == expected);
}

static void die_with_two(void) {
    expect_taken(0);
    OK(rf_semaphore_acquire(semaphore, 2, RF_FOREVER));
    raise(SIGKILL);
}

static void release_another_ones(void) { OK(rf_semaphore_release(semaphore, 1)); }

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_semaphore *signals, *again;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_semaphore_open(segment, "pool", RF_CREATE, RF_OWNED, 3, 3, &semaphore));

    OK(rf_semaphore_acquire(semaphore, 2, RF_FOREVER));
    expect_taken(2);
    EXPECT(rf_semaphore_acquire(semaphore, 2, 0), RF_E_BUSY);
    EXPECT(rf_semaphore_acquire(semaphore, 2, -1), RF_E_BUSY);
    EXPECT(rf_semaphore_acquire(semaphore, 2, 2000000), RF_E_TIMED_OUT);
    EXPECT(rf_semaphore_acquire(semaphore, 4, RF_FOREVER), RF_E_MAXIMUM_REACHED);
    OK(rf_semaphore_acquire(semaphore, 0, 0));
    expect_value(1);

    /* Anybody may release; then it is free, and not twice. */
    TRUE(in_child(release_another_ones) == 0);
    expect_taken(1);
    expect_value(2);
    OK(rf_semaphore_release(semaphore, 1));
    EXPECT(rf_semaphore_release(semaphore, 1), RF_E_MAXIMUM_REACHED);
    expect_value(3);

    /* What the dead had comes back, and is told once. */
    TRUE(WTERMSIG(in_child(die_with_two)) == SIGKILL);
    EXPECT(rf_semaphore_acquire(semaphore, 3, RF_FOREVER), RF_OWNER_DIED);
    OK(rf_semaphore_release(semaphore, 3));
    OK(rf_semaphore_acquire(semaphore, 3, 0));
    OK(rf_semaphore_release(semaphore, 3));

    /* Of the other mode; without RF_CREATE whatever is there is opened. */
    OK(rf_semaphore_open(segment, "signals", RF_CREATE, RF_SIGNALLING, 0, 0, &signals));
    EXPECT(rf_semaphore_open(segment, "signals", RF_CREATE, RF_OWNED, 0, 0, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_semaphore_open(segment, "pool", RF_CREATE, RF_OWNED, 3, 4, &again), RF_E_WRONG_SHAPE);
    OK(rf_semaphore_open(segment, "pool", 0, RF_SIGNALLING, 0, 0, &again));
    OK(rf_semaphore_close(again));
    OK(rf_semaphore_close(semaphore));
    semaphore = signals;
    OK(rf_semaphore_release(semaphore, 2));
    TRUE(WTERMSIG(in_child(die_with_two)) == SIGKILL);
    expect_value(0);
    EXPECT(rf_semaphore_acquire(semaphore, 1, 0), RF_E_BUSY);

    OK(rf_semaphore_close(semaphore));
    OK(rf_semaphore_close(NULL));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("semaphore: ok");
    return 0;
}
