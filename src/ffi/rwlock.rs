//! # Reader-writer locks
//!
//! A lock for many readers or one writer, of any processes. It guards whatever the processes agree on. The Rust side is
//! `RwLock<()>`.
//!
//! Neither side starves the other: from the moment that a writer waits for the readers inside, new readers wait for it;
//! and all readers that wait while somebody writes go before the next writer. Writers among themselves take turns as at an
//! `rf_mutex`. A process that is stopped while it waits to read counts as a reader once its turn has come.
//!
//! One reader at a time can be *upgradable*: it reads beside the others, keeps writers out, and may become the writer
//! without letting another in between (`rf_rwlock_upgrade`).
//!
//! The writer and the upgradable reader are threads. Readers are counted for the process, 16,383 at once at the most, and
//! it is not known which of its threads read. So:
//!
//! - an unlock of a read that another thread of the process has locked is not an error, and is one mistake too many;
//! - a thread that waits to write or to upgrade while it reads waits for itself, and so does one that reads twice, if a
//!   writer comes in between: only a time-out ends that;
//! - a thread that ends while it reads leaves the process reading, until that ends.
//!
//! A dead reader is subtracted. After a dead writer, or a thread that ended as one, everybody who gets in is told
//! (RF_OWNER_DIED), readers too, until a writer has called `rf_rwlock_make_consistent`; if a writer unlocks
//! without, the lock is given up: all fail with RF_E_NOT_RECOVERABLE, until `rf_rwlock_reset`. A writer that died while it
//! waited for the readers to leave has changed nothing, and nobody is told.

use core::ffi::{c_char, c_int};

use super::argument::{self, reference};
use super::boundary::boundary;
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::sync::AnyRwLock;

/// A handle to a reader-writer lock.
pub struct rf_rwlock {
    core: AnyRwLock,
}

/// Opens the reader-writer lock of that name, or makes it, unlocked.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param out      the handle; `rf_rwlock_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE, RF_E_WRONG_SHAPE (a lock with data of Rust's inside),
/// RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    out: *mut *mut rf_rwlock,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let core = AnyRwLock::open_plain(open.segment, open.name, open.flags.mode)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_rwlock { core })
    })
}

/// Locks for reading, beside other readers.
///
/// @param rwlock      the lock
/// @param timeout_ns  how long to wait while somebody writes, or waits to; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (locked, but a writer died: see above); RF_E_BUSY (somebody writes or waits to, and not to
/// wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread writes), RF_E_MAXIMUM_REACHED (the
/// process has 16,383 readers, inside or waiting), RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a process that is killed is no reader any more, wherever it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_read(rwlock: *const rf_rwlock, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let rwlock = unsafe { reference(rwlock, "rwlock")? };
        let (_, acquired) = rwlock.core.read(argument::deadline(timeout_ns))?;
        Ok(acquired.into())
    })
}

/// Ends a read.
///
/// @param rwlock  the lock
/// @return RF_OK; RF_E_NOT_OWNER (no thread of the process reads)
///
/// Crash: killed in the middle, the process reads no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_unlock_read(rwlock: *const rf_rwlock) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(rwlock, "rwlock")? }.core.unlock_read()?;
        Ok(RF_OK)
    })
}

/// Locks for writing, alone.
///
/// @param rwlock      the lock
/// @param timeout_ns  how long to wait for those who have it; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (locked, but a writer died: see above); RF_E_BUSY (somebody has it, and not to wait),
/// RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread writes, or is the upgradable reader),
/// RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a thread or process that ends as the writer is told of by RF_OWNER_DIED, within a
/// tenth of a second to those who already wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_write(rwlock: *const rf_rwlock, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let rwlock = unsafe { reference(rwlock, "rwlock")? };
        let (_, acquired) = rwlock.core.write(argument::deadline(timeout_ns))?;
        Ok(acquired.into())
    })
}

/// Ends a write. After RF_OWNER_DIED without `rf_rwlock_make_consistent` it gives the lock up.
///
/// @param rwlock  the lock
/// @return RF_OK; RF_E_NOT_OWNER (the calling thread does not write)
///
/// Crash: killed in the middle, it is unlocked, or passed on with RF_OWNER_DIED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_unlock_write(rwlock: *const rf_rwlock) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(rwlock, "rwlock")? }.core.unlock_write()?;
        Ok(RF_OK)
    })
}

