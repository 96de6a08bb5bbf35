//! Several items at once: each is claimed, copied and published by itself, as one that is pushed alone; hint and wake-up are
//! shared.
//!
//! The items of a batch keep their order, and those of other producers may lie between them. A claim of several positions
//! at once would need a word that says how far is claimed: whoever died between that word and the slots would leave
//! positions that nobody can tell from free ones (invariant 2), to save a swap in a line that the item needs anyway. What a
//! batch saves is wake-ups.
//!
//! Invariants, beside those of the queue:
//! 1. Of a batch a prefix is there: an item is claimed when the one before it is published.
//! 2. A batch ends after as many items as the queue has places, so that sleepers wait for their wake-up no longer than it
//!    takes to fill or to drain the queue once, whoever fills or drains it meanwhile.
//! 3. A batch that has something does not wait for more.
//!
//! A death in the middle leaves what the death of a single push or pop leaves, and a hint that lags by up to a batch; those
//! who sleep since before the batch [`recover`](Queue::recover) or the cap on sleeps wakes. A batch that is stopped wakes them
//! late: the cap covers that too.

use super::{Missed, PopFailure, PushFailure, Queue, State, decode, laps_ahead};
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::backoff::Backoff;
use crate::raw::{Owner, Peers};
use crate::sys::nap::{Deadline, Wait};

impl Queue<'_> {
    /// Appends as many of `count` items as there is room for now, in order; `write` writes the nth into the words of its
    /// slot. Returns how many, 0 only of 0.
    #[inline(always)]
    pub fn try_push_many(
        &self,
        me: Owner,
        count: usize,
        peers: &impl Peers,
        mut write: impl FnMut(usize, &[AtomicU64]),
    ) -> Result<usize, PushFailure> {
        let most = self.batch(count);
        if most > 0 && self.is_shut_down() {
            return Err(PushFailure::Closed);
        }
        let (mut done, mut position) = (0, self.header.tail.0.load(Ordering::Acquire));
        let mut patience = self.patience();
        while done < most {
            match self.publish_at(position, me, self.geometry.item_size(), |data| write(done, data)) {
                Ok(()) => {
                    done += 1;
                    position = self.next(position);
                }
                Err(missed) => {
                    patience -= 1;
                    let on = if patience > 0 { self.pass_to_push(missed, peers) } else { Err(PushFailure::Corrupted) };
                    match on {
                        Ok(on) => position = on,
                        Err(failure) if done == 0 => return Err(failure),
                        Err(_) => break, // whoever comes next is told
                    }
                }
            }
        }
        if done > 0 {
            self.header.tail.0.store(position, Ordering::Release);
            self.notify(&self.shared().not_empty);
        }
        Ok(done)
    }

    /// The same, waiting for room for the first one as `wait` says; `backoff` is given the position at which there was
    /// none.
    #[inline(always)]
    pub fn push_many(
        &self,
        me: Owner,
        count: usize,
        peers: &impl Peers,
        wait: Wait,
        backoff: impl FnOnce(u64) -> Backoff,
        mut write: impl FnMut(usize, &[AtomicU64]),
    ) -> Result<usize, PushFailure> {
        match self.try_push_many(me, count, peers, &mut write) {
            Err(PushFailure::Full) if wait.deadline != Deadline::Now => {
                let backoff = backoff(self.tail());
                self.wait_for_room(wait, backoff, || self.try_push_many(me, count, peers, &mut write))
            }
            done => done,
        }
    }

    /// Takes as many messages as there are now, up to `count`: `accept` is given the nth, which lies in `item` (of exactly
    /// the item size) meanwhile. Returns how many, 0 only of 0.
    #[inline(always)]
    pub fn try_pop_many(
        &self,
        count: usize,
        item: &mut [u8],
        peers: &impl Peers,
        mut accept: impl FnMut(usize, &[u8]),
    ) -> Result<usize, PopFailure> {
        let most = self.batch(count);
        let (mut done, mut position) = (0, self.header.head.0.load(Ordering::Acquire));
        let mut patience = self.patience();
        while done < most {
            match self.finish_at(position, item) {
                Ok(()) => {
                    accept(done, item);
                    done += 1;
                    position = self.next(position);
                }
                Err(missed) => {
                    patience -= 1;
                    let on = match patience {
                        0 => Err(PopFailure::Corrupted),
                        _ if done > 0 && !self.is_passed(missed) => break,
                        _ => self.pass_to_pop(missed, peers),
                    };
                    match on {
                        Ok(on) => position = on,
                        Err(failure) if done == 0 => return Err(failure),
                        Err(_) => break,
                    }
                }
            }
        }
        if done > 0 {
            self.header.head.0.store(position, Ordering::Release);
            self.notify(&self.shared().not_full);
        }
        Ok(done)
    }

    /// The same, waiting for the first one as `wait` says; `backoff` is given the position at which there was none.
    #[inline(always)]
    pub fn pop_many(
        &self,
        count: usize,
        item: &mut [u8],
        peers: &impl Peers,
        wait: Wait,
        backoff: impl FnOnce(u64) -> Backoff,
        mut accept: impl FnMut(usize, &[u8]),
    ) -> Result<usize, PopFailure> {
        match self.try_pop_many(count, item, peers, &mut accept) {
            Err(PopFailure::Empty | PopFailure::Busy) if wait.deadline != Deadline::Now => {
                let backoff = backoff(self.head());
                self.wait_for_message(wait, backoff, || self.try_pop_many(count, item, peers, &mut accept))
            }
            done => done,
        }
    }

    /// Where the next message is expected; a hint.
    #[inline]
    pub fn head(&self) -> u64 {
        self.header.head.0.load(Ordering::Relaxed)
    }

    /// Where the next room is expected; a hint.
    #[inline]
    pub fn tail(&self) -> u64 {
        self.header.tail.0.load(Ordering::Relaxed)
    }

    /// Invariant 2.
    #[inline(always)]
    fn batch(&self, count: usize) -> usize {
        (count as u64).min(self.geometry.capacity()) as usize
    }

    /// Whether there may be a message behind what was met instead of one, without a wait. Invariant 3.
    fn is_passed(&self, missed: Missed) -> bool {
        let lap = self.geometry.lap(missed.position);
        match decode(missed.seen) {
            Some(state) => laps_ahead(missed.seen, lap) > 0 || state == State::Full,
            None => false,
        }
    }
}
