/* Generated from src/ffi by cbindgen. Do not edit: see CONTRIBUTING. */

#ifndef RINGFENCE_H
#define RINGFENCE_H

/* # ringfence: shared-memory IPC that survives kill -9
 *
 * This header is all a C or C++ program needs to know; so does anything that calls C (Python's ctypes, cffi, bindgen):
 * no macro and no inline function is needed to use what is declared here.
 *
 * ## What it is
 *
 * A *segment* is a piece of memory that several processes map. It has a name (`/dev/shm/ringfence.NAME`), or travels as
 * a file descriptor. In it live *objects*, each with a name of its own: mutexes, values, arrays, queues, channels, broadcasts,
 * blackboards. A
 * process opens the segment, opens the objects by name, and works with them; processes written in Rust, C, C++ or
 * Python work on the same objects.
 *
 *     #include <ringfence.h>
 *     #include <stdio.h>
 *
 *     int main(int argc, char **argv) {
 *         const char *name = argc > 1 ? argv[1] : "jobs";
 *         rf_segment *seg; rf_queue *tasks; rf_mutex *guard; uint64_t task;
 *         if (rf_segment_open(name, RF_CREATE, 16 << 20, NULL, &seg) < 0
 *             || rf_queue_open(seg, "tasks", RF_CREATE, sizeof task, _Alignof(uint64_t), NULL, 1024, &tasks) < 0
 *             || rf_mutex_open(seg, "guard", RF_CREATE, &guard) < 0)
 *             return fprintf(stderr, "hello: %s\n", rf_last_error()), 1;
 *         int got = rf_mutex_lock(guard, RF_FOREVER);
 *         if (got == RF_OWNER_DIED) rf_mutex_make_consistent(guard); // killed while it held it: repair first
 *         while (rf_queue_pop(tasks, &task, 0) == RF_OK) // each 42 from Rust; RF_FOREVER waits for one
 *             printf("task %llu\n", (unsigned long long)task);
 *         if (got >= 0) rf_mutex_unlock(guard);
 *         rf_mutex_close(guard); rf_queue_close(tasks); rf_segment_close(seg);
 *         return rf_segment_unlink(name) < 0;
 *     }
 *
 * Build it with `cc hello.c $(pkg-config --cflags --libs ringfence)`.
 *
 * ## What it promises
 *
 * SIGKILL of any process at any instruction, several one after another: the others go on, within a quarter of a second.
 * No message whose push or send has returned is lost, doubled or torn; nothing leaks for good; and whoever takes over a
 * lock that the dead held is told so (`RF_OWNER_DIED`). A message whose pop has taken it dies with the process that
 * took it.
 *
 * A stopped process (SIGSTOP, a debugger, swapping) is not a dead one: death is what the kernel says, never a time-out.
 *
 * ## Conventions
 *
 * - **Status.** A function that can fail returns an `int`: `RF_OK`, a positive status (done, with a remark), or a
 *   negative one (failed). See "Status codes and errors".
 * - **Out-parameters** are written only when the call did what it was asked; exceptions say so. They stand last, but for
 *   a time-out.
 * - **Handles.** Each open gives one handle, which belongs to the caller and is given back by the one `_close` of its
 *   type, once, when no other thread is using it. `_close(NULL)` does nothing. Closing a handle destroys nothing in the
 *   segment: the object stays for others and for later. An object's handle keeps the mapping; the order of closing is
 *   free.
 * - **Names** are NUL-terminated. Segments: 1 to 200 characters of `A-Z a-z 0-9 . _ -`. Objects: 1 to 63 bytes of UTF-8.
 * - **Flags** are those of `rf_flags`, or-ed. Without `RF_CREATE` an open finds what is there or fails with
 *   `RF_E_MISSING`; with it, it makes what is not there; with `RF_CREATE | RF_EXCL` it fails with `RF_E_EXISTS` if it is.
 * - **Time-outs** are `int64_t` nanoseconds on the monotonic clock: `RF_FOREVER` waits for ever, 0 and every other
 *   negative value tries once and does not wait.
 * - **Signals.** A wait goes on with its deadline after a signal handler ran; with a handle opened `RF_INTERRUPTIBLE` it
 *   returns `RF_E_INTERRUPTED` instead. That is told of a handler that ended a sleep. One that runs before the first sleep,
 *   or between two (a sleeper looks every 100 ms), ends nothing: who must not miss one has the handler set a flag, and
 *   waits in slices of a second.
 * - **Bad arguments.** NULL where something is needed, an unknown flag or enum value, a length beyond the address space:
 *   `RF_E_INVALID`, nothing done. A pointer that is neither NULL nor valid cannot be detected.
 * - **errno** is left as it was.
 *
 * ## Threads
 *
 * Every function may be called from any thread, at any time, on the same handle too: where a handle is `const` the call
 * excludes no other. What is not `const` (`_close`, and all calls of an end of a ring) needs the handle for itself. No function but `rf_status_str` may be
 * called from a signal handler.
 *
 * Locks belong to *threads*: the thread that locked unlocks. A thread that ends while holding a lock counts as dead for
 * that lock.
 *
 * ## Processes
 *
 * - **fork.** The child may use every handle of the parent, and becomes a participant of its own at its first call. It
 *   owns nothing: locks that the parent held at the fork are the parent's. The child's `_close` touches nothing of the
 *   parent's. A fork while another thread is in the middle of a call of ours is safe; a vfork child may call nothing.
 * - **exec** ends a participant as death does, and gives back what it held as owner died.
 * - **kill.** Nothing to do. Whoever needs what the dead held finds out by itself; `rf_segment_recover` makes it happen
 *   now.
 *
 * ## Caveats
 *
 * - Death is noticed when the address space is gone: a vfork child that has not called exec, a process that shares its
 *   memory (CLONE_VM) or a core dump that is being written delays it.
 * - Participants of a segment run as users who may write it, and trust each other not to be malicious. A faulty peer that
 *   writes garbage gets you `RF_E_CORRUPTED`, never a crash and never an endless loop, with two exceptions: a peer that
 *   forges a living owner can block waits without a time-out, and a peer that truncates the file of a named segment
 *   causes SIGBUS.
 * - A segment lives until it is unlinked. One whose processes all died stays in /dev/shm: the next `rf_segment_open`
 *   recovers it, or, if it was made with RF_UNLINK_WITH_LAST, `rf_segment_sweep` removes it.
 * - In a container /dev/shm is often limited to 64 MiB: a segment that does not fit is `RF_E_NO_SPACE` when it is made,
 *   never a crash later.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of the library that this header belongs to. */
#define RF_VERSION "0.1.0"

/* # Versions
 *
 * Three numbers, each for another reader: the version of the library (semantic versioning), the soname for the dynamic
 * linker (a program built against an older header with the same soname works), and the version of the layout in shared
 * memory (processes that share a segment need the same one).
 */

/**
 * The version of the library that is loaded, "MAJOR.MINOR.PATCH", to compare with `RF_VERSION`.
 *
 * @return a string that is never NULL and never freed
 */
const char *rf_version(void);

/**
 * The name under which the dynamic linker knows this library when it is installed: "libringfence.so.0.1".
 *
 * @return a string that is never NULL and never freed
 */
const char *rf_version_soname(void);

/**
 * The version of the layout in shared memory. Opening a segment of another one fails with `RF_E_VERSION`.
 *
 * @return the number
 */
uint32_t rf_version_layout(void);

/* # Status codes and errors
 *
 * Every call that can fail returns an `int`: `RF_OK` (0), a positive value for success with a remark, a negative one
 * for failure. The values are stable: a later version adds, it never renumbers. So test for `< 0`, and for the remark
 * that you can act on.
 *
 * A failed call leaves its out-parameters as they were, unless its description says otherwise. No call changes `errno`.
 * A failed call also leaves a sentence for humans, which `rf_last_error` returns to the same thread.
 */

/** What a call came to. Functions return it as `int`. */
typedef enum rf_status {
    /** The call did what it says. */
    RF_OK = 0,
    /**
     * The lock IS held, and its last owner died holding it (or gave it back without repairing what it guards). Check
     * and repair what the lock guards, call `rf_mutex_make_consistent`, then unlock.
     */
    RF_OWNER_DIED = 1,
    /**
     * A compare-and-exchange found another value than the expected one and changed nothing. The value found is in
     * the out-parameter.
     */
    RF_DIFFERENT = 2,
    /**
     * The caller is the last to arrive at a barrier, and all others wait until it calls `rf_barrier_release`, or
     * `rf_barrier_abort`.
     */
    RF_LAST = 3,
    /**
     * It is not done yet, and it is the calling thread's turn to do it: do it, then call `rf_once_complete`, or
     * `rf_once_abandon` to leave it to the next.
     */
    RF_YOUR_TURN = 5,
    /** The same, and whoever had the turn last died or gave up: something may be half done. */
    RF_YOUR_TURN_AGAIN = 6,
    /** An argument is NULL that must not be, a number is out of range, an enum value or a flag is unknown. */
    RF_E_INVALID = -1,
    /**
     * A name is empty, too long, not terminated or has a character that names may not have. Segments: 1 to 200 of
     * `A-Z a-z 0-9 . _ -`. Objects: 1 to 63 bytes of UTF-8.
     */
    RF_E_NAME = -2,
    /** This object, memory or system cannot do what was asked. */
    RF_E_NOT_SUPPORTED = -3,
    /**
     * A defect in ringfence (a panic was caught). Please report it. The handle may be closed, other calls on it are
     * not recommended.
     */
    RF_E_INTERNAL = -4,
    /** A system call failed for a reason without a status of its own: see `rf_last_error` and `rf_last_errno`. */
    RF_E_SYSTEM = -5,
    /** The process or the machine has no memory left. */
    RF_E_NO_MEMORY = -6,
    /** Shared memory has no room: /dev/shm is full, or the segment is. */
    RF_E_NO_SPACE = -7,
    /** The segment belongs to another user, or its mode keeps you out. */
    RF_E_PERMISSION = -8,
    /** `RF_EXCL` was given and the name exists. */
    RF_E_EXISTS = -9,
    /** `RF_CREATE` was not given and the name does not exist. */
    RF_E_MISSING = -10,
    /** The object of that name is of another kind (a queue, not a mutex), as the message says. */
    RF_E_WRONG_TYPE = -11,
    /** The object or segment of that name has another size or capacity. */
    RF_E_WRONG_SHAPE = -12,
    /** The segment was made by a ringfence with another layout version. */
    RF_E_VERSION = -13,
    /**
     * Shared memory holds something that no participant writes: a stray write, a torn header, a stranger's file. The
     * call stopped in time.
     */
    RF_E_CORRUPTED = -14,
    /** Every participant slot of the segment is taken by a living process. */
    RF_E_TOO_MANY_PARTICIPANTS = -15,
    /** The segment's directory has no room for another object. */
    RF_E_DIRECTORY_FULL = -16,
    /** The process, or the machine, has no file descriptor left. */
    RF_E_NO_DESCRIPTORS = -17,
    /** A forked child inherited the handle, and the object was removed before the child's first call. */
    RF_E_STALE = -18,
    /** The time-out passed. */
    RF_E_TIMED_OUT = -20,
    /** A signal handler ran during the wait, and the handle was opened with `RF_INTERRUPTIBLE`. */
    RF_E_INTERRUPTED = -21,
    /**
     * Somebody else has it at this moment and the call was not to wait: the lock is held, or the next message of a
     * queue is just being written; or a handle that is in use was to be closed.
     */
    RF_E_BUSY = -22,
    /** An unlock of something that nobody holds. */
    RF_E_NOT_LOCKED = -30,
    /**
     * The calling thread does not hold the lock, and only its owner may do this; or the process is a forked child of the one
     * that is at this end of a ring.
     */
    RF_E_NOT_OWNER = -31,
    /** The calling thread holds the lock already and would wait for itself. */
    RF_E_WOULD_DEADLOCK = -32,
    /**
     * An owner that was told of a death unlocked without making it consistent: the lock is given up for everybody,
     * until a reset.
     */
    RF_E_NOT_RECOVERABLE = -33,
    /**
     * A release would raise a bounded semaphore, or a lock the count of nested locks, above its maximum; or a condition
     * variable has no place for another waiter.
     */
    RF_E_MAXIMUM_REACHED = -34,
    /** The barrier is broken: somebody's time was up or somebody aborted it; or it was reset during the wait. */
    RF_E_BROKEN = -35,
    /** Others wait at the condition variable with another mutex, or the mutex lies in another segment. */
    RF_E_OTHER_MUTEX = -36,
    /** The barrier is broken because a party died: one that had arrived in this round, or one that was registered. */
    RF_E_PARTY_DIED = -37,
    /** It is done already, or has its value. */
    RF_E_COMPLETED = -38,
    /** No room, and the call was not to wait. */
    RF_E_FULL = -40,
    /** Nothing there, and the call was not to wait. */
    RF_E_EMPTY = -41,
    /** Shut down: pushes fail at once, pops once everything that was there is gone. */
    RF_E_CLOSED = -42,
    /** The other end is gone and everything that it sent has been read. */
    RF_E_END_OF_FILE = -43,
    /** Reading from a writer's end, or writing to a reader's. */
    RF_E_WRONG_DIRECTION = -44,
    /** The message can never fit. */
    RF_E_MESSAGE_TOO_LONG = -45,
    /** The buffer is shorter than the message. The message stays where it is. */
    RF_E_BUFFER_TOO_SHORT = -46,
    /** The message is not leased by the caller (any more). */
    RF_E_NOT_LEASED = -47,
    /** One message more was reported done than was taken. */
    RF_E_TOO_MANY_DONE = -48,
    /** A ring has a living producer, or consumer, already; or a broadcast or a blackboard a living writer. */
    RF_E_ROLE_TAKEN = -49,
    /** A ring is full, or empty, and nobody is at its other end to change that; the handle asked to be told. */
    RF_E_ALONE = -50,
    /** Records were overwritten before the reader read them. It goes on at the oldest that is there. */
    RF_E_MISSED = -51,
    /** Every place of a work queue has a dead letter: `rf_work_queue_take_dead_letter` and `rf_work_queue_done` make room. */
    RF_E_DEAD_LETTERS = -52,
    /** Nobody has the other end of the pipe any more, to receive what was to be sent. */
    RF_E_BROKEN_PIPE = -53,
    /** The result, or the value, is not there yet; or some of the work is not done. */
    RF_E_NOT_READY = -60,
    /** The process that worked on it died. */
    RF_E_WORKER_DIED = -61,
} rf_status;

/**
 * The sentence that describes a status, in English: "timed out".
 *
 * @param status  any number; an unknown one gives "unknown status"
 * @return a string that is never NULL and never freed
 *
 * Threads: any. Async-signal-safe.
 */
const char *rf_status_str(int status);

/**
 * What went wrong in the last call of the calling thread that failed, as a sentence: both sides of a mismatch, the
 * name of the object, the system's own reason. Empty if no call of this thread has failed yet; a call that succeeds
 * does not clear it.
 *
 * @return a string that is never NULL and stays valid until the next call of the same thread that fails
 *
 * Threads: any; each has its own.
 */
const char *rf_last_error(void);

/**
 * The `errno` value behind the calling thread's last failure, 0 where no system call was to blame.
 *
 * @return an `errno` value, with `RF_E_SYSTEM` above all
 *
 * Threads: any; each has its own.
 */
int rf_last_errno(void);

/* # Flags, types and time-outs
 */

/** A time-out that never comes. */
#define RF_FOREVER INT64_MIN

/** The flags of an open, or-ed into an `int`. */
typedef enum rf_flags {
    /** Make what is not there. */
    RF_CREATE = 1,
    /** With `RF_CREATE`: fail with `RF_E_EXISTS` if it is there. */
    RF_EXCL = 2,
    /** A signal handler that runs ends a wait on this handle with `RF_E_INTERRUPTED`. */
    RF_INTERRUPTIBLE = 4,
} rf_flags;

/** The element type of a value or an array. Both sides must name the same one. */
typedef enum rf_type {
    /** Plain data of any size: no pointers, and every bit pattern is valid. Known by size, alignment and tag. */
    RF_STRUCT = 0,
    /** `int8_t` */
    RF_I8 = 1,
    /** `int16_t` */
    RF_I16 = 2,
    /** `int32_t` */
    RF_I32 = 3,
    /** `int64_t` */
    RF_I64 = 4,
    /** `uint8_t` */
    RF_U8 = 5,
    /** `uint16_t` */
    RF_U16 = 6,
    /** `uint32_t` */
    RF_U32 = 7,
    /** `uint64_t` */
    RF_U64 = 8,
    /** `float` */
    RF_F32 = 9,
    /** `double` */
    RF_F64 = 10,
    /** `bool`: one byte, 0 or 1; every other one counts as 1. */
    RF_BOOL = 11,
    /** `char`: one byte of text, no integer: there is no arithmetic on it. */
    RF_CHAR = 12,
} rf_type;

/* # Segments
 *
 * A segment comes into being whole: its memory is reserved, its header written, and only then gets it its name. So a
 * process killed while it creates one leaves nothing, and whoever opens one never finds half of it.
 *
 * The name is not the memory: `rf_segment_unlink` takes the name away, the memory lives as long as somebody maps it.
 * Closing a handle never unlinks, unless the segment was made with `RF_UNLINK_WITH_LAST` and nobody else is there.
 *
 * A process is one participant of a segment, however many handles it opens.
 */

/** What happens to the name of a segment. */
typedef enum rf_unlink {
    /** It stays until `rf_segment_unlink`. */
    RF_UNLINK_KEEP = 0,
    /**
     * It goes when the last participant leaves. If all die at once, the next `rf_segment_open` with RF_CREATE starts
     * afresh, and `rf_segment_sweep` removes it.
     */
    RF_UNLINK_WITH_LAST = 1,
} rf_unlink;

/** A handle to a segment. */
typedef struct rf_segment rf_segment;

/**
 * How a segment is made. Zero everything, set `size_of`, and then what is to differ from the defaults: a zero is the
 * default in every other field. Opening an existing segment looks at `allow_foreign_owner` only.
 */
typedef struct rf_segment_options {
    /** `sizeof(rf_segment_options)`, so that a later library knows which fields there are. */
    size_t size_of;
    /** Permissions of the segment's file, as in chmod. Default: 0600, its maker's alone. */
    uint32_t mode;
    /** Of `rf_unlink`. Default: RF_UNLINK_KEEP. */
    int unlink;
    /** How many processes can take part at the same time: 1 to 8191. Default: 128. */
    uint32_t participants;
    /** How many objects it can hold: 1 to 65536. Default: 256. */
    uint32_t objects;
    /** Not 0: also open a segment that another user has made. Default: refuse it (`RF_E_PERMISSION`). */
    int allow_foreign_owner;
    /** Must be 0. */
    int reserved;
} rf_segment_options;

/**
 * Opens the segment of that name, or makes it.
 *
 * A segment that is there but has no living participant (all were killed) is recovered first; if it was made with
 * RF_UNLINK_WITH_LAST it counts as missing.
 *
 * @param name     its name
 * @param flags    of `rf_flags`, without RF_INTERRUPTIBLE
 * @param size     room for objects, in bytes; the library adds what it needs itself. With RF_CREATE not 0, and one that
 * exists must be at least as large. Without RF_CREATE it is ignored
 * @param options  NULL for the defaults
 * @param out      the handle; `rf_segment_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_SHAPE (smaller than asked), RF_E_NO_SPACE, RF_E_NO_MEMORY,
 * RF_E_NO_DESCRIPTORS, RF_E_PERMISSION (another user's, or the mode), RF_E_TOO_MANY_PARTICIPANTS, RF_E_VERSION,
 * RF_E_CORRUPTED (no segment, or a broken one), RF_E_NAME, RF_E_INVALID, RF_E_BUSY, RF_E_SYSTEM
 *
 * Threads, processes: any number at once; with RF_CREATE exactly one makes it. Crash: killed in the middle, the name is
 * either not there or names a whole segment.
 */
int rf_segment_open(const char *name,
                    int flags,
                    size_t size,
                    const struct rf_segment_options *options,
                    struct rf_segment **out);

/**
 * Makes a segment without a name. Other processes get it as a file descriptor (`rf_segment_fd`), by inheritance or over
 * a socket, or by fork. Its file is sealed: nobody can shrink it.
 *
 * @param size     room for objects, in bytes; not 0
 * @param options  NULL for the defaults
 * @param out      the handle; `rf_segment_close` gives it back
 * @return RF_OK, RF_E_NO_SPACE, RF_E_NO_MEMORY, RF_E_NO_DESCRIPTORS, RF_E_INVALID, RF_E_SYSTEM
 */
int rf_segment_anonymous(size_t size, const struct rf_segment_options *options, struct rf_segment **out);

