//! # Barriers
//!
//! A place where a number of parties, threads of any processes, wait for each other, round after round. A round is over when
//! all have arrived; each is told how many were there before it. No round ends before all have left the last.
//!
//! The last to arrive may do something before anybody goes on, in two steps:
//!
//! ```c
//! int got = rf_barrier_arrive(barrier, RF_FOREVER, &index);
//! if (got == RF_LAST)
//!     got = merge() == 0 ? rf_barrier_release(barrier) : rf_barrier_abort(barrier);
//! ```
//!
//! A barrier is *broken* when a party's time is up (a try that is not the last: at once), when somebody calls
//! `rf_barrier_abort`, or when a party dies. Then who waits and who comes gets RF_E_BROKEN, or RF_E_PARTY_DIED if it was a
//! death, until `rf_barrier_reset`. Who has been let through goes on, whatever happens afterwards. The time of who waits runs
//! until it is let through.
//!
//! The death of a process with a thread that has arrived in this round, or is about to, breaks the round; that of a process
//! that is registered (`rf_barrier_register`) breaks the barrier at any time. A process that dies when its round is over, or when
//! the last one arrives before anybody has noticed, is only not waited for any more. In two steps a thread that ends between them, in a process that goes on, leaves the others
//! waiting until their time is up.
//!
//! What a party did before it arrived is seen by all who are let through. A process that is stopped before it has left keeps
//! the next round from ending.

use core::ffi::{c_char, c_int};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, Outcome, boundary};
use super::opening::opening;
use super::segment::rf_segment;
use super::status::rf_status::*;
use crate::segment::directory::Mode;
use crate::sync::{AnyBarrier, BarrierError};

/// A handle to a barrier.
pub struct rf_barrier {
    core: AnyBarrier,
}

impl From<BarrierError> for Failure {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::TimedOut => RF_E_TIMED_OUT.into(),
            BarrierError::Broken => RF_E_BROKEN.into(),
            BarrierError::PartyDied => RF_E_PARTY_DIED.into(),
            BarrierError::Interrupted => RF_E_INTERRUPTED.into(),
            BarrierError::NotOwner => Self::new(RF_E_NOT_OWNER, error.to_string()),
            BarrierError::TooMany => RF_E_MAXIMUM_REACHED.into(),
            BarrierError::Corrupted => RF_E_CORRUPTED.into(),
            BarrierError::Segment(error) => error.into(),
        }
    }
}

/// Opens the barrier of that name, or makes it.
///
/// @param segment  where it lives
/// @param name     its name in the segment
/// @param flags    of `rf_flags`; without RF_CREATE the next one is not compared: whatever is there is opened
/// @param parties  for how many it waits: 1 to 65,535
/// @param out      the handle; `rf_barrier_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_TYPE (another kind of object), RF_E_WRONG_SHAPE (another number of
/// parties), RF_E_NO_SPACE, RF_E_DIRECTORY_FULL, RF_E_NAME, RF_E_INVALID, RF_E_CORRUPTED,
/// RF_E_BUSY (somebody was stopped while changing the directory)
///
/// Crash: killed in the middle, nobody ever sees half a barrier.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_open(
    segment: *const rf_segment,
    name: *const c_char,
    flags: c_int,
    parties: usize,
    out: *mut *mut rf_barrier,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let open = unsafe { opening(segment, name, flags, out)? };
        let wanted = (open.flags.mode != Mode::Open).then_some(parties);
        let core = AnyBarrier::open(open.segment, open.name, open.flags.mode, wanted)?;
        core.set_interruptible(open.flags.interruptible);
        open.give(rf_barrier { core })
    })
}

/// # Safety
/// `barrier` is NULL or a handle, `index` NULL or writable.
unsafe fn wait(barrier: *const rf_barrier, timeout_ns: i64, index: *mut usize, lead: bool) -> Outcome {
    // SAFETY: the caller's promise.
    let (barrier, out) = unsafe { (reference(barrier, "barrier")?, Out::optional(index, "index")?) };
    let (index, last) = barrier.core.wait(argument::deadline(timeout_ns), lead)?;
    out.write(index as usize);
    Ok(if last && lead { RF_LAST } else { RF_OK })
}

/// Waits until all parties have arrived.
///
/// @param barrier     the barrier
/// @param timeout_ns  how long to wait for the others; RF_FOREVER; 0 goes through only as the last
/// @param index       how many had arrived before: 0 for the first, parties - 1 for the last; or NULL
/// @return RF_OK; RF_E_TIMED_OUT (the caller's time was up, also of a try, which has broken the barrier), RF_E_BROKEN,
/// RF_E_PARTY_DIED, RF_E_INTERRUPTED (a caller who has arrived stays so: the same thread calls again, or aborts; closing the
/// handle does that, too), RF_E_MAXIMUM_REACHED (16,383 threads of the process are there), RF_E_CORRUPTED
///
/// Threads, processes: any. Crash: the death of a process that has arrived breaks the round.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_wait(barrier: *const rf_barrier, timeout_ns: i64, index: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { wait(barrier, timeout_ns, index, false) })
}

