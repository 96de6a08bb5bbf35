//! The eventcount: sleeping beside a structure that is changed without locks, at one futex word.
//!
//! ```text
//!  31                               2    1    0
//! +----------------------------------+----+----+
//! |              epoch               | F  | S  |   S: somebody may sleep; F: notifiers must fence
//! +----------------------------------+----+----+
//!
//!  waiter                                notifier
//!  prepare: epoch + 1, S = 1             change the structure
//!  fence, barrier on the notifiers       fence (or nothing: see "The fence")
//!  look again: changed? do not sleep     S == 0? done: no system call
//!  sleep while the word is as prepared   epoch + 1;  wake all, or one;  then S = 0 if the word is still that one
//!                                        (and, if it was to be one, there was none)
//! ```
//!
//! | word | state |
//! |---|---|
//! | S = 0 | nobody sleeps |
//! | S = 1 | somebody sleeps, or is about to, or was about to and found no need |
//!
//! Every value is one of these: there is nothing to corrupt but the sleep of others, which is capped.
//!
//! Invariants:
//! 1. A sleeper exists only behind a word with S set, whose value it set itself in `prepare`.
//! 2. Of a waiter's second look and a notifier's look at S, at least one sees what the other did: each has a full fence
//!    between its store and its look, or one of them has had it executed on its processor by the other.
//! 3. A notifier bumps, wakes, and only then clears S, and only in the exact word it left by the bump. Cleared first, a
//!    notifier that dies before it wakes leaves sleepers that no later notifier looks for.
//! 4. A waiter always changes the word, even where S is set: a notifier between its wake and its clearing must fail to
//!    clear S under the newcomer.
//!
//! A death leaves behind:
//! - as a waiter: at most a stray S, which costs the next notifier one system call;
//! - as a notifier, between its change and the wake: sleepers behind a word with S (invariant 3). The next notifier,
//!   their capped naps or [`recover`] end it. After the wake: a stray S.
//!
//! Waking one: what the notifier leaves free, the one woken takes, or somebody who barged in and will notify in turn. S
//! stays set for them. So whoever gives up waiting must look once more after it has prepared, as [`wait_until`] does.
//!
//! The fence: 5 ns alone, 100 ns where the line it waits for is another core's. A notifier leaves it out if its process
//! is registered for [`membarrier`] and F is clear; a waiter, who has time, issues the
//! barrier. A waiter whose system has no such barrier sets F, for good. A notifier that is inside its few
//! instructions at that very moment may be missed once; the cap of the first nap (8 ms) covers that.
//!
//! Orderings: fences carry everything; the operations on the word itself are Relaxed but for the epoch's order, which
//! coherence of one word gives.
//!
//! Source: D. Vyukov's eventcounts (2008-), reduced to one word; invariants 3 and 4 are for death.

use crate::layout::eventcount::EventCount;
use crate::primitive::{AtomicU32, Ordering, compiler_fence, fence};
use crate::sys::nap::{Nap, Slept, Wait};
use crate::sys::{futex, membarrier};

const SLEEPERS: u32 = 1;
/// Set in the word: notifiers must fence.
pub const FENCE: u32 = 2;
const EPOCH: u32 = 4;

/// What [`prepare`] left in the word: sleep only while it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "prepared without sleeping: the next notifier makes a system call for nobody"]
pub struct Ticket(u32);

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran and the caller wants to know.
    Interrupted,
}

/// Announces a sleeper. The caller looks once more at what it waits for, and then calls [`sleep`].
pub fn prepare(event: &EventCount) -> Ticket {
    let mut ticket = mark(event);
    after_marks(|| ticket = Ticket(ask_for_fences(&event.word, ticket.0)));
    ticket
}

/// The first half of [`prepare`], for one who waits at several eventcounts: [`after_marks`] comes before it looks again.
pub fn mark(event: &EventCount) -> Ticket {
    let mut seen = event.word.load(Ordering::Relaxed);
    loop {
        let next = seen.wrapping_add(EPOCH) | SLEEPERS; // invariant 4
        match event.word.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Ticket(next),
            Err(now) => seen = now,
        }
    }
}

/// The second half. `no_barrier` [asks for fences](Announced::ask_for_fences) at each eventcount that was marked.
pub fn after_marks(no_barrier: impl FnOnce()) {
    if !membarrier::barrier() {
        no_barrier();
    }
    // Invariant 2: pairs with the fence in `is_awaited`, where there is one.
    fence(Ordering::SeqCst);
}

/// Before a look that decides something for good: of that look and of whoever notifies here, one sees what the other did
/// before. The waiter's half of invariant 2, without a wait.
pub fn before_last_look(event: &EventCount) {
    after_marks(|| {
        ask_for_fences(&event.word, 0);
    });
}

/// There is no barrier: whoever notifies at this word is to fence, for good. What to expect in the word now.
fn ask_for_fences(word: &AtomicU32, expected: u32) -> u32 {
    word.fetch_or(FENCE, Ordering::Relaxed);
    expected | FENCE
}