/**
 * Opens the segment behind a file descriptor.
 *
 * @param fd   a descriptor of a segment, open for reading and writing. It stays the caller's, to close when they like
 * @param out  the handle; `rf_segment_close` gives it back
 * @return RF_OK, RF_E_INVALID (no such descriptor), RF_E_CORRUPTED (no segment), RF_E_VERSION, RF_E_PERMISSION,
 * RF_E_TOO_MANY_PARTICIPANTS, RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_SYSTEM
 */
int rf_segment_from_fd(int fd, struct rf_segment **out);

/**
 * A new file descriptor of the segment, to hand to another process. It is closed on exec: clear FD_CLOEXEC if the other
 * process is to inherit it.
 *
 * @param segment  the segment
 * @param fd       the descriptor, the caller's to close
 * @return RF_OK, RF_E_NOT_SUPPORTED (adopted memory has none), RF_E_NO_DESCRIPTORS, RF_E_INVALID, RF_E_SYSTEM
 */
int rf_segment_fd(const struct rf_segment *segment, int *fd);

/**
 * Makes a segment in memory of the caller's: any mapping that several processes share. The others call
 * `rf_segment_attach_at`, when this call has returned.
 *
 * Without a file the kernel cannot witness a participant's life; it is known by process id and start time instead. So
 * all participants have to live in one PID namespace, and an exec is noticed only when the process ends.
 *
 * @param memory   aligned to 128 bytes; its contents are overwritten
 * @param len      its length in bytes
 * @param options  NULL for the defaults; mode, unlink and allow_foreign_owner mean nothing here
 * @param out      the handle; the memory must stay mapped until it and all handles of objects are closed
 * @return RF_OK, RF_E_INVALID (NULL, misaligned, too short), RF_E_NOT_SUPPORTED, RF_E_NO_MEMORY, RF_E_SYSTEM
 */
int rf_segment_format_at(void *memory, size_t len, const struct rf_segment_options *options, struct rf_segment **out);

/**
 * Opens the segment that `rf_segment_format_at` made in this memory.
 *
 * @param memory  aligned to 128 bytes
 * @param len     its length in bytes
 * @param out     the handle; the memory must stay mapped until it and all handles of objects are closed
 * @return RF_OK, RF_E_INVALID, RF_E_CORRUPTED (no segment), RF_E_VERSION, RF_E_TOO_MANY_PARTICIPANTS,
 * RF_E_NOT_SUPPORTED (another PID namespace), RF_E_NO_MEMORY, RF_E_SYSTEM
 */
int rf_segment_attach_at(void *memory, size_t len, struct rf_segment **out);

/**
 * Takes the name of a segment away. Whoever has it open goes on; the next open of the name finds nothing.
 *
 * @param name  the name
 * @return RF_OK, RF_E_MISSING, RF_E_PERMISSION, RF_E_CORRUPTED (what has this name is no segment), RF_E_NAME,
 * RF_E_BUSY, RF_E_SYSTEM
 *
 * Crash: killed in the middle, the name is there or it is not.
 */
int rf_segment_unlink(const char *name);

/**
 * Frees what the dead hold of a segment, now. Not needed for correctness: whoever waits for something of the dead finds
 * out by itself.
 *
 * @param segment  the segment
 * @param dead     how many dead participants were cleared up; may be NULL
 * @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID, RF_E_BUSY (somebody was stopped while giving space back),
 * RF_E_NO_DESCRIPTORS, RF_E_SYSTEM
 *
 * Threads, processes: any number at once. Crash: killed in the middle, another does the rest.
 */
int rf_segment_recover(const struct rf_segment *segment, size_t *dead);

/**
 * The name of the segment.
 *
 * @param segment  the segment
 * @return the name, valid until the handle is closed; NULL if it has none, or if `segment` is NULL
 */
const char *rf_segment_name(const struct rf_segment *segment);

/**
 * The size of the whole segment.
 *
 * @param segment  the segment
 * @param size     in bytes, the library's own part included
 * @return RF_OK, RF_E_INVALID
 */
int rf_segment_size(const struct rf_segment *segment, size_t *size);

/**
 * Takes the name of an object away, at once; its space becomes free when no living participant has it open any more.
 *
 * @param segment  the segment
 * @param object   the name of the object
 * @return RF_OK, RF_E_MISSING, RF_E_NAME, RF_E_CORRUPTED, RF_E_INVALID, RF_E_BUSY (somebody was stopped while changing
 * the directory)
 *
 * Crash: killed in the middle, the next to use the directory finishes or undoes it.
 */
int rf_segment_remove(const struct rf_segment *segment, const char *object);

/**
 * Gives the handle back. Handles of objects stay usable; the last handle of all ends the process's part in the segment.
 *
 * @param segment  the handle, or NULL
 * @return RF_OK; RF_E_BUSY (a thread of this process holds a lock in the segment): then the handle stays open
 *
 * Threads: no other may be using this handle.
 */
int rf_segment_close(struct rf_segment *segment);

/* # Looking around
 *
 * For tools and for people who look for the cause of a hang. Every answer is as old as the call.
 *
 * The calls that list take an array: `info_size` is the size of one element (`sizeof *infos`), so that a program built
 * against an older header works with a newer library; `capacity` is how many there is room for. `*count` becomes how
 * many there are in all: if that is more than `capacity`, the array holds the first `capacity` of them. `infos` may be
 * NULL if `capacity` is 0.
 */

/** A segment in /dev/shm. */
typedef struct rf_segment_info {
    /** Its name. */
    char name[208];
    /** Its size in bytes. */
    uint64_t size;
    /** User id of its owner. */
    uint32_t owner;
    /** How many living participants it has. */
    uint32_t participants;
    /** Of `rf_unlink`. */
    int unlink;
    /** 0. */
    uint32_t reserved;
} rf_segment_info;

/** What a sweep has removed. */
typedef struct rf_sweep_report {
    /** Dead segments. */
    uint64_t segments;
    /** Files of makers that died before they gave them a name. */
    uint64_t abandoned;
} rf_sweep_report;

/** A process that takes part in a segment. */
typedef struct rf_participant_info {
    /** Its number in the segment. */
    uint32_t number;
    /** Its process id as it sees itself. */
    int32_t pid;
    /** 1 if it is alive, 0 if it is dead and not yet cleared up. */
    int alive;
    /** The short name of its program. */
    char name[20];
    /** Which of the lives that had its number: number and life together belong to one participant. */
    uint32_t life;
} rf_participant_info;

/** An object in a segment. */
typedef struct rf_object_info {
    /** Its name. */
    char name[64];
    /** Its kind: "mutex", "value", "array", "queue", "channel". */
    char kind[16];
    /** Number of elements, or bytes of a channel's ring. */
    uint64_t capacity;
    /** Bytes that it takes of the segment. */
    uint64_t bytes;
    /**
     * The type of its elements, of `rf_type`: RF_STRUCT for a queue, a channel and a mutex without data. -1 if another
     * version of the library wrote a type that this one does not know.
     */
    int type;
    /** Bytes of an element; 0 for a mutex without data. */
    uint32_t element_size;
    /** Alignment of an element. */
    uint32_t element_align;
    /** 0. */
    uint32_t reserved;
    /** The tag of the elements' type, or "". */
    char tag[32];
} rf_object_info;

/**
 * Lists the segments in /dev/shm.
 *
 * @param info_size  sizeof(rf_segment_info)
 * @param capacity   how many `infos` has room for
 * @param infos      the array
 * @param count      how many segments there are
 * @return RF_OK, RF_E_INVALID, RF_E_PERMISSION, RF_E_NO_DESCRIPTORS, RF_E_SYSTEM
 */
int rf_segment_list(size_t info_size, size_t capacity, struct rf_segment_info *infos, size_t *count);

/**
 * Removes what the dead left in /dev/shm, of this user's: the name of a segment in which nobody lives, if it was made
 * with RF_UNLINK_WITH_LAST or an `rf_segment_unlink` was killed in the middle; and unfinished files of makers that were
 * killed.
 *
 * What stays: a segment with a living participant; one made with RF_UNLINK_KEEP, the default, dead or alive, until
 * `rf_segment_unlink`; what belongs to another user; a file that is no sound segment of this layout version.
 *
 * @param report  what was done; may be NULL
 * @return RF_OK, RF_E_PERMISSION, RF_E_NO_DESCRIPTORS, RF_E_SYSTEM
 */
int rf_segment_sweep(struct rf_sweep_report *report);

/**
 * Lists the participants of a segment.
 *
 * @param segment    the segment
 * @param info_size  sizeof(rf_participant_info)
 * @param capacity   how many `infos` has room for
 * @param infos      the array
 * @param count      how many participants there are
 * @return RF_OK, RF_E_INVALID
 */
int rf_segment_participants(const rf_segment *segment,
                            size_t info_size,
                            size_t capacity,
                            struct rf_participant_info *infos,
                            size_t *count);

/**
 * Lists the objects of a segment.
 *
 * @param segment    the segment
 * @param info_size  sizeof(rf_object_info)
 * @param capacity   how many `infos` has room for
 * @param infos      the array
 * @param count      how many objects there are
 * @return RF_OK, RF_E_INVALID, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
 */
int rf_segment_objects(const rf_segment *segment,
                       size_t info_size,
                       size_t capacity,
                       struct rf_object_info *infos,
                       size_t *count);

/* # Mutexes
 *
 * A mutex that survives its owner. It guards whatever the processes agree on: bytes in an array, a file, a device. The
 * Rust side is `Mutex<()>`.
 *
 *     switch (rf_mutex_lock(guard, RF_FOREVER)) {
 *     case RF_OWNER_DIED:
 *         repair();                           // the lock is held, its last owner was killed
 *         rf_mutex_make_consistent(guard);
 *         // fall through
 *     case RF_OK:
 *         work();
 *         rf_mutex_unlock(guard);
 *     }
 *
 * The owner is a thread: only it may unlock. Locking twice is an error (`RF_E_WOULD_DEADLOCK`), not a hang. An unlock
 * after `RF_OWNER_DIED` without `rf_mutex_make_consistent` gives the mutex up: every lock from then on, and every waiter,
 * fails with `RF_E_NOT_RECOVERABLE`, until `rf_mutex_reset`.
 */

/** A handle to a mutex. */
typedef struct rf_mutex rf_mutex;

/**
 * Opens the mutex of that name, or makes it, unlocked.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param out      the handle; `rf_mutex_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (a mutex with data of Rust's inside),
 * RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a mutex.
 */
int rf_mutex_open(const rf_segment *segment, const char *name, int flags, struct rf_mutex **out);

/**
 * Locks the mutex for the calling thread.
 *
 * @param mutex       the mutex
 * @param timeout_ns  how long to wait for it; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: see above); RF_E_BUSY (somebody has it, and not to
 * wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread has it), RF_E_NOT_RECOVERABLE,
 * RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a thread or process that ends while holding the lock passes it on to the next with
 * RF_OWNER_DIED, within a tenth of a second for one that already waits.
 */
int rf_mutex_lock(const struct rf_mutex *mutex, int64_t timeout_ns);

/**
 * Unlocks the mutex.
 *
 * @param mutex  the mutex
 * @return RF_OK; RF_E_NOT_OWNER (the calling thread does not have it)
 *
 * Crash: killed in the middle, it is unlocked, or passed on with RF_OWNER_DIED.
 */
int rf_mutex_unlock(const struct rf_mutex *mutex);

/**
 * Says that what the mutex guards is whole again, after RF_OWNER_DIED. It stays locked.
 *
 * @param mutex  the mutex, locked by the calling thread
 * @return RF_OK, also if nobody had died; RF_E_NOT_OWNER
 */
int rf_mutex_make_consistent(const struct rf_mutex *mutex);

/**
 * Makes a mutex that was given up (RF_E_NOT_RECOVERABLE) usable again, unlocked. Only for a caller who knows that nobody
 * relies on it having been given up.
 *
 * @param mutex  the mutex
 * @return RF_OK, also if it was not given up; then nothing changes
 */
int rf_mutex_reset(const struct rf_mutex *mutex);

/**
 * Which process holds the mutex: for humans who look for the cause of a hang. It may change at once.
 *
 * @param mutex  the mutex
 * @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
 * @return RF_OK, RF_E_INVALID
 */
int rf_mutex_holder(const struct rf_mutex *mutex, int32_t *pid);

/**
 * Gives the handle back. The mutex stays as it is; one that the calling thread has locked stays locked.
 *
 * @param mutex  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_mutex_close(struct rf_mutex *mutex);

/* # Reentrant mutexes
 *
 * A mutex that its owner may lock again: it is free when it was unlocked as often. The owner is a thread: only it may
 * unlock, and a forked child owns nothing, whatever its parent holds.
 *
 * The death of an owner is told as for `rf_mutex`: the next to lock gets RF_OWNER_DIED and holds the lock, once, however
 * often the dead had locked it. If its last unlock comes without `rf_reentrant_mutex_make_consistent`, the mutex is given
 * up, until `rf_reentrant_mutex_reset`. Values and arrays have such a lock inside (`rf_value_lock`, `rf_array_lock`).
 */

/** A handle to a reentrant mutex. */
typedef struct rf_reentrant_mutex rf_reentrant_mutex;

/**
 * Opens the reentrant mutex of that name, or makes it, unlocked.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param out      the handle; `rf_reentrant_mutex_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (only if a faulty peer changed the
 * directory), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped
 * while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a mutex.
 */
int rf_reentrant_mutex_open(const rf_segment *segment,
                            const char *name,
                            int flags,
                            struct rf_reentrant_mutex **out);

/**
 * Locks the mutex for the calling thread, once more if it has it.
 *
 * @param mutex       the mutex
 * @param timeout_ns  how long to wait for it; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: see above); RF_E_BUSY (somebody has it, and not to
 * wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (the calling thread has locked it 2^32 - 1 times),
 * RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a thread or process that ends while holding the lock passes it on to the next with
 * RF_OWNER_DIED, within a tenth of a second for one that already waits.
 */
int rf_reentrant_mutex_lock(const struct rf_reentrant_mutex *mutex, int64_t timeout_ns);

/**
 * Unlocks the mutex once.
 *
 * @param mutex  the mutex
 * @return RF_OK; RF_E_NOT_OWNER (the calling thread does not have it)
 *
 * Crash: killed in the middle, it is unlocked, or passed on with RF_OWNER_DIED.
 */
int rf_reentrant_mutex_unlock(const struct rf_reentrant_mutex *mutex);

/**
 * Says that what the mutex guards is whole again, after RF_OWNER_DIED. It stays locked.
 *
 * @param mutex  the mutex, locked by the calling thread
 * @return RF_OK, also if nobody had died; RF_E_NOT_OWNER
 */
int rf_reentrant_mutex_make_consistent(const struct rf_reentrant_mutex *mutex);

/**
 * Makes a mutex that was given up (RF_E_NOT_RECOVERABLE) usable again, unlocked. Only for a caller who knows that nobody
 * relies on it having been given up.
 *
 * @param mutex  the mutex
 * @return RF_OK, also if it was not given up; then nothing changes
 */
int rf_reentrant_mutex_reset(const struct rf_reentrant_mutex *mutex);

/**
 * How often the calling thread has the mutex locked.
 *
 * @param mutex  the mutex
 * @param count  the number; 0 if the calling thread does not have it
 * @return RF_OK, RF_E_INVALID
 */
int rf_reentrant_mutex_count(const struct rf_reentrant_mutex *mutex, uint32_t *count);

/**
 * Which process holds the mutex: for humans who look for the cause of a hang. It may change at once.
 *
 * @param mutex  the mutex
 * @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
 * @return RF_OK, RF_E_INVALID
 */
int rf_reentrant_mutex_holder(const struct rf_reentrant_mutex *mutex, int32_t *pid);

/**
 * Gives the handle back. The mutex stays as it is; one that the calling thread has locked stays locked.
 *
 * @param mutex  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_reentrant_mutex_close(struct rf_reentrant_mutex *mutex);

/* # Reader-writer locks
 *
 * A lock for many readers or one writer, of any processes. It guards whatever the processes agree on. The Rust side is
 * `RwLock<()>`.
 *
 * Neither side starves the other: from the moment that a writer waits for the readers inside, new readers wait for it;
 * and all readers that wait while somebody writes go before the next writer. Writers among themselves take turns as at an
 * `rf_mutex`. A process that is stopped while it waits to read counts as a reader once its turn has come.
 *
 * One reader at a time can be *upgradable*: it reads beside the others, keeps writers out, and may become the writer
 * without letting another in between (`rf_rwlock_upgrade`).
 *
 * The writer and the upgradable reader are threads. Readers are counted for the process, 16,383 at once at the most, and
 * it is not known which of its threads read. So:
 *
 * - an unlock of a read that another thread of the process has locked is not an error, and is one mistake too many;
 * - a thread that waits to write or to upgrade while it reads waits for itself, and so does one that reads twice, if a
 *   writer comes in between: only a time-out ends that;
 * - a thread that ends while it reads leaves the process reading, until that ends.
 *
 * A dead reader is subtracted. After a dead writer, or a thread that ended as one, everybody who gets in is told
 * (RF_OWNER_DIED), readers too, until a writer has called `rf_rwlock_make_consistent`; if a writer unlocks
 * without, the lock is given up: all fail with RF_E_NOT_RECOVERABLE, until `rf_rwlock_reset`. A writer that died while it
 * waited for the readers to leave has changed nothing, and nobody is told.
 */

/** A handle to a reader-writer lock. */
typedef struct rf_rwlock rf_rwlock;

/**
 * Opens the reader-writer lock of that name, or makes it, unlocked.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param out      the handle; `rf_rwlock_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (a lock with data of Rust's inside),
 * RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a lock.
 */
int rf_rwlock_open(const rf_segment *segment, const char *name, int flags, struct rf_rwlock **out);

/**
 * Locks for reading, beside other readers.
 *
 * @param rwlock      the lock
 * @param timeout_ns  how long to wait while somebody writes, or waits to; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (locked, but a writer died: see above); RF_E_BUSY (somebody writes or waits to, and not to
 * wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread writes), RF_E_MAXIMUM_REACHED (the
 * process has 16,383 readers, inside or waiting), RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a process that is killed is no reader any more, wherever it was.
 */
int rf_rwlock_read(const struct rf_rwlock *rwlock,
                   int64_t timeout_ns);

/**
 * Ends a read.
 *
 * @param rwlock  the lock
 * @return RF_OK; RF_E_NOT_OWNER (no thread of the process reads)
 *
 * Crash: killed in the middle, the process reads no more.
 */
int rf_rwlock_unlock_read(const struct rf_rwlock *rwlock);

/**
 * Locks for writing, alone.
 *
 * @param rwlock      the lock
 * @param timeout_ns  how long to wait for those who have it; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (locked, but a writer died: see above); RF_E_BUSY (somebody has it, and not to wait),
 * RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread writes, or is the upgradable reader),
 * RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a thread or process that ends as the writer is told of by RF_OWNER_DIED, within a
 * tenth of a second to those who already wait.
 */
int rf_rwlock_write(const struct rf_rwlock *rwlock, int64_t timeout_ns);

/**
 * Ends a write. After RF_OWNER_DIED without `rf_rwlock_make_consistent` it gives the lock up.
 *
 * @param rwlock  the lock
 * @return RF_OK; RF_E_NOT_OWNER (the calling thread does not write)
 *
 * Crash: killed in the middle, it is unlocked, or passed on with RF_OWNER_DIED.
 */
int rf_rwlock_unlock_write(const struct rf_rwlock *rwlock);

/**
 * Locks for reading as the upgradable reader, beside other readers.
 *
 * @param rwlock      the lock
 * @param timeout_ns  how long to wait for a writer or another upgradable reader; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (locked, but a writer died: see above); RF_E_BUSY (somebody writes or has it so, and not to
 * wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread writes, or is the upgradable reader),
 * RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a thread or process that ends as the upgradable reader leaves nothing.
 */
int rf_rwlock_upgradable(const struct rf_rwlock *rwlock,
                         int64_t timeout_ns);

/**
 * Ends an upgradable read.
 *
 * @param rwlock  the lock
 * @return RF_OK; RF_E_NOT_OWNER (the calling thread is not the upgradable reader, or has become the writer)
 *
 * Crash: killed in the middle, the lock is free.
 */
int rf_rwlock_unlock_upgradable(const struct rf_rwlock *rwlock);

/**
 * From the upgradable reader to the writer: nobody writes in between. After a failure the caller is what it was.
 *
 * @param rwlock      the lock
 * @param timeout_ns  how long to wait for the other readers to leave; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (it writes, and what the caller was told of when it locked is not made consistent yet);
 * RF_E_BUSY (somebody reads, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_NOT_OWNER (the calling thread is not
 * the upgradable reader)
 *
 * Crash: killed before it is the writer, it leaves nothing; afterwards it was the writer.
 */
int rf_rwlock_upgrade(const struct rf_rwlock *rwlock,
                      int64_t timeout_ns);

