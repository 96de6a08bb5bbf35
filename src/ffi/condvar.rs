//! # Condition variables
//!
//! Waiting, with a mutex given away meanwhile, until somebody says that what the mutex protects has changed. It works with
//! `rf_mutex` and with `rf_reentrant_mutex`, all levels of which are given away and had again. Several condition variables
//! may share a mutex; one is used with one mutex as long as anybody waits.
//!
//! ```c
//! int got = rf_mutex_lock(guard, RF_FOREVER);
//! while (got == RF_OK && !ready())
//!     got = rf_condvar_wait(changed, guard, NULL, RF_FOREVER);
//! if (got == RF_OWNER_DIED) { repair(); rf_mutex_make_consistent(guard); }
//! if (got >= 0) { work(); rf_mutex_unlock(guard); }
//! ```
//!
//! A wait returns RF_OK only if it was notified: there are no spurious wake-ups. All the same, test what you wait for in a
//! loop: between the notification and the return others may have the mutex.
//!
//! A waiter that dies, or gives up, uses up no notification: one that was on its way to it goes to another of those who
//! waited at that time, within a tenth of a second. To notify waits for nobody: a waiter that is stopped keeps its
//! notification until it goes on.
//!
//! A mutex that was got with RF_OWNER_DIED and not made consistent is given away by a wait with that news, not given up.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, Outcome, boundary};
use super::mutex::rf_mutex;
use super::opening::opening;
use super::reentrant_mutex::rf_reentrant_mutex;
use super::segment::rf_segment;
use super::status::rf_status::{self, *};
use crate::raw::condvar::Ended;
use crate::raw::mutex::Acquired;
use crate::segment::directory::Mode;
use crate::sync::{AnyCondvar, Condvar, LockFailure};
use crate::sys::nap::Deadline;

/// A handle to a condition variable.
pub struct rf_condvar {
    core: AnyCondvar,
}

/// A count of waiters: all there are.
pub const RF_ALL: i64 = i64::MAX;

/// What `rf_condvar_wait_for` waits for: nonzero if it is so. It is asked with the mutex held, and returns in the normal way
/// (no `longjmp`, no exception).
pub type rf_predicate = Option<unsafe extern "C" fn(context: *mut c_void) -> c_int>;

/// Opens the condition variable of that name, or makes it.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`
/// @param waiters  how many can wait at a time, up to 65,535, 32 bytes each; 0 for 128. Without RF_CREATE it is ignored:
/// whatever is there is opened
/// @param out      the handle; `rf_condvar_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (for another number
/// of waiters), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped
/// while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a condition variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    waiters: u32,
    out: *mut *mut rf_condvar,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let waiters = if waiters == 0 { Condvar::WAITERS } else { waiters as usize };
        let places = (open.flags.mode != Mode::Open).then_some(waiters);
        let core = AnyCondvar::open(open.segment, open.name, open.flags.mode, places)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_condvar { core })
    })
}

