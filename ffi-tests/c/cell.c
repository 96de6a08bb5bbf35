/* Values and arrays: arithmetic in one step, locks that survive, types that are told apart.
 * semantics 3, 8, 42, 43, 78 and 89 */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct point {
    double x, y, z;
} point;

static void values(rf_segment *segment) {
    rf_value *total, *where, *other;
    uint8_t start = 250, now;
    int64_t previous = 0;
    int32_t pid = -1;
    point p = {1, 2, 3}, q;

    EXPECT(rf_value_open(segment, "total", 0, RF_U8, 0, 0, NULL, NULL, &total), RF_E_MISSING);
    OK(rf_value_open(segment, "total", RF_CREATE, RF_U8, 0, 0, NULL, &start, &total));
    EXPECT(rf_value_open(segment, "total", 0, RF_I8, 0, 0, NULL, NULL, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_value_open(segment, "total", RF_CREATE | RF_EXCL, RF_U8, 1, 1, NULL, NULL, &other), RF_E_EXISTS);
    OK(rf_value_fetch_add(total, 10, &previous));
    OK(rf_value_get(total, &now));
    TRUE(previous == 250 && now == 4);
    OK(rf_value_fetch_sub(total, 5, NULL));
    OK(rf_value_swap(total, 0x0f, &previous));
    TRUE(previous == 255);
    OK(rf_value_fetch_and(total, 0x3c, NULL));
    OK(rf_value_fetch_or(total, 0x01, NULL));
    OK(rf_value_fetch_xor(total, 0xff, NULL));
    OK(rf_value_get(total, &now));
    TRUE(now == (uint8_t)~0x0d);
    OK(rf_value_compare_exchange(total, now, 1, &previous));
    EXPECT(rf_value_compare_exchange(total, now, 2, &previous), RF_DIFFERENT);
    TRUE(previous == 1);

    OK(rf_value_open(segment, "where", RF_CREATE, RF_STRUCT, sizeof p, _Alignof(point), "point", &p, &where));
    EXPECT(rf_value_open(segment, "where", 0, RF_STRUCT, sizeof p, 8, NULL, NULL, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_value_fetch_add(where, 1, NULL), RF_E_NOT_SUPPORTED);
    OK(rf_value_get(where, &q));
    TRUE(q.x == 1 && q.y == 2 && q.z == 3);

    EXPECT(rf_value_unlock(where), RF_E_NOT_OWNER);
    OK(rf_value_holder(where, &pid));
    TRUE(pid == 0);
    OK(rf_value_lock(where, RF_FOREVER));
    OK(rf_value_holder(where, &pid));
    TRUE(pid == getpid());
    OK(rf_value_lock(where, 0));
    q.x = 4;
    OK(rf_value_set(where, &q));
    OK(rf_value_unlock(where));
    OK(rf_value_unlock(where));
    EXPECT(rf_value_unlock(where), RF_E_NOT_OWNER);
    pid_t child = fork();
    if (child == 0) {
        if (rf_value_lock(where, RF_FOREVER) == RF_OK && rf_value_set(where, &p) == RF_OK) raise(SIGKILL);
        _exit(1);
    }
    int status;
    TRUE(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    EXPECT(rf_value_lock(where, RF_FOREVER), RF_OWNER_DIED);
    OK(rf_value_get(where, &q));
    TRUE(q.x == 1);
    OK(rf_value_unlock(where));
    OK(rf_value_lock(where, 0));
    OK(rf_value_unlock(where));
    OK(rf_value_close(where));
    OK(rf_value_close(total));
}

static void arrays(rf_segment *segment) {
    rf_array *row, *other;
    size_t len;
    int32_t got[10], some[3] = {-1, -2, -3}, one = 7, pid = -1;
    int64_t previous = 0;
    void *elements;

    EXPECT(rf_array_open(segment, "row", RF_CREATE, RF_I32, 8, 0, NULL, 10, &row), RF_E_INVALID);
    EXPECT(rf_array_open(segment, "row", RF_CREATE, RF_I32, 0, 0, NULL, 0, &row), RF_E_INVALID);
    OK(rf_array_open(segment, "row", RF_CREATE, RF_I32, 0, 0, NULL, 10, &row));
    EXPECT(rf_array_open(segment, "row", 0, RF_U32, 0, 0, NULL, 0, &other), RF_E_WRONG_SHAPE);
    EXPECT(rf_array_open(segment, "row", 0, RF_I32, 0, 0, NULL, 11, &other), RF_E_WRONG_SHAPE);
    OK(rf_array_open(segment, "row", 0, RF_I32, 0, 0, NULL, 0, &other));
    OK(rf_array_len(other, &len));
    TRUE(len == 10);
    OK(rf_array_read(row, 0, 10, got));
    TRUE(got[0] == 0 && got[9] == 0);
    OK(rf_array_write(row, 7, 3, some));
    EXPECT(rf_array_write(row, 8, 3, some), RF_E_INVALID);
    EXPECT(rf_array_read(row, SIZE_MAX, 2, got), RF_E_INVALID);
    OK(rf_array_read(row, 10, 0, NULL));
    OK(rf_array_set(row, 0, &one));
    EXPECT(rf_array_set(row, 10, &one), RF_E_INVALID);
    OK(rf_array_get(other, 9, &one));
    TRUE(one == -3);
    OK(rf_array_pointer(row, &elements));
    TRUE(((int32_t *)elements)[0] == 7 && ((int32_t *)elements)[9] == -3);
    OK(rf_array_fill(row, &one));
    OK(rf_array_read(other, 0, 10, got));
    TRUE(got[0] == -3 && got[5] == -3);
    OK(rf_array_fetch_add(row, 9, INT32_MIN, &previous));
    TRUE(previous == -3);
    OK(rf_array_fetch_add(row, 9, 0, &previous));
    TRUE(previous == INT32_MAX - 2); /* wrapped */
    EXPECT(rf_array_compare_exchange(row, 9, -3, 1, &previous), RF_DIFFERENT);
    TRUE(previous == INT32_MAX - 2);
    OK(rf_array_compare_exchange(row, 9, INT32_MAX - 2, -1, NULL));
    previous = 5;
    EXPECT(rf_array_fetch_add(row, 10, 1, &previous), RF_E_INVALID);
    EXPECT(rf_array_compare_exchange(row, SIZE_MAX, -3, 1, &previous), RF_E_INVALID);
    TRUE(previous == 5);
    OK(rf_array_read(other, 0, 10, got));
    TRUE(got[8] == -3 && got[9] == -1);
    OK(rf_array_holder(row, &pid));
    TRUE(pid == 0);
    OK(rf_array_lock(row, RF_FOREVER));
    OK(rf_array_holder(other, &pid));
    TRUE(pid == getpid());
    OK(rf_array_lock(row, 0));
    uint32_t *further = (uint32_t *)elements - 30; /* levels beyond the first, as docs/layout.md has them */
    TRUE(*further == 1);
    *further = UINT32_MAX;
    EXPECT(rf_array_lock(row, 0), RF_E_MAXIMUM_REACHED);
    TRUE(*further == UINT32_MAX);
    *further = 1;
    OK(rf_array_unlock(row));
    OK(rf_array_unlock(row));
    EXPECT(rf_array_unlock(row), RF_E_NOT_OWNER);
    OK(rf_array_close(row));
    OK(rf_array_close(other));
}

/* Each type but RF_STRUCT, alone and in a row: what is set is got, under its own name only. */
static const struct scalar {
    int type, integer;
    size_t size;
    const void *sample;
} scalars[] = {
    {RF_I8, 1, 1, &(int8_t){-100}},        {RF_I16, 1, 2, &(int16_t){-30000}},
    {RF_I32, 1, 4, &(int32_t){-2000000000}}, {RF_I64, 1, 8, &(int64_t){INT64_MIN + 7}},
    {RF_U8, 1, 1, &(uint8_t){200}},        {RF_U16, 1, 2, &(uint16_t){60000}},
    {RF_U32, 1, 4, &(uint32_t){4000000000}}, {RF_U64, 1, 8, &(uint64_t){UINT64_MAX - 7}},
    {RF_F32, 0, 4, &(float){-1.5f}},       {RF_F64, 0, 8, &(double){1e300}},
    {RF_BOOL, 0, 1, &(bool){true}},        {RF_CHAR, 0, 1, &(char){'x'}},
};
enum { SCALARS = sizeof scalars / sizeof *scalars };

static void types(rf_segment *segment) {
    for (size_t i = 0; i < SCALARS; i++) {
        const struct scalar *s = &scalars[i];
        const int arithmetic = s->integer ? RF_OK : RF_E_NOT_SUPPORTED;
        char name[16], got[8], row[5 * 8];
        int64_t previous = 99;
        rf_value *value, *no_value;
        rf_array *array, *no_array;
        snprintf(name, sizeof name, "value %d", s->type);
        OK(rf_value_open(segment, name, RF_CREATE, s->type, s->size, s->size, NULL, s->sample, &value));
        OK(rf_value_get(value, got));
        TRUE(memcmp(got, s->sample, s->size) == 0);
        OK(rf_value_set(value, &(uint64_t){0}));
        OK(rf_value_get(value, got));
        TRUE(memcmp(got, &(uint64_t){0}, s->size) == 0);
        OK(rf_value_set(value, s->sample));
        for (int type = RF_STRUCT; type <= RF_CHAR; type++) {
            if (type == s->type) continue;
            size_t size = type == RF_STRUCT ? s->size : 0;
            EXPECT(rf_value_open(segment, name, 0, type, size, size, NULL, NULL, &no_value), RF_E_WRONG_SHAPE);
        }
        EXPECT(rf_value_fetch_add(value, 0, &previous), arithmetic);
        EXPECT(rf_value_fetch_sub(value, 0, NULL), arithmetic);
        EXPECT(rf_value_fetch_and(value, -1, NULL), arithmetic);
        EXPECT(rf_value_fetch_or(value, 0, NULL), arithmetic);
        EXPECT(rf_value_fetch_xor(value, 0, NULL), arithmetic);
        TRUE(s->integer || previous == 99);
        EXPECT(rf_value_swap(value, previous, NULL), arithmetic);
        EXPECT(rf_value_compare_exchange(value, previous, previous, NULL), arithmetic);
        OK(rf_value_get(value, got));
        TRUE(memcmp(got, s->sample, s->size) == 0);
        OK(rf_value_close(value));

        snprintf(name, sizeof name, "array %d", s->type);
        OK(rf_array_open(segment, name, RF_CREATE, s->type, 0, 0, NULL, 5, &array));
        OK(rf_array_set(array, 3, s->sample));
        OK(rf_array_get(array, 3, got));
        TRUE(memcmp(got, s->sample, s->size) == 0);
        OK(rf_array_read(array, 0, 5, row));
        OK(rf_array_write(array, 1, 2, row + 2 * s->size)); /* to 1 and 2 what was in 2 and 3 */
        OK(rf_array_get(array, 2, got));
        TRUE(memcmp(got, s->sample, s->size) == 0);
        OK(rf_array_get(array, 1, got));
        TRUE(memcmp(got, &(uint64_t){0}, s->size) == 0);
        OK(rf_array_fill(array, s->sample));
        OK(rf_array_get(array, 4, got));
        TRUE(memcmp(got, s->sample, s->size) == 0);
        for (int type = RF_STRUCT; type <= RF_CHAR; type++) {
            if (type == s->type) continue;
            size_t size = type == RF_STRUCT ? s->size : 0;
            EXPECT(rf_array_open(segment, name, 0, type, size, size, NULL, 0, &no_array), RF_E_WRONG_SHAPE);
        }
        previous = 99;
        EXPECT(rf_array_fetch_add(array, 4, 0, &previous), arithmetic);
        EXPECT(rf_array_compare_exchange(array, 4, previous, previous, NULL), arithmetic);
        OK(rf_array_get(array, 4, got));
        TRUE(memcmp(got, s->sample, s->size) == 0);
        OK(rf_array_close(array));
    }
}

/* A C bool out-parameter gets 0 or 1, whatever the caller or a faulty peer wrote. */
static void bools(rf_segment *segment) {
    rf_value *flag;
    rf_array *flags;
    void *elements;
    unsigned char many[200], got[200], two = 2;
    OK(rf_value_open(segment, "flag", RF_CREATE, RF_BOOL, 0, 0, NULL, &two, &flag));
    OK(rf_value_get(flag, got));
    TRUE(got[0] == 1);
    two = 0;
    OK(rf_value_set(flag, &two));
    OK(rf_value_get(flag, got));
    TRUE(got[0] == 0);
    two = 0x80;
    OK(rf_value_set(flag, &two));
    OK(rf_value_get(flag, got));
    TRUE(got[0] == 1);
    OK(rf_value_close(flag));

    OK(rf_array_open(segment, "flags", RF_CREATE, RF_BOOL, 0, 0, NULL, sizeof many, &flags));
    OK(rf_array_pointer(flags, &elements));
    unsigned char *memory = elements;
    for (size_t i = 0; i < sizeof many; i++) many[i] = (unsigned char)(i % 3);
    OK(rf_array_write(flags, 0, sizeof many, many));
    for (size_t i = 0; i < sizeof many; i++) TRUE(many[i] == i % 3 && memory[i] == (i % 3 != 0));
    OK(rf_array_fill(flags, &two));
    TRUE(memory[0] == 1 && memory[sizeof many - 1] == 1);
    two = 2;
    OK(rf_array_set(flags, 199, &two));
    TRUE(memory[199] == 1);
    memory[7] = 7;
    memory[8] = 0;
    OK(rf_array_get(flags, 7, got));
    TRUE(got[0] == 1);
    OK(rf_array_read(flags, 0, sizeof got, got));
    for (size_t i = 0; i < sizeof got; i++) TRUE(got[i] == (i != 8));
    OK(rf_array_close(flags));
}

/* The directory says what objects are made of; a program with a shorter struct gets the first fields. */
static void listing(rf_segment *segment) {
    rf_object_info objects[3], first;
    const size_t older = offsetof(rf_object_info, type);
    size_t count;
    OK(rf_segment_objects(segment, sizeof objects[0], 3, objects, &count));
    TRUE(count == 3);
    for (size_t i = 0; i < count; i++) {
        const rf_object_info *info = &objects[i];
        if (strcmp(info->name, "where") == 0)
            TRUE(info->type == RF_STRUCT && info->element_size == sizeof(point)
                 && info->element_align == _Alignof(point) && strcmp(info->tag, "point") == 0);
        else if (strcmp(info->name, "total") == 0)
            TRUE(info->type == RF_U8 && info->element_size == 1 && info->element_align == 1 && !info->tag[0]);
        else
            TRUE(strcmp(info->name, "row") == 0 && info->type == RF_I32 && info->capacity == 10);
    }
    memset(&first, 0x5a, sizeof first);
    OK(rf_segment_objects(segment, older, 1, &first, &count));
    TRUE(count == 3 && memcmp(&first, &objects[0], older) == 0 && first.tag[0] == 0x5a);
}

int main(int argc, char **argv) {
    TRUE(argc == 2);
    rf_segment *segment;
    OK(rf_segment_open(argv[1], RF_CREATE, 1 << 16, NULL, &segment));
    values(segment);
    arrays(segment);
    listing(segment);
    types(segment);
    bools(segment);
    OK(rf_segment_close(segment));
    OK(rf_segment_unlink(argv[1]));
    puts("cell: ok");
    return 0;
}
