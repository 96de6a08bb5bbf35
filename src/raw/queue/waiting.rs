//! Waiting for room, and for a message: a little awake, then asleep.

use super::laps_ahead;
use super::{Missed, PopFailure, PushFailure, Queue};
use crate::primitive::Ordering;
use crate::raw::backoff::Backoff;
use crate::raw::eventcount::{self, Expired};
use crate::raw::{Owner, Peers};
use crate::sys::nap::{Deadline, Wait};

impl Queue<'_> {
    /// Appends `item`, waiting for room as `wait` says.
    #[inline]
    pub fn push(&self, me: Owner, item: &[u8], peers: &impl Peers, wait: Wait) -> Result<(), PushFailure> {
        self.push_once(me, item).or_else(|missed| self.push_from(missed, me, item, peers, wait, Backoff::new()))
    }

    /// The rest of [`push`](Self::push), after [`push_once`](Self::push_once) has missed.
    #[cold]
    pub fn push_from(
        &self,
        missed: Missed,
        me: Owner,
        item: &[u8],
        peers: &impl Peers,
        wait: Wait,
        backoff: Backoff,
    ) -> Result<(), PushFailure> {
        match self.push_on(missed, me, item, peers) {
            Err(PushFailure::Full) if wait.deadline != Deadline::Now => {
                self.wait_for_room(wait, backoff, || self.try_push(me, item, peers))
            }
            done => done,
        }
    }

    /// Waits for room, which `attempt` looks for.
    #[cold]
    pub(super) fn wait_for_room<R>(
        &self,
        wait: Wait,
        mut backoff: Backoff,
        mut attempt: impl FnMut() -> Result<R, PushFailure>,
    ) -> Result<R, PushFailure> {
        let mut attempt = || match attempt() {
            Err(PushFailure::Full) => None,
            done => Some(done),
        };
        while backoff.pause() {
            // A look before the attempt, whose swap would take the line away from the consumers.
            if !self.seems_full()
                && let Some(done) = attempt()
            {
                return done;
            }
        }
        let shared = self.shared();
        eventcount::wait_until(&shared.not_full, wait, attempt).unwrap_or_else(|expired| {
            Err(match expired {
                Expired::TimedOut => PushFailure::TimedOut,
                Expired::Interrupted => PushFailure::Interrupted,
            })
        })
    }

    fn seems_full(&self) -> bool {
        let position = self.header.tail.0.load(Ordering::Acquire);
        self.slot(position, 0).is_some_and(|slot| {
            // Relaxed: only a reason to spin on. Full, or being written a lap behind: then it is not worth asking by
            // whom.
            laps_ahead(slot.word.load(Ordering::Relaxed), slot.lap) == -1
        })
    }

    /// Takes the first message into `item`, waiting for one as `wait` says.
    #[inline]
    pub fn pop(&self, item: &mut [u8], peers: &impl Peers, wait: Wait) -> Result<(), PopFailure> {
        self.pop_once(item).or_else(|missed| self.pop_from(missed, item, peers, wait, Backoff::new()))
    }

    /// The rest of [`pop`](Self::pop), after [`pop_once`](Self::pop_once) has missed.
    #[cold]
    pub fn pop_from(
        &self,
        missed: Missed,
        item: &mut [u8],
        peers: &impl Peers,
        wait: Wait,
        backoff: Backoff,
    ) -> Result<(), PopFailure> {
        match self.pop_on(missed, item, peers) {
            Err(PopFailure::Empty | PopFailure::Busy) if wait.deadline != Deadline::Now => {
                self.wait_for_message(wait, backoff, || self.try_pop(item, peers))
            }
            done => done,
        }
    }

    /// Waits for a message, which `attempt` looks for.
    #[cold]
    pub(super) fn wait_for_message<R>(
        &self,
        wait: Wait,
        mut backoff: Backoff,
        mut attempt: impl FnMut() -> Result<R, PopFailure>,
    ) -> Result<R, PopFailure> {
        while backoff.pause() {
            match attempt() {
                Err(PopFailure::Empty) => {}
                Err(PopFailure::Busy) => break, // has spun itself, and asked whether the producer lives
                done => return done,
            }
        }
        let attempt = || match attempt() {
            Err(PopFailure::Empty | PopFailure::Busy) => None,
            done => Some(done),
        };
        let shared = self.shared();
        eventcount::wait_until(&shared.not_empty, wait, attempt).unwrap_or_else(|expired| {
            Err(match expired {
                Expired::TimedOut => PopFailure::TimedOut,
                Expired::Interrupted => PopFailure::Interrupted,
            })
        })
    }
}