/// Waits until all parties have arrived, and the last of them has released the others. If the caller is that one, it returns
/// RF_LAST at once; the others wait until it calls `rf_barrier_release`, or breaks the barrier by `rf_barrier_abort`.
///
/// @param barrier     the barrier
/// @param timeout_ns  how long to wait for the others; RF_FOREVER; 0 goes through only as the last
/// @param index       how many had arrived before, or NULL
/// @return RF_OK (the caller was let through); RF_LAST (it is to release the others); and as `rf_barrier_wait`
///
/// Threads, processes: any. Crash: the death of a process that has arrived breaks the round, also between the two steps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_arrive(barrier: *const rf_barrier, timeout_ns: i64, index: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { wait(barrier, timeout_ns, index, true) })
}

/// Lets all parties through, after RF_LAST.
///
/// @param barrier  the barrier
/// @return RF_OK; RF_E_BROKEN or RF_E_PARTY_DIED (the barrier was broken meanwhile, and nobody goes through); RF_E_NOT_OWNER (the
/// calling thread is not the last to arrive in this round)
///
/// Threads: the one that got RF_LAST. Crash: killed in the middle, all are let through or the barrier is broken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_release(barrier: *const rf_barrier) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(barrier, "barrier")? }.core.release()?;
        Ok(RF_OK)
    })
}

/// Registers a party of the calling process: from now on its death breaks the barrier at any time, not only when it has
/// arrived. It counts: each registration is taken back once.
///
/// @param barrier  the barrier
/// @return RF_OK; RF_E_MAXIMUM_REACHED (16,383 of the process are registered), RF_E_CORRUPTED
///
/// Threads, processes: any. A forked child is not registered. Crash: killed in the middle, it is registered or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_register(barrier: *const rf_barrier) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(barrier, "barrier")? }.core.register()?;
        Ok(RF_OK)
    })
}

/// Takes a registration of the calling process back. Closing the handle does not; the end of the process is its death.
///
/// @param barrier  the barrier
/// @return RF_OK; RF_E_NOT_OWNER (the process is not registered)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_unregister(barrier: *const rf_barrier) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(barrier, "barrier")? }.core.unregister()?;
        Ok(RF_OK)
    })
}

/// Breaks the barrier: who waits and who comes gets RF_E_BROKEN, until it is reset. A caller that got RF_LAST, or
/// RF_E_INTERRUPTED, has left it then.
///
/// @param barrier  the barrier
/// @return RF_OK, also if it was broken
///
/// Threads, processes: any. Crash: killed in the middle, it is broken or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_abort(barrier: *const rf_barrier) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(barrier, "barrier")? }.core.abort()?;
        Ok(RF_OK)
    })
}

/// Mends the barrier. Who waits gets RF_E_BROKEN, and who comes waits until those have left.
///
/// @param barrier  the barrier
/// @return RF_OK, also if it was whole and nobody waited; then nothing changes
///
/// Threads, processes: any. Crash: killed in the middle, it is mended or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_reset(barrier: *const rf_barrier) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(barrier, "barrier")? }.core.reset()?;
        Ok(RF_OK)
    })
}

/// Whether the barrier is broken now; it may change at once.
///
/// @param barrier    the barrier
/// @param is_broken  1 or 0
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_is_broken(barrier: *const rf_barrier, is_broken: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(barrier, "barrier", is_broken, "is_broken", |barrier| Ok(c_int::from(barrier.core.is_broken())))
    })
}

/// How many have arrived and wait for others now; 0 as soon as all have. It may change at once.
///
/// @param barrier  the barrier
/// @param waiting  how many
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_waiting(barrier: *const rf_barrier, waiting: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(barrier, "barrier", waiting, "waiting", |barrier| Ok(barrier.core.waiting() as usize))
    })
}

/// For how many it waits.
///
/// @param barrier  the barrier
/// @param parties  how many
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_parties(barrier: *const rf_barrier, parties: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(barrier, "barrier", parties, "parties", |barrier| Ok(barrier.core.parties() as usize))
    })
}

/// Gives the handle back. The barrier stays as it is; but a wait of the calling thread that was interrupted ends, as by
/// `rf_barrier_abort`.
///
/// @param barrier  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_barrier_close(barrier: *mut rf_barrier) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(barrier) })
}
