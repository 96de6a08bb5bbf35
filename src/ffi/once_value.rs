//! # Values that are set once
//!
//! A value that one of many processes sets, once, and that all of them then read: a `rf_once` with bytes beside it. Whoever
//! gets the value gets the whole of it, and it never changes. A process that dies before it has completed the value leaves
//! nothing of it.
//!
//! ```c
//! switch (rf_once_value_begin(table, &row, RF_FOREVER)) {
//! case RF_YOUR_TURN:
//! case RF_YOUR_TURN_AGAIN:
//!     row = find_out();
//!     rf_once_value_complete(table, &row);
//!     // fall through
//! case RF_OK:
//!     use(&row);
//! }
//! ```
//!
//! The type is given as for a `rf_value`. `RF_BOOL` is 0 or 1: every other byte counts as 1.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, reference};
use super::boundary::{Failure, boundary};
use super::element::{element, is_bool, to_bools, truth};
use super::once::turn;
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::sync::{AnyOnce, LockFailure};

/// A handle to a value that is set once.
pub struct rf_once_value {
    pub(super) core: AnyOnce,
    size: usize,
    boolean: bool,
}

impl rf_once_value {
    /// Fills the caller's bytes with the value; `false` if there is none.
    ///
    /// # Safety
    /// `out` is NULL or has room for it.
    unsafe fn read(&self, out: *mut c_void) -> Result<bool, Failure> {
        // SAFETY: the caller's promise.
        let out = unsafe { argument::bytes_mut(out, self.size, "out")? };
        let there = self.core.read(out);
        if there && self.boolean {
            to_bools(out);
        }
        Ok(there)
    }

    /// The same where there is one.
    ///
    /// # Safety
    /// As [`read`](Self::read).
    unsafe fn read_completed(&self, out: *mut c_void) -> Result<(), Failure> {
        // Gone again: a stray write.
        // SAFETY: the caller's promise.
        if unsafe { self.read(out)? } { Ok(()) } else { Err(LockFailure::Corrupted.into()) }
    }

    /// The bytes that the caller sets.
    ///
    /// # Safety
    /// `new` is NULL or points to as many.
    unsafe fn new_bytes<'a>(&self, new: *const c_void) -> Result<&'a [u8], Failure> {
        // SAFETY: the caller's promise.
        let new = unsafe { argument::bytes(new, self.size, "new")? };
        Ok(if self.boolean { truth(new) } else { new })
    }
}

/// Opens the value of that name, or makes it, not set.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param type     of `rf_type`; both sides name the same one
/// @param size     bytes of the value; for scalars 0 will do
/// @param align    its alignment (`_Alignof`), a power of two, at most 128; for scalars 0 will do
/// @param tag      RF_STRUCT: a name for the type that both sides must use; NULL or "" for none
/// @param out      the handle; `rf_once_value_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another type),
/// RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    r#type: c_int,
    size: usize,
    align: usize,
    tag: *const c_char,
    out: *mut *mut rf_once_value,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (open, tag) = unsafe { (opening(segment, name, flags, out)?, argument::tag(tag)?) };
        let element = element(r#type, size, align, tag)?;
        let of = (element.element, element.size, element.align, element.tag);
        let core = AnyOnce::open(open.segment, open.name, open.flags.mode, of)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_once_value { core, size: element.size, boolean: is_bool(&element) })
    })
}

/// Reads the value. One load and the copying: it never waits.
///
/// @param value  the value
/// @param out    room for it; of an RF_BOOL, 0 or 1 whatever lies in memory
/// @return RF_OK, RF_E_NOT_READY (there is none yet), RF_E_INVALID
///
/// Threads, processes: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_get(value: *const rf_once_value, out: *mut c_void) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let there = unsafe { reference(value, "value")?.read(out)? };
        if there { Ok(RF_OK) } else { Err(RF_E_NOT_READY.into()) }
    })
}

