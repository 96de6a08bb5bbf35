//! # Status codes and errors
//!
//! Every call that can fail returns an `int`: `RF_OK` (0), a positive value for success with a remark, a negative one
//! for failure. The values are stable: a later version adds, it never renumbers. So test for `< 0`, and for the remark
//! that you can act on.
//!
//! A failed call leaves its out-parameters as they were, unless its description says otherwise. No call changes `errno`.
//! A failed call also leaves a sentence for humans, which `rf_last_error` returns to the same thread.

use core::ffi::{CStr, c_char, c_int};

/// What a call came to. Functions return it as `int`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum rf_status {
    /// The call did what it says.
    RF_OK = 0,
    /// The lock IS held, and its last owner died holding it (or gave it back without repairing what it guards). Check
    /// and repair what the lock guards, call `rf_mutex_make_consistent`, then unlock.
    RF_OWNER_DIED = 1,
    /// A compare-and-exchange found another value than the expected one and changed nothing. The value found is in
    /// the out-parameter.
    RF_DIFFERENT = 2,
    /// The caller is the last to arrive at a barrier, and all others wait until it calls `rf_barrier_release`, or
    /// `rf_barrier_abort`.
    RF_LAST = 3,
    /// It is not done yet, and it is the calling thread's turn to do it: do it, then call `rf_once_complete`, or
    /// `rf_once_abandon` to leave it to the next.
    RF_YOUR_TURN = 5,
    /// The same, and whoever had the turn last died or gave up: something may be half done.
    RF_YOUR_TURN_AGAIN = 6,
    /// An argument is NULL that must not be, a number is out of range, an enum value or a flag is unknown.
    RF_E_INVALID = -1,
    /// A name is empty, too long, not terminated or has a character that names may not have. Segments: 1 to 200 of
    /// `A-Z a-z 0-9 . _ -`. Objects: 1 to 63 bytes of UTF-8.
    RF_E_NAME = -2,
    /// This object, memory or system cannot do what was asked.
    RF_E_NOT_SUPPORTED = -3,
    /// A defect in ringfence (a panic was caught). Please report it. The handle may be closed, other calls on it are
    /// not recommended.
    RF_E_INTERNAL = -4,
    /// A system call failed for a reason without a status of its own: see `rf_last_error` and `rf_last_errno`.
    RF_E_SYSTEM = -5,
    /// The process or the machine has no memory left.
    RF_E_NO_MEMORY = -6,
    /// Shared memory has no room: /dev/shm is full, or the segment is.
    RF_E_NO_SPACE = -7,
    /// The segment belongs to another user, or its mode keeps you out.
    RF_E_PERMISSION = -8,
    /// `RF_EXCL` was given and the name exists.
    RF_E_EXISTS = -9,
    /// `RF_CREATE` was not given and the name does not exist.
    RF_E_MISSING = -10,
    /// The object of that name is of another kind (a queue, not a mutex), as the message says.
    RF_E_WRONG_TYPE = -11,
    /// The object or segment of that name has another size or capacity.
    RF_E_WRONG_SHAPE = -12,
    /// The segment was made by a ringfence with another layout version.
    RF_E_VERSION = -13,
    /// Shared memory holds something that no participant writes: a stray write, a torn header, a stranger's file. The
    /// call stopped in time.
    RF_E_CORRUPTED = -14,
    /// Every participant slot of the segment is taken by a living process.
    RF_E_TOO_MANY_PARTICIPANTS = -15,
    /// The segment's directory has no room for another object.
    RF_E_DIRECTORY_FULL = -16,
    /// The process, or the machine, has no file descriptor left.
    RF_E_NO_DESCRIPTORS = -17,
    /// A forked child inherited the handle, and the object was removed before the child's first call.
    RF_E_STALE = -18,
    /// The time-out passed.
    RF_E_TIMED_OUT = -20,
    /// A signal handler ran during the wait, and the handle was opened with `RF_INTERRUPTIBLE`.
    RF_E_INTERRUPTED = -21,
    /// Somebody else has it at this moment and the call was not to wait: the lock is held, or the next message of a
    /// queue is just being written; or a handle that is in use was to be closed.
    RF_E_BUSY = -22,
    /// An unlock of something that nobody holds.
    RF_E_NOT_LOCKED = -30,
    /// The calling thread does not hold the lock, and only its owner may do this; or the process is a forked child of the one
    /// that is at this end of a ring.
    RF_E_NOT_OWNER = -31,
    /// The calling thread holds the lock already and would wait for itself.
    RF_E_WOULD_DEADLOCK = -32,
    /// An owner that was told of a death unlocked without making it consistent: the lock is given up for everybody,
    /// until a reset.
    RF_E_NOT_RECOVERABLE = -33,
    /// A release would raise a bounded semaphore, or a lock the count of nested locks, above its maximum; or a condition
    /// variable has no place for another waiter.
    RF_E_MAXIMUM_REACHED = -34,
    /// The barrier is broken: somebody's time was up or somebody aborted it; or it was reset during the wait.
    RF_E_BROKEN = -35,
    /// Others wait at the condition variable with another mutex, or the mutex lies in another segment.
    RF_E_OTHER_MUTEX = -36,
    /// The barrier is broken because a party died: one that had arrived in this round, or one that was registered.
    RF_E_PARTY_DIED = -37,
    /// It is done already, or has its value.
    RF_E_COMPLETED = -38,
    /// No room, and the call was not to wait.
    RF_E_FULL = -40,
    /// Nothing there, and the call was not to wait.
    RF_E_EMPTY = -41,
    /// Shut down: pushes fail at once, pops once everything that was there is gone.
    RF_E_CLOSED = -42,
    /// The other end is gone and everything that it sent has been read.
    RF_E_END_OF_FILE = -43,
    /// Reading from a writer's end, or writing to a reader's.
    RF_E_WRONG_DIRECTION = -44,
    /// The message can never fit.
    RF_E_MESSAGE_TOO_LONG = -45,
    /// The buffer is shorter than the message. The message stays where it is.
    RF_E_BUFFER_TOO_SHORT = -46,
    /// The message is not leased by the caller (any more).
    RF_E_NOT_LEASED = -47,
    /// One message more was reported done than was taken.
    RF_E_TOO_MANY_DONE = -48,
    /// A ring has a living producer, or consumer, already; or a broadcast or a blackboard a living writer.
    RF_E_ROLE_TAKEN = -49,
    /// A ring is full, or empty, and nobody is at its other end to change that; the handle asked to be told.
    RF_E_ALONE = -50,
    /// Records were overwritten before the reader read them. It goes on at the oldest that is there.
    RF_E_MISSED = -51,
    /// Every place of a work queue has a dead letter: `rf_work_queue_take_dead_letter` and `rf_work_queue_done` make room.
    RF_E_DEAD_LETTERS = -52,
    /// Nobody has the other end of the pipe any more, to receive what was to be sent.
    RF_E_BROKEN_PIPE = -53,
    /// The result, or the value, is not there yet; or some of the work is not done.
    RF_E_NOT_READY = -60,
    /// The process that worked on it died.
    RF_E_WORKER_DIED = -61,
}

