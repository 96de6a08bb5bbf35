//! The reader-writer lock: a robust mutex for whoever writes, a gate that readers pass, and their counts by participant.
//!
//! ```text
//! lock: the mutex of the writer, or of the one upgradable reader       mark: the highest participant that ever read
//!
//! gate, u64      63                                   3    2     1     0
//!               +------------------------------------+------+-----------+
//!               |               phase                | DIED |   state   |
//!               +------------------------------------+------+-----------+
//! record, u64    63  62      42 41      28 27      14 13       0
//!               +---+----------+----------+----------+----------+
//!               | 1 |   life   | waits, 1 | waits, 0 |  inside  |    threads of one participant
//!               +---+----------+----------+----------+----------+
//!
//!  reader                                       writer
//!  inside + 1; gate open? it is in              lock the mutex
//!  else inside - 1, waits[phase] + 1, sleep     gate: CLOSING
//!  the phase has moved: waits[phase] - 1,       until nobody is inside and nobody waits of the phase before: sleep
//!    inside + 1; it is in                       gate: WRITING; it is in
//!  inside - 1; CLOSING? notify `drain`          gate: OPEN, phase + 1; notify `readers`; unlock the mutex
//! ```
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | `OPEN` | readers pass | a writer, to `CLOSING` |
//! | `CLOSING` | a writer waits for those who are inside | it, to `WRITING`, or to `OPEN` if it gives up |
//! | `WRITING` | a writer is inside | it, to `OPEN`, or to `GIVEN_UP` |
//! | `GIVEN_UP` | every call fails | [`reset`](RwLock::reset) |
//!
//! `DIED`: a writer died while `WRITING`. Everybody who gets in is told, until a writer has made it consistent.
//!
//! Invariants:
//! 1. Only the owner of the mutex changes the gate, but for `reset`. Each return to `OPEN` begins a new phase. Who takes
//!    the mutex from a dead owner opens the gate before anything else, with `DIED` if it stood at `WRITING`; a reader that
//!    finds the gate closed and the mutex without a living owner takes the mutex for that.
//! 2. A reader counts itself in, in one place or another, by one change at a time, from its first step to its last. A
//!    record of another life than its participant's last, or of a dead participant, is nobody's: so a dead reader is
//!    subtracted wherever it died, and recovery has nothing to do but to wake.
//! 3. A reader is in if, with itself counted inside, it sees the gate open, or at the phase after the one that it waited
//!    in and not yet at `WRITING`: the writer of that phase counts those who waited in the phase before as if they were
//!    inside. So a stream of writers lets all who wait pass between any two of them, and as readers that come while the
//!    gate is closed wait, a stream of readers keeps no writer out.
//! 4. A reader and a writer each change their own word and then look at the other's (all `SeqCst`): at least one of them
//!    sees the other. Whoever sleeps does so at an [eventcount](super::eventcount) where it has announced itself before it
//!    looked, and before it asked who is dead; whoever changes what is waited for notifies there.
//! 5. The mark is raised before the first count of a participant, so a writer need not look at the records above it.
//!
//! A death leaves behind:
//! - as a reader: a record that is nobody's; between its last change and its look at who sleeps, a writer asleep: its
//!   capped naps or [`recover`](RwLock::recover) end that;
//! - as a writer: the mutex to take over (1), and readers asleep at a gate that is closed, or was just opened: they look
//!   at the mutex when their naps end, or when `recover` wakes them. With `CLOSING` nothing was written: nobody is told;
//! - as one who mends (1): what it was about to mend.
//!
//! What it cannot see: which *thread* of a participant reads. A thread that waits to write while it reads waits for
//! itself; so does one that reads twice, if a writer comes in between.
//!
//! Orderings: the changes of records, the closing of the gate and the looks at them are SeqCst (4), which includes that
//! entering acquires what leaving released.
//!
//! Source: phases as in B. Brandenburg, J. Anderson, "Spin-Based Reader-Writer Synchronization for Multiprocessor
//! Real-Time Systems" (2010), with counts that are not in one word; the rest is ours.

