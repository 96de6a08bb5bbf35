/* A ring of records and bytes: in place and copied, a stream, ends that are taken and given back, a producer killed in the middle
 * of a record, a forked child, shutdown.
 * semantics 74, 117, 118, 121, 122, 123, 124, 125 and 126 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>

enum { MS = 1000000 };

static rf_byte_ring *ring;
static rf_byte_producer *producer;
static rf_byte_consumer *consumer;

static void push_and_die(void) {
    void *room;
    OK(rf_byte_ring_producer(ring, &producer));
    for (uint32_t i = 0; i < 5; i++) OK(rf_byte_producer_push(producer, &i, sizeof i, RF_FOREVER));
    OK(rf_byte_producer_reserve(producer, 40, &room, RF_FOREVER));
    memset(room, 0xff, 40);
    raise(SIGKILL);
}

static void read_and_die(void) {
    char part[6];
    size_t n;
    OK(rf_byte_ring_consumer(ring, &consumer));
    OK(rf_byte_consumer_read(consumer, part, sizeof part, &n, 0));
    TRUE(n == 6 && memcmp(part, "stream", 6) == 0);
    raise(SIGKILL);
}

static void own_nothing(void) {
    void *room;
    const void *record;
    size_t n;
    EXPECT(rf_byte_producer_commit(producer, 3), RF_E_NOT_OWNER);
    EXPECT(rf_byte_consumer_release(consumer), RF_E_NOT_OWNER);
    EXPECT(rf_byte_producer_push(producer, "x", 1, 0), RF_E_NOT_OWNER);
    EXPECT(rf_byte_producer_reserve(producer, 1, &room, 0), RF_E_NOT_OWNER);
    EXPECT(rf_byte_producer_write(producer, "x", 1, &n, RF_FOREVER), RF_E_NOT_OWNER);
    EXPECT(rf_byte_consumer_peek(consumer, &record, &n, RF_FOREVER), RF_E_NOT_OWNER);
    EXPECT(rf_byte_ring_producer(ring, &producer), RF_E_ROLE_TAKEN);
    OK(rf_byte_producer_close(producer));
    OK(rf_byte_consumer_close(consumer));
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_byte_ring *other;
    rf_channel *channel;
    char buffer[128];
    void *room, *again;
    const void *record;
    size_t n;
    int is;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    EXPECT(rf_byte_ring_open(segment, "ring", 0, 0, &ring), RF_E_MISSING);
    EXPECT(rf_byte_ring_open(segment, "ring", RF_CREATE, 0, &ring), RF_E_INVALID);
    OK(rf_byte_ring_open(segment, "ring", RF_CREATE | RF_EXCL, 200, &ring));
    EXPECT(rf_byte_ring_open(segment, "ring", RF_CREATE | RF_EXCL, 200, &other), RF_E_EXISTS);
    EXPECT(rf_byte_ring_open(segment, "ring", RF_CREATE, 257, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_channel_open(segment, "ring", 0, 0, &channel), RF_E_WRONG_TYPE);
    OK(rf_byte_ring_open(segment, "ring", 0, 0, &other));
    OK(rf_byte_ring_capacity(other, &n));
    TRUE(n == 256);
    OK(rf_byte_ring_max_record(other, &n));
    TRUE(n == 120);

    /* A process dies with five records pushed and one reserved. */
    int status = in_child(push_and_die);
    TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    OK(rf_byte_ring_producer(ring, &producer));
    OK(rf_byte_ring_consumer(other, &consumer));
    EXPECT(rf_byte_ring_consumer(ring, &consumer), RF_E_ROLE_TAKEN);
    OK(rf_byte_ring_has_producer(ring, &is));
    TRUE(is == 1);
    OK(rf_byte_ring_has_consumer(ring, &is));
    TRUE(is == 1);
    for (uint32_t i = 0, got; i < 5; i++) {
        OK(rf_byte_consumer_pop(consumer, &got, sizeof got, &n, RF_FOREVER));
        TRUE(n == sizeof got && got == i);
    }
    EXPECT(rf_byte_consumer_pop(consumer, buffer, sizeof buffer, &n, 0), RF_E_EMPTY);
    EXPECT(rf_byte_consumer_pop(consumer, buffer, sizeof buffer, &n, 2 * MS), RF_E_TIMED_OUT);
    EXPECT(rf_byte_producer_push(producer, buffer, 121, RF_FOREVER), RF_E_MESSAGE_TOO_LONG);
    EXPECT(rf_byte_producer_reserve(producer, 121, &room, RF_FOREVER), RF_E_MESSAGE_TOO_LONG);

    /* In place, again and again round the ring. */
    for (int i = 0; i < 100; i++) {
        OK(rf_byte_producer_reserve(producer, 100, &room, 0));
        TRUE((uintptr_t)room % 8 == 0);
        int len = snprintf(room, 100, "record %d", i);
        EXPECT(rf_byte_producer_commit(producer, 101), RF_E_INVALID);
        OK(rf_byte_producer_commit(producer, (size_t)len));
        EXPECT(rf_byte_producer_commit(producer, 0), RF_E_INVALID);
        OK(rf_byte_consumer_peek(consumer, &record, &n, 0));
        TRUE(n == (size_t)len && memcmp(record, "record ", 7) == 0);
        OK(rf_byte_consumer_peek(consumer, &record, &n, 0));
        OK(rf_byte_consumer_release(consumer));
        EXPECT(rf_byte_consumer_release(consumer), RF_E_INVALID);
        EXPECT(rf_byte_consumer_peek(consumer, &record, &n, 0), RF_E_EMPTY);
    }
    /* Given up, by a call or by the next. */
    OK(rf_byte_producer_reserve(producer, 100, &room, 0));
    OK(rf_byte_producer_abort(producer));
    OK(rf_byte_producer_abort(producer));
    EXPECT(rf_byte_producer_commit(producer, 1), RF_E_INVALID);
    OK(rf_byte_producer_reserve(producer, 10, &room, 0));
    OK(rf_byte_producer_reserve(producer, 10, &again, 0));
    TRUE(room == again);
    OK(rf_byte_producer_push(producer, "pushed", 6, 0));
    EXPECT(rf_byte_producer_commit(producer, 1), RF_E_INVALID);
    EXPECT(rf_byte_consumer_pop(consumer, buffer, 5, &n, 0), RF_E_BUFFER_TOO_SHORT);
    TRUE(n == 6);
    OK(rf_byte_consumer_peek(consumer, &record, &n, 0));
    OK(rf_byte_consumer_pop(consumer, buffer, 6, &n, 0));
    EXPECT(rf_byte_consumer_release(consumer), RF_E_INVALID);
    OK(rf_byte_producer_push(producer, NULL, 0, 0));
    OK(rf_byte_consumer_pop(consumer, NULL, 0, &n, 0));
    TRUE(n == 0);

    /* A forked child has neither end, whatever the parent was in the middle of. */
    OK(rf_byte_producer_push(producer, "seen", 4, 0));
    OK(rf_byte_producer_reserve(producer, 10, &room, 0));
    OK(rf_byte_consumer_peek(consumer, &record, &n, 0));
    TRUE(in_child(own_nothing) == 0);
    OK(rf_byte_consumer_release(consumer));
    memcpy(room, "own", 3);
    OK(rf_byte_producer_commit(producer, 3));
    OK(rf_byte_consumer_pop(consumer, buffer, sizeof buffer, &n, 0));
    TRUE(n == 3 && memcmp(buffer, "own", 3) == 0);

    /* A stream, whose reader dies in the middle. */
    OK(rf_byte_consumer_close(consumer));
    OK(rf_byte_producer_write(producer, "stream of bytes", 15, &n, RF_FOREVER));
    TRUE(n == 15);
    status = in_child(read_and_die);
    TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    OK(rf_byte_ring_consumer(ring, &consumer));
    OK(rf_byte_consumer_read(consumer, buffer, sizeof buffer, &n, RF_FOREVER));
    TRUE(n == 9 && memcmp(buffer, " of bytes", 9) == 0);
    EXPECT(rf_byte_consumer_read(consumer, buffer, sizeof buffer, &n, 0), RF_E_EMPTY);
    OK(rf_byte_consumer_read(consumer, buffer, 0, &n, 0));
    TRUE(n == 0);
    while ((status = rf_byte_producer_write(producer, buffer, sizeof buffer, &n, 0)) == RF_OK) TRUE(n >= 1);
    EXPECT(status, RF_E_FULL);
    EXPECT(rf_byte_producer_write(producer, buffer, 1, &n, 2 * MS), RF_E_TIMED_OUT);
    OK(rf_byte_ring_used(ring, &n));
    TRUE(n > 240 && n <= 256);

    /* Nobody there. */
    OK(rf_byte_consumer_tell_if_alone(consumer, 1));
    OK(rf_byte_producer_tell_if_alone(producer, 0));
    OK(rf_byte_producer_close(producer));
    while ((status = rf_byte_consumer_read(consumer, buffer, sizeof buffer, &n, RF_FOREVER)) == RF_OK) continue;
    EXPECT(status, RF_E_ALONE);

    /* The end. */
    OK(rf_byte_ring_producer(ring, &producer));
    OK(rf_byte_producer_push(producer, "last", 4, 0));
    OK(rf_byte_ring_shutdown(other));
    OK(rf_byte_ring_is_shut_down(ring, &is));
    TRUE(is == 1);
    EXPECT(rf_byte_producer_push(producer, "later", 5, RF_FOREVER), RF_E_CLOSED);
    OK(rf_byte_consumer_pop(consumer, buffer, sizeof buffer, &n, RF_FOREVER));
    EXPECT(rf_byte_consumer_pop(consumer, buffer, sizeof buffer, &n, RF_FOREVER), RF_E_CLOSED);

    OK(rf_byte_producer_close(producer));
    OK(rf_byte_consumer_close(consumer));
    OK(rf_byte_ring_close(ring));
    OK(rf_byte_ring_close(other));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("byte_ring: ok");
    return 0;
}
