//! The barrier: one word says how far the round is, records by participant say who is inside.
//!
//! ```text
//! word, u64  63       40   39    38 37  36 35 34    33        32     31                              0
//!           +-----------+-------+------+--------+-------+----------+---------------------------------+
//!           |  version  | round | cause| state  | DRAIN | SLEEPERS |  arrivals, or the leader's owner |
//!           +-----------+-------+------+--------+-------+----------+---------------------------------+
//! record    63           42 41         28 27             14 13              0
//!           +--------------+-------------+-----------------+-----------------+
//!           |     life     | registered  | inside, round 1 | inside, round 0 |      threads of one participant
//!           +--------------+-------------+-----------------+-----------------+
//!
//!  party                                          the last one
//!  inside[round] + 1; FILLING: arrivals + 1       inside[round] + 1; inside[the other] is 0 everywhere? else sleep
//!                                                 FILLING -> LEADING; its action
//!  sleep until the round is over                  LEADING -> PASSED, wake all (without an action: FILLING -> PASSED)
//!  inside[round] - 1; DRAIN? wake who waits       inside[round] - 1
//! ```
//!
//! | state | who is inside of this round | who comes | left by |
//! |---|---|---|---|
//! | `FILLING` | waits | arrives | the last to arrive, to `LEADING` or `PASSED`; to `BROKEN`, `RESET` |
//! | `LEADING` | waits; the leader acts | waits, or with a cause is refused | the leader, to `PASSED`; to `BROKEN`, `RESET` |
//! | `PASSED` | leaves with success | begins the next round, or with a cause is refused | who comes, to `FILLING` of the next |
//! | `BROKEN` | leaves; it was broken | is refused | `reset`, to `RESET` |
//! | `RESET` | leaves; it was broken | waits until all have left | who comes then, to `FILLING` of the next; to `BROKEN` |
//!
//! The cause says whether it was a death. With `LEADING` and `PASSED` it is for those who come later: this round goes on.
//! All zero is a barrier of which nobody is inside. Rounds are numbered modulo 2.
//!
//! Invariants:
//! 1. Who arrives is counted inside of the round before the word counts it, and until it has seen how the round ended. While
//!    it is, the word stands at that round or, only if that was passed, at the next: no round is over before the records of
//!    all say that nobody is inside of the one before, and a broken one is followed by another only when nobody is inside of
//!    any. How many are inside stands in no second place: that sum is derived from the records each time.
//! 2. The record of a dead participant, or of another life than its participant's last, is cleared only by an exact
//!    compare-and-swap, after the word says what that death means: inside of the round that is `FILLING` or `LEADING`, it
//!    breaks it; registered, it breaks that round or the next. Whoever does this has loaded the word *before* the record: a
//!    round that began later does not count who died in an earlier one.
//! 3. Each change of the word is an exact compare-and-swap. Each new round and each reset is a new version (24 bits), so one
//!    that decided long ago misses.
//! 4. Who sleeps has read `turn`, then seen the word in a state to wait in, set `SLEEPERS` in that very word or found it; one
//!    that waits for others to leave, `DRAIN`, and it has looked once more whether they have. Whoever replaces a word that has one of
//!    them by one that has not, or is the last to leave and sees `DRAIN`, changes `turn` and then wakes all.
//!
//! A death leaves behind:
//! - as a party until it has left: its count, which breaks the round or, once it is over, keeps the next one from ending
//!   until it is cleared: by [`recover`](Barrier::recover), or by those who wait, at the end of a nap;
//! - as the leader: the same. Its action is half done, and nobody is released;
//! - as one who has changed the word, before its wake: sleepers behind a word that they need not wait for, until their naps end
//!   or `recover` wakes all;
//! - as the last to leave, before its wake: the same;
//! - as one who clears the record of the dead: a broken round, and the record to be cleared again.
//!
//! Orderings: an arrival is Release, and each later change of the word a read-modify-write, so whoever acquires `PASSED`, or
//! the next round, sees what all did before they arrived. "Inside - 1, then look at DRAIN" and "DRAIN, then look at the
//! records" are SeqCst: one of the two sees the other.
//!
//! Source: the two phases of pthread barriers, the second derived from records; the rest is ours.

use core::ptr::NonNull;