/**
 * From the writer, or the upgradable reader, to a reader like the others: nobody writes in between. It ends with
 * `rf_rwlock_unlock_read`. A death that was told and not made consistent is told again.
 *
 * @param rwlock  the lock
 * @return RF_OK; RF_E_NOT_OWNER (the calling thread is neither), RF_E_MAXIMUM_REACHED (the process has 16,383 readers;
 * the caller is what it was), RF_E_CORRUPTED
 *
 * Crash: killed in the middle, it was the writer, or a reader.
 */
int rf_rwlock_downgrade(const struct rf_rwlock *rwlock);

/**
 * From the writer to the upgradable reader: nobody else can write in between. A death that was told and not made
 * consistent is told again.
 *
 * @param rwlock  the lock
 * @return RF_OK; RF_E_NOT_OWNER (the calling thread does not write)
 *
 * Crash: killed in the middle, it was the writer, or the upgradable reader.
 */
int rf_rwlock_downgrade_to_upgradable(const struct rf_rwlock *rwlock);

/**
 * Says that what the lock guards is whole again, after RF_OWNER_DIED. Only the writer can; it stays the writer.
 *
 * @param rwlock  the lock, locked by the calling thread for writing
 * @return RF_OK, also if nobody had died; RF_E_NOT_OWNER
 */
int rf_rwlock_make_consistent(const struct rf_rwlock *rwlock);

/**
 * Makes a lock that was given up (RF_E_NOT_RECOVERABLE) usable again, unlocked. Only for a caller who knows that nobody
 * relies on it having been given up.
 *
 * @param rwlock  the lock
 * @return RF_OK, also if it was not given up; then nothing changes
 */
int rf_rwlock_reset(const struct rf_rwlock *rwlock);

/**
 * Which process writes, or waits for the readers to leave, or is the upgradable reader: for humans who look for the
 * cause of a hang. It may change at once.
 *
 * @param rwlock  the lock
 * @param pid     its process id as it sees itself; 0 if nobody is
 * @return RF_OK, RF_E_INVALID
 */
int rf_rwlock_holder(const struct rf_rwlock *rwlock, int32_t *pid);

/**
 * Gives the handle back. The lock stays as it is; what the process has locked stays locked.
 *
 * @param rwlock  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_rwlock_close(struct rf_rwlock *rwlock);

/* # Semaphores
 *
 * A number of permits that processes take and give back, all that a call asks for or none. In two modes:
 *
 * - *owned* (RF_OWNED): a permit belongs to the process that took it, and comes back when that dies or leaves the
 *   segment. Any process may release: its own permits first, then those of whoever has most, and when all are free, new
 *   ones, up to the maximum. One permit with a maximum of one is Python's `Lock`.
 * - *signalling*: permits are counted and nobody's; what the dead had is gone. For "so many things have happened".
 *
 * In owned mode an operation holds a lock inside the object for a moment: a process that is stopped there is waited for,
 * by a try for 20 ms.
 */

/** Whose the permits of a semaphore are. */
typedef enum rf_ownership {
    /** Nobody's. */
    RF_SIGNALLING = 0,
    /** Those of the process that took them. */
    RF_OWNED = 1,
} rf_ownership;

/** A handle to a semaphore. */
typedef struct rf_semaphore rf_semaphore;

/**
 * Opens the semaphore of that name, or makes it.
 *
 * @param segment    where it lives
 * @param name       its name in the segment
 * @param flags      of `rf_flags`; without RF_CREATE the next three are ignored: whatever is there is opened
 * @param ownership  of `rf_ownership`
 * @param initial    free permits of a new one
 * @param maximum    the most there may ever be, 1 to 2^29 - 1; 0 for 2^29 - 1
 * @param out        the handle; `rf_semaphore_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another maximum or
 * ownership), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID (also a first value above the maximum),
 * RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a semaphore.
 */
int rf_semaphore_open(const rf_segment *segment,
                      const char *name,
                      int flags,
                      int ownership,
                      uint32_t initial,
                      uint32_t maximum,
                      struct rf_semaphore **out);

/**
 * Takes permits, all or none.
 *
 * @param semaphore   the semaphore
 * @param permits     how many; 0 takes none and succeeds
 * @param timeout_ns  how long to wait for them; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (taken; permits have come back from a dead process since somebody was told last);
 * RF_E_BUSY (too few are free, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (there can never
 * be so many), RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a process that is killed has taken all or none, and in owned mode they come back.
 */
int rf_semaphore_acquire(const struct rf_semaphore *semaphore,
                         uint32_t permits,
                         int64_t timeout_ns);

/**
 * Gives permits.
 *
 * @param semaphore  the semaphore
 * @param permits    how many
 * @return RF_OK; RF_E_MAXIMUM_REACHED (there would be too many; nothing has changed), RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: killed in the middle, some or all of them are given, in signalling mode all or none.
 */
int rf_semaphore_release(const struct rf_semaphore *semaphore, uint32_t permits);

/**
 * How many permits are free now; it may change at once. In owned mode what the dead had counts.
 *
 * @param semaphore  the semaphore
 * @param value      the number
 * @return RF_OK, RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_INVALID
 */
int rf_semaphore_value(const struct rf_semaphore *semaphore, uint32_t *value);

/**
 * How many permits the calling process has.
 *
 * @param semaphore  the semaphore
 * @param taken      the number; 0 in signalling mode
 * @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
 */
int rf_semaphore_taken(const struct rf_semaphore *semaphore, uint32_t *taken);

/**
 * Gives the handle back. The semaphore stays, and so do permits that the process has.
 *
 * @param semaphore  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_semaphore_close(struct rf_semaphore *semaphore);

/* # Events
 *
 * A flag that processes set and wait for.
 *
 * - *manual reset* (RF_MANUAL_RESET): set, it lets everybody through until it is cleared. A wait ends if the event is set,
 *   or has been at any time since the wait began, also if it was cleared at once.
 * - *auto reset* (RF_AUTO_RESET): each set lets exactly one through: one of those who wait, or, if nobody waits, the next to
 *   come. What is kept for the next to come is one signal, however often the event was set meanwhile, and a clear takes it
 *   back; what was given to those who wait stays given.
 *
 * What a process did before a set is seen by whoever a wait lets through after it, and by whoever clears it after it.
 *
 * Nobody owns an event, so nobody is told of a death. A signal of an auto event that was given to a process which dies
 * before its wait has taken it goes to another who waits, or is kept; one that was taken is used.
 *
 * With auto reset an operation holds a lock inside the object for a moment: a process that is stopped there is waited for,
 * by a try, and by a wait whose time is up, for 20 ms.
 */

/** How an event goes back to not being set. */
typedef enum rf_reset {
    /** By `rf_event_clear`. */
    RF_MANUAL_RESET = 0,
    /** By itself: each set lets one through. */
    RF_AUTO_RESET = 1,
} rf_reset;

/** A handle to an event. */
typedef struct rf_event rf_event;

/**
 * Opens the event of that name, or makes it, not set.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`; without RF_CREATE the next one is not compared: whatever is there is opened
 * @param reset    of `rf_reset`
 * @param out      the handle; `rf_event_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (reset in the other
 * way), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half an event.
 */
int rf_event_open(const rf_segment *segment,
                  const char *name,
                  int flags,
                  int reset,
                  struct rf_event **out);

/**
 * Waits until the event is set. With auto reset the call takes the signal.
 *
 * @param event       the event
 * @param timeout_ns  how long to wait for it; RF_FOREVER, 0 to try
 * @return RF_OK (it was set); RF_E_TIMED_OUT (it was not, also of a try), RF_E_INTERRUPTED, RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a process that is killed has taken the signal of an auto event, or has not; then another
 * gets it.
 */
int rf_event_wait(const struct rf_event *event,
                  int64_t timeout_ns);

/**
 * Sets the event: with manual reset all who wait go on, and whoever comes until it is cleared; with auto reset one.
 *
 * @param event  the event
 * @return RF_OK, RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: killed in the middle, it is set or not. If it is, who waits goes on, at the latest a tenth
 * of a second later.
 */
int rf_event_set(const struct rf_event *event);

/**
 * Clears the event. Whoever a set has let through goes on all the same.
 *
 * @param event  the event
 * @return RF_OK, RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: killed in the middle, it is cleared or not.
 */
int rf_event_clear(const struct rf_event *event);

/**
 * Whether the event is set now, with auto reset whether a signal is kept; it may change at once. Takes nothing.
 *
 * @param event   the event
 * @param is_set  1 or 0
 * @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
 */
int rf_event_is_set(const struct rf_event *event, int *is_set);

/**
 * Gives the handle back. The event stays as it is.
 *
 * @param event  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_event_close(struct rf_event *event);

/* # Condition variables
 *
 * Waiting, with a mutex given away meanwhile, until somebody says that what the mutex protects has changed. It works with
 * `rf_mutex` and with `rf_reentrant_mutex`, all levels of which are given away and had again. Several condition variables
 * may share a mutex; one is used with one mutex as long as anybody waits.
 *
 *     int got = rf_mutex_lock(guard, RF_FOREVER);
 *     while (got == RF_OK && !ready())
 *         got = rf_condvar_wait(changed, guard, NULL, RF_FOREVER);
 *     if (got == RF_OWNER_DIED) { repair(); rf_mutex_make_consistent(guard); }
 *     if (got >= 0) { work(); rf_mutex_unlock(guard); }
 *
 * A wait returns RF_OK only if it was notified: there are no spurious wake-ups. All the same, test what you wait for in a
 * loop: between the notification and the return others may have the mutex.
 *
 * A waiter that dies, or gives up, uses up no notification: one that was on its way to it goes to another of those who
 * waited at that time, within a tenth of a second. To notify waits for nobody: a waiter that is stopped keeps its
 * notification until it goes on.
 *
 * A mutex that was got with RF_OWNER_DIED and not made consistent is given away by a wait with that news, not given up.
 */

/** A count of waiters: all there are. */
#define RF_ALL INT64_MAX

/** A handle to a condition variable. */
typedef struct rf_condvar rf_condvar;

/**
 * What `rf_condvar_wait_for` waits for: nonzero if it is so. It is asked with the mutex held, and returns in the normal way
 * (no `longjmp`, no exception).
 */
typedef int (*rf_predicate)(void *context);

/**
 * Opens the condition variable of that name, or makes it.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param waiters  how many can wait at a time, up to 65,535, 32 bytes each; 0 for 128. Without RF_CREATE it is ignored:
 * whatever is there is opened
 * @param out      the handle; `rf_condvar_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (for another number
 * of waiters), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped
 * while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a condition variable.
 */
int rf_condvar_open(const rf_segment *segment,
                    const char *name,
                    int flags,
                    uint32_t waiters,
                    struct rf_condvar **out);

/**
 * Gives the mutex away and waits until notified; then has the mutex again, for which it waits as long as it takes.
 *
 * @param condvar     the condition variable
 * @param mutex       the mutex, locked by the calling thread
 * @param why         why the wait was over: RF_OK (notified), RF_E_TIMED_OUT or RF_E_INTERRUPTED; or NULL. Written whenever
 * the call returns one of these or RF_OWNER_DIED
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to give the mutex away for a moment
 * @return with the mutex locked: RF_OK (notified), RF_OWNER_DIED (the wait is over, `why` says why; the mutex's last owner
 * died), RF_E_TIMED_OUT, RF_E_INTERRUPTED. Without a wait, the mutex as it was: RF_E_NOT_OWNER (the calling thread does not
 * have it), RF_E_OTHER_MUTEX (others wait with another, or it lies in another segment), RF_E_MAXIMUM_REACHED (no place for
 * another waiter), RF_E_INVALID. With the mutex not locked: RF_E_NOT_RECOVERABLE (it was given up meanwhile). RF_E_CORRUPTED:
 * an unlock tells whether it is locked
 *
 * Threads, processes: any. Crash: killed in the middle, it uses up no notification, or the next owner of the mutex gets
 * RF_OWNER_DIED.
 */
int rf_condvar_wait(const struct rf_condvar *condvar,
                    const rf_mutex *mutex,
                    int *why,
                    int64_t timeout_ns);

/**
 * `rf_condvar_wait` with a reentrant mutex. However often the calling thread has it locked, it is given away, and locked
 * as often again when the call returns one of the first four.
 *
 * @param condvar     the condition variable
 * @param mutex       the mutex, locked by the calling thread
 * @param why         as there
 * @param timeout_ns  as there
 * @return RF_OK, RF_OWNER_DIED, RF_E_TIMED_OUT, RF_E_INTERRUPTED; RF_E_NOT_OWNER, RF_E_OTHER_MUTEX, RF_E_MAXIMUM_REACHED,
 * RF_E_INVALID; RF_E_NOT_RECOVERABLE; RF_E_CORRUPTED
 */
int rf_condvar_wait_reentrant(const struct rf_condvar *condvar,
                              const rf_reentrant_mutex *mutex,
                              int *why,
                              int64_t timeout_ns);

/**
 * Waits until a predicate is true, which is asked first of all, after each notification, and once more when the time is
 * up.
 *
 * @param condvar     the condition variable
 * @param mutex       the mutex, locked by the calling thread
 * @param predicate   what to wait for
 * @param context     for the predicate; may be NULL
 * @param why         as for `rf_condvar_wait`
 * @param timeout_ns  how long to wait in all; RF_FOREVER, 0 to give the mutex away for a moment if it is not so
 * @return with the mutex locked: RF_OK (it is so), RF_E_TIMED_OUT (it is not); RF_OWNER_DIED, RF_E_INTERRUPTED, whatever it
 * is. As for `rf_condvar_wait`: RF_E_NOT_OWNER (nothing was asked), RF_E_OTHER_MUTEX, RF_E_MAXIMUM_REACHED, RF_E_INVALID,
 * RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
 */
int rf_condvar_wait_for(const struct rf_condvar *condvar,
                        const rf_mutex *mutex,
                        rf_predicate predicate,
                        void *context,
                        int *why,
                        int64_t timeout_ns);

/**
 * `rf_condvar_wait_for` with a reentrant mutex, as `rf_condvar_wait_reentrant`.
 *
 * @param condvar     the condition variable
 * @param mutex       the mutex, locked by the calling thread
 * @param predicate   what to wait for
 * @param context     for the predicate; may be NULL
 * @param why         as there
 * @param timeout_ns  as there
 * @return RF_OK, RF_E_TIMED_OUT, RF_OWNER_DIED, RF_E_INTERRUPTED; RF_E_NOT_OWNER, RF_E_OTHER_MUTEX, RF_E_MAXIMUM_REACHED,
 * RF_E_INVALID; RF_E_NOT_RECOVERABLE; RF_E_CORRUPTED
 */
int rf_condvar_wait_for_reentrant(const struct rf_condvar *condvar,
                                  const rf_reentrant_mutex *mutex,
                                  rf_predicate predicate,
                                  void *context,
                                  int *why,
                                  int64_t timeout_ns);

/**
 * Notifies those of the waiters who have waited longest, and does not wait for them. Nothing is kept for who comes later.
 *
 * @param condvar   the condition variable
 * @param mutex     the mutex, locked by the calling thread; it stays locked
 * @param count     how many at most; 0 or less notifies nobody, RF_ALL all
 * @param notified  how many it were; or NULL
 * @return RF_OK, also if there was nobody; RF_E_NOT_OWNER (the calling thread does not have the mutex), RF_E_OTHER_MUTEX
 * (others wait with another mutex, or it lies in another segment; nobody was notified), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any. Crash: killed in the middle, some or all of them are notified.
 */
int rf_condvar_notify(const struct rf_condvar *condvar,
                      const rf_mutex *mutex,
                      int64_t count,
                      uint32_t *notified);

/**
 * `rf_condvar_notify` with a reentrant mutex.
 *
 * @param condvar   the condition variable
 * @param mutex     the mutex, locked by the calling thread; it stays locked
 * @param count     how many at most; 0 or less notifies nobody, RF_ALL all
 * @param notified  how many it were; or NULL
 * @return RF_OK; RF_E_NOT_OWNER, RF_E_OTHER_MUTEX, RF_E_CORRUPTED, RF_E_INVALID
 */
int rf_condvar_notify_reentrant(const struct rf_condvar *condvar,
                                const rf_reentrant_mutex *mutex,
                                int64_t count,
                                uint32_t *notified);

/**
 * How many wait now and are not notified. It may change at once; who gives up or dies counts until it has the mutex, or is
 * found dead.
 *
 * @param condvar  the condition variable
 * @param waiting  the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_condvar_waiting(const struct rf_condvar *condvar,
                       uint32_t *waiting);

/**
 * Gives the handle back. The condition variable stays.
 *
 * @param condvar  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_condvar_close(struct rf_condvar *condvar);

/* # Barriers
 *
 * A place where a number of parties, threads of any processes, wait for each other, round after round. A round is over when
 * all have arrived; each is told how many were there before it. No round ends before all have left the last.
 *
 * The last to arrive may do something before anybody goes on, in two steps:
 *
 *     int got = rf_barrier_arrive(barrier, RF_FOREVER, &index);
 *     if (got == RF_LAST)
 *         got = merge() == 0 ? rf_barrier_release(barrier) : rf_barrier_abort(barrier);
 *
 * A barrier is *broken* when a party's time is up (a try that is not the last: at once), when somebody calls
 * `rf_barrier_abort`, or when a party dies. Then who waits and who comes gets RF_E_BROKEN, or RF_E_PARTY_DIED if it was a
 * death, until `rf_barrier_reset`. Who has been let through goes on, whatever happens afterwards. The time of who waits runs
 * until it is let through.
 *
 * The death of a process with a thread that has arrived in this round, or is about to, breaks the round; that of a process
 * that is registered (`rf_barrier_register`) breaks the barrier at any time. A process that dies when its round is over, or when
 * the last one arrives before anybody has noticed, is only not waited for any more. In two steps a thread that ends between them, in a process that goes on, leaves the others
 * waiting until their time is up.
 *
 * What a party did before it arrived is seen by all who are let through. A process that is stopped before it has left keeps
 * the next round from ending.
 */

/** A handle to a barrier. */
typedef struct rf_barrier rf_barrier;

/**
 * Opens the barrier of that name, or makes it.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`; without RF_CREATE the next one is not compared: whatever is there is opened
 * @param parties  for how many it waits: 1 to 65,535
 * @param out      the handle; `rf_barrier_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another number of
 * parties), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a barrier.
 */
int rf_barrier_open(const rf_segment *segment,
                    const char *name,
                    int flags,
                    size_t parties,
                    struct rf_barrier **out);

/**
 * Waits until all parties have arrived.
 *
 * @param barrier     the barrier
 * @param timeout_ns  how long to wait for the others; RF_FOREVER; 0 goes through only as the last
 * @param index       how many had arrived before: 0 for the first, parties - 1 for the last; or NULL
 * @return RF_OK; RF_E_TIMED_OUT (the caller's time was up, also of a try, which has broken the barrier), RF_E_BROKEN,
 * RF_E_PARTY_DIED, RF_E_INTERRUPTED (a caller who has arrived stays so: the same thread calls again, or aborts; closing the
 * handle does that, too), RF_E_MAXIMUM_REACHED (16,383 threads of the process are there), RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: the death of a process that has arrived breaks the round.
 */
int rf_barrier_wait(const struct rf_barrier *barrier,
                    int64_t timeout_ns,
                    size_t *index);

/**
 * Waits until all parties have arrived, and the last of them has released the others. If the caller is that one, it returns
 * RF_LAST at once; the others wait until it calls `rf_barrier_release`, or breaks the barrier by `rf_barrier_abort`.
 *
 * @param barrier     the barrier
 * @param timeout_ns  how long to wait for the others; RF_FOREVER; 0 goes through only as the last
 * @param index       how many had arrived before, or NULL
 * @return RF_OK (the caller was let through); RF_LAST (it is to release the others); and as `rf_barrier_wait`
 *
 * Threads, processes: any. Crash: the death of a process that has arrived breaks the round, also between the two steps.
 */
int rf_barrier_arrive(const struct rf_barrier *barrier,
                      int64_t timeout_ns,
                      size_t *index);

/**
 * Lets all parties through, after RF_LAST.
 *
 * @param barrier  the barrier
 * @return RF_OK; RF_E_BROKEN or RF_E_PARTY_DIED (the barrier was broken meanwhile, and nobody goes through); RF_E_NOT_OWNER (the
 * calling thread is not the last to arrive in this round)
 *
 * Threads: the one that got RF_LAST. Crash: killed in the middle, all are let through or the barrier is broken.
 */
int rf_barrier_release(const struct rf_barrier *barrier);

/**
 * Registers a party of the calling process: from now on its death breaks the barrier at any time, not only when it has
 * arrived. It counts: each registration is taken back once.
 *
 * @param barrier  the barrier
 * @return RF_OK; RF_E_MAXIMUM_REACHED (16,383 of the process are registered), RF_E_CORRUPTED
 *
 * Threads, processes: any. A forked child is not registered. Crash: killed in the middle, it is registered or not.
 */
