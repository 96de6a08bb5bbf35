/* One process pushes numbers into a queue with room for four and says how many it holds, another pops them until the queue is
 * shut down and empty. Before they start, what a call says that does not wait, or not for ever. */
#include "crew.h"

enum { ROOM = 4, ITEMS = 10 };
static const int64_t SOON = 10000000; /* nanoseconds */
static rf_queue *queue;

static size_t held(void) {
    size_t len;
    ok(rf_queue_len(queue, &len));
    return len;
}

static const char *said(int yes) { return yes ? "true" : "false"; }

static void produce(int worker) {
    (void)worker;
    for (uint64_t number = ROOM; number < ITEMS; number++) {
        ok(rf_queue_push(queue, &number, RF_FOREVER)); /* waits for room */
        printf("pushed %llu, the queue holds %zu\n", (unsigned long long)number, held());
    }
    /* No item has to tell the consumer that this was the last. */
    ok(rf_queue_shutdown(queue));
}

static void consume(int worker) {
    (void)worker;
    uint64_t number;
    int status;
    while ((status = rf_queue_pop(queue, &number, RF_FOREVER)) == RF_OK) printf("popped %llu\n", (unsigned long long)number);
    if (status != RF_E_CLOSED) ok(status);
    printf("shut down and empty\n");
}

int main(void) {
    rf_segment *segment;
    uint64_t other = 99;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_queue_open(segment, "numbers", RF_CREATE, sizeof other, _Alignof(uint64_t), NULL, ROOM, &queue));
    int at_once = rf_queue_pop(queue, &other, 0), soon = rf_queue_pop(queue, &other, SOON);
    printf("nothing to pop: %s\n", said(at_once == RF_E_EMPTY && soon == RF_E_TIMED_OUT));
    for (uint64_t number = 0; number < ROOM; number++) ok(rf_queue_push(queue, &number, 0));
    at_once = rf_queue_push(queue, &other, 0);
    soon = rf_queue_push(queue, &other, SOON);
    printf("full with %zu: %s\n", held(), said(at_once == RF_E_FULL && soon == RF_E_TIMED_OUT));
    pid_t producer = start(produce, 0), consumer = start(consume, 1);
    ended_well(producer);
    ended_well(consumer);
    printf("empty at the end: %s\n", said(held() == 0));
    rf_queue_close(queue);
    rf_segment_close(segment);
    return 0;
}
