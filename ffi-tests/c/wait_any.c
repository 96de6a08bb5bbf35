/* Waiting for the first of several: each kind of thing, alone and among others, of two segments.
 * semantics 4, 6, 90 and 91 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <time.h>

static rf_segment *segment, *other;
static rf_mutex *mutex;
static rf_reentrant_mutex *reentrant;
static rf_semaphore *permits;
static rf_event *flag, *bell;
static rf_queue *queue, *full;
static rf_channel *channel;
static uint64_t ready;

enum { MUTEX, REENTRANT, PERMITS, ITEM, ROOM, MESSAGE, SPACE, GONE, FLAG, BELL, COUNT };
static rf_awaited items[COUNT];

/* Locks everything, says so, and is killed or waits for that. */
static void hold(void) {
    OK(rf_mutex_lock(mutex, RF_FOREVER));
    OK(rf_reentrant_mutex_lock(reentrant, RF_FOREVER));
    OK(rf_semaphore_acquire(permits, 1, RF_FOREVER));
    uint64_t number = 1;
    OK(rf_queue_push(queue, &number, RF_FOREVER));
    for (;;) pause();
}

static void push(void) {
    uint64_t number = 2;
    struct timespec moment = {0, 30000000};
    nanosleep(&moment, NULL); /* so that the parent sleeps as a rule; it need not */
    OK(rf_queue_push(queue, &number, RF_FOREVER));
}

/* The participant that has this pid. */
static rf_participant_info find(pid_t pid) {
    rf_participant_info infos[8];
    size_t count;
    OK(rf_segment_participants(segment, sizeof *infos, 8, infos, &count));
    for (size_t i = 0; i < count; i++)
        if (infos[i].pid == pid) return infos[i];
    TRUE(!"no such participant");
    return infos[0];
}

static void nothing(int signal) { (void)signal; }