use core::ptr::NonNull;

use super::backoff::Backoff;
use super::eventcount::{self, notify, prepare, sleep};
use super::mutex::{self, Acquired};
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::rwlock::{RwHeader, RwRecord, data_offset};
use crate::primitive::{Ordering, sequential};
use crate::sys::nap::{Deadline, Nap, Slept, Wait};

const OPEN: u64 = 0;
const CLOSING: u64 = 1;
const WRITING: u64 = 2;
const GIVEN_UP: u64 = 3;
const STATE: u64 = 3;
const DIED: u64 = 1 << 2;
const PHASE: u64 = 1 << 3;

/// How many readers of one participant can be inside at once, and how many can wait.
pub const MAX_READERS: u64 = (1 << 14) - 1;
/// Where the counts stand.
const INSIDE: u32 = 0;
const WAITS: [u32; 2] = [14, 28];
const LIFE: u32 = 42;
const LIFE_MASK: u64 = (1 << 21) - 1;

/// Why a lock was not acquired, or not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Held by somebody else (a try only).
    WouldBlock,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The calling thread writes, or is the upgradable reader.
    WouldDeadlock,
    /// [`MAX_READERS`] of the participant are there already.
    TooMany,
    /// It was given up by a writer that could not make it consistent.
    NotRecoverable,
    /// The calling thread, or for a reader its participant, does not have it.
    NotOwner,
    /// The lock holds something that no participant writes.
    Corrupted,
}

impl From<mutex::Refused> for Refused {
    fn from(refused: mutex::Refused) -> Self {
        match refused {
            mutex::Refused::WouldBlock => Self::WouldBlock,
            mutex::Refused::TimedOut => Self::TimedOut,
            mutex::Refused::Interrupted => Self::Interrupted,
            mutex::Refused::WouldDeadlock => Self::WouldDeadlock,
            // Nobody gives the mutex up: such a word was not written by this code.
            mutex::Refused::NotRecoverable | mutex::Refused::Corrupted => Self::Corrupted,
        }
    }
}

/// How a reader's first step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is in, and nobody had died.
    Inside,
    /// It is counted inside; [`RwLock::read_on`] goes on from there.
    Counted,
    /// Nothing has happened.
    Not,
}

/// A reader-writer lock in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct RwLock<'a> {
    header: &'a RwHeader,
    records: &'a [RwRecord],
}

impl<'a> RwLock<'a> {
    /// The parts of a lock: its header, and a record for each participant.
    pub fn new(header: &'a RwHeader, records: &'a [RwRecord]) -> Self {
        Self { header, records }
    }

    /// The lock at `base`, which is `len` bytes long, of a segment with so many participants. `None` if it does not fit.
    ///
    /// # Safety
    /// The bytes are mapped for `'a`, aligned to 128, and accessed atomically only.
    #[inline(always)]
    pub unsafe fn at(base: NonNull<u8>, len: u64, participants: u16) -> Option<Self> {
        if len < data_offset(participants) as u64 {
            return None;
        }
        // SAFETY: long enough (just checked), mapped and aligned (the caller's promise); the records lie behind the header.
        Some(unsafe {
            let records = base.add(size_of::<RwHeader>()).cast();
            Self {
                header: base.cast().as_ref(),
                records: NonNull::slice_from_raw_parts(records, participants.into()).as_ref(),
            }
        })
    }

