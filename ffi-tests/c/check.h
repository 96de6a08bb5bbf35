/* What the test programs share: every call is checked, and a wrong status says where and why. */
#include <ringfence.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void expect_status(int got, int wanted, const char *call, int line) {
    if (got != wanted) {
        fprintf(stderr, "line %d: %s\n  is %d (%s), not %d (%s)\n  %s\n", line, call, got, rf_status_str(got), wanted,
                rf_status_str(wanted), rf_last_error());
        exit(1);
    }
}

static inline void expect_true(int condition, const char *text, int line) {
    if (!condition) {
        fprintf(stderr, "line %d: not true: %s\n", line, text);
        exit(1);
    }
}

#define EXPECT(call, status) expect_status(call, status, #call, __LINE__)
#define OK(call) EXPECT(call, RF_OK)
#define TRUE(condition) expect_true(condition, #condition, __LINE__)

/* Runs `body` in a forked child; how that ended, as waitpid says it. */
static inline int in_child(void (*body)(void)) {
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    int status;
    TRUE(waitpid(child, &status, 0) == child);
    return status;
}
