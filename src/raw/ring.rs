//! What rings with one producer and one consumer have in common: who is at which end, and where the stream ends.
//!
//! ```text
//!  role of an end (u32)                       end (u64)
//! +---+-----------+---------------+          +----------------------------------+---+
//! | 0 | tag : 17  |participant:13 |          |             position             | 1 |    0: it goes on
//! +---+-----------+---------------+          +----------------------------------+---+
//! ```
//!
//! | role | state | left by |
//! |---|---|---|
//! | 0 | nobody is at this end (all zero: the valid first state) | claim |
//! | thread | its process is, whichever thread has the handle by now | giving it back; by the next one, or by recovery, if the process is dead |
//!
//! Any other word is corrupted.
//!
//! Invariants:
//! 1. A role goes from 0 to an owner, and from there to 0 or to the next owner, by compare-and-swap of the exact word. The
//!    word is read before the question whether its owner is dead; the tag outlives the participant's number (its slot counts
//!    on). So nobody who is slow takes a successor's role away.
//! 2. Only the process that has a role writes that end's position, and what the ring says belongs to that end. Whoever has
//!    the role next sees all of it: the role was given back by a Release, or its owner's death was seen.
//! 3. **Shutdown.** `closing` asks for the end; `end` is the end, once and for ever, by one compare-and-swap from 0. The
//!    consumer sets it to where it stands, if it sees nothing there *after* a barrier that came after it saw `closing`. The
//!    producer looks at `closing` before it publishes, and again behind the fence (or the barrier that stands for it) after
//!    it has published: if it is set by then, it tries to set the end to what lies *behind* its item. Whose swap was first
//!    decides; the other reads it. So an item is in the stream, and the push succeeds, or it lies behind the end, where
//!    nobody looks, and the push fails. Nothing is withdrawn, and no item is taken by a swap.
//! 4. A consumer says that it is over only at the `end`. So nothing comes after that, of nobody, and no push that has
//!    succeeded is left behind.
//!
//! A death leaves behind:
//! - before its claim: nothing. After it: the role of a dead owner, which the next one takes, and [`recover`] frees;
//! - of a producer that has published, but not seen to the end: an item that is in the stream if the consumer comes past it,
//!   and else behind the end. Its push never returned, and both are allowed;
//! - of whoever shuts down, between `closing` and the wake-ups: sleepers, whom [`recover`] or the cap on sleeps wakes. Of a
//!   consumer that has set the end: the end, which its successors read.
//!
//! Orderings: a role is claimed with Acquire and given back with Release. `end` is set by AcqRel: a consumer that reads it
//! sees all that lies before it. `closing` is Relaxed on its own where the fence of the eventcount orders it.
//!
//! Source: our own. The looks on both sides are Dekker's, with the asymmetric fence of [`eventcount`].

use super::backoff::Backoff;
use super::eventcount::{self, Expired};
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::ring::{RingHeader, Shared, Side};
use crate::primitive::Ordering;
use crate::sys::nap::{Deadline, Wait};

/// Why something was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFailure {
    /// There is no room (only when not waiting at all).
    Full,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The ring is shut down.
    Closed,
    /// There is no room, and nobody to make any.
    Alone,
    /// The ring holds something that no participant writes.
    Corrupted,
}

/// Why nothing was popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopFailure {
    /// There is nothing (only when not waiting at all).
    Empty,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The ring is shut down and empty.
    Closed,
    /// There is nothing, and nobody to push anything.
    Alone,
    /// The ring holds something that no participant writes.
    Corrupted,
}

impl From<Expired> for PushFailure {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::TimedOut => Self::TimedOut,
            Expired::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Expired> for PopFailure {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::TimedOut => Self::TimedOut,
            Expired::Interrupted => Self::Interrupted,
        }
    }
}

/// Why a role was not claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A living process has it.
    Taken(ParticipantId),
    /// The ring holds something that no participant writes.
    Corrupted,
}

/// So often a claim may lose the word to others: each of them has claimed it, given it back, or freed a dead one's.
const PATIENCE: u32 = 1 << 10;

/// Who is at an end, as its word says; `Err` for a word that no participant writes.
fn holder(word: u32) -> Result<Option<ParticipantId>, Refused> {
    if word == 0 {
        return Ok(None);
    }
    let participant = (word & 0x1fff) as ParticipantId;
    match Owner::new(participant, word >> 13) {
        Some(owner) if owner.bits() == word => Ok(Some(participant)),
        _ => Err(Refused::Corrupted),
    }
}

