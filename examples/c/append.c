/* Two processes append blocks of lines to one file, each block under a lock; no block is mixed with another. */
#include "crew.h"
#include <string.h>

enum { BLOCKS = 100, LINES = 5 };
static rf_mutex *lock;
static char path[] = "/tmp/ringfence-append-XXXXXX";

static void work(int number) {
    FILE *file = fopen(path, "a");
    if (!file) exit(1);
    for (int block = 0; block < BLOCKS; block++) {
        ok(rf_mutex_lock(lock, RF_FOREVER));
        for (int line = 0; line < LINES; line++) {
            fprintf(file, "worker %d, block %d\n", number, block);
            fflush(file);
        }
        ok(rf_mutex_unlock(lock));
    }
    fclose(file);
}

int main(void) {
    rf_segment *segment;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_mutex_open(segment, "lock", RF_CREATE, &lock));
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    run(work, 2);
    FILE *file = fopen(path, "r");
    unlink(path);
    char line[64], first[64] = "";
    int lines = 0, same = 0, whole = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (lines++ % LINES == 0) strcpy(first, line), same = 0;
        same += strcmp(line, first) == 0;
        whole += lines % LINES == 0 && same == LINES;
    }
    printf("%d lines, %d of %d blocks whole\n", lines, whole, 2 * BLOCKS);
    if (file) fclose(file);
    rf_mutex_close(lock);
    rf_segment_close(segment);
    return 0;
}
