//! The event's header and its records.
//!
//! ```text
//! offset 0      8      12     16        20     24    128
//!        | lock | turn | word | granted | auto | 0.. | record of participant 1, 2, ...
//! ```
//!
//! Meaning and states are described in [`raw::event`](crate::raw::event) and [`raw::auto_event`](crate::raw::auto_event).

use super::mutex::LockWord;
use crate::primitive::{AtomicU32, AtomicU64};

/// What lies before the records.
#[repr(C)]
#[derive(Debug)]
pub struct EventHeader {
    /// Auto reset: held during an operation.
    pub lock: LockWord,
    /// Auto reset: what waiters sleep on.
    pub turn: AtomicU32,
    /// Manual reset: the whole state. Auto reset: 1 while a signal is kept for the next to come.
    pub word: AtomicU32,
    /// Auto reset: signals given to those who wait, and not taken yet.
    pub granted: AtomicU32,
    /// 1 if it resets itself, else 0; never changes.
    pub auto: AtomicU32,
    /// Zero.
    pub zero: [u32; 26],
}

impl EventHeader {
    /// An event that is not set.
    pub fn new(auto: bool) -> Self {
        Self {
            lock: LockWord::new(),
            turn: AtomicU32::new(0),
            word: AtomicU32::new(0),
            granted: AtomicU32::new(0),
            auto: AtomicU32::new(auto.into()),
            zero: [0; 26],
        }
    }
}

/// How many threads of a participant wait: its life's number << 32 | count.
pub type Record = AtomicU64;

/// Length of an event in bytes: with a record for each participant if it resets itself.
pub const fn bytes(auto: bool, participants: u16) -> u64 {
    128 + if auto { 8 * participants as u64 } else { 0 }
}

const _: () = assert!(size_of::<EventHeader>() == 128);
