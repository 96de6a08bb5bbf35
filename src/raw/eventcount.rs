//! The eventcount: sleeping beside a structure that is changed without locks, at one futex word.
//!
//! ```text
//!  31                                    1    0
//! +---------------------------------------+----+
//! |                 epoch                 | S  |   S: somebody may sleep
//! +---------------------------------------+----+
//!
//!  waiter                                notifier
//!  prepare: epoch + 1, S = 1             change the structure
//!  fence, barrier on the notifiers       fence (or nothing: see "The fence")
//!  look again: changed? do not sleep     S == 0? done: no system call
//!  sleep while the word is as prepared   epoch + 1;  wake all;  then S = 0 if the word is still that one
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
//! The fence: 5 ns alone, 100 ns where the line it waits for is another core's. A notifier leaves it out if its process
//! is registered for [`membarrier`] and the object's `no_membarrier` flag is clear; a waiter, who has time, issues the
//! barrier. A waiter whose system has no such barrier sets the flag, for good. A notifier that is inside its few
//! instructions at that very moment may be missed once; the cap of the first nap (1 ms) covers that.
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
const EPOCH: u32 = 2;

/// What [`prepare`] left in the word: sleep only while it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "prepared without sleeping: the next notifier makes a system call for nobody"]
pub struct Ticket(u32);

impl Ticket {
    /// The value of the word.
    pub fn value(&self) -> u32 {
        self.0
    }
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran and the caller wants to know.
    Interrupted,
}

/// Announces a sleeper. The caller looks once more at what it waits for, and then calls [`sleep`].
pub fn prepare(event: &EventCount, no_membarrier: &AtomicU32) -> Ticket {
    let ticket = mark(event);
    after_marks(|| no_membarrier.store(1, Ordering::Relaxed));
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

/// The second half. `no_barrier` sets the `no_membarrier` flag of each eventcount that was marked.
pub fn after_marks(no_barrier: impl FnOnce()) {
    if !membarrier::barrier() {
        no_barrier();
    }
    // Invariant 2: pairs with the fence in `notify`, where there is one.
    fence(Ordering::SeqCst);
}

/// Sleeps until notified, capped or past the deadline; returns at once if notified since [`prepare`].
pub fn sleep(event: &EventCount, ticket: Ticket, nap: &mut Nap, wait: Wait) -> Slept {
    nap.sleep(&event.word, ticket.0, wait)
}

/// Tries until `attempt` gives a result, sleeping in between.
///
/// Whoever makes an attempt succeed calls [`notify`] afterwards. An attempt is also made at least every 100 ms.
pub fn wait_until<R>(
    event: &EventCount,
    no_membarrier: &AtomicU32,
    wait: Wait,
    mut attempt: impl FnMut() -> Option<R>,
) -> Result<R, Expired> {
    let mut nap = Nap::new();
    loop {
        // Woken, there is usually something: then S stays clear, and the next notifier makes no system call.
        if let Some(result) = attempt() {
            return Ok(result);
        }
        let ticket = prepare(event, no_membarrier);
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
pub fn notify(event: &EventCount, no_membarrier: &AtomicU32) {
    if membarrier::registered() && no_membarrier.load(Ordering::Relaxed) == 0 {
        // Invariant 2: the machine's half is executed here by the waiter's barrier.
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
    wake_sleepers(event);
}

/// Wakes everybody whom a dead notifier may have left asleep, and whoever waits for what the recovery changed.
///
/// Any number of processes may do this at the same time, and be killed at it.
#[cold]
pub fn recover(event: &EventCount) {
    // The dead one's change is older than the proof of its death, so it stands before this fence.
    fence(Ordering::SeqCst);
    wake_sleepers(event);
}

#[inline]
fn wake_sleepers(event: &EventCount) {
    // Relaxed: invariant 2.
    if event.word.load(Ordering::Relaxed) & SLEEPERS != 0 {
        wake_all(event);
    }
}

#[cold]
fn wake_all(event: &EventCount) {
    let bumped = event.word.fetch_add(EPOCH, Ordering::Relaxed).wrapping_add(EPOCH);
    futex::wake(&event.word, u32::MAX);
    // Invariant 3. If this fails, somebody else prepared or notifies: S is theirs.
    let _ = event.word.compare_exchange(bumped, bumped & !SLEEPERS, Ordering::Relaxed, Ordering::Relaxed);
}
