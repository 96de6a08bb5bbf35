/* A worker in C: joins by name, takes tasks, counts, sends the counts, until there are no more tasks.
 *
 * The same as worker.rs, written from the header alone. The word rule is that of text.rs, the messages are those of
 * wire.rs, the shared objects those of shared.rs. Started as: c_worker SEGMENT NUMBER PART_BYTES TWICE
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ringfence.h"

struct task {
    uint64_t id, from, to;
    uint32_t ambush, path_len;
    char path[4096];
};

struct head {
    uint64_t task, words;
    uint32_t worker, part, last, error; /* last: in the last part, how often the task was delivered; else 0 */
};

struct bytes {
    unsigned char *at;
    size_t len, room;
};

struct entry {
    uint64_t hash, times;
    unsigned char *word; /* NULL: no entry */
    size_t len;
};

struct table {
    struct entry *entries;
    size_t room, used; /* room is a power of two */
    uint64_t words;
};

/* Ends the worker: the queue gives its task to another. */
static void fail(const char *what, const char *why)
{
    fprintf(stderr, "wordcount: C worker: %s: %s\n", what, why);
    exit(2);
}

static void need(int status, const char *what)
{
    if (status < 0)
        fail(what, rf_last_error());
}

static void *memory(void *old, size_t size)
{
    void *new = realloc(old, size);
    if (new == NULL)
        fail("memory", "there is none left");
    return new;
}

static void append(struct bytes *b, const void *from, size_t len)
{
    if (len > b->room - b->len) {
        b->room = 2 * b->room + len;
        b->at = memory(b->at, b->room);
    }
    if (len > 0)
        memcpy(b->at + b->len, from, len);
    b->len += len;
}

static void append_varint(struct bytes *b, uint64_t value)
{
    unsigned char byte;
    for (; value >= 0x80; value >>= 7) {
        byte = (unsigned char)(value | 0x80);
        append(b, &byte, 1);
    }
    byte = (unsigned char)value;
    append(b, &byte, 1);
}

/* ---- counting ---- */

static struct entry *find(struct table *t, uint64_t hash, const unsigned char *word, size_t len)
{
    size_t i = (size_t)hash & (t->room - 1);
    for (;; i = (i + 1) & (t->room - 1)) {
        struct entry *e = &t->entries[i];
        if (e->word == NULL || (e->hash == hash && e->len == len && memcmp(e->word, word, len) == 0))
            return e;
    }
}

static void grow(struct table *t)
{
    struct table bigger = {NULL, t->room ? 2 * t->room : 1024, t->used, t->words};
    bigger.entries = memory(NULL, bigger.room * sizeof *bigger.entries);
    memset(bigger.entries, 0, bigger.room * sizeof *bigger.entries);
    for (size_t i = 0; i < t->room; i++) {
        struct entry *e = &t->entries[i];
        if (e->word != NULL)
            *find(&bigger, e->hash, e->word, e->len) = *e;
    }
    free(t->entries);
    *t = bigger;
}

static void count_word(struct table *t, const struct bytes *word)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    struct entry *e;
    if (word->len == 0)
        return;
    for (size_t i = 0; i < word->len; i++)
        hash = (hash ^ word->at[i]) * 0x100000001b3u;
    if (4 * t->used >= 3 * t->room)
        grow(t);
    e = find(t, hash, word->at, word->len);
    if (e->word == NULL) {
        e->hash = hash;
        e->word = memory(NULL, word->len);
        memcpy(e->word, word->at, word->len);
        e->len = word->len;
        t->used++;
    }
    e->times++;
    t->words++;
}

