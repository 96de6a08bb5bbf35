//! # Queues
//!
//! A queue carries items of one fixed size, first in, first out, between any number of processes that push and that pop.
//! Each item is delivered at most once, and whole: an item whose push has returned is there even if the pusher is killed
//! the next moment; an item whose pop has begun to return dies with the process that popped it. Items of one pusher
//! arrive in order.
//!
//! Items are plain bytes: no pointers in them. Both sides name the same size and alignment, and the same tag if they use
//! one; the Rust side is `Queue<T>`.
//!
//! Pushing is lock-free. A pop may have to wait, shortly, for a process that is stopped in the middle of its push; one
//! that died there is skipped.
//!
//! `rf_queue_push_many` and `rf_queue_pop_many` move several items by one call, and wake sleepers once. There is no room to
//! write an item in place, and none is read in place: items are copied.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::queue::AnyQueue;
use crate::raw::queue::{PopFailure, PushFailure};
use crate::raw::words;
use crate::segment::directory;

/// A handle to a queue.
pub struct rf_queue {
    pub(super) core: AnyQueue,
}

impl From<PushFailure> for Failure {
    fn from(failure: PushFailure) -> Self {
        match failure {
            PushFailure::Full => RF_E_FULL.into(),
            PushFailure::TimedOut => RF_E_TIMED_OUT.into(),
            PushFailure::Closed => RF_E_CLOSED.into(),
            PushFailure::Interrupted => RF_E_INTERRUPTED.into(),
            PushFailure::Corrupted => RF_E_CORRUPTED.into(),
        }
    }
}

impl From<PopFailure> for Failure {
    fn from(failure: PopFailure) -> Self {
        match failure {
            PopFailure::Empty => RF_E_EMPTY.into(),
            PopFailure::Busy => RF_E_BUSY.into(),
            PopFailure::TimedOut => RF_E_TIMED_OUT.into(),
            PopFailure::Closed => RF_E_CLOSED.into(),
            PopFailure::Interrupted => RF_E_INTERRUPTED.into(),
            PopFailure::Corrupted => RF_E_CORRUPTED.into(),
        }
    }
}

/// Opens the queue of that name, or makes it.
///
/// @param segment     where it lives
/// @param name        its name in the segment
/// @param flags       of `rf_flags`
/// @param item_size   bytes of an item; 0 for items that only count
/// @param item_align  alignment of an item (`_Alignof`): a power of two
/// @param tag         a name for the type of the items that both sides must use; NULL or "" for none
/// @param capacity    how many items it holds, exactly: at least 1; 0 without `RF_CREATE` takes what is there
/// @param out         the handle; `rf_queue_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another item or
/// capacity), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    item_size: usize,
    item_align: usize,
    tag: *const c_char,
    capacity: usize,
    out: *mut *mut rf_queue,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (open, tag) = unsafe { (opening(segment, name, flags, out)?, argument::tag(tag)?) };
        let item = directory::Item { size: item_size, align: item_align, tag: directory::tag(tag)? };
        let core = AnyQueue::open(open.segment, open.name, open.flags.mode, item, capacity)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_queue { core })
    })
}

/// Puts an item at the end of the queue.
///
/// @param queue       the queue
/// @param item        `item_size` bytes, copied
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_FULL (no room, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down), RF_E_INTERRUPTED,
/// RF_E_CORRUPTED
///
/// Threads, processes: any number at once. Crash: killed before it returns, the item is there whole, or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_push(queue: *const rf_queue, item: *const c_void, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { reference(queue, "queue")? };
        // SAFETY: the caller's promise.
        let item = unsafe { argument::bytes(item, queue.core.item_size(), "item")? };
        queue.core.push(item, argument::deadline(timeout_ns))??;
        Ok(RF_OK)
    })
}

/// Takes the item at the head of the queue.
///
/// @param queue       the queue
/// @param item        room for `item_size` bytes
/// @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_EMPTY (nothing there, and not to wait), RF_E_BUSY (the next item is just being written, and not
/// to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down and drained), RF_E_INTERRUPTED, RF_E_CORRUPTED
///
/// Threads, processes: any number at once. Crash: killed in the middle, the item stays for others, or is gone with the
/// killed process; it is never delivered twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_pop(queue: *const rf_queue, item: *mut c_void, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { reference(queue, "queue")? };
        // SAFETY: the caller's promise.
        let item = unsafe { argument::bytes_mut(item, queue.core.item_size(), "item")? };
        let deadline = argument::deadline(timeout_ns);
        argument::fill_on_success(item, |item| -> Result<(), Failure> { Ok(queue.core.pop(item, deadline)??) })?;
        Ok(RF_OK)
    })
}

