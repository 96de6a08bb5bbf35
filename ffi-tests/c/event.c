/* Events: set, cleared and waited for by several processes, one of which is killed.
 * semantics 4, 15, 16, 81, 99 and 101 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>

static rf_segment *segment;
static rf_event *event, *answer;

static void expect_set(int expected) {
    int is_set = 99;
    OK(rf_event_is_set(event, &is_set));
    TRUE(is_set == expected);
}

static void set_it(void) { OK(rf_event_set(event)); }

static void expect_not_set(void) { EXPECT(rf_event_wait(event, 0), RF_E_TIMED_OUT); }

static void die_with_the_signal(void) {
    OK(rf_event_wait(event, RF_FOREVER));
    raise(SIGKILL);
}

/* Sends the answer for each time that it goes through. */
static void *answerer(void *times) {
    for (int i = 0; i < *(int *)times; i++) {
        OK(rf_event_wait(event, RF_FOREVER));
        OK(rf_event_set(answer));
    }
    return NULL;
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_event *again;
    pthread_t thread;
    int times = 1;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_event_open(segment, "flag", RF_CREATE, RF_MANUAL_RESET, &event));
    OK(rf_event_open(segment, "answer", RF_CREATE, RF_AUTO_RESET, &answer));

    /* By hand: a flag. */
    expect_set(0);
    EXPECT(rf_event_wait(event, 0), RF_E_TIMED_OUT);
    EXPECT(rf_event_wait(event, -1), RF_E_TIMED_OUT);
    EXPECT(rf_event_wait(event, 2000000), RF_E_TIMED_OUT);
    OK(rf_event_clear(event));
    TRUE(in_child(set_it) == 0);
    expect_set(1);
    OK(rf_event_set(event));
    OK(rf_event_wait(event, RF_FOREVER));
    OK(rf_event_wait(event, 0));
    OK(rf_event_clear(event));
    TRUE(in_child(expect_not_set) == 0);
    TRUE(pthread_create(&thread, NULL, answerer, &times) == 0);
    OK(rf_event_set(event));
    OK(rf_event_wait(answer, RF_FOREVER));
    EXPECT(rf_event_wait(answer, 0), RF_E_TIMED_OUT);
    pthread_join(thread, NULL);
    expect_set(1);

    /* The other way is another shape; without RF_CREATE whatever is there is opened. */
    EXPECT(rf_event_open(segment, "flag", RF_CREATE, RF_AUTO_RESET, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_event_open(segment, "answer", RF_CREATE, RF_MANUAL_RESET, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_event_open(segment, "none", 0, RF_AUTO_RESET, &again), RF_E_MISSING);
    OK(rf_event_open(segment, "flag", 0, RF_AUTO_RESET, &again));
    OK(rf_event_wait(again, 0));
    OK(rf_event_wait(again, 0));
    OK(rf_event_close(again));
    OK(rf_event_close(event));

    /* By itself: a signal for one. */
    OK(rf_event_open(segment, "bell", RF_CREATE, RF_AUTO_RESET, &event));
    OK(rf_event_set(event));
    OK(rf_event_set(event));
    expect_set(1);
    OK(rf_event_wait(event, 0));
    expect_set(0);
    EXPECT(rf_event_wait(event, 2000000), RF_E_TIMED_OUT);
    OK(rf_event_set(event));
    OK(rf_event_clear(event));
    EXPECT(rf_event_wait(event, 0), RF_E_TIMED_OUT);
    times = 1000;
    TRUE(pthread_create(&thread, NULL, answerer, &times) == 0);
    for (int i = 0; i < times; i++) {
        OK(rf_event_set(event));
        OK(rf_event_wait(answer, RF_FOREVER));
    }
    pthread_join(thread, NULL);
    expect_set(0);

    /* What the dead took is used. */
    OK(rf_event_set(event));
    TRUE(WTERMSIG(in_child(die_with_the_signal)) == SIGKILL);
    expect_set(0);

    OK(rf_event_close(answer));
    OK(rf_event_close(event));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("event: ok");
    return 0;
}
