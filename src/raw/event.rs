//! The event: a flag that is set and cleared, and waited for. Here the one that stays set until it is cleared; the one
//! that resets itself is [`auto_event`](super::auto_event).
//!
//! ```text
//!  31                               2      1         0
//! +----------------------------------+----------+-------+
//! |              epoch               | SLEEPERS |  SET  |      one futex word is the whole state
//! +----------------------------------+----------+-------+
//! ```
//!
//! | word | state |
//! |---|---|
//! | `SET` | set: nobody falls asleep |
//! | `SET`, `SLEEPERS` | just set, sleepers not all woken yet |
//! | - | clear, nobody sleeps |
//! | `SLEEPERS` | clear, somebody may sleep |
//!
//! Every value is one of these: there is nothing to corrupt but the answer.
//!
//! Invariants:
//! 1. The epoch counts the changes from clear to set. Who waits remembers the epoch it came in: another one, or `SET`, is
//!    what it waits for. So a clear cannot take a set away from anybody who was there.
//! 2. A sleeper exists only behind a clear word with `SLEEPERS`, and that bit goes only in the exact word that a set left,
//!    after all were woken. Behind a word with that epoch and `SET` nobody falls asleep.
//! 3. A set that finds the flag set writes the word all the same, and so does each clear: what was done before a set is
//!    seen by whoever waits, or clears, after it. (With a mere look, a setter's data and the look at the flag may
//!    change places: it finds the flag set, the other side clears, looks, and finds nothing.)
//!
//! A death leaves behind: as a waiter a stray `SLEEPERS`, one system call too many; as a setter before its wake, sleepers
//! behind a word of another epoch: the next set, the cap of their naps or [`recover`](Manual::recover) ends it, and they
//! return true whatever happened meanwhile.
//!
//! The epoch has 30 bits: a waiter that is stopped for exactly 2^30 sets (or a multiple), and finds it clear, waits on.
//!
//! Orderings: a set is Release, a wait that ends and a clear are Acquire. What stands between (clears, `SLEEPERS`) are
//! read-modify-writes, which keep up the set's release.

use core::ptr::NonNull;

use super::auto_event::Auto;
use super::backoff::Backoff;
use super::eventcount::Announced;
use super::{ParticipantId, Peers};
use crate::layout::event::{EventHeader, Record, bytes};
use crate::primitive::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::nap::{Deadline, Nap, Slept, Wait};

const SET: u32 = 1;
const SLEEPERS: u32 = 1 << 1;
const EPOCH: u32 = 1 << 2;

/// Why a wait has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A signal handler ran and the caller wants to know.
    Interrupted,
    /// The event holds something that no participant writes.
    Corrupted,
}

/// An event in shared memory.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It stays set until it is cleared.
    Manual(Manual<'a>),
    /// It lets one through each time it is set.
    Auto(Auto<'a>),
}

impl<'a> Event<'a> {
    /// The event at `base`, which is `len` bytes long, of a segment with so many participants. `None` if it does not fit.
    ///
    /// # Safety
    /// The bytes are mapped as long as the result is used, aligned to 128, and accessed atomically only.
    pub unsafe fn at(base: NonNull<u8>, len: u64, participants: u16) -> Option<Self> {
        if len < bytes(false, participants) {
            return None;
        }
        // SAFETY: long enough (just checked), mapped and aligned (the caller's promise).
        let header: &EventHeader = unsafe { base.cast().as_ref() };
        if header.auto.load(Ordering::Relaxed) == 0 {
            return Some(Self::Manual(Manual::new(&header.word)));
        }
        if len < bytes(true, participants) {
            return None;
        }
        // SAFETY: as above; the records lie behind the header.
        let records: &[Record] = unsafe {
            NonNull::slice_from_raw_parts(base.add(size_of::<EventHeader>()).cast(), participants.into()).as_ref()
        };
        Some(Self::Auto(Auto::new(header, records)))
    }

    /// The moment for one who begins to wait for it among others: see [`has_occurred`](Self::has_occurred).
    pub fn moment(&self) -> u32 {
        match self {
            Self::Manual(manual) => manual.moment(),
            Self::Auto(_) => 0,
        }
    }

    /// Whether a wait that began at that moment would end at once. An event that resets itself: whether a signal is kept, as
    /// far as its flag tells.
    pub fn has_occurred(&self, since: u32) -> bool {
        match self {
            Self::Manual(manual) => manual.has_occurred(since),
            Self::Auto(auto) => auto.kept().is_set(),
        }
    }

    /// The same, with what the dead leave to others.
    pub fn is_ready(&self, since: u32, peers: &impl Peers) -> bool {
        match self {
            Self::Manual(manual) => manual.has_occurred(since),
            Self::Auto(auto) => auto.is_ready(peers),
        }
    }

    /// Announces a sleeper who takes nothing. `None`: there is no need. Whoever sets the event, or keeps a signal of one that
    /// resets itself, wakes all of them.
    pub fn announce(&self, since: u32) -> Option<Announced<'a>> {
        match self {
            Self::Manual(manual) => manual.announce_unless(|seen| happened(seen, since)),
            Self::Auto(auto) => auto.kept().announce_unless(|seen| seen & SET != 0),
        }
    }

    /// What to do for a dead participant.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        match self {
            Self::Manual(manual) => manual.recover(),
            Self::Auto(auto) => auto.recover(dead, peers),
        }
    }
}

