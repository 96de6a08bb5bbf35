//! The once, with or without a value.
//!
//! ```text
//! offset 0      8         12   16
//!        | lock | waiting | 0  | the value, in words of 8 bytes
//! ```
//!
//! Meaning and states are described in [`raw::once`](crate::raw::once).

use super::eventcount::EventCount;
use super::mutex::LockWord;
use crate::primitive::AtomicU32;

/// What lies before the value. All zero: not initialised, and nobody is at it.
#[repr(C)]
#[derive(Debug)]
pub struct OnceHeader {
    /// Held by whoever initialises; given up once that is done.
    pub lock: LockWord,
    /// Those sleep here who wait and would not initialise.
    pub waiting: EventCount,
    /// Zero.
    pub zero: AtomicU32,
}

impl OnceHeader {
    /// One that is not initialised.
    pub fn new() -> Self {
        Self { lock: LockWord::new(), waiting: EventCount::new(), zero: AtomicU32::new(0) }
    }
}

/// Length in bytes of one with a value of `size` bytes.
pub const fn bytes(size: u32) -> u64 {
    let bytes = 16 + 8 * (size as u64).div_ceil(8);
    if bytes < 128 { 128 } else { bytes }
}

const _: () = assert!(size_of::<OnceHeader>() == 16 && core::mem::offset_of!(OnceHeader, waiting) == 8);
