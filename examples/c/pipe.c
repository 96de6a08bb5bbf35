/* A pipe to a process that sends back what it gets, both ways, and one from a process that is killed, one way. Messages keep
 * their borders, the empty one and one longer than the pipe's ring included; when the last copy of the other end is gone, a
 * reader is at the end of file, and a writer has a broken pipe. */
#include "crew.h"
#include <signal.h>
#include <string.h>

enum { RING = 4096, LONG = 1 << 20 };
static rf_pipe *here, *there; /* a child has both, as with pipe(2), and closes the one that is not its own */
static unsigned char sent[LONG], got[LONG];

static const char *said(int yes) { return yes ? "true" : "false"; }

static void answer(int worker) {
    (void)worker;
    size_t len;
    int status;
    ok(rf_pipe_close(here));
    while ((status = rf_pipe_recv(there, got, sizeof got, &len, RF_FOREVER)) == RF_OK)
        ok(rf_pipe_send(there, got, len, RF_FOREVER));
    if (status != RF_E_END_OF_FILE) ok(status);
    printf("end of file after a close\n");
}

static void write_news(int worker) {
    (void)worker;
    ok(rf_pipe_close(here));
    for (;;) ok(rf_pipe_send(there, "still alive", 11, RF_FOREVER)); /* until it is killed */
}

int main(void) {
    static const size_t lengths[] = {5, 0, LONG};
    rf_segment *segment;
    size_t len;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_pipe_pair(segment, "talk", 0, RING, &here, &there));
    pid_t child = start(answer, 0);
    ok(rf_pipe_close(there));
    printf("something there before we ask: %s\n", said(rf_pipe_poll(here, 0) == RF_OK));
    memset(sent, 7, sizeof sent);
    for (int i = 0; i < 3; i++) {
        ok(rf_pipe_send(here, sent, lengths[i], RF_FOREVER));
        ok(rf_pipe_poll(here, RF_FOREVER)); /* takes nothing */
        ok(rf_pipe_recv(here, got, sizeof got, &len, RF_FOREVER));
        int same = len == lengths[i] && memcmp(got, sent, len) == 0;
        printf("sent %zu bytes, the same came back: %s\n", lengths[i], said(same));
    }
    fflush(stdout);
    ok(rf_pipe_close(here));
    ended_well(child);

    /* The first end of a one-way pipe receives. */
    ok(rf_pipe_pair(segment, "news", 1, RING, &here, &there));
    child = start(write_news, 1);
    ok(rf_pipe_close(there));
    ok(rf_pipe_recv(here, got, sizeof got, &len, RF_FOREVER));
    printf("news: %.*s\n", (int)len, (char *)got);
    kill(child, SIGKILL);
    int status; /* what it sent comes first */
    while ((status = rf_pipe_recv(here, got, sizeof got, &len, RF_FOREVER)) == RF_OK) {}
    printf("end of file after a kill: %s\n", said(status == RF_E_END_OF_FILE));
    waitpid(child, NULL, 0);
    ok(rf_pipe_close(here));

    ok(rf_pipe_pair(segment, "unread", 1, RING, &here, &there));
    ok(rf_pipe_close(here));
    status = rf_pipe_send(there, "anybody?", 8, RF_FOREVER);
    printf("a broken pipe without a reader: %s\n", said(status == RF_E_BROKEN_PIPE));
    ok(rf_pipe_close(there));
    ok(rf_segment_close(segment));
    return 0;
}
