//! # Waiting for one of several
//!
//! `rf_wait_any` waits until the first of up to 64 things is ready: a lock is free, permits are there, an event is
//! set, a queue, a channel, a ring or a broadcast has a message or room, a blackboard has a newer value, something that is
//! done once is done, a process is gone. They may be of any kinds and in any segments.
//!
//! *Ready* means that the call which does not wait (`rf_mutex_lock(m, 0)`, `rf_queue_pop(q, &item, 0)`) would not come back
//! for want of it: it would succeed, or fail for another reason, as on a queue that is shut down. Nothing is taken. It is a
//! hint: by the time of the call somebody else may have been faster, so try, and wait again if there is nothing.
//!
//! ```c
//! rf_awaited items[] = {{.what = RF_AWAIT_READABLE_QUEUE, .handle = tasks}, {.what = RF_AWAIT_MUTEX, .handle = guard}};
//! uint64_t ready;
//! if (rf_wait_any(items, 2, 0, &ready, RF_FOREVER) == RF_OK && ready & 1) status = rf_queue_pop(tasks, &task, 0);
//! ```

use core::ffi::{c_int, c_void};

use super::argument::{self, Out, reference};
use super::blackboard::rf_blackboard;
use super::boundary::{Failure, boundary};
use super::broadcast::{rf_broadcast_reader, rf_broadcast_writer};
use super::byte_ring::rf_byte_ring;
use super::channel::rf_channel;
use super::event::rf_event;
use super::flag::rf_flags;
use super::mutex::rf_mutex;
use super::once::rf_once;
use super::once_value::rf_once_value;
use super::pipe::rf_pipe;
use super::queue::rf_queue;
use super::reentrant_mutex::rf_reentrant_mutex;
use super::segment::rf_segment;
use super::semaphore::rf_semaphore;
use super::spsc::rf_spsc;
use super::status::rf_status::*;
use super::work_queue::rf_work_queue;
use crate::sync::{WaitAny, WaitError, Waitable};

/// What to wait for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_await {
    /// `handle` is a `rf_mutex`: it is free, or given up, or the calling thread's, or its owner is dead.
    RF_AWAIT_MUTEX = 1,
    /// `handle` is a `rf_reentrant_mutex`: the same.
    RF_AWAIT_REENTRANT_MUTEX = 2,
    /// `handle` is a `rf_semaphore`: `count` permits are free, those of the dead included; or there can never be so many.
    RF_AWAIT_SEMAPHORE = 3,
    /// `handle` is a `rf_queue`: there is an item, or it is shut down.
    RF_AWAIT_READABLE_QUEUE = 4,
    /// `handle` is a `rf_queue`: there is room, or it is shut down.
    RF_AWAIT_WRITABLE_QUEUE = 5,
    /// `handle` is a `rf_channel`: there is a message, or it is shut down.
    RF_AWAIT_READABLE_CHANNEL = 6,
    /// `handle` is a `rf_channel`: there is room for a message of `count` bytes, or there never will be.
    RF_AWAIT_WRITABLE_CHANNEL = 7,
    /// `handle` is a `rf_segment`: its participant with the number `count` and with this `life` (see
    /// `rf_participant_info`) has died or left; also if the segment never had it.
    RF_AWAIT_GONE = 8,
    /// `handle` is a `rf_event`: it is set, or has been since the call began, also if it was cleared at once; of one with auto
    /// reset, a signal is kept, which `rf_event_wait(event, 0)` takes.
    RF_AWAIT_EVENT = 9,
    /// `handle` is a `rf_once`: it is done.
    RF_AWAIT_ONCE = 10,
    /// `handle` is a `rf_once_value`: there is a value.
    RF_AWAIT_ONCE_VALUE = 11,
    /// `handle` is a `rf_spsc`: there is an item, or it is shut down.
    RF_AWAIT_READABLE_SPSC = 12,
    /// `handle` is a `rf_spsc`: there is room, or it is shut down.
    RF_AWAIT_WRITABLE_SPSC = 13,
    /// `handle` is a `rf_byte_ring`: there is a record, or it is shut down.
    RF_AWAIT_READABLE_BYTE_RING = 14,
    /// `handle` is a `rf_byte_ring`: there is room for a record of `count` bytes, or there never will be.
    RF_AWAIT_WRITABLE_BYTE_RING = 15,
    /// `handle` is a `rf_broadcast_reader`: there is a record, some were missed, or it is shut down and everything has been read. No
    /// other thread receives through it meanwhile.
    RF_AWAIT_BROADCAST_READER = 16,
    /// `handle` is a `rf_broadcast_writer`: no reader is in the way, or it is shut down.
    RF_AWAIT_BROADCAST_WRITER = 17,
    /// `handle` is a `rf_blackboard`: there is a value with a number greater than `count`, or none is to come.
    RF_AWAIT_BLACKBOARD = 18,
    /// `handle` is a `rf_work_queue`: there is a message to be taken, or the end.
    RF_AWAIT_READABLE_WORK_QUEUE = 30,
    /// `handle` is a `rf_work_queue`: there is room, or it is shut down, or full of dead letters.
    RF_AWAIT_WRITABLE_WORK_QUEUE = 31,
    /// `handle` is a `rf_work_queue`: no message is unfinished.
    RF_AWAIT_WORK_DONE = 32,
    /// `handle` is a `rf_pipe`: there is a message, or the end of file, or it does not receive.
    RF_AWAIT_READABLE_PIPE = 40,
    /// `handle` is a `rf_pipe`: there is room for a message of `count` bytes, or none is needed.
    RF_AWAIT_WRITABLE_PIPE = 41,
}