int rf_barrier_register(const struct rf_barrier *barrier);

/**
 * Takes a registration of the calling process back. Closing the handle does not; the end of the process is its death.
 *
 * @param barrier  the barrier
 * @return RF_OK; RF_E_NOT_OWNER (the process is not registered)
 */
int rf_barrier_unregister(const struct rf_barrier *barrier);

/**
 * Breaks the barrier: who waits and who comes gets RF_E_BROKEN, until it is reset. A caller that got RF_LAST, or
 * RF_E_INTERRUPTED, has left it then.
 *
 * @param barrier  the barrier
 * @return RF_OK, also if it was broken
 *
 * Threads, processes: any. Crash: killed in the middle, it is broken or not.
 */
int rf_barrier_abort(const struct rf_barrier *barrier);

/**
 * Mends the barrier. Who waits gets RF_E_BROKEN, and who comes waits until those have left.
 *
 * @param barrier  the barrier
 * @return RF_OK, also if it was whole and nobody waited; then nothing changes
 *
 * Threads, processes: any. Crash: killed in the middle, it is mended or not.
 */
int rf_barrier_reset(const struct rf_barrier *barrier);

/**
 * Whether the barrier is broken now; it may change at once.
 *
 * @param barrier    the barrier
 * @param is_broken  1 or 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_barrier_is_broken(const struct rf_barrier *barrier, int *is_broken);

/**
 * How many have arrived and wait for others now; 0 as soon as all have. It may change at once.
 *
 * @param barrier  the barrier
 * @param waiting  how many
 * @return RF_OK, RF_E_INVALID
 */
int rf_barrier_waiting(const struct rf_barrier *barrier, size_t *waiting);

/**
 * For how many it waits.
 *
 * @param barrier  the barrier
 * @param parties  how many
 * @return RF_OK, RF_E_INVALID
 */
int rf_barrier_parties(const struct rf_barrier *barrier, size_t *parties);

/**
 * Gives the handle back. The barrier stays as it is; but a wait of the calling thread that was interrupted ends, as by
 * `rf_barrier_abort`.
 *
 * @param barrier  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_barrier_close(struct rf_barrier *barrier);

/* # Once
 *
 * Something that one of many processes does once: all others wait until it is done.
 *
 *     switch (rf_once_begin(once, RF_FOREVER)) {
 *     case RF_YOUR_TURN_AGAIN:
 *         tidy_up();                          // whoever had the turn was killed, or gave up
 *         // fall through
 *     case RF_YOUR_TURN:
 *         status = prepare();
 *         if (status == 0) rf_once_complete(once); else rf_once_abandon(once);
 *         break;
 *     case RF_OK:                             // it is done
 *         break;
 *     }
 *
 * The turn is a thread's: only it may end it, and if it asks again in the middle that is an error
 * (`RF_E_WOULD_DEADLOCK`), not a hang. A thread or process that ends in its turn has not done it: the next one has the turn.
 * Whoever sees that it is done sees what was done. Once it is done, a call makes no system call. With a value beside it, it
 * is a `rf_once_value`.
 */

/** A handle to a once. */
typedef struct rf_once rf_once;

/**
 * Opens the once of that name, or makes it, not done.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param out      the handle; `rf_once_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (one with a value), RF_E_NO_SPACE,
 * RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a once.
 */
int rf_once_open(const rf_segment *segment, const char *name, int flags, struct rf_once **out);

/**
 * Waits until it is done, or it is the calling thread's turn to do it.
 *
 * @param once        the once
 * @param timeout_ns  how long to wait for somebody who is at it; RF_FOREVER, 0 to try
 * @return RF_OK (it is done); RF_YOUR_TURN, RF_YOUR_TURN_AGAIN (see above); RF_E_BUSY (somebody is at it, and not to wait),
 * RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED
 *
 * Threads, processes: any. Crash: a thread or process that ends in its turn passes it on to the next with
 * RF_YOUR_TURN_AGAIN, within a tenth of a second to one that already waits.
 */
int rf_once_begin(const struct rf_once *once,
                  int64_t timeout_ns);

/**
 * Says that it is done, and ends the turn: all who wait go on.
 *
 * @param once  the once
 * @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn)
 *
 * Crash: killed in the middle, it is done, or the next one's turn with RF_YOUR_TURN_AGAIN.
 */
int rf_once_complete(const struct rf_once *once);

/**
 * Ends the turn without having done it: it is the next one's, with RF_YOUR_TURN_AGAIN.
 *
 * @param once  the once
 * @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn)
 */
int rf_once_abandon(const struct rf_once *once);

/**
 * Waits until somebody else has done it, also if nobody is at it yet.
 *
 * @param once        the once
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
 * @return RF_OK (it is done); RF_E_BUSY (it is not, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
 * RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED
 *
 * Threads, processes: any.
 */
int rf_once_wait(const struct rf_once *once, int64_t timeout_ns);

/**
 * Whether it is done.
 *
 * @param once       the once
 * @param completed  1 or 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_once_is_completed(const struct rf_once *once, int *completed);

/**
 * Which process has the turn: for humans who look for the cause of a hang. It may change at once.
 *
 * @param once  the once
 * @param pid   its process id as it sees itself; 0 if nobody is at it
 * @return RF_OK, RF_E_INVALID
 */
int rf_once_holder(const struct rf_once *once, int32_t *pid);

/**
 * Gives the handle back. A turn that the calling thread has remains its own.
 *
 * @param once  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_once_close(struct rf_once *once);

/* # Values that are set once
 *
 * A value that one of many processes sets, once, and that all of them then read: a `rf_once` with bytes beside it. Whoever
 * gets the value gets the whole of it, and it never changes. A process that dies before it has completed the value leaves
 * nothing of it.
 *
 *     switch (rf_once_value_begin(table, &row, RF_FOREVER)) {
 *     case RF_YOUR_TURN:
 *     case RF_YOUR_TURN_AGAIN:
 *         row = find_out();
 *         rf_once_value_complete(table, &row);
 *         // fall through
 *     case RF_OK:
 *         use(&row);
 *     }
 *
 * The type is given as for a `rf_value`. `RF_BOOL` is 0 or 1: every other byte counts as 1.
 */

/** A handle to a value that is set once. */
typedef struct rf_once_value rf_once_value;

/**
 * Opens the value of that name, or makes it, not set.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param type     of `rf_type`; both sides name the same one
 * @param size     bytes of the value; for scalars 0 will do
 * @param align    its alignment (`_Alignof`), a power of two, at most 128; for scalars 0 will do
 * @param tag      RF_STRUCT: a name for the type that both sides must use; NULL or "" for none
 * @param out      the handle; `rf_once_value_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another type),
 * RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half of it.
 */
int rf_once_value_open(const rf_segment *segment,
                       const char *name,
                       int flags,
                       int type,
                       size_t size,
                       size_t align,
                       const char *tag,
                       struct rf_once_value **out);

/**
 * Reads the value. One load and the copying: it never waits.
 *
 * @param value  the value
 * @param out    room for it; of an RF_BOOL, 0 or 1 whatever lies in memory
 * @return RF_OK, RF_E_NOT_READY (there is none yet), RF_E_INVALID
 *
 * Threads, processes: any number at once.
 */
int rf_once_value_get(const struct rf_once_value *value, void *out);

/**
 * Reads the value, or gives the calling thread the turn to set it.
 *
 * @param value       the value
 * @param out         room for it; written if the result is RF_OK
 * @param timeout_ns  how long to wait for somebody who is at it; RF_FOREVER, 0 to try
 * @return RF_OK (there is one); RF_YOUR_TURN, RF_YOUR_TURN_AGAIN (the last to have the turn died or gave up): end it by
 * `rf_once_value_complete` or `rf_once_value_abandon`; RF_E_BUSY (somebody is at it, and not to wait), RF_E_TIMED_OUT,
 * RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any. Crash: a thread or process that ends in its turn passes it on to the next with
 * RF_YOUR_TURN_AGAIN, within a tenth of a second to one that already waits.
 */
int rf_once_value_begin(const struct rf_once_value *value, void *out, int64_t timeout_ns);

/**
 * Sets the value, and ends the turn: all who wait go on.
 *
 * @param value  the value
 * @param new    its bytes; of an RF_BOOL, every byte but 0 is written as 1
 * @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn), RF_E_INVALID
 *
 * Crash: killed in the middle, there is a value, or it is the next one's turn with RF_YOUR_TURN_AGAIN.
 */
int rf_once_value_complete(const struct rf_once_value *value, const void *new_);

/**
 * Ends the turn without a value: it is the next one's, with RF_YOUR_TURN_AGAIN.
 *
 * @param value  the value
 * @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn)
 */
int rf_once_value_abandon(const struct rf_once_value *value);

/**
 * Sets the value if there is none: a turn and its end in one call.
 *
 * @param value       the value
 * @param new         its bytes; of an RF_BOOL, every byte but 0 is written as 1
 * @param timeout_ns  how long to wait for somebody who is at it; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_COMPLETED (there is one, and it stays); RF_E_BUSY (somebody is at it, and not to wait),
 * RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any. Crash: killed in the middle, it is set or not.
 */
int rf_once_value_set(const struct rf_once_value *value, const void *new_, int64_t timeout_ns);

/**
 * Waits until somebody else has set the value, and reads it.
 *
 * @param value       the value
 * @param out         room for it
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
 * @return RF_OK; RF_E_BUSY (there is none, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
 * RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any.
 */
int rf_once_value_wait(const struct rf_once_value *value, void *out, int64_t timeout_ns);

/**
 * Which process has the turn: for humans who look for the cause of a hang. It may change at once.
 *
 * @param value  the value
 * @param pid    its process id as it sees itself; 0 if nobody is at it
 * @return RF_OK, RF_E_INVALID
 */
int rf_once_value_holder(const struct rf_once_value *value, int32_t *pid);

/**
 * Gives the handle back. The value stays; a turn that the calling thread has remains its own.
 *
 * @param value  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_once_value_close(struct rf_once_value *value);

/* # Values
 *
 * One typed value that processes share. What is read is always a value that was written, whole: scalars (everything but
 * `RF_STRUCT`) are changed in one step; larger values are kept twice, so that a death in the middle of a write leaves the
 * old one.
 *
 * `rf_value_get`, `rf_value_set` and the arithmetic need no lock. To change a value depending on what it was, in more
 * than one step, lock it; everybody else who changes it so must lock too. The lock is reentrant: a thread that has it may
 * lock again, and unlocks as often. Rust's `RawValue` and `RawArray` are handles to the same objects without the calls
 * that lock: in C that is a handle on which nobody calls them.
 *
 * Integers are passed as `int64_t` whatever their type: converted to it as C does, wrapped to the type as C does for
 * unsigned numbers. There is arithmetic on `RF_I8` to `RF_U64` only: floating-point numbers, `RF_BOOL`, `RF_CHAR` and
 * structs are no integers.
 *
 * `RF_BOOL` is 0 or 1: every other byte, written here or found in memory, counts as 1.
 */

/** A handle to a value. */
typedef struct rf_value rf_value;

/**
 * Opens the value of that name, or makes it.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param type     of `rf_type`; both sides name the same one
 * @param size     bytes of the value; for scalars 0 will do
 * @param align    its alignment (`_Alignof`), a power of two, at most 128; for scalars 0 will do
 * @param tag      RF_STRUCT: a name for the type that both sides must use; NULL or "" for none
 * @param initial  `size` bytes, the value if this call makes it; NULL for all zero
 * @param out      the handle; `rf_value_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another type),
 * RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a value.
 */
int rf_value_open(const rf_segment *segment,
                  const char *name,
                  int flags,
                  int type,
                  size_t size,
                  size_t align,
                  const char *tag,
                  const void *initial,
                  struct rf_value **out);

/**
 * Reads the value.
 *
 * @param value  the value
 * @param out    room for it; of an RF_BOOL, 0 or 1 whatever lies in memory
 * @return RF_OK, RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any number at once, whoever has the lock. A struct that is changed all the time is read under the
 * lock in the end, for which the call waits.
 */
int rf_value_get(const struct rf_value *value, void *out);

/**
 * Writes the value.
 *
 * A scalar is written whoever has the lock. A larger value (RF_STRUCT) is written under the lock, which the call takes
 * and waits for if another thread has it.
 *
 * @param value  the value
 * @param new    the bytes to write; of an RF_BOOL, every byte but 0 is written as 1
 * @return RF_OK, RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (the calling thread has locked it as often as can be counted),
 * RF_E_CORRUPTED, RF_E_INVALID
 *
 * Crash: killed in the middle, the value is the old or the new one, never a mixture.
 */
int rf_value_set(const struct rf_value *value, const void *new_);

/**
 * Locks the value for the calling thread, once more if it has it.
 *
 * @param value       the value
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: what it was about to change in several steps may be
 * half done; everything that was set is whole); RF_E_BUSY (somebody has it, and not to wait), RF_E_TIMED_OUT,
 * RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (the calling thread has locked it 2^32 - 1 times), RF_E_CORRUPTED
 *
 * Crash: a thread or process that ends while holding the lock passes it on with RF_OWNER_DIED.
 */
int rf_value_lock(const struct rf_value *value, int64_t timeout_ns);

/**
 * Unlocks the value once.
 *
 * @param value  the value
 * @return RF_OK, RF_E_NOT_OWNER (the calling thread does not have it)
 */
int rf_value_unlock(const struct rf_value *value);

/**
 * Which process holds the value's lock: for humans who look for the cause of a hang. It may change at once.
 *
 * @param value  the value
 * @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
 * @return RF_OK, RF_E_INVALID
 */
int rf_value_holder(const struct rf_value *value, int32_t *pid);

/**
 * Adds to an integer in one step.
 *
 * @param value     a value of an integer type
 * @param operand   what to add; it wraps
 * @param previous  what the value was; may be NULL
 * @return RF_OK, RF_E_NOT_SUPPORTED (no integer: RF_F32, RF_F64, RF_BOOL, RF_CHAR, RF_STRUCT), RF_E_INVALID
 *
 * Threads, processes: any number at once, whoever has the lock.
 */
int rf_value_fetch_add(const struct rf_value *value, int64_t operand, int64_t *previous);

/**
 * Subtracts from an integer in one step. As `rf_value_fetch_add`.
 *
 * @param value     a value of an integer type
 * @param operand   what to subtract; it wraps
 * @param previous  what the value was; may be NULL
 * @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
 */
int rf_value_fetch_sub(const struct rf_value *value, int64_t operand, int64_t *previous);

/**
 * Clears the bits of an integer that `operand` does not have, in one step. As `rf_value_fetch_add`.
 *
 * @param value     a value of an integer type
 * @param operand   the bits to keep
 * @param previous  what the value was; may be NULL
 * @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
 */
int rf_value_fetch_and(const struct rf_value *value, int64_t operand, int64_t *previous);

/**
 * Sets the bits of an integer that `operand` has, in one step. As `rf_value_fetch_add`.
 *
 * @param value     a value of an integer type
 * @param operand   the bits to set
 * @param previous  what the value was; may be NULL
 * @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
 */
int rf_value_fetch_or(const struct rf_value *value, int64_t operand, int64_t *previous);

/**
 * Inverts the bits of an integer that `operand` has, in one step. As `rf_value_fetch_add`.
 *
 * @param value     a value of an integer type
 * @param operand   the bits to invert
 * @param previous  what the value was; may be NULL
 * @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
 */
int rf_value_fetch_xor(const struct rf_value *value, int64_t operand, int64_t *previous);

/**
 * Writes an integer and tells what it was, in one step. As `rf_value_fetch_add`.
 *
 * @param value     a value of an integer type
 * @param new       what to write; it wraps
 * @param previous  what the value was; may be NULL
 * @return RF_OK, RF_E_NOT_SUPPORTED (no integer), RF_E_INVALID
 */
int rf_value_swap(const struct rf_value *value, int64_t new_, int64_t *previous);

/**
 * Writes an integer if it is what the caller expects, in one step.
 *
 * @param value     a value of an integer type
 * @param expected  what it should be
 * @param new       what to write then; it wraps
 * @param previous  what the value was; may be NULL
 * @return RF_OK (written), RF_DIFFERENT (it was something else and stays so), RF_E_NOT_SUPPORTED (no integer),
 * RF_E_INVALID
 *
 * Threads, processes: any number at once, whoever has the lock.
 */
int rf_value_compare_exchange(const struct rf_value *value, int64_t expected, int64_t new_, int64_t *previous);

/**
 * Gives the handle back. The value stays; one that the calling thread has locked stays locked.
 *
 * @param value  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_value_close(struct rf_value *value);

/* # Arrays
 *
 * A fixed number of elements of one type that processes share. Each element is read and written whole: those of 1, 2, 4
 * or 8 bytes in one step; others are kept twice, so that a death in the middle of a write leaves the old one.
 *
 * What spans several elements is one moment's only under the array's lock, if everybody who writes takes it. The lock is
 * reentrant: a thread that has it may lock again, and unlocks as often.
 *
 * Integers are passed as `int64_t`, and there is arithmetic on `RF_I8` to `RF_U64` only; `RF_BOOL` is 0 or 1: every other
 * byte, written here or found in memory, counts as 1. Both as for values.
 */

/** A handle to an array. */
typedef struct rf_array rf_array;

/**
 * Opens the array of that name, or makes it, all zero.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`
 * @param type     of `rf_type`; both sides name the same one
 * @param size     bytes of an element; for scalars 0 will do
 * @param align    its alignment (`_Alignof`), a power of two, at most 128; for scalars 0 will do
 * @param tag      RF_STRUCT: a name for the type that both sides must use; NULL or "" for none
 * @param len      how many elements: at least 1; 0 without RF_CREATE takes what is there
 * @param out      the handle; `rf_array_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another type or
 * length), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half an array.
 */
int rf_array_open(const rf_segment *segment,
                  const char *name,
                  int flags,
                  int type,
                  size_t size,
                  size_t align,
                  const char *tag,
                  size_t len,
                  struct rf_array **out);

/**
 * How many elements the array has.
 *
 * @param array  the array
 * @param len    the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_array_len(const struct rf_array *array, size_t *len);

/**
 * Reads elements.
 *
 * @param array  the array
 * @param first  index of the first, from 0
 * @param count  how many; 0 reads nothing
 * @param out    room for `count` elements; of RF_BOOL, 0 or 1 whatever lies in memory
 * @return RF_OK, RF_E_INTERRUPTED (nothing was read), RF_E_CORRUPTED, RF_E_INVALID (beyond the end, or NULL)
 *
 * Threads, processes: any number at once. Each element is read whole; under the lock, so is the row. An element that is
 * not of 1, 2, 4 or 8 bytes and is changed all the time is read under the lock in the end, for which the call waits.
 */
int rf_array_read(const struct rf_array *array, size_t first, size_t count, void *out);

/**
 * Writes elements.
 *
 * @param array     the array
 * @param first     index of the first, from 0
 * @param count     how many; 0 writes nothing
 * @param elements  `count` elements; of RF_BOOL, every byte but 0 is written as 1
 * @return RF_OK, RF_E_INTERRUPTED (nothing was written), RF_E_MAXIMUM_REACHED (the calling thread has locked the array
 * 2^32 - 1 times), RF_E_CORRUPTED, RF_E_INVALID (beyond the end, or NULL)
 *
 * Threads, processes: any number at once; elements that are not of 1, 2, 4 or 8 bytes are written under the lock, which
 * the call takes and waits for. Crash: killed in the middle, each element is the old or the new one; of a row, a part may
 * be written. Take the lock, and its next owner is told (RF_OWNER_DIED).
 */
int rf_array_write(const struct rf_array *array,
                   size_t first,
                   size_t count,
                   const void *elements);

/**
 * Reads one element. As `rf_array_read` with a count of 1.
 *
 * @param array  the array
 * @param index  from 0
 * @param out    room for the element
 * @return what `rf_array_read` returns
 */
int rf_array_get(const struct rf_array *array, size_t index, void *out);

/**
 * Writes one element. As `rf_array_write` with a count of 1.
 *
 * @param array    the array
 * @param index    from 0
 * @param element  the element
 * @return what `rf_array_write` returns
 */
int rf_array_set(const struct rf_array *array, size_t index, const void *element);

/**
 * Writes one element to all places.
 *
 * @param array    the array
 * @param element  the element
 * @return what `rf_array_write` returns; the lock is taken once for all places
 *
 * Crash: as `rf_array_write`.
 */
int rf_array_fill(const struct rf_array *array, const void *element);