use super::backoff::Backoff;
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::barrier::{BarrierHeader, BarrierRecord, bytes};
use crate::primitive::{AtomicU64, Ordering, sequential};
use crate::sys::futex;
use crate::sys::nap::{Deadline, Nap, Slept, TRY_FOR, Wait};

const PAYLOAD: u64 = (1 << 32) - 1;
const SLEEPERS: u64 = 1 << 32;
const DRAIN: u64 = 1 << 33;
const ASLEEP: u64 = SLEEPERS | DRAIN;
const STATE: u64 = 7 << 34;
const FILLING: u64 = 0;
const LEADING: u64 = 1 << 34;
const PASSED: u64 = 2 << 34;
const BROKEN: u64 = 3 << 34;
const RESET: u64 = 4 << 34;
const CAUSE: u64 = 3 << 37;
/// A time-out, an abort, a reset, an action that failed.
const CALLED_OFF: u64 = 1 << 37;
const DIED: u64 = 2 << 37;
const ROUND: u64 = 1 << 39;
const VERSION: u64 = 1 << 40;
const VERSIONS: u64 = !(VERSION - 1);

/// Where the counts stand in a record, and how many there can be of each.
const INSIDE: [u32; 2] = [0, 14];
const REGISTERED: u32 = 28;
const COUNT: u64 = (1 << 14) - 1;
const COUNTS: u64 = (1 << LIFE) - 1;
const LIFE: u32 = 42;
const LIFE_MASK: u64 = (1 << 22) - 1;

/// Why a party was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its time was up, which broke the barrier.
    TimedOut,
    /// A signal handler ran and the caller wants to know.
    Interrupted,
    /// The barrier is broken.
    Broken,
    /// The barrier is broken because a party died.
    PartyDied,
    /// The calling thread is not the last of this round, or its participant is not registered.
    NotOwner,
    /// 16,383 threads of the participant are there already, or registrations.
    TooMany,
    /// The barrier holds something that no participant writes.
    Corrupted,
}

/// A party that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How many were there before it.
    pub index: u32,
    /// Whether it is the last. Then, as asked for, the round is over, or the others wait for [`Barrier::release`]. If not,
    /// [`Barrier::finish`] is next.
    pub last: bool,
    round: u64,
}

/// A barrier in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Barrier<'a> {
    header: &'a BarrierHeader,
    records: &'a [BarrierRecord],
    parties: u32,
    spin: bool,
}

fn arrivals(word: u64) -> u64 {
    word & PAYLOAD
}

/// Another word of the same round and version, in which nobody sleeps.
fn changed(word: u64, state: u64, cause: u64, payload: u64) -> u64 {
    word & (VERSIONS | ROUND) | state | cause | payload
}

/// The same in another version.
fn renewed(word: u64, state: u64, cause: u64, payload: u64) -> u64 {
    changed(word.wrapping_add(VERSION), state, cause, payload)
}

/// Where a record counts who is inside of this round.
fn inside(round: u64) -> u32 {
    INSIDE[usize::from(round != 0)]
}

/// The leader's owner, which stays in the word until it has left.
fn leader(word: u64) -> u64 {
    if word & STATE == FILLING { 0 } else { word & PAYLOAD }
}

fn told(word: u64) -> Refused {
    if word & CAUSE == DIED { Refused::PartyDied } else { Refused::Broken }
}

fn exchange(word: &AtomicU64, seen: u64, new: u64) -> bool {
    word.compare_exchange(seen, new, Ordering::SeqCst, Ordering::Relaxed).is_ok()
}

fn count(record: u64, which: u32) -> u64 {
    record >> which & COUNT
}

fn stamp(life: u32) -> u64 {
    u64::from(life) & LIFE_MASK
}

/// Whether a record is nobody's any more. It is loaded before this is asked.
fn is_lost(record: u64, participant: ParticipantId, peers: &impl Peers) -> bool {
    record >> LIFE != stamp(peers.life(participant)) || peers.fate(participant) == Fate::Dead
}

impl<'a> Barrier<'a> {
    /// The parts of a barrier: its header, and a record for each participant. It waits for so many `parties`. Who waits looks for
    /// a while before it sleeps: all the time if there is a processor for each party (`spin`), else when others have run.
    pub fn new(header: &'a BarrierHeader, records: &'a [BarrierRecord], parties: u32, spin: bool) -> Self {
        Self { header, records, parties, spin }
    }

