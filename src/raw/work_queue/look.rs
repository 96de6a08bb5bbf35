//! What there is, and whether a call would have to wait; nothing is pushed or taken.

use super::word::State;
use super::{PushFailure, TakeFailure, WorkQueue};
use crate::layout::eventcount::EventCount;
use crate::primitive::Ordering;
use crate::raw::Peers;

/// How many messages there are, each seen at some moment of the look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// To be taken, those being written included.
    pub waiting: usize,
    /// Being worked on.
    pub leased: usize,
    /// Set aside.
    pub dead_letters: usize,
}

impl<'a> WorkQueue<'a> {
    /// How many messages there are.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for word in self.all() {
            match word.state {
                State::Free => {}
                State::Writing(_) | State::Ready => count.waiting += 1,
                State::Leased(_) | State::Kept(_) => count.leased += 1,
                State::Aside | State::Inspected(_) => count.dead_letters += 1,
            }
        }
        count
    }

    /// Whether a take would end at once: with a message, at the end, or with an error. What the dead have is given back on
    /// the way, as a take would do it.
    pub fn can_take(&self, peers: &impl Peers) -> bool {
        for _ in 0..2 {
            match self.find(peers) {
                Ok(()) => return true,
                Err(TakeFailure::Empty | TakeFailure::Busy) => {}
                Err(_) => return true,
            }
            // 0: nobody, since what the caller has itself it has, alive.
            match self.give_back_of_dead(0, peers) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => return true,
            }
        }
        false
    }

    /// Gives back what the dead have; whether there was anything.
    pub fn look_for_dead(&self, peers: &impl Peers) -> bool {
        // 0: nobody, since the caller knows that it lives.
        self.give_back_of_dead(0, peers).unwrap_or(false)
    }

    fn find(&self, peers: &impl Peers) -> Result<(), TakeFailure> {
        if self.all().any(|word| word.is_returned()) {
            return Ok(());
        }
        let mut position = self.header.head.0.load(Ordering::Acquire);
        for _ in 0..self.patience() {
            let entry = self.entry(position).ok_or(TakeFailure::Corrupted)?.load(Ordering::Acquire);
            if self.entries().laps_ahead(entry, position) == 0
                && self.waiting(entry).is_some_and(|(.., word)| word.state == State::Ready)
            {
                return Ok(());
            }
            position = self.pass_to_take(position, peers)?;
        }
        Err(TakeFailure::Corrupted)
    }

    /// Whether a push would end at once.
    pub fn can_push(&self, peers: &impl Peers) -> bool {
        for _ in 0..2 {
            let mut all_aside = true;
            for word in self.all() {
                if word.state == State::Free {
                    return self.ring_has_room(peers);
                }
                all_aside &= matches!(word.state, State::Aside | State::Inspected(_));
            }
            if all_aside || self.is_shut_down() {
                return true;
            }
            match self.give_back_of_dead(0, peers) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => return true,
            }
        }
        false
    }

    /// Whether the ring has a position; or an end, which a push would tell of. What the dead were writing is freed on the way.
    fn ring_has_room(&self, peers: &impl Peers) -> bool {
        let mut position = self.header.tail.0.position.load(Ordering::Acquire);
        for _ in 0..self.patience() {
            let Some(entry) = self.entry(position) else { return true };
            let seen = entry.load(Ordering::Acquire);
            if self.entries().laps_ahead(seen, position) == -1 && self.waiting(seen).is_none() {
                return true;
            }
            match self.pass_to_enqueue(position, seen, peers) {
                Ok(next) => position = next,
                Err(failure) => return failure != PushFailure::Full,
            }
        }
        true
    }

    /// Where those sleep who want to take.
    pub fn not_empty(&self) -> &'a EventCount {
        &self.shared().not_empty
    }

    /// Where those sleep who want to push.
    pub fn not_full(&self) -> &'a EventCount {
        &self.shared().not_full
    }

    /// Where those sleep who wait for the end of all work.
    pub fn all_done(&self) -> &'a EventCount {
        &self.shared().all_done
    }
}
