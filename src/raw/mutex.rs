//! The robust mutex: one 32-bit futex word that survives its owner.
//!
//! ```text
//!  31       30          29          13 12           0
//! +--------+-----------+--------------+--------------+
//! |WAITERS |OWNER_DIED |   tag : 17   |participant:13|
//! +--------+-----------+--------------+--------------+
//! ```
//!
//! | owner field | flags | state |
//! |---|---|---|
//! | 0 | - | free (all zero: the valid initial state) |
//! | 0 | `WAITERS` | free, sleepers may be about |
//! | 0 | `OWNER_DIED` (`WAITERS`) | free, the next owner is told of a death |
//! | thread | (`WAITERS`) | held |
//! | thread | `OWNER_DIED` (`WAITERS`) | held by somebody who was told and has not made it consistent |
//! | [`NOT_RECOVERABLE`] | - | given up: every lock fails |
//!
//! Invariants:
//! 1. Only the owner, or somebody who knows that the owner is dead, takes the owner out of the word.
//! 2. While somebody sleeps, the word has `WAITERS`, or somebody is awake between a sleep and its next acquire, which
//!    will set it (3). Death of that somebody is the one hole; [`recover`] closes it by waking another.
//! 3. Whoever acquires after having slept sets `WAITERS`: it cannot know whether others sleep. Without this a late
//!    clearing (the last step of `unlock`) puts a sleeper to sleep for ever, with no kill at all.
//! 4. `unlock` never passes through a state without `WAITERS` while somebody may sleep: it leaves `WAITERS` in the free
//!    word, wakes one, and clears the bit only if there was nobody. A plain swap to 0 loses the other sleepers when the
//!    woken one dies while a barger holds the lock.
//!
//! A death leaves behind:
//! - before the acquiring CAS: at most a stray `WAITERS`, which the next unlock clears;
//! - while holding: the dead owner in the word; the next locker takes it with `OWNER_DIED`;
//! - after the releasing store, before the wake: sleepers behind a free word (or one that was given up); their capped
//!   naps or [`recover`] end it;
//! - as the woken waiter: sleepers behind a word that is free, or held by a barger; if `WAITERS` is set the barger's
//!   unlock wakes them, and where a late clearing took the bit away their naps or [`recover`] do.
//!
//! Who waits for the lock among others ([`wait_any`](super::wait_any)) sleeps as any waiter does, and need not acquire:
//! [`hand_on`] is what it owes the other sleepers instead of invariant 3.
//!
//! Orderings: every acquiring CAS is Acquire and pairs with the Release of the store that freed the word. A death
//! needs no pairing: the question that proves it is a system call made after the dead process's last store.
//!
//! Source: U. Drepper, "Futexes Are Tricky" (2011) for the three-state futex lock; invariants 3 and 4 are ours.

use super::backoff::Backoff;
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::mutex::LockWord;
use crate::primitive::Ordering;
use crate::sys::futex;
use crate::sys::nap::{Deadline, Nap, Slept, Wait};

const OWNER_MASK: u32 = (1 << 30) - 1;
const OWNER_DIED: u32 = 1 << 30;
const WAITERS: u32 = 1 << 31;
/// The word of a lock that was given up: participant 0 with every tag bit set, which no thread can be.
pub const NOT_RECOVERABLE: u32 = OWNER_MASK & !0x1fff;

/// How a lock was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// As its last owner left it.
    Clean,
    /// The last owner died, or gave it back without making it consistent. The lock is held.
    OwnerDied,
}

/// Why a lock was not acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Held by somebody else (only when not waiting at all).
    WouldBlock,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The calling thread holds it.
    WouldDeadlock,
    /// It was given up by an owner that could not make it consistent.
    NotRecoverable,
    /// The word holds something that no participant writes.
    Corrupted,
}

/// The calling thread does not own the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOwner;

/// Acquires a free lock with one CAS; `false` if that is not enough.
#[inline]
pub fn lock_fast(word: &LockWord, me: Owner) -> bool {
    word.0.compare_exchange(0, me.bits(), Ordering::Acquire, Ordering::Relaxed).is_ok()
}

/// Acquires the lock, waiting as `wait` says.
#[inline]
pub fn lock(word: &LockWord, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
    if lock_fast(word, me) {
        return Ok(Acquired::Clean);
    }
    lock_slow(word, me, peers, wait)
}

