//! The lock.

use super::eventcount::EventCount;
use crate::primitive::AtomicU32;

/// A lock: who holds it, and who sleeps until it is free. All zero is a free lock. Its states are described in
/// [`raw::mutex`](crate::raw::mutex).
#[repr(C)]
#[derive(Debug)]
pub struct LockWord {
    /// Changed by the owner alone while it lives, and by one compare-and-swap where it is free or its owner is dead.
    pub owner: AtomicU32,
    /// Those who wait sleep here.
    pub waiters: EventCount,
}

impl LockWord {
    /// A free lock.
    pub fn new() -> Self {
        Self { owner: AtomicU32::new(0), waiters: EventCount::new() }
    }
}

const _: () = assert!(size_of::<LockWord>() == 8 && core::mem::offset_of!(LockWord, waiters) == 4);
