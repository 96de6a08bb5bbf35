//! Cursors: how far the readers are that the writer waits for.
//!
//! ```text
//!  new reader                                 writer, at its limit
//!  owner: nobody -> me                        (all it has claimed stands in the tail)
//!  fence                                      fence
//!  position <- where the tail is              least of the positions in cursors that are somebody's, else its own
//!  notify the writer                          limit = least + capacity
//! ```
//!
//! Invariants:
//! 1. Of a new reader's look at the tail and the writer's look at the owners, at least one sees what the other did: each has a
//!    full fence before it. So the writer sees the cursor, or the reader begins at or behind the position where the writer was
//!    when it looked: what it writes before its next look does not reach what this reader has to read.
//! 2. A position in a cursor is never beyond the tail, nor ahead of what its reader has read: one of an earlier reader makes the
//!    writer wait, never overwrite, until the new one has written its own.
//! 3. A reader wakes a sleeping writer only if it was the whole capacity behind, and now nobody is. It looks at the others behind
//!    a full fence after its own store: of two that go on at the same time, at least one sees both, and wakes. The last of them
//!    may be dead: then whoever frees its cursor wakes, or the writer's nap ends and it frees that itself.
//! 4. The cursor of the dead is freed by an exact compare-and-swap of a word that was loaded *before* the question whether its
//!    owner is dead. A living reader's, stopped or not, is freed by itself alone.

use super::super::{Fate, Owner, Peers};
use super::{Broadcast, role};
use crate::primitive::{Ordering, fence};
use crate::raw::eventcount;

/// Why there is no new reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Each cursor is a living reader's.
    TooMany,
    /// A cursor names a participant that the segment does not have.
    Corrupted,
}

impl Broadcast<'_> {
    /// Claims a cursor: its number, and what stands in it.
    pub(super) fn claim_cursor(&self, me: Owner, peers: &impl Peers) -> Result<(u32, u64), Refused> {
        let mut refused = Refused::TooMany;
        // Free ones first: nobody needs to be asked about them.
        for ask in [false, true] {
            for (place, cursor) in (0..).zip(self.cursors) {
                let owner = &cursor.0.owner;
                if !ask && !role::is_free(owner.load(Ordering::Relaxed)) {
                    continue;
                }
                match role::claim(owner, me, peers) {
                    Ok(word) => {
                        fence(Ordering::SeqCst); // invariant 1
                        return Ok((place, word));
                    }
                    Err(role::Refused::Taken(_)) => {}
                    Err(role::Refused::Corrupted) => refused = Refused::Corrupted,
                }
            }
        }
        Err(refused)
    }

    /// Gives a cursor back, and wakes the writer, which may have waited for it.
    pub(super) fn free_cursor(&self, place: u32, word: u64) {
        if let Some(cursor) = self.cursors.get(place as usize) {
            role::vacate(&cursor.0.owner, word);
            eventcount::notify(self.not_full());
        }
    }

    /// The first position that a writer which sends at `position` next may not write. Frees the cursors of the dead that stand in
    /// its way. `None` if one names a participant that the segment does not have.
    pub(super) fn limit(&self, position: u64, peers: &impl Peers) -> Option<u64> {
        let capacity = self.geometry.capacity();
        fence(Ordering::SeqCst); // invariant 1
        let mut least = position;
        for cursor in self.cursors {
            let mut owner = cursor.0.owner.load(Ordering::Acquire);
            while !role::is_free(owner) {
                // Acquire: pairs with the Release in `tell`.
                let at = cursor.0.position.load(Ordering::Acquire);
                if position.saturating_sub(at) >= capacity {
                    match peers.fate(role::holder(owner)) {
                        Fate::Alive => {}
                        Fate::Dead => {
                            role::vacate(&cursor.0.owner, owner);
                            // Lost: freed by another, and perhaps claimed anew.
                            owner = cursor.0.owner.load(Ordering::Acquire);
                            continue;
                        }
                        Fate::Invalid => return None,
                    }
                }
                least = least.min(at);
                break;
            }
        }
        Some(least.saturating_add(capacity))
    }

    /// Whether a reader, dead or alive, is the whole capacity behind the position.
    pub(super) fn is_at_limit(&self, position: u64) -> bool {
        let capacity = self.geometry.capacity();
        self.cursors.iter().any(|cursor| {
            // Relaxed: a reason to look again, no more.
            !role::is_free(cursor.0.owner.load(Ordering::Relaxed))
                && position.saturating_sub(cursor.0.position.load(Ordering::Relaxed)) >= capacity
        })
    }

    /// Whether a writer that sleeps may go on since a reader which was at `before` has stored its new position (invariant 3). Behind
    /// a full fence: if this sees too little of the tail, the writer's last look was after the store.
    pub(super) fn may_make_room(&self, before: u64) -> bool {
        let next = self.next_position();
        next.saturating_sub(before) >= self.geometry.capacity() && !self.is_at_limit(next)
    }

    /// Whether the writer's next send would not wait for a reader, dead or alive; a hint.
    pub fn seems_writable(&self) -> bool {
        self.is_closing() || !self.is_at_limit(self.header.tail.0.load(Ordering::Acquire) >> 1)
    }

    /// Whether the writer's next send would end at once. Frees the cursors of the dead.
    pub fn can_send(&self, peers: &impl Peers) -> bool {
        let position = self.header.tail.0.load(Ordering::Acquire) >> 1;
        self.is_closing() || self.limit(position, peers).is_none_or(|limit| limit > position)
    }
}
