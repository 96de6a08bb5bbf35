/* Broadcasts: readers of several processes, both modes, byte records, a writer and a reader that are killed.
 * semantics 127 to 136 */
#define _GNU_SOURCE
#include "check.h"
#include <sched.h>
#include <signal.h>

typedef struct {
    uint64_t number, twice;
} record;

enum { MANY = 20000 };

static rf_segment *segment;
static rf_broadcast *overwriting, *waiting;

static void send(rf_broadcast_writer *writer, uint64_t number, int expected) {
    record sent = {number, 2 * number};
    EXPECT(rf_broadcast_send(writer, &sent, sizeof sent, 0), expected);
}

static void receive(rf_broadcast_reader *reader, uint64_t number) {
    record got = {0, 0};
    size_t len = 0;
    OK(rf_broadcast_recv(reader, &got, sizeof got, &len, NULL, RF_FOREVER));
    TRUE(len == sizeof got && got.number == number && got.twice == 2 * number);
}

static void receive_nothing(rf_broadcast_reader *reader, int64_t timeout_ns, int expected) {
    record got = {77, 78};
    size_t len = 79;
    uint64_t missed = 80;
    EXPECT(rf_broadcast_recv(reader, &got, sizeof got, &len, &missed, timeout_ns), expected);
    TRUE(got.number == 77 && len == 79 && missed == 80); /* as they were */
}

static void one_writer(void) {
    rf_broadcast_writer *writer, *second = NULL;
    OK(rf_broadcast_writer_open(overwriting, &writer));
    EXPECT(rf_broadcast_writer_open(overwriting, &second), RF_E_ROLE_TAKEN);
    TRUE(second == NULL && strstr(rf_last_error(), "writer"));
    OK(rf_broadcast_writer_close(writer));
}

static void die_as_writer(void) {
    rf_broadcast_writer *writer;
    OK(rf_broadcast_writer_open(overwriting, &writer));
    send(writer, 1, RF_OK);
    raise(SIGKILL);
}

static void overwrites(void) {
    rf_broadcast_reader *reader, *old;
    rf_broadcast_writer *writer;
    OK(rf_broadcast_reader_open(overwriting, 0, &reader));
    receive_nothing(reader, 0, RF_E_EMPTY);
    receive_nothing(reader, 1000000, RF_E_TIMED_OUT);
    int status = in_child(die_as_writer);
    TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    one_writer();
    OK(rf_broadcast_writer_open(overwriting, &writer));
    for (uint64_t number = 2; number <= 10; number++) send(writer, number, RF_OK);
    record got = {0, 0};
    uint64_t missed = 0;
    EXPECT(rf_broadcast_recv(reader, &got, sizeof got, NULL, &missed, RF_FOREVER), RF_E_MISSED);
    TRUE(missed == 6 && got.number == 0);
    OK(rf_broadcast_reader_open(overwriting, 1, &old));
    for (uint64_t number = 7; number <= 10; number++) {
        receive(reader, number);
        receive(old, number);
    }
    receive_nothing(old, 0, RF_E_EMPTY);
    OK(rf_broadcast_shutdown(overwriting));
    int is = 0;
    OK(rf_broadcast_is_shut_down(overwriting, &is));
    TRUE(is == 1);
    send(writer, 11, RF_E_CLOSED);
    receive_nothing(reader, RF_FOREVER, RF_E_CLOSED);
    OK(rf_broadcast_reader_close(old));
    OK(rf_broadcast_reader_close(reader));
    OK(rf_broadcast_writer_close(writer));
}

static void be_in_the_way(void) {
    rf_broadcast_reader *reader;
    OK(rf_broadcast_reader_open(waiting, 0, &reader));
    raise(SIGKILL);
}

static void read_them_all(void) {
    rf_broadcast_reader *reader;
    /* The parent, which looks whether all are there, may have the last two places at this moment. */
    int opened;
    while ((opened = rf_broadcast_reader_open(waiting, 0, &reader)) == RF_E_MAXIMUM_REACHED) sched_yield();
    OK(opened);
    for (uint64_t number = 1; number <= MANY; number++) receive(reader, number);
    receive_nothing(reader, RF_FOREVER, RF_E_CLOSED);
}

