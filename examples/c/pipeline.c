/* One process makes ten tasks, three take them, work, and send results over a second queue. A task that fails is
 * delivered again; one that is done is reported, so the first process can join the work; it shuts the queue down, and the workers
 * end: no message has to tell them. */
#include "crew.h"

enum { WORKERS = 3, TASKS = 10 };
typedef struct { uint64_t number, square; } result;
static rf_work_queue *tasks;
static rf_queue *results;

static void work(int worker) {
    (void)worker;
    rf_lease task;
    result r;
    size_t len;
    int status;
    /* Killed with a task in hand, another worker gets it. */
    while ((status = rf_work_queue_take(tasks, &task, RF_FOREVER)) == RF_OK) {
        ok(rf_work_queue_read(tasks, &task, &r.number, sizeof r.number, &len));
        if (r.number % 4 == 3 && task.deliveries == 1) {
            ok(rf_work_queue_fail(tasks, &task)); /* back into the queue, for anybody */
            continue;
        }
        r.square = r.number * r.number;
        ok(rf_queue_push(results, &r, RF_FOREVER));
        ok(rf_work_queue_done(tasks, &task));
    }
    if (status != RF_E_CLOSED) ok(status);
}

int main(void) {
    rf_segment *segment;
    pid_t workers[WORKERS];
    uint64_t squares[TASKS];
    result r;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_work_queue_open(segment, "tasks", RF_CREATE, 4, sizeof(uint64_t), 0, &tasks));
    ok(rf_queue_open(segment, "results", RF_CREATE, sizeof r, _Alignof(result), NULL, TASKS, &results));
    for (int number = 0; number < WORKERS; number++) workers[number] = start(work, number);
    for (uint64_t number = 0; number < TASKS; number++) /* waits for room */
        ok(rf_work_queue_push(tasks, &number, sizeof number, RF_FOREVER));
    ok(rf_work_queue_shutdown(tasks));
    ok(rf_work_queue_join(tasks, RF_FOREVER));
    for (int n = 0; n < TASKS; n++) {
        ok(rf_queue_pop(results, &r, RF_FOREVER));
        squares[r.number] = r.square;
    }
    for (int n = 0; n < TASKS; n++) printf("%d * %d = %llu\n", n, n, (unsigned long long)squares[n]);
    for (int number = 0; number < WORKERS; number++) ended_well(workers[number]);
    rf_queue_close(results);
    rf_work_queue_close(tasks);
    rf_segment_close(segment);
    return 0;
}