/// The rest of [`lock`], once the fast path has failed.
#[cold]
pub fn lock_slow(word: &LockWord, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
    let mut nap = Nap::new();
    let mut slept = false;
    let mut backoff = Backoff::new();
    loop {
        // Relaxed: the value is only an operand of the CASes below, which order what follows.
        let seen = word.0.load(Ordering::Relaxed);
        let sticky = if slept { WAITERS } else { 0 }; // invariant 3
        let owner = seen & OWNER_MASK;
        if owner == 0 {
            if exchange(word, seen, seen | me.bits() | sticky) {
                return Ok(acquired(seen));
            }
            continue;
        }
        if owner == NOT_RECOVERABLE {
            return Err(Refused::NotRecoverable);
        }
        if owner == me.bits() {
            return Err(Refused::WouldDeadlock);
        }
        // WAITERS or not: a sleeper is woken at the next unlock, we can have the lock before that.
        if wait.deadline != Deadline::Now && backoff.pause() {
            continue;
        }
        match peers.fate((owner & 0x1fff) as ParticipantId) {
            Fate::Alive => {}
            Fate::Dead => {
                // Exact value: if anything changed, somebody else has dealt with the dead owner.
                if exchange(word, seen, me.bits() | OWNER_DIED | (seen & WAITERS) | sticky) {
                    return Ok(Acquired::OwnerDied);
                }
                continue;
            }
            Fate::Invalid => return Err(Refused::Corrupted),
        }
        if wait.deadline == Deadline::Now {
            return Err(Refused::WouldBlock);
        }
        if seen & WAITERS == 0 && !exchange(word, seen, seen | WAITERS) {
            continue;
        }
        match nap.sleep(&word.0, seen | WAITERS, wait) {
            Slept::Recheck => {
                slept = true;
                backoff = Backoff::new();
            }
            // A wake-up that we take with us is not lost: whoever holds the lock now found WAITERS and will wake
            // another, and if nobody holds it we have just been through the loop and would have taken it.
            Slept::TimedOut => return Err(Refused::TimedOut),
            Slept::Interrupted => return Err(Refused::Interrupted),
        }
    }
}

