/* A worker of a pool that a Rust program has made: it does five tasks, until the pool is closed. See examples/pool_languages.rs.
 *
 *     cc -std=c11 worker.c -lringfence -o worker && ./worker NAME-OF-THE-POOL
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <ringfence.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The text in capitals. */
static void shout(void *context, const void *argument, size_t len, rf_reply *reply) {
    (void)context;
    const unsigned char *text = argument;
    for (size_t i = 0; i < len; i++) {
        unsigned char capital = (unsigned char)toupper(text[i]);
        rf_reply_bytes(reply, &capital, 1);
    }
}

/* The sum of all bytes, as a little-endian number: the argument is read where it lies, however long it is. */
static void sum(void *context, const void *argument, size_t len, rf_reply *reply) {
    (void)context;
    const unsigned char *bytes = argument;
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++) sum += bytes[i];
    rf_reply_bytes(reply, &sum, sizeof sum);
}

/* Takes a moment, so that other workers get some, too. */
static void language(void *context, const void *argument, size_t len, rf_reply *reply) {
    (void)argument, (void)len;
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    rf_reply_bytes(reply, context, strlen(context));
}

static void refuse(void *context, const void *argument, size_t len, rf_reply *reply) {
    (void)context, (void)argument, (void)len;
    rf_reply_fail(reply, "I would rather not");
}

/* A call of a typed function, `square(u16) -> u32`: the argument is the MessagePack of its arguments, an array of one number, and the
 * reply that of a number, big-endian. */
static void square(void *context, const void *argument, size_t len, rf_reply *reply) {
    (void)context;
    const unsigned char *code = argument;
    uint32_t x;
    if (len == 2 && code[0] == 0x91 && code[1] < 0x80) x = code[1]; /* a number of 7 bits is its own code */
    else if (len == 3 && code[0] == 0x91 && code[1] == 0xcc) x = code[2];
    else if (len == 4 && code[0] == 0x91 && code[1] == 0xcd) x = (uint32_t)code[2] << 8 | code[3];
    else {
        rf_reply_fail(reply, "square takes a number of 16 bits");
        return;
    }
    x *= x;
    unsigned char result[] = {0xce, x >> 24 & 0xff, x >> 16 & 0xff, x >> 8 & 0xff, x & 0xff};
    rf_reply_bytes(reply, result, sizeof result);
}

int main(int argc, char **argv) {
    rf_worker *worker;
    if (argc != 2) return fprintf(stderr, "usage: worker NAME\n"), 2;
    if (rf_worker_open(argv[1], 0, &worker) < 0
        || rf_worker_register(worker, "shout", shout, NULL) < 0
        || rf_worker_register(worker, "sum", sum, NULL) < 0
        || rf_worker_register(worker, "language", language, "C") < 0
        || rf_worker_register(worker, "refuse", refuse, NULL) < 0
        || rf_worker_register(worker, "square", square, NULL) < 0
        || rf_worker_serve(worker, 0, RF_FOREVER) < 0)
        return fprintf(stderr, "worker: %s\n", rf_last_error()), 1;
    rf_worker_close(worker);
    return 0;
}
