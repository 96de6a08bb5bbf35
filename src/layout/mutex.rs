//! The lock word.

use crate::primitive::AtomicU32;

/// The futex word of a lock. All zero is a free lock. Its states are described in [`raw::mutex`](crate::raw::mutex).
#[repr(transparent)]
#[derive(Debug)]
pub struct LockWord(pub AtomicU32);

impl LockWord {
    /// A free lock.
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }
}

#[cfg(not(ringfence_loom))]
const _: () = assert!(size_of::<LockWord>() == 4);