/**
 * The address of the elements in this process, for access without copies (NumPy): a C array, of elements of 1, 2, 4 or 8
 * bytes. Another process may change them at any time: use C11 or C++ atomics, or the lock, everybody. A faulty peer may
 * write any byte into an RF_BOOL: read it as `uint8_t` here.
 *
 * @param array     the array
 * @param elements  the address of the first, valid until the handle is closed
 * @return RF_OK, RF_E_NOT_SUPPORTED (elements of another size, which are kept twice), RF_E_INVALID
 */
int rf_array_pointer(const struct rf_array *array,
                     void **elements);

/**
 * Locks the array for the calling thread, once more if it has it.
 *
 * @param array       the array
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to try
 * @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: a row that it was about to write may
 * be half done; each element is whole); RF_E_BUSY (somebody has it, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
 * RF_E_MAXIMUM_REACHED (the calling thread has locked it 2^32 - 1 times), RF_E_CORRUPTED
 *
 * Crash: a thread or process that ends while holding the lock passes it on with RF_OWNER_DIED.
 */
int rf_array_lock(const struct rf_array *array, int64_t timeout_ns);

/**
 * Unlocks the array once.
 *
 * @param array  the array
 * @return RF_OK, RF_E_NOT_OWNER (the calling thread does not have it)
 */
int rf_array_unlock(const struct rf_array *array);

/**
 * Which process holds the array's lock: for humans who look for the cause of a hang. It may change at once.
 *
 * @param array  the array
 * @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
 * @return RF_OK, RF_E_INVALID
 */
int rf_array_holder(const struct rf_array *array, int32_t *pid);

/**
 * Adds to an integer element in one step.
 *
 * @param array     an array of an integer type
 * @param index     from 0
 * @param operand   what to add; it wraps
 * @param previous  what the element was; may be NULL
 * @return RF_OK, RF_E_NOT_SUPPORTED (no integer: RF_F32, RF_F64, RF_BOOL, RF_CHAR, RF_STRUCT), RF_E_INVALID (beyond the
 * end, or NULL)
 *
 * Threads, processes: any number at once, whoever has the lock. Crash: killed in the middle, it is done or not.
 */
int rf_array_fetch_add(const struct rf_array *array, size_t index, int64_t operand, int64_t *previous);

/**
 * Writes an integer element if it is what the caller expects, in one step.
 *
 * @param array     an array of an integer type
 * @param index     from 0
 * @param expected  what the element should be
 * @param new       what to write then; it wraps
 * @param previous  what the element was; may be NULL
 * @return RF_OK (written), RF_DIFFERENT (it was something else and stays so), RF_E_NOT_SUPPORTED (no integer),
 * RF_E_INVALID (beyond the end, or NULL)
 *
 * Threads, processes: any number at once, whoever has the lock. Crash: killed in the middle, it is done or not.
 */
int rf_array_compare_exchange(const struct rf_array *array,
                              size_t index,
                              int64_t expected,
                              int64_t new_,
                              int64_t *previous);

/**
 * Gives the handle back. The array stays; one that the calling thread has locked stays locked.
 *
 * @param array  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_array_close(struct rf_array *array);

/* # Queues
 *
 * A queue carries items of one fixed size, first in, first out, between any number of processes that push and that pop.
 * Each item is delivered at most once, and whole: an item whose push has returned is there even if the pusher is killed
 * the next moment; an item whose pop has begun to return dies with the process that popped it. Items of one pusher
 * arrive in order.
 *
 * Items are plain bytes: no pointers in them. Both sides name the same size and alignment, and the same tag if they use
 * one; the Rust side is `Queue<T>`.
 *
 * Pushing is lock-free. A pop may have to wait, shortly, for a process that is stopped in the middle of its push; one
 * that died there is skipped.
 *
 * `rf_queue_push_many` and `rf_queue_pop_many` move several items by one call, and wake sleepers once. There is no room to
 * write an item in place, and none is read in place: items are copied.
 */

/** A handle to a queue. */
typedef struct rf_queue rf_queue;

/**
 * Opens the queue of that name, or makes it.
 *
 * @param segment     where it lives
 * @param name        its name in the segment
 * @param flags       of `rf_flags`
 * @param item_size   bytes of an item; 0 for items that only count
 * @param item_align  alignment of an item (`_Alignof`): a power of two
 * @param tag         a name for the type of the items that both sides must use; NULL or "" for none
 * @param capacity    how many items it holds, exactly: at least 1; 0 without `RF_CREATE` takes what is there
 * @param out         the handle; `rf_queue_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another item or
 * capacity), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a queue.
 */
int rf_queue_open(const rf_segment *segment,
                  const char *name,
                  int flags,
                  size_t item_size,
                  size_t item_align,
                  const char *tag,
                  size_t capacity,
                  struct rf_queue **out);

/**
 * Puts an item at the end of the queue.
 *
 * @param queue       the queue
 * @param item        `item_size` bytes, copied
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down), RF_E_INTERRUPTED,
 * RF_E_CORRUPTED
 *
 * Threads, processes: any number at once. Crash: killed before it returns, the item is there whole, or not at all.
 */
int rf_queue_push(const struct rf_queue *queue, const void *item, int64_t timeout_ns);

/**
 * Takes the item at the head of the queue.
 *
 * @param queue       the queue
 * @param item        room for `item_size` bytes
 * @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_BUSY (the next item is just being written, and not
 * to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down and drained), RF_E_INTERRUPTED, RF_E_CORRUPTED
 *
 * Threads, processes: any number at once. Crash: killed in the middle, the item stays for others, or is gone with the
 * killed process; it is never delivered twice.
 */
int rf_queue_pop(const struct rf_queue *queue, void *item, int64_t timeout_ns);

/**
 * Puts as many of these items at the end of the queue as there is room for, from the first on; waits for room for one.
 * They arrive in this order; those of other pushers may come between them.
 *
 * @param queue       the queue
 * @param items       `count` times `item_size` bytes, one after another, copied
 * @param count       how many
 * @param pushed      how many were pushed: at least 1, unless `count` is 0, and at most the capacity
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return as `rf_queue_push`: then none was pushed
 *
 * Threads, processes: any number at once. Crash: killed in the middle, the first of them are there, each whole.
 */
int rf_queue_push_many(const struct rf_queue *queue,
                       const void *items,
                       size_t count,
                       size_t *pushed,
                       int64_t timeout_ns);

/**
 * Takes as many items as there are and there is room for, waiting for one.
 *
 * @param queue       the queue
 * @param items       room for `count` times `item_size` bytes, which are filled one after another; behind the last one it
 * stays as it was
 * @param count       how many at the most
 * @param popped      how many were taken: at least 1, unless `count` is 0, and at most the capacity
 * @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
 * @return as `rf_queue_pop`: then none was taken
 *
 * Threads, processes: any number at once. Crash: killed in the middle, what was taken is gone with the killed process, the
 * rest stays for others; nothing is delivered twice.
 */
int rf_queue_pop_many(const struct rf_queue *queue,
                      void *items,
                      size_t count,
                      size_t *popped,
                      int64_t timeout_ns);

/**
 * How many items are in the queue at this moment.
 *
 * @param queue  the queue
 * @param len    between 0 and the capacity; exact if nobody pushes or pops meanwhile
 * @return RF_OK, RF_E_INVALID
 */
int rf_queue_len(const struct rf_queue *queue, size_t *len);

/**
 * How many items the queue holds when it is full.
 *
 * @param queue     the queue
 * @param capacity  the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_queue_capacity(const struct rf_queue *queue, size_t *capacity);

/**
 * Ends the queue for everybody: pushes fail with `RF_E_CLOSED` from now on, pops take what is there and then fail so too.
 * Sleepers wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`.
 *
 * @param queue  the queue
 * @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
 */
int rf_queue_shutdown(const struct rf_queue *queue);

/**
 * Whether the queue was shut down.
 *
 * @param queue  the queue
 * @param is     1 if it was, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_queue_is_shut_down(const struct rf_queue *queue, int *is);

/**
 * Gives the handle back. The queue and what is in it stay.
 *
 * @param queue  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_queue_close(struct rf_queue *queue);

/* # Channels
 *
 * A channel carries messages of any size in bytes, first in, first out, between any number of processes that send and
 * that receive. Messages keep their borders; an empty one is a message. Each is delivered at most once, and whole: one
 * whose send has returned is there even if the sender is killed the next moment; one that a receive has taken dies with
 * the process that took it.
 *
 * A message that is longer than the ring goes in pieces, if it is sent so: `rf_channel_send_long`.
 *
 * A message can be written where it lies before it is sent, and read where it lies before it is received, without a copy:
 * `rf_channel_send_with` and `rf_channel_recv_with` call back with the two parts of it, of which the second is empty unless
 * the message goes over the end of the ring. `rf_channel_send_many` and `rf_channel_recv_many` move several by one call.
 *
 * Sending and receiving take a lock each, which survives the death of its holder; they do not wait for one another.
 */

/** A handle to a channel. */
typedef struct rf_channel rf_channel;

/**
 * Writes a message where it lies: `first_len` bytes, aligned to 8, and then `rest_len` more. What is in them is arbitrary.
 * Returns how many bytes of it are to be sent, or a negative number to send nothing. The channel's senders wait meanwhile. It
 * returns in the normal way (no `longjmp`, no exception).
 */
typedef int64_t (*rf_message_fill)(void *context, void *first, size_t first_len, void *rest, size_t rest_len);

/**
 * Reads a message where it lies: `first_len` bytes, and then `rest_len` more. The channel's receivers wait meanwhile. It returns
 * in the normal way (no `longjmp`, no exception).
 */
typedef void (*rf_message_read)(void *context, const void *first, size_t first_len, const void *rest, size_t rest_len);

/** A message to be sent: `len` bytes from `data` on, which may be NULL if `len` is 0. */
typedef struct rf_message {
    /** Where it is. */
    const void *data;
    /** Its length. */
    size_t len;
} rf_message;

/**
 * Opens the channel of that name, or makes it.
 *
 * @param segment     where it lives
 * @param name        its name in the segment
 * @param flags       of `rf_flags`
 * @param ring_bytes  room for messages; each takes its length and a few bytes more. 0 without `RF_CREATE` takes what is
 * there
 * @param out         the handle; `rf_channel_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another
 * capacity), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a channel.
 */
int rf_channel_open(const rf_segment *segment, const char *name, int flags, size_t ring_bytes, struct rf_channel **out);

/**
 * Sends a message.
 *
 * @param channel     the channel
 * @param message     `len` bytes, copied; may be NULL if `len` is 0
 * @param len         its length, at most `rf_channel_max_message`
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG (it can never fit),
 * RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_WOULD_DEADLOCK (within `rf_message_fill`)
 *
 * Threads, processes: any number at once. Crash: killed before it returns, the message is there whole, or not at all.
 */
int rf_channel_send(const struct rf_channel *channel, const void *message, size_t len, int64_t timeout_ns);

/**
 * Sends a message of any length.
 *
 * One that fits the ring is sent as by `rf_channel_send`. A longer one goes in pieces, from this sender to one receiver: the
 * call returns when that receiver has all of it, and other senders wait meanwhile.
 *
 * @param channel     the channel
 * @param message     `len` bytes, copied; may be NULL if `len` is 0
 * @param len         its length
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to try: then a receiver is to take each piece within 20 ms
 * @return RF_OK; RF_E_FULL (nobody took it, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG (a ring of less than 32
 * bytes), RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED. Where it fails nobody has received anything of it.
 *
 * Threads, processes: any number at once. Crash: killed before it returns, somebody has received all of it, or nobody
 * anything. A receiver that is killed in the middle has received nothing, and all of it goes to the next.
 */
int rf_channel_send_long(const struct rf_channel *channel,
                         const void *message,
                         size_t len,
                         int64_t timeout_ns);

/**
 * Receives a message.
 *
 * @param channel     the channel
 * @param buffer      room for `size` bytes; may be NULL if `size` is 0
 * @param size        its size; `rf_channel_max_message` is enough for all but those of `rf_channel_send_long`. If the call
 * fails its bytes are as they were, but for such a message that did not come to its end
 * @param len         the length of the message; with RF_E_BUFFER_TOO_SHORT too: then the message is still there
 * @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT, RF_E_CLOSED (shut
 * down and drained), RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_WOULD_DEADLOCK (within `rf_message_read`)
 *
 * Threads, processes: any number at once. Crash: killed in the middle, the message stays for others, or is gone with the
 * killed process; it is never delivered twice.
 */
int rf_channel_recv(const struct rf_channel *channel,
                    void *buffer,
                    size_t size,
                    size_t *len,
                    int64_t timeout_ns);

/**
 * Sends a message that a function writes where it lies.
 *
 * Nobody sees anything of it before the function returns, and the other senders wait until then, as does whoever shuts the
 * channel down: so it should do nothing but write. Receivers go on. It is not called where the call fails.
 *
 * @param channel     the channel
 * @param len         room for so many bytes, at most `rf_channel_max_message`
 * @param fill        writes them, and says how many are to be sent
 * @param context     for the function; may be NULL
 * @param sent        1 if the message was sent, 0 if the function wanted nothing to be sent
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return RF_OK, and as `rf_channel_send`; RF_E_INVALID also if the function wants to send more than there is room for, and
 * RF_E_NOT_OWNER in a process that was forked within the function: then nothing was sent
 *
 * Threads, processes: any number at once. Crash: killed before it returns, the message is there as written, or not at all;
 * killed within the function it is not there, and the next sender goes on.
 */
int rf_channel_send_with(const struct rf_channel *channel,
                         size_t len,
                         rf_message_fill fill,
                         void *context,
                         int *sent,
                         int64_t timeout_ns);

/**
 * Receives a message that a function reads where it lies.
 *
 * The message is received when the function returns; the other receivers wait until then: so it should do nothing but read.
 * Senders go on. It is not called where the call fails. A message of `rf_channel_send_long` that came in pieces is copied, and
 * received before the function sees it.
 *
 * @param channel     the channel
 * @param read        reads it
 * @param context     for the function; may be NULL
 * @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down and drained),
 * RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (within `rf_message_read`), RF_E_NO_MEMORY (for a copy), RF_E_CORRUPTED, RF_E_INVALID;
 * RF_E_NOT_OWNER in a process that was forked within the function: the message is its parent's
 *
 * Threads, processes: any number at once. Crash: killed within the function, the message stays for the next receiver, unless it
 * came in pieces; one whose receive has returned is never delivered again.
 */
int rf_channel_recv_with(const struct rf_channel *channel,
                         rf_message_read read,
                         void *context,
                         int64_t timeout_ns);

/**
 * Sends as many of these messages as there is room for, from the first on; waits for room for one. They appear at once, and
 * nothing of other senders lies between them. It stops before one that is too long for the channel.
 *
 * @param channel     the channel
 * @param messages    `count` of them, copied
 * @param count       how many
 * @param sent        how many were sent: at least 1, unless `count` is 0
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return as `rf_channel_send`, about the first message: then none was sent
 *
 * Threads, processes: any number at once. Crash: killed in the middle, all that this call sends are there, or none.
 */
int rf_channel_send_many(const struct rf_channel *channel,
                         const struct rf_message *messages,
                         size_t count,
                         size_t *sent,
                         int64_t timeout_ns);

/**
 * Receives as many messages as there are and there is room for, waiting for one. They are taken at once.
 *
 * @param channel     the channel
 * @param buffer      room for `size` bytes; may be NULL if `size` is 0. The messages are put into it one behind the other
 * @param size        its size
 * @param lens        room for `most` lengths: those of the messages; behind the last one it stays as it was. With
 * RF_E_BUFFER_TOO_SHORT the first one is the length of the first message, which is still there
 * @param most        how many at the most
 * @param received    how many were received: at least 1, unless `most` is 0
 * @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
 * @return as `rf_channel_recv`: then none was received. A message of `rf_channel_send_long` that comes in pieces comes alone
 *
 * Threads, processes: any number at once. Crash: killed in the middle, all of them are there for others, or all are gone with
 * the killed process; none is delivered twice.
 */
int rf_channel_recv_many(const struct rf_channel *channel,
                         void *buffer,
                         size_t size,
                         size_t *lens,
                         size_t most,
                         size_t *received,
                         int64_t timeout_ns);

/**
 * How many messages are in the channel at this moment.
 *
 * @param channel  the channel
 * @param len      the number; exact if nobody sends or receives meanwhile
 * @return RF_OK, RF_E_INVALID
 */
int rf_channel_len(const struct rf_channel *channel, size_t *len);

/**
 * The longest message that the channel takes in one piece.
 *
 * @param channel  the channel
 * @param max      in bytes
 * @return RF_OK, RF_E_INVALID
 */
int rf_channel_max_message(const struct rf_channel *channel, size_t *max);

/**
 * The size of the channel's ring.
 *
 * @param channel   the channel
 * @param capacity  in bytes
 * @return RF_OK, RF_E_INVALID
 */
int rf_channel_capacity(const struct rf_channel *channel, size_t *capacity);

/**
 * Ends the channel for everybody: sends fail with `RF_E_CLOSED` from now on, receives take what is there and then fail
 * so too. Sleepers wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`.
 *
 * @param channel  the channel
 * @return RF_OK, RF_E_INTERRUPTED (while another was in the middle of a send: the next one ends it), RF_E_BUSY (within
 * `rf_message_fill`: the next send ends it), RF_E_CORRUPTED, RF_E_INVALID
 */
int rf_channel_shutdown(const struct rf_channel *channel);

/**
 * Whether the channel was shut down.
 *
 * @param channel  the channel
 * @param is       1 if it was, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_channel_is_shut_down(const struct rf_channel *channel, int *is);

/**
 * Gives the handle back. The channel and what is in it stay.
 *
 * @param channel  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_channel_close(struct rf_channel *channel);

/* # Rings for one producer and one consumer
 *
 * A spsc carries items of one fixed size from one producer to one consumer, in two processes or one: the fastest way from
 * one to another. Each item arrives in order, whole, and at most once.
 *
 * `rf_spsc_open` opens the ring, `rf_spsc_producer` and `rf_spsc_consumer` make the calling process the one at an end. An
 * end belongs to the *process* until its handle is closed, or the process dies; a second one beside a living one is refused
 * with `RF_E_ROLE_TAKEN`. Then the next one to ask has it, and goes on where the last one stopped: an item whose push has
 * returned is there even if the producer is killed the next moment; an item whose pop has begun to return dies with the
 * process that popped it. A ring that is empty because its producer died waits for the next one, unless the handle was told
 * otherwise by `rf_consumer_tell_if_alone`.
 *
 * The handle of an end is used by one thread at a time: its calls are not `const`. Items are plain bytes; the Rust side is
 * `Spsc<T>`. Neither end makes a system call unless it has to sleep or the other sleeps.
 *
 *     rf_spsc *ring; rf_producer *out; double sample = 0.5;
 *     if (rf_spsc_open(segment, "samples", RF_CREATE, sizeof sample, _Alignof(double), NULL, 1024, &ring) == RF_OK
 *         && rf_spsc_producer(ring, &out) == RF_OK)
 *         status = rf_producer_push(out, &sample, RF_FOREVER);
 */

/** The consumer's end of a ring. */
typedef struct rf_consumer rf_consumer;

/** The producer's end of a ring. */
typedef struct rf_producer rf_producer;

/** A handle to a ring for one producer and one consumer. */
typedef struct rf_spsc rf_spsc;

/**
 * Opens the ring of that name, or makes it. That takes neither of its ends.
 *
 * @param segment     where it lives
 * @param name        its name in the segment
 * @param flags       of `rf_flags`; RF_INTERRUPTIBLE is for the ends that are taken through this handle
 * @param item_size   bytes of an item; 0 for items that only count
 * @param item_align  alignment of an item (`_Alignof`): a power of two
 * @param tag         a name for the type of the items that both sides must use; NULL or "" for none
 * @param capacity    how many items it holds, exactly: at least 1; 0 without `RF_CREATE` takes what is there
 * @param out         the handle; `rf_spsc_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another item or
 * capacity), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a ring.
 */
int rf_spsc_open(const rf_segment *segment,
                 const char *name,
                 int flags,
                 size_t item_size,
                 size_t item_align,
                 const char *tag,
                 size_t capacity,
                 struct rf_spsc **out);

/**
 * Makes this process the producer of a ring, which goes on where the last one stopped.
 *
 * @param spsc  the ring
 * @param out   the handle of that end; `rf_producer_close` gives it back, and frees the end
 * @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
 * RF_E_INVALID
 *
 * Threads: the end is the process's; its handle may go from thread to thread, but one at a time uses it. fork: in a child
 * the handle is the parent's end, its calls fail with RF_E_NOT_OWNER, and closing it frees nothing.
 * Crash: when the process dies, the next one to ask has the end.
 */
int rf_spsc_producer(const struct rf_spsc *spsc,
                     struct rf_producer **out);

