/* Ten workers share a pool of three. An observer prints who is active, from an array of names under its lock; there are
 * never more than three. */
#include "crew.h"
#include <string.h>

enum { WORKERS = 10, POOL = 3 };
typedef char name[16];
static rf_semaphore *pool;
static rf_array *names;
static rf_value *looks;

static void work(int number) {
    name mine = "", nobody = "";
    uint64_t first, now;
    snprintf(mine, sizeof mine, "worker-%d", number);
    /* Killed while it is active, its permit comes back to the pool. */
    ok(rf_semaphore_acquire(pool, 1, RF_FOREVER));
    ok(rf_array_set(names, number, mine));
    /* Active until it was seen: the second look from now on began after the name was there. */
    ok(rf_value_get(looks, &first));
    for (now = first; now < first + 2; usleep(1000)) ok(rf_value_get(looks, &now));
    ok(rf_array_set(names, number, nobody));
    ok(rf_semaphore_release(pool, 1));
}

int main(void) {
    rf_segment *segment;
    uint64_t zero = 0;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_semaphore_open(segment, "pool", RF_CREATE, RF_OWNED, POOL, POOL, &pool));
    ok(rf_array_open(segment, "active", RF_CREATE, RF_STRUCT, sizeof(name), 1, NULL, WORKERS, &names));
    ok(rf_value_open(segment, "looks", RF_CREATE, RF_U64, 0, 0, NULL, &zero, &looks));
    for (int number = 0; number < WORKERS; number++) start(work, number);
    char last[WORKERS * sizeof(name)] = "";
    for (int left = WORKERS, status; left > 0; usleep(1000)) {
        name all[WORKERS];
        char active[sizeof last] = "";
        ok(rf_array_lock(names, RF_FOREVER));
        ok(rf_array_read(names, 0, WORKERS, all));
        ok(rf_array_unlock(names));
        for (int number = 0; number < WORKERS; number++)
            if (all[number][0]) strcat(strcat(active, " "), all[number]);
        if (active[0] && strcmp(active, last) != 0) printf("active:%s\n", active);
        strcpy(last, active);
        ok(rf_value_fetch_add(looks, 1, NULL));
        while (left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
            if (status != 0) return fprintf(stderr, "a worker failed\n"), 1;
            left--;
        }
    }
    rf_value_close(looks);
    rf_array_close(names);
    rf_semaphore_close(pool);
    rf_segment_close(segment);
    return 0;
}
