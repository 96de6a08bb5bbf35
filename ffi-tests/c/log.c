/* What is told of the dead, and to whom. Two of them: one before a function is set, one after.
 * semantics 200 and 201 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>

static rf_segment *segment;
static rf_work_queue *queue;
static int warnings, again;

static void keep(int level, const char *text) {
    TRUE(level == RF_LOG_WARNING && *text && !strchr(text, '\n'));
    warnings += 1;
    again += strstr(text, "delivered for the 2. time") != NULL;
}

static void take_and_die(void) {
    rf_lease mine;
    OK(rf_work_queue_take(queue, &mine, RF_FOREVER));
    raise(SIGKILL);
}

static void push_and_lose(void) {
    OK(rf_work_queue_push(queue, "message", 7, 0));
    TRUE(WTERMSIG(in_child(take_and_die)) == SIGKILL);
    rf_lease lease;
    OK(rf_work_queue_take(queue, &lease, RF_FOREVER));
    TRUE(lease.deliveries == 2);
    OK(rf_work_queue_done(queue, &lease));
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_work_queue_open(segment, "queue", RF_CREATE, 4, 16, 0, &queue));
    /* Nothing is told: neither here, where keep would be called, nor on the standard error, which the caller looks at. */
    push_and_lose();
    EXPECT(rf_set_log(keep, -1), RF_E_INVALID);
    EXPECT(rf_set_log(keep, RF_LOG_DEBUG + 1), RF_E_INVALID);
    push_and_lose();
    TRUE(warnings == 0);
    OK(rf_set_log(keep, RF_LOG_WARNING));
    push_and_lose();
    TRUE(warnings >= 1 && again == 1);
    /* An error matters more than these. */
    OK(rf_set_log(keep, RF_LOG_ERROR));
    push_and_lose();
    TRUE(again == 1);
    OK(rf_set_log(keep, RF_LOG_INFO));
    OK(rf_set_log(NULL, RF_LOG_OFF));
    push_and_lose();
    TRUE(again == 1);
    OK(rf_work_queue_close(queue));
    OK(rf_segment_close(segment));
    puts("log: ok");
    return 0;
}
