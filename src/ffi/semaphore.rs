//! # Semaphores
//!
//! A number of permits that processes take and give back, all that a call asks for or none. In two modes:
//!
//! - *owned* (RF_OWNED): a permit belongs to the process that took it, and comes back when that dies or leaves the
//!   segment. Any process may release: its own permits first, then those of whoever has most, and when all are free, new
//!   ones, up to the maximum. One permit with a maximum of one is Python's `Lock`.
//! - *signalling*: permits are counted and nobody's; what the dead had is gone. For "so many things have happened".
//!
//! In owned mode an operation holds a lock inside the object for a moment: a process that is stopped there is waited for,
//! by a try for 20 ms.

use core::ffi::{c_char, c_int};

use super::argument::{self, reference};
use super::boundary::{Failure, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::layout::semaphore::MAX_PERMITS;
use crate::raw::semaphore::Taken;
use crate::segment::directory::Mode;
use crate::sync::{AnySemaphore, Plan};

/// A handle to a semaphore.
pub struct rf_semaphore {
    pub(super) core: AnySemaphore,
}

/// Whose the permits of a semaphore are.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_ownership {
    /// Nobody's.
    RF_SIGNALLING = 0,
    /// Those of the process that took them.
    RF_OWNED = 1,
}

/// Opens the semaphore of that name, or makes it.
///
/// @param segment    where it lives
/// @param name       its name in the segment
/// @param flags      of `rf_flags`; without RF_CREATE the next three are ignored: whatever is there is opened
/// @param ownership  of `rf_ownership`
/// @param initial    free permits of a new one
/// @param maximum    the most there may ever be, 1 to 2^29 - 1; 0 for 2^29 - 1
/// @param out        the handle; `rf_semaphore_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another maximum or
/// ownership), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID (also a first value above the maximum),
/// RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a semaphore.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_semaphore_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    ownership: c_int,
    initial: u32,
    maximum: u32,
    out: *mut *mut rf_semaphore,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let owned = match ownership {
            _ if ownership == rf_ownership::RF_SIGNALLING as c_int => false,
            _ if ownership == rf_ownership::RF_OWNED as c_int => true,
            _ => return Err(Failure::new(RF_E_INVALID, format!("unknown ownership {ownership}"))),
        };
        let maximum = if maximum == 0 { MAX_PERMITS } else { maximum };
        let plan = (open.flags.mode != Mode::Open).then_some(Plan { initial, maximum, owned });
        let core = AnySemaphore::open(open.segment, open.name, open.flags.mode, plan)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_semaphore { core })
    })
}

/// Takes permits, all or none.
///
/// @param semaphore   the semaphore
/// @param permits     how many; 0 takes none and succeeds
/// @param timeout_ns  how long to wait for them; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (taken; permits have come back from a dead process since somebody was told last);
/// RF_E_BUSY (too few are free, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (there can never
/// be so many), RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a process that is killed has taken all or none, and in owned mode they come back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_semaphore_acquire(semaphore: *const rf_semaphore, permits: u32, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let semaphore = unsafe { reference(semaphore, "semaphore")? };
        Ok(match semaphore.core.acquire(permits, argument::deadline(timeout_ns))? {
            Taken::Clean => RF_OK,
            Taken::Returned => RF_OWNER_DIED,
        })
    })
}

/// Gives permits.
///
/// @param semaphore  the semaphore
/// @param permits    how many
/// @return RF_OK; RF_E_MAXIMUM_REACHED (there would be too many; nothing has changed), RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: killed in the middle, some or all of them are given, in signalling mode all or none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_semaphore_release(semaphore: *const rf_semaphore, permits: u32) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(semaphore, "semaphore")? }.core.release(permits)?;
        Ok(RF_OK)
    })
}

/// How many permits are free now; it may change at once. In owned mode what the dead had counts.
///
/// @param semaphore  the semaphore
/// @param value      the number
/// @return RF_OK, RF_E_INTERRUPTED, RF_E_CORRUPTED, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_semaphore_value(semaphore: *const rf_semaphore, value: *mut u32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(semaphore, "semaphore", value, "value", |semaphore| Ok(semaphore.core.value()?))
    })
}

/// How many permits the calling process has.
///
/// @param semaphore  the semaphore
/// @param taken      the number; 0 in signalling mode
/// @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_semaphore_taken(semaphore: *const rf_semaphore, taken: *mut u32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(semaphore, "semaphore", taken, "taken", |semaphore| Ok(semaphore.core.taken()?))
    })
}

/// Gives the handle back. The semaphore stays, and so do permits that the process has.
///
/// @param semaphore  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_semaphore_close(semaphore: *mut rf_semaphore) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(semaphore) })
}
