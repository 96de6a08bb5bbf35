//! Through all places: what the dead have, and whether anything is unfinished.

use super::word::{State, Word};
use super::{Lease, TakeFailure, WorkQueue};
use crate::primitive::Ordering;
use crate::raw::eventcount;
use crate::raw::{Fate, Owner, ParticipantId, Peers};
use crate::sys::nap::{Deadline, Wait};

/// The participants that were found alive a moment ago: asking costs a system call.
struct Living {
    known: [ParticipantId; 8],
    next: usize,
}

impl Living {
    fn new(me: ParticipantId) -> Self {
        Self { known: [me, 0, 0, 0, 0, 0, 0, 0], next: 1 }
    }

    fn fate(&mut self, participant: ParticipantId, peers: &impl Peers) -> Fate {
        if self.known.contains(&participant) {
            return Fate::Alive;
        }
        let fate = peers.fate(participant);
        if fate == Fate::Alive {
            self.known[self.next % self.known.len()] = participant;
            self.next += 1;
        }
        fate
    }
}

impl WorkQueue<'_> {
    /// What the words say; a word that says nothing counts as leased by nobody, which is unfinished.
    pub(super) fn all(&self) -> impl Iterator<Item = Word> {
        let none = Word { generation: 0, deliveries: 0, state: State::Leased(0) };
        (0..self.geometry.places()).map(move |place| {
            let word = self.word(place).map_or(0, |word| word.load(Ordering::Acquire));
            Word::unpack(word).unwrap_or(none)
        })
    }

    /// Takes a place, seen as the exact word `seen`, from its owner, who is dead or gives it up. Whether this call did it.
    pub(super) fn give_back(&self, place: usize, seen: u64) -> bool {
        let Some(word) = Word::unpack(seen).and_then(|word| word.given_up(self.limit())) else { return false };
        let Some(at) = self.word(place) else { return false };
        // AcqRel: as a lease, and as the end of one.
        if at.compare_exchange(seen, word.pack(), Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        match word.state {
            State::Ready => self.tell_of_returned(place),
            // A consumer may have waited for this producer.
            State::Free => eventcount::notify(&self.shared().not_empty),
            _ => {}
        }
        if word.state.is_finished() {
            self.freed();
        }
        true
    }

    /// A message came back: invariant 5.
    fn tell_of_returned(&self, place: usize) {
        // Release: pairs with the exchange in `take_returned`.
        self.shared().returned.store(place as u32 + 1, Ordering::Release);
        eventcount::notify(&self.shared().not_empty);
    }

    /// Looks through all places for what the dead have, and gives it back. Whether there is anything that somebody may
    /// not know of: something given back, now or before.
    pub(super) fn give_back_of_dead(&self, me: ParticipantId, peers: &impl Peers) -> Result<bool, TakeFailure> {
        let mut living = Living::new(me);
        let mut news = false;
        for place in 0..self.geometry.places() {
            let Some(at) = self.word(place) else { break };
            let seen = at.load(Ordering::Acquire);
            let word = Word::unpack(seen).ok_or(TakeFailure::Corrupted)?;
            if word.is_returned() {
                news = true;
                // Relaxed: if it is being changed, then by somebody who knows of a message.
                if self.shared().returned.load(Ordering::Relaxed) == 0 {
                    self.shared().returned.store(place as u32 + 1, Ordering::Release);
                }
            }
            let Some(owner) = word.state.owner() else { continue };
            match living.fate(owner, peers) {
                Fate::Alive => {}
                Fate::Dead => news |= self.give_back(place, seen),
                Fate::Invalid => return Err(TakeFailure::Corrupted),
            }
        }
        Ok(news)
    }

    /// Gives back what participant `dead` had, and wakes whom it may have left asleep. The number of places that this call
    /// freed or gave back.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) -> u64 {
        let (mut changed, mut returned) = (0, None);
        for place in 0..self.geometry.places() {
            let Some(at) = self.word(place) else { break };
            let seen = at.load(Ordering::Acquire);
            let Some(word) = Word::unpack(seen) else { continue };
            if word.is_returned() {
                returned = Some(place);
            }
            // Asked after the load: the number may have a living successor by now.
            if word.state.owner() == Some(dead) && peers.fate(dead) == Fate::Dead {
                changed += u64::from(self.give_back(place, seen));
            }
        }
        // The dead may have been the one who was to tell (invariant 5).
        if let Some(place) = returned {
            self.tell_of_returned(place);
        }
        let shared = self.shared();
        for event in [&shared.not_empty, &shared.not_full, &shared.all_done] {
            eventcount::recover(event, u32::MAX);
        }
        changed
    }

    /// Gives back all that a participant has, which calls nothing of this queue any more.
    pub fn give_back_all(&self, of: ParticipantId) {
        for place in 0..self.geometry.places() {
            let seen = self.word(place).map_or(0, |word| word.load(Ordering::Acquire));
            if Word::unpack(seen).is_some_and(|word| word.state.owner() == Some(of)) {
                self.give_back(place, seen);
            }
        }
    }

    /// Whether nothing was unfinished at some moment of this call (invariant 7). `false` also if it could not be seen.
    pub fn is_all_done(&self) -> bool {
        let look = || {
            self.all()
                .try_fold(0_u64, |sum, word| word.state.is_finished().then(|| sum.wrapping_add(word.generation.into())))
        };
        // Acquire loads: the second look comes after the first.
        look().is_some_and(|first| look() == Some(first))
    }

    /// Waits until nothing is unfinished at some moment, as `wait` says.
    pub fn join(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), TakeFailure> {
        let attempt = || {
            if self.is_all_done() {
                return Some(Ok(()));
            }
            match self.give_back_of_dead(me.participant(), peers) {
                Err(failure) => Some(Err(failure)),
                // What a dead producer had is no more.
                Ok(true) if self.is_all_done() => Some(Ok(())),
                Ok(_) => None,
            }
        };
        if wait.deadline == Deadline::Now {
            return attempt().unwrap_or(Err(TakeFailure::Empty));
        }
        eventcount::wait_until(&self.shared().all_done, wait, attempt)?
    }

    /// Leases a dead letter, if there is one.
    pub fn take_dead(&self, me: Owner, peers: &impl Peers) -> Result<Lease, TakeFailure> {
        for _ in 0..2 {
            for place in 0..self.geometry.places() {
                let seen = self.word(place).map_or(0, |word| word.load(Ordering::Acquire));
                let word = Word::unpack(seen).ok_or(TakeFailure::Corrupted)?;
                if word.state == State::Aside
                    && let Some(lease) = self.lease(place, seen, word.now(State::Inspected(me.participant())))
                {
                    return Ok(lease);
                }
            }
            if !self.give_back_of_dead(me.participant(), peers)? {
                break;
            }
        }
        Err(TakeFailure::Empty)
    }
}
