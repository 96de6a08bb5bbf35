/* A channel: messages keep their borders, a short buffer loses nothing, a killed sender breaks nothing.
 * semantics 22, 27, 28, 72, 73, 74, 75, 114 and 115 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    rf_channel *channel, *other;
    char buffer[256];
    size_t len = 99, max, capacity;
    int is;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    EXPECT(rf_channel_open(segment, "news", 0, 0, &channel), RF_E_MISSING);
    OK(rf_channel_open(segment, "news", RF_CREATE, 1024, &channel));
    EXPECT(rf_channel_open(segment, "news", RF_CREATE | RF_EXCL, 1024, &other), RF_E_EXISTS);
    OK(rf_channel_open(segment, "news", 0, 0, &other));
    OK(rf_channel_capacity(other, &capacity));
    OK(rf_channel_max_message(other, &max));
    TRUE(capacity >= 1024 && max > 256 && max <= capacity);

    EXPECT(rf_channel_recv(channel, buffer, sizeof buffer, &len, 0), RF_E_EMPTY);
    EXPECT(rf_channel_recv(channel, buffer, sizeof buffer, &len, 2000000), RF_E_TIMED_OUT);
    TRUE(len == 99);
    OK(rf_channel_send(channel, "hello", 5, 0));
    OK(rf_channel_send(channel, NULL, 0, 0));
    OK(rf_channel_send(channel, "good bye", 8, 0));
    OK(rf_channel_len(other, &len));
    TRUE(len == 3);
    EXPECT(rf_channel_recv(other, buffer, 2, &len, 0), RF_E_BUFFER_TOO_SHORT);
    TRUE(len == 5);
    OK(rf_channel_recv(other, buffer, len, &len, 0));
    TRUE(len == 5 && memcmp(buffer, "hello", 5) == 0);
    OK(rf_channel_recv(other, NULL, 0, &len, 0));
    TRUE(len == 0);
    OK(rf_channel_recv(other, buffer, sizeof buffer, &len, 0));
    TRUE(len == 8 && memcmp(buffer, "good bye", 8) == 0);

    char *large = calloc(1, max + 1);
    EXPECT(rf_channel_send(channel, large, max + 1, RF_FOREVER), RF_E_MESSAGE_TOO_LONG);
    OK(rf_channel_send(channel, large, max, 0));
    EXPECT(rf_channel_send(channel, large, max, 0), RF_E_FULL);
    EXPECT(rf_channel_send(channel, large, max, 2000000), RF_E_TIMED_OUT);
    OK(rf_channel_recv(channel, large, max, &len, 0));
    TRUE(len == max);
    free(large);

    /* Longer than the ring: in pieces, whole or not at all. */
    size_t length = 100 * capacity;
    unsigned char *long_one = malloc(length);
    for (size_t i = 0; i < length; i++) long_one[i] = (unsigned char)(i % 251);
    EXPECT(rf_channel_send_long(channel, long_one, length, 0), RF_E_FULL);
    EXPECT(rf_channel_send_long(channel, long_one, length, 2000000), RF_E_TIMED_OUT);
    EXPECT(rf_channel_recv(channel, buffer, sizeof buffer, &len, 0), RF_E_EMPTY);
    pid_t sender = fork();
    if (sender == 0) {
        OK(rf_channel_send_long(channel, long_one, length, RF_FOREVER));
        _exit(0);
    }
    EXPECT(rf_channel_recv(channel, buffer, sizeof buffer, &len, RF_FOREVER), RF_E_BUFFER_TOO_SHORT);
    TRUE(len == length);
    unsigned char *received = malloc(length);
    OK(rf_channel_recv(channel, received, length, &len, RF_FOREVER));
    TRUE(len == length && memcmp(received, long_one, length) == 0);
    int ended;
    TRUE(waitpid(sender, &ended, 0) == sender && ended == 0);
    OK(rf_channel_send_long(channel, "short", 5, 0));
    OK(rf_channel_recv(channel, buffer, sizeof buffer, &len, 0));
    TRUE(len == 5);
    free(long_one);
    free(received);

    /* A child sends numbers in messages of many lengths and is killed in the middle. */
    pid_t child = fork();
    if (child == 0) {
        unsigned number = 0;
        char message[200] = {0};
        for (;; number++) {
            memcpy(message, &number, sizeof number);
            OK(rf_channel_send(channel, message, sizeof number + number % 190, RF_FOREVER));
        }
    }
    unsigned wanted = 0, number;
    for (; wanted < 1000; wanted++) {
        OK(rf_channel_recv(channel, buffer, sizeof buffer, &len, RF_FOREVER));
        memcpy(&number, buffer, sizeof number);
        TRUE(number == wanted && len == sizeof number + number % 190);
    }
    kill(child, SIGKILL);
    int status;
    TRUE(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    while ((status = rf_channel_recv(channel, buffer, sizeof buffer, &len, 0)) == RF_OK) {
        memcpy(&number, buffer, sizeof number);
        TRUE(number == wanted++ && len == sizeof number + number % 190);
    }
    EXPECT(status, RF_E_EMPTY);

    OK(rf_channel_send(channel, "last", 4, 0));
    OK(rf_channel_shutdown(other));
    OK(rf_channel_is_shut_down(channel, &is));
    TRUE(is == 1);
    EXPECT(rf_channel_send(channel, "more", 4, RF_FOREVER), RF_E_CLOSED);
    OK(rf_channel_recv(channel, buffer, sizeof buffer, &len, RF_FOREVER));
    EXPECT(rf_channel_recv(channel, buffer, sizeof buffer, &len, RF_FOREVER), RF_E_CLOSED);
    OK(rf_channel_close(channel));
    OK(rf_channel_close(other));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("channel: ok");
    return 0;
}
