//! With a lease: the message, and the ways to end it.

use super::WorkQueue;
use super::word::{State, Word};
use crate::primitive::{Ordering, fence};
use crate::raw::{Owner, ParticipantId, eventcount, words};

/// Why a lease was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseFailure {
    /// The message is not leased, or not by this lease: it was finished or given back before.
    NotLeased,
    /// The message is longer than the buffer.
    TooShort {
        /// Its length.
        needed: usize,
    },
    /// The queue holds something that no participant writes.
    Corrupted,
}

/// A message that a participant works on: where it is, and the exact word under which it is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its place.
    pub place: u32,
    /// The word.
    pub word: u64,
}

impl Lease {
    /// How often the message was delivered, this time included.
    #[must_use]
    pub fn deliveries(self) -> u32 {
        Word::unpack(self.word).map_or(0, |word| word.deliveries.into())
    }

    /// Its word, if it is one of a lease.
    #[inline(always)]
    fn holds(self) -> Option<Word> {
        Word::unpack(self.word).filter(|word| matches!(word.state, State::Leased(_) | State::Inspected(_)))
    }

    /// A number that is another at the next message, and at the next in this place.
    #[must_use]
    #[inline(always)]
    pub fn turn(self) -> u32 {
        self.place.wrapping_add(Word::generation_of(self.word))
    }

    /// Whose it is.
    #[must_use]
    pub fn participant(self) -> ParticipantId {
        Word::owner_of(self.word)
    }
}

