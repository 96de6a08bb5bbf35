//! The once: something is initialised by one of many, and a dead initialiser's turn is the next one's.
//!
//! ```text
//!            the robust mutex's word                 its waiters          who waits, and would not initialise
//! +---+-----------+----------+---------------+ +-------------------+ +-------------------+ +---------------+
//! | 0 |OWNER_DIED | tag : 17 |participant:13 | |    eventcount     | |    eventcount     | |  value: words |
//! +---+-----------+----------+---------------+ +-------------------+ +-------------------+ +---------------+
//! ```
//!
//! It is a [mutex](super::mutex) that its owner holds while it initialises and gives up for good when it has done so: what
//! the mutex calls not recoverable is here *completed*. So one word decides, and locking, dying, being told of a death,
//! threads that end and recovery are the mutex's.
//!
//! | word | state |
//! |---|---|
//! | 0 | not initialised (all zero: the valid first state) |
//! | `OWNER_DIED` | the last to try died or gave up; the next is told |
//! | thread | being initialised by that thread |
//! | thread, `OWNER_DIED` | the same, by one who was told |
//! | [`NOT_RECOVERABLE`] | completed, for ever |
//!
//! Invariants:
//! 1. The words of the value are written by the owner of the lock alone, before the store that completes; and nobody owns
//!    the lock after that. So whoever sees *completed* (Acquire) reads a whole value that changes no more. What a dead
//!    owner wrote of it means nothing: the next writes all of it.
//! 2. Who would initialise sleeps as a waiter of the lock: one is woken when a turn is given back, all when it is completed.
//!    Who would not sleeps at an eventcount of its own, and is woken when it is completed: among the lock's waiters it would
//!    take the one wake-up of a turn given back, and leave asleep somebody who could use it.
//!
//! A death leaves behind:
//! - before the acquiring CAS: at most an announcement, which the next to wake clears;
//! - while initialising, also in the middle of the value: the dead owner in the word, and the next one's turn;
//! - after the completing store, before it has woken all: sleepers behind a word that says *completed*; [`Once::recover`] and
//!   their capped naps end it;
//! - as the woken waiter of a turn given back: what it leaves at a mutex, ended by the same. After a completion, nothing:
//!   all were woken.
//!
//! Orderings: the completing store is Release and pairs with the Acquire of [`Once::is_completed`], which is the whole way
//! of a call that comes later. Of a turn that was given back, the mutex's pair.

use core::ptr::NonNull;

use super::backoff::Backoff;
use super::eventcount::{self, Announced, Expired};
use super::mutex::{self, Acquired, NOT_RECOVERABLE, NotOwner, OWNER_MASK, Refused};
use super::{Fate, Owner, ParticipantId, Peers, words};
use crate::layout::mutex::LockWord;
use crate::layout::once::{OnceHeader, bytes};
use crate::primitive::{AtomicU64, Ordering};
use crate::sys::nap::{Deadline, Wait};

/// A once in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    header: &'a OnceHeader,
    value: &'a [AtomicU64],
}

impl<'a> Once<'a> {
    /// The once at `base`, which is `len` bytes long, with a value of `size` bytes. `None` if it does not fit.
    ///
    /// # Safety
    /// The bytes are mapped as long as the result is used, aligned to 128, and accessed atomically only.
    pub unsafe fn at(base: NonNull<u8>, len: u64, size: u32) -> Option<Self> {
        // SAFETY: so long (checked here); the rest is the caller's promise.
        (len >= bytes(size)).then(|| unsafe { Self::at_checked(base, size) })
    }

    /// The same where the length is known to suffice.
    ///
    /// # Safety
    /// As [`at`](Self::at), and there are [`bytes`] of that size.
    #[inline(always)]
    pub unsafe fn at_checked(base: NonNull<u8>, size: u32) -> Self {
        // SAFETY: mapped, so long and aligned: the caller's promise. The words lie behind the header.
        unsafe {
            let words = NonNull::slice_from_raw_parts(
                base.add(size_of::<OnceHeader>()).cast(),
                words::words_for(size as usize),
            );
            Self::new(base.cast().as_ref(), words.as_ref())
        }
    }

    /// The once of this header, with these words for its value.
    #[inline(always)]
    pub fn new(header: &'a OnceHeader, value: &'a [AtomicU64]) -> Self {
        Self { header, value }
    }

