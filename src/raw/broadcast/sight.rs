//! What there is at a position: a record, nothing yet, the end, or a later record. See the states of the module above.

use super::super::Peers;
use super::{Broadcast, LOOKS, ahead, complete};
use crate::primitive::Ordering;

/// What there is at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A record.
    Record,
    /// Nothing yet.
    Nothing,
    /// Nothing, for ever.
    End,
    /// A later record. The oldest that is there is at this position.
    Lapped(u64),
    /// Something that no participant writes.
    Corrupted,
}

impl Broadcast<'_> {
    /// What there is at a position.
    pub fn look(&self, position: u64, peers: &impl Peers) -> Sight {
        let Some(slot) = self.slot(position % self.geometry.slots()) else { return Sight::Corrupted };
        for _ in 0..LOOKS {
            let seen = slot.stamp.load(Ordering::Acquire);
            if seen == complete(position) {
                return Sight::Record;
            }
            if ahead(seen, position) > 0 {
                // Acquire: with the stamp, the claim was seen that came before it.
                let next = self.header.tail.0.load(Ordering::Acquire) >> 1;
                let oldest = self.oldest(next);
                return if oldest > position { Sight::Lapped(oldest) } else { Sight::Corrupted };
            }
            if !self.is_closing() {
                return Sight::Nothing;
            }
            if let Some(sight) = self.look_for_end(position, slot.stamp, peers) {
                return sight;
            }
        }
        Sight::Corrupted
    }

    /// Whether it is worth trying to read there; a hint.
    pub fn seems_readable(&self, position: u64) -> bool {
        let slot = self.slot(position % self.geometry.slots());
        // Relaxed: looked at again before anything is done.
        let seen = slot.map_or(0, |slot| slot.stamp.load(Ordering::Relaxed));
        seen == complete(position) || ahead(seen, position) > 0 || self.is_closing()
    }

    /// Whether to receive there would end at once: there is a record, or the end, or an error.
    pub fn can_recv(&self, position: u64, peers: &impl Peers) -> bool {
        self.look(position, peers) != Sight::Nothing
    }

    /// Whether the position before `next` has no record.
    pub(super) fn is_unfinished(&self, next: u64) -> bool {
        let Some(last) = next.checked_sub(1) else { return false };
        let slot = self.slot(last % self.geometry.slots());
        slot.is_some_and(|slot| {
            // Acquire: what is begun behind it comes after it.
            let seen = slot.stamp.load(Ordering::Acquire);
            seen != complete(last) && ahead(seen, last) <= 0
        })
    }

    /// The oldest position that can be read where `next` is the next one: as many as the capacity lie between them, besides
    /// one that is being written, or whose writer died in it.
    pub(super) fn oldest(&self, next: u64) -> u64 {
        next.saturating_sub(self.geometry.capacity() + u64::from(self.is_unfinished(next)))
    }
}
