//! # Blackboards
//!
//! A blackboard shows the newest value of one writer to any number of readers. A reader gets the newest value that is complete, and
//! its number: the first is 1, each further one is greater by one. Values that nobody read in time are gone; who needs each of them
//! takes a broadcast. The Rust side is `Blackboard<T>`.
//!
//! To write takes a fixed number of steps, whatever readers do. A writer that is killed leaves the newest value that it completed;
//! the next one's numbers go on. There is one writer at a time; a second is refused with RF_E_ROLE_TAKEN while the first lives.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::ring::{AnyBlackboard, AnyBlackboardWriter, BlackboardReadError, BlackboardWriteError};
use crate::segment::directory;

/// A handle to a blackboard.
pub struct rf_blackboard {
    pub(super) core: AnyBlackboard,
}

/// The writer of a blackboard.
pub struct rf_blackboard_writer {
    core: AnyBlackboardWriter,
}

impl From<BlackboardWriteError> for Failure {
    fn from(error: BlackboardWriteError) -> Self {
        match error {
            BlackboardWriteError::Closed => RF_E_CLOSED.into(),
            BlackboardWriteError::NotOwner => Self::new(RF_E_NOT_OWNER, error.to_string()),
            BlackboardWriteError::Corrupted => RF_E_CORRUPTED.into(),
        }
    }
}

impl From<BlackboardReadError> for Failure {
    fn from(error: BlackboardReadError) -> Self {
        match error {
            BlackboardReadError::Empty => RF_E_EMPTY.into(),
            BlackboardReadError::TimedOut => RF_E_TIMED_OUT.into(),
            BlackboardReadError::Closed => RF_E_CLOSED.into(),
            BlackboardReadError::Interrupted => RF_E_INTERRUPTED.into(),
            BlackboardReadError::Busy => RF_E_BUSY.into(),
            BlackboardReadError::Corrupted => RF_E_CORRUPTED.into(),
            BlackboardReadError::Segment(error) => error.into(),
        }
    }
}

/// Opens the blackboard of that name, or makes it.
///
/// @param segment      where it lives
/// @param name         its name in the segment
/// @param flags        of `rf_flags`
/// @param value_size   bytes of the value; it takes four times as many, and a few more
/// @param value_align  alignment of the value (`_Alignof`): a power of two
/// @param tag          a name for the type of the value that all sides must use; NULL or "" for none
/// @param out          the handle; `rf_blackboard_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another value),
/// RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a blackboard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    value_size: usize,
    value_align: usize,
    tag: *const c_char,
    out: *mut *mut rf_blackboard,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (open, tag) = unsafe { (opening(segment, name, flags, out)?, argument::tag(tag)?) };
        let tag = directory::tag(tag)?;
        let core = AnyBlackboard::open(open.segment, open.name, open.flags.mode, value_size, value_align, tag)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_blackboard { core })
    })
}

/// Becomes the writer. If the last one died, the numbers go on where it stopped.
///
/// @param blackboard  the blackboard
/// @param out         the writer; `rf_blackboard_writer_close` gives it back
/// @return RF_OK; RF_E_ROLE_TAKEN (there is one that lives; `rf_last_error` says its process), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any. Crash: killed in the middle, the place is free for another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_writer_open(
    blackboard: *const rf_blackboard,
    out: *mut *mut rf_blackboard_writer,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (blackboard, out) = unsafe { (reference(blackboard, "blackboard")?, Out::required(out, "out")?) };
        out.write_handle(rf_blackboard_writer { core: blackboard.core.writer()? });
        Ok(RF_OK)
    })
}