fn exchange(word: &LockWord, seen: u32, new: u32) -> bool {
    word.0.compare_exchange(seen, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

fn acquired(seen: u32) -> Acquired {
    if seen & OWNER_DIED == 0 { Acquired::Clean } else { Acquired::OwnerDied }
}

/// Whether locking would end at once, as far as the word alone tells: it is free, given up, or the caller's.
pub fn seems_ready(word: &LockWord, me: Owner) -> bool {
    ends_at_once(word.0.load(Ordering::Relaxed), me)
}

fn ends_at_once(seen: u32, me: Owner) -> bool {
    let owner = seen & OWNER_MASK;
    owner == 0 || owner == NOT_RECOVERABLE || owner == me.bits()
}

/// The same, with the question whether its owner lives. A word that no participant writes makes locking end too.
pub fn is_ready(word: &LockWord, me: Owner, peers: &impl Peers) -> bool {
    let seen = word.0.load(Ordering::Relaxed);
    ends_at_once(seen, me) || peers.fate((seen & 0x1fff) as ParticipantId) != Fate::Alive
}

/// Announces a sleeper of a lock that is held; the word to sleep behind. `None`: there is no need.
///
/// Whoever has slept so and does not lock in the end owes a [`hand_on`].
pub fn announce(word: &LockWord, me: Owner) -> Option<u32> {
    loop {
        let seen = word.0.load(Ordering::Relaxed);
        if ends_at_once(seen, me) {
            return None;
        }
        if seen & WAITERS != 0 || exchange(word, seen, seen | WAITERS) {
            return Some(seen | WAITERS);
        }
    }
}

/// For one who has slept at the lock, perhaps been woken, and leaves without it: the wake-up goes to another sleeper, or
/// the lock's holder is told to wake one (as invariant 3 has it for those who acquire).
pub fn hand_on(word: &LockWord) {
    loop {
        let seen = word.0.load(Ordering::Relaxed);
        match seen & OWNER_MASK {
            // Also without WAITERS: a late clearing may have taken it.
            0 => {
                futex::wake(&word.0, 1);
                break;
            }
            // Everybody was woken.
            NOT_RECOVERABLE => break,
            _ if seen & WAITERS != 0 || exchange(word, seen, seen | WAITERS) => break,
            _ => {}
        }
    }
}

/// Releases the lock. If its last owner died and it was not made consistent, it is given up for ever instead.
#[inline]
pub fn unlock(word: &LockWord, me: Owner) -> Result<(), NotOwner> {
    match word.0.compare_exchange(me.bits(), 0, Ordering::Release, Ordering::Relaxed) {
        Ok(_) => Ok(()),
        Err(seen) => unlock_slow(word, me, seen),
    }
}

#[cold]
fn unlock_slow(word: &LockWord, me: Owner, seen: u32) -> Result<(), NotOwner> {
    if seen & OWNER_MASK != me.bits() {
        return Err(NotOwner);
    }
    // Nobody takes us out of the word while we live (invariant 1), so what we swap out is ours. A swap and not a store:
    // others set WAITERS at the same time, and read-modify-writes have one order that the models can trust.
    if seen & OWNER_DIED != 0 {
        word.0.swap(NOT_RECOVERABLE, Ordering::Release);
        futex::wake(&word.0, u32::MAX);
        return Ok(());
    }
    word.0.swap(WAITERS, Ordering::Release);
    if futex::wake(&word.0, 1) == 0 {
        // Nobody slept. Relaxed: nothing is published; a loss means that somebody took the lock or will clear it.
        let _ = word.0.compare_exchange(WAITERS, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
    Ok(())
}

/// Releases the lock so that the next owner is told of a death: for a guard that is dropped without having been made
/// consistent, and for a thread that ends while holding.
pub fn give_back(word: &LockWord, me: Owner) -> Result<(), NotOwner> {
    loop {
        let seen = word.0.load(Ordering::Relaxed);
        if seen & OWNER_MASK != me.bits() {
            return Err(NotOwner);
        }
        let freed = OWNER_DIED | (seen & WAITERS);
        if word.0.compare_exchange(seen, freed, Ordering::Release, Ordering::Relaxed).is_ok() {
            if freed & WAITERS != 0 {
                futex::wake(&word.0, 1);
            }
            return Ok(());
        }
    }
}

/// Declares that what the lock protects is whole again. `Ok(false)` if nobody had died.
pub fn make_consistent(word: &LockWord, me: Owner) -> Result<bool, NotOwner> {
    if !is_owner(word, me) {
        return Err(NotOwner);
    }
    // A read-modify-write, since a waiter may set WAITERS at the same time. Relaxed: unlock publishes.
    Ok(word.0.fetch_and(!OWNER_DIED, Ordering::Relaxed) & OWNER_DIED != 0)
}

/// Makes a lock that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not.
pub fn reset(word: &LockWord) -> bool {
    word.0.compare_exchange(NOT_RECOVERABLE, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Whether the calling thread holds the lock.
pub fn is_owner(word: &LockWord, me: Owner) -> bool {
    // Relaxed: only our own stores can make or unmake it true.
    word.0.load(Ordering::Relaxed) & OWNER_MASK == me.bits()
}

/// Whether a death is still to be told of, or to be made good by the owner.
pub fn is_inconsistent(word: &LockWord) -> bool {
    // Relaxed: only the owner, who asks, takes the bit away.
    word.0.load(Ordering::Relaxed) & OWNER_DIED != 0
}

/// The participant that holds the lock, if any; a hint, since it may change at once.
pub fn holder(word: &LockWord) -> Option<ParticipantId> {
    let owner = word.0.load(Ordering::Relaxed) & OWNER_MASK;
    (owner != 0 && owner != NOT_RECOVERABLE).then_some((owner & 0x1fff) as ParticipantId)
}

/// Frees the lock if participant `dead` died holding it, and passes on the wake-up it may have died with.
///
/// Any number of processes may do this at the same time, and be killed at it. Returns whether this call freed it.
pub fn recover(word: &LockWord, dead: ParticipantId, peers: &impl Peers) -> bool {
    let freed = free_from(word, dead, peers);
    // Whatever the word says: a late clearing may have left sleepers behind a word without WAITERS, held or free, when
    // the one awake that would have set it again died. Relaxed: the caller knows of the death, so it sees at least what
    // the dead wrote.
    let given_up = word.0.load(Ordering::Relaxed) & OWNER_MASK == NOT_RECOVERABLE;
    futex::wake(&word.0, if given_up { u32::MAX } else { 1 });
    freed
}

fn free_from(word: &LockWord, dead: ParticipantId, peers: &impl Peers) -> bool {
    loop {
        let seen = word.0.load(Ordering::Relaxed);
        let owner = seen & OWNER_MASK;
        if owner == NOT_RECOVERABLE || dead == 0 || (owner & 0x1fff) as ParticipantId != dead {
            return false;
        }
        // Asked after the load: the number may have a living successor by now.
        if peers.fate(dead) != Fate::Dead {
            return false;
        }
        // Exact value, so it is the dead owner that is taken out. Release: passes on what it had written.
        let freed = OWNER_DIED | (seen & WAITERS);
        if word.0.compare_exchange(seen, freed, Ordering::Release, Ordering::Relaxed).is_ok() {
            return true;
        }
    }
}