impl WorkQueue<'_> {
    /// The length of a leased message.
    #[inline(always)]
    pub fn length(&self, lease: Lease) -> Result<usize, LeaseFailure> {
        let (length, _) = self.message(lease.place as usize).ok_or(LeaseFailure::NotLeased)?;
        let length = length.load(Ordering::Relaxed);
        self.check(lease)?;
        if length > self.geometry.longest() as u64 { Err(LeaseFailure::Corrupted) } else { Ok(length as usize) }
    }

    /// Copies a leased message into the first bytes of `buffer`; its length.
    #[inline]
    pub fn read(&self, lease: Lease, buffer: &mut [u8]) -> Result<usize, LeaseFailure> {
        let length = self.length(lease)?;
        let (_, from) = self.message(lease.place as usize).ok_or(LeaseFailure::NotLeased)?;
        let buffer = buffer.get_mut(..length).ok_or(LeaseFailure::TooShort { needed: length })?;
        words::load(buffer, from);
        self.check(lease)?;
        Ok(length)
    }

    /// Copies a leased message of exactly this length: where that is a constant, without a loop. For one who knows that the
    /// lease is one, and that nobody else ends it: it is not looked at again.
    #[inline(always)]
    pub fn read_exactly(&self, lease: Lease, message: &mut [u8]) -> Result<(), LeaseFailure> {
        let (length, from) = self.message(lease.place as usize).ok_or(LeaseFailure::NotLeased)?;
        let needed = length.load(Ordering::Relaxed);
        if needed == message.len() as u64 && message.len() <= self.geometry.longest() {
            words::load(message, from);
            return Ok(());
        }
        self.length(lease).and_then(|needed| Err(LeaseFailure::TooShort { needed }))
    }

    /// Whether the lease is one. What was read before is the message then.
    #[inline(always)]
    fn check(&self, lease: Lease) -> Result<(), LeaseFailure> {
        // The reads before it stay before it: nobody but its holder ends a lease while that lives.
        fence(Ordering::Acquire);
        let word = self.word(lease.place as usize).ok_or(LeaseFailure::NotLeased)?;
        if word.load(Ordering::Relaxed) == lease.word { Ok(()) } else { Err(LeaseFailure::NotLeased) }
    }

    /// The work is done: the message is gone, and its place free.
    pub fn done(&self, lease: Lease) -> Result<(), LeaseFailure> {
        let place = self.word(lease.place as usize).ok_or(LeaseFailure::NotLeased)?;
        let free = Word::freed(lease.word);
        // Release: what was read of the message was read before somebody writes over it.
        if !Word::is_of_lease(lease.word)
            || place.compare_exchange(lease.word, free, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return Err(LeaseFailure::NotLeased);
        }
        self.freed();
        Ok(())
    }

    /// The same for one who knows that nobody else ends this lease: then nobody else changes the word while the caller
    /// lives, and a store is enough.
    #[inline(always)]
    pub fn done_alone(&self, lease: Lease) -> Result<(), LeaseFailure> {
        let place = self.word(lease.place as usize).ok_or(LeaseFailure::NotLeased)?;
        // Relaxed: our own word.
        if place.load(Ordering::Relaxed) != lease.word || !Word::is_of_lease(lease.word) {
            return Err(LeaseFailure::NotLeased);
        }
        place.store(Word::freed(lease.word), Ordering::Release); // as in `done`
        self.freed();
        Ok(())
    }

    /// The lease is none any more, and the work is done when somebody of its participant calls
    /// [`done_any`](Self::done_any).
    pub fn keep(&self, lease: Lease) -> Result<(), LeaseFailure> {
        let place = self.word(lease.place as usize).ok_or(LeaseFailure::NotLeased)?;
        let word = lease.holds().ok_or(LeaseFailure::NotLeased)?;
        let State::Leased(me) = word.state else { return Err(LeaseFailure::NotLeased) };
        let kept = word.now(State::Kept(me)).pack();
        // AcqRel: as a lease, and as the end of one.
        let exchanged = place.compare_exchange(lease.word, kept, Ordering::AcqRel, Ordering::Relaxed);
        exchanged.map(drop).map_err(|_| LeaseFailure::NotLeased)
    }

    /// Finishes one of the messages that the caller's participant keeps, looking from place `from` on first; its place.
    pub fn done_any(&self, me: Owner, from: u32) -> Result<u32, LeaseFailure> {
        let places = self.geometry.places();
        for nth in 0..places {
            let place = (from as usize % places + nth) % places;
            let at = self.word(place).ok_or(LeaseFailure::Corrupted)?;
            let seen = at.load(Ordering::Acquire);
            let Some(word) = Word::unpack(seen).filter(|word| word.state == State::Kept(me.participant())) else {
                continue;
            };
            // Release: as in `done`. Lost: another thread has finished it.
            if at.compare_exchange(seen, word.free().pack(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                self.freed();
                return Ok(place as u32);
            }
        }
        Err(LeaseFailure::NotLeased)
    }

    /// The work is not done: the message goes back, or is set aside if it was delivered often enough.
    pub fn fail(&self, lease: Lease) -> Result<(), LeaseFailure> {
        if lease.holds().is_some() && self.give_back(lease.place as usize, lease.word) {
            Ok(())
        } else {
            Err(LeaseFailure::NotLeased)
        }
    }

    /// After a place was freed, or its message set aside.
    #[inline(always)]
    pub(super) fn freed(&self) {
        eventcount::notify(&self.shared().not_full);
        self.finished();
    }

    /// After a message that counted as unfinished does so no more.
    #[inline(always)]
    pub(super) fn finished(&self) {
        let shared = self.shared();
        // Relaxed: whoever waits for the end looks after it has announced itself.
        if eventcount::is_awaited(&shared.all_done) || shared.closing.load(Ordering::Relaxed) != 0 {
            self.perhaps_the_last();
        }
    }

    /// Tells those who wait for the end of all work, unless somebody else will.
    #[cold]
    fn perhaps_the_last(&self) {
        // Of two who finish at once, at least one sees that the other has.
        fence(Ordering::SeqCst);
        if self.all().all(|word| word.state.is_finished()) {
            eventcount::notify(&self.shared().all_done);
            eventcount::notify(&self.shared().not_empty);
        }
    }
}
