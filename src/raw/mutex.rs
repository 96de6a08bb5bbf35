//! The robust mutex: a word that names its owner and survives it, and an [eventcount](super::eventcount) to wait at.
//!
//! ```text
//!  31  30          29          13 12           0
//! +---+-----------+--------------+--------------+ +-----------------------+
//! | 0 |OWNER_DIED |   tag : 17   |participant:13| |       waiters         |
//! +---+-----------+--------------+--------------+ +-----------------------+
//! ```
//!
//! | owner field | `OWNER_DIED` | state |
//! |---|---|---|
//! | 0 | no | free (all zero: the valid initial state) |
//! | 0 | yes | free, the next owner is told of a death |
//! | thread | no | held |
//! | thread | yes | held by somebody who was told and has not made it consistent |
//! | [`NOT_RECOVERABLE`] | no | given up: every lock fails |
//!
//! Invariants:
//! 1. While a thread lives, nobody else changes a word that names it. So its owner frees a lock with a plain store: a
//!    lock and an unlock are one locked instruction together, where every lock whose word also says that somebody waits
//!    needs two.
//! 2. Who sleeps has announced itself at the eventcount and then seen the lock held; who frees the lock then looks for
//!    the announcement (the eventcount's invariant 2). So one of the two sees the other.
//! 3. An unlock wakes one sleeper, and the announcement stands until an unlock finds nobody to wake: whoever takes the
//!    lock before the woken one does will wake another. Death of the woken one while the lock is free is the one hole;
//!    [`recover`] closes it by waking another.
//!
//! A death leaves behind:
//! - before the acquiring CAS: at most an announcement, which the next unlock clears at the price of a system call;
//! - while holding: the dead owner in the word; the next locker takes it with `OWNER_DIED`;
//! - after the releasing store, before the wake: sleepers behind a free lock (or one that was given up); their capped
//!   naps, [`recover`] or the next unlock end it;
//! - as the woken waiter: sleepers behind a free lock, as above, or behind a barger, who wakes them.
//!
//! Who waits for the lock among others ([`wait_any`](super::wait_any)) sleeps as any waiter does, and need not acquire:
//! [`hand_on`] is what it owes the other sleepers instead.
//!
//! Orderings: every acquiring CAS is Acquire and pairs with the Release of the store that freed the word. A death
//! needs no pairing: the question that proves it is a system call made after the dead process's last store.
//!
//! Source: our own; the fence between the freeing store and the look at the waiters is executed by the sleeper on the
//! owner's processor, as D. Dice, H. Huang and M. Yang describe for Java monitors ("Asymmetric Dekker
//! Synchronization", 2001).

use super::backoff::Backoff;
use super::eventcount::Announced;
use super::{Fate, Owner, ParticipantId, Peers, eventcount};
use crate::layout::mutex::LockWord;
use crate::primitive::Ordering;
use crate::sys::nap::{Deadline, Nap, Slept, Wait};

pub(super) const OWNER_MASK: u32 = (1 << 30) - 1;
const OWNER_DIED: u32 = 1 << 30;
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
pub fn lock_fast(lock: &LockWord, me: Owner) -> bool {
    exchange(lock, 0, me.bits())
}

/// Acquires the lock, waiting as `wait` says.
#[inline]
pub fn lock(lock: &LockWord, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
    if lock_fast(lock, me) {
        return Ok(Acquired::Clean);
    }
    lock_slow(lock, me, peers, wait)
}

