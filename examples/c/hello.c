#include <ringfence.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "jobs";
    rf_segment *seg; rf_queue *tasks; rf_mutex *guard; uint64_t task;
    if (rf_segment_open(name, RF_CREATE, 16 << 20, NULL, &seg) < 0
        || rf_queue_open(seg, "tasks", RF_CREATE, sizeof task, _Alignof(uint64_t), NULL, 1024, &tasks) < 0
        || rf_mutex_open(seg, "guard", RF_CREATE, &guard) < 0)
        return fprintf(stderr, "hello: %s\n", rf_last_error()), 1;
    int got = rf_mutex_lock(guard, RF_FOREVER);
    if (got == RF_OWNER_DIED) rf_mutex_make_consistent(guard); // killed while it held it: repair first
    while (rf_queue_pop(tasks, &task, 0) == RF_OK) // each 42 from Rust; RF_FOREVER waits for one
        printf("task %llu\n", (unsigned long long)task);
    if (got >= 0) rf_mutex_unlock(guard);
    rf_mutex_close(guard); rf_queue_close(tasks); rf_segment_close(seg);
    return rf_segment_unlink(name) < 0;
}
