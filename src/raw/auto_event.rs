//! The event that resets itself: each set lets one through.
//!
//! ```text
//! lock | turn: u32, a futex | word: kept, an event cleared by hand | granted: u32 | record[participant]
//! record: u64 = life of the participant : 32 | its waiting threads : 32
//! ```
//!
//! | kept | granted | state |
//! |---|---|---|
//! | 0 | 0 | clear |
//! | 1 | - | set while nobody waited: the next to come goes through |
//! | - | n | n of those who wait may go, and have not gone yet |
//!
//! Why not one word with a flag: while the first of two waiters is on its way, a second set would find the flag up and be
//! lost beside a waiter; and a clear would take away what a waiter was woken for. So it is counted who waits, by
//! participant, since the dead do not.
//!
//! Invariants:
//! 1. Everything changes under the lock but `turn`, the record of one who gives up while the lock cannot be had, and what says
//!    in `word` that somebody sleeps there: who waits for the event among others, and takes nothing, until a signal is kept, or
//!    more may go than live and wait (4). Whatever may bring that about changes `word` and wakes them.
//! 2. Who waits is counted in its record from before it leaves the lock until it takes a signal or gives up.
//! 3. A set grants a signal if more wait than may go already, else it keeps one. Who waits takes any granted signal;
//!    who comes takes only what is kept.
//! 4. A record whose life is not that of its participant, or whose participant is dead, counts nobody. Where more may go
//!    than wait, the rest is kept, as one: whoever comes, clears or asks sees to it first. So the dead pass on what they
//!    did not take, and those who wait need not ask who is dead.
//! 5. A sleeper has read `turn` under the lock, with nothing granted, or before it asked who is dead and found as many alive
//!    as may go. Whatever grants a signal, or may have left one that another was woken for, changes `turn` before it wakes.
//!
//! A death leaves behind: a lock to take over, with nothing to repair, since each step leaves one of these states; as a
//! waiter a record to pass over (4), and what it was woken for granted: one that was counted out had taken its signal,
//! which is used; as a setter before its wake, sleepers beside a granted signal. The caps of naps end that, or
//! [`recover`](Auto::recover).
//!
//! Orderings: those of the lock; `turn`'s are said where they matter.

use super::backoff::Backoff;
use super::event::{Manual, Refused};
use super::mutex;
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::event::{EventHeader, Record};
use crate::primitive::Ordering;
use crate::sys::futex;
use crate::sys::nap::{Deadline, Nap, Slept, TRY_FOR, Wait};

/// An event that lets one through each time it is set.
#[derive(Clone, Copy, Debug)]
pub struct Auto<'a> {
    header: &'a EventHeader,
    records: &'a [Record],
}

impl<'a> Auto<'a> {
    /// The parts of an event: its header, and a record for each participant.
    pub fn new(header: &'a EventHeader, records: &'a [Record]) -> Self {
        Self { header, records }
    }

