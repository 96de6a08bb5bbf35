/* NULL, wild numbers and endless strings beside good handles, through every function that takes them: a status, never a
 * crash. NULL for a handle: bad_null.c.
 * semantics 4, 86 and 87 */
#define _GNU_SOURCE
#include "bad.h"

static const int wild_flags[] = {8, 16, 0x40000000, -1, INT_MIN, INT_MAX, RF_EXCL};
static const int wild_types[] = {-1, 13, 14, 1000, INT_MIN, INT_MAX};

static char endless[4096];

/* A good handle, and something bad beside it. */
static void beside_good_handles(const char *name) {
    rf_segment *segment, *again;
    rf_mutex *mutex;
    rf_reentrant_mutex *reentrant;
    rf_value *value, *no_value;
    rf_array *array, *no_array;
    rf_queue *queue, *no_queue;
    rf_channel *channel, *no_channel;
    char room[256];
    size_t n;

    for (size_t i = 0; i < COUNT(wild_flags); i++)
        BAD(rf_segment_open(name, wild_flags[i], 4096, NULL, &segment));
    BAD(rf_segment_open(name, RF_CREATE | RF_INTERRUPTIBLE, 4096, NULL, &segment));
    rf_segment_options options = {0};
    size_t sizes[] = {0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        options.size_of = sizes[i];
        BAD(rf_segment_open(name, RF_CREATE, 4096, &options, &segment));
    }
    struct {
        rf_segment_options known;
        int unknown;
    } later = {{0}, 1};
    later.known.size_of = sizeof later;
    EXPECT(rf_segment_open(name, RF_CREATE, 4096, &later.known, &segment), RF_E_NOT_SUPPORTED);
    int unlinks[] = {-1, 2, INT_MAX, INT_MIN};
    for (size_t i = 0; i < COUNT(unlinks); i++) {
        options = (rf_segment_options){.size_of = sizeof options, .unlink = unlinks[i]};
        BAD(rf_segment_open(name, RF_CREATE, 4096, &options, &segment));
    }
    options = (rf_segment_options){.size_of = sizeof options, .participants = 8192};
    BAD(rf_segment_open(name, RF_CREATE, 4096, &options, &segment));
    options = (rf_segment_options){.size_of = sizeof options, .participants = UINT32_MAX};
    BAD(rf_segment_open(name, RF_CREATE, 4096, &options, &segment));
    options = (rf_segment_options){.size_of = sizeof options, .objects = UINT32_MAX};
    BAD(rf_segment_open(name, RF_CREATE, 4096, &options, &segment));
    options = (rf_segment_options){.size_of = sizeof options, .mode = 010000};
    BAD(rf_segment_open(name, RF_CREATE, 4096, &options, &segment));
    const char *names[] = {"", "a/b", "../x", "a b", "\xff\xfe", endless};
    for (size_t i = 0; i < COUNT(names); i++) {
        EXPECT(rf_segment_open(names[i], RF_CREATE, 4096, NULL, &segment), RF_E_NAME);
        EXPECT(rf_segment_unlink(names[i]), RF_E_NAME);
    }
    EXPECT(rf_segment_open(name, 0, 0, NULL, &segment), RF_E_MISSING);

    /* The least that a caller can fill in, and a caller with a longer struct of zeros. */
    options = (rf_segment_options){.size_of = sizeof(size_t)};
    OK(rf_segment_open(name, RF_CREATE, 1 << 16, &options, &segment));
    later.unknown = 0;
    OK(rf_segment_open(name, RF_CREATE, 1 << 16, &later.known, &again));
    OK(rf_segment_close(again));

    BAD(rf_segment_size(segment, NULL));
    BAD(rf_segment_fd(segment, NULL));
    BAD(rf_segment_participants(segment, sizeof(rf_participant_info), 1, NULL, &n));
    BAD(rf_segment_participants(segment, sizeof(rf_participant_info), 0, NULL, NULL));
    BAD(rf_segment_participants(segment, 16, SIZE_MAX, NULL, &n));
    BAD(rf_segment_objects(segment, sizeof(rf_object_info), 1, NULL, &n));
    BAD(rf_segment_remove(segment, NULL));
    EXPECT(rf_segment_remove(segment, ""), RF_E_NAME);
    EXPECT(rf_segment_remove(segment, endless), RF_E_NAME);

    for (size_t i = 0; i < COUNT(wild_flags); i++) {
        BAD(rf_mutex_open(segment, "m", wild_flags[i], &mutex));
        BAD(rf_reentrant_mutex_open(segment, "r", wild_flags[i], &reentrant));
        BAD(rf_value_open(segment, "v", wild_flags[i], RF_I32, 0, 0, NULL, NULL, &value));
        BAD(rf_array_open(segment, "a", wild_flags[i], RF_I32, 0, 0, NULL, 1, &array));
        BAD(rf_queue_open(segment, "q", wild_flags[i], 8, 8, NULL, 1, &queue));
        BAD(rf_channel_open(segment, "c", wild_flags[i], 1024, &channel));
    }
    for (size_t i = 0; i < COUNT(wild_types); i++) {
        BAD(rf_value_open(segment, "v", RF_CREATE, wild_types[i], 0, 0, NULL, NULL, &value));
        BAD(rf_array_open(segment, "a", RF_CREATE, wild_types[i], 0, 0, NULL, 1, &array));
    }
    EXPECT(rf_mutex_open(segment, "", RF_CREATE, &mutex), RF_E_NAME);
    EXPECT(rf_value_open(segment, endless, RF_CREATE, RF_I32, 0, 0, NULL, NULL, &value), RF_E_NAME);
    EXPECT(rf_array_open(segment, endless, RF_CREATE, RF_I32, 0, 0, NULL, 1, &array), RF_E_NAME);
    EXPECT(rf_queue_open(segment, endless, RF_CREATE, 8, 8, NULL, 1, &queue), RF_E_NAME);
    EXPECT(rf_channel_open(segment, endless, RF_CREATE, 1024, &channel), RF_E_NAME);
    TRUE(rf_queue_open(segment, "q", RF_CREATE, 8, 8, endless, 1, &queue) < 0);

    /* Sizes that are none. */
    size_t aligns[] = {0, 3, 12, 256, SIZE_MAX};
    for (size_t i = 0; i < COUNT(aligns); i++) {
        if (aligns[i] != 256) BAD(rf_queue_open(segment, "q", RF_CREATE, 8, aligns[i], NULL, 1, &no_queue));
        BAD(rf_value_open(segment, "v", RF_CREATE, RF_STRUCT, 8, aligns[i], NULL, NULL, &no_value));
        BAD(rf_array_open(segment, "a", RF_CREATE, RF_STRUCT, 8, aligns[i], NULL, 1, &no_array));
    }
    OK(rf_queue_open(segment, "nothing", RF_CREATE, 0, 1, NULL, 1, &no_queue));
    OK(rf_queue_push(no_queue, NULL, 0));
    EXPECT(rf_queue_push(no_queue, NULL, 0), RF_E_FULL);
    OK(rf_queue_pop(no_queue, NULL, 0));
    OK(rf_queue_close(no_queue));
    TRUE(rf_queue_open(segment, "q", RF_CREATE, SIZE_MAX, 1, NULL, 1, &no_queue) < 0);
    TRUE(rf_queue_open(segment, "q", RF_CREATE, 8, 8, NULL, SIZE_MAX, &no_queue) < 0);
    TRUE(rf_queue_open(segment, "q", RF_CREATE, SIZE_MAX / 2, 1, NULL, SIZE_MAX / 2, &no_queue) < 0);
    TRUE(rf_value_open(segment, "v", RF_CREATE, RF_STRUCT, 0, 1, NULL, NULL, &no_value) < 0);
    TRUE(rf_value_open(segment, "v", RF_CREATE, RF_STRUCT, SIZE_MAX, 1, NULL, NULL, &no_value) < 0);
    TRUE(rf_array_open(segment, "a", RF_CREATE, RF_I64, 0, 0, NULL, SIZE_MAX, &no_array) < 0);
    TRUE(rf_channel_open(segment, "c", RF_CREATE, 0, &no_channel) < 0);
    TRUE(rf_channel_open(segment, "c", RF_CREATE, SIZE_MAX, &no_channel) < 0);

    rf_semaphore *semaphore;
    BAD(rf_semaphore_open(segment, NULL, RF_CREATE, RF_OWNED, 1, 1, &semaphore));
    BAD(rf_semaphore_open(segment, "s", RF_CREATE, RF_OWNED, 1, 1, NULL));
    BAD(rf_semaphore_open(segment, "s", RF_CREATE, 2, 1, 1, &semaphore));
    BAD(rf_semaphore_open(segment, "s", RF_CREATE, RF_OWNED, 2, 1, &semaphore));
    BAD(rf_semaphore_open(segment, "s", RF_CREATE, RF_OWNED, 1, 1 << 30, &semaphore));
    OK(rf_semaphore_open(segment, "s", RF_CREATE | RF_EXCL, RF_OWNED, 1, 1, &semaphore));
    BAD(rf_semaphore_value(semaphore, NULL));
    BAD(rf_semaphore_taken(semaphore, NULL));
    OK(rf_semaphore_close(semaphore));
    rf_rwlock *rwlock;
    BAD(rf_rwlock_open(segment, NULL, RF_CREATE, &rwlock));
    BAD(rf_rwlock_open(segment, "w", RF_CREATE, NULL));
    OK(rf_rwlock_open(segment, "w", RF_CREATE | RF_EXCL, &rwlock));
    BAD(rf_rwlock_holder(rwlock, NULL));
    OK(rf_rwlock_close(rwlock));
    rf_event *event;
    BAD(rf_event_open(segment, NULL, RF_CREATE, RF_MANUAL_RESET, &event));
    BAD(rf_event_open(segment, "e", RF_CREATE, RF_MANUAL_RESET, NULL));
    for (size_t i = 0; i < COUNT(wild_flags); i++)
        BAD(rf_event_open(segment, "e", wild_flags[i], RF_MANUAL_RESET, &event));
    int resets[] = {-1, 2, INT_MAX, INT_MIN};
    for (size_t i = 0; i < COUNT(resets); i++) BAD(rf_event_open(segment, "e", RF_CREATE, resets[i], &event));
    EXPECT(rf_event_open(segment, endless, RF_CREATE, RF_MANUAL_RESET, &event), RF_E_NAME);
    OK(rf_event_open(segment, "e", RF_CREATE | RF_EXCL, RF_MANUAL_RESET, &event));
    BAD(rf_event_is_set(event, NULL));
    OK(rf_event_close(event));

    rf_barrier *barrier;
    size_t odd_sizes[2];
    void *misaligned_size = (char *)odd_sizes + 1;
    BAD(rf_barrier_open(segment, NULL, RF_CREATE, 1, &barrier));
    BAD(rf_barrier_open(segment, "ba", RF_CREATE, 1, NULL));
    BAD(rf_barrier_open(segment, "ba", RF_CREATE, 0, &barrier));
    BAD(rf_barrier_open(segment, "ba", RF_CREATE, 65536, &barrier));
    BAD(rf_barrier_open(segment, "ba", RF_CREATE, SIZE_MAX, &barrier));
    for (size_t i = 0; i < COUNT(wild_flags); i++) BAD(rf_barrier_open(segment, "ba", wild_flags[i], 1, &barrier));
    OK(rf_barrier_open(segment, "ba", RF_CREATE | RF_EXCL, 1, &barrier));
    BAD(rf_barrier_wait(barrier, 0, misaligned_size));
    BAD(rf_barrier_arrive(barrier, 0, misaligned_size));
    BAD(rf_barrier_is_broken(barrier, NULL));
    BAD(rf_barrier_waiting(barrier, NULL));
    BAD(rf_barrier_waiting(barrier, misaligned_size));
    BAD(rf_barrier_parties(barrier, NULL));
    EXPECT(rf_barrier_release(barrier), RF_E_NOT_OWNER); /* none of them arrived */
    OK(rf_barrier_close(barrier));

    rf_condvar *condvar;
    rf_mutex *its;
    int why = 4711, odd[2];
    void *misaligned_int = (char *)odd + 1;
    BAD(rf_condvar_open(segment, NULL, RF_CREATE, 0, &condvar));
    BAD(rf_condvar_open(segment, "cv", RF_CREATE, 0, NULL));
    BAD(rf_condvar_open(segment, "cv", RF_CREATE, 65536, &condvar));
    BAD(rf_condvar_open(segment, "cv", RF_CREATE, UINT32_MAX, &condvar));
    for (size_t i = 0; i < COUNT(wild_flags); i++) BAD(rf_condvar_open(segment, "cv", wild_flags[i], 0, &condvar));
    OK(rf_condvar_open(segment, "cv", RF_CREATE | RF_EXCL, 0, &condvar));
    OK(rf_mutex_open(segment, "its", RF_CREATE | RF_EXCL, &its));
    OK(rf_mutex_lock(its, 0));
    BAD(rf_condvar_wait(condvar, NULL, &why, 0));
    BAD(rf_condvar_wait(condvar, its, misaligned_int, 0));
    BAD(rf_condvar_wait_reentrant(condvar, NULL, &why, 0));
    BAD(rf_condvar_wait_for(condvar, its, NULL, NULL, &why, 0));
    BAD(rf_condvar_wait_for(condvar, NULL, never, NULL, &why, 0));
    BAD(rf_condvar_wait_for(condvar, its, never, NULL, misaligned_int, 0));
    BAD(rf_condvar_wait_for_reentrant(condvar, NULL, never, NULL, &why, 0));
    BAD(rf_condvar_notify(condvar, NULL, 1, NULL));
    BAD(rf_condvar_notify(condvar, its, 1, misaligned_int));
    BAD(rf_condvar_notify_reentrant(condvar, NULL, 1, NULL));
    BAD(rf_condvar_waiting(condvar, NULL));
    OK(rf_mutex_unlock(its)); /* none of them gave it away */
    OK(rf_mutex_close(its));
    TRUE(why == 4711);
    OK(rf_condvar_close(condvar));

    rf_once *once;
    rf_once_value *once_value;
    BAD(rf_once_open(segment, NULL, RF_CREATE, &once));
    BAD(rf_once_open(segment, "o", RF_CREATE, NULL));
    BAD(rf_once_value_open(segment, NULL, RF_CREATE, RF_I32, 0, 0, NULL, &once_value));
    BAD(rf_once_value_open(segment, "ov", RF_CREATE, RF_I32, 0, 0, NULL, NULL));
    BAD(rf_once_value_open(segment, "ov", RF_CREATE, RF_I32, 3, 0, NULL, &once_value));
    BAD(rf_once_value_open(segment, "ov", RF_CREATE, RF_STRUCT, 0, 1, NULL, &once_value));
    BAD(rf_once_value_open(segment, "ov", RF_CREATE, RF_STRUCT, SIZE_MAX, 1, NULL, &once_value));
    for (size_t i = 0; i < COUNT(wild_flags); i++) {
        BAD(rf_once_open(segment, "o", wild_flags[i], &once));
        BAD(rf_once_value_open(segment, "ov", wild_flags[i], RF_I32, 0, 0, NULL, &once_value));
    }
    for (size_t i = 0; i < COUNT(wild_types); i++)
        BAD(rf_once_value_open(segment, "ov", RF_CREATE, wild_types[i], 0, 0, NULL, &once_value));
    for (size_t i = 0; i < COUNT(aligns); i++)
        BAD(rf_once_value_open(segment, "ov", RF_CREATE, RF_STRUCT, 8, aligns[i], NULL, &once_value));
    EXPECT(rf_once_open(segment, endless, RF_CREATE, &once), RF_E_NAME);
    OK(rf_once_open(segment, "o", RF_CREATE | RF_EXCL, &once));
    BAD(rf_once_is_completed(once, NULL));
    BAD(rf_once_holder(once, NULL));
    OK(rf_once_close(once));
    OK(rf_once_value_open(segment, "ov", RF_CREATE | RF_EXCL, RF_I32, 0, 0, NULL, &once_value));
    BAD(rf_once_value_begin(once_value, NULL, 0)); /* and has no turn */
    BAD(rf_once_value_set(once_value, NULL, 0));
    int32_t number = 1;
    EXPECT(rf_once_value_begin(once_value, &number, 0), RF_YOUR_TURN);
    BAD(rf_once_value_complete(once_value, NULL)); /* and has it still */
    OK(rf_once_value_complete(once_value, &number));
    BAD(rf_once_value_get(once_value, NULL));
    BAD(rf_once_value_wait(once_value, NULL, 0));
    BAD(rf_once_value_holder(once_value, NULL));
    OK(rf_once_value_close(once_value));

    rf_work_queue *work;
    rf_lease lease = {0}, wild_leases[] = {{.id = UINT64_MAX, .place = UINT32_MAX}, {.id = 0, .place = 4}, {.id = 3 << 13 | 1}};
    size_t work_n;
    BAD(rf_work_queue_open(segment, NULL, RF_CREATE, 4, 8, 0, &work));
    BAD(rf_work_queue_open(segment, "work", RF_CREATE, 4, 8, 0, NULL));
    BAD(rf_work_queue_open(segment, "work", RF_CREATE, 0, 8, 0, &work));
    BAD(rf_work_queue_open(segment, "work", RF_CREATE, 4, 0, 0, &work));
    BAD(rf_work_queue_open(segment, "work", RF_CREATE, SIZE_MAX, 8, 0, &work));
    BAD(rf_work_queue_open(segment, "work", RF_CREATE, 4, SIZE_MAX, 0, &work));
    BAD(rf_work_queue_open(segment, "work", RF_CREATE, 4, 8, 65536, &work));
    for (size_t i = 0; i < COUNT(wild_flags); i++)
        BAD(rf_work_queue_open(segment, "work", wild_flags[i], 4, 8, 0, &work));
    EXPECT(rf_work_queue_open(segment, endless, RF_CREATE, 4, 8, 0, &work), RF_E_NAME);
    OK(rf_work_queue_open(segment, "work", RF_CREATE | RF_EXCL, 4, 8, 0, &work));
    BAD(rf_work_queue_push(work, NULL, 1, 0));
    OK(rf_work_queue_push(work, "message", 7, 0));
    BAD(rf_work_queue_take(work, NULL, 0));
    BAD(rf_work_queue_take_many(work, NULL, 1, &work_n, 0));
    BAD(rf_work_queue_take_many(work, &lease, 1, NULL, 0));
    BAD(rf_work_queue_take_many(work, &lease, 0, &work_n, 0));
    BAD(rf_work_queue_take_many(work, &lease, SIZE_MAX, &work_n, 0));
    BAD(rf_work_queue_take_dead_letter(work, NULL));
    OK(rf_work_queue_take(work, &lease, 0)); /* nobody has taken it by now */
    BAD(rf_work_queue_read(work, NULL, &lease, 1, &work_n));
    BAD(rf_work_queue_read(work, &lease, NULL, 1, &work_n));
    BAD(rf_work_queue_read(work, &lease, &lease, 1, NULL));
    BAD(rf_work_queue_done(work, NULL));
    BAD(rf_work_queue_fail(work, NULL));
    BAD(rf_work_queue_keep(work, NULL));
    for (size_t i = 0; i < COUNT(wild_leases); i++) {
        char byte;
        EXPECT(rf_work_queue_read(work, &wild_leases[i], &byte, 1, &work_n), RF_E_NOT_LEASED);
        EXPECT(rf_work_queue_done(work, &wild_leases[i]), RF_E_NOT_LEASED);
        EXPECT(rf_work_queue_fail(work, &wild_leases[i]), RF_E_NOT_LEASED);
        EXPECT(rf_work_queue_keep(work, &wild_leases[i]), RF_E_NOT_LEASED);
    }
    BAD(rf_work_queue_count(work, NULL));
    BAD(rf_work_queue_capacity(work, NULL));
    BAD(rf_work_queue_max_message(work, NULL));
    BAD(rf_work_queue_max_deliveries(work, NULL));
    BAD(rf_work_queue_is_shut_down(work, NULL));
    OK(rf_work_queue_done(work, &lease));
    OK(rf_work_queue_close(work));

    rf_worker *worker;
    for (size_t i = 0; i < COUNT(wild_flags); i++) BAD(rf_worker_open(name, wild_flags[i], &worker));
    BAD(rf_worker_open(name, RF_CREATE, &worker));
    EXPECT(rf_worker_open(endless, 0, &worker), RF_E_NAME);
    EXPECT(rf_worker_open(name, 0, &worker), RF_E_MISSING); /* a segment, and no pool's */

    BAD(rf_reentrant_mutex_open(segment, NULL, RF_CREATE, &reentrant));
    BAD(rf_reentrant_mutex_open(segment, "r", RF_CREATE, NULL));
    OK(rf_reentrant_mutex_open(segment, "r", RF_CREATE | RF_EXCL, &reentrant));
    BAD(rf_reentrant_mutex_count(reentrant, NULL));
    BAD(rf_reentrant_mutex_holder(reentrant, NULL));
    OK(rf_reentrant_mutex_close(reentrant));
    BAD(rf_mutex_open(segment, NULL, RF_CREATE, &mutex));
    BAD(rf_mutex_open(segment, "m", RF_CREATE, NULL));
    OK(rf_mutex_open(segment, "m", RF_CREATE | RF_EXCL, &mutex));
    BAD(rf_mutex_holder(mutex, NULL));
    OK(rf_mutex_lock(mutex, INT64_MAX));
    OK(rf_mutex_unlock(mutex));
    OK(rf_mutex_close(mutex));

    BAD(rf_value_open(segment, NULL, RF_CREATE, RF_I32, 0, 0, NULL, NULL, &value));
    BAD(rf_value_open(segment, "v", RF_CREATE, RF_I32, 0, 0, NULL, NULL, NULL));
    OK(rf_value_open(segment, "v", RF_CREATE | RF_EXCL, RF_I32, 0, 0, NULL, NULL, &value));
    BAD(rf_value_get(value, NULL));
    BAD(rf_value_set(value, NULL));
    BAD(rf_value_holder(value, NULL));
    OK(rf_value_fetch_add(value, 1, NULL));
    OK(rf_value_compare_exchange(value, 1, 2, NULL));
    OK(rf_value_close(value));

    BAD(rf_array_open(segment, NULL, RF_CREATE, RF_I32, 0, 0, NULL, 1, &array));
    BAD(rf_array_open(segment, "a", RF_CREATE, RF_I32, 0, 0, NULL, 1, NULL));
    OK(rf_array_open(segment, "a", RF_CREATE | RF_EXCL, RF_I32, 0, 0, NULL, 4, &array));
    BAD(rf_array_read(array, 0, 1, NULL));
    BAD(rf_array_write(array, 0, 1, NULL));
    BAD(rf_array_read(array, 4, 1, room));
    BAD(rf_array_read(array, 1, SIZE_MAX, room));
    BAD(rf_array_get(array, SIZE_MAX, room));
    BAD(rf_array_set(array, 0, NULL));
    BAD(rf_array_fill(array, NULL));
    BAD(rf_array_len(array, NULL));
    BAD(rf_array_pointer(array, NULL));
    BAD(rf_array_holder(array, NULL));
    BAD(rf_array_fetch_add(array, 4, 1, NULL));
    BAD(rf_array_compare_exchange(array, SIZE_MAX, 0, 1, NULL));
    OK(rf_array_fetch_add(array, 3, 1, NULL));
    OK(rf_array_compare_exchange(array, 3, 1, 2, NULL));
    OK(rf_array_close(array));

    rf_spsc *spsc;
    rf_producer *producer;
    rf_consumer *consumer;
    size_t done;
    BAD(rf_spsc_open(segment, NULL, RF_CREATE, 8, 8, NULL, 1, &spsc));
    BAD(rf_spsc_open(segment, "a ring", RF_CREATE, 8, 8, NULL, 1, NULL));
    BAD(rf_spsc_open(segment, "a ring", RF_CREATE, 8, 3, NULL, 1, &spsc));
    TRUE(rf_spsc_open(segment, "a ring", RF_CREATE, SIZE_MAX / 2, 1, NULL, SIZE_MAX / 2, &spsc) < 0);
    for (size_t i = 0; i < COUNT(wild_flags); i++)
        BAD(rf_spsc_open(segment, "a ring", wild_flags[i], 8, 8, NULL, 1, &spsc));
    OK(rf_spsc_open(segment, "a ring", RF_CREATE | RF_EXCL, 8, 8, NULL, 1, &spsc));
    BAD(rf_spsc_producer(spsc, NULL));
    BAD(rf_spsc_consumer(spsc, NULL));
    BAD(rf_spsc_len(spsc, NULL));
    BAD(rf_spsc_capacity(spsc, NULL));
    BAD(rf_spsc_has_producer(spsc, NULL));
    BAD(rf_spsc_has_consumer(spsc, NULL));
    BAD(rf_spsc_is_shut_down(spsc, NULL));
    OK(rf_spsc_producer(spsc, &producer));
    OK(rf_spsc_consumer(spsc, &consumer));
    BAD(rf_producer_push(producer, NULL, RF_FOREVER));
    BAD(rf_producer_push_many(producer, NULL, 1, &done, RF_FOREVER));
    BAD(rf_producer_push_many(producer, "", SIZE_MAX / 4, &done, RF_FOREVER));
    BAD(rf_producer_push_many(producer, "", 1, NULL, RF_FOREVER));
    BAD(rf_producer_tell_if_alone(producer, 2));
    BAD(rf_consumer_pop(consumer, NULL, RF_FOREVER));
    BAD(rf_consumer_pop_many(consumer, NULL, 1, &done, RF_FOREVER));
    BAD(rf_consumer_pop_many(consumer, &done, 1, NULL, RF_FOREVER));
    BAD(rf_consumer_tell_if_alone(consumer, -1));
    OK(rf_producer_close(producer));
    OK(rf_consumer_close(consumer));
    OK(rf_spsc_close(spsc));

    rf_byte_ring *bytes;
    rf_byte_producer *byte_producer;
    rf_byte_consumer *byte_consumer;
    const void *record;
    void *place;
    BAD(rf_byte_ring_open(segment, NULL, RF_CREATE, 64, &bytes));
    BAD(rf_byte_ring_open(segment, "bytes", RF_CREATE, 64, NULL));
    BAD(rf_byte_ring_open(segment, "bytes", RF_CREATE, SIZE_MAX, &bytes));
    for (size_t i = 0; i < COUNT(wild_flags); i++) BAD(rf_byte_ring_open(segment, "bytes", wild_flags[i], 64, &bytes));
    OK(rf_byte_ring_open(segment, "bytes", RF_CREATE | RF_EXCL, 64, &bytes));
    BAD(rf_byte_ring_producer(bytes, NULL));
    BAD(rf_byte_ring_consumer(bytes, NULL));
    BAD(rf_byte_ring_used(bytes, NULL));
    BAD(rf_byte_ring_capacity(bytes, NULL));
    BAD(rf_byte_ring_max_record(bytes, NULL));
    BAD(rf_byte_ring_has_producer(bytes, NULL));
    BAD(rf_byte_ring_has_consumer(bytes, NULL));
    BAD(rf_byte_ring_is_shut_down(bytes, NULL));
    OK(rf_byte_ring_producer(bytes, &byte_producer));
    OK(rf_byte_ring_consumer(bytes, &byte_consumer));
    BAD(rf_byte_producer_push(byte_producer, NULL, 1, RF_FOREVER));
    BAD(rf_byte_producer_push(byte_producer, "", SIZE_MAX, RF_FOREVER));
    EXPECT(rf_byte_producer_reserve(byte_producer, SIZE_MAX, &place, RF_FOREVER), RF_E_MESSAGE_TOO_LONG);
    BAD(rf_byte_producer_reserve(byte_producer, 1, NULL, RF_FOREVER));
    BAD(rf_byte_producer_commit(byte_producer, 0));
    BAD(rf_byte_producer_write(byte_producer, NULL, 1, &done, RF_FOREVER));
    BAD(rf_byte_producer_write(byte_producer, "", 1, NULL, RF_FOREVER));
    BAD(rf_byte_producer_tell_if_alone(byte_producer, 7));
    BAD(rf_byte_consumer_pop(byte_consumer, NULL, 1, &done, RF_FOREVER));
    BAD(rf_byte_consumer_pop(byte_consumer, &done, 1, NULL, RF_FOREVER));
    BAD(rf_byte_consumer_peek(byte_consumer, NULL, &done, RF_FOREVER));
    BAD(rf_byte_consumer_peek(byte_consumer, &record, NULL, RF_FOREVER));
    BAD(rf_byte_consumer_release(byte_consumer));
    BAD(rf_byte_consumer_read(byte_consumer, NULL, 1, &done, RF_FOREVER));
    BAD(rf_byte_consumer_read(byte_consumer, &done, 1, NULL, RF_FOREVER));
    BAD(rf_byte_consumer_tell_if_alone(byte_consumer, 2));
    OK(rf_byte_producer_close(byte_producer));
    OK(rf_byte_consumer_close(byte_consumer));
    OK(rf_byte_ring_close(bytes));

    BAD(rf_queue_open(segment, NULL, RF_CREATE, 8, 8, NULL, 1, &queue));
    BAD(rf_queue_open(segment, "q", RF_CREATE, 8, 8, NULL, 1, NULL));
    OK(rf_queue_open(segment, "q", RF_CREATE | RF_EXCL, 8, 8, NULL, 1, &queue));
    BAD(rf_queue_push(queue, NULL, RF_FOREVER));
    BAD(rf_queue_pop(queue, NULL, RF_FOREVER));
    BAD(rf_queue_push_many(queue, NULL, 1, &n, RF_FOREVER));
    BAD(rf_queue_push_many(queue, room, 1, NULL, RF_FOREVER));
    BAD(rf_queue_push_many(queue, room, SIZE_MAX, &n, RF_FOREVER));
    BAD(rf_queue_push_many(queue, room, SIZE_MAX / 8, &n, RF_FOREVER));
    BAD(rf_queue_pop_many(queue, NULL, 1, &n, RF_FOREVER));
    BAD(rf_queue_pop_many(queue, room, 1, NULL, RF_FOREVER));
    BAD(rf_queue_pop_many(queue, room, SIZE_MAX, &n, RF_FOREVER));
    BAD(rf_queue_pop_many(queue, room, SIZE_MAX / 8, &n, RF_FOREVER));
    n = 4711;
    OK(rf_queue_push_many(queue, NULL, 0, &n, RF_FOREVER));
    TRUE(n == 0);
    OK(rf_queue_pop_many(queue, NULL, 0, &n, RF_FOREVER));
    BAD(rf_queue_len(queue, NULL));
    BAD(rf_queue_capacity(queue, NULL));
    BAD(rf_queue_is_shut_down(queue, NULL));
    OK(rf_queue_close(queue));

    BAD(rf_channel_open(segment, NULL, RF_CREATE, 1024, &channel));
    BAD(rf_channel_open(segment, "c", RF_CREATE, 1024, NULL));
    OK(rf_channel_open(segment, "c", RF_CREATE | RF_EXCL, 1024, &channel));
    BAD(rf_channel_send(channel, NULL, 1, RF_FOREVER));
    BAD(rf_channel_send(channel, room, SIZE_MAX, RF_FOREVER));
    BAD(rf_channel_send_long(channel, NULL, 1, RF_FOREVER));
    BAD(rf_channel_send_long(channel, room, SIZE_MAX, RF_FOREVER));
    BAD(rf_channel_recv(channel, NULL, 1, &n, RF_FOREVER));
    BAD(rf_channel_recv(channel, room, 1, NULL, RF_FOREVER));
    int whether = 4711;
    size_t lens[2] = {4711, 4711};
    void *odd_lens = (char *)lens + 1;
    BAD(rf_channel_send_with(channel, 1, NULL, NULL, &whether, RF_FOREVER));
    BAD(rf_channel_send_with(channel, 1, fill, NULL, NULL, RF_FOREVER));
    BAD(rf_channel_send_with(channel, 1, fill, NULL, misaligned_int, RF_FOREVER));
    EXPECT(rf_channel_send_with(channel, SIZE_MAX, fill, NULL, &whether, RF_FOREVER), RF_E_MESSAGE_TOO_LONG);
    BAD(rf_channel_recv_with(channel, NULL, NULL, RF_FOREVER));
    EXPECT(rf_channel_recv_with(channel, look, NULL, 0), RF_E_EMPTY);
    rf_message messages[] = {{room, 1}, {NULL, 1}}, endless_one = {room, SIZE_MAX};
    BAD(rf_channel_send_many(channel, NULL, 1, &n, RF_FOREVER));
    BAD(rf_channel_send_many(channel, messages, 2, &n, RF_FOREVER));
    BAD(rf_channel_send_many(channel, &endless_one, 1, &n, RF_FOREVER));
    BAD(rf_channel_send_many(channel, messages, 1, NULL, RF_FOREVER));
    BAD(rf_channel_send_many(channel, messages, SIZE_MAX, &n, RF_FOREVER));
    BAD(rf_channel_send_many(channel, messages, SIZE_MAX / 16, &n, RF_FOREVER));
    BAD(rf_channel_send_many(channel, (void *)((char *)messages + 1), 1, &n, RF_FOREVER));
    BAD(rf_channel_recv_many(channel, NULL, 1, lens, 1, &n, RF_FOREVER));
    BAD(rf_channel_recv_many(channel, room, SIZE_MAX, lens, 1, &n, RF_FOREVER));
    BAD(rf_channel_recv_many(channel, room, 1, NULL, 1, &n, RF_FOREVER));
    BAD(rf_channel_recv_many(channel, room, 1, lens, SIZE_MAX, &n, RF_FOREVER));
    BAD(rf_channel_recv_many(channel, room, 1, odd_lens, 1, &n, RF_FOREVER));
    BAD(rf_channel_recv_many(channel, room, 1, lens, 1, NULL, RF_FOREVER));
    EXPECT(rf_channel_recv_many(channel, room, 1, lens, 1, &n, 0), RF_E_EMPTY);
    OK(rf_channel_send_many(channel, NULL, 0, &n, RF_FOREVER));
    OK(rf_channel_recv_many(channel, room, 1, NULL, 0, &n, RF_FOREVER));
    TRUE(n == 0 && whether == 4711 && lens[0] == 4711);
    BAD(rf_channel_len(channel, NULL));
    BAD(rf_channel_max_message(channel, NULL));
    BAD(rf_channel_capacity(channel, NULL));
    BAD(rf_channel_is_shut_down(channel, NULL));

    uint64_t ready = 4711;
    rf_awaited item = {.what = RF_AWAIT_WRITABLE_CHANNEL, .handle = channel, .count = 1}, misaligned[2];
    BAD(rf_wait_any(&item, 65, 0, &ready, RF_FOREVER));
    BAD(rf_wait_any(&item, SIZE_MAX, 0, &ready, RF_FOREVER));
    BAD(rf_wait_any((void *)((char *)misaligned + 1), 1, 0, &ready, RF_FOREVER));
    BAD(rf_wait_any(&item, 1, 0, NULL, RF_FOREVER));
    BAD(rf_wait_any(&item, 1, RF_CREATE, &ready, RF_FOREVER));
    for (size_t i = 0; i < COUNT(wild_flags); i++) BAD(rf_wait_any(&item, 1, wild_flags[i], &ready, RF_FOREVER));
    rf_ready_fd *ready_fd;
    rf_awaited many[64];
    for (size_t i = 0; i < 64; i++) many[i] = item;
    BAD(rf_set_log(NULL, -1));
    BAD(rf_set_log(NULL, RF_LOG_DEBUG + 1));
    BAD(rf_ready_fd_open(many, 64, &ready_fd));
    BAD(rf_ready_fd_open(&item, 0, &ready_fd));
    BAD(rf_ready_fd_open(&item, 1, NULL));
    OK(rf_ready_fd_open(many, 63, &ready_fd));
    BAD(rf_ready_fd_number(ready_fd, NULL));
    OK(rf_ready_fd_close(ready_fd));
    item.reserved = 1;
    BAD(rf_wait_any(&item, 1, 0, &ready, RF_FOREVER));
    item.reserved = 0;
    int wild[] = {0, -1, 1000, INT_MIN, INT_MAX};
    for (size_t i = 0; i < COUNT(wild); i++) {
        item.what = wild[i];
        BAD(rf_wait_any(&item, 1, 0, &ready, RF_FOREVER));
    }
    item = (rf_awaited){.what = RF_AWAIT_GONE, .handle = segment, .count = 65536};
    BAD(rf_wait_any(&item, 1, 0, &ready, RF_FOREVER));
    TRUE(ready == 4711);
    OK(rf_channel_close(channel));

    rf_broadcast *broadcast, *no_broadcast;
    rf_broadcast_writer *writer;
    rf_broadcast_reader *reader, *no_reader;
    BAD(rf_broadcast_open(segment, NULL, RF_CREATE, 8, 8, NULL, 4, 0, &broadcast));
    BAD(rf_broadcast_open(segment, "bc", RF_CREATE, 8, 8, NULL, 4, 0, NULL));
    BAD(rf_broadcast_open_bytes(segment, "bc", RF_CREATE, 8, 4, 0, NULL));
    for (size_t i = 0; i < COUNT(wild_flags); i++) {
        BAD(rf_broadcast_open(segment, "bc", wild_flags[i], 8, 8, NULL, 4, 0, &no_broadcast));
        BAD(rf_broadcast_open_bytes(segment, "bc", wild_flags[i], 8, 4, 0, &no_broadcast));
    }
    BAD(rf_broadcast_open(segment, "bc", RF_CREATE, 8, 8, NULL, 0, 0, &no_broadcast));
    BAD(rf_broadcast_open(segment, "bc", RF_CREATE, 8, 8, NULL, SIZE_MAX, 0, &no_broadcast));
    BAD(rf_broadcast_open(segment, "bc", RF_CREATE, 8, 8, NULL, 4, SIZE_MAX, &no_broadcast));
    BAD(rf_broadcast_open(segment, "bc", RF_CREATE, 8, 7, NULL, 4, 0, &no_broadcast));
    BAD(rf_broadcast_open(segment, "bc", RF_CREATE, SIZE_MAX, 8, NULL, 4, 0, &no_broadcast));
    BAD(rf_broadcast_open_bytes(segment, "bc", RF_CREATE, SIZE_MAX, 4, 0, &no_broadcast));
    EXPECT(rf_broadcast_open(segment, endless, RF_CREATE, 8, 8, NULL, 4, 0, &no_broadcast), RF_E_NAME);
    OK(rf_broadcast_open(segment, "bc", RF_CREATE | RF_EXCL, 8, 8, NULL, 4, 0, &broadcast));
    BAD(rf_broadcast_writer_open(broadcast, NULL));
    BAD(rf_broadcast_reader_open(broadcast, 0, NULL));
    for (size_t i = 0; i < COUNT(wild_types); i++) BAD(rf_broadcast_reader_open(broadcast, wild_types[i], &no_reader));
    OK(rf_broadcast_writer_open(broadcast, &writer));
    OK(rf_broadcast_reader_open(broadcast, 0, &reader));
    BAD(rf_broadcast_send(writer, NULL, 8, RF_FOREVER));
    BAD(rf_broadcast_send(writer, room, 7, RF_FOREVER));
    BAD(rf_broadcast_send(writer, room, SIZE_MAX, RF_FOREVER));
    OK(rf_broadcast_send(writer, room, 8, RF_FOREVER));
    BAD(rf_broadcast_recv(reader, NULL, 8, NULL, NULL, RF_FOREVER));
    BAD(rf_broadcast_recv(reader, room, SIZE_MAX, NULL, NULL, RF_FOREVER));
    EXPECT(rf_broadcast_recv(reader, room, 7, NULL, NULL, RF_FOREVER), RF_E_BUFFER_TOO_SHORT);
    OK(rf_broadcast_recv(reader, room, 8, NULL, NULL, RF_FOREVER));
    BAD(rf_broadcast_capacity(broadcast, NULL));
    BAD(rf_broadcast_max_readers(broadcast, NULL));
    BAD(rf_broadcast_record_size(broadcast, NULL));
    BAD(rf_broadcast_is_shut_down(broadcast, NULL));
    OK(rf_broadcast_reader_close(reader));
    OK(rf_broadcast_writer_close(writer));
    OK(rf_broadcast_close(broadcast));

    rf_blackboard *blackboard, *no_blackboard;
    rf_blackboard_writer *board_writer;
    BAD(rf_blackboard_open(segment, NULL, RF_CREATE, 8, 8, NULL, &blackboard));
    BAD(rf_blackboard_open(segment, "bb", RF_CREATE, 8, 8, NULL, NULL));
    for (size_t i = 0; i < COUNT(wild_flags); i++)
        BAD(rf_blackboard_open(segment, "bb", wild_flags[i], 8, 8, NULL, &no_blackboard));
    BAD(rf_blackboard_open(segment, "bb", RF_CREATE, 8, 3, NULL, &no_blackboard));
    BAD(rf_blackboard_open(segment, "bb", RF_CREATE, SIZE_MAX, 8, NULL, &no_blackboard));
    EXPECT(rf_blackboard_open(segment, "bb", RF_CREATE, 8, 8, endless, &no_blackboard), RF_E_NAME);
    OK(rf_blackboard_open(segment, "bb", RF_CREATE | RF_EXCL, 8, 8, NULL, &blackboard));
    BAD(rf_blackboard_writer_open(blackboard, NULL));
    OK(rf_blackboard_writer_open(blackboard, &board_writer));
    BAD(rf_blackboard_write(board_writer, NULL, NULL));
    OK(rf_blackboard_write(board_writer, room, NULL));
    BAD(rf_blackboard_read(blackboard, NULL, NULL));
    OK(rf_blackboard_read(blackboard, room, NULL));
    BAD(rf_blackboard_wait_newer(blackboard, 0, NULL, NULL, RF_FOREVER));
    EXPECT(rf_blackboard_wait_newer(blackboard, UINT64_MAX, room, NULL, 0), RF_E_EMPTY);
    BAD(rf_blackboard_is_shut_down(blackboard, NULL));
    OK(rf_blackboard_writer_close(board_writer));
    OK(rf_blackboard_close(blackboard));

    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(name));
}