int main(int argc, char **argv) {
    TRUE(argc == 2);
    uint64_t number = 7;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_segment_anonymous(1 << 16, NULL, &other));
    OK(rf_mutex_open(segment, "mutex", RF_CREATE, &mutex));
    OK(rf_reentrant_mutex_open(segment, "reentrant", RF_CREATE, &reentrant));
    OK(rf_semaphore_open(segment, "permits", RF_CREATE, RF_OWNED, 1, 1, &permits));
    OK(rf_event_open(segment, "flag", RF_CREATE, RF_MANUAL_RESET, &flag));
    OK(rf_event_open(other, "bell", RF_CREATE, RF_AUTO_RESET, &bell));
    OK(rf_queue_open(segment, "queue", RF_CREATE, 8, 8, NULL, 4, &queue));
    OK(rf_queue_open(other, "full", RF_CREATE, 8, 8, NULL, 1, &full));
    OK(rf_queue_push(full, &number, 0));
    OK(rf_channel_open(other, "channel", RF_CREATE, 64, &channel));

    /* A child has all of it. */
    pid_t child = fork();
    if (child == 0) hold();
    OK(rf_queue_pop(queue, &number, RF_FOREVER));
    rf_participant_info holder = find(child);
    items[MUTEX] = (rf_awaited){.what = RF_AWAIT_MUTEX, .handle = mutex};
    items[REENTRANT] = (rf_awaited){.what = RF_AWAIT_REENTRANT_MUTEX, .handle = reentrant};
    items[PERMITS] = (rf_awaited){.what = RF_AWAIT_SEMAPHORE, .handle = permits, .count = 1};
    items[ITEM] = (rf_awaited){.what = RF_AWAIT_READABLE_QUEUE, .handle = queue};
    items[ROOM] = (rf_awaited){.what = RF_AWAIT_WRITABLE_QUEUE, .handle = full};
    items[MESSAGE] = (rf_awaited){.what = RF_AWAIT_READABLE_CHANNEL, .handle = channel};
    items[SPACE] = (rf_awaited){.what = RF_AWAIT_WRITABLE_CHANNEL, .handle = channel, .count = 50};
    items[GONE] = (rf_awaited){.what = RF_AWAIT_GONE, .handle = segment, .count = holder.number, .life = holder.life};
    items[FLAG] = (rf_awaited){.what = RF_AWAIT_EVENT, .handle = flag};
    items[BELL] = (rf_awaited){.what = RF_AWAIT_EVENT, .handle = bell};
    OK(rf_wait_any(items, COUNT, 0, &ready, RF_FOREVER));
    TRUE(ready == 1 << SPACE);
    OK(rf_channel_send(channel, "hello", 5, 0));
    OK(rf_wait_any(items, COUNT, 0, &ready, 0));
    TRUE(ready == 1 << MESSAGE);
    OK(rf_channel_recv(channel, &number, 8, &(size_t){0}, 0));
    OK(rf_channel_send(channel, "a message of 25 bytes in it", 25, 0));
    items[MESSAGE].what = RF_AWAIT_WRITABLE_CHANNEL;
    items[MESSAGE].count = 50;
    EXPECT(rf_wait_any(items, COUNT, 0, &ready, 0), RF_E_NOT_READY);
    EXPECT(rf_wait_any(items, COUNT, 0, &ready, -1), RF_E_NOT_READY);
    EXPECT(rf_wait_any(items, COUNT, 0, &ready, 2000000), RF_E_TIMED_OUT);
    TRUE(ready == 1 << MESSAGE);

    /* Somebody pushes; somebody dies; a signal comes. */
    TRUE(in_child(push) == 0);
    OK(rf_wait_any(items, COUNT, 0, &ready, RF_FOREVER));
    TRUE(ready == 1 << ITEM);
    OK(rf_queue_pop(queue, &number, 0));
    pid_t pusher = fork();
    if (pusher == 0) {
        push();
        _exit(0);
    }
    OK(rf_wait_any(items, COUNT, 0, &ready, RF_FOREVER));
    TRUE(ready == 1 << ITEM && waitpid(pusher, NULL, 0) == pusher);
    OK(rf_queue_pop(queue, &number, 0));
    struct sigaction action = {.sa_handler = nothing};
    TRUE(sigaction(SIGALRM, &action, NULL) == 0);
    timer_t timer;
    struct itimerspec soon = {.it_value = {0, 20000000}, .it_interval = {0, 20000000}};
    TRUE(timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0 && timer_settime(timer, 0, &soon, NULL) == 0);
    EXPECT(rf_wait_any(items, COUNT, RF_INTERRUPTIBLE, &ready, RF_FOREVER), RF_E_INTERRUPTED);
    EXPECT(rf_wait_any(items, COUNT, 0, &ready, 100000000), RF_E_TIMED_OUT);
    TRUE(timer_delete(timer) == 0);
    TRUE(kill(child, SIGKILL) == 0);
    OK(rf_wait_any(items, COUNT, 0, &ready, RF_FOREVER));
    uint64_t of_the_dead = 1 << MUTEX | 1 << REENTRANT | 1 << PERMITS | 1 << GONE;
    TRUE(ready && !(ready & ~of_the_dead) && waitpid(child, NULL, 0) == child);
    OK(rf_wait_any(items, COUNT, 0, &ready, 0));
    TRUE(ready == of_the_dead);
    EXPECT(rf_mutex_lock(mutex, 0), RF_OWNER_DIED);
    EXPECT(rf_reentrant_mutex_lock(reentrant, 0), RF_OWNER_DIED);
    EXPECT(rf_semaphore_acquire(permits, 1, 0), RF_OWNER_DIED);

    /* Events, set before and meanwhile. Looking takes no signal. */
    OK(rf_event_set(flag));
    OK(rf_event_set(bell));
    OK(rf_wait_any(items + FLAG, 2, 0, &ready, RF_FOREVER));
    TRUE(ready == 3);
    OK(rf_event_clear(flag));
    OK(rf_event_wait(bell, 0));
    EXPECT(rf_wait_any(items + FLAG, 2, 0, &ready, 0), RF_E_NOT_READY);
    pid_t setter = fork();
    if (setter == 0) {
        nanosleep(&(struct timespec){0, 30000000}, NULL); /* as above */
        OK(rf_event_set(flag));
        OK(rf_event_clear(flag));
        OK(rf_event_set(flag));
        _exit(0);
    }
    OK(rf_wait_any(items + FLAG, 2, 0, &ready, RF_FOREVER));
    TRUE(ready == 1 && waitpid(setter, NULL, 0) == setter);
    OK(rf_event_close(flag));
    OK(rf_event_close(bell));

    /* The end of something is ready. */
    OK(rf_queue_shutdown(full));
    OK(rf_wait_any(items + ROOM, 1, 0, &ready, RF_FOREVER));
    TRUE(ready == 1);

    OK(rf_mutex_make_consistent(mutex));
    OK(rf_mutex_unlock(mutex));
    OK(rf_reentrant_mutex_unlock(reentrant));
    OK(rf_mutex_close(mutex));
    OK(rf_reentrant_mutex_close(reentrant));
    OK(rf_semaphore_close(permits));
    OK(rf_queue_close(queue));
    OK(rf_queue_close(full));
    OK(rf_channel_close(channel));
    OK(rf_segment_close(segment));
    OK(rf_segment_close(other));
    OK(rf_segment_unlink(argv[1]));
    puts("wait_any: ok");
    return 0;
}
