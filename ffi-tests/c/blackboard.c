/* Blackboards: the newest value, its number, waiting for a newer one, a writer that is killed.
 * semantics 137 to 140 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>

typedef struct {
    uint64_t words[16];
} wide;

enum { MANY = 20000 };

static rf_segment *segment;
static rf_blackboard *board;

static wide of(uint64_t number) {
    wide value;
    for (int place = 0; place < 16; place++) value.words[place] = number * (place + 1);
    return value;
}

static void put(rf_blackboard_writer *writer, uint64_t number) {
    wide value = of(number);
    uint64_t given = 0;
    OK(rf_blackboard_write(writer, &value, &given));
    TRUE(given == number);
}

static uint64_t newest(void) {
    wide value, expected;
    uint64_t number = 0;
    OK(rf_blackboard_read(board, &value, &number));
    expected = of(number);
    TRUE(memcmp(&value, &expected, sizeof value) == 0);
    return number;
}

static void die_as_writer(void) {
    rf_blackboard_writer *writer;
    OK(rf_blackboard_writer_open(board, &writer));
    put(writer, 1);
    raise(SIGKILL);
}

static void read_while_it_is_written(void) {
    wide value, expected;
    uint64_t last = 0, number = 0;
    int got;
    while ((got = rf_blackboard_wait_newer(board, last, &value, &number, RF_FOREVER)) == RF_OK) {
        TRUE(number > last);
        last = number;
        expected = of(number);
        TRUE(memcmp(&value, &expected, sizeof value) == 0);
    }
    EXPECT(got, RF_E_CLOSED);
    TRUE(last == MANY);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "c-blackboard";
    OK(rf_segment_open(name, RF_CREATE | RF_EXCL, 1 << 20, NULL, &segment));
    OK(rf_blackboard_open(segment, "b", RF_CREATE, sizeof(wide), _Alignof(wide), "wide", &board));
    wide value = of(9);
    uint64_t number = 77;
    EXPECT(rf_blackboard_read(board, &value, &number), RF_E_EMPTY);
    EXPECT(rf_blackboard_wait_newer(board, 0, &value, &number, 0), RF_E_EMPTY);
    EXPECT(rf_blackboard_wait_newer(board, 0, &value, &number, 1000000), RF_E_TIMED_OUT);
    TRUE(value.words[0] == 9 && number == 77); /* as they were */
    int status = in_child(die_as_writer);
    TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    TRUE(newest() == 1);
    rf_blackboard_writer *writer, *second = NULL;
    OK(rf_blackboard_writer_open(board, &writer));
    EXPECT(rf_blackboard_writer_open(board, &second), RF_E_ROLE_TAKEN);
    put(writer, 2);
    TRUE(newest() == 2);
    rf_awaited item = {.what = RF_AWAIT_BLACKBOARD, .handle = board, .count = 2};
    uint64_t ready = 0;
    EXPECT(rf_wait_any(&item, 1, 0, &ready, 0), RF_E_NOT_READY);
    item.count = 1;
    OK(rf_wait_any(&item, 1, 0, &ready, 0));
    pid_t child = fork();
    if (child == 0) {
        EXPECT(rf_blackboard_write(writer, &value, NULL), RF_E_NOT_OWNER);
        read_while_it_is_written();
        _exit(0);
    }
    for (uint64_t next = 3; next <= MANY; next++) put(writer, next);
    OK(rf_blackboard_shutdown(board));
    int is = 0;
    OK(rf_blackboard_is_shut_down(board, &is));
    TRUE(is == 1);
    EXPECT(rf_blackboard_write(writer, &value, NULL), RF_E_CLOSED);
    EXPECT(rf_blackboard_wait_newer(board, MANY, &value, NULL, RF_FOREVER), RF_E_CLOSED);
    TRUE(newest() == MANY);
    TRUE(waitpid(child, &status, 0) == child && status == 0);
    OK(rf_blackboard_writer_close(writer));
    OK(rf_blackboard_close(board));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(name));
    puts("blackboard: ok");
    return 0;
}
