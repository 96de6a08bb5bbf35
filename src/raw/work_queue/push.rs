//! To push: claim a place, write the message, and put the place into the ring.

use super::word::{State, Word, later};
use super::{PushFailure, WorkQueue};
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::backoff::Backoff;
use crate::raw::{Fate, Owner, Peers, eventcount, words};
use crate::sys::nap::{Deadline, Wait};

impl WorkQueue<'_> {
    /// Appends `message` if there is room now.
    #[inline]
    pub fn try_push(&self, me: Owner, message: &[u8], peers: &impl Peers) -> Result<(), PushFailure> {
        self.push(me, message, peers, Wait::until(Deadline::Now))
    }

    /// Writes the message to a place that was claimed for it.
    #[inline(always)]
    fn push_to(&self, (place, word): (usize, Word), message: &[u8], peers: &impl Peers) -> Result<(), PushFailure> {
        let (Some((length, to)), Some(at)) = (self.message(place), self.word(place)) else {
            return Err(PushFailure::Corrupted);
        };
        length.store(message.len() as u64, Ordering::Relaxed);
        words::store(to, message);
        match self.enqueue(place, word, peers) {
            Ok(position) => {
                // Release: pairs with the Acquire of who leases it.
                at.store(word.now(State::Ready).pack(), Ordering::Release);
                let tail = &self.header.tail.0;
                tail.position.store(self.next(position), Ordering::Release);
                tail.cursor.store(place as u32 + 1, Ordering::Relaxed); // a hint, and checked
                eventcount::notify(&self.shared().not_empty);
                Ok(())
            }
            Err(failure) => {
                self.abandon(at, word);
                Err(failure)
            }
        }
    }

    /// The place to try first.
    #[inline(always)]
    fn cursor(&self) -> usize {
        let cursor = self.header.tail.0.cursor.load(Ordering::Relaxed) as usize;
        if cursor < self.geometry.places() { cursor } else { 0 }
    }

    /// This very place, if it is free.
    #[inline(always)]
    fn claim_at(&self, place: usize, me: Owner) -> Option<(usize, Word)> {
        let at = self.word(place)?;
        // Acquire, and in the exchange: pairs with the Release of who freed it.
        let seen = at.load(Ordering::Acquire);
        if !Word::is_free(seen) {
            return None;
        }
        let generation = Word::generation_of(seen).wrapping_add(1);
        let word = Word { generation, deliveries: 0, state: State::Writing(me.participant()) };
        at.compare_exchange(seen, word.pack(), Ordering::AcqRel, Ordering::Relaxed).is_ok().then_some((place, word))
    }

    /// Any place that is free.
    #[cold]
    fn claim_any(&self, me: Owner) -> Option<(usize, Word)> {
        let cursor = self.cursor();
        (cursor..self.geometry.places()).chain(0..cursor).find_map(|place| self.claim_at(place, me))
    }

    /// Any place that is free, or whose producer is dead.
    #[cold]
    fn claim_from_dead(&self, me: Owner, peers: &impl Peers) -> Result<(usize, Word), PushFailure> {
        // What the dead have in work does not make room, but what they were writing does.
        self.give_back_of_dead(me.participant(), peers).map_err(|_| PushFailure::Corrupted)?;
        if let Some(claimed) = self.claim_any(me) {
            return Ok(claimed);
        }
        let all_aside = self.all().all(|word| matches!(word.state, State::Aside | State::Inspected(_)));
        Err(if all_aside { PushFailure::DeadLetters } else { PushFailure::Full })
    }

    /// Frees a place whose message nobody knows of. Nobody is told of the room: the ring has none (what makes it there wakes
    /// producers), or is closed. Else a producer that waits for it would wake itself, for ever.
    #[cold]
    fn abandon(&self, at: &AtomicU64, word: Word) {
        at.store(word.free().pack(), Ordering::Release);
        self.finished();
    }

    /// Claims a position of the ring for a place that is being written (invariants 3 and 4).
    #[inline(always)]
    fn enqueue(&self, place: usize, word: Word, peers: &impl Peers) -> Result<u64, PushFailure> {
        let mut position = self.header.tail.0.position.load(Ordering::Acquire);
        for _ in 0..self.patience() {
            let at = self.entry(position).ok_or(PushFailure::Corrupted)?;
            let seen = at.load(Ordering::Acquire);
            if self.entries().laps_ahead(seen, position) == -1 && self.waiting(seen).is_none() {
                let mine = self.entries().entry(position, place as u32, word.generation);
                // Release: whoever meets the entry finds the place claimed. AcqRel: invariant 4 is handed on.
                if at.compare_exchange(seen, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return Ok(position);
                }
                continue;
            }
            position = self.pass_to_enqueue(position, seen, peers)?;
        }
        Err(PushFailure::Corrupted)
    }

    /// The place and word of the message that an entry stands for, while that waits (invariant 3).
    #[inline(always)]
    pub(super) fn waiting(&self, entry: u64) -> Option<(usize, u64, Word)> {
        let place = self.entries().place(entry);
        let seen = self.word(place)?.load(Ordering::Acquire);
        let word = Word::unpack(seen)?;
        let waits = matches!(word.state, State::Ready | State::Writing(_))
            && word.deliveries == 0
            && self.entries().is_of(entry, word.generation)
            && !self.entries().is_end(entry);
        waits.then_some((place, seen, word))
    }

    /// Where a producer goes on from a position that it cannot have: the same one again, or a later one.
    #[cold]
    pub(super) fn pass_to_enqueue(&self, position: u64, seen: u64, peers: &impl Peers) -> Result<u64, PushFailure> {
        let claimed = match self.entries().laps_ahead(seen, position) {
            0 if self.entries().is_end(seen) => return Err(PushFailure::Closed),
            laps @ 0.. => position.wrapping_add(laps.cast_unsigned() << self.geometry.shift()),
            // A message of the lap before waits: between it and us are positions of the dead, which count until the
            // head has passed them.
            -1 => match self.waiting(seen) {
                None => return Ok(position),
                Some((place, seen, Word { state: State::Writing(producer), .. })) => match peers.fate(producer) {
                    Fate::Alive => return Err(PushFailure::Full),
                    Fate::Dead => {
                        self.give_back(place, seen);
                        return Ok(position);
                    }
                    Fate::Invalid => return Err(PushFailure::Corrupted),
                },
                Some(_) => return Err(PushFailure::Full),
            },
            _ => return Err(PushFailure::Corrupted),
        };
        Ok(later(self.next(claimed), self.header.tail.0.position.load(Ordering::Acquire)))
    }

    /// Appends `message`, waiting for room as `wait` says.
    #[inline(always)]
    pub fn push(&self, me: Owner, message: &[u8], peers: &impl Peers, wait: Wait) -> Result<(), PushFailure> {
        if message.len() > self.geometry.longest() {
            return Err(PushFailure::TooLong);
        }
        if self.is_shut_down() {
            return Err(PushFailure::Closed);
        }
        match self.claim_at(self.cursor(), me) {
            Some(claimed) => match self.push_to(claimed, message, peers) {
                // The ring has no position, because of the dead.
                Err(PushFailure::Full) if wait.deadline != Deadline::Now => self.push_slow(me, message, peers, wait),
                done => done,
            },
            None => self.push_slow(me, message, peers, wait),
        }
    }

    #[cold]
    fn push_slow(&self, me: Owner, message: &[u8], peers: &impl Peers, wait: Wait) -> Result<(), PushFailure> {
        if let Some(claimed) = self.claim_any(me) {
            match self.push_to(claimed, message, peers) {
                Err(PushFailure::Full) => {}
                done => return done,
            }
        }
        let mut backoff = Backoff::new();
        while wait.deadline != Deadline::Now && backoff.pause() {
            // Only at the place that is the next to be free if all goes in order.
            if let Some(claimed) = self.claim_at(self.cursor(), me) {
                match self.push_to(claimed, message, peers) {
                    Err(PushFailure::Full) => {}
                    done => return done,
                }
            }
        }
        let attempt = || {
            if self.is_shut_down() {
                return Err(PushFailure::Closed);
            }
            let claimed = match self.claim_any(me) {
                Some(claimed) => claimed,
                None => self.claim_from_dead(me, peers)?,
            };
            self.push_to(claimed, message, peers)
        };
        if wait.deadline == Deadline::Now {
            return attempt();
        }
        eventcount::wait_until(&self.shared().not_full, wait, || match attempt() {
            Err(PushFailure::Full) => None,
            done => Some(done),
        })?
    }
}