/// A sleeper that is announced at an eventcount, or at another futex word.
#[derive(Clone, Copy, Debug)]
pub struct Announced<'a> {
    /// Sleep on this
    pub word: &'a AtomicU32,
    /// while it has this value,
    pub value: u32,
    /// and look again only behind a barrier: it is an eventcount's.
    pub barrier: bool,
}

impl<'a> Announced<'a> {
    /// Announces a sleeper at an eventcount, without the barrier yet.
    pub fn at(event: &'a EventCount) -> Self {
        Self { word: &event.word, value: mark(event).0, barrier: true }
    }

    /// An announcement that stands in a word which is no eventcount's.
    pub fn in_word(word: &'a AtomicU32, value: u32) -> Self {
        Self { word, value, barrier: false }
    }

    /// There is no barrier: see [`after_marks`].
    pub fn ask_for_fences(&mut self) {
        if self.barrier {
            self.value = ask_for_fences(self.word, self.value);
        }
    }
}

/// Sleeps until notified, capped or past the deadline; returns at once if notified since [`prepare`].
pub fn sleep(event: &EventCount, ticket: Ticket, nap: &mut Nap, wait: Wait) -> Slept {
    nap.sleep(&event.word, ticket.0, wait)
}

/// Tries until `attempt` gives a result, sleeping in between.
///
/// Whoever makes an attempt succeed calls [`notify`] afterwards. An attempt is also made at least every 100 ms.
pub fn wait_until<R>(event: &EventCount, wait: Wait, mut attempt: impl FnMut() -> Option<R>) -> Result<R, Expired> {
    let mut nap = Nap::new();
    loop {
        // Woken, there is usually something: then S stays clear, and the next notifier makes no system call.
        if let Some(result) = attempt() {
            return Ok(result);
        }
        let ticket = prepare(event);
        if let Some(result) = attempt() {
            return Ok(result);
        }
        match sleep(event, ticket, &mut nap, wait) {
            Slept::Recheck => {}
            Slept::TimedOut => return Err(Expired::TimedOut),
            Slept::Interrupted => return Err(Expired::Interrupted),
        }
    }
}

/// Wakes everybody who sleeps, after a change that they may wait for. No system call if nobody does.
#[inline]
pub fn notify(event: &EventCount) {
    if is_awaited(event) {
        wake(event, u32::MAX);
    }
}

/// The same if `useful`, which is asked, behind a full fence, only where somebody sleeps. Whoever makes it useful later notifies.
#[inline(always)]
pub fn notify_if(event: &EventCount, useful: impl FnOnce() -> bool) {
    if is_awaited(event) {
        wake_if(event, useful);
    }
}

#[cold]
#[inline(never)]
fn wake_if(event: &EventCount, useful: impl FnOnce() -> bool) {
    fence(Ordering::SeqCst);
    if useful() {
        wake(event, u32::MAX);
    }
}

/// Wakes one of those who sleep, after a change that one of them can use up. No system call if nobody does.
#[inline(always)]
pub fn notify_one(event: &EventCount) {
    if is_awaited(event) {
        wake(event, 1);
    }
}

/// Whether somebody may sleep, after a change that they may wait for: for one who has to look whether they do before it
/// notifies.
#[inline(always)]
pub fn is_awaited(event: &EventCount) -> bool {
    if membarrier::registered() {
        // Invariant 2: the machine's half is executed here by the waiter's barrier.
        compiler_fence(Ordering::SeqCst);
        let word = event.word.load(Ordering::Relaxed);
        if word & (FENCE | SLEEPERS) == 0 {
            return false;
        }
        if word & FENCE == 0 {
            return true;
        }
    }
    fence(Ordering::SeqCst);
    // Relaxed: invariant 2.
    event.word.load(Ordering::Relaxed) & SLEEPERS != 0
}

/// Wakes those whom a dead notifier may have left asleep, and whoever waits for what the recovery changed: all
/// (`u32::MAX`), or one where one can use it up.
///
/// Any number of processes may do this at the same time, and be killed at it.
#[cold]
pub fn recover(event: &EventCount, most: u32) {
    // The dead one's change is older than the proof of its death, so it stands before this fence.
    fence(Ordering::SeqCst);
    // Relaxed: invariant 2.
    if event.word.load(Ordering::Relaxed) & SLEEPERS != 0 {
        wake(event, most);
    }
}

#[cold]
fn wake(event: &EventCount, most: u32) {
    let bumped = event.word.fetch_add(EPOCH, Ordering::Relaxed).wrapping_add(EPOCH);
    let woken = futex::wake(&event.word, most);
    if woken == 0 || most == u32::MAX {
        // Invariant 3. If this fails, somebody else prepared or notifies: S is theirs.
        let _ = event.word.compare_exchange(bumped, bumped & !SLEEPERS, Ordering::Relaxed, Ordering::Relaxed);
    }
}
