//! # Work queues
//!
//! A work queue carries messages to whoever does the work, and keeps each until that is done. A *lease* is a message that
//! was taken: `rf_work_queue_done` ends it. One that is failed, or whose process dies or leaves the segment, gives its
//! message back, which is delivered again, before those that nobody has had yet. So delivery is at least once: work that was
//! finished, but not reported done, is done again, and the lease says how often the message was delivered. A message that
//! comes back after as many deliveries as the queue allows is set aside, as a *dead letter*: it counts as finished, and keeps
//! its place until `rf_work_queue_take_dead_letter` takes it from there and `rf_work_queue_done` ends that.
//!
//! Leases belong to the process: any of its threads may end one, on any of its handles of the queue. A forked child has none
//! of its parent's.
//!
//! ```c
//! rf_lease lease; char task[100]; size_t len;
//! while (rf_work_queue_take(work, &lease, RF_FOREVER) == RF_OK) // until it is shut down, and all is done
//!     if (rf_work_queue_read(work, &lease, task, sizeof task, &len) == RF_OK && carry_out(task, len))
//!         rf_work_queue_done(work, &lease);
//!     else
//!         rf_work_queue_fail(work, &lease);
//! ```
//!
//! Python's `JoinableQueue`: a `get` is take, read and `rf_work_queue_keep`; `task_done` is `rf_work_queue_task_done`.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::{self, *};
use crate::queue::{AnyWorkQueue, JoinError, LeaseError, Plan, TakeError, WorkPushError};
use crate::raw::work_queue::Lease;
use crate::sys::nap::Deadline;

/// A handle to a work queue.
pub struct rf_work_queue {
    pub(super) core: AnyWorkQueue,
}

/// A message that was taken. It may be copied; the first call that ends it does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rf_lease {
    /// Which lease of all: not for you.
    pub id: u64,
    /// Where the message is: not for you.
    pub place: u32,
    /// How often the message was delivered, this time included.
    pub deliveries: u32,
}

impl rf_lease {
    fn of(lease: Lease) -> Self {
        Self { id: lease.word, place: lease.place, deliveries: lease.deliveries() }
    }

    fn raw(self) -> Lease {
        Lease { place: self.place, word: self.id }
    }
}

/// How many messages a work queue has.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rf_work_count {
    /// To be taken, those being written included.
    pub waiting: usize,
    /// Taken, and not finished.
    pub leased: usize,
    /// Set aside.
    pub dead_letters: usize,
}

impl From<WorkPushError> for Failure {
    fn from(error: WorkPushError) -> Self {
        match error {
            WorkPushError::Full => RF_E_FULL.into(),
            WorkPushError::DeadLetters => RF_E_DEAD_LETTERS.into(),
            WorkPushError::TimedOut => RF_E_TIMED_OUT.into(),
            WorkPushError::Closed => RF_E_CLOSED.into(),
            WorkPushError::Interrupted => RF_E_INTERRUPTED.into(),
            WorkPushError::TooLong { .. } => Self::new(RF_E_MESSAGE_TOO_LONG, error.to_string()),
            WorkPushError::Corrupted => RF_E_CORRUPTED.into(),
            WorkPushError::Segment(error) => error.into(),
        }
    }
}

impl From<TakeError> for Failure {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Empty => RF_E_EMPTY.into(),
            TakeError::Busy => RF_E_BUSY.into(),
            TakeError::TimedOut => RF_E_TIMED_OUT.into(),
            TakeError::Closed => RF_E_CLOSED.into(),
            TakeError::Interrupted => RF_E_INTERRUPTED.into(),
            TakeError::Corrupted => RF_E_CORRUPTED.into(),
            TakeError::Segment(error) => error.into(),
        }
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::NotLeased => RF_E_NOT_LEASED.into(),
            LeaseError::TooManyDone => RF_E_TOO_MANY_DONE.into(),
            LeaseError::BufferTooShort { .. } => Self::new(RF_E_BUFFER_TOO_SHORT, error.to_string()),
            LeaseError::Corrupted => RF_E_CORRUPTED.into(),
            LeaseError::Segment(error) => error.into(),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Unfinished => RF_E_NOT_READY.into(),
            JoinError::TimedOut => RF_E_TIMED_OUT.into(),
            JoinError::Interrupted => RF_E_INTERRUPTED.into(),
            JoinError::Corrupted => RF_E_CORRUPTED.into(),
            JoinError::Segment(error) => error.into(),
        }
    }
}

/// Opens the work queue of that name, or makes it.
///
/// @param segment         where it lives
/// @param name            its name in the segment
/// @param flags           of `rf_flags`
/// @param messages        how many it holds, unfinished ones and dead letters together: 1 to 2^24. 0 without `RF_CREATE`,
///                        and 0 for `longest`, takes what is there
/// @param longest         bytes of the longest message: 1 to 2^32 - 1. The segment needs room for as many of these
/// @param max_deliveries  a message that comes back after so many is set aside: 1 to 65535; 0 for never
/// @param out             the handle; `rf_work_queue_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another
/// capacity, longest message or number of deliveries), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID,
/// RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    messages: usize,
    longest: usize,
    max_deliveries: u32,
    out: *mut *mut rf_work_queue,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let whatever = open.flags.mode == crate::segment::directory::Mode::Open && messages == 0 && longest == 0;
        let plan = (!whatever).then_some(Plan { messages, longest, limit: max_deliveries });
        let core = AnyWorkQueue::open(open.segment, open.name, open.flags.mode, plan)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_work_queue { core })
    })
}

