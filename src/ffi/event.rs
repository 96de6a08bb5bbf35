//! # Events
//!
//! A flag that processes set and wait for.
//!
//! - *manual reset* (RF_MANUAL_RESET): set, it lets everybody through until it is cleared. A wait ends if the event is set,
//!   or has been at any time since the wait began, also if it was cleared at once.
//! - *auto reset* (RF_AUTO_RESET): each set lets exactly one through: one of those who wait, or, if nobody waits, the next to
//!   come. What is kept for the next to come is one signal, however often the event was set meanwhile, and a clear takes it
//!   back; what was given to those who wait stays given.
//!
//! What a process did before a set is seen by whoever a wait lets through after it, and by whoever clears it after it.
//!
//! Nobody owns an event, so nobody is told of a death. A signal of an auto event that was given to a process which dies
//! before its wait has taken it goes to another who waits, or is kept; one that was taken is used.
//!
//! With auto reset an operation holds a lock inside the object for a moment: a process that is stopped there is waited for,
//! by a try, and by a wait whose time is up, for 20 ms.

use core::ffi::{c_char, c_int};

use super::argument::{self, reference};
use super::boundary::{Failure, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::segment::directory::Mode;
use crate::sync::{AnyEvent, Reset};

/// A handle to an event.
pub struct rf_event {
    pub(super) core: AnyEvent,
}

/// How an event goes back to not being set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_reset {
    /// By `rf_event_clear`.
    RF_MANUAL_RESET = 0,
    /// By itself: each set lets one through.
    RF_AUTO_RESET = 1,
}

/// Opens the event of that name, or makes it, not set.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`; without RF_CREATE the next one is not compared: whatever is there is opened
/// @param reset    of `rf_reset`
/// @param out      the handle; `rf_event_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (reset in the other
/// way), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    reset: c_int,
    out: *mut *mut rf_event,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let reset = match reset {
            _ if reset == rf_reset::RF_MANUAL_RESET as c_int => Reset::Manual,
            _ if reset == rf_reset::RF_AUTO_RESET as c_int => Reset::Auto,
            _ => return Err(Failure::new(RF_E_INVALID, format!("unknown reset {reset}"))),
        };
        let wanted = (open.flags.mode != Mode::Open).then_some(reset);
        let core = AnyEvent::open(open.segment, open.name, open.flags.mode, wanted)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_event { core })
    })
}

/// Waits until the event is set. With auto reset the call takes the signal.
///
/// @param event       the event
/// @param timeout_ns  how long to wait for it; RF_FOREVER, 0 to try
/// @return RF_OK (it was set); RF_E_TIMED_OUT (it was not, also of a try), RF_E_INTERRUPTED, RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a process that is killed has taken the signal of an auto event, or has not; then another
/// gets it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_wait(event: *const rf_event, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let event = unsafe { reference(event, "event")? };
        match event.core.wait(argument::deadline(timeout_ns))? {
            true => Ok(RF_OK),
            false => Err(RF_E_TIMED_OUT.into()),
        }
    })
}

/// Sets the event: with manual reset all who wait go on, and whoever comes until it is cleared; with auto reset one.
///
/// @param event  the event
/// @return RF_OK, RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: killed in the middle, it is set or not. If it is, who waits goes on, at the latest a tenth
/// of a second later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_set(event: *const rf_event) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(event, "event")? }.core.set()?;
        Ok(RF_OK)
    })
}

/// Clears the event. Whoever a set has let through goes on all the same.
///
/// @param event  the event
/// @return RF_OK, RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: killed in the middle, it is cleared or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_clear(event: *const rf_event) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(event, "event")? }.core.clear()?;
        Ok(RF_OK)
    })
}

/// Whether the event is set now, with auto reset whether a signal is kept; it may change at once. Takes nothing.
///
/// @param event   the event
/// @param is_set  1 or 0
/// @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_is_set(event: *const rf_event, is_set: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(event, "event", is_set, "is_set", |event| Ok(c_int::from(event.core.is_set()?)))
    })
}

/// Gives the handle back. The event stays as it is.
///
/// @param event  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_close(event: *mut rf_event) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(event) })
}
