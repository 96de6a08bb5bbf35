//! A place that one participant at a time has: the writer's, or a reader's cursor.
//!
//! ```text
//!  63                              30 29        13 12            0
//! +----------------------------------+------------+---------------+
//! |            claims : 34           |  tag : 17  | participant:13|     the last 30 zero: nobody's
//! +----------------------------------+------------+---------------+
//! ```
//!
//! A claim counts, so an exact compare-and-swap that somebody decided on long ago cannot hit a successor, also of the same
//! thread.

use super::super::{Fate, Owner, ParticipantId, Peers};
use crate::primitive::{AtomicU64, Ordering};

const OWNER_BITS: u32 = 30;
const OWNER: u64 = (1 << OWNER_BITS) - 1;
const PARTICIPANT: u64 = (1 << 13) - 1;

/// Why a place was not claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This participant has it, and lives.
    Taken(ParticipantId),
    /// The word names a participant that the segment does not have.
    Corrupted,
}

/// Who has the place; 0 is nobody.
pub fn holder(word: u64) -> ParticipantId {
    (word & PARTICIPANT) as ParticipantId
}

/// Whether nobody has the place.
#[inline]
pub fn is_free(word: u64) -> bool {
    word & OWNER == 0
}

/// Claims a place that is nobody's, or a dead participant's. What stands in the word then gives it back.
pub fn claim(place: &AtomicU64, me: Owner, peers: &impl Peers) -> Result<u64, Refused> {
    let mut seen = place.load(Ordering::Acquire);
    loop {
        if !is_free(seen) {
            match peers.fate(holder(seen)) {
                Fate::Alive => return Err(Refused::Taken(holder(seen))),
                Fate::Dead => {}
                Fate::Invalid => return Err(Refused::Corrupted),
            }
        }
        let mine = (seen >> OWNER_BITS).wrapping_add(1) << OWNER_BITS | u64::from(me.bits());
        // Acquire: pairs with the Release of whoever gave it back.
        match place.compare_exchange(seen, mine, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Ok(mine),
            Err(now) => seen = now,
        }
    }
}

/// Gives a place back that was claimed as `mine`, or is seen as that exact word of somebody who is dead.
pub fn vacate(place: &AtomicU64, mine: u64) -> bool {
    // Release: what was done in the role is seen by the next to have it.
    place.compare_exchange(mine, mine & !OWNER, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Frees the place if `dead` has it.
pub fn recover(place: &AtomicU64, dead: ParticipantId, peers: &impl Peers) {
    let seen = place.load(Ordering::Acquire);
    // Asked after the load: the number may have a living successor by now.
    if holder(seen) == dead && peers.fate(dead) == Fate::Dead {
        vacate(place, seen);
    }
}
