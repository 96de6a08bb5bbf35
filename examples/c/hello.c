/* Hello through shared memory: reads what `cargo run --example hello` has written. */
#include <stdio.h>
#include "ringfence.h"

int main(void)
{
    rf_segment *segment;
    rf_queue *inbox;
    rf_mutex *guard;
    uint64_t visitor;

    if (rf_segment_open("hello", RF_CREATE, 1 << 20, NULL, &segment) < 0
        || rf_queue_open(segment, "inbox", RF_CREATE, sizeof visitor, sizeof visitor, NULL, 16, &inbox) < 0
        || rf_mutex_open(segment, "guard", RF_CREATE, &guard) < 0) {
        fprintf(stderr, "hello: %s\n", rf_last_error());
        return 1;
    }
    if (rf_mutex_lock(guard, RF_FOREVER) == RF_OWNER_DIED)
        rf_mutex_make_consistent(guard); /* killed while it held the lock: now we do */
    while (rf_queue_pop(inbox, &visitor, 0) == RF_OK)
        printf("visitor %llu said hello\n", (unsigned long long)visitor);
    rf_mutex_unlock(guard);

    rf_mutex_close(guard);
    rf_queue_close(inbox);
    rf_segment_close(segment);
    return rf_segment_unlink("hello") < 0;
}
