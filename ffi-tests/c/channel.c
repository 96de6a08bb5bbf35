/* A channel: messages keep their borders, a short buffer loses nothing, a killed sender breaks nothing.
 * semantics 22, 27, 28, 72, 73, 74, 75, 114, 115, 167, 168, 169, 170, 171 and 172 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the functions in place are told, and tell. */
static struct {
    rf_channel *channel;
    size_t len;      /* of the message that was seen */
    int64_t wants;   /* how much is to be sent */
    char bytes[256]; /* of it */
} place;

static int64_t fill(void *context, void *first, size_t first_len, void *rest, size_t rest_len) {
    int sent;
    TRUE(context == &place && first_len + rest_len <= sizeof place.bytes && (uintptr_t)first % 8 == 0);
    EXPECT(rf_channel_send(place.channel, "x", 1, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    EXPECT(rf_channel_send_with(place.channel, 1, fill, NULL, &sent, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    memcpy(first, place.bytes, first_len);
    memcpy(rest, place.bytes + first_len, rest_len);
    return place.wants;
}

static void look(void *context, const void *first, size_t first_len, const void *rest, size_t rest_len) {
    size_t len;
    TRUE(context == &place && first_len + rest_len <= sizeof place.bytes);
    EXPECT(rf_channel_recv(place.channel, NULL, 0, &len, RF_FOREVER), RF_E_WOULD_DEADLOCK);
    place.len = first_len + rest_len;
    memcpy(place.bytes, first, first_len);
    memcpy(place.bytes + first_len, rest, rest_len);
}

static int64_t die(void *context, void *first, size_t first_len, void *rest, size_t rest_len) {
    (void)context, (void)first, (void)first_len, (void)rest, (void)rest_len;
    raise(SIGKILL);
    return 0;
}

static void die_looking(void *context, const void *first, size_t first_len, const void *rest, size_t rest_len) {
    (void)context, (void)first, (void)first_len, (void)rest, (void)rest_len;
    raise(SIGKILL);
}

static void a_killed_sender(void) {
    int sent;
    rf_channel_send_with(place.channel, 8, die, NULL, &sent, RF_FOREVER);
}

static void a_killed_receiver(void) { rf_channel_recv_with(place.channel, die_looking, NULL, RF_FOREVER); }

static void in_place_and_batches(rf_channel *channel) {
    int sent = 4711;
    size_t len, n, max;
    char buffer[64];
    place.channel = channel;
    /* Every second one wraps, in a ring of 1024 bytes. */
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 250; i++) place.bytes[i] = (char)(i + round);
        place.wants = 250 - (int64_t)round;
        OK(rf_channel_send_with(channel, 250, fill, &place, &sent, 0));
        TRUE(sent == 1);
        memset(place.bytes, 0, sizeof place.bytes);
        OK(rf_channel_recv_with(channel, look, &place, 0));
        TRUE(place.len == 250 - round);
        for (size_t i = 0; i < place.len; i++) TRUE(place.bytes[i] == (char)(i + round));
    }
    place.wants = -1;
    OK(rf_channel_send_with(channel, 5, fill, &place, &sent, 0));
    TRUE(sent == 0);
    sent = 4711;
    place.wants = 6;
    EXPECT(rf_channel_send_with(channel, 5, fill, &place, &sent, 0), RF_E_INVALID);
    OK(rf_channel_max_message(channel, &max));
    EXPECT(rf_channel_send_with(channel, max + 1, fill, &place, &sent, 0), RF_E_MESSAGE_TOO_LONG);
    TRUE(sent == 4711);
    EXPECT(rf_channel_recv_with(channel, look, &place, 0), RF_E_EMPTY);
    EXPECT(rf_channel_recv_with(channel, look, &place, 2000000), RF_E_TIMED_OUT);

    /* Killed within: not sent; and there for the next. */
    TRUE(WIFSIGNALED(in_child(a_killed_sender)));
    EXPECT(rf_channel_recv_with(channel, look, &place, 0), RF_E_EMPTY);
    OK(rf_channel_send(channel, "next", 4, RF_FOREVER));
    TRUE(WIFSIGNALED(in_child(a_killed_receiver)));
    OK(rf_channel_recv_with(channel, look, &place, RF_FOREVER));
    TRUE(place.len == 4 && memcmp(place.bytes, "next", 4) == 0);

    rf_message messages[] = {{"one", 3}, {NULL, 0}, {"three", 5}, {place.bytes, max + 1}, {"five", 4}};
    size_t lens[5] = {7, 7, 7, 7, 7};
    EXPECT(rf_channel_recv_many(channel, buffer, 64, lens, 5, &n, 0), RF_E_EMPTY);
    OK(rf_channel_send_many(channel, messages, 5, &n, 0));
    TRUE(n == 3); /* up to the one that is too long */
    EXPECT(rf_channel_send_many(channel, messages + 3, 2, &n, 0), RF_E_MESSAGE_TOO_LONG);
    EXPECT(rf_channel_recv_many(channel, buffer, 2, lens, 5, &n, 0), RF_E_BUFFER_TOO_SHORT);
    TRUE(lens[0] == 3 && n == 3);
    OK(rf_channel_recv_many(channel, buffer, 7, lens, 5, &n, RF_FOREVER));
    TRUE(n == 2 && lens[0] == 3 && lens[1] == 0 && lens[2] == 7 && memcmp(buffer, "one", 3) == 0);
    OK(rf_channel_recv_many(channel, buffer, 64, lens, 5, &n, RF_FOREVER));
    TRUE(n == 1 && lens[0] == 5 && memcmp(buffer, "three", 5) == 0);
    OK(rf_channel_len(channel, &len));
    TRUE(len == 0);
}

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

    in_place_and_batches(channel);
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