    /// The barrier at `base`, which is `len` bytes long, of a segment with so many participants. `None` if it does not fit.
    ///
    /// # Safety
    /// The bytes are mapped for `'a`, aligned to 128, and accessed atomically only.
    pub unsafe fn at(base: NonNull<u8>, len: u64, participants: u16, parties: u32, spin: bool) -> Option<Self> {
        if len < bytes(participants) {
            return None;
        }
        // SAFETY: long enough (just checked), mapped and aligned (the caller's promise); the records lie behind the header.
        Some(unsafe {
            let records = base.add(size_of::<BarrierHeader>()).cast();
            let records = NonNull::slice_from_raw_parts(records, participants.into());
            Self::new(base.cast().as_ref(), records.as_ref(), parties, spin)
        })
    }

    /// How many have arrived while the round is filling; else 0. A hint.
    pub fn waiting(&self) -> u32 {
        let seen = self.header.word.load(Ordering::Relaxed);
        if seen & STATE == FILLING { arrivals(seen).min(self.parties.into()) as u32 } else { 0 }
    }

    /// Whether whoever comes is refused; a hint.
    pub fn is_broken(&self) -> bool {
        let seen = self.header.word.load(Ordering::Relaxed);
        seen & STATE == BROKEN || matches!(seen & STATE, LEADING | PASSED) && seen & CAUSE != 0
    }

