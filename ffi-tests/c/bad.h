/* What the programs with bad arguments share. */
#include "check.h"
#include <errno.h>
#include <limits.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BAD(call) EXPECT(call, RF_E_INVALID)

static inline int never(void *unused) {
    (void)unused;
    return 0;
}

/* Neither is ever called. */
static inline int64_t fill(void *context, void *first, size_t first_len, void *rest, size_t rest_len) {
    (void)context, (void)first, (void)first_len, (void)rest, (void)rest_len;
    exit(2);
}

static inline void look(void *context, const void *first, size_t first_len, const void *rest, size_t rest_len) {
    (void)context, (void)first, (void)first_len, (void)rest, (void)rest_len;
    exit(2);
}