/// One of the things to wait for. Its handle stays open, and is not closed, during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rf_awaited {
    /// Of `rf_await`.
    pub what: c_int,
    /// For RF_AWAIT_GONE: which life.
    pub life: u32,
    /// The handle, of the type that `what` says. Another type cannot be detected.
    pub handle: *const c_void,
    /// How many permits or bytes, or the number of a participant; else 0.
    pub count: u64,
    /// 0.
    pub reserved: u64,
}

/// Checks what one of them says.
///
/// # Safety
/// The handle is NULL or a live one of the type that `what` says, for `'a`.
unsafe fn waitable<'a>(item: &rf_awaited) -> Result<Waitable<'a>, Failure> {
    let invalid = |text: String| Failure::new(RF_E_INVALID, text);
    let what = |known: rf_await| item.what == known as c_int;
    let bytes = || usize::try_from(item.count).map_err(|_| invalid(format!("{} bytes", item.count)));
    let handle = item.handle;
    if item.reserved != 0 {
        return Err(invalid("reserved is not 0".to_owned()));
    }
    // SAFETY: the caller's promise, for every pointer.
    unsafe {
        Ok(match item.what {
            _ if what(rf_await::RF_AWAIT_MUTEX) => reference::<rf_mutex>(handle.cast(), "handle")?.core.unlocked(),
            _ if what(rf_await::RF_AWAIT_REENTRANT_MUTEX) => {
                reference::<rf_reentrant_mutex>(handle.cast(), "handle")?.core.unlocked()
            }
            _ if what(rf_await::RF_AWAIT_SEMAPHORE) => {
                let permits = u32::try_from(item.count).map_err(|_| invalid(format!("{} permits", item.count)))?;
                reference::<rf_semaphore>(handle.cast(), "handle")?.core.available(permits)
            }
            _ if what(rf_await::RF_AWAIT_READABLE_QUEUE) => {
                reference::<rf_queue>(handle.cast(), "handle")?.core.readable()
            }
            _ if what(rf_await::RF_AWAIT_WRITABLE_QUEUE) => {
                reference::<rf_queue>(handle.cast(), "handle")?.core.writable()
            }
            _ if what(rf_await::RF_AWAIT_READABLE_CHANNEL) => {
                reference::<rf_channel>(handle.cast(), "handle")?.core.readable()
            }
            _ if what(rf_await::RF_AWAIT_WRITABLE_CHANNEL) => {
                reference::<rf_channel>(handle.cast(), "handle")?.core.writable(bytes()?)
            }
            _ if what(rf_await::RF_AWAIT_GONE) => {
                let id = u16::try_from(item.count).map_err(|_| invalid(format!("participant {}", item.count)))?;
                Waitable::end_of(&reference::<rf_segment>(handle.cast(), "handle")?.core, id, item.life)
            }
            _ if what(rf_await::RF_AWAIT_EVENT) => reference::<rf_event>(handle.cast(), "handle")?.core.occurred(),
            _ if what(rf_await::RF_AWAIT_ONCE) => reference::<rf_once>(handle.cast(), "handle")?.core.completed(),
            _ if what(rf_await::RF_AWAIT_ONCE_VALUE) => {
                reference::<rf_once_value>(handle.cast(), "handle")?.core.completed()
            }
            _ if what(rf_await::RF_AWAIT_READABLE_SPSC) => {
                reference::<rf_spsc>(handle.cast(), "handle")?.core.readable()
            }
            _ if what(rf_await::RF_AWAIT_WRITABLE_SPSC) => {
                reference::<rf_spsc>(handle.cast(), "handle")?.core.writable()
            }
            _ if what(rf_await::RF_AWAIT_READABLE_BYTE_RING) => {
                reference::<rf_byte_ring>(handle.cast(), "handle")?.core.readable()
            }
            _ if what(rf_await::RF_AWAIT_WRITABLE_BYTE_RING) => {
                reference::<rf_byte_ring>(handle.cast(), "handle")?.core.writable(bytes()?)
            }
            _ if what(rf_await::RF_AWAIT_BROADCAST_READER) => {
                reference::<rf_broadcast_reader>(handle.cast(), "handle")?.core.readable()
            }
            _ if what(rf_await::RF_AWAIT_BROADCAST_WRITER) => {
                reference::<rf_broadcast_writer>(handle.cast(), "handle")?.core.writable()
            }
            _ if what(rf_await::RF_AWAIT_BLACKBOARD) => {
                reference::<rf_blackboard>(handle.cast(), "handle")?.core.newer(item.count)
            }
            _ if what(rf_await::RF_AWAIT_READABLE_WORK_QUEUE) => {
                reference::<rf_work_queue>(handle.cast(), "handle")?.core.readable()
            }
            _ if what(rf_await::RF_AWAIT_WRITABLE_WORK_QUEUE) => {
                reference::<rf_work_queue>(handle.cast(), "handle")?.core.writable()
            }
            _ if what(rf_await::RF_AWAIT_WORK_DONE) => {
                reference::<rf_work_queue>(handle.cast(), "handle")?.core.finished()
            }
            _ if what(rf_await::RF_AWAIT_READABLE_PIPE) => {
                reference::<rf_pipe>(handle.cast(), "handle")?.core.readable()
            }
            _ if what(rf_await::RF_AWAIT_WRITABLE_PIPE) => {
                reference::<rf_pipe>(handle.cast(), "handle")?.core.writable(bytes()?)
            }
            other => return Err(invalid(format!("unknown thing to wait for {other}"))),
        })
    }
}