    /// Waits for a signal and takes it; `false` if none came in time.
    pub fn wait(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<bool, Refused> {
        let place = usize::from(me.participant()).checked_sub(1);
        let record = place.and_then(|place| self.records.get(place)).ok_or(Refused::Corrupted)?;
        if !self.enter(me, peers, wait)? {
            return Ok(false);
        }
        let turn = &self.header.turn;
        // Before we ask who is dead: a death from here on changes it. Acquire: pairs with `recover`.
        let mut seen = turn.load(Ordering::Acquire);
        let kept = self.settle(peers);
        if kept || wait.deadline == Deadline::Now {
            self.keep(false);
            self.leave(me);
            return Ok(kept);
        }
        let life = u64::from(peers.life(me.participant())) << 32;
        change(record, |seen| if seen >> 32 == life >> 32 { seen.wrapping_add(1) } else { life + 1 });
        self.leave(me);
        let (mut nap, mut backoff) = (Nap::new(), Backoff::new());
        loop {
            let slept = loop {
                if turn.load(Ordering::Relaxed) != seen {
                    break Slept::Recheck;
                }
                if !backoff.pause() {
                    break nap.sleep(turn, seen, wait);
                }
            };
            let (slept, entered) = self.enter_again(me, peers, wait, slept);
            if entered != Ok(true) {
                self.give_up(record);
                return if slept == Slept::Interrupted { entered.and(Err(Refused::Interrupted)) } else { entered };
            }
            let up = slept != Slept::Recheck;
            let granted = self.header.granted.load(Ordering::Relaxed);
            let taken = granted > 0 || self.is_kept();
            if granted > 0 {
                self.header.granted.store(granted - 1, Ordering::Relaxed);
            } else if taken {
                self.keep(false);
            }
            if taken || up {
                count_out(record);
                self.leave(me);
                return if !taken && slept == Slept::Interrupted { Err(Refused::Interrupted) } else { Ok(taken) };
            }
            seen = turn.load(Ordering::Relaxed);
            self.leave(me);
        }
    }

    /// Lets one through: of those who wait, or else the next to come. Waits for nobody but one who is in the middle of an
    /// operation.
    pub fn set(&self, me: Owner, peers: &impl Peers) -> Result<(), Refused> {
        self.enter(me, peers, Wait::until(Deadline::Forever))?;
        let waiting = self.records.iter().map(|record| u64::from(record.load(Ordering::Relaxed) as u32)).sum::<u64>();
        let granted = self.header.granted.load(Ordering::Relaxed);
        let grants = waiting > granted.into(); // invariant 3
        if grants {
            self.header.granted.store(granted.saturating_add(1), Ordering::Relaxed);
            self.header.turn.fetch_add(1, Ordering::Relaxed);
            // Those who wait may all be dead.
            self.kept().rouse();
        } else {
            self.keep(true);
        }
        self.leave(me);
        if grants {
            futex::wake(&self.header.turn, 1);
        }
        Ok(())
    }

    /// Takes back what is kept for the next to come. What was given to those who wait stays given.
    pub fn clear(&self, me: Owner, peers: &impl Peers) -> Result<(), Refused> {
        self.enter(me, peers, Wait::until(Deadline::Forever))?;
        self.settle(peers);
        self.keep(false);
        self.leave(me);
        Ok(())
    }

    /// Whether a signal is kept for the next to come.
    pub fn is_set(&self, me: Owner, peers: &impl Peers) -> Result<bool, Refused> {
        self.enter(me, peers, Wait::until(Deadline::Forever))?;
        let kept = self.settle(peers);
        self.leave(me);
        Ok(kept)
    }

    /// What to do for a dead participant: what it did not take is anybody's, who may sleep.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        mutex::recover(&self.header.lock, dead, peers);
        // Whoever found the dead alive a moment ago and is about to sleep must not (invariant 5). Release: who sees the change
        // asks after the death; a set's change in between keeps that up.
        self.header.turn.fetch_add(1, Ordering::Release);
        futex::wake(&self.header.turn, u32::MAX);
        // What the dead did not take will be kept.
        self.kept().rouse();
    }

