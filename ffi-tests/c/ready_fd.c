/* Descriptors that become readable: armed, fired, armed again, in a fork, and through poll.
 * semantics 41, 81, 93 and 94 */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <poll.h>

static rf_queue *queue;
static rf_ready_fd *ready;
static int fd;

static int readable(int milliseconds) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    int found = poll(&one, 1, milliseconds);
    TRUE(found == 0 || (found == 1 && one.revents == POLLIN));
    return found;
}

static void in_the_child(void) {
    EXPECT(rf_ready_fd_arm(ready), RF_E_NOT_SUPPORTED);
    OK(rf_ready_fd_close(ready));
    TRUE(fcntl(fd, F_GETFD) < 0);
    uint64_t number = 1;
    OK(rf_queue_push(queue, &number, 0));
    rf_awaited item = {.what = RF_AWAIT_READABLE_QUEUE, .handle = queue};
    OK(rf_ready_fd_open(&item, 1, &ready));
    OK(rf_ready_fd_number(ready, &fd));
    TRUE(readable(10000));
    OK(rf_ready_fd_arm(ready));
    TRUE(readable(10000));
    OK(rf_ready_fd_close(ready));
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    uint64_t number = 7;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_queue_open(segment, "queue", RF_CREATE, 8, 8, NULL, 4, &queue));
    rf_awaited items[2] = {{.what = RF_AWAIT_READABLE_QUEUE, .handle = queue},
                           {.what = RF_AWAIT_GONE, .handle = segment, .count = 1, .life = 0}};
    rf_participant_info me;
    size_t count;
    OK(rf_segment_participants(segment, sizeof me, 1, &me, &count));
    TRUE(count == 1 && me.pid == getpid());
    items[1].count = me.number;
    items[1].life = me.life;
    OK(rf_ready_fd_open(items, 2, &ready));
    OK(rf_ready_fd_number(ready, &fd));
    TRUE(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && !readable(0));
    OK(rf_queue_push(queue, &number, 0));
    TRUE(readable(10000));
    OK(rf_queue_pop(queue, &number, 0));
    TRUE(readable(0));
    OK(rf_ready_fd_arm(ready));
    TRUE(!readable(0));
    TRUE(in_child(in_the_child) == 0);
    TRUE(readable(10000));
    /* It outlives the handle that it was made from. */
    OK(rf_queue_close(queue));
    OK(rf_ready_fd_arm(ready));
    TRUE(readable(10000));
    OK(rf_ready_fd_close(ready));
    TRUE(fcntl(fd, F_GETFD) < 0);
    /* A pipe and a queue in one wait, beside a plain descriptor. */
    rf_pipe *here, *there;
    int plain[2];
    OK(rf_pipe_pair(segment, "talk", 0, 64, &here, &there));
    OK(rf_queue_open(segment, "idle", RF_CREATE, 8, 8, NULL, 4, &queue));
    rf_awaited several[2] = {{.what = RF_AWAIT_READABLE_PIPE, .handle = here},
                             {.what = RF_AWAIT_READABLE_QUEUE, .handle = queue}};
    OK(rf_ready_fd_open(several, 2, &ready));
    OK(rf_ready_fd_number(ready, &fd));
    TRUE(pipe(plain) == 0 && write(plain[1], "x", 1) == 1);
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = plain[0], .events = POLLIN}};
    TRUE(poll(both, 2, 10000) == 1 && both[1].revents == POLLIN);
    OK(rf_pipe_send(there, "x", 1, 0));
    TRUE(readable(10000) && poll(both, 2, 10000) == 2 && both[0].revents == POLLIN);
    OK(rf_ready_fd_close(ready));
    OK(rf_pipe_close(here));
    OK(rf_pipe_close(there));
    OK(rf_queue_close(queue));
    /* Another life of the same number is over, or has yet to begin. */
    items[1].life++;
    OK(rf_ready_fd_open(items + 1, 1, &ready));
    OK(rf_ready_fd_number(ready, &fd));
    TRUE(readable(10000));
    OK(rf_ready_fd_close(ready));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("ready_fd: ok");
    return 0;
}
