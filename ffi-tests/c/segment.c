/* A segment's life: made, found, listed, handed over as a descriptor, adopted, unlinked.
 * semantics 76, 77, 79, 81 and 84 */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    TRUE(argc == 2);
    const char *name = argv[1];
    rf_segment *segment, *again;
    size_t size, count;

    EXPECT(rf_segment_open(name, 0, 0, NULL, &segment), RF_E_MISSING);
    TRUE(strlen(rf_last_error()) > 0);
    EXPECT(rf_segment_open(name, RF_CREATE, 0, NULL, &segment), RF_E_INVALID);
    EXPECT(rf_segment_open(name, RF_CREATE, (size_t)1 << 60, NULL, &segment), RF_E_NO_SPACE);

    rf_segment_options options = {.size_of = sizeof options, .mode = 0640, .participants = 4, .objects = 2};
    OK(rf_segment_open(name, RF_CREATE | RF_EXCL, 100000, &options, &segment));
    EXPECT(rf_segment_open(name, RF_CREATE | RF_EXCL, 100000, NULL, &again), RF_E_EXISTS);
    EXPECT(rf_segment_open(name, RF_CREATE, 100000000, NULL, &again), RF_E_WRONG_SHAPE);
    OK(rf_segment_open(name, 0, 0, NULL, &again));
    TRUE(strcmp(rf_segment_name(segment), name) == 0);
    OK(rf_segment_size(segment, &size));
    TRUE(size >= 100000);

    /* The directory: two objects and no more. */
    rf_mutex *a, *b, *c;
    OK(rf_mutex_open(segment, "a", RF_CREATE, &a));
    OK(rf_mutex_open(again, "b", RF_CREATE, &b));
    EXPECT(rf_mutex_open(segment, "c", RF_CREATE, &c), RF_E_DIRECTORY_FULL);
    rf_object_info objects[2];
    OK(rf_segment_objects(segment, sizeof objects[0], 2, objects, &count));
    TRUE(count == 2 && strcmp(objects[0].kind, "mutex") == 0 && strcmp(objects[1].kind, "mutex") == 0);
    OK(rf_segment_objects(segment, 1, 0, NULL, &count));
    TRUE(count == 2);
    EXPECT(rf_segment_remove(segment, "z"), RF_E_MISSING);
    OK(rf_segment_remove(segment, "b"));
    EXPECT(rf_mutex_open(segment, "b", 0, &c), RF_E_MISSING);
    OK(rf_mutex_close(b));
    OK(rf_mutex_close(a));

    /* Participants: this process, once, however many handles it has. */
    rf_participant_info people[4];
    OK(rf_segment_participants(segment, sizeof people[0], 4, people, &count));
    TRUE(count == 1 && people[0].pid == (int)getpid() && people[0].alive == 1);

    /* Listed, with room for all. */
    OK(rf_segment_list(sizeof(rf_segment_info), 0, NULL, &count));
    TRUE(count >= 1);
    size_t room = count + 100;
    rf_segment_info *infos = calloc(room, sizeof *infos);
    OK(rf_segment_list(sizeof *infos, room, infos, &count));
    int found = 0;
    for (size_t i = 0; i < count && i < room; i++)
        if (strcmp(infos[i].name, name) == 0) found = infos[i].participants == 1 && infos[i].size == size;
    TRUE(found);
    free(infos);

    OK(rf_segment_recover(segment, &count));
    TRUE(count == 0);
    OK(rf_segment_recover(segment, NULL));
    OK(rf_segment_close(again));
    OK(rf_segment_unlink(name));
    EXPECT(rf_segment_unlink(name), RF_E_MISSING);
    OK(rf_segment_close(segment));

    /* By descriptor, across a fork. */
    int fd;
    errno = 77;
    OK(rf_segment_anonymous(4096, NULL, &segment));
    TRUE(rf_segment_name(segment) == NULL);
    OK(rf_segment_fd(segment, &fd));
    EXPECT(rf_segment_from_fd(-1, &again), RF_E_INVALID);
    EXPECT(rf_segment_from_fd(9999, &again), RF_E_INVALID);
    EXPECT(rf_segment_from_fd(1, &again), RF_E_CORRUPTED);
    TRUE(errno == 77);
    pid_t child = fork();
    if (child == 0) {
        OK(rf_segment_from_fd(fd, &again));
        OK(rf_mutex_open(again, "from the child", RF_CREATE, &a));
        OK(rf_mutex_close(a));
        OK(rf_segment_close(again));
        _exit(0);
    }
    int status;
    TRUE(waitpid(child, &status, 0) == child && status == 0);
    OK(rf_mutex_open(segment, "from the child", 0, &a));
    OK(rf_mutex_close(a));
    OK(rf_segment_close(segment));
    close(fd);

    /* Adopted memory. */
    size_t len = 1 << 20;
    char *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TRUE(memory != MAP_FAILED);
    EXPECT(rf_segment_attach_at(memory, len, &segment), RF_E_CORRUPTED);
    EXPECT(rf_segment_format_at(memory + 1, len - 1, NULL, &segment), RF_E_INVALID);
    EXPECT(rf_segment_format_at(memory, 100, NULL, &segment), RF_E_INVALID);
    OK(rf_segment_format_at(memory, len, NULL, &segment));
    OK(rf_segment_attach_at(memory, len, &again));
    EXPECT(rf_segment_fd(segment, &fd), RF_E_NOT_SUPPORTED);
    OK(rf_segment_close(again));
    OK(rf_segment_close(segment));
    munmap(memory, len);

    rf_sweep_report report;
    OK(rf_segment_sweep(&report));
    OK(rf_segment_sweep(NULL));
    puts("segment: ok");
    return 0;
}