/// Reads the value, or gives the calling thread the turn to set it.
///
/// @param value       the value
/// @param out         room for it; written if the result is RF_OK
/// @param timeout_ns  how long to wait for somebody who is at it; RF_FOREVER, 0 to try
/// @return RF_OK (there is one); RF_YOUR_TURN, RF_YOUR_TURN_AGAIN (the last to have the turn died or gave up): end it by
/// `rf_once_value_complete` or `rf_once_value_abandon`; RF_E_BUSY (somebody is at it, and not to wait), RF_E_TIMED_OUT,
/// RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any. Crash: a thread or process that ends in its turn passes it on to the next with
/// RF_YOUR_TURN_AGAIN, within a tenth of a second to one that already waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_begin(value: *const rf_once_value, out: *mut c_void, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { reference(value, "value")? };
        // Checked before there is a turn to lose.
        // SAFETY: the caller's promise.
        let _room = unsafe { argument::bytes_mut(out, value.size, "out")? };
        match value.core.begin(argument::deadline(timeout_ns))? {
            Some((_, acquired)) => Ok(turn(acquired)),
            None => {
                // SAFETY: the caller's promise.
                unsafe { value.read_completed(out)? };
                Ok(RF_OK)
            }
        }
    })
}

/// Sets the value, and ends the turn: all who wait go on.
///
/// @param value  the value
/// @param new    its bytes; of an RF_BOOL, every byte but 0 is written as 1
/// @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn), RF_E_INVALID
///
/// Crash: killed in the middle, there is a value, or it is the next one's turn with RF_YOUR_TURN_AGAIN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_complete(value: *const rf_once_value, new: *const c_void) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { reference(value, "value")? };
        // SAFETY: the caller's promise.
        value.core.complete(None, unsafe { value.new_bytes(new)? })?;
        Ok(RF_OK)
    })
}

/// Ends the turn without a value: it is the next one's, with RF_YOUR_TURN_AGAIN.
///
/// @param value  the value
/// @return RF_OK; RF_E_NOT_OWNER (it is not the calling thread's turn)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_abandon(value: *const rf_once_value) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(value, "value")? }.core.abandon(None)?;
        Ok(RF_OK)
    })
}

/// Sets the value if there is none: a turn and its end in one call.
///
/// @param value       the value
/// @param new         its bytes; of an RF_BOOL, every byte but 0 is written as 1
/// @param timeout_ns  how long to wait for somebody who is at it; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_COMPLETED (there is one, and it stays); RF_E_BUSY (somebody is at it, and not to wait),
/// RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any. Crash: killed in the middle, it is set or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_set(value: *const rf_once_value, new: *const c_void, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { reference(value, "value")? };
        // SAFETY: the caller's promise.
        let new = unsafe { value.new_bytes(new)? };
        let Some((owner, _)) = value.core.begin(argument::deadline(timeout_ns))? else {
            return Err(RF_E_COMPLETED.into());
        };
        // The turn was just got, and nobody but a faulty peer can have taken it away since.
        value.core.complete(Some(owner), new).map_err(|_| LockFailure::Corrupted)?;
        Ok(RF_OK)
    })
}

/// Waits until somebody else has set the value, and reads it.
///
/// @param value       the value
/// @param out         room for it
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to look
/// @return RF_OK; RF_E_BUSY (there is none, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED,
/// RF_E_WOULD_DEADLOCK (the calling thread is at it), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_wait(value: *const rf_once_value, out: *mut c_void, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { reference(value, "value")? };
        // SAFETY: the caller's promise.
        let _room = unsafe { argument::bytes_mut(out, value.size, "out")? };
        value.core.wait(argument::deadline(timeout_ns))?;
        // SAFETY: the caller's promise.
        unsafe { value.read_completed(out)? };
        Ok(RF_OK)
    })
}

/// Which process has the turn: for humans who look for the cause of a hang. It may change at once.
///
/// @param value  the value
/// @param pid    its process id as it sees itself; 0 if nobody is at it
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_holder(value: *const rf_once_value, pid: *mut i32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(value, "value", pid, "pid", |value| Ok(value.core.holder().map_or(0, |pid| pid as i32)))
    })
}

/// Gives the handle back. The value stays; a turn that the calling thread has remains its own.
///
/// @param value  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_once_value_close(value: *mut rf_once_value) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(value) })
}
