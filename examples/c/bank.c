/* Four processes change one balance 100,000 times in all, under a lock; it ends where it began. */
#include "crew.h"

enum { WORKERS = 4, CHANGES = 100000 };
static rf_value *balance;
static rf_semaphore *lock;

static void work(int number) {
    int64_t amount = number % 2 == 0 ? 1 : -1, now;
    for (int change = 0; change < CHANGES / WORKERS; change++) {
        ok(rf_semaphore_acquire(lock, 1, RF_FOREVER));
        ok(rf_value_get(balance, &now));
        now += amount;
        ok(rf_value_set(balance, &now));
        ok(rf_semaphore_release(lock, 1));
    }
}

int main(void) {
    rf_segment *segment;
    int64_t start = 200, end;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_value_open(segment, "balance", RF_CREATE, RF_I64, 0, 0, NULL, &start, &balance));
    /* One permit, which belongs to the process that took it: what Python calls a Lock. */
    ok(rf_semaphore_open(segment, "lock", RF_CREATE, RF_OWNED, 1, 1, &lock));
    printf("%lld before\n", (long long)start);
    run(work, WORKERS);
    ok(rf_value_get(balance, &end));
    printf("%lld after %d changes\n", (long long)end, CHANGES);
    rf_semaphore_close(lock);
    rf_value_close(balance);
    rf_segment_close(segment);
    return 0;
}