/**
 * Makes this process the consumer of a ring, which goes on where the last one stopped.
 *
 * @param spsc  the ring
 * @param out   the handle of that end; `rf_consumer_close` gives it back, and frees the end
 * @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
 * RF_E_INVALID
 *
 * Threads: the end is the process's; its handle may go from thread to thread, but one at a time uses it. fork: in a child
 * the handle is the parent's end, its calls fail with RF_E_NOT_OWNER, and closing it frees nothing.
 * Crash: when the process dies, the next one to ask has the end.
 */
int rf_spsc_consumer(const struct rf_spsc *spsc,
                     struct rf_consumer **out);

/**
 * How many items are in the ring at this moment.
 *
 * @param spsc  the ring
 * @param len  between 0 and the capacity; exact if nobody pushes or pops meanwhile
 * @return RF_OK, RF_E_INVALID
 */
int rf_spsc_len(const struct rf_spsc *spsc, size_t *len);

/**
 * How many items the ring holds when it is full.
 *
 * @param spsc  the ring
 * @param capacity  the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_spsc_capacity(const struct rf_spsc *spsc, size_t *capacity);

/**
 * Whether the ring has a living producer; it may go the next moment.
 *
 * @param spsc  the ring
 * @param is  1 if it has, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_spsc_has_producer(const struct rf_spsc *spsc, int *is);

/**
 * Whether the ring has a living consumer; it may go the next moment.
 *
 * @param spsc  the ring
 * @param is  1 if it has, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_spsc_has_consumer(const struct rf_spsc *spsc, int *is);

/**
 * Whether the ring was shut down.
 *
 * @param spsc  the ring
 * @param is  1 if it was, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_spsc_is_shut_down(const struct rf_spsc *spsc, int *is);

/**
 * Ends the ring for everybody: pushes fail with `RF_E_CLOSED` from now on, pops take what is there and then fail so too.
 * Every push that has succeeded is delivered before that, and nothing comes after it. Sleepers wake up. Shutting down twice
 * is fine; there is no way back but `rf_segment_remove`.
 *
 * @param spsc  the ring
 * @return RF_OK, RF_E_INVALID
 */
int rf_spsc_shutdown(const struct rf_spsc *spsc);

/**
 * Gives the handle back. The ring and what is in it stay, and so do ends that were taken through it.
 *
 * @param spsc  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_spsc_close(struct rf_spsc *spsc);

/**
 * Puts an item at the end of the ring.
 *
 * @param producer    the end
 * @param item        `item_size` bytes, copied
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down), RF_E_INTERRUPTED,
 * RF_E_ALONE (no room and no consumer, if asked for), RF_E_NOT_OWNER (a forked child), RF_E_CORRUPTED
 *
 * Threads: one at a time. Crash: killed before it returns, the item is there whole, or not at all.
 */
int rf_producer_push(struct rf_producer *producer, const void *item, int64_t timeout_ns);

/**
 * Puts as many of these items at the end of the ring as there is room for, from the first on; waits for room for one.
 *
 * @param producer    the end
 * @param items       `count` times `item_size` bytes, one after another, copied
 * @param count       how many
 * @param pushed      how many were pushed: at least 1, unless `count` is 0
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return as rf_producer_push
 *
 * Threads: one at a time. Crash: killed in the middle, the first of them are there, each whole.
 */
int rf_producer_push_many(struct rf_producer *producer,
                          const void *items,
                          size_t count,
                          size_t *pushed,
                          int64_t timeout_ns);

/**
 * Says whether a push that waits for room ends with RF_E_ALONE when there is no living consumer. At first it does not: one
 * may come.
 *
 * @param producer  the end
 * @param tell      1 or 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_producer_tell_if_alone(struct rf_producer *producer,
                              int tell);

/**
 * Gives the end back: the next one to ask for it has it. What was pushed stays.
 *
 * @param producer  the handle, or NULL
 * @return RF_OK
 */
int rf_producer_close(struct rf_producer *producer);

/**
 * Takes the first item of the ring.
 *
 * @param consumer    the end
 * @param item        room for `item_size` bytes
 * @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down and drained),
 * RF_E_INTERRUPTED, RF_E_ALONE (nothing there and no producer, if asked for), RF_E_NOT_OWNER (a forked child),
 * RF_E_CORRUPTED
 *
 * Threads: one at a time. Crash: killed in the middle, the item stays for the next consumer, or is gone with the killed one;
 * it is never delivered twice.
 */
int rf_consumer_pop(struct rf_consumer *consumer,
                    void *item,
                    int64_t timeout_ns);

/**
 * Takes as many items as there are and there is room for, waiting for one.
 *
 * @param consumer    the end
 * @param items       room for `count` times `item_size` bytes, which are filled one after another
 * @param count       how many at the most
 * @param popped      how many were taken: at least 1, unless `count` is 0
 * @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
 * @return as rf_consumer_pop
 *
 * Threads: one at a time. Crash: all are taken by one store; killed before it, none is.
 */
int rf_consumer_pop_many(struct rf_consumer *consumer, void *items, size_t count, size_t *popped, int64_t timeout_ns);

/**
 * Says whether a pop that waits for an item ends with RF_E_ALONE when there is no living producer. At first it does not:
 * one may come. What it has pushed is taken first; its death shows within a tenth of a second.
 *
 * @param consumer  the end
 * @param tell      1 or 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_consumer_tell_if_alone(struct rf_consumer *consumer,
                              int tell);

/**
 * Gives the end back: the next one to ask for it has it, and goes on where this one stopped.
 *
 * @param consumer  the handle, or NULL
 * @return RF_OK
 */
int rf_consumer_close(struct rf_consumer *consumer);

/* # Rings of records and bytes
 *
 * A byte ring carries records of any length from one producer to one consumer. Each is written and read where it lies: reserve
 * and commit, peek and release, with no copy on either side; or it is copied by a push and a pop. Or the ring carries a stream
 * of bytes without borders, by a write and a read. Records arrive in order, whole, and at most once; the Rust side is
 * `ByteRing`.
 *
 * The ends are taken and given back as those of a spsc: `RF_E_ROLE_TAKEN` beside a living one, and a successor goes on where a
 * dead one stopped. What was reserved and not committed was never there; what was looked at and not released stays.
 *
 * A record takes 8 bytes and its length rounded up to 8, in one piece, and so at most half of the ring:
 * `rf_byte_ring_max_record`. What lies in place can be read and written by every participant: a faulty one changes bytes while
 * they are looked at, so copy what has to be checked, and check the copy.
 *
 *     void *room; const void *record; size_t len;
 *     if (rf_byte_producer_reserve(out, 1 << 20, &room, RF_FOREVER) == RF_OK)
 *         status = rf_byte_producer_commit(out, draw(room));          (in one process)
 *     if (rf_byte_consumer_peek(in, &record, &len, RF_FOREVER) == RF_OK) {
 *         show(record, len);                                          (in another)
 *         status = rf_byte_consumer_release(in);
 *     }
 */

/** The consumer's end of a ring of records and bytes. */
typedef struct rf_byte_consumer rf_byte_consumer;

/** The producer's end of a ring of records and bytes. */
typedef struct rf_byte_producer rf_byte_producer;

/** A handle to a ring of records and bytes. */
typedef struct rf_byte_ring rf_byte_ring;

/**
 * Opens the ring of that name, or makes it. That takes neither of its ends.
 *
 * @param segment  where it lives
 * @param name     its name in the segment
 * @param flags    of `rf_flags`; RF_INTERRUPTIBLE is for the ends that are taken through this handle
 * @param bytes    its size, rounded up to a power of two of at least 64; at most 8 GiB; 0 without `RF_CREATE` takes what is
 *                 there
 * @param out      the handle; `rf_byte_ring_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another size),
 * RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a ring.
 */
int rf_byte_ring_open(const rf_segment *segment,
                      const char *name,
                      int flags,
                      size_t bytes,
                      struct rf_byte_ring **out);

/**
 * Makes this process the producer of a ring, which goes on where the last one stopped.
 *
 * @param ring  the ring
 * @param out   the handle of that end; `rf_byte_producer_close` gives it back, and frees the end
 * @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
 * RF_E_INVALID
 *
 * Threads, fork, crash: as rf_spsc_producer.
 */
int rf_byte_ring_producer(const struct rf_byte_ring *ring, struct rf_byte_producer **out);

/**
 * Makes this process the consumer of a ring, which goes on where the last one stopped.
 *
 * @param ring  the ring
 * @param out   the handle of that end; `rf_byte_consumer_close` gives it back, and frees the end
 * @return RF_OK; RF_E_ROLE_TAKEN (there is a living one, in this process or another), RF_E_CORRUPTED, RF_E_STALE,
 * RF_E_INVALID
 *
 * Threads, fork, crash: as rf_spsc_consumer.
 */
int rf_byte_ring_consumer(const struct rf_byte_ring *ring, struct rf_byte_consumer **out);

/**
 * How many bytes of the ring are in use at this moment, headers and what was left out at its end included.
 *
 * @param ring  the ring
 * @param bytes  between 0 and the capacity; 0 if it holds nothing
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_ring_used(const struct rf_byte_ring *ring, size_t *bytes);

/**
 * How many bytes the ring has.
 *
 * @param ring  the ring
 * @param bytes  the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_ring_capacity(const struct rf_byte_ring *ring, size_t *bytes);

/**
 * How long a record may be.
 *
 * @param ring  the ring
 * @param bytes  the number of bytes
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_ring_max_record(const struct rf_byte_ring *ring, size_t *bytes);

/**
 * Whether the ring has a living producer; it may go the next moment.
 *
 * @param ring  the ring
 * @param is  1 if it has, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_ring_has_producer(const struct rf_byte_ring *ring, int *is);

/**
 * Whether the ring has a living consumer; it may go the next moment.
 *
 * @param ring  the ring
 * @param is  1 if it has, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_ring_has_consumer(const struct rf_byte_ring *ring, int *is);

/**
 * Whether the ring was shut down.
 *
 * @param ring  the ring
 * @param is  1 if it was, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_ring_is_shut_down(const struct rf_byte_ring *ring, int *is);

/**
 * Ends the ring for everybody: pushes fail with `RF_E_CLOSED` from now on, pops take what is there and then fail so too. What
 * was committed is delivered before that, and nothing comes after it. Sleepers wake up. Shutting down twice is fine.
 *
 * @param ring  the ring
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_ring_shutdown(const struct rf_byte_ring *ring);

/**
 * Gives the handle back. The ring and what is in it stay, and so do ends that were taken through it.
 *
 * @param ring  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_byte_ring_close(struct rf_byte_ring *ring);

/**
 * Copies a record into the ring. What was reserved before is given up.
 *
 * @param producer    the end
 * @param record      its bytes
 * @param len         how many; 0 is a record too
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG (it never fits),
 * RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_ALONE (no room and no consumer, if asked for), RF_E_NOT_OWNER (a forked
 * child), RF_E_CORRUPTED
 *
 * Threads: one at a time. Crash: killed before it returns, the record is there whole, or not at all.
 */
int rf_byte_producer_push(struct rf_byte_producer *producer,
                          const void *record,
                          size_t len,
                          int64_t timeout_ns);

/**
 * Reserves room for a record, to be written in place. What was reserved before and not committed is given up.
 *
 * @param producer    the end
 * @param len         how many bytes at the most
 * @param room        where to write: `len` bytes, aligned to 8; what is in them is arbitrary. Valid until it is committed or given
 *                    up, or the end is closed
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return as rf_byte_producer_push
 *
 * Threads: one at a time. Crash: what was reserved was never there.
 */
int rf_byte_producer_reserve(struct rf_byte_producer *producer,
                             size_t len,
                             void **room,
                             int64_t timeout_ns);

/**
 * Makes a record of the first bytes of what was reserved.
 *
 * @param producer  the end
 * @param len       how many of them; not more than were reserved
 * @return RF_OK; RF_E_INVALID (nothing is reserved, or not so many), RF_E_CLOSED (shut down meanwhile, and nothing was
 * committed), RF_E_NOT_OWNER (a forked child), RF_E_CORRUPTED
 *
 * Threads: one at a time. Crash: one store commits; before it there is nothing, after it the whole record.
 */
int rf_byte_producer_commit(struct rf_byte_producer *producer, size_t len);

/**
 * Gives up what was reserved; nothing, if nothing is.
 *
 * @param producer  the end
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_producer_abort(struct rf_byte_producer *producer);

/**
 * Writes bytes of a stream: as many as there is room for in one piece, waiting for room for some. What was reserved before is
 * given up.
 *
 * @param producer    the end
 * @param bytes       the bytes
 * @param len         how many
 * @param written     how many were written: at least 1, unless `len` is 0
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return as rf_byte_producer_push
 *
 * Threads: one at a time. Crash: killed before it returns, they are written, or none is.
 */
int rf_byte_producer_write(struct rf_byte_producer *producer,
                           const void *bytes,
                           size_t len,
                           size_t *written,
                           int64_t timeout_ns);

/**
 * Says whether a call that waits for room ends with RF_E_ALONE when there is no living consumer. At first it does not: one may
 * come.
 *
 * @param producer  the end
 * @param tell      1 or 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_producer_tell_if_alone(struct rf_byte_producer *producer,
                                   int tell);

/**
 * Gives the end back: the next one to ask for it has it. What was committed stays.
 *
 * @param producer  the handle, or NULL
 * @return RF_OK
 */
int rf_byte_producer_close(struct rf_byte_producer *producer);

/**
 * Copies the first record out of the ring and takes it.
 *
 * @param consumer    the end
 * @param buffer      room for it
 * @param size        how many bytes
 * @param len         its length; with RF_E_BUFFER_TOO_SHORT the length that is needed
 * @param timeout_ns  how long to wait for a record; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT (the record stays),
 * RF_E_CLOSED (shut down and drained), RF_E_INTERRUPTED, RF_E_ALONE (nothing there and no producer, if asked for),
 * RF_E_NOT_OWNER (a forked child), RF_E_CORRUPTED
 *
 * Threads: one at a time. Crash: killed in the middle, the record stays for the next consumer, or is gone with the killed one;
 * it is never delivered twice.
 */
int rf_byte_consumer_pop(struct rf_byte_consumer *consumer,
                         void *buffer,
                         size_t size,
                         size_t *len,
                         int64_t timeout_ns);

/**
 * Looks at the first record where it lies.
 *
 * @param consumer    the end
 * @param record      where it lies: aligned to 8, unless a read of the stream has taken a part of it. Valid until it is
 *                    released, or the end is closed
 * @param len         its length
 * @param timeout_ns  how long to wait for a record; RF_FOREVER, 0 to try
 * @return as rf_byte_consumer_pop, but for RF_E_BUFFER_TOO_SHORT
 *
 * Threads: one at a time. Crash: it stays for the next consumer.
 */
int rf_byte_consumer_peek(struct rf_byte_consumer *consumer, const void **record, size_t *len, int64_t timeout_ns);

/**
 * Takes the record that was looked at: its bytes are the producer's again.
 *
 * @param consumer  the end
 * @return RF_OK; RF_E_INVALID (none was looked at, or another call came between), RF_E_NOT_OWNER (a forked child)
 *
 * Threads: one at a time. Crash: one store; before it the record stays, after it it is gone.
 */
int rf_byte_consumer_release(struct rf_byte_consumer *consumer);

/**
 * Reads what there is of the next piece of a stream, waiting for some.
 *
 * @param consumer    the end
 * @param buffer      where to
 * @param size        how many bytes at the most
 * @param count       how many were read: at least 1, unless `size` is 0
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to try
 * @return as rf_byte_consumer_peek; RF_E_CLOSED is the end of the stream
 *
 * Threads: one at a time. Crash: killed in the middle, they stay for the next consumer, or are gone; each byte is delivered at
 * most once.
 */
int rf_byte_consumer_read(struct rf_byte_consumer *consumer,
                          void *buffer,
                          size_t size,
                          size_t *count,
                          int64_t timeout_ns);

/**
 * Says whether a call that waits for a record ends with RF_E_ALONE when there is no living producer. At first it does not: one
 * may come. What it has committed is taken first; its death shows within a tenth of a second.
 *
 * @param consumer  the end
 * @param tell      1 or 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_byte_consumer_tell_if_alone(struct rf_byte_consumer *consumer,
                                   int tell);

/**
 * Gives the end back: the next one to ask for it has it, and goes on where this one stopped.
 *
 * @param consumer  the handle, or NULL
 * @return RF_OK
 */
int rf_byte_consumer_close(struct rf_byte_consumer *consumer);

/* # Work queues
 *
 * A work queue carries messages to whoever does the work, and keeps each until that is done. A *lease* is a message that
 * was taken: `rf_work_queue_done` ends it. One that is failed, or whose process dies or leaves the segment, gives its
 * message back, which is delivered again, before those that nobody has had yet. So delivery is at least once: work that was
 * finished, but not reported done, is done again, and the lease says how often the message was delivered. A message that
 * comes back after as many deliveries as the queue allows is set aside, as a *dead letter*: it counts as finished, and keeps
 * its place until `rf_work_queue_take_dead_letter` takes it from there and `rf_work_queue_done` ends that.
 *
 * Leases belong to the process: any of its threads may end one, on any of its handles of the queue. A forked child has none
 * of its parent's.
 *
 *     rf_lease lease; char task[100]; size_t len;
 *     while (rf_work_queue_take(work, &lease, RF_FOREVER) == RF_OK) // until it is shut down, and all is done
 *         if (rf_work_queue_read(work, &lease, task, sizeof task, &len) == RF_OK && carry_out(task, len))
 *             rf_work_queue_done(work, &lease);
 *         else
 *             rf_work_queue_fail(work, &lease);
 *
 * Python's `JoinableQueue`: a `get` is take, read and `rf_work_queue_keep`; `task_done` is `rf_work_queue_task_done`.
 */

/** A handle to a work queue. */
typedef struct rf_work_queue rf_work_queue;

/** A message that was taken. It may be copied; the first call that ends it does. */
typedef struct rf_lease {
    /** Which lease of all: not for you. */
    uint64_t id;
    /** Where the message is: not for you. */
    uint32_t place;
    /** How often the message was delivered, this time included. */
    uint32_t deliveries;
} rf_lease;

/** How many messages a work queue has. */
typedef struct rf_work_count {
    /** To be taken, those being written included. */
    size_t waiting;
    /** Taken, and not finished. */
    size_t leased;
    /** Set aside. */
    size_t dead_letters;
} rf_work_count;

/**
 * Opens the work queue of that name, or makes it.
 *
 * @param segment         where it lives
 * @param name            its name in the segment
 * @param flags           of `rf_flags`
 * @param messages        how many it holds, unfinished ones and dead letters together: 1 to 2^24. 0 without `RF_CREATE`,
 *                        and 0 for `longest`, takes what is there
 * @param longest         bytes of the longest message: 1 to 2^32 - 1. The segment needs room for as many of these
 * @param max_deliveries  a message that comes back after so many is set aside: 1 to 65535; 0 for never
 * @param out             the handle; `rf_work_queue_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another
 * capacity, longest message or number of deliveries), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID,
 * RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a queue.
 */
int rf_work_queue_open(const rf_segment *segment,
                       const char *name,
                       int flags,
                       size_t messages,
                       size_t longest,
                       uint32_t max_deliveries,
                       struct rf_work_queue **out);

/**
 * Appends a message.
 *
 * @param queue       the queue
 * @param message     `len` bytes, copied; may be NULL if `len` is 0
 * @param len         its length, at most what the queue was made for
 * @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_DEAD_LETTERS (every place has a dead letter),
 * RF_E_MESSAGE_TOO_LONG, RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED
 *
 * Threads, processes: any number at once. Crash: killed before it returns, the message is there whole, or not at all.
 */
int rf_work_queue_push(const struct rf_work_queue *queue,
                       const void *message,
                       size_t len,
                       int64_t timeout_ns);

/**
 * Takes a message: one that came back if there is one, else the first.
 *
 * @param queue       the queue
 * @param lease       the message, for `rf_work_queue_read` and the calls that end it
 * @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_EMPTY (none is there, and not to wait), RF_E_BUSY (the next is just being written, and not to wait),
 * RF_E_TIMED_OUT, RF_E_CLOSED (shut down, and every message is done or set aside), RF_E_INTERRUPTED, RF_E_CORRUPTED
 *
 * Threads, processes: any number at once. Crash: killed before the message is done, it is delivered again.
 */
int rf_work_queue_take(const struct rf_work_queue *queue,
                       struct rf_lease *lease,
                       int64_t timeout_ns);

/**
 * Takes several messages: waits for the first as `rf_work_queue_take` does, and for no other.
 *
 * @param queue       the queue
 * @param leases      room for `most` leases; written also beyond those that were taken
 * @param most        how many at most, at least 1
 * @param taken       how many were taken, at least 1
 * @param timeout_ns  how long to wait for the first; RF_FOREVER, 0 to try
 * @return as `rf_work_queue_take`
 *
 * Threads, processes: any number at once. Crash: killed before the messages are done, they are delivered again.
 */
