/* Reader-writer locks: who shares with whom, upgrade and downgrade, the deaths of readers and writers, signals.
 * semantics 4, 6, 62, 63, 64, 66, 81, 95, 97 and 98 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static rf_rwlock *lock;

static void expect_holder(int expected) {
    int32_t pid = -1;
    OK(rf_rwlock_holder(lock, &pid));
    TRUE(pid == expected);
}

/* What another process may do while this one has the lock in some way. */
static void may_read(void) {
    OK(rf_rwlock_read(lock, 0));
    EXPECT(rf_rwlock_write(lock, 0), RF_E_BUSY);
    EXPECT(rf_rwlock_write(lock, 2000000), RF_E_TIMED_OUT);
    OK(rf_rwlock_unlock_read(lock));
}

static void may_be_upgradable(void) {
    may_read();
    OK(rf_rwlock_upgradable(lock, 0));
    EXPECT(rf_rwlock_upgrade(lock, 0), RF_E_BUSY);
    EXPECT(rf_rwlock_upgrade(lock, 2000000), RF_E_TIMED_OUT);
    OK(rf_rwlock_unlock_upgradable(lock));
    /* What the parent has is the parent's. */
    EXPECT(rf_rwlock_unlock_read(lock), RF_E_NOT_OWNER);
}

static void may_read_only(void) {
    may_read();
    EXPECT(rf_rwlock_upgradable(lock, -1), RF_E_BUSY);
    EXPECT(rf_rwlock_unlock_upgradable(lock), RF_E_NOT_OWNER);
}

static void may_do_nothing(void) {
    EXPECT(rf_rwlock_read(lock, 0), RF_E_BUSY);
    EXPECT(rf_rwlock_read(lock, 2000000), RF_E_TIMED_OUT);
    EXPECT(rf_rwlock_upgradable(lock, 0), RF_E_BUSY);
    EXPECT(rf_rwlock_write(lock, 0), RF_E_BUSY);
    EXPECT(rf_rwlock_unlock_write(lock), RF_E_NOT_OWNER);
}

static void die_reading(void) {
    OK(rf_rwlock_read(lock, 0));
    OK(rf_rwlock_read(lock, 0));
    raise(SIGKILL);
}

static void die_upgradable(void) {
    OK(rf_rwlock_upgradable(lock, 0));
    raise(SIGKILL);
}

static void die_writing(void) {
    OK(rf_rwlock_upgradable(lock, 0));
    OK(rf_rwlock_upgrade(lock, 0));
    raise(SIGKILL);
}

static void *end_writing(void *unused) {
    OK(rf_rwlock_write(lock, 0));
    return unused;
}

static void *write_and_wait(void *barriers) {
    pthread_barrier_t *barrier = barriers;
    OK(rf_rwlock_write(lock, 0));
    pthread_barrier_wait(&barrier[0]);
    pthread_barrier_wait(&barrier[1]);
    OK(rf_rwlock_unlock_write(lock));
    return NULL;
}

static void on_alarm(int signal) { (void)signal; }