/// An event that stays set until it is cleared: its word.
#[derive(Clone, Copy, Debug)]
pub struct Manual<'a> {
    word: &'a AtomicU32,
}

impl<'a> Manual<'a> {
    /// The event of this word.
    pub fn new(word: &'a AtomicU32) -> Self {
        Self { word }
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.word.load(Ordering::Acquire) & SET != 0
    }

    /// The moment: an epoch.
    pub fn moment(&self) -> u32 {
        self.word.load(Ordering::Acquire) / EPOCH
    }

    /// Whether it is set, or has been since that moment.
    pub fn has_occurred(&self, since: u32) -> bool {
        happened(self.word.load(Ordering::Acquire), since)
    }

    fn announce_unless(&self, ready: impl Fn(u32) -> bool) -> Option<Announced<'a>> {
        loop {
            let seen = self.word.load(Ordering::Acquire);
            if ready(seen) {
                return None;
            }
            // Relaxed: the next look is what counts.
            let waiting = seen | SLEEPERS;
            if waiting == seen || exchange(self.word, seen, waiting, Ordering::Relaxed) {
                return Some(Announced::in_word(self.word, waiting));
            }
        }
    }

    /// Waits until it is set, or has been since the call began; `false` if that took too long.
    #[inline]
    pub fn wait(&self, wait: Wait) -> Result<bool, Refused> {
        let came = self.word.load(Ordering::Acquire);
        if came & SET != 0 { Ok(true) } else { self.wait_slow(came, wait) }
    }

    #[cold]
    fn wait_slow(&self, came: u32, wait: Wait) -> Result<bool, Refused> {
        if wait.deadline == Deadline::Now {
            return Ok(false);
        }
        let happened = |seen: u32| happened(seen, came / EPOCH);
        let (mut nap, mut backoff) = (Nap::new(), Backoff::new());
        loop {
            let seen = self.word.load(Ordering::Acquire);
            if happened(seen) {
                return Ok(true);
            }
            if backoff.pause() {
                continue;
            }
            let waiting = seen | SLEEPERS;
            // Relaxed: the next look is what counts.
            if waiting != seen && !exchange(self.word, seen, waiting, Ordering::Relaxed) {
                continue;
            }
            let slept = nap.sleep(self.word, waiting, wait);
            if slept != Slept::Recheck {
                return match happened(self.word.load(Ordering::Acquire)) {
                    false if slept == Slept::Interrupted => Err(Refused::Interrupted),
                    answer => Ok(answer),
                };
            }
        }
    }

    /// Sets it, and wakes all who wait.
    #[inline]
    pub fn set(&self) {
        let left = loop {
            let seen = self.word.load(Ordering::Relaxed);
            let left = if seen & SET == 0 { seen.wrapping_add(EPOCH) | SET } else { seen };
            if exchange(self.word, seen, left, Ordering::Release) {
                break left; // invariant 3
            }
        };
        if left & SLEEPERS != 0 {
            wake_all(self.word, left);
        }
    }

    /// Clears it.
    #[inline]
    pub fn clear(&self) {
        self.word.fetch_and(!SET, Ordering::AcqRel); // invariant 3
    }

    /// Has whoever sleeps here, or is about to, look again. Only for the flag of an [`Auto`]: it begins another epoch, and is
    /// not set. So `SLEEPERS` stays (invariant 2). Release: who looks again sees what was before.
    pub(super) fn rouse(&self) {
        if self.word.fetch_add(EPOCH, Ordering::AcqRel) & SLEEPERS != 0 {
            futex::wake(self.word, u32::MAX);
        }
    }

    /// Wakes whom a dead setter has left asleep. The word is another since, so nobody falls asleep behind the old one.
    pub fn recover(&self) {
        futex::wake(self.word, u32::MAX);
    }
}

/// Invariant 1.
fn happened(seen: u32, since: u32) -> bool {
    seen & SET != 0 || seen / EPOCH != since
}

#[inline]
fn exchange(word: &AtomicU32, seen: u32, new: u32, order: Ordering) -> bool {
    word.compare_exchange(seen, new, order, Ordering::Relaxed).is_ok()
}

/// The last step of a set that left the word as `left`, with SLEEPERS.
#[cold]
fn wake_all(word: &AtomicU32, left: u32) {
    futex::wake(word, u32::MAX);
    // Relaxed: nothing is published; a loss means that it was cleared, or somebody else has done it.
    let _ = exchange(word, left, left & !SLEEPERS, Ordering::Relaxed); // invariant 2
}
