//! # Reentrant mutexes
//!
//! A mutex that its owner may lock again: it is free when it was unlocked as often. The owner is a thread: only it may
//! unlock, and a forked child owns nothing, whatever its parent holds.
//!
//! The death of an owner is told as for `rf_mutex`: the next to lock gets RF_OWNER_DIED and holds the lock, once, however
//! often the dead had locked it. If its last unlock comes without `rf_reentrant_mutex_make_consistent`, the mutex is given
//! up, until `rf_reentrant_mutex_reset`. Values and arrays have such a lock inside (`rf_value_lock`, `rf_array_lock`).

use core::ffi::{c_char, c_int};

use super::argument::{self, reference};
use super::boundary::boundary;
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::sync::ReentrantMutex;

/// A handle to a reentrant mutex.
pub struct rf_reentrant_mutex {
    pub(super) core: ReentrantMutex,
}

/// Opens the reentrant mutex of that name, or makes it, unlocked.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param out      the handle; `rf_reentrant_mutex_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (only if a faulty peer changed the
/// directory), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped
/// while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reentrant_mutex_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    out: *mut *mut rf_reentrant_mutex,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let core = ReentrantMutex::with(open.segment, open.name, open.flags.mode)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_reentrant_mutex { core })
    })
}

/// Locks the mutex for the calling thread, once more if it has it.
///
/// @param mutex       the mutex
/// @param timeout_ns  how long to wait for it; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (locked, but its last owner died: see above); RF_E_BUSY (somebody has it, and not to
/// wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_MAXIMUM_REACHED (the calling thread has locked it 2^32 - 1 times),
/// RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a thread or process that ends while holding the lock passes it on to the next with
/// RF_OWNER_DIED, within a tenth of a second for one that already waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reentrant_mutex_lock(mutex: *const rf_reentrant_mutex, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let mutex = unsafe { reference(mutex, "mutex")? };
        let (_, acquired) = mutex.core.core().lock(argument::deadline(timeout_ns))?;
        Ok(acquired.into())
    })
}

/// Unlocks the mutex once.
///
/// @param mutex  the mutex
/// @return RF_OK; RF_E_NOT_OWNER (the calling thread does not have it)
///
/// Crash: killed in the middle, it is unlocked, or passed on with RF_OWNER_DIED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reentrant_mutex_unlock(mutex: *const rf_reentrant_mutex) -> c_int {
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
pub unsafe extern "C" fn rf_reentrant_mutex_make_consistent(mutex: *const rf_reentrant_mutex) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(mutex, "mutex")? }.core.core().make_consistent()?;
        Ok(RF_OK)
    })
}

/// Makes a mutex that was given up (RF_E_NOT_RECOVERABLE) usable again, unlocked. Only for a caller who knows that nobody
/// relies on it having been given up.
///
/// @param mutex  the mutex
/// @return RF_OK, also if it was not given up; then nothing changes
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reentrant_mutex_reset(mutex: *const rf_reentrant_mutex) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(mutex, "mutex")? }.core.reset();
        Ok(RF_OK)
    })
}

/// How often the calling thread has the mutex locked.
///
/// @param mutex  the mutex
/// @param count  the number; 0 if the calling thread does not have it
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reentrant_mutex_count(mutex: *const rf_reentrant_mutex, count: *mut u32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(mutex, "mutex", count, "count", |mutex| Ok(mutex.core.count())) })
}

/// Which process holds the mutex: for humans who look for the cause of a hang. It may change at once.
///
/// @param mutex  the mutex
/// @param pid    the process id of the holder as it sees itself; 0 if nobody holds it
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reentrant_mutex_holder(mutex: *const rf_reentrant_mutex, pid: *mut i32) -> c_int {
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
pub unsafe extern "C" fn rf_reentrant_mutex_close(mutex: *mut rf_reentrant_mutex) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(mutex) })
}
