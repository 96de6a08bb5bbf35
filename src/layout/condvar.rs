//! The condition variable's header and its places for waiters.
//!
//! ```text
//! offset 0         4      8        128
//!        | tickets | used | zero   | place 0, 1, ...: state u64 | mutex u64 | wake u32 | zero
//! ```
//!
//! Meaning and states are described in [`raw::condvar`](crate::raw::condvar).

use crate::primitive::{AtomicU32, AtomicU64};

/// The most places a condition variable can have.
pub const MAX_PLACES: u32 = 65_535;

/// What lies before the places.
#[repr(C)]
#[derive(Debug)]
pub struct CondvarHeader {
    /// How many waits have begun.
    pub tickets: AtomicU32,
    /// Places from here on were never used.
    pub used: AtomicU32,
    /// Zero.
    pub zero: [u32; 30],
}

impl CondvarHeader {
    /// A condition variable that nobody has used.
    pub fn new() -> Self {
        Self { tickets: AtomicU32::new(0), used: AtomicU32::new(0), zero: [0; 30] }
    }
}

/// A place for one waiter.
#[repr(C)]
#[derive(Debug)]
pub struct Place {
    /// Who waits here since when, or was notified when.
    pub state: AtomicU64,
    /// Where the lock word of the waiter's mutex lies in the segment.
    pub mutex: AtomicU64,
    /// What the waiter sleeps on.
    pub wake: AtomicU32,
    /// Zero.
    pub zero: [u32; 3],
}

impl Place {
    /// A free place.
    pub fn new() -> Self {
        Self { state: AtomicU64::new(0), mutex: AtomicU64::new(0), wake: AtomicU32::new(0), zero: [0; 3] }
    }
}

/// Length in bytes of a condition variable with so many places.
pub const fn bytes(places: u32) -> u64 {
    128 + 32 * places as u64
}

const _: () = {
    assert!(size_of::<CondvarHeader>() == 128);
    assert!(size_of::<Place>() == 32);
    assert!(core::mem::offset_of!(Place, mutex) == 8);
    assert!(core::mem::offset_of!(Place, wake) == 16);
};