/// Appends a message.
///
/// @param queue       the queue
/// @param message     `len` bytes, copied; may be NULL if `len` is 0
/// @param len         its length, at most what the queue was made for
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_DEAD_LETTERS (every place has a dead letter),
/// RF_E_MESSAGE_TOO_LONG, RF_E_CLOSED (shut down), RF_E_INTERRUPTED, RF_E_CORRUPTED
///
/// Threads, processes: any number at once. Crash: killed before it returns, the message is there whole, or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_push(
    queue: *const rf_work_queue,
    message: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (queue, message) = unsafe { (reference(queue, "queue")?, argument::bytes(message, len, "message")?) };
        queue.core.push(message, argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Takes a message: one that came back if there is one, else the first.
///
/// @param queue       the queue
/// @param lease       the message, for `rf_work_queue_read` and the calls that end it
/// @param timeout_ns  how long to wait for a message; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_EMPTY (none is there, and not to wait), RF_E_BUSY (the next is just being written, and not to wait),
/// RF_E_TIMED_OUT, RF_E_CLOSED (shut down, and every message is done or set aside), RF_E_INTERRUPTED, RF_E_CORRUPTED
///
/// Threads, processes: any number at once. Crash: killed before the message is done, it is delivered again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_take(
    queue: *const rf_work_queue,
    lease: *mut rf_lease,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (queue, lease) = unsafe { (reference(queue, "queue")?, Out::required(lease, "lease")?) };
        lease.write(rf_lease::of(queue.core.take(argument::deadline(timeout_ns))?));
        Ok(RF_OK)
    })
}

/// Takes several messages: waits for the first as `rf_work_queue_take` does, and for no other.
///
/// @param queue       the queue
/// @param leases      room for `most` leases; written also beyond those that were taken
/// @param most        how many at most, at least 1
/// @param taken       how many were taken, at least 1
/// @param timeout_ns  how long to wait for the first; RF_FOREVER, 0 to try
/// @return as `rf_work_queue_take`
///
/// Threads, processes: any number at once. Crash: killed before the messages are done, they are delivered again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_take_many(
    queue: *const rf_work_queue,
    leases: *mut rf_lease,
    most: usize,
    taken: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (queue, first, taken) =
            unsafe { (reference(queue, "queue")?, Out::required(leases, "leases")?, Out::required(taken, "taken")?) };
        if most == 0 || most > isize::MAX as usize / size_of::<rf_lease>() {
            return Err(Failure::new(RF_E_INVALID, format!("most is {most}")));
        }
        first.write(rf_lease::of(queue.core.take(argument::deadline(timeout_ns))?));
        let mut count = 1;
        while count < most
            && let Ok(lease) = queue.core.take(Deadline::Now)
        {
            // SAFETY: the caller promised room for `most`, of which this is one.
            unsafe { leases.add(count).write(rf_lease::of(lease)) };
            count += 1;
        }
        taken.write(count);
        Ok(RF_OK)
    })
}

/// Takes a dead letter, if there is one. `rf_work_queue_done` frees its place; if the lease ends otherwise, the message is a
/// dead letter still.
///
/// @param queue  the queue
/// @param lease  the message
/// @return RF_OK; RF_E_EMPTY (there is none), RF_E_CORRUPTED
///
/// Threads, processes: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_take_dead_letter(queue: *const rf_work_queue, lease: *mut rf_lease) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (queue, lease) = unsafe { (reference(queue, "queue")?, Out::required(lease, "lease")?) };
        lease.write(rf_lease::of(queue.core.take_dead()?));
        Ok(RF_OK)
    })
}

/// Copies a message that was taken. It may be read as often as one likes until it is done.
///
/// @param queue   the queue
/// @param lease   the message
/// @param buffer  room for `size` bytes; may be NULL if `size` is 0
/// @param size    its size; `rf_work_queue_max_message` is always enough
/// @param len     the length of the message; with RF_E_BUFFER_TOO_SHORT too
/// @return RF_OK; RF_E_BUFFER_TOO_SHORT, RF_E_NOT_LEASED (it was finished or given back, or is another process's),
/// RF_E_CORRUPTED
///
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_read(
    queue: *const rf_work_queue,
    lease: *const rf_lease,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (queue, lease, buffer, len) = unsafe {
            let buffer = argument::bytes_mut(buffer, size, "buffer")?;
            (reference(queue, "queue")?, *reference(lease, "lease")?, buffer, Out::required(len, "len")?)
        };
        match queue.core.read(lease.raw(), buffer) {
            Ok(length) => {
                len.write(length);
                Ok(RF_OK)
            }
            Err(error) => {
                if let LeaseError::BufferTooShort { needed } = error {
                    len.write(needed);
                }
                Err(error.into())
            }
        }
    })
}

