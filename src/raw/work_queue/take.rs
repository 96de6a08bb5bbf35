//! To take: what came back first, else the first in the ring that waits.

use super::lease::Lease;
use super::word::{State, Word, later};
use super::{Missed, TakeFailure, WRITER_LOOKS, WorkQueue};
use crate::primitive::{Ordering, SPIN, spin_loop};
use crate::raw::backoff::Backoff;
use crate::raw::{Fate, Owner, ParticipantId, Peers, eventcount};
use crate::sys::nap::{Deadline, Wait};

impl WorkQueue<'_> {
    /// Leases the message that the hint leads to. A miss is for [`take_from`](Self::take_from).
    #[inline(always)]
    pub fn take_once(&self, me: Owner) -> Result<Lease, Missed> {
        let position = self.header.head.0.load(Ordering::Acquire);
        // Relaxed: whoever saw it set looks again with Acquire. What came back goes first.
        if self.shared().returned.load(Ordering::Relaxed) != 0 {
            return Err(Missed(position));
        }
        self.take_at(position, me)
    }

    /// Leases the message of this very position.
    #[inline(always)]
    fn take_at(&self, position: u64, me: Owner) -> Result<Lease, Missed> {
        let (entries, missed) = (self.entries(), Missed(position));
        let entry = self.entry(position).ok_or(missed)?.load(Ordering::Acquire);
        let place = entries.place(entry);
        let at = self.word(place).ok_or(missed)?;
        let seen = at.load(Ordering::Acquire);
        // As `waiting`, for a message that is ready.
        if entry != entries.entry(position, place as u32, Word::generation_of(seen)) || !Word::is_fresh(seen) {
            return Err(missed);
        }
        let word = Word::lease_of_fresh(seen, me.participant());
        // As in `lease`.
        if at.compare_exchange(seen, word, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Err(missed);
        }
        self.header.head.0.store(self.next(position), Ordering::Release);
        Ok(Lease { place: place as u32, word })
    }

    /// Takes a message that is ready, or a dead letter.
    #[inline(always)]
    pub(super) fn lease(&self, place: usize, seen: u64, leased: Word) -> Option<Lease> {
        let word = leased.pack();
        // Acquire: pairs with the Release of who published it. Release: what is passed over on the way is handed on.
        self.word(place)?.compare_exchange(seen, word, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(Lease { place: place as u32, word })
    }

    /// Goes on with a take that missed, without waiting and without looking through all places.
    fn take_on(&self, Missed(mut position): Missed, me: Owner, peers: &impl Peers) -> Result<Lease, TakeFailure> {
        for _ in 0..self.patience() {
            if let Some(lease) = self.take_returned(me) {
                return Ok(lease);
            }
            position = self.pass_to_take(position, peers)?;
            if let Ok(lease) = self.take_at(position, me) {
                return Ok(lease);
            }
        }
        Err(TakeFailure::Corrupted)
    }

    /// Where a consumer goes on: the same position again, or a later one.
    pub(super) fn pass_to_take(&self, position: u64, peers: &impl Peers) -> Result<u64, TakeFailure> {
        let at = self.entry(position).ok_or(TakeFailure::Corrupted)?;
        let seen = at.load(Ordering::Acquire);
        match self.entries().laps_ahead(seen, position) {
            -1 => {
                self.leave_hint(position);
                if !self.is_shut_down() {
                    return Err(TakeFailure::Empty);
                }
                // Invariant 6. Lost: a producer was faster. AcqRel: as a claim.
                let _ = at.compare_exchange(seen, self.entries().end(position), Ordering::AcqRel, Ordering::Relaxed);
                Ok(position)
            }
            0 if self.entries().is_end(seen) => Err(self.at_the_end()),
            0 => match self.waiting(seen) {
                None => Ok(self.behind(position)),
                Some((place, seen, Word { state: State::Writing(producer), .. })) => {
                    self.await_writer(place, seen, producer, peers).map(|()| position)
                }
                Some(_) => Ok(position),
            },
            // Invariant 4.
            laps @ 1.. => Ok(self.behind(position.wrapping_add((laps - 1).cast_unsigned() << self.geometry.shift()))),
            _ => Err(TakeFailure::Corrupted),
        }
    }

    /// What comes behind a position that is finished, or a later one.
    fn behind(&self, finished: u64) -> u64 {
        later(self.next(finished), self.header.head.0.load(Ordering::Acquire))
    }

    /// Leaves a hint where a walk ended, so that the next call does not walk again; without dirtying the line for nothing.
    fn leave_hint(&self, position: u64) {
        // Relaxed: only compared.
        if self.header.head.0.load(Ordering::Relaxed) != position {
            self.header.head.0.store(position, Ordering::Release);
        }
    }

    /// The ring is closed, and everything in it was passed: what to tell (invariant 6).
    fn at_the_end(&self) -> TakeFailure {
        if self.all().all(|word| word.state.is_finished()) { TakeFailure::Closed } else { TakeFailure::Empty }
    }

    /// Gives a producer the time of a copy, then frees its place if it is dead. Ok: look again.
    fn await_writer(
        &self,
        place: usize,
        seen: u64,
        producer: ParticipantId,
        peers: &impl Peers,
    ) -> Result<(), TakeFailure> {
        let word = self.word(place).ok_or(TakeFailure::Corrupted)?;
        let mut looks = if SPIN { WRITER_LOOKS } else { 0 };
        while looks > 0 {
            looks -= 1;
            // Relaxed: a change is looked at again with Acquire.
            if word.load(Ordering::Relaxed) != seen {
                return Ok(());
            }
            spin_loop();
        }
        match peers.fate(producer) {
            Fate::Alive => Err(TakeFailure::Busy),
            Fate::Dead => {
                self.give_back(place, seen);
                Ok(())
            }
            Fate::Invalid => Err(TakeFailure::Corrupted),
        }
    }

    /// Leases a message that came back, if `returned` says that there is one (invariant 5).
    fn take_returned(&self, me: Owner) -> Option<Lease> {
        let returned = &self.shared().returned;
        if returned.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // AcqRel: pairs with the Release in `give_back`. If somebody sets it from now on, it stays.
        let from = returned.swap(0, Ordering::AcqRel).checked_sub(1)? as usize;
        let places = self.geometry.places();
        for nth in 0..places {
            let place = (from % places + nth) % places;
            let seen = self.word(place)?.load(Ordering::Acquire);
            let Some(word) = Word::unpack(seen).filter(|word| word.is_returned()) else { continue };
            if let Some(lease) = self.lease(place, seen, word.leased(me.participant())) {
                // There may be more behind it.
                returned.store((place as u32 + 1) % places as u32 + 1, Ordering::Release);
                return Some(lease);
            }
        }
        None
    }

    /// Leases the first message that is to be had now.
    #[inline]
    pub fn try_take(&self, me: Owner, peers: &impl Peers) -> Result<Lease, TakeFailure> {
        self.take_once(me).or_else(|missed| self.take_anywhere(missed, me, peers))
    }

    /// Leases the first message, waiting for one as `wait` says.
    #[inline]
    pub fn take(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Lease, TakeFailure> {
        self.take_once(me).or_else(|missed| self.take_from(missed, me, peers, wait))
    }

    /// The rest of [`take`](Self::take), after [`take_once`](Self::take_once) has missed.
    #[cold]
    pub fn take_from(&self, missed: Missed, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Lease, TakeFailure> {
        if wait.deadline == Deadline::Now {
            return self.take_anywhere(missed, me, peers);
        }
        let mut missed = Some(missed);
        let mut backoff = Backoff::new();
        loop {
            match self.take_on(missed.take().unwrap_or_else(|| self.at_head()), me, peers) {
                Err(TakeFailure::Empty) => {}
                Err(TakeFailure::Busy) => break, // has spun itself
                done => return done,
            }
            if !backoff.pause() {
                break;
            }
        }
        let attempt = || match self.take_anywhere(self.at_head(), me, peers) {
            Err(TakeFailure::Empty | TakeFailure::Busy) => None,
            done => Some(done),
        };
        eventcount::wait_until(&self.shared().not_empty, wait, attempt)?
    }

    fn at_head(&self) -> Missed {
        Missed(self.header.head.0.load(Ordering::Acquire))
    }

    /// Goes on with a take that missed, and looks through all places before it says that there is nothing: for what the
    /// dead have, and for what came back without anybody having been told.
    #[cold]
    fn take_anywhere(&self, missed: Missed, me: Owner, peers: &impl Peers) -> Result<Lease, TakeFailure> {
        let nothing = match self.take_on(missed, me, peers) {
            Err(nothing @ (TakeFailure::Empty | TakeFailure::Busy)) => nothing,
            done => return done,
        };
        if !self.give_back_of_dead(me.participant(), peers)? {
            return Err(nothing);
        }
        self.take_on(self.at_head(), me, peers)
    }
}
