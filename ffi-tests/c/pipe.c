/* A pipe: both ways and one way, the end of file when the last holder is gone, forked and killed ones included.
 * semantics 33, 34, 35, 36, 37, 38, 39, 40, 155, 156, 157, 158, 159 and 160 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(pid_t child, int status) {
    int ended;
    TRUE(waitpid(child, &ended, 0) == child);
    TRUE(status < 0 ? WIFSIGNALED(ended) && WTERMSIG(ended) == -status : WIFEXITED(ended) && WEXITSTATUS(ended) == status);
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_pipe *mine, *theirs, *again;
    char buffer[64];
    size_t len = 99;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 20, NULL, &segment));
    EXPECT(rf_pipe_open(segment, "talk", 0, RF_FIRST_END, 0, 0, &mine), RF_E_MISSING);
    EXPECT(rf_pipe_pair(segment, "talk", 0, 31, &mine, &theirs), RF_E_INVALID);
    OK(rf_pipe_pair(segment, "talk", 0, 4096, &mine, &theirs));
    EXPECT(rf_pipe_pair(segment, "talk", 0, 4096, &again, &again), RF_E_EXISTS);
    EXPECT(rf_pipe_open(segment, "talk", RF_CREATE, RF_FIRST_END, 1, 4096, &again), RF_E_WRONG_SHAPE);

    EXPECT(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 0), RF_E_EMPTY);
    EXPECT(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 2000000), RF_E_TIMED_OUT);
    EXPECT(rf_pipe_poll(mine, 0), RF_E_NOT_READY);
    EXPECT(rf_pipe_poll(mine, 2000000), RF_E_TIMED_OUT);
    TRUE(len == 99);
    OK(rf_pipe_send(theirs, "hello", 5, 0));
    OK(rf_pipe_send(theirs, NULL, 0, 0));
    OK(rf_pipe_send(mine, "back", 4, 0));
    OK(rf_pipe_poll(mine, RF_FOREVER));
    EXPECT(rf_pipe_recv(mine, buffer, 2, &len, 0), RF_E_BUFFER_TOO_SHORT);
    TRUE(len == 5);
    OK(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 0));
    TRUE(len == 5 && memcmp(buffer, "hello", 5) == 0);
    OK(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 0));
    TRUE(len == 0);
    OK(rf_pipe_recv(theirs, buffer, sizeof buffer, &len, 0));
    TRUE(len == 4 && memcmp(buffer, "back", 4) == 0);

    /* Parts of a buffer, and what is none. */
    static const char digits[] = "0123456789";
    OK(rf_pipe_send(theirs, digits + 2, 3, 0));
    OK(rf_pipe_send(theirs, digits + 10, 0, 0));
    EXPECT(rf_pipe_send(theirs, NULL, 3, 0), RF_E_INVALID);
    EXPECT(rf_pipe_send(theirs, digits, SIZE_MAX, 0), RF_E_INVALID);
    EXPECT(rf_pipe_send(theirs, digits + 1, SIZE_MAX / 2 + 1, 0), RF_E_INVALID);
    OK(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 0));
    TRUE(len == 3 && memcmp(buffer, "234", 3) == 0);
    OK(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 0));
    TRUE(len == 0);
    EXPECT(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 0), RF_E_EMPTY);

    /* A child that keeps one end sends it a message longer than the ring, and is gone. */
    size_t length = 100000;
    unsigned char *large = malloc(length), *got = calloc(1, length);
    for (size_t i = 0; i < length; i++) large[i] = (unsigned char)(i % 251);
    pid_t child = fork();
    if (child == 0) {
        OK(rf_pipe_close(mine));
        OK(rf_pipe_send(theirs, large, length, RF_FOREVER));
        _exit(0);
    }
    OK(rf_pipe_duplicate(theirs, &again));
    OK(rf_pipe_close(theirs));
    OK(rf_pipe_recv(mine, got, length, &len, RF_FOREVER));
    TRUE(len == length && memcmp(got, large, length) == 0);
    reap(child, 0);
    EXPECT(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 20000000), RF_E_TIMED_OUT);
    rf_awaited items[] = {{.what = RF_AWAIT_READABLE_PIPE, .handle = mine},
                          {.what = RF_AWAIT_WRITABLE_PIPE, .handle = mine, .count = 8}};
    uint64_t ready;
    OK(rf_wait_any(items, 2, 0, &ready, RF_FOREVER));
    TRUE(ready == 2);

    /* A child that has made no call holds what it was forked with, until it is killed. */
    child = fork();
    if (child == 0)
        for (;;) pause();
    OK(rf_pipe_close(again));
    EXPECT(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 20000000), RF_E_TIMED_OUT);
    TRUE(kill(child, SIGKILL) == 0);
    EXPECT(rf_pipe_recv(mine, buffer, sizeof buffer, &len, RF_FOREVER), RF_E_END_OF_FILE);
    reap(child, -SIGKILL);
    EXPECT(rf_pipe_recv(mine, buffer, sizeof buffer, &len, 0), RF_E_END_OF_FILE);
    EXPECT(rf_pipe_send(mine, "x", 1, RF_FOREVER), RF_E_BROKEN_PIPE);
    OK(rf_pipe_poll(mine, 0));
    OK(rf_wait_any(items, 2, 0, &ready, RF_FOREVER));
    TRUE(ready == 3);
    EXPECT(rf_pipe_open(segment, "talk", 0, RF_SECOND_END, 0, 0, &again), RF_E_END_OF_FILE);
    OK(rf_pipe_close(mine));

    /* One way; each end by its name. */
    rf_pipe *reader, *writer;
    OK(rf_pipe_open(segment, "one", RF_CREATE, RF_SECOND_END, 1, 64, &writer));
    OK(rf_pipe_send(writer, "early", 5, 0));
    OK(rf_pipe_open(segment, "one", 0, RF_FIRST_END, 0, 0, &reader));
    EXPECT(rf_pipe_send(reader, "x", 1, 0), RF_E_WRONG_DIRECTION);
    EXPECT(rf_pipe_recv(writer, buffer, sizeof buffer, &len, 0), RF_E_WRONG_DIRECTION);
    EXPECT(rf_pipe_poll(writer, 0), RF_E_WRONG_DIRECTION);
    while (rf_pipe_send(writer, "fill", 4, 0) == RF_OK) {}
    EXPECT(rf_pipe_send(writer, "fill", 4, 0), RF_E_FULL);
    EXPECT(rf_pipe_send(writer, "fill", 4, 2000000), RF_E_TIMED_OUT);
    OK(rf_pipe_shutdown(reader));
    EXPECT(rf_pipe_send(writer, "x", 1, 0), RF_E_CLOSED);
    OK(rf_pipe_recv(reader, buffer, sizeof buffer, &len, 0));
    TRUE(len == 5 && memcmp(buffer, "early", 5) == 0);
    while (rf_pipe_recv(reader, buffer, sizeof buffer, &len, 0) == RF_OK) {}
    EXPECT(rf_pipe_recv(reader, buffer, sizeof buffer, &len, 0), RF_E_CLOSED);
    OK(rf_pipe_close(writer));
    OK(rf_pipe_close(reader));

    free(large);
    free(got);
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("pipe: ok");
    return 0;
}
