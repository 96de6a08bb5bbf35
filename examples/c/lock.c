/* Ten processes print two lines each, and nobody's lines are torn apart. */
#include "crew.h"

static rf_reentrant_mutex *lock;

static void work(int number) {
    ok(rf_reentrant_mutex_lock(lock, RF_FOREVER));
    printf("worker %d has the lock\n", number);
    fflush(stdout);
    printf("worker %d gives it back\n", number);
    fflush(stdout);
    ok(rf_reentrant_mutex_unlock(lock));
}

int main(void) {
    rf_segment *segment;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_reentrant_mutex_open(segment, "lock", RF_CREATE, &lock));
    run(work, 10);
    rf_reentrant_mutex_close(lock);
    rf_segment_close(segment);
    return 0;
}