    /// The lock word of writers, for the held list: to be put there before any call but the fast ones.
    #[inline(always)]
    pub fn lock_word(&self) -> &'a crate::layout::mutex::LockWord {
        &self.header.lock
    }

    #[inline(always)]
    fn record(&self, me: Owner) -> Result<&'a RwRecord, Refused> {
        self.records.get(usize::from(me.participant()) - 1).ok_or(Refused::Corrupted)
    }

    /// The first step of a reader of the life `life` of its participant; all of it where the gate is open.
    #[inline(always)]
    pub fn read_fast(&self, me: Owner, life: u32) -> Step {
        let Ok(record) = self.record(me) else { return Step::Not };
        // Relaxed: an operand of the compare-and-swap.
        let seen = record.word.load(Ordering::Relaxed);
        if seen >> LIFE != stamp(life) || count(seen, INSIDE) == MAX_READERS {
            return Step::Not;
        }
        if record.word.compare_exchange(seen, seen + (1 << INSIDE), Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return Step::Not;
        }
        sequential();
        let open = self.header.gate.load(Ordering::SeqCst) & (STATE | DIED) == OPEN;
        if open { Step::Inside } else { Step::Counted }
    }

    /// Reads: all of it.
    pub fn read(&self, me: Owner, life: u32, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
        match self.read_fast(me, life) {
            Step::Inside => Ok(Acquired::Clean),
            step => self.read_on(step, me, life, peers, wait),
        }
    }

    /// The rest of a read, after a first step.
    #[cold]
    pub fn read_on(
        &self,
        step: Step,
        me: Owner,
        life: u32,
        peers: &impl Peers,
        wait: Wait,
    ) -> Result<Acquired, Refused> {
        let record = self.record(me)?;
        if step == Step::Not {
            self.count_in(record, me, life)?;
        }
        let gate = &self.header.gate;
        loop {
            sequential();
            let seen = gate.load(Ordering::SeqCst);
            match seen & STATE {
                OPEN => return Ok(acquired(seen)),
                GIVEN_UP => {
                    self.leave(record, life, INSIDE)?;
                    return Err(Refused::NotRecoverable);
                }
                _ => {}
            }
            let waits = waits(seen);
            if let Err(refused) = change(record, life, Some(INSIDE), Some(waits)) {
                self.leave(record, life, INSIDE)?;
                return Err(refused);
            }
            // The writer may have seen us inside.
            notify(&self.header.drain);
            if let Err(refused) = self.wait_for_the_next_phase(seen, me, peers, wait) {
                self.leave(record, life, waits)?;
                return Err(refused);
            }
            if let Err(refused) = change(record, life, Some(waits), Some(INSIDE)) {
                self.leave(record, life, waits)?;
                return Err(refused);
            }
            sequential();
            let now = gate.load(Ordering::SeqCst);
            if now / PHASE == (seen / PHASE).wrapping_add(1) && matches!(now & STATE, OPEN | CLOSING) {
                return Ok(acquired(now)); // invariant 3
            }
        }
    }

    /// Waits until the gate is at another phase than in `seen`.
    fn wait_for_the_next_phase(&self, seen: u64, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        let moved = || self.header.gate.load(Ordering::SeqCst) / PHASE != seen / PHASE;
        let (mut nap, mut backoff) = (Nap::new(), Backoff::new());
        let now = wait.deadline == Deadline::Now;
        loop {
            if moved() {
                return Ok(());
            }
            if !now && backoff.pause() {
                continue;
            }
            // Invariant 4.
            let ticket = (!now).then(|| prepare(&self.header.readers));
            if moved() {
                return Ok(());
            }
            // A try: whoever has the mutex lives, or we open the gate in its place.
            match mutex::lock(&self.header.lock, me, peers, Wait { deadline: Deadline::Now, ..wait }) {
                Ok(how) => {
                    self.mend(me, how);
                    self.unlock(me);
                    continue;
                }
                Err(mutex::Refused::WouldBlock) => {}
                Err(refused) => return Err(refused.into()),
            }
            let Some(ticket) = ticket else { return Err(Refused::WouldBlock) };
            match sleep(&self.header.readers, ticket, &mut nap, wait) {
                Slept::Recheck => backoff = Backoff::new(),
                Slept::TimedOut => return Err(Refused::TimedOut),
                Slept::Interrupted => return Err(Refused::Interrupted),
            }
        }
    }

    fn count_in(&self, record: &RwRecord, me: Owner, life: u32) -> Result<(), Refused> {
        if record.word.load(Ordering::Relaxed) >> LIFE != stamp(life) {
            // Invariant 5.
            let (mark, own) = (&self.header.mark, u32::from(me.participant()));
            let mut seen = mark.load(Ordering::Relaxed);
            while seen < own {
                match mark.compare_exchange(seen, own, Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => seen = now,
                }
            }
        }
        change(record, life, None, Some(INSIDE))
    }

    /// Takes a reader out, and wakes the writer that waits for it.
    #[inline(always)]
    fn leave(&self, record: &RwRecord, life: u32, from: u32) -> Result<(), Refused> {
        change(record, life, Some(from), None)?;
        sequential();
        if self.header.gate.load(Ordering::SeqCst) & STATE == CLOSING {
            notify(&self.header.drain);
        }
        Ok(())
    }

    /// Ends a read of the caller's participant.
    #[inline(always)]
    pub fn unlock_read(&self, me: Owner, life: u32) -> Result<(), Refused> {
        self.leave(self.record(me)?, life, INSIDE).map_err(|_| Refused::NotOwner)
    }

    /// Writes: alone.
    #[inline]
    pub fn write(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
        let gate = self.enter(me, peers, wait)?;
        if let Err(refused) = self.close(gate, peers, wait) {
            self.unlock(me);
            return Err(refused);
        }
        Ok(acquired(gate))
    }

    /// Reads beside readers, as the only one that can [`upgrade`](Self::upgrade).
    #[inline]
    pub fn upgradable(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
        self.enter(me, peers, wait).map(acquired)
    }

    /// From the upgradable reader to the writer. Refused, it is what it was.
    pub fn upgrade(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
        let gate = self.own(me, OPEN)?;
        self.close(gate, peers, wait)?;
        Ok(acquired(gate))
    }

    /// Takes the mutex; the gate, which is open.
    #[inline]
    fn enter(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<u64, Refused> {
        let how = mutex::lock(&self.header.lock, me, peers, wait)?;
        let gate = self.mend(me, how);
        if gate & STATE == GIVEN_UP {
            self.unlock(me);
            return Err(Refused::NotRecoverable);
        }
        Ok(gate)
    }

    /// Opens the gate that a dead writer left closed; the owner of the mutex calls it first of all. What the gate is then.
    #[inline(always)]
    fn mend(&self, me: Owner, how: Acquired) -> u64 {
        // Relaxed: the mutex orders it.
        let seen = self.header.gate.load(Ordering::Relaxed);
        if how == Acquired::Clean && matches!(seen & STATE, OPEN | GIVEN_UP) { seen } else { self.mend_slow(me, seen) }
    }

    #[cold]
    fn mend_slow(&self, me: Owner, seen: u64) -> u64 {
        let mended = match seen & STATE {
            CLOSING => self.open(seen, OPEN | seen & DIED),
            WRITING => self.open(seen, OPEN | DIED),
            _ => seen,
        };
        // Afterwards: whoever dies before leaves it to the next. It is the owner's: nothing else can come of it.
        let _ = mutex::make_consistent(&self.header.lock, me);
        mended
    }

    fn unlock(&self, me: Owner) {
        // If somebody forged the word and it is no longer ours, there is nothing to give back.
        let _ = mutex::unlock(&self.header.lock, me);
    }

    /// Begins the next phase with the gate as `state` says, and lets in who waits. The value that was stored.
    fn open(&self, seen: u64, state: u64) -> u64 {
        let opened = (seen / PHASE).wrapping_add(1).wrapping_mul(PHASE) | state;
        // Release: whoever enters sees what was written.
        self.header.gate.store(opened, Ordering::Release);
        notify(&self.header.readers);
        opened
    }

    /// Closes the gate, which the owner of the mutex found open as `gate`, and waits until no reader is left.
    #[inline]
    fn close(&self, gate: u64, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        // A try that is sure to be refused disturbs no reader.
        if wait.deadline == Deadline::Now && self.occupied(gate, peers, true) {
            return Err(Refused::WouldBlock);
        }
        // A swap and not a store, which as SeqCst costs the same: what follows must not be done before it.
        self.header.gate.swap(gate | CLOSING, Ordering::SeqCst);
        sequential();
        if self.occupied(gate, peers, false) {
            self.wait_for_readers(gate, peers, wait)?;
        }
        // Relaxed: nobody but the owner of the mutex, or its heir, asks whether it is this or CLOSING.
        self.header.gate.store(gate | WRITING, Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn wait_for_readers(&self, gate: u64, peers: &impl Peers, wait: Wait) -> Result<(), Refused> {
        let (mut nap, mut backoff) = (Nap::new(), Backoff::new());
        let refused = loop {
            if wait.deadline != Deadline::Now && backoff.pause() {
                if !self.occupied(gate, peers, false) {
                    return Ok(());
                }
                continue;
            }
            let ticket = prepare(&self.header.drain); // invariant 4
            if !self.occupied(gate, peers, true) {
                return Ok(());
            }
            if wait.deadline == Deadline::Now {
                break Refused::WouldBlock;
            }
            match sleep(&self.header.drain, ticket, &mut nap, wait) {
                Slept::Recheck => backoff = Backoff::new(),
                Slept::TimedOut => break Refused::TimedOut,
                Slept::Interrupted => break Refused::Interrupted,
            }
        };
        self.open(gate, gate & DIED);
        Err(refused)
    }

    /// Whether a reader keeps the writer of `gate`'s phase out. Without `ask`, one that died may count.
    #[inline]
    fn occupied(&self, gate: u64, peers: &impl Peers, ask: bool) -> bool {
        let before = waits(gate ^ PHASE);
        let mark = self.header.mark.load(Ordering::SeqCst) as usize;
        let records = self.records.get(..mark).unwrap_or(self.records);
        records.iter().zip(1..).any(|(record, participant)| {
            let seen = record.word.load(Ordering::SeqCst);
            count(seen, INSIDE) + count(seen, before) > 0 && self.counts(seen, participant, peers, ask)
        })
    }

    /// Whether a record is somebody's (invariant 2).
    #[cold]
    fn counts(&self, seen: u64, participant: ParticipantId, peers: &impl Peers, ask: bool) -> bool {
        seen >> LIFE == stamp(peers.life(participant)) && !(ask && peers.fate(participant) == Fate::Dead)
    }

    /// The gate, if the caller has the mutex and the gate is in `state`.
    #[inline]
    fn own(&self, me: Owner, state: u64) -> Result<u64, Refused> {
        // Relaxed: it is the caller's own.
        let gate = self.header.gate.load(Ordering::Relaxed);
        let owns = mutex::is_owner(&self.header.lock, me) && gate & STATE == state;
        if owns { Ok(gate) } else { Err(Refused::NotOwner) }
    }

    /// Ends a write. If a writer had died and it was not made consistent, everybody is told as before, or, if this is the
    /// `last_word` on it, the lock is given up for ever.
    #[inline]
    pub fn unlock_write(&self, me: Owner, last_word: bool) -> Result<(), Refused> {
        let gate = self.own(me, WRITING)?;
        self.open(gate, if last_word && gate & DIED != 0 { GIVEN_UP } else { gate & DIED });
        self.unlock(me);
        Ok(())
    }

    /// Ends an upgradable read.
    #[inline]
    pub fn unlock_upgradable(&self, me: Owner) -> Result<(), Refused> {
        let writes = self.header.gate.load(Ordering::Relaxed) & STATE == WRITING;
        if writes || !mutex::is_owner(&self.header.lock, me) {
            return Err(Refused::NotOwner);
        }
        self.unlock(me);
        Ok(())
    }

    /// From the writer, or the upgradable reader, to a reader. Refused, it is what it was.
    pub fn downgrade(&self, me: Owner, life: u32) -> Result<(), Refused> {
        let gate = self.own(me, WRITING).or_else(|_| self.own(me, OPEN))?;
        self.count_in(self.record(me)?, me, life)?;
        if gate & STATE == WRITING {
            self.open(gate, gate & DIED);
        }
        self.unlock(me);
        Ok(())
    }

    /// From the writer to the upgradable reader.
    pub fn downgrade_to_upgradable(&self, me: Owner) -> Result<(), Refused> {
        let gate = self.own(me, WRITING)?;
        self.open(gate, gate & DIED);
        Ok(())
    }

    /// The writer declares that what the lock protects is whole again. `Ok(false)` if nobody had died.
    pub fn make_consistent(&self, me: Owner) -> Result<bool, Refused> {
        let gate = self.own(me, WRITING)?;
        self.header.gate.store(gate & !DIED, Ordering::Relaxed);
        Ok(gate & DIED != 0)
    }

    /// Makes a lock that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not.
    pub fn reset(&self) -> bool {
        let seen = self.header.gate.load(Ordering::Relaxed);
        let opened = (seen / PHASE).wrapping_add(1).wrapping_mul(PHASE) | OPEN;
        let gate = &self.header.gate;
        seen & STATE == GIVEN_UP && gate.compare_exchange(seen, opened, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// The participant that writes, or is the upgradable reader, if any; a hint.
    pub fn holder(&self) -> Option<ParticipantId> {
        mutex::holder(&self.header.lock)
    }

    /// Whether the gate is closed: a reader that comes now has to wait; a hint.
    pub fn is_closed(&self) -> bool {
        matches!(self.header.gate.load(Ordering::Relaxed) & STATE, CLOSING | WRITING)
    }

    /// What to do for a dead participant: free the mutex, and wake who may wait for what it left.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        mutex::recover(&self.header.lock, dead, peers);
        // Whoever slept because the dead lived looks again: it raised the word before it asked.
        eventcount::recover(&self.header.readers, u32::MAX);
        eventcount::recover(&self.header.drain, u32::MAX);
    }
}

/// What marks the records of a life: never that of a record which nobody has used.
#[inline(always)]
fn stamp(life: u32) -> u64 {
    1 << 21 | u64::from(life) & LIFE_MASK
}

/// One of the counts of a record.
#[inline(always)]
fn count(seen: u64, at: u32) -> u64 {
    seen >> at & MAX_READERS
}

/// Where those count who wait in the gate's phase.
#[inline(always)]
fn waits(gate: u64) -> u32 {
    WAITS[usize::from(gate & PHASE != 0)]
}

#[inline(always)]
fn acquired(gate: u64) -> Acquired {
    if gate & DIED == 0 { Acquired::Clean } else { Acquired::OwnerDied }
}

/// Takes one from a count of the caller's record, and adds one to another, in one step. What an earlier life left there is
/// nobody's.
#[inline(always)]
fn change(record: &RwRecord, life: u32, from: Option<u32>, to: Option<u32>) -> Result<(), Refused> {
    loop {
        // Relaxed: an operand of the compare-and-swap.
        let seen = record.word.load(Ordering::Relaxed);
        let mut counts = if seen >> LIFE == stamp(life) { seen } else { stamp(life) << LIFE };
        if let Some(from) = from {
            if count(counts, from) == 0 {
                return Err(Refused::Corrupted);
            }
            counts -= 1 << from;
        }
        if let Some(to) = to {
            if count(counts, to) == MAX_READERS {
                return Err(Refused::TooMany);
            }
            counts += 1 << to;
        }
        if record.word.compare_exchange(seen, counts, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            return Ok(());
        }
    }
}
