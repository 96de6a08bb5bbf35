/* What is done once, and values that are set once, by several processes, some of which are killed.
 * semantics 4, 6, 81, 106, 107, 108, 109 and 110 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

enum { MS = 1000000 };

typedef struct { uint64_t words[40]; } table;

static rf_segment *segment;
static rf_once *once;
static rf_once_value *value;

static void fill(table *t, uint64_t word) {
    for (size_t i = 0; i < 40; i++) t->words[i] = word;
}

static void expect_done(int expected) {
    int done = 99;
    OK(rf_once_is_completed(once, &done));
    TRUE(done == expected);
}

static void expect_holder(int32_t expected) {
    int32_t pid = 99;
    OK(rf_once_holder(once, &pid));
    TRUE(pid == expected);
    OK(rf_once_value_holder(value, &pid));
    TRUE(pid == 0);
}

static void die_at_it(void) {
    EXPECT(rf_once_begin(once, 0), RF_YOUR_TURN);
    raise(SIGKILL);
}

static void die_at_it_again(void) {
    EXPECT(rf_once_begin(once, 0), RF_YOUR_TURN_AGAIN);
    raise(SIGKILL);
}

/* A child of whoever has the turn has none. */
static void own_nothing(void) {
    EXPECT(rf_once_complete(once), RF_E_NOT_OWNER);
    EXPECT(rf_once_abandon(once), RF_E_NOT_OWNER);
    EXPECT(rf_once_begin(once, 0), RF_E_BUSY);
    EXPECT(rf_once_begin(once, 2 * MS), RF_E_TIMED_OUT);
    EXPECT(rf_once_wait(once, 0), RF_E_BUSY);
    EXPECT(rf_once_wait(once, 2 * MS), RF_E_TIMED_OUT);
    expect_done(0);
}

static void see_it_done(void) {
    OK(rf_once_begin(once, 0));
    OK(rf_once_begin(once, RF_FOREVER));
    OK(rf_once_wait(once, 0));
    expect_done(1);
}

static void *wait_for_it(void *unused) {
    OK(rf_once_wait(once, RF_FOREVER));
    return unused;
}

static void *end_with_the_turn(void *unused) {
    EXPECT(rf_once_begin(once, 0), RF_YOUR_TURN_AGAIN);
    return unused;
}

static void nothing(int signal) { (void)signal; }

static volatile sig_atomic_t ended;

