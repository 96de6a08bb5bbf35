//! The eventcount word.

use crate::primitive::AtomicU32;

/// The futex word of an eventcount: bit 0 = somebody may sleep, bit 1 = notifiers must fence, the rest counts. All zero
/// is valid: nobody sleeps.
/// Described in [`raw::eventcount`](crate::raw::eventcount).
#[repr(C)]
#[derive(Debug)]
pub struct EventCount {
    /// The word that sleepers sleep on.
    pub word: AtomicU32,
}

impl EventCount {
    /// An eventcount that nobody sleeps on.
    pub fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }
}

const _: () = assert!(size_of::<EventCount>() == 4);