/// Locks for reading as the upgradable reader, beside other readers.
///
/// @param rwlock      the lock
/// @param timeout_ns  how long to wait for a writer or another upgradable reader; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (locked, but a writer died: see above); RF_E_BUSY (somebody writes or has it so, and not to
/// wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_WOULD_DEADLOCK (the calling thread writes, or is the upgradable reader),
/// RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: a thread or process that ends as the upgradable reader leaves nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_upgradable(rwlock: *const rf_rwlock, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let rwlock = unsafe { reference(rwlock, "rwlock")? };
        let (_, acquired) = rwlock.core.upgradable(argument::deadline(timeout_ns))?;
        Ok(acquired.into())
    })
}

/// Ends an upgradable read.
///
/// @param rwlock  the lock
/// @return RF_OK; RF_E_NOT_OWNER (the calling thread is not the upgradable reader, or has become the writer)
///
/// Crash: killed in the middle, the lock is free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_unlock_upgradable(rwlock: *const rf_rwlock) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(rwlock, "rwlock")? }.core.unlock_upgradable()?;
        Ok(RF_OK)
    })
}

/// From the upgradable reader to the writer: nobody writes in between. After a failure the caller is what it was.
///
/// @param rwlock      the lock
/// @param timeout_ns  how long to wait for the other readers to leave; RF_FOREVER, 0 to try
/// @return RF_OK; RF_OWNER_DIED (it writes, and what the caller was told of when it locked is not made consistent yet);
/// RF_E_BUSY (somebody reads, and not to wait), RF_E_TIMED_OUT, RF_E_INTERRUPTED, RF_E_NOT_OWNER (the calling thread is not
/// the upgradable reader)
///
/// Crash: killed before it is the writer, it leaves nothing; afterwards it was the writer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_upgrade(rwlock: *const rf_rwlock, timeout_ns: i64) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let rwlock = unsafe { reference(rwlock, "rwlock")? };
        Ok(rwlock.core.upgrade(argument::deadline(timeout_ns))?.into())
    })
}

/// From the writer, or the upgradable reader, to a reader like the others: nobody writes in between. It ends with
/// `rf_rwlock_unlock_read`. A death that was told and not made consistent is told again.
///
/// @param rwlock  the lock
/// @return RF_OK; RF_E_NOT_OWNER (the calling thread is neither), RF_E_MAXIMUM_REACHED (the process has 16,383 readers;
/// the caller is what it was), RF_E_CORRUPTED
///
/// Crash: killed in the middle, it was the writer, or a reader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_downgrade(rwlock: *const rf_rwlock) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(rwlock, "rwlock")? }.core.downgrade()?;
        Ok(RF_OK)
    })
}

/// From the writer to the upgradable reader: nobody else can write in between. A death that was told and not made
/// consistent is told again.
///
/// @param rwlock  the lock
/// @return RF_OK; RF_E_NOT_OWNER (the calling thread does not write)
///
/// Crash: killed in the middle, it was the writer, or the upgradable reader.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_downgrade_to_upgradable(rwlock: *const rf_rwlock) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(rwlock, "rwlock")? }.core.downgrade_to_upgradable()?;
        Ok(RF_OK)
    })
}

/// Says that what the lock guards is whole again, after RF_OWNER_DIED. Only the writer can; it stays the writer.
///
/// @param rwlock  the lock, locked by the calling thread for writing
/// @return RF_OK, also if nobody had died; RF_E_NOT_OWNER
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_make_consistent(rwlock: *const rf_rwlock) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(rwlock, "rwlock")? }.core.make_consistent()?;
        Ok(RF_OK)
    })
}

/// Makes a lock that was given up (RF_E_NOT_RECOVERABLE) usable again, unlocked. Only for a caller who knows that nobody
/// relies on it having been given up.
///
/// @param rwlock  the lock
/// @return RF_OK, also if it was not given up; then nothing changes
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_reset(rwlock: *const rf_rwlock) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(rwlock, "rwlock")? }.core.reset();
        Ok(RF_OK)
    })
}

/// Which process writes, or waits for the readers to leave, or is the upgradable reader: for humans who look for the
/// cause of a hang. It may change at once.
///
/// @param rwlock  the lock
/// @param pid     its process id as it sees itself; 0 if nobody is
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_holder(rwlock: *const rf_rwlock, pid: *mut i32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(rwlock, "rwlock", pid, "pid", |rwlock| Ok(rwlock.core.holder().map_or(0, |pid| pid as i32)))
    })
}

/// Gives the handle back. The lock stays as it is; what the process has locked stays locked.
///
/// @param rwlock  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_rwlock_close(rwlock: *mut rf_rwlock) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(rwlock) })
}
