//! Waiting for a side's lock, and for the other side.

use super::position::Position;
use super::{RecvFailure, SendFailure};
use crate::layout::channel::Side;
use crate::primitive::Ordering;
use crate::raw::backoff::Backoff;
use crate::raw::{Owner, Peers, eventcount, mutex};
use crate::sys::nap::{Deadline, TRY_FOR, Wait};

/// Why a side's lock was not acquired, or what was waited for did not come.
pub enum Refusal {
    Late,
    Interrupted,
    WouldDeadlock,
    Corrupted,
}

impl Refusal {
    #[cold]
    pub fn of_send(self, wait: Wait) -> SendFailure {
        match self {
            Self::Late if wait.deadline == Deadline::Now => SendFailure::Full,
            Self::Late => SendFailure::TimedOut,
            Self::Interrupted => SendFailure::Interrupted,
            Self::WouldDeadlock => SendFailure::WouldDeadlock,
            Self::Corrupted => SendFailure::Corrupted,
        }
    }

    #[cold]
    pub fn of_recv(self, wait: Wait) -> RecvFailure {
        match self {
            Self::Late if wait.deadline == Deadline::Now => RecvFailure::Empty,
            Self::Late => RecvFailure::TimedOut,
            Self::Interrupted => RecvFailure::Interrupted,
            Self::WouldDeadlock => RecvFailure::WouldDeadlock,
            Self::Corrupted => RecvFailure::Corrupted,
        }
    }
}

impl From<eventcount::Expired> for Refusal {
    fn from(expired: eventcount::Expired) -> Self {
        match expired {
            eventcount::Expired::TimedOut => Self::Late,
            eventcount::Expired::Interrupted => Self::Interrupted,
        }
    }
}

#[inline]
pub fn lock(side: &Side, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refusal> {
    if mutex::lock_fast(&side.lock, me) {
        return Ok(());
    }
    lock_slow(side, me, peers, wait)
}

#[cold]
fn lock_slow(side: &Side, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refusal> {
    match mutex::lock(&side.lock, me, peers, patient(wait)) {
        Ok(mutex::Acquired::Clean) => Ok(()),
        Ok(mutex::Acquired::OwnerDied) => {
            // Invariant 2: there is nothing to repair.
            let _ = mutex::make_consistent(&side.lock, me);
            Ok(())
        }
        Err(mutex::Refused::WouldBlock | mutex::Refused::TimedOut) => Err(Refusal::Late),
        Err(mutex::Refused::Interrupted) => Err(Refusal::Interrupted),
        // In the middle of a message in place.
        Err(mutex::Refused::WouldDeadlock) => Err(Refusal::WouldDeadlock),
        // Nobody gives it up: such a word was not written by this code.
        Err(mutex::Refused::NotRecoverable | mutex::Refused::Corrupted) => Err(Refusal::Corrupted),
    }
}

/// A try waits a moment for what somebody else is in the middle of: one that gave up at once would call a channel with
/// messages empty.
pub fn patient(wait: Wait) -> Wait {
    match wait.deadline {
        Deadline::Now => Wait { deadline: Deadline::after(TRY_FOR), ..wait },
        _ => wait,
    }
}

#[inline]
pub fn unlock(side: &Side, me: Owner) {
    // If somebody forged the word and it is no longer ours, what we did is done all the same.
    let _ = mutex::unlock(&side.lock, me);
}

/// Before a wait: if nobody is at the other end any more, what follows from it has ended the sleep that is to come.
pub fn or_learn<R>(peers: &impl Peers, attempt: Option<R>) -> Option<R> {
    if attempt.is_none() {
        peers.left_alone();
    }
    attempt
}

/// A side has nothing to do at this position of its own, under its lock. Relaxed: a hint.
pub fn note_miss(side: &Side, at: Position) {
    let further = at.messages.wrapping_sub(side.missed.load(Ordering::Relaxed));
    if further != 0 {
        side.missed.store(at.messages, Ordering::Relaxed);
        side.between.store(further, Ordering::Relaxed);
    }
}

/// Waits a little while `unchanged`; longer, and undisturbed, where a side has caught up with the other one's stream.
pub fn spin_while(side: &Side, unchanged: impl Fn() -> bool) {
    let mut backoff = Backoff::after(side.between.load(Ordering::Relaxed).into(), 1);
    while unchanged() && backoff.pause() {}
}