static void pipes(const char *name) {
    rf_segment *segment;
    rf_pipe *reader, *writer, *mine, *again;
    char buffer[8];
    size_t len;
    OK(rf_segment_open(name, RF_CREATE, 1 << 16, NULL, &segment));
    OK(rf_pipe_pair(segment, "bad", 0, 64, &reader, &writer));
    BAD(rf_pipe_pair(NULL, "x", 0, 64, &mine, &again));
    BAD(rf_pipe_pair(segment, NULL, 0, 64, &mine, &again));
    BAD(rf_pipe_pair(segment, "x", 2, 64, &mine, &again));
    BAD(rf_pipe_pair(segment, "x", 0, SIZE_MAX, &mine, &again));
    BAD(rf_pipe_pair(segment, "x", 0, 64, NULL, &again));
    BAD(rf_pipe_pair(segment, "x", 0, 64, &mine, NULL));
    BAD(rf_pipe_open(NULL, "bad", 0, RF_FIRST_END, 0, 0, &mine));
    BAD(rf_pipe_open(segment, NULL, 0, RF_FIRST_END, 0, 0, &mine));
    BAD(rf_pipe_open(segment, "bad", 1 << 20, RF_FIRST_END, 0, 0, &mine));
    BAD(rf_pipe_open(segment, "bad", 0, 2, 0, 0, &mine));
    BAD(rf_pipe_open(segment, "bad", 0, -1, 0, 0, &mine));
    BAD(rf_pipe_open(segment, "bad", 0, RF_FIRST_END, 7, 0, &mine));
    BAD(rf_pipe_open(segment, "bad", RF_CREATE, RF_FIRST_END, 0, 0, &mine));
    BAD(rf_pipe_open(segment, "bad", 0, RF_FIRST_END, 0, 0, NULL));
    BAD(rf_pipe_duplicate(NULL, &again));
    BAD(rf_pipe_duplicate(reader, NULL));
    BAD(rf_pipe_send(NULL, "x", 1, 0));
    BAD(rf_pipe_send(reader, NULL, 1, 0));
    BAD(rf_pipe_send(reader, "x", SIZE_MAX, 0));
    BAD(rf_pipe_recv(NULL, buffer, 1, &len, 0));
    BAD(rf_pipe_recv(reader, NULL, 1, &len, 0));
    BAD(rf_pipe_recv(reader, buffer, SIZE_MAX, &len, 0));
    BAD(rf_pipe_recv(reader, buffer, 1, NULL, 0));
    BAD(rf_pipe_poll(NULL, 0));
    BAD(rf_pipe_shutdown(NULL));
    OK(rf_pipe_close(NULL));
    OK(rf_pipe_close(reader));
    OK(rf_pipe_close(writer));
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(name));
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    memset(endless, 'x', sizeof endless); /* no NUL anywhere */
    errno = 4711;
    TRUE(rf_last_error()[0] == '\0');
    beside_good_handles(argv[1]);
    TRUE(rf_last_error()[0] != '\0');
    pipes(argv[1]);
    TRUE(errno == 4711);
    for (int status = -200; status < 200; status++) TRUE(rf_status_str(status)[0] != '\0');
    TRUE(strcmp(rf_status_str(INT_MIN), "unknown status") == 0);
    TRUE(strcmp(rf_status_str(INT_MAX), "unknown status") == 0);
    TRUE(strcmp(rf_version(), RF_VERSION) == 0);
    TRUE(strncmp(rf_version_soname(), "libringfence.so.", 16) == 0);
    TRUE(rf_version_layout() >= 1);
    TRUE(rf_last_errno() == 0);
    puts("bad: ok");
    return 0;
}
