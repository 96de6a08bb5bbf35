//! # Once
//!
//! Something that one of many processes does once: all others wait until it is done.
//!
//! ```c
//! switch (rf_once_begin(once, RF_FOREVER)) {
//! case RF_YOUR_TURN_AGAIN:
//!     tidy_up();                          // whoever had the turn was killed, or gave up
//!     // fall through
//! case RF_YOUR_TURN:
//!     status = prepare();
//!     if (status == 0) rf_once_complete(once); else rf_once_abandon(once);
//!     break;
//! case RF_OK:                             // it is done
//!     break;
//! }
//! ```
//!
//! The turn is a thread's: only it may end it, and if it asks again in the middle that is an error
//! (`RF_E_WOULD_DEADLOCK`), not a hang. A thread or process that ends in its turn has not done it: the next one has the turn.
//! Whoever sees that it is done sees what was done. Once it is done, a call makes no system call. With a value beside it, it
//! is a `rf_once_value`.

use core::ffi::{c_char, c_int};

use super::argument::{self, reference};
use super::boundary::boundary;
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::{self, *};
use crate::raw::mutex::Acquired;
use crate::sync::AnyOnce;

/// A handle to a once.
pub struct rf_once {
    pub(super) core: AnyOnce,
}

/// What whoever has the turn is told.
pub(super) fn turn(acquired: Acquired) -> rf_status {
    match acquired {
        Acquired::Clean => RF_YOUR_TURN,
        Acquired::OwnerDied => RF_YOUR_TURN_AGAIN,
    }
}

/// Opens the once of that name, or makes it, not done.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param out      the handle; `rf_once_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (one with a value), RF_E_NO_SPACE,
/// RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    out: *mut *mut rf_once,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let core = AnyOnce::open_plain(open.segment, open.name, open.flags.mode)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_once { core })
    })
}

/// Waits until it is done, or it is the calling thread's turn to do it.
///
/// @param once        the once
/// @param timeout_ns  how long to wait for somebody who is at it; RF_FOREVER, 0 to try
/// @return RF_OK (it is done); RF_YOUR_TURN, RF_YOUR_TURN_AGAIN (see above); RF_E_BUSY (somebody is at it, and not to wait),
/// RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a thread or process that ends in its turn passes it on to the next with
/// RF_YOUR_TURN_AGAIN, within a tenth of a second to one that already waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_begin(once: *const rf_once, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let begun = unsafe { reference(once, "once")? }.core.begin(argument::deadline(timeout_ns))?;
        Ok(begun.map_or(RF_OK, |(_, acquired)| turn(acquired)))
    })
}

/// Says that it is done, and ends the turn: all who wait go on.
///
/// @param once  the once
/// @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn)
///
/// Crash: killed in the middle, it is done, or the next one's turn with RF_YOUR_TURN_AGAIN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_complete(once: *const rf_once) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(once, "once")? }.core.complete(None, &[])?;
        Ok(RF_OK)
    })
}

/// Ends the turn without having done it: it is the next one's, with RF_YOUR_TURN_AGAIN.
///
/// @param once  the once
/// @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_abandon(once: *const rf_once) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(once, "once")? }.core.abandon(None)?;
        Ok(RF_OK)
    })
}

/// Waits until somebody else has done it, also if nobody is at it yet.
///
/// @param once        the once
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
/// @return RF_OK (it is done); RF_E_BUSY (it is not, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
/// RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED
///
/// Threads, processes: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_wait(once: *const rf_once, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(once, "once")? }.core.wait(argument::deadline(timeout_ns))?;
        Ok(RF_OK)
    })
}

/// Whether it is done.
///
/// @param once       the once
/// @param completed  1 or 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_is_completed(once: *const rf_once, completed: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(once, "once", completed, "completed", |once| Ok(once.core.is_completed().into()))
    })
}

/// Which process has the turn: for humans who look for the cause of a hang. It may change at once.
///
/// @param once  the once
/// @param pid   its process id as it sees itself; 0 if nobody is at it
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_holder(once: *const rf_once, pid: *mut i32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(once, "once", pid, "pid", |once| Ok(once.core.holder().map_or(0, |pid| pid as i32)))
    })
}

/// Gives the handle back. A turn that the calling thread has remains its own.
///
/// @param once  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_close(once: *mut rf_once) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(once) })
}
