//! How a broadcast ends: see invariants 2, 3 and 7 of the module above.

use super::super::{Fate, Peers};
use super::{Broadcast, CLOSED, Sight, ahead, complete, role};
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::eventcount;

impl Broadcast<'_> {
    /// Shuts it down for everybody: sends fail from now on, readers read what is there and then end. Twice is fine.
    pub fn shutdown(&self) {
        // Release: who sees that it is shut down sees what its closer did before.
        self.shared().closing.store(1, Ordering::Release);
        self.finish_shutdown();
        eventcount::notify(self.not_empty());
        eventcount::notify(self.not_full());
    }

    /// The tail of one that is being shut down: from now on nobody claims a position.
    pub(super) fn finish_shutdown(&self) -> u64 {
        self.header.tail.0.fetch_or(CLOSED, Ordering::AcqRel) | CLOSED
    }

    /// Whether somebody shuts it down, or has.
    #[inline]
    pub(super) fn is_closing(&self) -> bool {
        self.shared().closing.load(Ordering::Acquire) != 0
    }

    /// Whether it is shut down: no send that begins now succeeds.
    pub fn is_shut_down(&self) -> bool {
        self.header.tail.0.load(Ordering::Acquire) & CLOSED != 0
    }

    /// What there is at a position of one that is being shut down, whose stamp was not that of a record. `None`: look again.
    #[cold]
    pub(super) fn look_for_end(&self, position: u64, stamp: &AtomicU64, peers: &impl Peers) -> Option<Sight> {
        // Acquire: with a claim, the record before it is seen, and who has the writer's place.
        let mut tail = self.header.tail.0.load(Ordering::Acquire);
        if tail & CLOSED == 0 {
            tail = self.finish_shutdown();
        }
        let end = tail >> 1;
        if position >= end {
            return Some(Sight::End);
        }
        if position + 1 < end {
            return None; // there is a record by now, or a later one
        }
        // Claimed. Who claimed it had the place at that time, so either it has it still, or it gave it back after that, or it
        // is dead: in both cases its last store is seen from here on.
        let writer = self.shared().writer.load(Ordering::Acquire);
        let may_come = if role::is_free(writer) {
            false
        } else {
            match peers.fate(role::holder(writer)) {
                Fate::Alive => true,
                Fate::Dead => false,
                Fate::Invalid => return Some(Sight::Corrupted),
            }
        };
        let seen = stamp.load(Ordering::Acquire);
        if seen == complete(position) || ahead(seen, position) > 0 {
            return None;
        }
        if may_come {
            return Some(Sight::Nothing);
        }
        // Invariant 3. Lost: somebody else has done it.
        let _ = self.header.tail.0.compare_exchange(tail, tail - 2, Ordering::AcqRel, Ordering::Relaxed);
        None
    }
}
