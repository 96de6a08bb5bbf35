//! # Mutexes
//!
//! A mutex that survives its owner. It guards whatever the processes agree on: bytes in an array, a file, a device. The
//! Rust side is `Mutex<()>`.
//!
//! ```c
//! switch (rf_mutex_lock(guard, RF_FOREVER)) {
//! case RF_OWNER_DIED:
//!     repair();                           // the lock is held, its last owner was killed
//!     rf_mutex_make_consistent(guard);
//!     // fall through
//! case RF_OK:
//!     work();
//!     rf_mutex_unlock(guard);
//! }
//! ```
//!
//! The owner is a thread: only it may unlock. Locking twice is an error (`RF_E_WOULD_DEADLOCK`), not a hang. An unlock
//! after `RF_OWNER_DIED` without `rf_mutex_make_consistent` gives the mutex up: every lock from then on, and every waiter,
//! fails with `RF_E_NOT_RECOVERABLE`, until `rf_mutex_reset`.

use core::ffi::{c_char, c_int};

use super::argument::{self, reference};
use super::boundary::boundary;
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::sync::AnyMutex;

/// A handle to a mutex.
pub struct rf_mutex {
    pub(super) core: AnyMutex,
}

/// Opens the mutex of that name, or makes it, unlocked.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param out      the handle; `rf_mutex_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (a mutex with data of Rust's inside),
/// RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_mutex_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    out: *mut *mut rf_mutex,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let core = AnyMutex::open_plain(open.segment, open.name, open.flags.mode)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_mutex { core })
    })
}

/// Locks the mutex for the calling thread.
///
/// @param mutex       the mutex
/// @param timeout_ns  how long to wait for it; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: see above); RF_E_BUSY (somebody has it, and not to
/// wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread has it), RF_E_NOT_RECOVERABLE,
/// RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a thread or process that ends while holding the lock passes it on to the next with
/// RF_OWNER_DIED, within a tenth of a second for one that already waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_mutex_lock(mutex: *const rf_mutex, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let mutex = unsafe { reference(mutex, "mutex")? };
        let (_, acquired) = mutex.core.lock(argument::deadline(timeout_ns))?;
        Ok(acquired.into())
    })
}

/// Unlocks the mutex.
///
/// @param mutex  the mutex
/// @return RF_OK; RF_E_NOT_OWNER (the calling thread does not have it)
///
/// Crash: killed in the middle, it is unlocked, or passed on with RF_OWNER_DIED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_mutex_unlock(mutex: *const rf_mutex) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(mutex, "mutex")? }.core.unlock()?;
        Ok(RF_OK)
    })
}

/// Says that what the mutex guards is whole again, after RF_OWNER_DIED. It stays locked.
///
/// @param mutex  the mutex, locked by the calling thread
/// @return RF_OK, also if nobody had died; RF_E_NOT_OWNER
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_mutex_make_consistent(mutex: *const rf_mutex) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(mutex, "mutex")? }.core.make_consistent()?;
        Ok(RF_OK)
    })
}

/// Makes a mutex that was given up (RF_E_NOT_RECOVERABLE) usable again, unlocked. Only for a caller who knows that nobody
/// relies on it having been given up.
///
/// @param mutex  the mutex
/// @return RF_OK, also if it was not given up; then nothing changes
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_mutex_reset(mutex: *const rf_mutex) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(mutex, "mutex")? }.core.reset();
        Ok(RF_OK)
    })
}

/// Which process holds the mutex: for humans who look for the cause of a hang. It may change at once.
///
/// @param mutex  the mutex
/// @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_mutex_holder(mutex: *const rf_mutex, pid: *mut i32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(mutex, "mutex", pid, "pid", |mutex| Ok(mutex.core.holder().map_or(0, |pid| pid as i32)))
    })
}

/// Gives the handle back. The mutex stays as it is; one that the calling thread has locked stays locked.
///
/// @param mutex  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_mutex_close(mutex: *mut rf_mutex) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(mutex) })
}