/// A mutex of either kind.
trait Lock {
    fn wait(&self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure>;
    fn notify(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure>;
    fn is_held(&self) -> bool;
}

impl Lock for rf_mutex {
    fn wait(&self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure> {
        self.core.wait(condvar, deadline)
    }
    fn notify(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        self.core.notify(condvar, count)
    }
    fn is_held(&self) -> bool {
        self.core.is_held()
    }
}

impl Lock for rf_reentrant_mutex {
    fn wait(&self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure> {
        self.core.core().wait(condvar, deadline)
    }
    fn notify(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        self.core.core().notify(condvar, count)
    }
    fn is_held(&self) -> bool {
        self.core.count() > 0
    }
}

/// What a wait came to: why it is over, and what to tell of the mutex.
fn waited(lock: &impl Lock, condvar: &AnyCondvar, deadline: Deadline) -> Result<(rf_status, Acquired), Failure> {
    let (ended, acquired) = lock.wait(condvar, deadline)?;
    let why = match ended {
        Ended::Notified => RF_OK,
        Ended::TimedOut => RF_E_TIMED_OUT,
        Ended::Interrupted => RF_E_INTERRUPTED,
        Ended::Corrupted => return Err(RF_E_CORRUPTED.into()),
    };
    Ok((why, acquired))
}

fn tell(why: rf_status, acquired: Acquired) -> Outcome {
    match acquired {
        Acquired::OwnerDied => Ok(RF_OWNER_DIED),
        Acquired::Clean if why == RF_OK => Ok(RF_OK),
        Acquired::Clean => Err(why.into()),
    }
}

/// # Safety
/// As of the C functions below.
unsafe fn wait(condvar: *const rf_condvar, mutex: *const impl Lock, why: *mut c_int, timeout_ns: i64) -> Outcome {
    // SAFETY: the caller's promise, for every pointer.
    let (condvar, mutex, out) =
        unsafe { (reference(condvar, "condvar")?, reference(mutex, "mutex")?, Out::optional(why, "why")?) };
    let (why, acquired) = waited(mutex, &condvar.core, argument::deadline(timeout_ns))?;
    out.write(why as c_int);
    tell(why, acquired)
}

/// # Safety
/// As of the C functions below.
unsafe fn wait_for(
    condvar: *const rf_condvar,
    mutex: *const impl Lock,
    predicate: rf_predicate,
    context: *mut c_void,
    why: *mut c_int,
    timeout_ns: i64,
) -> Outcome {
    // SAFETY: the caller's promise, for every pointer.
    let (condvar, mutex, out) =
        unsafe { (reference(condvar, "condvar")?, reference(mutex, "mutex")?, Out::optional(why, "why")?) };
    let predicate = predicate.ok_or_else(|| Failure::new(RF_E_INVALID, "predicate is NULL"))?;
    // The wait would say so, but the predicate is asked before.
    if !mutex.is_held() {
        return Err(RF_E_NOT_OWNER.into());
    }
    // SAFETY: the caller's promise.
    let is_so = || unsafe { predicate(context) != 0 };
    let deadline = argument::deadline(timeout_ns);
    while !is_so() {
        let (why, acquired) = waited(mutex, &condvar.core, deadline)?;
        if (why, acquired) == (RF_E_TIMED_OUT, Acquired::Clean) && is_so() {
            break;
        }
        if (why, acquired) != (RF_OK, Acquired::Clean) {
            out.write(why as c_int);
            return tell(why, acquired);
        }
    }
    out.write(RF_OK as c_int);
    Ok(RF_OK)
}

/// # Safety
/// As of the C functions below.
unsafe fn notify(condvar: *const rf_condvar, mutex: *const impl Lock, count: i64, notified: *mut u32) -> Outcome {
    // SAFETY: the caller's promise, for every pointer.
    let (condvar, mutex, out) =
        unsafe { (reference(condvar, "condvar")?, reference(mutex, "mutex")?, Out::optional(notified, "notified")?) };
    let count = match count {
        RF_ALL => u32::MAX,
        _ => u32::try_from(count.max(0)).unwrap_or(u32::MAX),
    };
    out.write(mutex.notify(&condvar.core, count)?);
    Ok(RF_OK)
}

/// Gives the mutex away and waits until notified; then has the mutex again, for which it waits as long as it takes.
///
/// @param condvar     the condition variable
/// @param mutex       the mutex, locked by the calling thread
/// @param why         why the wait was over: RF_OK (notified), RF_E_TIMED_OUT or RF_E_INTERRUPTED; or NULL. Written whenever
/// the call returns one of these or RF_OWNER_DIED
/// @param timeout_ns  how long to wait; RF_FOREVER, 0 to give the mutex away for a moment
/// @return with the mutex locked: RF_OK (notified), RF_OWNER_DIED (the wait is over, `why` says why; the mutex's last owner
/// died), RF_E_TIMED_OUT, RF_E_INTERRUPTED. Without a wait, the mutex as it was: RF_E_NOT_OWNER (the calling thread does not
/// have it), RF_E_OTHER_MUTEX (others wait with another, or it lies in another segment), RF_E_MAXIMUM_REACHED (no place for
/// another waiter), RF_E_INVALID. With the mutex not locked: RF_E_NOT_RECOVERABLE (it was given up meanwhile). RF_E_CORRUPTED:
/// an unlock tells whether it is locked
///
/// Threads, processes: any. Crash: killed in the middle, it uses up no notification, or the next owner of the mutex gets
/// RF_OWNER_DIED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_wait(
    condvar: *const rf_condvar,
    mutex: *const rf_mutex,
    why: *mut c_int,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { wait(condvar, mutex, why, timeout_ns) })
}

/// `rf_condvar_wait` with a reentrant mutex. However often the calling thread has it locked, it is given away, and locked
/// as often again when the call returns one of the first four.
///
/// @param condvar     the condition variable
/// @param mutex       the mutex, locked by the calling thread
/// @param why         as there
/// @param timeout_ns  as there
/// @return RF_OK, RF_OWNER_DIED, RF_E_TIMED_OUT, RF_E_INTERRUPTED; RF_E_NOT_OWNER, RF_E_OTHER_MUTEX, RF_E_MAXIMUM_REACHED,
/// RF_E_INVALID; RF_E_NOT_RECOVERABLE; RF_E_CORRUPTED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_wait_reentrant(
    condvar: *const rf_condvar,
    mutex: *const rf_reentrant_mutex,
    why: *mut c_int,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { wait(condvar, mutex, why, timeout_ns) })
}