    fn record(&self, me: Owner) -> Result<&'a AtomicU64, Refused> {
        let place = usize::from(me.participant()).checked_sub(1);
        let record = place.and_then(|place| self.records.get(place)).ok_or(Refused::Corrupted)?;
        Ok(&record.word)
    }

    /// Those that may be in use.
    fn used(&self) -> &'a [BarrierRecord] {
        let mark = self.header.mark.load(Ordering::SeqCst) as usize;
        &self.records[..mark.min(self.records.len())]
    }

    fn backoff(&self) -> Backoff {
        if self.spin { Backoff::new() } else { Backoff::in_crowd() }
    }

    /// Arrives, unless the last round is still led or being reset: then that is waited for. The last to arrive lets all through,
    /// or with `lead` is to call [`release`](Self::release).
    ///
    /// `life` is that of the caller's participant.
    pub fn arrive(&self, me: Owner, life: u32, peers: &impl Peers, wait: Wait, lead: bool) -> Result<Arrival, Refused> {
        let (word, record) = (&self.header.word, self.record(me)?);
        let (mut nap, mut backoff) = (Nap::new(), self.backoff());
        // Who is on the way out has no reason to stay: a try waits for it as for one who is in the middle of an operation.
        let mut patience = None;
        let mut counted = None;
        let refused = loop {
            let turn = self.header.turn.load(Ordering::Acquire);
            let seen = word.load(Ordering::SeqCst);
            let (begun, waits) = match seen & STATE {
                FILLING => (seen, 0),
                BROKEN => break told(seen),
                LEADING | PASSED if seen & CAUSE != 0 => break told(seen),
                PASSED => (renewed(seen ^ ROUND, FILLING, 0, 0), 0),
                LEADING => (seen, SLEEPERS),
                RESET => (renewed(seen ^ ROUND, FILLING, 0, 0), DRAIN),
                _ => break Refused::Corrupted,
            };
            let round = inside(begun & ROUND);
            if let Some(other) = counted.filter(|counted| waits != 0 || *counted != round) {
                self.leave(record, other);
                counted = None;
                continue;
            }
            let last = arrivals(begun) + 1 == self.parties.into();
            // Invariant 1.
            let waits = match waits {
                0 if last => DRAIN,
                waits => waits,
            };
            if waits == SLEEPERS || waits == DRAIN && !self.is_drained(seen) {
                if backoff.pause() {
                    continue;
                }
                let deadline = if wait.deadline == Deadline::Now { Deadline::after(TRY_FOR) } else { wait.deadline };
                let wait = *patience.get_or_insert(Wait { deadline, ..wait });
                match self.doze(turn, seen, waits, &mut nap, wait, peers) {
                    Slept::Recheck => {}
                    // As a party of the round that fills, or else of the next.
                    Slept::TimedOut if self.change(broken_for_one_outside) => break Refused::TimedOut,
                    Slept::TimedOut => {}
                    Slept::Interrupted => break Refused::Interrupted,
                }
                continue;
            }
            if arrivals(begun) >= self.parties.into() {
                break Refused::Corrupted;
            }
            if counted.is_none() {
                if let Err(refused) = self.count_in(record, round, me, life, peers) {
                    break refused;
                }
                counted = Some(round); // invariant 1
            }
            let next = match last {
                false => begun + 1,
                true if lead => changed(begun, LEADING | begun & SLEEPERS, 0, me.bits().into()),
                true => changed(begun, PASSED, 0, 0),
            };
            if !exchange(word, seen, next) {
                continue;
            }
            self.wake(seen, next);
            if last && !lead {
                self.leave(record, round);
            }
            return Ok(Arrival { index: arrivals(begun) as u32, last, round: begun & ROUND });
        };
        if let Some(round) = counted {
            self.leave(record, round);
        }
        Err(refused)
    }

    /// Waits until the round of one who has arrived is over. After [`Refused::Interrupted`] it stands there as before, and
    /// this, or [`give_up`](Self::give_up), is to be called again.
    pub fn finish(&self, arrival: Arrival, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        let record = self.record(me)?;
        let result = self.until_over(arrival, peers, wait);
        if result != Err(Refused::Interrupted) {
            self.leave(record, inside(arrival.round));
        }
        result
    }

    fn until_over(&self, arrival: Arrival, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        let (mut nap, mut backoff) = (Nap::new(), self.backoff());
        loop {
            let turn = self.header.turn.load(Ordering::Acquire);
            // Acquire: pairs with all arrivals.
            let seen = self.header.word.load(Ordering::SeqCst);
            if seen & ROUND != arrival.round {
                return Ok(());
            }
            match seen & STATE {
                FILLING | LEADING => {}
                PASSED => return Ok(()),
                BROKEN | RESET => return Err(told(seen)),
                _ => return Err(Refused::Corrupted),
            }
            let slept = if wait.deadline == Deadline::Now {
                Slept::TimedOut
            } else if backoff.pause() {
                continue;
            } else {
                self.doze(turn, seen, SLEEPERS, &mut nap, wait, peers)
            };
            match slept {
                Slept::Recheck => {}
                Slept::TimedOut if self.call_off(arrival.round) => return Err(Refused::TimedOut),
                Slept::TimedOut => {} // it is over
                Slept::Interrupted => return Err(Refused::Interrupted),
            }
        }
    }

    /// Breaks the round for one who has arrived and does not wait any longer.
    pub fn give_up(&self, arrival: Arrival, me: Owner) -> Result<(), Refused> {
        let record = self.record(me)?;
        self.call_off(arrival.round);
        self.leave(record, inside(arrival.round));
        Ok(())
    }

    /// Ends the round, for its leader.
    pub fn release(&self, me: Owner) -> Result<(), Refused> {
        self.leave_as_leader(me, |seen| changed(seen, PASSED, seen & CAUSE, 0))
    }

    /// Breaks the round, for its leader.
    pub fn fail(&self, me: Owner) -> Result<(), Refused> {
        self.leave_as_leader(me, |seen| changed(seen, BROKEN, CALLED_OFF, 0))
    }

    /// Breaks the barrier, until it is reset. Its leader leaves. Whoever has been let through goes on.
    pub fn abort(&self, me: Owner) {
        if self.fail(me) == Err(Refused::NotOwner) {
            self.change(|seen| broken_now(seen, CALLED_OFF).or_else(|| broken_later(seen, CALLED_OFF)));
        }
    }

    fn leave_as_leader(&self, me: Owner, end: impl Fn(u64) -> u64) -> Result<(), Refused> {
        let (word, record) = (&self.header.word, self.record(me)?);
        loop {
            let seen = word.load(Ordering::SeqCst);
            let (next, result) = match seen & STATE {
                LEADING if leader(seen) == me.bits().into() => (end(seen), Ok(())),
                BROKEN | RESET if leader(seen) == me.bits().into() => (seen & !PAYLOAD, Err(told(seen))),
                _ => return Err(Refused::NotOwner),
            };
            if exchange(word, seen, next) {
                self.wake(seen, next);
                self.leave(record, inside(seen & ROUND));
                return result;
            }
        }
    }

    /// Sends those away as broken who wait, and mends the barrier for those who come. Whoever has been let through goes on.
    pub fn reset(&self) {
        let word = &self.header.word;
        loop {
            let seen = word.load(Ordering::SeqCst);
            let next = match seen & STATE {
                FILLING if arrivals(seen) == 0 => return,
                FILLING | LEADING => renewed(seen, RESET, CALLED_OFF, leader(seen)),
                PASSED if seen & CAUSE != 0 => renewed(seen, PASSED, 0, 0),
                BROKEN => renewed(seen, RESET, seen & CAUSE, leader(seen)),
                PASSED | RESET => return,
                // No participant wrote it: everybody has been told.
                _ => renewed(seen, RESET, CALLED_OFF, 0),
            };
            if exchange(word, seen, next) {
                return self.wake(seen, next);
            }
        }
    }

    /// Registers a party of the caller's participant, whose death breaks the barrier from now on, whether it has arrived or
    /// not.
    pub fn register(&self, me: Owner, life: u32, peers: &impl Peers) -> Result<(), Refused> {
        self.count_in(self.record(me)?, REGISTERED, me, life, peers)
    }

    /// Takes a registration back.
    pub fn unregister(&self, me: Owner, life: u32) -> Result<(), Refused> {
        let record = self.record(me)?;
        let mut seen = record.load(Ordering::Relaxed);
        loop {
            if seen >> LIFE != stamp(life) || count(seen, REGISTERED) == 0 {
                return Err(Refused::NotOwner);
            }
            match record.compare_exchange(seen, seen - (1 << REGISTERED), Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    /// What to do for a dead participant.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        self.bury(dead, peers);
        // It may have died when it was about to wake somebody.
        self.rouse();
    }

    /// Breaks the round of one who is inside, if it fills or is led: whether it did.
    fn call_off(&self, round: u64) -> bool {
        self.change(|seen| if seen & ROUND == round { broken_now(seen, CALLED_OFF) } else { None })
    }

    /// Replaces the word; `false` if there is nothing to replace it with.
    fn change(&self, next: impl Fn(u64) -> Option<u64>) -> bool {
        let word = &self.header.word;
        loop {
            let seen = word.load(Ordering::SeqCst);
            let Some(next) = next(seen) else { return false };
            if exchange(word, seen, next) {
                self.wake(seen, next);
                return true;
            }
        }
    }

    /// Counts one more, behind the mark.
    #[inline]
    fn count_in(
        &self,
        record: &AtomicU64,
        which: u32,
        me: Owner,
        life: u32,
        peers: &impl Peers,
    ) -> Result<(), Refused> {
        let (mark, number) = (&self.header.mark, u32::from(me.participant()));
        let mut high = mark.load(Ordering::Relaxed);
        while high < number
            && let Err(now) = mark.compare_exchange(high, number, Ordering::SeqCst, Ordering::Relaxed)
        {
            high = now;
        }
        let mut seen = record.load(Ordering::Relaxed);
        loop {
            let mine = seen >> LIFE == stamp(life);
            if !mine && seen & COUNTS != 0 {
                // Somebody who had our number left without a word.
                self.bury(me.participant(), peers);
                let left = seen;
                seen = record.load(Ordering::Relaxed);
                if seen == left {
                    return Err(Refused::Corrupted);
                }
                continue;
            }
            if mine && count(seen, which) == COUNT {
                return Err(Refused::TooMany);
            }
            let next = if mine { seen } else { stamp(life) << LIFE } + (1 << which);
            match record.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    /// Counts the caller out, and wakes those who waited for it, if it was the last.
    #[inline]
    fn leave(&self, record: &AtomicU64, round: u32) {
        let mut seen = record.load(Ordering::Relaxed);
        // (A count of 0 was forged.)
        while count(seen, round) > 0
            && let Err(now) = record.compare_exchange(seen, seen - (1 << round), Ordering::SeqCst, Ordering::Relaxed)
        {
            seen = now;
        }
        self.look_for_the_next();
    }

    /// Wakes those who wait for others to leave, if all have.
    #[inline]
    fn look_for_the_next(&self) {
        sequential();
        let seen = self.header.word.load(Ordering::SeqCst);
        if seen & DRAIN != 0 && self.is_drained(seen) {
            self.rouse();
        }
    }

    /// Whether all have left for whom a word waits: who is inside of the round before it, of the one that was passed, or, if it
    /// is being reset, of any.
    fn is_drained(&self, word: u64) -> bool {
        let [one, other] = match word & STATE {
            RESET => INSIDE,
            PASSED => [inside(word & ROUND); 2],
            _ => [inside(!word & ROUND); 2],
        };
        self.used().iter().all(|record| {
            let seen = record.word.load(Ordering::SeqCst);
            count(seen, one) == 0 && count(seen, other) == 0
        })
    }

    /// Sleeps while the word is `seen`, as one who `waits` for it to change, or for others to leave. Whoever sleeps for nothing
    /// asks who is dead.
    fn doze(&self, turn: u32, seen: u64, waits: u64, nap: &mut Nap, wait: Wait, peers: &impl Peers) -> Slept {
        let (word, asleep) = (&self.header.word, seen | waits);
        if seen != asleep && !exchange(word, seen, asleep) {
            return Slept::Recheck;
        }
        // Invariant 4.
        sequential();
        if waits == DRAIN && self.is_drained(seen) {
            return Slept::Recheck;
        }
        let slept = nap.sleep(&self.header.turn, turn, wait);
        if slept == Slept::Recheck && word.load(Ordering::SeqCst) == asleep {
            for participant in 1..=self.used().len() as ParticipantId {
                self.bury(participant, peers);
            }
        }
        slept
    }

    /// Clears a participant's record if it is nobody's, and sees to it that the word says what that means (invariant 2).
    #[cold]
    fn bury(&self, participant: ParticipantId, peers: &impl Peers) {
        let place = usize::from(participant).checked_sub(1);
        let Some(BarrierRecord { word: record, .. }) = place.and_then(|place| self.records.get(place)) else { return };
        let word = &self.header.word;
        loop {
            let seen = word.load(Ordering::SeqCst);
            let counts = record.load(Ordering::SeqCst);
            if counts & COUNTS == 0 || !is_lost(counts, participant, peers) {
                return;
            }
            let (party, registered) = (count(counts, inside(seen & ROUND)) > 0, count(counts, REGISTERED) > 0);
            let now = if party || registered { broken_now(seen, DIED) } else { None };
            let later = || if registered { broken_later(seen, DIED) } else { None };
            let next = now.or_else(later).unwrap_or(seen);
            if next != seen && !exchange(word, seen, next) {
                continue;
            }
            // It fails if another has done so.
            let _ = record.compare_exchange(counts, 0, Ordering::SeqCst, Ordering::Relaxed);
            self.wake(seen, next);
            return self.look_for_the_next();
        }
    }

    /// Wakes those who slept behind a word that was replaced by one that says nothing of them.
    #[inline]
    fn wake(&self, replaced: u64, by: u64) {
        if replaced & ASLEEP & !by != 0 {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        // Release: whoever reads it sees the word that it is changed for.
        self.header.turn.fetch_add(1, Ordering::AcqRel);
        futex::wake(&self.header.turn, u32::MAX);
    }
}

/// The word that breaks a round; `None` if none fills or is led.
fn broken_now(seen: u64, cause: u64) -> Option<u64> {
    matches!(seen & STATE, FILLING | LEADING).then(|| changed(seen, BROKEN, cause, leader(seen)))
}

/// The word that breaks the barrier for those who are not inside. `None` if it is broken, or fills, so that they can be.
fn broken_later(seen: u64, cause: u64) -> Option<u64> {
    match seen & STATE {
        LEADING if seen & CAUSE == 0 => Some(changed(seen, LEADING, cause, leader(seen))),
        PASSED if seen & CAUSE == 0 => Some(changed(seen, PASSED, cause, 0)),
        RESET => Some(changed(seen, BROKEN, cause, leader(seen))),
        _ => None,
    }
}

/// The word that breaks the barrier for one who has not arrived and does not wait any longer.
fn broken_for_one_outside(seen: u64) -> Option<u64> {
    if seen & STATE == FILLING { broken_now(seen, CALLED_OFF) } else { broken_later(seen, CALLED_OFF) }
}
