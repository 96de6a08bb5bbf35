/* A worker in C: joins the pool by its name, and does what count.rs does, until the pool is closed.
 *
 * Written from the header alone. The word rule is that of text.rs, the packed counts and their parts are those of count.rs;
 * arguments and results are MessagePack, of which only what is needed is here. Started as: c_worker NAME-OF-THE-POOL
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ringfence.h"

enum { PARTS = 16 };

struct bytes {
    unsigned char *at;
    size_t len, room;
};

/* What is still to be read; nothing, once something else was found than was looked for. */
struct rest {
    const unsigned char *at;
    size_t len;
    int bad;
};

struct entry {
    uint64_t hash, times;
    unsigned char *word; /* NULL: no entry */
    size_t len;
};

struct table {
    struct entry *entries;
    size_t room, used; /* room is a power of two */
};

/* Where all workers meet for the start. */
struct meeting {
    rf_value *here;
    rf_event *start;
    int came;
};

/* Ends the worker: the pool gives its task to another. */
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

/* ---- MessagePack, and packed counts ---- */

/* The next `len` bytes, or NULL. */
static const unsigned char *skip(struct rest *r, uint64_t len)
{
    const unsigned char *at = r->at;
    if (r->bad || len > r->len) {
        r->bad = 1;
        r->len = 0;
        return NULL;
    }
    r->at += len;
    r->len -= (size_t)len;
    return at;
}

static unsigned char next(struct rest *r)
{
    const unsigned char *at = skip(r, 1);
    return at == NULL ? 0 : *at;
}

/* A number or length of so many bytes, the most significant one first. */
static uint64_t big_endian(struct rest *r, unsigned width)
{
    uint64_t value = 0;
    while (width-- > 0)
        value = value << 8 | next(r);
    return value;
}

static uint64_t read_number(struct rest *r)
{
    unsigned char marker = next(r);
    if (marker < 0x80)
        return marker;
    if (marker >= 0xcc && marker <= 0xcf)
        return big_endian(r, 1u << (marker - 0xcc));
    r->bad = 1;
    return 0;
}

static uint64_t read_array(struct rest *r)
{
    unsigned char marker = next(r);
    if ((marker & 0xf0) == 0x90)
        return marker & 0x0f;
    if (marker == 0xdc || marker == 0xdd)
        return big_endian(r, 2u << (marker - 0xdc));
    r->bad = 1;
    return 0;
}

static struct rest read_bytes(struct rest *r)
{
    unsigned char marker = next(r);
    struct rest inside = {NULL, 0, 0};
    if (marker < 0xc4 || marker > 0xc6) {
        r->bad = 1;
        return inside;
    }
    uint64_t len = big_endian(r, 1u << (marker - 0xc4));
    inside.at = skip(r, len);
    inside.len = inside.at == NULL ? 0 : (size_t)len;
    return inside;
}

/* Writes the beginning of a value: a marker, and a length of 4 bytes. */
static void reply_head(rf_reply *reply, unsigned char marker, size_t len)
{
    unsigned char head[5] = {marker, (unsigned char)(len >> 24), (unsigned char)(len >> 16), (unsigned char)(len >> 8),
                             (unsigned char)len};
    need(rf_reply_bytes(reply, head, sizeof head), "reply");
}

/* A pair: the number of a part, and bytes. */
static void reply_part(rf_reply *reply, unsigned part, const struct bytes *packed)
{
    unsigned char head[2] = {0x92, (unsigned char)part};
    need(rf_reply_bytes(reply, head, sizeof head), "reply");
    reply_head(reply, 0xc6, packed->len);
    need(rf_reply_bytes(reply, packed->at, packed->len), "reply");
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

static uint64_t read_varint(struct rest *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned char byte = next(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    r->bad = 1;
    return 0;
}

static void pack(struct bytes *b, const void *word, size_t len, uint64_t times)
{
    append_varint(b, times);
    append_varint(b, len);
    append(b, word, len);
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
    struct table bigger = {NULL, t->room ? 2 * t->room : 1024, t->used};
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

static void count_word(struct table *t, const unsigned char *word, size_t len, uint64_t times)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    struct entry *e;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ word[i]) * 0x100000001b3u;
    if (4 * t->used >= 3 * t->room)
        grow(t);
    e = find(t, hash, word, len);
    if (e->word == NULL) {
        e->hash = hash;
        e->word = memory(NULL, len + 1);
        memcpy(e->word, word, len);
        e->len = len;
        t->used++;
    }
    e->times += times;
}

/* Packs what the table has, each word into its part, or all into the first; and empties it. */
static void deal_out(struct table *t, struct bytes *parts, unsigned number)
{
    for (size_t i = 0; i < t->room; i++) {
        struct entry *e = &t->entries[i];
        unsigned sum = 0;
        if (e->word == NULL)
            continue;
        for (size_t j = 0; j < e->len; j++)
            sum += e->word[j];
        pack(&parts[sum % number], e->word, e->len, e->times);
        free(e->word);
    }
    free(t->entries);
}

/* Counts a range of a file; 0 or errno. */
static int count_range(struct table *t, const char *path, uint64_t from, uint64_t to)
{
    static unsigned char buffer[128 * 1024];
    struct bytes word = {NULL, 0, 0};
    int error = 0, fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    while (from < to) {
        size_t room = to - from < sizeof buffer ? (size_t)(to - from) : sizeof buffer;
        ssize_t n = pread(fd, buffer, room, (off_t)from);
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
            } else if (word.len > 0) {
                count_word(t, word.at, word.len, 1);
                word.len = 0;
            }
        }
        from += (uint64_t)n;
    }
    if (word.len > 0)
        count_word(t, word.at, word.len, 1);
    free(word.at);
    close(fd);
    return error;
}