/// Checks a list of them.
///
/// # Safety
/// `items` is NULL or points to `count` of them, each as [`waitable`] wants it.
pub(super) unsafe fn wait_for<'a>(
    items: *const rf_awaited,
    count: usize,
    interruptible: bool,
) -> Result<WaitAny<'a>, Failure> {
    if !(1..=64).contains(&count) {
        return Err(Failure::new(RF_E_INVALID, format!("count is {count}, not 1 to 64")));
    }
    // SAFETY: the caller's promise.
    let _first = unsafe { reference(items, "items")? };
    // SAFETY: neither NULL nor misaligned, as was just checked; the rest is the caller's promise.
    let items = unsafe { core::slice::from_raw_parts(items, count) };
    // SAFETY: the caller's promise.
    let items: Result<Vec<_>, _> = items.iter().map(|item| unsafe { waitable(item) }).collect();
    let wait = WaitAny::new(items?)?;
    wait.set_interruptible(interruptible);
    Ok(wait)
}

/// Waits until something of a list is ready.
///
/// @param items       what to wait for
/// @param count       how many, 1 to 64; one may be there twice
/// @param flags       0, or RF_INTERRUPTIBLE: a signal handler that ran ends the call, but for one that was installed with
///                    SA_RESTART, as signal(3) does: after it the kernel goes on with futex_waitv(2) by itself
/// @param ready       which are ready, the first of the list as bit 0; all that were seen, so that whoever serves them in
///                    turn lets none starve
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
/// @return RF_OK; RF_E_NOT_READY (none is, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_INVALID,
/// RF_E_CORRUPTED
///
/// What changes wakes it at once, through futex_waitv(2); a death that nobody else has noticed is seen within 100 ms. On
/// a kernel before 5.16, or where a filter forbids that call, a change of the first of the list wakes it at once and one
/// of another is seen after as long again as it has waited already, at most 100 ms.
///
/// A wake-up that was meant for one waiter of a lock or a semaphore is handed on to another, so that a wait that finds
/// several things ready keeps nobody from any of them.
///
/// Threads, processes: any number at once. Crash: killed in the middle it leaves nothing behind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_wait_any(
    items: *const rf_awaited,
    count: usize,
    flags: c_int,
    ready: *mut u64,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        let interruptible = flags == rf_flags::RF_INTERRUPTIBLE as c_int;
        if flags != 0 && !interruptible {
            return Err(Failure::new(RF_E_INVALID, format!("flags are {flags:#x}, not 0 or RF_INTERRUPTIBLE")));
        }
        // SAFETY: the caller's promise.
        let (ready, wait) = unsafe { (Out::required(ready, "ready")?, wait_for(items, count, interruptible)?) };
        let found = wait.until(argument::deadline(timeout_ns)).map_err(|error| match error {
            WaitError::NotReady => RF_E_NOT_READY.into(),
            WaitError::TimedOut => RF_E_TIMED_OUT.into(),
            WaitError::Interrupted => RF_E_INTERRUPTED.into(),
            WaitError::Segment(error) => Failure::from(error),
        })?;
        ready.write(found.bits());
        Ok(RF_OK)
    })
}
