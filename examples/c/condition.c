/* Two processes of stage 2 wait until stage 1 is done and notifies all. */
#include "crew.h"

static rf_mutex *mutex;
static rf_condvar *changed;
static rf_value *done;

static int is_done(void *context) {
    (void)context;
    int now = 0;
    ok(rf_value_get(done, &now));
    return now;
}

static void stage_2(int number) {
    ok(rf_mutex_lock(mutex, RF_FOREVER));
    ok(rf_condvar_wait_for(changed, mutex, is_done, NULL, NULL, RF_FOREVER));
    ok(rf_mutex_unlock(mutex));
    printf("stage 2, worker %d\n", number);
}

int main(void) {
    rf_segment *segment;
    int now = 0;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_mutex_open(segment, "mutex", RF_CREATE, &mutex));
    ok(rf_condvar_open(segment, "changed", RF_CREATE, 0, &changed));
    ok(rf_value_open(segment, "done", RF_CREATE, RF_I32, 0, 0, NULL, &now, &done));
    ok(rf_mutex_lock(mutex, RF_FOREVER));
    pid_t first = start(stage_2, 0), second = start(stage_2, 1);
    printf("stage 1\n");
    fflush(stdout);
    now = 1;
    ok(rf_value_set(done, &now));
    ok(rf_condvar_notify(changed, mutex, RF_ALL, NULL));
    ok(rf_mutex_unlock(mutex));
    ended_well(first);
    ended_well(second);
    rf_value_close(done);
    rf_condvar_close(changed);
    rf_mutex_close(mutex);
    rf_segment_close(segment);
    return 0;
}