/// Writes a value. It never waits.
///
/// @param writer  the writer
/// @param value   `value_size` bytes, copied
/// @param number  its number, or NULL
/// @return RF_OK; RF_E_CLOSED (shut down), RF_E_NOT_OWNER (in a forked child: the writer is the parent's), RF_E_CORRUPTED,
/// RF_E_INVALID
///
/// Threads: one at a time. Crash: killed before it returns, the value is there whole, or the one before it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_write(
    writer: *mut rf_blackboard_writer,
    value: *const c_void,
    number: *mut u64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (writer, number) = unsafe { (reference(writer, "writer")?, Out::optional(number, "number")?) };
        // SAFETY: the caller's promise.
        let value = unsafe { argument::bytes(value, writer.core.size(), "value")? };
        number.write(writer.core.write(value)?);
        Ok(RF_OK)
    })
}

/// Reads the newest value.
///
/// @param blackboard  the blackboard
/// @param value       room for `value_size` bytes
/// @param number      its number, or NULL
/// @return RF_OK; RF_E_EMPTY (there is none yet), RF_E_BUSY (the writer overwrote it during each of a thousand copies),
/// RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any number at once. Crash: killed in the middle, nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_read(
    blackboard: *const rf_blackboard,
    value: *mut c_void,
    number: *mut u64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (blackboard, number) = unsafe { (reference(blackboard, "blackboard")?, Out::optional(number, "number")?) };
        // SAFETY: the caller's promise.
        let value = unsafe { argument::bytes_mut(value, blackboard.core.size(), "value")? };
        let mut found = 0;
        argument::fill_on_success(value, |value| -> Result<(), Failure> {
            found = blackboard.core.read(value)?;
            Ok(())
        })?;
        number.write(found);
        Ok(RF_OK)
    })
}

/// Reads the newest value when its number is greater than that of one the caller knows.
///
/// @param blackboard  the blackboard
/// @param than        that number; 0 for the first value
/// @param value       room for `value_size` bytes
/// @param number      its number, or NULL
/// @param timeout_ns  how long to wait for one; RF_FOREVER, 0 to try
/// @return RF_OK; RF_E_EMPTY (none newer, and not to wait), RF_E_TIMED_OUT, RF_E_CLOSED (shut down, and none is to come),
/// RF_E_INTERRUPTED, RF_E_BUSY (the writer overwrote it during each of a thousand copies), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any number at once. Crash: killed in the middle, nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_wait_newer(
    blackboard: *const rf_blackboard,
    than: u64,
    value: *mut c_void,
    number: *mut u64,
    timeout_ns: i64,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (blackboard, number) = unsafe { (reference(blackboard, "blackboard")?, Out::optional(number, "number")?) };
        // SAFETY: the caller's promise.
        let value = unsafe { argument::bytes_mut(value, blackboard.core.size(), "value")? };
        let deadline = argument::deadline(timeout_ns);
        let mut found = 0;
        argument::fill_on_success(value, |value| -> Result<(), Failure> {
            found = blackboard.core.read_newer(than, value, deadline)?;
            Ok(())
        })?;
        number.write(found);
        Ok(RF_OK)
    })
}

/// Ends the blackboard for everybody: writes fail with `RF_E_CLOSED` from now on. The newest value stays. Sleepers wake up.
///
/// @param blackboard  the blackboard
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_shutdown(blackboard: *const rf_blackboard) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(blackboard, "blackboard")? }.core.shutdown()?;
        Ok(RF_OK)
    })
}

/// Whether the blackboard was shut down.
///
/// @param blackboard  the blackboard
/// @param is          1 if it was, else 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_is_shut_down(blackboard: *const rf_blackboard, is: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(blackboard, "blackboard", is, "is", |blackboard| Ok(blackboard.core.is_shut_down().into()))
    })
}

/// Gives the writer back; the place is free for another. The newest value stays.
///
/// @param writer  the writer, or NULL
/// @return RF_OK
///
/// Threads: no other may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_writer_close(writer: *mut rf_blackboard_writer) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(writer) })
}

/// Gives the handle back. Its writer stays, and the newest value.
///
/// @param blackboard  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_blackboard_close(blackboard: *mut rf_blackboard) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(blackboard) })
}
