/* Every call again and again while somebody writes garbage over the segment. It prints which function returned what; the
 * test compares that with what the header says of each.
 *
 * garbage NAME: the segment of that name, which the test spoils.
 * garbage: memory of its own between two pages that nobody may touch, which a thread spoils. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, LEN = 4 * PAGE, ROUNDS = 3000, CAPACITY = 5, ROWS = 3, CALLS = 200 };
#define SHORT 200000 /* ns */

/* What came of each function. */
static struct {
    const char *call;
    char seen[128];
} calls[CALLS];

static int note(const char *call, int status) {
    size_t length = strcspn(call, "("), i = 0;
    TRUE(status > -64 && status < 64);
    while (calls[i].call && (strncmp(calls[i].call, call, length) || calls[i].call[length] != '(')) TRUE(++i < CALLS);
    calls[i].call = call;
    calls[i].seen[status + 64] = 1;
    return status;
}
#define DO(call) note(#call, call)

typedef struct { uint64_t words[5]; } row;

static uint64_t randomly(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void locks(rf_segment *segment) {
    rf_mutex *mutex;
    int32_t pid;
    if (DO(rf_mutex_open(segment, "mutex", RF_CREATE, &mutex)) < 0) return;
    int got = DO(rf_mutex_lock(mutex, SHORT));
    DO(rf_mutex_lock(mutex, 0));
    DO(rf_mutex_holder(mutex, &pid));
    if (got == RF_OWNER_DIED) DO(rf_mutex_make_consistent(mutex));
    DO(rf_mutex_unlock(mutex));
    DO(rf_mutex_reset(mutex));
    OK(rf_mutex_close(mutex));
}

static void reentrant_locks(rf_segment *segment) {
    rf_reentrant_mutex *mutex;
    int32_t pid;
    uint32_t count;
    if (DO(rf_reentrant_mutex_open(segment, "reentrant", RF_CREATE, &mutex)) < 0) return;
    int got = DO(rf_reentrant_mutex_lock(mutex, SHORT));
    DO(rf_reentrant_mutex_lock(mutex, 0));
    DO(rf_reentrant_mutex_count(mutex, &count));
    DO(rf_reentrant_mutex_holder(mutex, &pid));
    if (got == RF_OWNER_DIED) DO(rf_reentrant_mutex_make_consistent(mutex));
    DO(rf_reentrant_mutex_unlock(mutex));
    DO(rf_reentrant_mutex_unlock(mutex));
    DO(rf_reentrant_mutex_reset(mutex));
    OK(rf_reentrant_mutex_close(mutex));
}

static void semaphores(rf_segment *segment, int ownership, const char *name) {
    rf_semaphore *semaphore;
    uint32_t count;
    if (DO(rf_semaphore_open(segment, name, RF_CREATE, ownership, 2, 3, &semaphore)) < 0) return;
    DO(rf_semaphore_acquire(semaphore, 1, SHORT));
    DO(rf_semaphore_acquire(semaphore, 2, 0));
    DO(rf_semaphore_taken(semaphore, &count));
    DO(rf_semaphore_value(semaphore, &count));
    DO(rf_semaphore_release(semaphore, 1));
    DO(rf_semaphore_release(semaphore, 3));
    OK(rf_semaphore_close(semaphore));
}

static void events(rf_segment *segment, int reset, const char *name) {
    rf_event *event;
    int is;
    if (DO(rf_event_open(segment, name, RF_CREATE, reset, &event)) < 0) return;
    DO(rf_event_set(event));
    DO(rf_event_is_set(event, &is));
    DO(rf_event_wait(event, SHORT));
    DO(rf_event_wait(event, 0));
    DO(rf_event_clear(event));
    DO(rf_event_wait(event, SHORT));
    OK(rf_event_close(event));
}

/* For everything at once. What is open may be damaged, or be another kind of object by now. */
static void waits(rf_segment *segment, int round) {
    rf_mutex *mutex = NULL;
    rf_reentrant_mutex *reentrant = NULL;
    rf_semaphore *permits = NULL, *signals = NULL;
    rf_queue *queue = NULL;
    rf_event *flag = NULL, *bell = NULL;
    rf_channel *channel = NULL;
    rf_once *once = NULL;
    rf_once_value *settled = NULL;
    rf_awaited items[17];
    rf_byte_ring *bytes = NULL;
    rf_spsc *ring = NULL;
    size_t count = 0;
    uint64_t ready = 0;
    if (DO(rf_mutex_open(segment, "mutex", 0, &mutex)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_MUTEX, .handle = mutex};
    if (DO(rf_reentrant_mutex_open(segment, "reentrant", 0, &reentrant)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_REENTRANT_MUTEX, .handle = reentrant};
    if (DO(rf_semaphore_open(segment, "permits", 0, 0, 0, 0, &permits)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_SEMAPHORE, .handle = permits, .count = 2};
    if (DO(rf_semaphore_open(segment, "signals", 0, 0, 0, 0, &signals)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_SEMAPHORE, .handle = signals, .count = 3};
    if (DO(rf_event_open(segment, "flag", 0, 0, &flag)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_EVENT, .handle = flag};
    if (DO(rf_event_open(segment, "bell", 0, 0, &bell)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_EVENT, .handle = bell};
    if (DO(rf_queue_open(segment, "queue", 0, sizeof(row), 8, NULL, 0, &queue)) >= 0) {
        items[count++] = (rf_awaited){.what = RF_AWAIT_READABLE_QUEUE, .handle = queue};
        items[count++] = (rf_awaited){.what = RF_AWAIT_WRITABLE_QUEUE, .handle = queue};
    }
    if (DO(rf_channel_open(segment, "channel", 0, 0, &channel)) >= 0) {
        items[count++] = (rf_awaited){.what = RF_AWAIT_READABLE_CHANNEL, .handle = channel};
        items[count++] = (rf_awaited){.what = RF_AWAIT_WRITABLE_CHANNEL, .handle = channel, .count = 200};
    }
    if (DO(rf_spsc_open(segment, "ring", 0, sizeof(row), 8, NULL, 0, &ring)) >= 0) {
        items[count++] = (rf_awaited){.what = RF_AWAIT_READABLE_SPSC, .handle = ring};
        items[count++] = (rf_awaited){.what = RF_AWAIT_WRITABLE_SPSC, .handle = ring};
    }
    if (DO(rf_byte_ring_open(segment, "bytes", 0, 0, &bytes)) >= 0) {
        items[count++] = (rf_awaited){.what = RF_AWAIT_READABLE_BYTE_RING, .handle = bytes};
        items[count++] = (rf_awaited){.what = RF_AWAIT_WRITABLE_BYTE_RING, .handle = bytes, .count = 20};
    }
    if (DO(rf_once_open(segment, "once", 0, &once)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_ONCE, .handle = once};
    if (DO(rf_once_value_open(segment, "settled", 0, RF_STRUCT, sizeof(row), 8, "row", &settled)) >= 0)
        items[count++] = (rf_awaited){.what = RF_AWAIT_ONCE_VALUE, .handle = settled};
    items[count++] = (rf_awaited){.what = RF_AWAIT_GONE, .handle = segment, .count = 1, .life = 7};
    /* The last one is ready as a rule: without it, and each alone. */
    if (count > 1 && DO(rf_wait_any(items, count - 1, 0, &ready, SHORT)) == RF_OK) TRUE(ready && !(ready >> (count - 1)));
    for (size_t i = 0; i < count; i++) DO(rf_wait_any(items + i, 1, 0, &ready, i % 2 ? SHORT : 0));
    rf_ready_fd *descriptor;
    if (round % 16 == 0 && DO(rf_ready_fd_open(items, count, &descriptor)) >= 0) {
        DO(rf_ready_fd_arm(descriptor));
        OK(rf_ready_fd_close(descriptor));
    }
    OK(rf_once_close(once));
    OK(rf_once_value_close(settled));
    OK(rf_mutex_close(mutex));
    OK(rf_reentrant_mutex_close(reentrant));
    OK(rf_semaphore_close(permits));
    OK(rf_event_close(flag));
    OK(rf_event_close(bell));
    OK(rf_semaphore_close(signals));
    OK(rf_queue_close(queue));
    OK(rf_channel_close(channel));
    OK(rf_spsc_close(ring));
    OK(rf_byte_ring_close(bytes));
}

static void rings(rf_segment *segment) {
    rf_spsc *ring;
    rf_producer *producer;
    rf_consumer *consumer;
    row rows[7] = {{{1, 2, 3, 4, 5}}}, found[7];
    size_t n;
    int is;
    if (DO(rf_spsc_open(segment, "ring", RF_CREATE, sizeof(row), 8, NULL, CAPACITY, &ring)) < 0) return;
    DO(rf_spsc_len(ring, &n));
    DO(rf_spsc_has_producer(ring, &is));
    DO(rf_spsc_is_shut_down(ring, &is));
    if (DO(rf_spsc_producer(ring, &producer)) >= 0) {
        DO(rf_producer_push(producer, &rows[0], 0));
        DO(rf_producer_push_many(producer, rows, 7, &n, 0));
        DO(rf_producer_push(producer, &rows[0], SHORT));
        OK(rf_producer_close(producer));
    }
    if (DO(rf_spsc_consumer(ring, &consumer)) >= 0) {
        DO(rf_consumer_pop(consumer, &found[0], 0));
        DO(rf_consumer_pop_many(consumer, found, 2, &n, SHORT));
        DO(rf_consumer_tell_if_alone(consumer, 1));
        for (int i = 0; i < 4; i++) DO(rf_consumer_pop(consumer, &found[0], SHORT));
        OK(rf_consumer_close(consumer));
    }
    OK(rf_spsc_close(ring));
}

/* In place only as far as this program has it for itself: what is read there may be anything. */
static void byte_rings(rf_segment *segment) {
    rf_byte_ring *ring;
    rf_byte_producer *producer;
    rf_byte_consumer *consumer;
    char buffer[300];
    void *room;
    const void *record;
    size_t n, max;
    int is;
    if (DO(rf_byte_ring_open(segment, "bytes", RF_CREATE, 256, &ring)) < 0) return;
    DO(rf_byte_ring_used(ring, &n));
    DO(rf_byte_ring_max_record(ring, &max));
    DO(rf_byte_ring_has_consumer(ring, &is));
    if (DO(rf_byte_ring_producer(ring, &producer)) >= 0) {
        memset(buffer, 7, sizeof buffer);
        DO(rf_byte_producer_push(producer, buffer, 20, 0));
        DO(rf_byte_producer_push(producer, buffer, max < sizeof buffer ? max : sizeof buffer, SHORT));
        if (DO(rf_byte_producer_reserve(producer, 50, &room, 0)) >= 0) {
            memset(room, 9, 50);
            DO(rf_byte_producer_commit(producer, 40));
        }
        DO(rf_byte_producer_write(producer, buffer, sizeof buffer, &n, 0));
        OK(rf_byte_producer_close(producer));
    }
    if (DO(rf_byte_ring_consumer(ring, &consumer)) >= 0) {
        if (DO(rf_byte_consumer_pop(consumer, buffer, 30, &n, 0)) >= 0) TRUE(n <= 30);
        if (DO(rf_byte_consumer_peek(consumer, &record, &n, SHORT)) >= 0) {
            for (size_t at = 0; at < n; at++) buffer[at % sizeof buffer] = ((const volatile char *)record)[at];
            DO(rf_byte_consumer_release(consumer));
        }
        if (DO(rf_byte_consumer_read(consumer, buffer, 9, &n, SHORT)) >= 0) TRUE(n >= 1 && n <= 9);
        DO(rf_byte_consumer_tell_if_alone(consumer, 1));
        for (int i = 0; i < 4; i++) DO(rf_byte_consumer_pop(consumer, buffer, sizeof buffer, &n, SHORT));
        OK(rf_byte_consumer_close(consumer));
    }
    OK(rf_byte_ring_close(ring));
}

static void rwlocks(rf_segment *segment) {
    rf_rwlock *rwlock;
    int32_t pid;
    if (DO(rf_rwlock_open(segment, "rwlock", RF_CREATE, &rwlock)) < 0) return;
    if (DO(rf_rwlock_read(rwlock, SHORT)) >= 0) {
        DO(rf_rwlock_read(rwlock, 0));
        DO(rf_rwlock_unlock_read(rwlock));
        DO(rf_rwlock_write(rwlock, 0));
    }
    DO(rf_rwlock_unlock_read(rwlock));
    int got = DO(rf_rwlock_write(rwlock, SHORT));
    DO(rf_rwlock_read(rwlock, 0));
    if (got == RF_OWNER_DIED) DO(rf_rwlock_make_consistent(rwlock));
    DO(rf_rwlock_holder(rwlock, &pid));
    DO(rf_rwlock_downgrade_to_upgradable(rwlock));
    DO(rf_rwlock_upgrade(rwlock, SHORT));
    DO(rf_rwlock_unlock_write(rwlock));
    DO(rf_rwlock_upgradable(rwlock, SHORT));
    DO(rf_rwlock_upgrade(rwlock, 0));
    DO(rf_rwlock_downgrade(rwlock));
    DO(rf_rwlock_unlock_read(rwlock));
    DO(rf_rwlock_unlock_write(rwlock));
    DO(rf_rwlock_unlock_upgradable(rwlock));
    DO(rf_rwlock_reset(rwlock));
    OK(rf_rwlock_close(rwlock));
}

static int yes(void *unused) {
    (void)unused;
    return 1;
}

static int no(void *unused) {
    (void)unused;
    return 0;
}

static void condvars(rf_segment *segment) {
    rf_condvar *condvar;
    rf_mutex *mutex;
    rf_reentrant_mutex *reentrant;
    uint32_t count;
    int why;
    if (DO(rf_condvar_open(segment, "condvar", RF_CREATE, 3, &condvar)) < 0) return;
    DO(rf_condvar_waiting(condvar, &count));
    if (DO(rf_mutex_open(segment, "mutex", RF_CREATE, &mutex)) >= 0) {
        if (DO(rf_mutex_lock(mutex, SHORT)) >= 0) {
            DO(rf_condvar_notify(condvar, mutex, 1, &count));
            DO(rf_condvar_notify(condvar, mutex, RF_ALL, NULL));
            DO(rf_condvar_wait_for(condvar, mutex, yes, NULL, &why, SHORT));
            DO(rf_condvar_wait_for(condvar, mutex, no, NULL, &why, SHORT));
            DO(rf_condvar_wait(condvar, mutex, &why, SHORT));
            DO(rf_condvar_wait(condvar, mutex, &why, 0));
            DO(rf_mutex_make_consistent(mutex));
            DO(rf_mutex_unlock(mutex));
        }
        DO(rf_condvar_wait(condvar, mutex, &why, SHORT));
        OK(rf_mutex_close(mutex));
    }
    if (DO(rf_reentrant_mutex_open(segment, "reentrant", RF_CREATE, &reentrant)) >= 0) {
        if (DO(rf_reentrant_mutex_lock(reentrant, SHORT)) >= 0) {
            DO(rf_condvar_notify_reentrant(condvar, reentrant, RF_ALL, &count));
            DO(rf_condvar_wait_for_reentrant(condvar, reentrant, no, NULL, &why, SHORT));
            DO(rf_condvar_wait_reentrant(condvar, reentrant, &why, SHORT));
            DO(rf_reentrant_mutex_make_consistent(reentrant));
            DO(rf_reentrant_mutex_unlock(reentrant));
        }
        OK(rf_reentrant_mutex_close(reentrant));
    }
    OK(rf_condvar_close(condvar));
}

static void onces(rf_segment *segment) {
    rf_once *once;
    rf_once_value *wide;
    int32_t pid;
    int is;
    row some = {{0}};
    if (DO(rf_once_open(segment, "once", RF_CREATE, &once)) >= 0) {
        DO(rf_once_wait(once, SHORT));
        DO(rf_once_wait(once, 0));
        int got = DO(rf_once_begin(once, SHORT));
        DO(rf_once_holder(once, &pid));
        DO(rf_once_wait(once, 0));
        DO(rf_once_begin(once, 0));
        if (got == RF_YOUR_TURN_AGAIN) DO(rf_once_complete(once));
        DO(rf_once_abandon(once));
        DO(rf_once_is_completed(once, &is));
        OK(rf_once_close(once));
    }
    if (DO(rf_once_value_open(segment, "settled", RF_CREATE, RF_STRUCT, sizeof some, 8, "row", &wide)) >= 0) {
        DO(rf_once_value_get(wide, &some));
        int got = DO(rf_once_value_begin(wide, &some, SHORT));
        DO(rf_once_value_holder(wide, &pid));
        DO(rf_once_value_set(wide, &some, SHORT));
        if (got == RF_YOUR_TURN_AGAIN) DO(rf_once_value_complete(wide, &some));
        DO(rf_once_value_abandon(wide));
        DO(rf_once_value_wait(wide, &some, SHORT));
        DO(rf_once_value_wait(wide, &some, 0));
        OK(rf_once_value_close(wide));
    }
}

static void barriers(rf_segment *segment) {
    rf_barrier *barrier;
    size_t count;
    int broken;
    if (DO(rf_barrier_open(segment, "barrier", RF_CREATE, 2, &barrier)) < 0) return;
    DO(rf_barrier_parties(barrier, &count));
    DO(rf_barrier_waiting(barrier, &count));
    DO(rf_barrier_is_broken(barrier, &broken));
    DO(rf_barrier_register(barrier));
    DO(rf_barrier_wait(barrier, SHORT, &count));
    DO(rf_barrier_reset(barrier));
    DO(rf_barrier_wait(barrier, 0, NULL));
    DO(rf_barrier_reset(barrier));
    if (DO(rf_barrier_arrive(barrier, SHORT, &count)) == RF_LAST) DO(rf_barrier_release(barrier));
    DO(rf_barrier_release(barrier));
    DO(rf_barrier_abort(barrier));
    DO(rf_barrier_unregister(barrier));
    DO(rf_barrier_reset(barrier));
    OK(rf_barrier_close(barrier));
}

static void values(rf_segment *segment) {
    rf_value *value, *wide;
    int64_t was;
    int32_t pid;
    row some = {{1, 2, 3, 4, 5}};
    if (DO(rf_value_open(segment, "value", RF_CREATE, RF_I64, 0, 0, NULL, NULL, &value)) >= 0) {
        DO(rf_value_get(value, &was));
        DO(rf_value_set(value, &was));
        DO(rf_value_fetch_add(value, 1, &was));
        DO(rf_value_fetch_sub(value, 1, &was));
        DO(rf_value_fetch_and(value, 1, &was));
        DO(rf_value_fetch_or(value, 1, &was));
        DO(rf_value_fetch_xor(value, 1, &was));
        DO(rf_value_swap(value, 1, &was));
        DO(rf_value_compare_exchange(value, 1, 2, &was));
        OK(rf_value_close(value));
    }
    if (DO(rf_value_open(segment, "wide", RF_CREATE, RF_STRUCT, sizeof some, 8, "row", &some, &wide)) >= 0) {
        if (DO(rf_value_lock(wide, SHORT)) >= 0) DO(rf_value_lock(wide, 0));
        DO(rf_value_set(wide, &some));
        DO(rf_value_get(wide, &some));
        DO(rf_value_holder(wide, &pid));
        DO(rf_value_unlock(wide));
        DO(rf_value_unlock(wide));
        OK(rf_value_close(wide));
    }
}

static void arrays(rf_segment *segment) {
    rf_array *array, *rows;
    int64_t was;
    int32_t pid, one = 1;
    size_t len = 0;
    void *address;
    row some[ROWS] = {0};
    if (DO(rf_array_open(segment, "array", 0, RF_I32, 0, 0, NULL, 0, &array)) >= 0) {
        OK(rf_array_len(array, &len));
        TRUE(len > 0);
        DO(rf_array_set(array, len - 1, &one));
        DO(rf_array_get(array, len - 1, &one));
        DO(rf_array_fill(array, &one));
        DO(rf_array_fetch_add(array, len - 1, 1, &was));
        DO(rf_array_compare_exchange(array, 0, 1, 2, &was));
        DO(rf_array_pointer(array, &address));
        OK(rf_array_close(array));
    }
    if (DO(rf_array_open(segment, "rows", RF_CREATE, RF_STRUCT, sizeof(row), 8, "row", ROWS, &rows)) >= 0) {
        DO(rf_array_write(rows, 0, ROWS, some));
        DO(rf_array_read(rows, 0, ROWS, some));
        if (DO(rf_array_lock(rows, SHORT)) >= 0) DO(rf_array_unlock(rows));
        DO(rf_array_holder(rows, &pid));
        OK(rf_array_close(rows));
    }
}

static void queues(rf_segment *segment, int round) {
    rf_queue *queue;
    row some = {{0}};
    size_t len, capacity;
    int is;
    if (DO(rf_queue_open(segment, "queue", 0, sizeof some, 8, NULL, 0, &queue)) < 0) return;
    OK(rf_queue_capacity(queue, &capacity));
    for (int i = 0; i < 3; i++) DO(rf_queue_push(queue, &some, SHORT));
    for (int i = 0; i < 2; i++) DO(rf_queue_pop(queue, &some, SHORT));
    DO(rf_queue_push(queue, &some, 0));
    DO(rf_queue_pop(queue, &some, 0));
    OK(rf_queue_len(queue, &len));
    TRUE(len <= capacity);
    if (round % 16 == 0) DO(rf_queue_shutdown(queue));
    DO(rf_queue_is_shut_down(queue, &is));
    OK(rf_queue_close(queue));
}

static void channels(rf_segment *segment, int round) {
    rf_channel *channel;
    static char room[LEN + 1];
    size_t len, max, capacity;
    int is, got;
    if (DO(rf_channel_open(segment, "channel", 0, 0, &channel)) < 0) return;
    OK(rf_channel_max_message(channel, &max));
    OK(rf_channel_capacity(channel, &capacity));
    TRUE(max < capacity && capacity < sizeof room);
    DO(rf_channel_send(channel, room, 20, SHORT));
    DO(rf_channel_send(channel, room, max, 0));
    EXPECT(DO(rf_channel_send(channel, room, max + 1, SHORT)), RF_E_MESSAGE_TOO_LONG);
    got = DO(rf_channel_recv(channel, room, 3, &len, SHORT));
    if (got == RF_OK) TRUE(len <= 3);
    if (got == RF_E_BUFFER_TOO_SHORT) TRUE(len > 3 && len <= max);
    if (DO(rf_channel_recv(channel, room, sizeof room, &len, SHORT)) == RF_OK) TRUE(len <= max);
    DO(rf_channel_recv(channel, room, sizeof room, &len, 0));
    OK(rf_channel_len(channel, &len));
    TRUE(len <= capacity / 8);
    if (round % 16 == 0) DO(rf_channel_shutdown(channel));
    DO(rf_channel_is_shut_down(channel, &is));
    OK(rf_channel_close(channel));
}

static void works(rf_segment *segment, int round) {
    rf_work_queue *work;
    rf_lease lease, leases[3];
    rf_work_count count;
    static char room[LEN + 1];
    size_t len, max, capacity, taken;
    uint32_t deliveries;
    int is;
    if (DO(rf_work_queue_open(segment, "work", 0, 0, 0, 0, &work)) < 0) return;
    OK(rf_work_queue_max_message(work, &max));
    OK(rf_work_queue_capacity(work, &capacity));
    OK(rf_work_queue_max_deliveries(work, &deliveries));
    TRUE(max < sizeof room && capacity < LEN / 24);
    DO(rf_work_queue_push(work, room, max, SHORT));
    DO(rf_work_queue_push(work, room, 0, 0));
    EXPECT(DO(rf_work_queue_push(work, room, max + 1, SHORT)), RF_E_MESSAGE_TOO_LONG);
    for (int i = 0; i < 3; i++) {
        if (DO(rf_work_queue_take(work, &lease, SHORT)) < 0) continue;
        if (DO(rf_work_queue_read(work, &lease, room, sizeof room, &len)) == RF_OK) TRUE(len <= max);
        if (i == 0) DO(rf_work_queue_fail(work, &lease));
        if (i == 1) DO(rf_work_queue_keep(work, &lease));
        DO(rf_work_queue_done(work, &lease));
    }
    DO(rf_work_queue_task_done(work));
    if (DO(rf_work_queue_take_many(work, leases, 3, &taken, 0)) == RF_OK) {
        TRUE(taken >= 1 && taken <= 3);
        for (size_t i = 0; i < taken; i++) DO(rf_work_queue_done(work, &leases[i]));
    }
    if (DO(rf_work_queue_take_dead_letter(work, &lease)) == RF_OK) DO(rf_work_queue_done(work, &lease));
    DO(rf_work_queue_join(work, SHORT));
    OK(rf_work_queue_count(work, &count));
    TRUE(count.waiting + count.leased + count.dead_letters <= capacity);
    if (round % 16 == 0) DO(rf_work_queue_shutdown(work));
    DO(rf_work_queue_is_shut_down(work, &is));
    OK(rf_work_queue_close(work));
}

static void around(rf_segment *segment) {
    rf_participant_info people[4];
    rf_object_info objects[16];
    rf_mutex *own;
    size_t count, dead;
    DO(rf_segment_recover(segment, &dead));
    DO(rf_segment_size(segment, &count));
    if (DO(rf_segment_participants(segment, sizeof *people, 4, people, &count)) == RF_OK)
        for (size_t i = 0; i < count && i < 4; i++) TRUE(memchr(people[i].name, 0, sizeof people[i].name) != NULL);
    if (DO(rf_segment_objects(segment, sizeof *objects, 16, objects, &count)) == RF_OK)
        for (size_t i = 0; i < count && i < 16; i++) TRUE(memchr(objects[i].name, 0, sizeof objects[i].name) != NULL);
    if (DO(rf_mutex_open(segment, "own", RF_CREATE | RF_EXCL, &own)) >= 0) OK(rf_mutex_close(own));
    DO(rf_segment_remove(segment, "own"));
}

static void make(rf_segment *segment) {
    rf_array *array;
    rf_queue *queue;
    rf_channel *channel;
    rf_work_queue *work;
    locks(segment);
    reentrant_locks(segment);
    semaphores(segment, RF_OWNED, "permits");
    semaphores(segment, RF_SIGNALLING, "signals");
    rwlocks(segment);
    events(segment, RF_MANUAL_RESET, "flag");
    events(segment, RF_AUTO_RESET, "bell");
    condvars(segment);
    onces(segment);
    barriers(segment);
    values(segment);
    OK(rf_array_open(segment, "array", RF_CREATE, RF_I32, 0, 0, NULL, 9, &array));
    OK(rf_queue_open(segment, "queue", RF_CREATE, sizeof(row), 8, NULL, CAPACITY, &queue));
    OK(rf_channel_open(segment, "channel", RF_CREATE, 240, &channel));
    OK(rf_work_queue_open(segment, "work", RF_CREATE, 4, 40, 2, &work));
    OK(rf_array_close(array));
    OK(rf_queue_close(queue));
    OK(rf_channel_close(channel));
    OK(rf_work_queue_close(work));
    arrays(segment);
    rings(segment);
    byte_rings(segment);
}

static _Atomic uint64_t *words;
static uint64_t image[LEN / 8];
static atomic_int done;

static void put(size_t at, uint64_t value) {
    atomic_store_explicit(&words[at], value, memory_order_relaxed);
}

static void *spoil(void *seed) {
    uint64_t state = *(uint64_t *)seed;
    while (!done) {
        size_t at = randomly(&state) % (LEN / 8);
        uint64_t old = words[at], elsewhere = image[randomly(&state) % (LEN / 8)];
        uint64_t values[] = {0,       1,       UINT64_MAX, INT64_MAX, LEN,   ~127ull, 1ull << 40, 1ull << 63 | 100,
                             old + 1, old + 8, old + 128,  old ^ 1ull << 63, elsewhere, randomly(&state)};
        put(at, values[randomly(&state) % (sizeof values / sizeof *values)]);
        /* Left to itself there would soon be nothing to spoil. */
        if (randomly(&state) % 16 == 0)
            for (at = 0; at < LEN / 8; at++) put(at, image[at]);
        for (uint64_t rest = randomly(&state) % 2000; rest > 0; rest--) atomic_signal_fence(memory_order_seq_cst);
    }
    return NULL;
}

static rf_segment *between_fences(pthread_t *thread, uint64_t *seed) {
    rf_segment *segment;
    rf_segment_options options = {.size_of = sizeof options, .participants = 4, .objects = 20};
    char *memory = mmap(NULL, LEN + 2 * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TRUE(memory != MAP_FAILED && mprotect(memory + PAGE, LEN, PROT_READ | PROT_WRITE) == 0);
    words = (void *)(memory + PAGE);
    OK(rf_segment_format_at(memory + PAGE, LEN, &options, &segment));
    make(segment);
    for (size_t at = 0; at < LEN / 8; at++) image[at] = words[at];
    TRUE(pthread_create(thread, NULL, spoil, seed) == 0);
    return segment;
}

int main(int argc, char **argv) {
    alarm(300); /* then it hangs */
    pthread_t thread;
    rf_segment *segment, *again;
    const char *given = getenv("RINGFENCE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 88172645463325252;
    if (!seed) seed = 1; /* of 0 nothing else would come */
    if (argc == 1)
        segment = between_fences(&thread, &seed);
    else
        while (DO(rf_segment_open(argv[1], 0, 0, NULL, &segment)) < 0) continue; /* a header that is spoilt just now */
    for (int round = 0; round < ROUNDS; round++) {
        locks(segment);
        reentrant_locks(segment);
        semaphores(segment, RF_OWNED, "permits");
        semaphores(segment, RF_SIGNALLING, "signals");
        rwlocks(segment);
        events(segment, RF_MANUAL_RESET, "flag");
        events(segment, RF_AUTO_RESET, "bell");
        condvars(segment);
        onces(segment);
        barriers(segment);
        values(segment);
        arrays(segment);
        queues(segment, round);
        channels(segment, round);
        rings(segment);
        byte_rings(segment);
        works(segment, round);
        waits(segment, round);
        if (round % 4 == 0) around(segment);
        if (round % 8 == 0) {
            int got = argc == 1 ? DO(rf_segment_attach_at((void *)words, LEN, &again))
                                : DO(rf_segment_open(argv[1], 0, 0, NULL, &again));
            if (got >= 0) DO(rf_segment_close(again));
        }
    }
    done = 1;
    if (argc == 1) pthread_join(thread, NULL);
    DO(rf_segment_close(segment));
    for (int i = 0; i < CALLS && calls[i].call; i++)
        for (int status = -64; status < 64; status++)
            if (calls[i].seen[status + 64])
                printf("%.*s %d\n", (int)strcspn(calls[i].call, "("), calls[i].call, status);
    return 0;
}
