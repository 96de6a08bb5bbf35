//! The barrier's header and its records.
//!
//! ```text
//! offset 0      8      12     16         128
//!        | word | turn | mark | zero ... | record of participant 1, 2, ...
//! ```
//!
//! Meaning and states are described in [`raw::barrier`](crate::raw::barrier).

use crate::primitive::{AtomicU32, AtomicU64};

/// The most parties a barrier can have.
pub const MAX_PARTIES: u32 = 65_535;

/// What lies before the records.
#[repr(C)]
#[derive(Debug)]
pub struct BarrierHeader {
    /// The round: version:24 | round:1 | cause:2 | state:3 | DRAIN:1 | SLEEPERS:1 | arrivals, or the leader:32.
    pub word: AtomicU64,
    /// What everybody sleeps on.
    pub turn: AtomicU32,
    /// The highest number of a participant that has ever come or registered.
    pub mark: AtomicU32,
    /// Zero.
    pub zero: [u64; 14],
}

impl BarrierHeader {
    /// A barrier that nobody has come to.
    pub fn new() -> Self {
        Self { word: AtomicU64::new(0), turn: AtomicU32::new(0), mark: AtomicU32::new(0), zero: [0; 14] }
    }
}

/// The parties of one participant, in a cache line of their own: life:22 | registered:14 | inside of round 1:14, 0:14.
#[repr(C)]
#[derive(Debug)]
pub struct BarrierRecord {
    /// The counts.
    pub word: AtomicU64,
    /// Zero.
    pub zero: [u64; 7],
}

impl BarrierRecord {
    /// Nobody.
    pub fn new() -> Self {
        Self { word: AtomicU64::new(0), zero: [0; 7] }
    }
}

/// Length in bytes of a barrier in a segment with so many participants.
pub const fn bytes(participants: u16) -> u64 {
    128 + 64 * participants as u64
}

const _: () = {
    assert!(size_of::<BarrierHeader>() == 128 && size_of::<BarrierRecord>() == 64);
    assert!(core::mem::offset_of!(BarrierHeader, turn) == 8);
    assert!(core::mem::offset_of!(BarrierHeader, mark) == 12);
};