/// Ends a lease in one of the three ways.
///
/// # Safety
/// Both are NULL or as the callers' descriptions say.
unsafe fn end(
    queue: *const rf_work_queue,
    lease: *const rf_lease,
    how: fn(&AnyWorkQueue, Lease) -> Result<(), LeaseError>,
) -> Result<rf_status, Failure> {
    // SAFETY: the caller's promise.
    let (queue, lease) = unsafe { (reference(queue, "queue")?, *reference(lease, "lease")?) };
    how(&queue.core, lease.raw())?;
    Ok(RF_OK)
}

/// Reports that the work is done: the message is gone.
///
/// @param queue  the queue
/// @param lease  the message
/// @return RF_OK; RF_E_NOT_LEASED (it was finished or given back before, or is another process's), RF_E_INVALID
///
/// Threads: any, of the process that took it. Crash: killed before it returns, the message is gone, or delivered again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_done(queue: *const rf_work_queue, lease: *const rf_lease) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { end(queue, lease, AnyWorkQueue::done) })
}

/// Gives a message back: it is delivered again, to anybody, or set aside if it was delivered as often as it may be.
///
/// @param queue  the queue
/// @param lease  the message
/// @return as `rf_work_queue_done`
///
/// Threads: any, of the process that took it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_fail(queue: *const rf_work_queue, lease: *const rf_lease) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { end(queue, lease, AnyWorkQueue::fail) })
}

/// Leaves a message with the process: the lease is none any more, and one call of `rf_work_queue_task_done`, which does not
/// say which message it means, finishes it. If the process dies before, it is delivered again.
///
/// @param queue  the queue
/// @param lease  the message; not a dead letter
/// @return as `rf_work_queue_done`
///
/// Threads: any, of the process that took it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_keep(queue: *const rf_work_queue, lease: *const rf_lease) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { end(queue, lease, AnyWorkQueue::keep) })
}

/// Reports one of the messages done that the process keeps.
///
/// @param queue  the queue
/// @return RF_OK; RF_E_TOO_MANY_DONE (it keeps none), RF_E_CORRUPTED
///
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_task_done(queue: *const rf_work_queue) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(queue, "queue")? }.core.done_any()?;
        Ok(RF_OK)
    })
}

/// Waits until no message is unfinished: all are done, or dead letters. A message counts from its push on. The end of all
/// work that lasts is seen for certain; one that a new message ends at once may be missed.
///
/// @param queue       the queue
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
/// @return RF_OK; RF_E_NOT_READY (something is unfinished, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
/// RF_E_CORRUPTED
///
/// Threads, processes: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_join(queue: *const rf_work_queue, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(queue, "queue")? }.core.join(argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// How many messages the queue has. Each place is looked at once, so while others are at work a number may be one that
/// never was.
///
/// @param queue  the queue
/// @param count  the numbers; `waiting + leased` are unfinished
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_count(queue: *const rf_work_queue, count: *mut rf_work_count) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(queue, "queue", count, "count", |queue| {
            let count = queue.core.count();
            let (waiting, leased, dead_letters) = (count.waiting, count.leased, count.dead_letters);
            Ok(rf_work_count { waiting, leased, dead_letters })
        })
    })
}

/// How many messages the queue can hold.
///
/// @param queue     the queue
/// @param capacity  the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_capacity(queue: *const rf_work_queue, capacity: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(queue, "queue", capacity, "capacity", |queue| Ok(queue.core.geometry().places()))
    })
}

/// The longest message that the queue takes.
///
/// @param queue  the queue
/// @param max    in bytes
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_max_message(queue: *const rf_work_queue, max: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(queue, "queue", max, "max", |queue| Ok(queue.core.geometry().longest())) })
}

/// After how many deliveries a message that comes back is set aside.
///
/// @param queue  the queue
/// @param max    the number; 0: never
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_max_deliveries(queue: *const rf_work_queue, max: *mut u32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(queue, "queue", max, "max", |queue| Ok(queue.core.limit())) })
}

/// Ends the queue for everybody: pushes fail with `RF_E_CLOSED` from now on. What is in it is still delivered, and delivered
/// again if it comes back; takes wait for that, and fail with `RF_E_CLOSED` when every message is done or set aside. Sleepers
/// wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`.
///
/// @param queue  the queue
/// @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_shutdown(queue: *const rf_work_queue) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(queue, "queue")? }.core.shutdown()?;
        Ok(RF_OK)
    })
}

/// Whether the queue was shut down.
///
/// @param queue  the queue
/// @param is     1 if it was, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_is_shut_down(queue: *const rf_work_queue, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(queue, "queue", is, "is", |queue| Ok(queue.core.is_shut_down().into())) })
}

/// Gives the handle back. The queue and what is in it stay. With the process's last handle of the queue, it gives back what
/// it has taken; until then it may end that on another handle.
///
/// @param queue  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_work_queue_close(queue: *mut rf_work_queue) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(queue) })
}