    /// Whether a signal is kept.
    pub(super) fn kept(&self) -> Manual<'a> {
        Manual::new(&self.header.word)
    }

    fn is_kept(&self) -> bool {
        self.kept().is_set()
    }

    fn keep(&self, kept: bool) {
        if kept {
            self.kept().set();
        } else if self.is_kept() {
            self.kept().clear();
        }
    }

    /// Whether a try would find a signal: one is kept, or will be, since the dead did not take it. A hint, since it looks
    /// without the lock.
    pub fn is_ready(&self, peers: &impl Peers) -> bool {
        if self.is_kept() {
            return true;
        }
        let granted = u64::from(self.header.granted.load(Ordering::Relaxed));
        let live = |(record, participant): (&Record, ParticipantId)| {
            let seen = record.load(Ordering::Relaxed);
            if counts(seen, participant, peers) { u64::from(seen as u32) } else { 0 }
        };
        granted > 0 && self.records.iter().zip(1..).map(live).sum::<u64>() < granted
    }

    /// Invariant 4. Whether a signal is kept then.
    fn settle(&self, peers: &impl Peers) -> bool {
        let granted = self.header.granted.load(Ordering::Relaxed);
        if granted == 0 {
            return self.is_kept();
        }
        let mut waiting = 0_u64;
        for (record, participant) in self.records.iter().zip(1..) {
            let seen = record.load(Ordering::Relaxed);
            if seen as u32 == 0 {
                continue;
            }
            if counts(seen, participant, peers) {
                waiting += u64::from(seen as u32);
            } else {
                let _ = record.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        if waiting < granted.into() {
            // In this order, also for the compiler: killed in between, it is done once more.
            self.keep(true);
            self.header.granted.store(waiting as u32, Ordering::Release);
        }
        self.is_kept()
    }

    /// Takes the lock; `false` if it could not be had in time.
    fn enter(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<bool, Refused> {
        let lock = &self.header.lock;
        if mutex::lock_fast(lock, me) {
            return Ok(true);
        }
        // It is held for a moment only: a try that gave up at once would find nothing where there is something.
        let deadline = if wait.deadline == Deadline::Now { Deadline::after(TRY_FOR) } else { wait.deadline };
        match mutex::lock(lock, me, peers, Wait { deadline, ..wait }) {
            Ok(mutex::Acquired::Clean) => Ok(true),
            Ok(mutex::Acquired::OwnerDied) => {
                let _ = mutex::make_consistent(lock, me);
                Ok(true)
            }
            Err(mutex::Refused::WouldBlock | mutex::Refused::TimedOut) => Ok(false),
            Err(mutex::Refused::Interrupted) => Err(Refused::Interrupted),
            // Nobody returns holding it, and nobody gives it up: such a word was not written by this code.
            Err(_) => Err(Refused::Corrupted),
        }
    }

    /// Takes the lock for one who was asleep, and says why its wait is over, if it is. A signal that is there is taken also
    /// if the time is up, or somebody interrupts: it may have been given to us.
    fn enter_again(
        &self,
        me: Owner,
        peers: &impl Peers,
        wait: Wait,
        mut slept: Slept,
    ) -> (Slept, Result<bool, Refused>) {
        if slept == Slept::Recheck {
            match self.enter(me, peers, wait) {
                Ok(false) => slept = Slept::TimedOut,
                Err(Refused::Interrupted) => slept = Slept::Interrupted,
                entered => return (slept, entered),
            }
        }
        (slept, self.enter(me, peers, Wait::until(Deadline::after(TRY_FOR))))
    }

    fn leave(&self, me: Owner) {
        // If somebody forged the word and it is no longer ours, what we did is done all the same.
        let _ = mutex::unlock(&self.header.lock, me);
    }

    /// Ends a wait without the lock, which somebody has for too long. What it may have been woken for is another's.
    #[cold]
    fn give_up(&self, record: &Record) {
        count_out(record);
        self.header.turn.fetch_add(1, Ordering::Relaxed);
        futex::wake(&self.header.turn, 1);
        self.kept().rouse();
    }
}

/// Whether somebody who lives waits there (invariant 4).
fn counts(seen: u64, participant: ParticipantId, peers: &impl Peers) -> bool {
    seen as u32 != 0 && seen >> 32 == peers.life(participant).into() && peers.fate(participant) != Fate::Dead
}

/// Changes a record by read-modify-write: one who gives up does so without the lock.
fn change(record: &Record, new: impl Fn(u64) -> u64) {
    let mut seen = record.load(Ordering::Relaxed);
    while let Err(now) = record.compare_exchange(seen, new(seen), Ordering::Relaxed, Ordering::Relaxed) {
        seen = now;
    }
}

/// One of this participant's threads waits no more. (A count of 0 was forged.)
fn count_out(record: &Record) {
    change(record, |seen| if seen as u32 == 0 { seen } else { seen - 1 });
}
