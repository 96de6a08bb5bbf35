//! The reentrant mutex: a [robust mutex](super::mutex) and a count that belongs to its owner.
//!
//! ```text
//! lock word: u32 | count: u32
//! ```
//!
//! | lock word | count | state |
//! |---|---|---|
//! | free | anything | free; the next owner sets the count to 1 |
//! | held by a thread | n >= 1 | locked n times by that thread |
//!
//! Invariant: only the owner reads or writes the count, so Relaxed accesses suffice; what a dead owner left in it is
//! overwritten by the next. A death at any step leaves what it leaves in the mutex.

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
    /// How often its owner has locked it.
    pub count: &'a AtomicU32,
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
        let Some(count) = self.count.load(Ordering::Relaxed).checked_add(1) else {
            return Some(Err(TooOften));
        };
        self.count.store(count, Ordering::Relaxed);
        Some(Ok(()))
    }

    /// Locks a free lock, or one that the calling thread holds, without waiting; `false` if it takes more than that.
    #[inline]
    pub fn lock_fast(&self, me: Owner) -> bool {
        match self.relock(me) {
            Some(relocked) => relocked.is_ok(),
            None if mutex::lock_fast(self.word, me) => {
                self.count.store(1, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// How often the calling thread has locked it.
    pub fn levels(&self, me: Owner) -> u32 {
        if mutex::is_owner(self.word, me) { self.count.load(Ordering::Relaxed) } else { 0 }
    }

    /// Acquires the lock, which the calling thread does not hold.
    #[inline]
    pub fn lock(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Acquired, Refused> {
        let acquired = mutex::lock(self.word, me, peers, wait)?;
        self.count.store(1, Ordering::Relaxed);
        Ok(acquired)
    }

    /// Unlocks once. If the last owner died and the lock was not made consistent, the last unlock gives it up for ever.
    #[inline]
    pub fn unlock(&self, me: Owner) -> Result<Unlocked, NotOwner> {
        self.undo(me, mutex::unlock)
    }

    /// Unlocks once. If the last owner died and the lock was not made consistent, the next owner is told too.
    #[inline]
    pub fn leave(&self, me: Owner) -> Result<Unlocked, NotOwner> {
        self.undo(
            me,
            |word, me| {
                if mutex::is_inconsistent(word) { mutex::give_back(word, me) } else { mutex::unlock(word, me) }
            },
        )
    }

    #[inline(always)]
    fn undo(
        &self,
        me: Owner,
        last: impl FnOnce(&LockWord, Owner) -> Result<(), NotOwner>,
    ) -> Result<Unlocked, NotOwner> {
        if !mutex::is_owner(self.word, me) {
            return Err(NotOwner);
        }
        let count = self.count.load(Ordering::Relaxed);
        if count > 1 {
            self.count.store(count - 1, Ordering::Relaxed);
            return Ok(Unlocked::Still);
        }
        last(self.word, me)?;
        Ok(Unlocked::Free)
    }
}