static void *interrupted(void *unused) {
    rf_once *impatient;
    rf_once_value *impatient_too;
    table t;
    OK(rf_once_open(segment, "once", RF_INTERRUPTIBLE, &impatient));
    OK(rf_once_value_open(segment, "value", RF_INTERRUPTIBLE, RF_STRUCT, sizeof t, 8, "table", &impatient_too));
    EXPECT(rf_once_begin(impatient, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_once_wait(impatient, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_once_value_wait(impatient_too, &t, RF_FOREVER), RF_E_INTERRUPTED);
    OK(rf_once_close(impatient));
    OK(rf_once_value_close(impatient_too));
    ended = 1;
    return unused;
}

static void die_at_the_value(void) {
    table t;
    EXPECT(rf_once_value_begin(value, &t, 0), RF_YOUR_TURN);
    raise(SIGKILL);
}

static void make_it(void) {
    table mine, found;
    fill(&mine, (uint64_t)getpid());
    int status = rf_once_value_begin(value, &found, RF_FOREVER);
    if (status == RF_OK) return;
    TRUE(status == RF_YOUR_TURN || status == RF_YOUR_TURN_AGAIN);
    OK(rf_once_value_complete(value, &mine));
}

static void *wait_for_value(void *out) {
    OK(rf_once_value_wait(value, out, RF_FOREVER));
    return NULL;
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    pthread_t thread;
    rf_once *again;
    rf_once_value *other;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_once_open(segment, "once", RF_CREATE | RF_EXCL, &once));
    OK(rf_once_value_open(segment, "value", RF_CREATE | RF_EXCL, RF_STRUCT, sizeof(table), 8, "table", &value));

    /* A turn, and whose it is. */
    expect_done(0);
    expect_holder(0);
    EXPECT(rf_once_complete(once), RF_E_NOT_OWNER);
    EXPECT(rf_once_abandon(once), RF_E_NOT_OWNER);
    EXPECT(rf_once_wait(once, 0), RF_E_BUSY);
    EXPECT(rf_once_wait(once, -1), RF_E_BUSY);
    TRUE(WTERMSIG(in_child(die_at_it)) == SIGKILL);
    TRUE(WTERMSIG(in_child(die_at_it_again)) == SIGKILL);
    EXPECT(rf_once_begin(once, RF_FOREVER), RF_YOUR_TURN_AGAIN);
    expect_holder(getpid());
    EXPECT(rf_once_begin(once, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    EXPECT(rf_once_wait(once, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    TRUE(in_child(own_nothing) == 0);
    OK(rf_once_abandon(once));
    EXPECT(rf_once_abandon(once), RF_E_NOT_OWNER);
    TRUE(pthread_create(&thread, NULL, end_with_the_turn, NULL) == 0);
    pthread_join(thread, NULL);

    /* A call that asked for it is told of signals. */
    EXPECT(rf_once_begin(once, 0), RF_YOUR_TURN_AGAIN);
    struct sigaction action = {.sa_handler = nothing};
    TRUE(sigaction(SIGUSR1, &action, NULL) == 0);
    TRUE(pthread_create(&thread, NULL, interrupted, NULL) == 0);
    while (!ended) {
        pthread_kill(thread, SIGUSR1);
        usleep(1000);
    }
    pthread_join(thread, NULL);

    /* Done, for all and for ever. */
    TRUE(pthread_create(&thread, NULL, wait_for_it, NULL) == 0);
    OK(rf_once_complete(once));
    pthread_join(thread, NULL);
    EXPECT(rf_once_complete(once), RF_E_NOT_OWNER);
    EXPECT(rf_once_abandon(once), RF_E_NOT_OWNER);
    TRUE(in_child(see_it_done) == 0);
    see_it_done();
    expect_holder(0);

    /* A value: none of it is there before it is there. */
    table t, found;
    fill(&found, 4711);
    EXPECT(rf_once_value_get(value, &found), RF_E_NOT_READY);
    EXPECT(rf_once_value_wait(value, &found, 0), RF_E_BUSY);
    EXPECT(rf_once_value_wait(value, &found, 2 * MS), RF_E_TIMED_OUT);
    EXPECT(rf_once_value_complete(value, &found), RF_E_NOT_OWNER);
    EXPECT(rf_once_value_abandon(value), RF_E_NOT_OWNER);
    TRUE(WTERMSIG(in_child(die_at_the_value)) == SIGKILL);
    EXPECT(rf_once_value_begin(value, &found, RF_FOREVER), RF_YOUR_TURN_AGAIN);
    EXPECT(rf_once_value_begin(value, &found, 0), RF_E_WOULD_DEADLOCK);
    EXPECT(rf_once_value_set(value, &found, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    EXPECT(rf_once_value_wait(value, &found, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    OK(rf_once_value_abandon(value));
    EXPECT(rf_once_value_get(value, &found), RF_E_NOT_READY);
    TRUE(found.words[0] == 4711 && found.words[39] == 4711);
    rf_awaited items[] = {{.what = RF_AWAIT_ONCE_VALUE, .handle = value}, {.what = RF_AWAIT_ONCE, .handle = once}};
    uint64_t ready;
    OK(rf_wait_any(items, 2, 0, &ready, RF_FOREVER));
    TRUE(ready == 2);

    /* Of many who make it, one does. */
    TRUE(pthread_create(&thread, NULL, wait_for_value, &t) == 0);
    pid_t children[5];
    for (size_t i = 0; i < 5; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            make_it();
            _exit(0);
        }
    }
    int status, one_of_them = 0;
    for (size_t i = 0; i < 5; i++) TRUE(waitpid(children[i], &status, 0) == children[i] && status == 0);
    pthread_join(thread, NULL);
    OK(rf_once_value_get(value, &found));
    for (size_t i = 0; i < 5; i++) one_of_them += found.words[0] == (uint64_t)children[i];
    TRUE(one_of_them == 1);
    for (size_t i = 0; i < 40; i++) TRUE(found.words[i] == found.words[0] && t.words[i] == found.words[0]);
    fill(&t, 5);
    EXPECT(rf_once_value_set(value, &t, RF_FOREVER), RF_E_COMPLETED);
    EXPECT(rf_once_value_complete(value, &t), RF_E_NOT_OWNER);
    OK(rf_once_value_begin(value, &t, RF_FOREVER));
    OK(rf_once_value_wait(value, &t, 0));
    TRUE(memcmp(&t, &found, sizeof t) == 0);
    OK(rf_wait_any(items, 2, 0, &ready, 0));
    TRUE(ready == 3);

    /* Of C's bool there are two. */
    unsigned char byte = 7;
    OK(rf_once_value_open(segment, "bool", RF_CREATE, RF_BOOL, 0, 0, NULL, &other));
    OK(rf_once_value_set(other, &byte, 0));
    OK(rf_once_value_get(other, &byte));
    TRUE(byte == 1);
    OK(rf_once_value_close(other));

    /* The type is part of the shape. */
    EXPECT(rf_once_open(segment, "value", 0, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_once_value_open(segment, "once", 0, RF_I32, 0, 0, NULL, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_once_value_open(segment, "value", 0, RF_STRUCT, sizeof t, 8, "chair", &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_once_open(segment, "once", RF_CREATE | RF_EXCL, &again), RF_E_EXISTS);
    EXPECT(rf_once_open(segment, "none", 0, &again), RF_E_MISSING);
    OK(rf_once_open(segment, "once", RF_CREATE, &again));
    OK(rf_once_begin(again, 0));
    OK(rf_once_close(again));

    OK(rf_once_value_close(value));
    OK(rf_once_close(once));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("once: ok");
    return 0;
}