/// Waits until a predicate is true, which is asked first of all, after each notification, and once more when the time is
/// up.
///
/// @param condvar     the condition variable
/// @param mutex       the mutex, locked by the calling thread
/// @param predicate   what to wait for
/// @param context     for the predicate; may be NULL
/// @param why         as for `rf_condvar_wait`
/// @param timeout_ns  how long to wait in all; RF_FOREVER, 0 to give the mutex away for a moment if it is not so
/// @return with the mutex locked: RF_OK (it is so), RF_E_TIMED_OUT (it is not); RF_OWNER_DIED, RF_E_INTERRUPTED, whatever it
/// is. As for `rf_condvar_wait`: RF_E_NOT_OWNER (nothing was asked), RF_E_OTHER_MUTEX, RF_E_MAXIMUM_REACHED, RF_E_INVALID,
/// RF_E_NOT_RECOVERABLE, RF_E_CORRUPTED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_wait_for(
    condvar: *const rf_condvar,
    mutex: *const rf_mutex,
    predicate: rf_predicate,
    context: *mut c_void,
    why: *mut c_int,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { wait_for(condvar, mutex, predicate, context, why, timeout_ns) })
}

/// `rf_condvar_wait_for` with a reentrant mutex, as `rf_condvar_wait_reentrant`.
///
/// @param condvar     the condition variable
/// @param mutex       the mutex, locked by the calling thread
/// @param predicate   what to wait for
/// @param context     for the predicate; may be NULL
/// @param why         as there
/// @param timeout_ns  as there
/// @return RF_OK, RF_E_TIMED_OUT, RF_OWNER_DIED, RF_E_INTERRUPTED; RF_E_NOT_OWNER, RF_E_OTHER_MUTEX, RF_E_MAXIMUM_REACHED,
/// RF_E_INVALID; RF_E_NOT_RECOVERABLE; RF_E_CORRUPTED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_wait_for_reentrant(
    condvar: *const rf_condvar,
    mutex: *const rf_reentrant_mutex,
    predicate: rf_predicate,
    context: *mut c_void,
    why: *mut c_int,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { wait_for(condvar, mutex, predicate, context, why, timeout_ns) })
}

/// Notifies those of the waiters who have waited longest, and does not wait for them. Nothing is kept for who comes later.
///
/// @param condvar   the condition variable
/// @param mutex     the mutex, locked by the calling thread; it stays locked
/// @param count     how many at most; 0 or less notifies nobody, RF_ALL all
/// @param notified  how many it were; or NULL
/// @return RF_OK, also if there was nobody; RF_E_NOT_OWNER (the calling thread does not have the mutex), RF_E_OTHER_MUTEX
/// (others wait with another mutex, or it lies in another segment; nobody was notified), RF_E_CORRUPTED, RF_E_INVALID
///
/// Threads, processes: any. Crash: killed in the middle, some or all of them are notified.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_notify(
    condvar: *const rf_condvar,
    mutex: *const rf_mutex,
    count: i64,
    notified: *mut u32,
) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { notify(condvar, mutex, count, notified) })
}

/// `rf_condvar_notify` with a reentrant mutex.
///
/// @param condvar   the condition variable
/// @param mutex     the mutex, locked by the calling thread; it stays locked
/// @param count     how many at most; 0 or less notifies nobody, RF_ALL all
/// @param notified  how many it were; or NULL
/// @return RF_OK; RF_E_NOT_OWNER, RF_E_OTHER_MUTEX, RF_E_CORRUPTED, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_notify_reentrant(
    condvar: *const rf_condvar,
    mutex: *const rf_reentrant_mutex,
    count: i64,
    notified: *mut u32,
) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { notify(condvar, mutex, count, notified) })
}

/// How many wait now and are not notified. It may change at once; who gives up or dies counts until it has the mutex, or is
/// found dead.
///
/// @param condvar  the condition variable
/// @param waiting  the number
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_waiting(condvar: *const rf_condvar, waiting: *mut u32) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(condvar, "condvar", waiting, "waiting", |condvar| Ok(condvar.core.waiting())) })
}

/// Gives the handle back. The condition variable stays.
///
/// @param condvar  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_condvar_close(condvar: *mut rf_condvar) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(condvar) })
}