/* ---- the two functions ---- */

/* [[path, from, to, file, ambush]] -> [[part, counts], ..] */
static void count(void *context, const void *argument, size_t len, rf_reply *reply)
{
    struct meeting *meeting = context;
    struct rest r = {argument, len, 0};
    struct table table = {NULL, 0, 0};
    struct bytes parts[PARTS + 1] = {{NULL, 0, 0}}, path = {NULL, 0, 0};
    char counter[64];

    if (read_array(&r) != 1 || read_array(&r) != 5)
        r.bad = 1;
    struct rest name = read_bytes(&r);
    uint64_t from = read_number(&r), to = read_number(&r), file = read_number(&r);
    next(&r); /* the ambush is for workers that the pool replaces */
    if (r.bad || r.len != 0) {
        rf_reply_fail(reply, "no arguments of a count");
        return;
    }
    append(&path, name.at, name.len);
    append(&path, "", 1);
    if (!meeting->came) {
        /* Wait, with the first task in hand, until every worker has one. Not for ever, should somebody not come. */
        meeting->came = 1;
        need(rf_value_fetch_add(meeting->here, 1, NULL), "here");
        rf_event_wait(meeting->start, 10000000000);
    }
    int error = count_range(&table, (const char *)path.at, from, to);
    deal_out(&table, parts, PARTS);
    pack(&parts[PARTS], "tasks C", 7, 1);
    pack(&parts[PARTS], "bytes C", 7, to - from);
    if (error != 0) {
        snprintf(counter, sizeof counter, "unread %llu %d", (unsigned long long)file, error);
        pack(&parts[PARTS], counter, strlen(counter), 1);
    }
    reply_head(reply, 0xdd, PARTS + 1);
    for (unsigned part = 0; part <= PARTS; part++) {
        reply_part(reply, part, &parts[part]);
        free(parts[part].at);
    }
    free(path.at);
}

/* [part, [counts, ..]] -> [part, counts], or nil if they are none; in any order */
static void sum(void *context, const void *argument, size_t len, rf_reply *reply)
{
    struct rest r = {argument, len, 0};
    struct table table = {NULL, 0, 0};
    struct bytes packed = {NULL, 0, 0};

    (void)context;
    if (read_array(&r) != 2)
        r.bad = 1;
    uint64_t part = read_number(&r);
    for (uint64_t left = read_array(&r); left > 0 && !r.bad; left--) {
        struct rest counts = read_bytes(&r);
        while (counts.len > 0) {
            uint64_t times = read_varint(&counts), word_len = read_varint(&counts);
            const unsigned char *word = skip(&counts, word_len);
            if (!counts.bad)
                count_word(&table, word, (size_t)word_len, times);
        }
        r.bad |= counts.bad;
    }
    deal_out(&table, &packed, 1);
    if (r.bad || r.len != 0 || part > PARTS)
        need(rf_reply_bytes(reply, "\xc0", 1), "reply");
    else
        reply_part(reply, (unsigned)part, &packed);
    free(packed.at);
}

int main(int argc, char **argv)
{
    rf_segment *segment;
    rf_worker *worker;
    struct meeting meeting = {NULL, NULL, 0};

    if (argc != 2)
        fail("usage", "c_worker NAME-OF-THE-POOL");
    need(rf_segment_open(argv[1], 0, 0, NULL, &segment), "segment");
    need(rf_value_open(segment, "here", 0, RF_U64, 8, 8, NULL, NULL, &meeting.here), "here");
    need(rf_event_open(segment, "start", 0, RF_MANUAL_RESET, &meeting.start), "start");
    need(rf_worker_open(argv[1], 0, &worker), "worker");
    need(rf_worker_register(worker, "wordcount.count", count, &meeting), "count");
    need(rf_worker_register(worker, "wordcount.sum", sum, NULL), "sum");
    int served = rf_worker_serve(worker, 0, RF_FOREVER);
    need(served == RF_E_ALONE ? RF_OK : served, "serve"); /* without its parent it just ends */
    rf_worker_close(worker);
    rf_event_close(meeting.start);
    rf_value_close(meeting.here);
    need(rf_segment_close(segment), "leave");
    return 0;
}