/// Puts as many of these items at the end of the queue as there is room for, from the first on; waits for room for one.
/// They arrive in this order; those of other pushers may come between them.
///
/// @param queue       the queue
/// @param items       `count` times `item_size` bytes, one after another, copied
/// @param count       how many
/// @param pushed      how many were pushed: at least 1, unless `count` is 0, and at most the capacity
/// @param timeout_ns  how long to wait for room; RF_FOREVER, 0 to try
/// @return as `rf_queue_push`: then none was pushed
///
/// Threads, processes: any number at once. Crash: killed in the middle, the first of them are there, each whole.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_push_many(
    queue: *const rf_queue,
    items: *const c_void,
    count: usize,
    pushed: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (queue, pushed) = unsafe { (reference(queue, "queue")?, Out::required(pushed, "pushed")?) };
        let size = queue.core.item_size();
        // SAFETY: the caller's promise.
        let items = unsafe { argument::bytes(items, size.saturating_mul(count), "items")? };
        let done = queue.core.push_many(count, argument::deadline(timeout_ns), |nth, data| {
            words::store(data, &items[nth * size..][..size]);
        })??;
        pushed.write(done);
        Ok(RF_OK)
    })
}

/// Takes as many items as there are and there is room for, waiting for one.
///
/// @param queue       the queue
/// @param items       room for `count` times `item_size` bytes, which are filled one after another; behind the last one it
/// stays as it was
/// @param count       how many at the most
/// @param popped      how many were taken: at least 1, unless `count` is 0, and at most the capacity
/// @param timeout_ns  how long to wait for an item; RF_FOREVER, 0 to try
/// @return as `rf_queue_pop`: then none was taken
///
/// Threads, processes: any number at once. Crash: killed in the middle, what was taken is gone with the killed process, the
/// rest stays for others; nothing is delivered twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_pop_many(
    queue: *const rf_queue,
    items: *mut c_void,
    count: usize,
    popped: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (queue, popped) = unsafe { (reference(queue, "queue")?, Out::required(popped, "popped")?) };
        let size = queue.core.item_size();
        // SAFETY: the caller's promise.
        let items = unsafe { argument::bytes_mut(items, size.saturating_mul(count), "items")? };
        let deadline = argument::deadline(timeout_ns);
        let done = argument::with_scratch(size, |item| {
            queue.core.pop_many(count, item, deadline, |nth, item| items[nth * size..][..size].copy_from_slice(item))
        })??;
        popped.write(done);
        Ok(RF_OK)
    })
}

/// How many items are in the queue at this moment.
///
/// @param queue  the queue
/// @param len    between 0 and the capacity; exact if nobody pushes or pops meanwhile
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_len(queue: *const rf_queue, len: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(queue, "queue", len, "len", |queue| Ok(queue.core.len())) })
}

/// How many items the queue holds when it is full.
///
/// @param queue     the queue
/// @param capacity  the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_capacity(queue: *const rf_queue, capacity: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(queue, "queue", capacity, "capacity", |queue| Ok(queue.core.capacity())) })
}

/// Ends the queue for everybody: pushes fail with `RF_E_CLOSED` from now on, pops take what is there and then fail so too.
/// Sleepers wake up. Shutting down twice is fine; there is no way back but `rf_segment_remove`.
///
/// @param queue  the queue
/// @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_shutdown(queue: *const rf_queue) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { reference(queue, "queue")? };
        queue.core.shutdown()?;
        Ok(RF_OK)
    })
}

/// Whether the queue was shut down.
///
/// @param queue  the queue
/// @param is     1 if it was, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_is_shut_down(queue: *const rf_queue, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(queue, "queue", is, "is", |queue| Ok(queue.core.is_shut_down().into())) })
}

/// Gives the handle back. The queue and what is in it stay.
///
/// @param queue  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_queue_close(queue: *mut rf_queue) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(queue) })
}