/* Counts the task's range; 0 or errno. */
static int count_range(struct table *t, const struct task *task)
{
    static unsigned char buffer[128 * 1024];
    static struct bytes word;
    uint64_t at = task->from;
    int error = 0, fd;

    fd = open(task->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    word.len = 0;
    while (at < task->to) {
        size_t room = task->to - at < sizeof buffer ? (size_t)(task->to - at) : sizeof buffer;
        ssize_t n = pread(fd, buffer, room, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            error = errno;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++) {
            unsigned char c = buffer[i];
            if (c >= 'A' && c <= 'Z')
                c += 'a' - 'A';
            if (c >= 0x80 || (c >= 'a' && c <= 'z')) {
                append(&word, &c, 1);
            } else {
                count_word(t, &word);
                word.len = 0;
            }
        }
        at += (uint64_t)n;
    }
    count_word(t, &word);
    close(fd);
    return error;
}

/* ---- sending ---- */

/* Writes the table as a stream, and empties it. */
static void encode(struct table *t, struct bytes *stream)
{
    stream->len = 0;
    for (size_t i = 0; i < t->room; i++) {
        struct entry *e = &t->entries[i];
        if (e->word == NULL)
            continue;
        append_varint(stream, e->times);
        append_varint(stream, e->len);
        append(stream, e->word, e->len);
        free(e->word);
    }
    free(t->entries);
    memset(t, 0, sizeof *t);
}

/* Sends the stream in as many messages as it takes; 0 when nobody wants it any more. */
static int send_stream(rf_channel *counts, struct head head, const struct bytes *stream, size_t part_bytes)
{
    static struct bytes message;
    size_t room = part_bytes - sizeof head, at = 0;
    uint32_t deliveries = head.last;
    do {
        size_t len = stream->len - at < room ? stream->len - at : room;
        int status;
        head.last = at + len == stream->len ? deliveries : 0;
        message.len = 0;
        append(&message, &head, sizeof head);
        append(&message, stream->at + at, len);
        status = rf_channel_send(counts, message.at, message.len, RF_FOREVER);
        if (status == RF_E_CLOSED)
            return 0;
        need(status, "send");
        head.part++;
        at += len;
    } while (at < stream->len);
    return 1;
}

/* Takes a task that is for us; the status of the take. One that a worker in Rust is to be killed at is given back, for one
 * of those to take, until that has happened. */
static int take(rf_work_queue *tasks, rf_once_value *victim, rf_lease *lease, struct task *task)
{
    for (;;) {
        const struct timespec pause = {0, 1000000};
        uint64_t number;
        rf_lease other;
        size_t len;
        int status = rf_work_queue_take(tasks, lease, RF_FOREVER);
        if (status != RF_OK)
            return status;
        need(rf_work_queue_read(tasks, lease, task, sizeof *task, &len), "read");
        if (!task->ambush || rf_once_value_get(victim, &number) == RF_OK)
            break;
        /* What comes back goes first: take the next one before, if there is one. */
        status = rf_work_queue_take(tasks, &other, 0);
        need(rf_work_queue_fail(tasks, lease), "hand on");
        if (status == RF_OK) {
            *lease = other;
            need(rf_work_queue_read(tasks, lease, task, sizeof *task, &len), "read");
            break;
        }
        nanosleep(&pause, NULL);
    }
    task->path[sizeof task->path - 1] = '\0';
    if (task->path_len < sizeof task->path)
        task->path[task->path_len] = '\0';
    return RF_OK;
}

int main(int argc, char **argv)
{
    rf_segment *segment;
    rf_work_queue *tasks;
    rf_once_value *victim;
    rf_queue *gate;
    rf_lease lease;
    rf_channel *counts;
    rf_array *held;
    rf_value *progress;
    struct task task;
    struct table table = {NULL, 0, 0, 0};
    struct bytes stream = {NULL, 0, 0};
    uint64_t number, nothing = 0, ignored;
    size_t part_bytes;
    int twice, status, started = 0, wanted = 1;

    if (argc != 5)
        fail("usage", "c_worker SEGMENT NUMBER PART_BYTES TWICE");
    number = strtoull(argv[2], NULL, 10);
    part_bytes = strtoull(argv[3], NULL, 10);
    twice = strcmp(argv[4], "1") == 0;
    if (part_bytes <= sizeof(struct head))
        fail("usage", "PART_BYTES leaves no room");

    need(rf_segment_open(argv[1], 0, 0, NULL, &segment), "segment");
    need(rf_work_queue_open(segment, "tasks", 0, 0, 0, 0, &tasks), "tasks");
    need(rf_queue_open(segment, "gate", 0, sizeof ignored, _Alignof(uint64_t), NULL, 0, &gate), "gate");
    need(rf_channel_open(segment, "counts", 0, 0, &counts), "counts");
    need(rf_array_open(segment, "held", 0, RF_U64, 8, 8, NULL, 0, &held), "held");
    need(rf_once_value_open(segment, "victim", 0, RF_U64, 8, 8, NULL, &victim), "victim");
    need(rf_value_open(segment, "progress", 0, RF_U64, 8, 8, NULL, NULL, &progress), "progress");

    while ((status = take(tasks, victim, &lease, &task)) == RF_OK) {
        struct head head = {task.id, 0, (uint32_t)number, 0, lease.deliveries, 0};
        uint64_t holding = task.id + 1;
        need(rf_array_set(held, number, &holding), "held");
        if (!started) {
            /* Wait, with the first task in hand, until every worker has one. */
            status = rf_queue_pop(gate, &ignored, RF_FOREVER);
            if (status != RF_OK && status != RF_E_CLOSED)
                fail("gate", rf_last_error());
            started = 1;
        }
        head.error = (uint32_t)count_range(&table, &task);
        head.words = table.words;
        encode(&table, &stream);
        for (int i = 0; i <= twice && wanted; i++)
            wanted = send_stream(counts, head, &stream, part_bytes);
        if (!wanted) {
            status = RF_E_CLOSED;
            break;
        }
        /* Only now: the result is in the channel, whole. Killed before, the queue gives the task to another. */
        need(rf_work_queue_done(tasks, &lease), "done");
        need(rf_value_fetch_add(progress, (int64_t)(task.to - task.from), NULL), "progress");
        need(rf_array_set(held, number, &nothing), "held");
    }
    if (status != RF_E_CLOSED)
        fail("tasks", rf_last_error());
    free(stream.at);
    rf_value_close(progress);
    rf_array_close(held);
    rf_channel_close(counts);
    rf_queue_close(gate);
    rf_once_value_close(victim);
    rf_work_queue_close(tasks);
    need(rf_segment_close(segment), "leave");
    return 0;
}