static void waits(void) {
    rf_broadcast_reader *slow, *fast, *more, *none = NULL;
    rf_broadcast_writer *writer;
    OK(rf_broadcast_writer_open(waiting, &writer));
    for (int n = 0; n < 20; n++) send(writer, 0, RF_OK); /* nobody is there to wait for */
    OK(rf_broadcast_reader_open(waiting, 0, &slow));
    OK(rf_broadcast_reader_open(waiting, 0, &fast));
    OK(rf_broadcast_reader_open(waiting, 0, &more));
    EXPECT(rf_broadcast_reader_open(waiting, 0, &none), RF_E_MAXIMUM_REACHED);
    TRUE(none == NULL);
    OK(rf_broadcast_reader_close(more));
    for (uint64_t number = 1; number <= 4; number++) {
        send(writer, number, RF_OK);
        receive(fast, number);
    }
    send(writer, 5, RF_E_FULL);
    record late = {5, 10};
    EXPECT(rf_broadcast_send(writer, &late, sizeof late, 1000000), RF_E_TIMED_OUT);
    rf_awaited items[] = {{.what = RF_AWAIT_BROADCAST_WRITER, .handle = writer},
                          {.what = RF_AWAIT_BROADCAST_READER, .handle = fast},
                          {.what = RF_AWAIT_BROADCAST_READER, .handle = slow}};
    uint64_t ready = 0;
    OK(rf_wait_any(items, 3, 0, &ready, 0));
    TRUE(ready == 4);
    receive(slow, 1);
    OK(rf_wait_any(items, 1, 0, &ready, 0));
    OK(rf_broadcast_reader_close(slow));
    OK(rf_broadcast_reader_close(fast));
    int status = in_child(be_in_the_way);
    TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (int n = 0; n < 20; n++) send(writer, 0, RF_OK);
    /* In a forked child it is the parent's. */
    pid_t child = fork();
    if (child == 0) {
        send(writer, 1, RF_E_NOT_OWNER);
        OK(rf_broadcast_writer_close(writer));
        _exit(0);
    }
    TRUE(waitpid(child, &status, 0) == child && status == 0);
    one_writer();
    /* Two processes that read while this one writes. */
    pid_t readers[2];
    for (int n = 0; n < 2; n++) {
        readers[n] = fork();
        if (readers[n] == 0) {
            read_them_all();
            _exit(0);
        }
    }
    /* They are there when there is no place for a third and a fourth of ours. */
    for (int there = 0; !there;) {
        rf_broadcast_reader *first = NULL, *second = NULL;
        OK(rf_broadcast_reader_open(waiting, 0, &first));
        there = rf_broadcast_reader_open(waiting, 0, &second) == RF_E_MAXIMUM_REACHED;
        if (!there) OK(rf_broadcast_reader_close(second));
        OK(rf_broadcast_reader_close(first));
    }
    for (uint64_t number = 1; number <= MANY; number++) {
        record sent = {number, 2 * number};
        OK(rf_broadcast_send(writer, &sent, sizeof sent, RF_FOREVER));
    }
    OK(rf_broadcast_shutdown(waiting));
    for (int n = 0; n < 2; n++) TRUE(waitpid(readers[n], &status, 0) == readers[n] && status == 0);
    OK(rf_broadcast_writer_close(writer));
}

static void bytes(void) {
    rf_broadcast *lines;
    rf_broadcast_writer *writer;
    rf_broadcast_reader *reader;
    size_t size = 0, len = 0;
    char line[32] = {0};
    OK(rf_broadcast_open_bytes(segment, "lines", RF_CREATE, 20, 4, 0, &lines));
    OK(rf_broadcast_record_size(lines, &size));
    TRUE(size == 20);
    OK(rf_broadcast_writer_open(lines, &writer));
    OK(rf_broadcast_reader_open(lines, 0, &reader));
    OK(rf_broadcast_send(writer, "hello", 5, 0));
    OK(rf_broadcast_send(writer, NULL, 0, 0));
    EXPECT(rf_broadcast_send(writer, line, 21, 0), RF_E_MESSAGE_TOO_LONG);
    EXPECT(rf_broadcast_recv(reader, line, 4, &len, NULL, 0), RF_E_BUFFER_TOO_SHORT);
    TRUE(len == 5 && line[0] == 0);
    OK(rf_broadcast_recv(reader, line, sizeof line, &len, NULL, 0));
    TRUE(len == 5 && memcmp(line, "hello", 6) == 0);
    OK(rf_broadcast_recv(reader, NULL, 0, &len, NULL, 0));
    TRUE(len == 0);
    rf_broadcast *again;
    EXPECT(rf_broadcast_open_bytes(segment, "lines", RF_CREATE, 21, 4, 0, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_broadcast_open_bytes(segment, "lines", RF_CREATE, 20, 5, 0, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_broadcast_open_bytes(segment, "lines", RF_CREATE, 20, 4, 1, &again), RF_E_WRONG_SHAPE);
    EXPECT(rf_broadcast_open(segment, "lines", 0, 1, 1, NULL, 0, 0, &again), RF_E_WRONG_SHAPE);
    OK(rf_broadcast_open_bytes(segment, "lines", 0, 0, 0, 0, &again));
    OK(rf_broadcast_close(again));
    OK(rf_broadcast_reader_close(reader));
    OK(rf_broadcast_writer_close(writer));
    OK(rf_broadcast_close(lines));
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "c-broadcast";
    OK(rf_segment_open(name, RF_CREATE | RF_EXCL, 1 << 20, NULL, &segment));
    OK(rf_broadcast_open(segment, "o", RF_CREATE, sizeof(record), _Alignof(record), NULL, 4, 0, &overwriting));
    OK(rf_broadcast_open(segment, "w", RF_CREATE, sizeof(record), _Alignof(record), "record", 4, 3, &waiting));
    size_t capacity = 0, readers = 9;
    OK(rf_broadcast_capacity(waiting, &capacity));
    OK(rf_broadcast_max_readers(waiting, &readers));
    TRUE(capacity == 4 && readers == 3);
    overwrites();
    waits();
    bytes();
    OK(rf_broadcast_close(overwriting));
    OK(rf_broadcast_close(waiting));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(name));
    puts("broadcast: ok");
    return 0;
}
