/* The mutex and its owner's ends: unlock, death, giving up.
 * semantics 4, 6, 8, 60, 61, 62, 66 and 82 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static rf_mutex *guard;

static void *other_thread(void *unused) {
    (void)unused;
    EXPECT(rf_mutex_lock(guard, 0), RF_E_BUSY);
    EXPECT(rf_mutex_lock(guard, -5), RF_E_BUSY);
    EXPECT(rf_mutex_lock(guard, 2000000), RF_E_TIMED_OUT);
    EXPECT(rf_mutex_unlock(guard), RF_E_NOT_OWNER);
    EXPECT(rf_mutex_make_consistent(guard), RF_E_NOT_OWNER);
    return NULL;
}

static void on_alarm(int signal) { (void)signal; }

/* Locks in a child and dies of SIGKILL holding it. */
static void die_holding(void) {
    pid_t child = fork();
    if (child == 0) {
        int e = rf_mutex_lock(guard, RF_FOREVER);
        if (e != RF_OK) _exit(1);
        raise(SIGKILL);
    }
    int status;
    TRUE(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    int pid;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_mutex_open(segment, "guard", RF_CREATE | RF_INTERRUPTIBLE, &guard));

    EXPECT(rf_mutex_unlock(guard), RF_E_NOT_OWNER);
    OK(rf_mutex_lock(guard, RF_FOREVER));
    EXPECT(rf_mutex_lock(guard, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    OK(rf_mutex_holder(guard, &pid));
    TRUE(pid == (int)getpid());
    EXPECT(rf_segment_close(segment), RF_E_BUSY);
    pthread_t thread;
    pthread_create(&thread, NULL, other_thread, NULL);
    pthread_join(thread, NULL);
    OK(rf_mutex_make_consistent(guard));
    OK(rf_mutex_unlock(guard));
    OK(rf_mutex_holder(guard, &pid));
    TRUE(pid == 0);

    /* Repaired after a death. */
    die_holding();
    EXPECT(rf_mutex_lock(guard, RF_FOREVER), RF_OWNER_DIED);
    OK(rf_mutex_make_consistent(guard));
    OK(rf_mutex_unlock(guard));
    OK(rf_mutex_lock(guard, 0));
    OK(rf_mutex_unlock(guard));

    /* Given up after a death. */
    die_holding();
    EXPECT(rf_mutex_lock(guard, 0), RF_OWNER_DIED);
    OK(rf_mutex_unlock(guard));
    EXPECT(rf_mutex_lock(guard, RF_FOREVER), RF_E_NOT_RECOVERABLE);
    OK(rf_mutex_reset(guard));
    OK(rf_mutex_lock(guard, RF_FOREVER));
    OK(rf_mutex_unlock(guard));

    /* A signal ends the wait of an interruptible handle. */
    int ready[2], done[2];
    char byte = 0;
    TRUE(pipe(ready) == 0 && pipe(done) == 0);
    pid_t child = fork();
    if (child == 0) {
        OK(rf_mutex_lock(guard, RF_FOREVER));
        TRUE(write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 1);
        OK(rf_mutex_unlock(guard));
        _exit(0);
    }
    TRUE(read(ready[0], &byte, 1) == 1);
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    /* Again and again: the first one may come before the wait. */
    struct itimerval timer = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    EXPECT(rf_mutex_lock(guard, RF_FOREVER), RF_E_INTERRUPTED);
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, NULL);
    TRUE(write(done[1], &byte, 1) == 1);
    int status;
    TRUE(waitpid(child, &status, 0) == child && status == 0);

    OK(rf_mutex_close(guard));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("mutex: ok");
    return 0;
}
