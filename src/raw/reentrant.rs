//! The reentrant mutex: a [robust mutex](super::mutex) and a count that belongs to its owner.
//!
//! ```text
//! owner: u32 | waiters: u32 | further: u32
//! ```
//!
//! | owner | further | state |
//! |---|---|---|
//! | free | 0 | free |
//! | free, `OWNER_DIED` | anything | free; the next owner sets it to 0 |
//! | held by a thread | n | locked n + 1 times by that thread |
//!
//! Invariant: only the owner reads or writes `further`, so Relaxed accesses suffice. It is 0 when the owner unlocks for
//! the last time, so that an uncontended lock has nothing to store; what a dead owner left in it is overwritten by
//! whoever is told of the death. A death at any step leaves what it leaves in the mutex.

use super::mutex::{self, Acquired, NotOwner, Refused};
use super::{Owner, Peers};
use crate::layout::mutex::LockWord;
use crate::primitive::{AtomicU32, Ordering};
use crate::sys::nap::Wait;

/// A reentrant lock: its word and its count.
#[derive(Clone, Copy, Debug)]
pub struct Reentrant<'a> {
    /// The lock word.
    pub word: &'a LockWord,
    /// How often its owner has locked it beyond the first time.
    pub further: &'a AtomicU32,
}

/// The calling thread has locked it as often as can be counted, 2^32 - 1 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften;

/// What an unlock left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// The calling thread still holds it.
    Still,
    /// It is free.
    Free,
}

impl Reentrant<'_> {
    /// Locks once more if the calling thread holds the lock already. `None` if it does not.
    #[inline]
    pub fn relock(&self, me: Owner) -> Option<Result<(), TooOften>> {
        if !mutex::is_owner(self.word, me) {
            return None;
        }
        let further = self.further.load(Ordering::Relaxed);
        if further >= u32::MAX - 1 {
            return Some(Err(TooOften));
        }
        self.further.store(further + 1, Ordering::Relaxed);
        Some(Ok(()))
    }

    /// Locks a free lock, or one that the calling thread holds, without waiting; `false` if it takes more than that.
    #[inline]
    pub fn lock_fast(&self, me: Owner) -> bool {
        match self.relock(me) {
            Some(relocked) => relocked.is_ok(),
            None => mutex::lock_fast(self.word, me),
        }
    }

    /// How often the calling thread has locked it.
    pub fn levels(&self, me: Owner) -> u32 {
        if mutex::is_owner(self.word, me) { self.further.load(Ordering::Relaxed).saturating_add(1) } else { 0 }
    }

    /// Acquires the lock, which the calling thread does not hold.
    #[inline]
    pub fn lock(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
        let acquired = mutex::lock(self.word, me, peers, wait)?;
        if acquired == Acquired::OwnerDied {
            self.further.store(0, Ordering::Relaxed);
        }
        Ok(acquired)
    }

    /// Makes a lock that its owner has locked, however often, one that it has locked `levels` times.
    pub fn set_levels(&self, levels: u32) {
        self.further.store(levels.saturating_sub(1), Ordering::Relaxed);
    }

    /// Unlocks once. If the last owner died and the lock was not made consistent, the last unlock gives it up for ever.
    #[inline]
    pub fn unlock(&self, me: Owner) -> Result<Unlocked, NotOwner> {
        if self.unlock_last(me) { Ok(Unlocked::Free) } else { self.undo(me, mutex::unlock) }
    }

    /// Unlocks once. If the last owner died and the lock was not made consistent, the next owner is told too.
    #[inline]
    pub fn leave(&self, me: Owner) -> Result<Unlocked, NotOwner> {
        if self.unlock_last(me) { Ok(Unlocked::Free) } else { self.undo(me, mutex::give_back) }
    }

    /// Unlocks a consistent lock that is locked once; `false` if it is not so.
    #[inline(always)]
    fn unlock_last(&self, me: Owner) -> bool {
        self.further.load(Ordering::Relaxed) == 0 && mutex::unlock_fast(self.word, me)
    }

    /// Unlocks a lock that is locked more than once, or is not consistent, or not the calling thread's.
    #[inline]
    fn undo(
        &self,
        me: Owner,
        last: impl FnOnce(&LockWord, Owner) -> Result<(), NotOwner>,
    ) -> Result<Unlocked, NotOwner> {
        if !mutex::is_owner(self.word, me) {
            return Err(NotOwner);
        }
        let further = self.further.load(Ordering::Relaxed);
        if further > 0 {
            self.further.store(further - 1, Ordering::Relaxed);
            return Ok(Unlocked::Still);
        }
        last(self.word, me)?;
        Ok(Unlocked::Free)
    }
}