    /// The lock of whoever initialises it.
    pub fn lock(&self) -> &'a LockWord {
        &self.header.lock
    }

    /// Whether it is initialised. Who sees that sees what the initialiser did.
    #[inline(always)]
    pub fn is_completed(&self) -> bool {
        self.header.lock.owner.load(Ordering::Acquire) == NOT_RECOVERABLE
    }

    /// Reads the value, as many bytes as it has; `false` if there is none yet.
    #[inline(always)]
    pub fn read(&self, value: &mut [u8]) -> bool {
        let completed = self.is_completed();
        if completed {
            words::load(value, self.value); // invariant 1
        }
        completed
    }

    /// Waits until it is initialised (`None`), or it is the caller's turn to do so: then it is told whether the last to
    /// have it died or gave up, and ends it by [`complete`](Self::complete) or [`abandon`](Self::abandon).
    pub fn begin(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Option<Acquired>, Refused> {
        match mutex::lock(&self.header.lock, me, peers, wait) {
            Ok(acquired) => Ok(Some(acquired)),
            Err(_) if self.is_completed() => Ok(None),
            // Given up, and then something else.
            Err(Refused::NotRecoverable) => Err(Refused::Corrupted),
            Err(refused) => Err(refused),
        }
    }

    /// Ends the caller's turn: it is initialised, with this value, and all who wait go on.
    #[cold]
    pub fn complete(&self, me: Owner, value: &[u8]) -> Result<(), NotOwner> {
        if !mutex::is_owner(&self.header.lock, me) {
            return Err(NotOwner); // invariant 1
        }
        words::store(self.value, value);
        mutex::give_up(&self.header.lock, me)?;
        eventcount::notify(&self.header.waiting); // invariant 2
        Ok(())
    }

    /// Ends the caller's turn with nothing done: it is the next one's, who is told.
    #[cold]
    pub fn abandon(&self, me: Owner) -> Result<(), NotOwner> {
        mutex::give_back(&self.header.lock, me)
    }

    /// Waits until somebody else has initialised it.
    pub fn wait(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        let mut backoff = Backoff::new();
        loop {
            if self.is_completed() {
                return Ok(());
            }
            if wait.deadline == Deadline::Now || !backoff.pause() {
                break;
            }
        }
        if wait.deadline == Deadline::Now {
            return self.look(me, peers).unwrap_or(Err(Refused::WouldBlock));
        }
        let expired = match eventcount::wait_until(&self.header.waiting, wait, || self.look(me, peers)) {
            Ok(outcome) => return outcome,
            Err(expired) => expired,
        };
        Err(match expired {
            _ if self.is_completed() => return Ok(()),
            Expired::TimedOut => Refused::TimedOut,
            Expired::Interrupted => Refused::Interrupted,
        })
    }

    /// Whether a wait is over: it is initialised, or never will be while this thread waits.
    fn look(&self, me: Owner, peers: &impl Peers) -> Option<Result<(), Refused>> {
        let seen = self.header.lock.owner.load(Ordering::Acquire);
        match seen & OWNER_MASK {
            0 => None,
            NOT_RECOVERABLE if seen == NOT_RECOVERABLE => Some(Ok(())),
            NOT_RECOVERABLE => Some(Err(Refused::Corrupted)),
            owner if owner == me.bits() => Some(Err(Refused::WouldDeadlock)),
            // Its death is for others to act on, but for this process to notice.
            owner => match peers.fate((owner & 0x1fff) as ParticipantId) {
                Fate::Invalid => Some(Err(Refused::Corrupted)),
                Fate::Alive | Fate::Dead => None,
            },
        }
    }

    /// Announces a sleeper that waits until it is initialised.
    pub fn announce(&self) -> Announced<'a> {
        Announced::at(&self.header.waiting)
    }

    /// The participant that initialises it now, if any; a hint.
    pub fn holder(&self) -> Option<ParticipantId> {
        mutex::holder(&self.header.lock)
    }

    /// Passes on the turn that participant `dead` died with, or wakes those whom it should have woken.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        mutex::recover(&self.header.lock, dead, peers);
        if self.is_completed() {
            eventcount::recover(&self.header.waiting, u32::MAX);
        }
    }
}