int rf_work_queue_take_many(const struct rf_work_queue *queue,
                            struct rf_lease *leases,
                            size_t most,
                            size_t *taken,
                            int64_t timeout_ns);

/**
 * Takes a dead letter, if there is one. `rf_work_queue_done` frees its place; if the lease ends otherwise, the message is a
 * dead letter still.
 *
 * @param queue  the queue
 * @param lease  the message
 * @return RF_OK; RF_E_EMPTY (there is none), RF_E_CORRUPTED
 *
 * Threads, processes: any number at once.
 */
int rf_work_queue_take_dead_letter(const struct rf_work_queue *queue,
                                   struct rf_lease *lease);

/**
 * Copies a message that was taken. It may be read as often as one likes until it is done.
 *
 * @param queue   the queue
 * @param lease   the message
 * @param buffer  room for `size` bytes; may be NULL if `size` is 0
 * @param size    its size; `rf_work_queue_max_message` is always enough
 * @param len     the length of the message; with RF_E_BUFFER_TOO_SHORT too
 * @return RF_OK; RF_E_BUFFER_TOO_SHORT, RF_E_NOT_LEASED (it was finished or given back, or is another process's),
 * RF_E_CORRUPTED
 *
 * Threads: any number at once.
 */
int rf_work_queue_read(const struct rf_work_queue *queue,
                       const struct rf_lease *lease,
                       void *buffer,
                       size_t size,
                       size_t *len);

/**
 * Reports that the work is done: the message is gone.
 *
 * @param queue  the queue
 * @param lease  the message
 * @return RF_OK; RF_E_NOT_LEASED (it was finished or given back before, or is another process's), RF_E_INVALID
 *
 * Threads: any, of the process that took it. Crash: killed before it returns, the message is gone, or delivered again.
 */
int rf_work_queue_done(const struct rf_work_queue *queue, const struct rf_lease *lease);

/**
 * Gives a message back: it is delivered again, to anybody, or set aside if it was delivered as often as it may be.
 *
 * @param queue  the queue
 * @param lease  the message
 * @return as `rf_work_queue_done`
 *
 * Threads: any, of the process that took it.
 */
int rf_work_queue_fail(const struct rf_work_queue *queue, const struct rf_lease *lease);

/**
 * Leaves a message with the process: the lease is none any more, and one call of `rf_work_queue_task_done`, which does not
 * say which message it means, finishes it. If the process dies before, it is delivered again.
 *
 * @param queue  the queue
 * @param lease  the message; not a dead letter
 * @return as `rf_work_queue_done`
 *
 * Threads: any, of the process that took it.
 */
int rf_work_queue_keep(const struct rf_work_queue *queue,
                       const struct rf_lease *lease);

/**
 * Reports one of the messages done that the process keeps.
 *
 * @param queue  the queue
 * @return RF_OK; RF_E_TOO_MANY_DONE (it keeps none), RF_E_CORRUPTED
 *
 * Threads: any number at once.
 */
int rf_work_queue_task_done(const struct rf_work_queue *queue);

/**
 * Waits until no message is unfinished: all are done, or dead letters. A message counts from its push on. The end of all
 * work that lasts is seen for certain; one that a new message ends at once may be missed.
 *
 * @param queue       the queue
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
 * @return RF_OK; RF_E_NOT_READY (something is unfinished, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
 * RF_E_CORRUPTED
 *
 * Threads, processes: any number at once.
 */
int rf_work_queue_join(const struct rf_work_queue *queue,
                       int64_t timeout_ns);

/**
 * How many messages the queue has. Each place is looked at once, so while others are at work a number may be one that
 * never was.
 *
 * @param queue  the queue
 * @param count  the numbers; `waiting + leased` are unfinished
 * @return RF_OK, RF_E_INVALID
 */
int rf_work_queue_count(const struct rf_work_queue *queue, struct rf_work_count *count);

/**
 * How many messages the queue can hold.
 *
 * @param queue     the queue
 * @param capacity  the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_work_queue_capacity(const struct rf_work_queue *queue, size_t *capacity);

/**
 * The longest message that the queue takes.
 *
 * @param queue  the queue
 * @param max    in bytes
 * @return RF_OK, RF_E_INVALID
 */
int rf_work_queue_max_message(const struct rf_work_queue *queue, size_t *max);

/**
 * After how many deliveries a message that comes back is set aside.
 *
 * @param queue  the queue
 * @param max    the number; 0: never
 * @return RF_OK, RF_E_INVALID
 */
int rf_work_queue_max_deliveries(const struct rf_work_queue *queue, uint32_t *max);

/**
 * Ends the queue for everybody: pushes fail with `RF_E_CLOSED` from now on. What is in it is still delivered, and delivered
 * again if it comes back; takes wait for that, and fail with `RF_E_CLOSED` when every message is done or set aside. Sleepers
 * wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`.
 *
 * @param queue  the queue
 * @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
 */
int rf_work_queue_shutdown(const struct rf_work_queue *queue);

/**
 * Whether the queue was shut down.
 *
 * @param queue  the queue
 * @param is     1 if it was, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_work_queue_is_shut_down(const struct rf_work_queue *queue, int *is);

/**
 * Gives the handle back. The queue and what is in it stay. With the process's last handle of the queue, it gives back what
 * it has taken; until then it may end that on another handle.
 *
 * @param queue  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_work_queue_close(struct rf_work_queue *queue);

/* # Workers of a pool
 *
 * A program in Rust makes a pool of processes, and gives it tasks (`ringfence::pool`); with a name, its workers may be programs
 * in any language. A worker opens the pool by that name, registers a handler for each task that it can do, and serves. A
 * handler is given the bytes of the argument, which lie in shared memory, and replies with bytes, or with the reason why not.
 *
 *     static void shout(void *context, const void *argument, size_t len, rf_reply *reply) {
 *         char text[100];
 *         if (len > sizeof text) { rf_reply_fail(reply, "too long"); return; }
 *         for (size_t i = 0; i < len; i++) text[i] = toupper(((const unsigned char *)argument)[i]);
 *         rf_reply_bytes(reply, text, len);
 *     }
 *
 *     rf_worker *worker;
 *     if (rf_worker_open("texts", 0, &worker) < 0 || rf_worker_register(worker, "shout", shout, NULL) < 0) return 1;
 *     int served = rf_worker_serve(worker, 0, RF_FOREVER); // until the pool is closed
 *     rf_worker_close(worker);
 *
 * A task that the parent sends as bytes (`apply_bytes`) comes as these bytes. Calls of a typed function (`apply`, `map`, and so on, of a
 * function that is registered under the handler's name) come one by one: the argument is the MessagePack array of the function's
 * arguments, and the reply the MessagePack of its result, for which most languages have a library. The types are not compared: a
 * handler fails what it does not understand. So a worker in C takes part in a `map` or a `map_reduce` beside those in Rust.
 *
 * Every worker of a pool should know every task that is sent to it: one that does not know a task fails it. A worker that is
 * killed in a task costs that task, or, as the pool was told, nothing: it is done again by another.
 */

/** What a handler replies with. It is the handler's while that runs, and nobody's after. */
typedef struct rf_reply rf_reply;

/** A handle to a pool, as a worker has it. */
typedef struct rf_worker rf_worker;

/**
 * Does a task: `len` bytes from `argument` on, which are only to be read, and only while it runs. It replies by
 * `rf_reply_bytes` and `rf_reply_fail`; without either the result is of no bytes. It returns in the normal way (no
 * `longjmp`, no exception). In a task that is a chunk of calls of a typed function it is called once for each.
 */
typedef void (*rf_worker_handler)(void *context, const void *argument, size_t len, struct rf_reply *reply);

/**
 * Opens the pool whose segment has that name, to work for it.
 *
 * @param name   the name that the pool was made with
 * @param flags  0, or RF_INTERRUPTIBLE
 * @param out    the handle; `rf_worker_close` gives it back
 * @return RF_OK, RF_E_MISSING (there is no such pool, or it is just being made), RF_E_VERSION, RF_E_WRONG_TYPE (a segment that is
 * no pool's), RF_E_PERMISSION, RF_E_TOO_MANY_PARTICIPANTS, RF_E_CORRUPTED, RF_E_NAME, RF_E_INVALID, RF_E_NO_DESCRIPTORS,
 * RF_E_NO_MEMORY, RF_E_BUSY, RF_E_SYSTEM
 *
 * Threads, processes: any number at once.
 */
int rf_worker_open(const char *name,
                   int flags,
                   struct rf_worker **out);

/**
 * Says who does the tasks of that name: from the next one on.
 *
 * @param worker   the worker
 * @param task     the name of the task, 1 to 255 bytes of UTF-8. One that has a handler gets another
 * @param handler  it
 * @param context  what it is given, whatever that is; may be NULL
 * @return RF_OK, RF_E_NAME, RF_E_INVALID
 *
 * Threads: no other may be using this handle.
 */
int rf_worker_register(struct rf_worker *worker, const char *task, rf_worker_handler handler, void *context);

/**
 * Does the tasks of the pool, one after another, until it is closed and all of them are done, or it is terminated.
 *
 * @param worker      the worker
 * @param most        how many tasks at most; 0 for any number
 * @param timeout_ns  how long at most, looked at while there is nothing to do; RF_FOREVER, 0 for what is there now
 * @return RF_OK (the pool is over, or as many as `most` are done); RF_E_TIMED_OUT, RF_E_ALONE (the pool's process is gone),
 * RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads: several may serve with one handle at once, each its own tasks; then handlers have to bear that. Crash: killed in a
 * task, that is done again by another, or fails, as the pool was told; killed between two, nothing is lost.
 */
int rf_worker_serve(const struct rf_worker *worker,
                    uint64_t most,
                    int64_t timeout_ns);

/**
 * Appends bytes to the result.
 *
 * @param reply  what the handler was given
 * @param bytes  `len` bytes, copied; may be NULL if `len` is 0
 * @param len    how many
 * @return RF_OK, RF_E_INVALID (also after `rf_reply_fail`)
 */
int rf_reply_bytes(struct rf_reply *reply, const void *bytes, size_t len);

/**
 * Fails the task, or the one call of it, with a reason for who has sent it: bytes that were appended are dropped.
 *
 * @param reply    what the handler was given
 * @param message  the reason, at most 255 bytes of UTF-8
 * @return RF_OK, RF_E_NAME (it is longer, or no UTF-8), RF_E_INVALID
 */
int rf_reply_fail(struct rf_reply *reply, const char *message);

/**
 * Gives the handle back. The pool goes on.
 *
 * @param worker  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_worker_close(struct rf_worker *worker);

/* # Broadcasts
 *
 * A broadcast carries records from one writer to any number of readers. Each reader gets every record, in order. Records have one
 * size and alignment (`rf_broadcast_open`; the Rust side is `Broadcast<T>`), or a length each up to a longest one
 * (`rf_broadcast_open_bytes`; `Broadcast<[u8]>`).
 *
 * There is one writer at a time; a second is refused with RF_E_ROLE_TAKEN while the first lives. Readers come and go at any time. Two
 * modes, fixed when it is made:
 *
 * - with `max_readers` 0 the writer overwrites: it never waits, and the newest `capacity` records can be read at any time. A
 *   reader that is further behind is told once how many records it missed (RF_E_MISSED), and goes on at the oldest;
 * - else nothing is missed: the writer waits while the slowest of up to `max_readers` living readers is `capacity` records
 *   behind, also if that one is stopped. A dead one is left behind. Without readers it waits for nobody.
 *
 * A record whose send has returned is there even if the writer is killed the next moment; one that was being written then is not,
 * and the next writer goes on where the dead one stopped.
 *
 *     rf_broadcast_open(seg, "prices", RF_CREATE, sizeof p, _Alignof(price), NULL, 1024, 0, &prices);
 *     rf_broadcast_reader_open(prices, 0, &reader);
 *     while ((got = rf_broadcast_recv(reader, &p, sizeof p, NULL, &missed, RF_FOREVER)) == RF_OK || got == RF_E_MISSED)
 *         if (got == RF_OK) use(&p); else note_gap(missed);
 */

/** A handle to a broadcast: writers and readers come from it. */
typedef struct rf_broadcast rf_broadcast;

/** A reader of a broadcast. */
typedef struct rf_broadcast_reader rf_broadcast_reader;

/** The writer of a broadcast. */
typedef struct rf_broadcast_writer rf_broadcast_writer;

/**
 * Opens the broadcast of that name, for records of one size, or makes it.
 *
 * @param segment       where it lives
 * @param name          its name in the segment
 * @param flags         of `rf_flags`; RF_INTERRUPTIBLE is for the writers and readers that are opened through the handle
 * @param record_size   bytes of a record; 0 for records that only count
 * @param record_align  alignment of a record (`_Alignof`): a power of two
 * @param tag           a name for the type of the records that all sides must use; NULL or "" for none
 * @param capacity      how many records can be read at any time: at least 1; 0 without `RF_CREATE` takes what is there
 * @param max_readers   for how many readers the writer waits: 0 (it overwrites) to 1024
 * @param out           the handle; `rf_broadcast_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another record,
 * capacity or number of readers), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a broadcast.
 */
int rf_broadcast_open(const rf_segment *segment,
                      const char *name,
                      int flags,
                      size_t record_size,
                      size_t record_align,
                      const char *tag,
                      size_t capacity,
                      size_t max_readers,
                      struct rf_broadcast **out);

/**
 * Opens the broadcast of that name, for records that have a length each, or makes it.
 *
 * @param segment      where it lives
 * @param name         its name in the segment
 * @param flags        of `rf_flags`; RF_INTERRUPTIBLE is for the writers and readers that are opened through the handle
 * @param longest      bytes of the longest record: room for it is taken for each; 0 without `RF_CREATE` takes what is there
 * @param capacity     how many records can be read at any time: at least 1; 0 without `RF_CREATE` takes what is there
 * @param max_readers  for how many readers the writer waits: 0 (it overwrites) to 1024
 * @param out          the handle; `rf_broadcast_close` gives it back
 * @return as `rf_broadcast_open`
 *
 * Crash: killed in the middle, nobody ever sees half a broadcast.
 */
int rf_broadcast_open_bytes(const rf_segment *segment,
                            const char *name,
                            int flags,
                            size_t longest,
                            size_t capacity,
                            size_t max_readers,
                            struct rf_broadcast **out);

/**
 * Becomes the writer. If the last one died, it goes on where that one stopped.
 *
 * @param broadcast  the broadcast
 * @param out        the writer; `rf_broadcast_writer_close` gives it back
 * @return RF_OK; RF_E_ROLE_TAKEN (there is one that lives; `rf_last_error` says its process), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any. Crash: killed in the middle, the place is free for another.
 */
int rf_broadcast_writer_open(const struct rf_broadcast *broadcast,
                             struct rf_broadcast_writer **out);

/**
 * Becomes a reader. It gets every record whose send begins from now on.
 *
 * @param broadcast    the broadcast
 * @param from_oldest  1 to begin with the oldest record that is there, which may be overwritten before it is read; else 0
 * @param out          the reader; `rf_broadcast_reader_close` gives it back
 * @return RF_OK; RF_E_MAXIMUM_REACHED (`max_readers` live already), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any. Crash: killed in the middle, nobody waits for it.
 */
int rf_broadcast_reader_open(const struct rf_broadcast *broadcast,
                             int from_oldest,
                             struct rf_broadcast_reader **out);

/**
 * Sends a record.
 *
 * @param writer      the writer
 * @param record      `len` bytes, copied; may be NULL if `len` is 0
 * @param len         its length: `record_size`, or of byte records at most the longest
 * @param timeout_ns  how long to wait for readers; RF_FOREVER, 0 to try; a writer that overwrites never waits
 * @return RF_OK; RF_E_FULL (a reader is in the way, and not to wait), RF_E_TIMED_OUT, RF_E_MESSAGE_TOO_LONG, RF_E_CLOSED (shut
 * down), RF_E_INTERRUPTED, RF_E_NOT_OWNER (in a forked child: the writer is the parent's), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads: one at a time. Crash: killed before it returns, the record is there whole, or not at all.
 */
int rf_broadcast_send(struct rf_broadcast_writer *writer,
                      const void *record,
                      size_t len,
                      int64_t timeout_ns);

/**
 * Receives the next record.
 *
 * @param reader      the reader
 * @param buffer      room for `size` bytes; may be NULL if `size` is 0
 * @param size        its size: at least `record_size`; of byte records, the longest is always enough
 * @param len         the length of the record, or NULL; with RF_E_BUFFER_TOO_SHORT too: then the record is still there
 * @param missed      with RF_E_MISSED, how many records; else left as it is; or NULL
 * @param timeout_ns  how long to wait for a record; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_MISSED (some were overwritten before they were read; told once, the next call goes on at the oldest that is
 * there), RF_E_EMPTY (nothing new, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT, RF_E_CLOSED (shut down, and everything
 * has been read), RF_E_INTERRUPTED, RF_E_NOT_OWNER (in a forked child, where the writer waits for the parent's reader),
 * RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads: one at a time. Crash: killed in the middle, nothing happens to others.
 */
int rf_broadcast_recv(struct rf_broadcast_reader *reader,
                      void *buffer,
                      size_t size,
                      size_t *len,
                      uint64_t *missed,
                      int64_t timeout_ns);

/**
 * How many records can be read at any time.
 *
 * @param broadcast  the broadcast
 * @param capacity   the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_broadcast_capacity(const struct rf_broadcast *broadcast, size_t *capacity);

/**
 * For how many readers the writer waits at most; 0 if it overwrites.
 *
 * @param broadcast    the broadcast
 * @param max_readers  the number
 * @return RF_OK, RF_E_INVALID
 */
int rf_broadcast_max_readers(const struct rf_broadcast *broadcast, size_t *max_readers);

/**
 * The size of a record, or of the longest.
 *
 * @param broadcast  the broadcast
 * @param size       in bytes
 * @return RF_OK, RF_E_INVALID
 */
int rf_broadcast_record_size(const struct rf_broadcast *broadcast, size_t *size);

/**
 * Ends the broadcast for everybody: no send that begins from now on succeeds; readers read what is there and then fail with
 * `RF_E_CLOSED`. Sleepers wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`. It waits for
 * nobody; but readers are told of the end when a writer that is in the middle of a record has ended it, or is dead.
 *
 * @param broadcast  the broadcast
 * @return RF_OK, RF_E_INVALID
 */
int rf_broadcast_shutdown(const struct rf_broadcast *broadcast);

/**
 * Whether the broadcast was shut down.
 *
 * @param broadcast  the broadcast
 * @param is         1 if it was, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_broadcast_is_shut_down(const struct rf_broadcast *broadcast, int *is);

/**
 * Gives the writer back; the place is free for another. That is no shutdown.
 *
 * @param writer  the writer, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using it.
 */
int rf_broadcast_writer_close(struct rf_broadcast_writer *writer);

/**
 * Gives the reader back; the writer no longer waits for it.
 *
 * @param reader  the reader, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using it.
 */
int rf_broadcast_reader_close(struct rf_broadcast_reader *reader);

/**
 * Gives the handle back. Its writers and readers stay, and the broadcast with what is in it.
 *
 * @param broadcast  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_broadcast_close(struct rf_broadcast *broadcast);

/* # Blackboards
 *
 * A blackboard shows the newest value of one writer to any number of readers. A reader gets the newest value that is complete, and
 * its number: the first is 1, each further one is greater by one. Values that nobody read in time are gone; who needs each of them
 * takes a broadcast. The Rust side is `Blackboard<T>`.
 *
 * To write takes a fixed number of steps, whatever readers do. A writer that is killed leaves the newest value that it completed;
 * the next one's numbers go on. There is one writer at a time; a second is refused with RF_E_ROLE_TAKEN while the first lives.
 */

/** A handle to a blackboard. */
typedef struct rf_blackboard rf_blackboard;

/** The writer of a blackboard. */
typedef struct rf_blackboard_writer rf_blackboard_writer;

/**
 * Opens the blackboard of that name, or makes it.
 *
 * @param segment      where it lives
 * @param name         its name in the segment
 * @param flags        of `rf_flags`
 * @param value_size   bytes of the value; it takes four times as many, and a few more
 * @param value_align  alignment of the value (`_Alignof`): a power of two
 * @param tag          a name for the type of the value that all sides must use; NULL or "" for none
 * @param out          the handle; `rf_blackboard_close` gives it back
 * @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another value),
 * RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
 * RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a blackboard.
 */
int rf_blackboard_open(const rf_segment *segment,
                       const char *name,
                       int flags,
                       size_t value_size,
                       size_t value_align,
                       const char *tag,
                       struct rf_blackboard **out);

/**
 * Becomes the writer. If the last one died, the numbers go on where it stopped.
 *
 * @param blackboard  the blackboard
 * @param out         the writer; `rf_blackboard_writer_close` gives it back
 * @return RF_OK; RF_E_ROLE_TAKEN (there is one that lives; `rf_last_error` says its process), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any. Crash: killed in the middle, the place is free for another.
 */