use rf_status::*;

/// Every status with its sentence.
const TABLE: &[(rf_status, &CStr)] = &[
    (RF_OK, c"success"),
    (RF_OWNER_DIED, c"the lock is held; its last owner died holding it"),
    (RF_DIFFERENT, c"the value was not the expected one and was left as it is"),
    (RF_LAST, c"the caller is the last to arrive; the others wait for its release"),
    (RF_YOUR_TURN, c"not done yet; it is the caller's turn"),
    (RF_YOUR_TURN_AGAIN, c"not done yet; it is the caller's turn, after one who died or gave up"),
    (RF_E_INVALID, c"invalid argument"),
    (RF_E_NAME, c"the name cannot be used"),
    (RF_E_NOT_SUPPORTED, c"not supported here"),
    (RF_E_INTERNAL, c"internal error in ringfence"),
    (RF_E_SYSTEM, c"a system call failed"),
    (RF_E_NO_MEMORY, c"out of memory"),
    (RF_E_NO_SPACE, c"no space left in the segment or in shared memory"),
    (RF_E_PERMISSION, c"permission denied"),
    (RF_E_EXISTS, c"the name already exists"),
    (RF_E_MISSING, c"no such name"),
    (RF_E_WRONG_TYPE, c"the object of that name has another kind or type"),
    (RF_E_WRONG_SHAPE, c"the object or segment of that name has another size or capacity"),
    (RF_E_VERSION, c"the segment has another layout version"),
    (RF_E_CORRUPTED, c"shared memory is corrupted"),
    (RF_E_TOO_MANY_PARTICIPANTS, c"too many participants in the segment"),
    (RF_E_DIRECTORY_FULL, c"the directory of the segment is full"),
    (RF_E_NO_DESCRIPTORS, c"no file descriptor left"),
    (RF_E_STALE, c"the inherited object was removed before its first use"),
    (RF_E_TIMED_OUT, c"timed out"),
    (RF_E_INTERRUPTED, c"interrupted by a signal"),
    (RF_E_BUSY, c"busy"),
    (RF_E_NOT_LOCKED, c"not locked"),
    (RF_E_NOT_OWNER, c"the caller does not own it"),
    (RF_E_WOULD_DEADLOCK, c"the calling thread already holds the lock"),
    (RF_E_NOT_RECOVERABLE, c"the lock was given up after its owner died"),
    (RF_E_MAXIMUM_REACHED, c"the maximum is reached"),
    (RF_E_BROKEN, c"the barrier is broken"),
    (RF_E_OTHER_MUTEX, c"the condition variable is in use with another mutex"),
    (RF_E_PARTY_DIED, c"a party of the barrier died"),
    (RF_E_COMPLETED, c"already completed"),
    (RF_E_FULL, c"full"),
    (RF_E_EMPTY, c"empty"),
    (RF_E_CLOSED, c"shut down"),
    (RF_E_END_OF_FILE, c"end of file"),
    (RF_E_WRONG_DIRECTION, c"wrong direction"),
    (RF_E_MESSAGE_TOO_LONG, c"message too long"),
    (RF_E_BUFFER_TOO_SHORT, c"buffer too short; the message is still there"),
    (RF_E_NOT_LEASED, c"not leased"),
    (RF_E_TOO_MANY_DONE, c"more messages done than taken"),
    (RF_E_ROLE_TAKEN, c"somebody who lives has that end already"),
    (RF_E_ALONE, c"nobody is at the other end"),
    (RF_E_MISSED, c"records were overwritten before they were read"),
    (RF_E_DEAD_LETTERS, c"full of dead letters"),
    (RF_E_BROKEN_PIPE, c"nobody has the other end of the pipe any more"),
    (RF_E_NOT_READY, c"not ready"),
    (RF_E_WORKER_DIED, c"the worker died"),
];

impl rf_status {
    /// The sentence for humans.
    pub(super) fn text(self) -> &'static CStr {
        text_of(self as c_int)
    }
}

fn text_of(status: c_int) -> &'static CStr {
    TABLE.iter().find(|(known, _)| *known as c_int == status).map_or(c"unknown status", |(_, text)| text)
}

/// The sentence that describes a status, in English: "timed out".
///
/// @param status  any number; an unknown one gives "unknown status"
/// @return a string that is never NULL and never freed
///
/// Threads: any. Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn rf_status_str(status: c_int) -> *const c_char {
    text_of(status).as_ptr()
}