/// The rest of [`lock`], once the fast path has failed.
#[cold]
pub fn lock_slow(lock: &LockWord, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
    let mut nap = Nap::new();
    let mut backoff = Backoff::new();
    loop {
        // Relaxed: the value is only an operand of the CASes below, which order what follows.
        let seen = lock.owner.load(Ordering::Relaxed);
        let owner = seen & OWNER_MASK;
        if owner == 0 {
            if exchange(lock, seen, me.bits() | (seen & OWNER_DIED)) {
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
        // Whether somebody sleeps or not: a sleeper is woken at the next unlock, we can have the lock before that.
        if wait.deadline != Deadline::Now && backoff.pause() {
            continue;
        }
        match peers.fate((owner & 0x1fff) as ParticipantId) {
            Fate::Alive => {}
            Fate::Dead => {
                // Exact value: if anything changed, somebody else has dealt with the dead owner.
                if exchange(lock, seen, me.bits() | OWNER_DIED) {
                    return Ok(Acquired::OwnerDied);
                }
                continue;
            }
            Fate::Invalid => return Err(Refused::Corrupted),
        }
        if wait.deadline == Deadline::Now {
            return Err(Refused::WouldBlock);
        }
        let ticket = eventcount::prepare(&lock.waiters);
        if lock.owner.load(Ordering::Relaxed) != seen {
            continue; // invariant 2
        }
        match eventcount::sleep(&lock.waiters, ticket, &mut nap, wait) {
            Slept::Recheck => backoff = Backoff::new(),
            // A wake-up that we take with us is not lost: the lock was held just now, and its holder will find the
            // announcement and wake another.
            Slept::TimedOut => return Err(Refused::TimedOut),
            Slept::Interrupted => return Err(Refused::Interrupted),
        }
    }
}

#[inline]
fn exchange(lock: &LockWord, seen: u32, new: u32) -> bool {
    lock.owner.compare_exchange(seen, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

fn acquired(seen: u32) -> Acquired {
    if seen & OWNER_DIED == 0 { Acquired::Clean } else { Acquired::OwnerDied }
}

/// Whether locking would end at once, as far as the word alone tells: it is free, given up, or the caller's.
pub fn seems_ready(lock: &LockWord, me: Owner) -> bool {
    ends_at_once(lock.owner.load(Ordering::Relaxed), me)
}

fn ends_at_once(seen: u32, me: Owner) -> bool {
    let owner = seen & OWNER_MASK;
    owner == 0 || owner == NOT_RECOVERABLE || owner == me.bits()
}

/// The same, with the question whether its owner lives. A word that no participant writes makes locking end too.
pub fn is_ready(lock: &LockWord, me: Owner, peers: &impl Peers) -> bool {
    let seen = lock.owner.load(Ordering::Relaxed);
    ends_at_once(seen, me) || peers.fate((seen & 0x1fff) as ParticipantId) != Fate::Alive
}

/// Announces a sleeper of a lock that is held. `None`: there is no need.
///
/// Whoever has slept so and does not lock in the end owes a [`hand_on`].
pub fn announce(lock: &LockWord, me: Owner) -> Option<Announced<'_>> {
    (!seems_ready(lock, me)).then(|| Announced::at(&lock.waiters))
}

/// For one who has slept at the lock, perhaps been woken, and leaves without it: if it is free, the wake-up goes to
/// another sleeper. If not, its holder will find the announcement, which stands while somebody sleeps.
pub fn hand_on(lock: &LockWord) {
    if lock.owner.load(Ordering::Relaxed) & OWNER_MASK == 0 {
        eventcount::recover(&lock.waiters, 1);
    }
}

/// Releases the lock. If its last owner died and it was not made consistent, it is given up for ever instead.
#[inline]
pub fn unlock(lock: &LockWord, me: Owner) -> Result<(), NotOwner> {
    if unlock_fast(lock, me) { Ok(()) } else { give_up(lock, me) }
}

/// Releases a lock that the calling thread holds and that is consistent; `false` if it is not so.
#[inline(always)]
pub fn unlock_fast(lock: &LockWord, me: Owner) -> bool {
    // Relaxed: only our own stores can make or unmake it true.
    if lock.owner.load(Ordering::Relaxed) != me.bits() {
        return false;
    }
    lock.owner.store(0, Ordering::Release); // invariant 1
    eventcount::notify_one(&lock.waiters);
    true
}

/// Gives the lock up for good, and wakes all who wait.
#[cold]
pub fn give_up(lock: &LockWord, me: Owner) -> Result<(), NotOwner> {
    if !is_owner(lock, me) {
        return Err(NotOwner);
    }
    lock.owner.store(NOT_RECOVERABLE, Ordering::Release);
    eventcount::notify(&lock.waiters);
    Ok(())
}

/// Releases the lock so that the next owner is told of a death: for a guard that is dropped without having been made
/// consistent, and for a thread that ends while holding.
pub fn give_back(lock: &LockWord, me: Owner) -> Result<(), NotOwner> {
    if !is_owner(lock, me) {
        return Err(NotOwner);
    }
    lock.owner.store(OWNER_DIED, Ordering::Release);
    eventcount::notify_one(&lock.waiters);
    Ok(())
}

/// Gives the lock away as [`unlock`] does, or, if its last owner died and it was not made consistent, as [`give_back`].
#[inline]
pub fn hand_over(lock: &LockWord, me: Owner) -> Result<(), NotOwner> {
    if is_inconsistent(lock) { give_back(lock, me) } else { unlock(lock, me) }
}

/// Declares that what the lock protects is whole again. `Ok(false)` if nobody had died.
pub fn make_consistent(lock: &LockWord, me: Owner) -> Result<bool, NotOwner> {
    if !is_owner(lock, me) {
        return Err(NotOwner);
    }
    let died = is_inconsistent(lock);
    // Relaxed: unlock publishes.
    lock.owner.store(me.bits(), Ordering::Relaxed);
    Ok(died)
}

/// Makes a lock that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not.
pub fn reset(lock: &LockWord) -> bool {
    lock.owner.compare_exchange(NOT_RECOVERABLE, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Whether the calling thread holds the lock.
pub fn is_owner(lock: &LockWord, me: Owner) -> bool {
    // Relaxed: only our own stores can make or unmake it true.
    lock.owner.load(Ordering::Relaxed) & OWNER_MASK == me.bits()
}

/// Whether a death is still to be told of, or to be made good by the owner.
pub fn is_inconsistent(lock: &LockWord) -> bool {
    // Relaxed: only the owner, who asks, takes the bit away.
    lock.owner.load(Ordering::Relaxed) & OWNER_DIED != 0
}

/// Whether the lock was given up; a hint, since it may be reset.
pub fn is_given_up(lock: &LockWord) -> bool {
    lock.owner.load(Ordering::Relaxed) & OWNER_MASK == NOT_RECOVERABLE
}

/// The participant that holds the lock, if any; a hint, since it may change at once.
pub fn holder(lock: &LockWord) -> Option<ParticipantId> {
    let owner = lock.owner.load(Ordering::Relaxed) & OWNER_MASK;
    (owner != 0 && owner != NOT_RECOVERABLE).then_some((owner & 0x1fff) as ParticipantId)
}

/// Frees the lock if participant `dead` died holding it, and passes on the wake-up it may have died with.
///
/// Any number of processes may do this at the same time, and be killed at it. Returns whether this call freed it.
pub fn recover(lock: &LockWord, dead: ParticipantId, peers: &impl Peers) -> bool {
    let freed = free_from(lock, dead, peers);
    // Whatever the word says: a dead unlocker or a dead woken waiter leaves others asleep. Relaxed: the caller knows of
    // the death, so it sees at least what the dead wrote.
    let given_up = lock.owner.load(Ordering::Relaxed) & OWNER_MASK == NOT_RECOVERABLE;
    eventcount::recover(&lock.waiters, if given_up { u32::MAX } else { 1 });
    freed
}

fn free_from(lock: &LockWord, dead: ParticipantId, peers: &impl Peers) -> bool {
    loop {
        let seen = lock.owner.load(Ordering::Relaxed);
        let owner = seen & OWNER_MASK;
        if owner == NOT_RECOVERABLE || dead == 0 || (owner & 0x1fff) as ParticipantId != dead {
            return false;
        }
        // Asked after the load: the number may have a living successor by now.
        if peers.fate(dead) != Fate::Dead {
            return false;
        }
        // Exact value, so it is the dead owner that is taken out. Release: passes on what it had written.
        if lock.owner.compare_exchange(seen, OWNER_DIED, Ordering::Release, Ordering::Relaxed).is_ok() {
            return true;
        }
    }
}