int rf_blackboard_writer_open(const struct rf_blackboard *blackboard,
                              struct rf_blackboard_writer **out);

/**
 * Writes a value. It never waits.
 *
 * @param writer  the writer
 * @param value   `value_size` bytes, copied
 * @param number  its number, or NULL
 * @return RF_OK; RF_E_CLOSED (shut down), RF_E_NOT_OWNER (in a forked child: the writer is the parent's), RF_E_CORRUPTED,
 * RF_E_INVALID
 *
 * Threads: one at a time. Crash: killed before it returns, the value is there whole, or the one before it.
 */
int rf_blackboard_write(struct rf_blackboard_writer *writer,
                        const void *value,
                        uint64_t *number);

/**
 * Reads the newest value.
 *
 * @param blackboard  the blackboard
 * @param value       room for `value_size` bytes
 * @param number      its number, or NULL
 * @return RF_OK; RF_E_EMPTY (there is none yet), RF_E_BUSY (the writer overwrote it during each of a thousand copies),
 * RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any number at once. Crash: killed in the middle, nothing happens.
 */
int rf_blackboard_read(const struct rf_blackboard *blackboard, void *value, uint64_t *number);

/**
 * Reads the newest value when its number is greater than that of one the caller knows.
 *
 * @param blackboard  the blackboard
 * @param than        that number; 0 for the first value
 * @param value       room for `value_size` bytes
 * @param number      its number, or NULL
 * @param timeout_ns  how long to wait for one; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_EMPTY (none newer, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down, and none is to come),
 * RF_E_INTERRUPTED, RF_E_BUSY (the writer overwrote it during each of a thousand copies), RF_E_CORRUPTED, RF_E_INVALID
 *
 * Threads, processes: any number at once. Crash: killed in the middle, nothing happens.
 */
int rf_blackboard_wait_newer(const struct rf_blackboard *blackboard,
                             uint64_t than,
                             void *value,
                             uint64_t *number,
                             int64_t timeout_ns);

/**
 * Ends the blackboard for everybody: writes fail with `RF_E_CLOSED` from now on. The newest value stays. Sleepers wake up.
 *
 * @param blackboard  the blackboard
 * @return RF_OK, RF_E_INVALID
 */
int rf_blackboard_shutdown(const struct rf_blackboard *blackboard);

/**
 * Whether the blackboard was shut down.
 *
 * @param blackboard  the blackboard
 * @param is          1 if it was, else 0
 * @return RF_OK, RF_E_INVALID
 */
int rf_blackboard_is_shut_down(const struct rf_blackboard *blackboard, int *is);

/**
 * Gives the writer back; the place is free for another. The newest value stays.
 *
 * @param writer  the writer, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using it.
 */
int rf_blackboard_writer_close(struct rf_blackboard_writer *writer);

/**
 * Gives the handle back. Its writer stays, and the newest value.
 *
 * @param blackboard  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_blackboard_close(struct rf_blackboard *blackboard);

/* # Pipes
 *
 * A pipe has two ends. What is sent at the one comes out at the other, in order, each message whole; an empty message is a
 * message, and one that is longer than the ring goes in pieces while the other end receives. A pipe goes both ways, or one
 * way: then the first end receives and the second sends.
 *
 * An end is held by every handle to it, in every process that opened it, duplicated it, or was forked from one that has it;
 * until the handle is closed, or the process ends, is killed, or executes another program. When nobody holds an end any more,
 * the other one receives what was sent and then RF_E_END_OF_FILE, and its sends fail with RF_E_BROKEN_PIPE: at once if the last
 * handle was closed, within 100 ms if its process was killed. There is no signal. Before anybody has come to an end, the other
 * one waits.
 *
 *     rf_pipe *mine, *theirs;
 *     if (rf_pipe_pair(segment, "talk", 0, 4096, &mine, &theirs) == RF_OK && fork() == 0) {
 *         rf_pipe_close(mine); // as with pipe(2): each process keeps the end that it uses
 *         rf_pipe_send(theirs, "hello", 5, RF_FOREVER);
 *         _exit(0);
 *     }
 *     rf_pipe_close(theirs);
 */

/** An end of a pipe. */
typedef enum rf_end {
    /** Of a one-way pipe the one that receives. */
    RF_FIRST_END = 0,
    /** Of a one-way pipe the one that sends. */
    RF_SECOND_END = 1,
} rf_end;

/** A handle to an end of a pipe. */
typedef struct rf_pipe rf_pipe;

/**
 * Makes a pipe, of a name that must be free in the segment, and opens both its ends.
 *
 * @param segment     where it lives
 * @param name        its name in the segment
 * @param one_way     1: the first end receives, the second sends; 0: both do both
 * @param ring_bytes  room for messages in each direction, at least 32; each takes its length and a few bytes more
 * @param first       the first end; `rf_pipe_close` gives it back
 * @param second      the second end, likewise
 * @return RF_OK, RF_E_EXISTS, RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_NOT_SUPPORTED (adopted memory),
 * RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
 *
 * Crash: killed in the middle, nobody ever sees half a pipe.
 */
int rf_pipe_pair(const rf_segment *segment,
                 const char *name,
                 int one_way,
                 size_t ring_bytes,
                 struct rf_pipe **first,
                 struct rf_pipe **second);

/**
 * Opens an end of the pipe of that name, or makes the pipe.
 *
 * @param segment     where it lives
 * @param name        its name in the segment
 * @param flags       of `rf_flags`
 * @param end         of `rf_end`
 * @param one_way     1: the first end receives, the second sends; 0: both do both. Of no meaning if `ring_bytes` is 0
 * @param ring_bytes  room for messages in each direction, at least 32. 0 without `RF_CREATE` takes what is there
 * @param out         the handle; `rf_pipe_close` gives it back
 * @return RF_OK, RF_E_END_OF_FILE (that end had holders and has none any more), RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE
 * (another kind of object), RF_E_WRONG_SHAPE (other rings, or other directions), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME,
 * RF_E_INVALID, RF_E_NOT_SUPPORTED (adopted memory), RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_CORRUPTED, RF_E_BUSY (somebody
 * was stopped in the middle of a change)
 *
 * Crash: killed in the middle, nobody ever sees half a pipe.
 */
int rf_pipe_open(const rf_segment *segment,
                 const char *name,
                 int flags,
                 int end,
                 int one_way,
                 size_t ring_bytes,
                 struct rf_pipe **out);

/**
 * Another handle to the same end.
 *
 * @param pipe  the end
 * @param out   the handle; `rf_pipe_close` gives it back
 * @return RF_OK, RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_INVALID
 */
int rf_pipe_duplicate(const struct rf_pipe *pipe, struct rf_pipe **out);

/**
 * Sends a message of any length. One that is longer than the ring is sent when the other end has received all of it.
 *
 * @param pipe        the end
 * @param message     `len` bytes, copied; may be NULL if `len` is 0
 * @param len         its length
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to try: then the other end is to take each piece of a message that is
 * longer than the ring within 20 ms
 * @return RF_OK; RF_E_BROKEN_PIPE (nobody has the other end any more), RF_E_WRONG_DIRECTION, RF_E_FULL (no room, and not to
 * wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED
 *
 * Threads, processes: any number at once. Crash: killed before it returns, the message is there whole, or not at all.
 */
int rf_pipe_send(const struct rf_pipe *pipe,
                 const void *message,
                 size_t len,
                 int64_t timeout_ns);

/**
 * Receives a message.
 *
 * @param pipe        the end
 * @param buffer      room for `size` bytes; may be NULL if `size` is 0. If the call fails its bytes are as they were, but for a
 * message that is longer than the ring and did not come to its end
 * @param size        its size
 * @param len         the length of the message; with RF_E_BUFFER_TOO_SHORT too: then the message is still there
 * @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
 * @return RF_OK; RF_E_END_OF_FILE (nobody has the other end any more, and all that was sent has been received),
 * RF_E_WRONG_DIRECTION, RF_E_EMPTY (nothing there, and not to wait), RF_E_TIMED_OUT, RF_E_BUFFER_TOO_SHORT, RF_E_CLOSED (shut
 * down and drained), RF_E_INTERRUPTED, RF_E_CORRUPTED
 *
 * Threads, processes: any number at once. Crash: killed in the middle, the message stays for others who hold this end, or is
 * gone with the killed process; it is never delivered twice.
 */
int rf_pipe_recv(const struct rf_pipe *pipe,
                 void *buffer,
                 size_t size,
                 size_t *len,
                 int64_t timeout_ns);

/**
 * Waits until a receive would end at once, with a message or with the end of file. Takes nothing.
 *
 * @param pipe        the end
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
 * @return RF_OK; RF_E_NOT_READY (it would not, and not to wait), RF_E_TIMED_OUT, RF_E_WRONG_DIRECTION, RF_E_INTERRUPTED
 */
int rf_pipe_poll(const struct rf_pipe *pipe, int64_t timeout_ns);

/**
 * Ends both directions for everybody: sends fail with `RF_E_CLOSED` from now on, receives take what is there and then fail so
 * too. Shutting down twice is fine.
 *
 * @param pipe  an end of it
 * @return RF_OK, RF_E_INTERRUPTED (while another was in the middle of a send: the next one ends it), RF_E_CORRUPTED,
 * RF_E_INVALID
 */
int rf_pipe_shutdown(const struct rf_pipe *pipe);

/**
 * Gives the handle back. If nobody holds the end any more by then, the other end is told.
 *
 * @param pipe  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_pipe_close(struct rf_pipe *pipe);

/* # Waiting for one of several
 *
 * `rf_wait_any` waits until the first of up to 64 things is ready: a lock is free, permits are there, an event is
 * set, a queue, a channel, a ring or a broadcast has a message or room, a blackboard has a newer value, something that is
 * done once is done, a process is gone. They may be of any kinds and in any segments.
 *
 * *Ready* means that the call which does not wait (`rf_mutex_lock(m, 0)`, `rf_queue_pop(q, &item, 0)`) would not come back
 * for want of it: it would succeed, or fail for another reason, as on a queue that is shut down. Nothing is taken. It is a
 * hint: by the time of the call somebody else may have been faster, so try, and wait again if there is nothing.
 *
 *     rf_awaited items[] = {{.what = RF_AWAIT_READABLE_QUEUE, .handle = tasks}, {.what = RF_AWAIT_MUTEX, .handle = guard}};
 *     uint64_t ready;
 *     if (rf_wait_any(items, 2, 0, &ready, RF_FOREVER) == RF_OK && ready & 1) status = rf_queue_pop(tasks, &task, 0);
 */

/** What to wait for. */
typedef enum rf_await {
    /** `handle` is a `rf_mutex`: it is free, or given up, or the calling thread's, or its owner is dead. */
    RF_AWAIT_MUTEX = 1,
    /** `handle` is a `rf_reentrant_mutex`: the same. */
    RF_AWAIT_REENTRANT_MUTEX = 2,
    /** `handle` is a `rf_semaphore`: `count` permits are free, those of the dead included; or there can never be so many. */
    RF_AWAIT_SEMAPHORE = 3,
    /** `handle` is a `rf_queue`: there is an item, or it is shut down. */
    RF_AWAIT_READABLE_QUEUE = 4,
    /** `handle` is a `rf_queue`: there is room, or it is shut down. */
    RF_AWAIT_WRITABLE_QUEUE = 5,
    /** `handle` is a `rf_channel`: there is a message, or it is shut down. */
    RF_AWAIT_READABLE_CHANNEL = 6,
    /** `handle` is a `rf_channel`: there is room for a message of `count` bytes, or there never will be. */
    RF_AWAIT_WRITABLE_CHANNEL = 7,
    /**
     * `handle` is a `rf_segment`: its participant with the number `count` and with this `life` (see
     * `rf_participant_info`) has died or left; also if the segment never had it.
     */
    RF_AWAIT_GONE = 8,
    /**
     * `handle` is a `rf_event`: it is set, or has been since the call began, also if it was cleared at once; of one with auto
     * reset, a signal is kept, which `rf_event_wait(event, 0)` takes.
     */
    RF_AWAIT_EVENT = 9,
    /** `handle` is a `rf_once`: it is done. */
    RF_AWAIT_ONCE = 10,
    /** `handle` is a `rf_once_value`: there is a value. */
    RF_AWAIT_ONCE_VALUE = 11,
    /** `handle` is a `rf_spsc`: there is an item, or it is shut down. */
    RF_AWAIT_READABLE_SPSC = 12,
    /** `handle` is a `rf_spsc`: there is room, or it is shut down. */
    RF_AWAIT_WRITABLE_SPSC = 13,
    /** `handle` is a `rf_byte_ring`: there is a record, or it is shut down. */
    RF_AWAIT_READABLE_BYTE_RING = 14,
    /** `handle` is a `rf_byte_ring`: there is room for a record of `count` bytes, or there never will be. */
    RF_AWAIT_WRITABLE_BYTE_RING = 15,
    /**
     * `handle` is a `rf_broadcast_reader`: there is a record, some were missed, or it is shut down and everything has been read. No
     * other thread receives through it meanwhile.
     */
    RF_AWAIT_BROADCAST_READER = 16,
    /** `handle` is a `rf_broadcast_writer`: no reader is in the way, or it is shut down. */
    RF_AWAIT_BROADCAST_WRITER = 17,
    /** `handle` is a `rf_blackboard`: there is a value with a number greater than `count`, or none is to come. */
    RF_AWAIT_BLACKBOARD = 18,
    /** `handle` is a `rf_work_queue`: there is a message to be taken, or the end. */
    RF_AWAIT_READABLE_WORK_QUEUE = 30,
    /** `handle` is a `rf_work_queue`: there is room, or it is shut down, or full of dead letters. */
    RF_AWAIT_WRITABLE_WORK_QUEUE = 31,
    /** `handle` is a `rf_work_queue`: no message is unfinished. */
    RF_AWAIT_WORK_DONE = 32,
    /** `handle` is a `rf_pipe`: there is a message, or the end of file, or it does not receive. */
    RF_AWAIT_READABLE_PIPE = 40,
    /** `handle` is a `rf_pipe`: there is room for a message of `count` bytes, or none is needed. */
    RF_AWAIT_WRITABLE_PIPE = 41,
} rf_await;

/** One of the things to wait for. Its handle stays open, and is not closed, during the call. */
typedef struct rf_awaited {
    /** Of `rf_await`. */
    int what;
    /** For RF_AWAIT_GONE: which life. */
    uint32_t life;
    /** The handle, of the type that `what` says. Another type cannot be detected. */
    const void *handle;
    /** How many permits or bytes, or the number of a participant; else 0. */
    uint64_t count;
    /** 0. */
    uint64_t reserved;
} rf_awaited;

/**
 * Waits until something of a list is ready.
 *
 * @param items       what to wait for
 * @param count       how many, 1 to 64; one may be there twice
 * @param flags       0, or RF_INTERRUPTIBLE: a signal handler that ran ends the call, but for one that was installed with
 *                    SA_RESTART, as signal(3) does: after it the kernel goes on with futex_waitv(2) by itself
 * @param ready       which are ready, the first of the list as bit 0; all that were seen, so that whoever serves them in
 *                    turn lets none starve
 * @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
 * @return RF_OK; RF_E_NOT_READY (none is, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_INVALID,
 * RF_E_CORRUPTED
 *
 * What changes wakes it at once, through futex_waitv(2); a death that nobody else has noticed is seen within 100 ms. On
 * a kernel before 5.16, or where a filter forbids that call, a change of the first of the list wakes it at once and one
 * of another is seen after as long again as it has waited already, at most 100 ms.
 *
 * A wake-up that was meant for one waiter of a lock or a semaphore is handed on to another, so that a wait that finds
 * several things ready keeps nobody from any of them.
 *
 * Threads, processes: any number at once. Crash: killed in the middle it leaves nothing behind.
 */
int rf_wait_any(const struct rf_awaited *items,
                size_t count,
                int flags,
                uint64_t *ready,
                int64_t timeout_ns);

/* # Descriptors that tell that something is ready
 *
 * For programs that wait in `poll`, `epoll` or an event loop: a descriptor that becomes readable when the first of several
 * things (see `rf_wait_any`) is ready. *Readable* means that something was ready since the descriptor was last armed. It
 * stays readable until it is armed again; it is made armed. Nobody reads or writes it.
 *
 * So: try; if there is nothing, arm, wait until it is readable, and try again. What is ready at the arming makes it
 * readable at once, so nothing is missed in between; it may also be readable though there is nothing (any more).
 *
 *     rf_awaited tasks_there = {.what = RF_AWAIT_READABLE_QUEUE, .handle = tasks};
 *     rf_ready_fd *ready; int fd;
 *     if (rf_ready_fd_open(&tasks_there, 1, &ready) < 0 || rf_ready_fd_number(ready, &fd) < 0) return 1;
 *     epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN});
 *     for (;;) {
 *         while (rf_queue_pop(tasks, &task, 0) == RF_OK) work(&task);
 *         rf_ready_fd_arm(ready);
 *         epoll_wait(epoll, &event, 1, -1);
 *     }
 *
 * Each costs its process a thread, in which no signal handler runs, and nobody else anything. It counts as a thread like
 * any other: a lock that the caller holds is not free for it.
 *
 * After a fork the thread stays with the parent. The child makes descriptors of its own: arming the parent's is an error,
 * and what the child sees on it is what the parent's thread tells the parent.
 */

/** A descriptor and the thread that serves it. */
typedef struct rf_ready_fd rf_ready_fd;

/**
 * Makes a descriptor for the first of several things, armed. Their handles may be closed before it is.
 *
 * @param items  what to wait for
 * @param count  how many, 1 to 63
 * @param out    the handle; `rf_ready_fd_close` gives it back
 * @return RF_OK, RF_E_INVALID, RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_SYSTEM (no thread can be made),
 * RF_E_CORRUPTED
 */
int rf_ready_fd_open(const rf_awaited *items, size_t count, struct rf_ready_fd **out);

/**
 * The descriptor. It belongs to the handle and is closed with it.
 *
 * @param ready  the handle
 * @param fd     the descriptor
 * @return RF_OK, RF_E_INVALID
 */
int rf_ready_fd_number(const struct rf_ready_fd *ready, int *fd);

/**
 * Makes the descriptor unreadable until something is ready: at once, if something is ready now.
 *
 * @param ready  the handle
 * @return RF_OK, RF_E_NOT_SUPPORTED (in a forked child: it is the parent's), RF_E_INVALID
 *
 * Threads: any. Not a wait.
 */
int rf_ready_fd_arm(const struct rf_ready_fd *ready);

/**
 * Ends the thread, closes the descriptor, gives the handle back. In a forked child it touches nothing of the parent's.
 *
 * @param ready  the handle, or NULL
 * @return RF_OK
 *
 * Threads: no other may be using this handle.
 */
int rf_ready_fd_close(struct rf_ready_fd *ready);

/* # Log
 *
 * What happens to processes and to what they left, said to people: participants that were found dead and what was done
 * about it, messages that are delivered again, processes that start and end. Off at first.
 *
 * The environment variable `RINGFENCE_LOG`, one of `off`, `error`, `warning`, `info` and `debug`, has lines like
 * `[WARNING/MainProcess] text` printed to the standard error, in any language; children inherit it. `rf_set_log` has
 * precedence over it, in the process that calls it.
 *
 *     rf_set_log(NULL, RF_LOG_INFO);    // to the standard error
 *     rf_set_log(keep, RF_LOG_WARNING); // void keep(int level, const char *text)
 */

/** How much an event matters, and up to which ones are told. */
typedef enum rf_log_level {
    /** Nothing is told. */
    RF_LOG_OFF = 0,
    /** Something cannot be done. */
    RF_LOG_ERROR = 1,
    /** A process died, or what it did is done again. */
    RF_LOG_WARNING = 2,
    /** Processes start and end. */
    RF_LOG_INFO = 3,
    /** What is of use to who looks for an error. */
    RF_LOG_DEBUG = 4,
} rf_log_level;

/**
 * Takes an event. It may come on any thread, on several at once, and from inside any call. `text` is one line without its end,
 * gone when the function returns. It must not call this library.
 */
typedef void (*rf_log)(int level, const char *text);

/**
 * Has events of this level, and of those that matter more, told to a function, or printed.
 *
 * @param taker  is called with each; NULL: they are printed to the standard error, as `[LEVEL/process-name] text`
 * @param level  of `rf_log_level`; RF_LOG_OFF turns it off, whatever `RINGFENCE_LOG` says
 * @return RF_OK; RF_E_INVALID for an unknown level
 *
 * Threads: any; an event that comes meanwhile may still go where they went before. Fork: a child goes on as its parent.
 */
int rf_set_log(rf_log taker, int level);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* RINGFENCE_H */
