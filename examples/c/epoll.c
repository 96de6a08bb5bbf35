/* epoll and objects in shared memory: one loop waits for tasks in a queue, for the death of the process that pushes them,
 * and for whatever else has a descriptor (here a timer). The pusher is killed in the middle. */
#define _GNU_SOURCE
#include <ringfence.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int ok(int status) {
    if (status < 0) {
        fprintf(stderr, "epoll: %s\n", rf_last_error());
        exit(1);
    }
    return status;
}

/* Something to watch: a descriptor of one thing, in the epoll set under `number`. */
static rf_ready_fd *watch(int epoll, rf_awaited thing, uint32_t number) {
    rf_ready_fd *ready;
    int fd;
    ok(rf_ready_fd_open(&thing, 1, &ready));
    ok(rf_ready_fd_number(ready, &fd));
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) exit(1);
    return ready;
}

int main(void) {
    enum { TASKS, PUSHER, TIMER };
    rf_segment *segment;
    rf_queue *tasks;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_queue_open(segment, "tasks", RF_CREATE, sizeof(uint64_t), _Alignof(uint64_t), NULL, 4, &tasks));
    pid_t pusher = fork();
    if (pusher == 0) {
        for (uint64_t task = 1; task <= 10; task++) ok(rf_queue_push(tasks, &task, RF_FOREVER));
        raise(SIGKILL);
    }
    /* The first task tells that it takes part. */
    uint64_t task;
    ok(rf_queue_pop(tasks, &task, RF_FOREVER));
    printf("task %llu\n", (unsigned long long)task);
    rf_participant_info infos[4];
    size_t count, at = 0;
    ok(rf_segment_participants(segment, sizeof *infos, 4, infos, &count));
    while (at < count && infos[at].pid != pusher) at++;
    if (at == count) return fprintf(stderr, "epoll: the pusher is gone already\n"), 1;

    int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec minute = {.it_value = {60, 0}};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = TIMER};
    if (epoll < 0 || timerfd_settime(timer, 0, &minute, NULL) < 0) return 1;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) < 0) return 1;
    rf_ready_fd *there = watch(epoll, (rf_awaited){.what = RF_AWAIT_READABLE_QUEUE, .handle = tasks}, TASKS);
    rf_awaited its_end = {.what = RF_AWAIT_GONE, .handle = segment, .count = infos[at].number, .life = infos[at].life};
    rf_ready_fd *gone = watch(epoll, its_end, PUSHER);

    for (int over = 0; !over;) {
        if (epoll_wait(epoll, &event, 1, -1) < 0) continue;
        over = event.data.u32 != TASKS;
        while (rf_queue_pop(tasks, &task, 0) == RF_OK) printf("task %llu\n", (unsigned long long)task);
        ok(rf_ready_fd_arm(there)); /* from here on a new task is told; one that came meanwhile too */
        if (event.data.u32 == PUSHER) puts("the pusher is gone");
        if (event.data.u32 == TIMER) puts("a minute is over");
    }
    waitpid(pusher, NULL, 0);
    rf_ready_fd_close(there);
    rf_ready_fd_close(gone);
    rf_queue_close(tasks);
    rf_segment_close(segment);
    return 0;
}