/// Takes an end that nobody has, or a dead process.
pub fn claim(side: &Side, me: Owner, peers: &impl Peers) -> Result<(), Refused> {
    for _ in 0..PATIENCE {
        let seen = side.role.load(Ordering::Acquire);
        if let Some(participant) = holder(seen)? {
            match peers.fate(participant) {
                Fate::Alive => return Err(Refused::Taken(participant)),
                Fate::Invalid => return Err(Refused::Corrupted),
                Fate::Dead => {}
            }
        }
        // Invariants 1 and 2.
        if side.role.compare_exchange(seen, me.bits(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Ok(());
        }
    }
    Err(Refused::Corrupted)
}

/// Gives an end back; `false` if `me` has not got it.
pub fn give_back(side: &Side, me: Owner) -> bool {
    side.role.compare_exchange(me.bits(), 0, Ordering::Release, Ordering::Relaxed).is_ok()
}

/// Whether `me` has this end.
pub fn has(side: &Side, me: Owner) -> bool {
    side.role.load(Ordering::Relaxed) == me.bits()
}

/// Whether a living process has this end; a hint.
pub fn is_taken(side: &Side, peers: &impl Peers) -> bool {
    // Acquire: who finds that it was given back sees what was done before.
    match holder(side.role.load(Ordering::Acquire)) {
        Ok(Some(participant)) => peers.fate(participant) == Fate::Alive,
        _ => false,
    }
}

/// Whether a wait for the other end is in vain for now. `peers` is given if the caller wants to know.
pub fn is_alone(other: &Side, peers: Option<&impl Peers>) -> bool {
    peers.is_some_and(|peers| !is_taken(other, peers))
}

/// Frees the ends that participant `dead` had, and wakes whom it may have left asleep.
///
/// Any number of processes may do this at the same time, and be killed at it.
pub fn recover(header: &RingHeader, dead: ParticipantId, peers: &impl Peers) {
    for side in [&header.producer.0, &header.consumer.0] {
        let seen = side.role.load(Ordering::Acquire);
        // Asked after the load: the number may have a living successor by now.
        if holder(seen) == Ok(Some(dead)) && peers.fate(dead) == Fate::Dead {
            // AcqRel: hands on what the dead one's last stores were.
            let _ = side.role.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
    eventcount::recover(&header.shared.0.not_empty, u32::MAX);
    eventcount::recover(&header.shared.0.not_full, u32::MAX);
}

/// Asks for the end, for everybody.
pub fn shutdown(shared: &Shared) {
    // Release: who knows that it is shut down knows what its closer did before.
    shared.closing.store(1, Ordering::Release);
    eventcount::notify(&shared.not_empty);
    eventcount::notify(&shared.not_full);
}

/// Whether somebody has asked for the end.
#[inline(always)]
pub fn is_shut_down(shared: &Shared) -> bool {
    shared.closing.load(Ordering::Acquire) != 0
}

fn as_end(position: u64) -> u64 {
    position << 1 | 1
}

/// For a producer that has published all before `tail` and saw `closing` after that: where the end is (invariant 3). Twice
/// the position, so its highest bit is lost.
#[cold]
pub fn settle(shared: &Shared, tail: u64) -> u64 {
    match shared.end.compare_exchange(0, as_end(tail), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => tail << 1 >> 1,
        Err(end) => end >> 1,
    }
}

/// Where the ring ends, if that is known.
pub fn end(shared: &Shared) -> Option<u64> {
    // Acquire: all that lies before it is seen.
    let end = shared.end.load(Ordering::Acquire);
    (end != 0).then_some(end >> 1)
}

/// What a consumer that has found nothing at its position is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Come again.
    Open,
    /// Look again: there is something.
    More,
    /// That is the end.
    Over,
    /// Nothing lies before the end: no participant leaves it so.
    Corrupted,
}

/// Whether the stream ends at `position`, where the consumer stands and found nothing (invariants 3 and 4).
#[cold]
pub fn verdict(shared: &Shared, position: u64, is_there: impl Fn() -> bool) -> Verdict {
    let mut end = shared.end.load(Ordering::Acquire);
    if end == 0 {
        if !is_shut_down(shared) {
            return Verdict::Open;
        }
        eventcount::before_last_look(&shared.not_empty);
        if is_there() {
            return Verdict::More;
        }
        match shared.end.compare_exchange(0, as_end(position), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Verdict::Over,
            Err(seen) => end = seen,
        }
    }
    if end == as_end(position) {
        Verdict::Over
    } else if is_there() {
        Verdict::More
    } else {
        Verdict::Corrupted
    }
}

/// Repeats a push that found no room, as `wait` says. `peers` is given if the caller wants to know that there is no
/// consumer.
#[cold]
#[inline(never)]
pub fn push_slow<R>(
    header: &RingHeader,
    wait: Wait,
    mut backoff: Backoff,
    peers: Option<&impl Peers>,
    mut push: impl FnMut() -> Result<R, PushFailure>,
) -> Result<R, PushFailure> {
    let mut attempt = || match push() {
        Err(PushFailure::Full) => None,
        done => Some(done),
    };
    if wait.deadline == Deadline::Now {
        return attempt().unwrap_or(Err(PushFailure::Full));
    }
    while backoff.pause() {
        if let Some(done) = attempt() {
            return done;
        }
    }
    let or_alone = || {
        attempt().or_else(|| {
            // Again: it may have made room before it left.
            is_alone(&header.consumer.0, peers).then(|| attempt().unwrap_or(Err(PushFailure::Alone)))
        })
    };
    eventcount::wait_until(&header.shared.0.not_full, wait, or_alone).unwrap_or_else(|expired| Err(expired.into()))
}

/// Repeats a pop that found nothing, in the same way.
#[cold]
#[inline(never)]
pub fn pop_slow<R>(
    header: &RingHeader,
    wait: Wait,
    mut backoff: Backoff,
    peers: Option<&impl Peers>,
    mut pop: impl FnMut() -> Result<R, PopFailure>,
) -> Result<R, PopFailure> {
    let mut attempt = || match pop() {
        Err(PopFailure::Empty) => None,
        done => Some(done),
    };
    if wait.deadline == Deadline::Now {
        return attempt().unwrap_or(Err(PopFailure::Empty));
    }
    while backoff.pause() {
        if let Some(done) = attempt() {
            return done;
        }
    }
    let or_alone = || {
        attempt().or_else(|| {
            // Again: it may have pushed before it left.
            is_alone(&header.producer.0, peers).then(|| attempt().unwrap_or(Err(PopFailure::Alone)))
        })
    };
    eventcount::wait_until(&header.shared.0.not_empty, wait, or_alone).unwrap_or_else(|expired| Err(expired.into()))
}