static void interrupted(rf_segment *segment) {
    pthread_t thread;
    pthread_barrier_t barriers[2];
    rf_rwlock *hasty;
    sigset_t alarms;
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    OK(rf_rwlock_open(segment, "lock", RF_INTERRUPTIBLE, &hasty));
    TRUE(pthread_barrier_init(&barriers[0], NULL, 2) == 0 && pthread_barrier_init(&barriers[1], NULL, 2) == 0);
    /* The writer takes no signals. */
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL);
    TRUE(pthread_create(&thread, NULL, write_and_wait, barriers) == 0);
    pthread_barrier_wait(&barriers[0]);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    TRUE(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    EXPECT(rf_rwlock_read(hasty, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_rwlock_write(hasty, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_rwlock_upgradable(hasty, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_rwlock_read(lock, 20000000), RF_E_TIMED_OUT);
    pthread_barrier_wait(&barriers[1]);
    TRUE(pthread_join(thread, NULL) == 0);
    /* A read of one's own is in the way too. */
    OK(rf_rwlock_read(hasty, 0));
    EXPECT(rf_rwlock_write(hasty, RF_FOREVER), RF_E_INTERRUPTED);
    OK(rf_rwlock_upgradable(hasty, 0));
    EXPECT(rf_rwlock_upgrade(hasty, RF_FOREVER), RF_E_INTERRUPTED);
    TRUE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    OK(rf_rwlock_unlock_upgradable(hasty));
    OK(rf_rwlock_unlock_read(hasty));
    OK(rf_rwlock_close(hasty));
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_rwlock *again;
    pthread_t thread;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_rwlock_open(segment, "lock", RF_CREATE, &lock));

    EXPECT(rf_rwlock_unlock_read(lock), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_unlock_write(lock), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_unlock_upgradable(lock), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_make_consistent(lock), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_upgrade(lock, 0), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_downgrade(lock), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_downgrade_to_upgradable(lock), RF_E_NOT_OWNER);

    /* Who shares with whom. */
    OK(rf_rwlock_read(lock, RF_FOREVER));
    TRUE(in_child(may_be_upgradable) == 0);
    EXPECT(rf_rwlock_make_consistent(lock), RF_E_NOT_OWNER);
    OK(rf_rwlock_unlock_read(lock));
    EXPECT(rf_rwlock_unlock_read(lock), RF_E_NOT_OWNER);
    OK(rf_rwlock_upgradable(lock, RF_FOREVER));
    expect_holder(getpid());
    TRUE(in_child(may_read_only) == 0);
    EXPECT(rf_rwlock_upgradable(lock, 0), RF_E_WOULD_DEADLOCK);
    EXPECT(rf_rwlock_write(lock, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    EXPECT(rf_rwlock_unlock_write(lock), RF_E_NOT_OWNER);
    OK(rf_rwlock_upgrade(lock, RF_FOREVER));
    TRUE(in_child(may_do_nothing) == 0);
    EXPECT(rf_rwlock_upgrade(lock, 0), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_unlock_upgradable(lock), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_read(lock, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    OK(rf_rwlock_downgrade_to_upgradable(lock));
    TRUE(in_child(may_read_only) == 0);
    OK(rf_rwlock_upgrade(lock, 0));
    OK(rf_rwlock_downgrade(lock));
    TRUE(in_child(may_be_upgradable) == 0);
    OK(rf_rwlock_unlock_read(lock));
    OK(rf_rwlock_write(lock, RF_FOREVER));
    TRUE(in_child(may_do_nothing) == 0);
    OK(rf_rwlock_make_consistent(lock));
    OK(rf_rwlock_unlock_write(lock));
    OK(rf_rwlock_upgradable(lock, 0));
    OK(rf_rwlock_downgrade(lock));
    OK(rf_rwlock_unlock_read(lock));
    expect_holder(0);
    interrupted(segment);

    /* Readers that die are readers no more. */
    TRUE(WTERMSIG(in_child(die_reading)) == SIGKILL);
    OK(rf_rwlock_write(lock, 0));
    OK(rf_rwlock_unlock_write(lock));
    TRUE(WTERMSIG(in_child(die_upgradable)) == SIGKILL);
    OK(rf_rwlock_write(lock, 0));
    OK(rf_rwlock_unlock_write(lock));

    /* A writer's death is told to all, until a writer has made it good. */
    TRUE(WTERMSIG(in_child(die_writing)) == SIGKILL);
    EXPECT(rf_rwlock_read(lock, RF_FOREVER), RF_OWNER_DIED);
    EXPECT(rf_rwlock_make_consistent(lock), RF_E_NOT_OWNER);
    OK(rf_rwlock_unlock_read(lock));
    EXPECT(rf_rwlock_upgradable(lock, 0), RF_OWNER_DIED);
    EXPECT(rf_rwlock_make_consistent(lock), RF_E_NOT_OWNER);
    EXPECT(rf_rwlock_upgrade(lock, 0), RF_OWNER_DIED);
    OK(rf_rwlock_make_consistent(lock));
    OK(rf_rwlock_unlock_write(lock));
    OK(rf_rwlock_read(lock, 0));
    OK(rf_rwlock_unlock_read(lock));

    /* Or it is given up. */
    TRUE(pthread_create(&thread, NULL, end_writing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    EXPECT(rf_rwlock_write(lock, RF_FOREVER), RF_OWNER_DIED);
    OK(rf_rwlock_unlock_write(lock));
    EXPECT(rf_rwlock_read(lock, RF_FOREVER), RF_E_NOT_RECOVERABLE);
    EXPECT(rf_rwlock_write(lock, RF_FOREVER), RF_E_NOT_RECOVERABLE);
    EXPECT(rf_rwlock_upgradable(lock, 0), RF_E_NOT_RECOVERABLE);
    OK(rf_rwlock_reset(lock));
    OK(rf_rwlock_write(lock, 0));
    OK(rf_rwlock_reset(lock));
    OK(rf_rwlock_unlock_write(lock));

    /* No more than so many readers. */
    for (int i = 0; i < 16383; i++) OK(rf_rwlock_read(lock, 0));
    EXPECT(rf_rwlock_read(lock, 0), RF_E_MAXIMUM_REACHED);
    OK(rf_rwlock_upgradable(lock, 0));
    EXPECT(rf_rwlock_downgrade(lock), RF_E_MAXIMUM_REACHED);
    OK(rf_rwlock_unlock_upgradable(lock));
    for (int i = 0; i < 16383; i++) OK(rf_rwlock_unlock_read(lock));
    OK(rf_rwlock_write(lock, 0));
    OK(rf_rwlock_unlock_write(lock));

    EXPECT(rf_rwlock_open(segment, "lock", RF_CREATE | RF_EXCL, &again), RF_E_EXISTS);
    EXPECT(rf_rwlock_open(segment, "other", 0, &again), RF_E_MISSING);
    OK(rf_rwlock_close(lock));
    OK(rf_rwlock_close(NULL));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("rwlock: ok");
    return 0;
}
