//! The semaphore's header and its records.
//!
//! ```text
//! offset 0      8      12     16      20        24      28         128
//!        | lock | turn | word | total | maximum | owned | returned | record of participant 1, 2, ...
//! ```
//!
//! Meaning and states are described in [`raw::semaphore`](crate::raw::semaphore).

use super::mutex::LockWord;
use crate::primitive::{AtomicU32, AtomicU64};

/// The most permits a semaphore can have. Half of what its word can count: a release adds first, and then looks.
pub const MAX_PERMITS: u32 = (1 << 29) - 1;

/// What lies before the records.
#[repr(C)]
#[derive(Debug)]
pub struct SemaphoreHeader {
    /// Owned mode: held during an operation.
    pub lock: LockWord,
    /// Owned mode: what waiters sleep on.
    pub turn: AtomicU32,
    /// Signalling mode: the whole state. Owned mode: how many permits are free.
    pub word: AtomicU32,
    /// Owned mode: how many permits there are, free and taken.
    pub total: AtomicU32,
    /// The most there may be; never changes.
    pub maximum: AtomicU32,
    /// 1 in owned mode, else 0; never changes.
    pub owned: AtomicU32,
    /// Owned mode: 1 while permits of the dead have come back and nobody was told.
    pub returned: AtomicU32,
    /// Zero.
    pub zero: [u32; 24],
}

impl SemaphoreHeader {
    /// A semaphore of `value` free permits.
    pub fn new(value: u32, maximum: u32, owned: bool) -> Self {
        Self {
            lock: LockWord::new(),
            turn: AtomicU32::new(0),
            word: AtomicU32::new(value),
            total: AtomicU32::new(if owned { value } else { 0 }),
            maximum: AtomicU32::new(maximum),
            owned: AtomicU32::new(owned.into()),
            returned: AtomicU32::new(0),
            zero: [0; 24],
        }
    }
}

/// What a participant has taken: its life's number << 32 | permits.
pub type Record = AtomicU64;

/// Length of a semaphore in bytes: with a record for each participant in owned mode.
pub const fn bytes(owned: bool, participants: u16) -> u64 {
    128 + if owned { 8 * participants as u64 } else { 0 }
}

const _: () = assert!(size_of::<SemaphoreHeader>() == 128);
