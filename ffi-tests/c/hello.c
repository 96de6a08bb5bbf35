#include <ringfence.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "hello";
    rf_segment *jobs;
    rf_queue *tasks;
    long task = 42;
    int e = rf_segment_open(name, RF_CREATE, 1 << 20, NULL, &jobs);
    if (e == RF_OK) e = rf_queue_open(jobs, "tasks", RF_CREATE, sizeof task, _Alignof(long), NULL, 100, &tasks);
    if (e == RF_OK) e = rf_queue_push(tasks, &task, RF_FOREVER);
    if (e == RF_OK) e = rf_queue_pop(tasks, &task, 1000000000);
    if (e < 0) {
        fprintf(stderr, "%s\n", rf_last_error());
        return 1;
    }
    printf("hello %ld from ringfence %s\n", task, rf_version());
    rf_queue_close(tasks);
    rf_segment_close(jobs);
    return rf_segment_unlink(name) < 0;
}
